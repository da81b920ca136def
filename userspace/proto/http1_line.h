/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTP/1 recognised by the first line of a message (RFC 9112, 3 and 4), and request targets taken apart. */
#ifndef PROTO_HTTP1_LINE_H
#define PROTO_HTTP1_LINE_H
#include "proto/proto.h"

/* What stands in b before the first of these bytes. */
struct bytes http1_until(struct bytes b, const char *stops);
/* Length of "http://" or "https://" in front of b, else 0. */
size_t http1_scheme(struct bytes b);

enum proto_match http1_status_line(struct bytes b);
/* A request's first line in the middle of a connection, where a body could look like it: the version must be there. */
bool http1_request_begins(struct bytes b);
/* One direction of a connection; which of the two carries the requests depends on who we are. */
enum proto_match http1_first_line(struct bytes b);
#endif
