/* SPDX-License-Identifier: BSD-2-Clause */
/* What bytes of MySQL look like to who has not seen those before. */
#ifndef PROTO_MYSQL_DETECT_H
#define PROTO_MYSQL_DETECT_H
#include "proto.h"

/* Capabilities a client asks for (mysql_com.h). */
#define CLIENT_COMPRESS (1u << 5)
#define CLIENT_PROTOCOL_41 (1u << 9)
#define CLIENT_SSL (1u << 11)
#define CLIENT_OPTIONAL_METADATA (1u << 25)
#define CLIENT_ZSTD (1u << 26)
#define CLIENT_QUERY_ATTRIBUTES (1u << 27)
/* The part of its first message before the user's name; a request for TLS has no more. */
#define LOGIN_FIXED 32u

/* Whether a write begins with a command; behind those that need no answer others may follow. */
bool mysql_command_starts(struct bytes b);
/* Whether a read begins with the first packet of a reply, or with one of a log-in. */
bool mysql_reply_starts(struct bytes b, bool login);
/* As struct proto has it. */
enum proto_match mysql_detect(struct bytes out, struct bytes in, const struct proto_hint *hint);
#endif
