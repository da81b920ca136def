/* SPDX-License-Identifier: BSD-2-Clause */
/* How a Bolt server says that a request failed (https://neo4j.com/docs/bolt/current/bolt/message/#messages-failure). */
#ifndef PROTO_BOLT_FAILURE_H
#define PROTO_BOLT_FAILURE_H
#include "base/bytes.h"

#define BOLT_CODE_MAX 48

/* Of a FAILURE's map, as far as it is there, the value of "code" or, from version 5.7 on, "neo4j_code"; without "Neo.",
 * which all of Neo4j's begin with. "" where neither is found. */
void bolt_failure_code(struct bytes failure, char code[static BOLT_CODE_MAX]);
#endif
