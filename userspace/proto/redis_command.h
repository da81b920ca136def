/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known of each Redis command: whether it reads, waits, or changes what its connection is for. */
#ifndef PROTO_REDIS_COMMAND_H
#define PROTO_REDIS_COMMAND_H
#include "base/bytes.h"

enum redis_command_flag {
	REDIS_READ = 1 << 0,      /* changes nothing that is stored */
	REDIS_BEAT = 1 << 1,      /* housekeeping of the connection, health checks */
	REDIS_BLOCK = 1 << 2,     /* meant to wait */
	REDIS_WORDS = 1 << 3,     /* the operation is the first two words */
	REDIS_MAY_BLOCK = 1 << 4, /* waits if BLOCK is among its arguments, before STREAMS */
	REDIS_SUB = 1 << 5,       /* answered by a confirmation a channel; may come as pushes */
	REDIS_UNSUB = 1 << 6,
	REDIS_STREAM = 1 << 7, /* from its reply on the connection is no exchange of calls */
	REDIS_MULTI = 1 << 8,
	REDIS_EXEC = 1 << 9,
	REDIS_RESET = 1 << 10,
	REDIS_DISCARD = 1 << 11,
	REDIS_REPLY = 1 << 12, /* CLIENT REPLY: the next word decides who is answered */
	REDIS_LOGIN = 1 << 13, /* what clients send by themselves on a new connection */
};

/* Whether the table has op, a command's first words in capitals; *ret: its flags. */
bool redis_command_find(struct bytes op, uint32_t *ret);
/* Of op's flags all that is known; 0 of one that is not listed, which writes or may do so. */
uint32_t redis_command_flags(const char *op);
#endif
