/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each packet of a MySQL or MariaDB server is, from the command it answers and the packets before it
 * (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html, https://mariadb.com/kb/en/clientserver-protocol/).
 * The parser and the masker read replies by it.
 */
#ifndef PROTO_MYSQL_REPLY_H
#define PROTO_MYSQL_REPLY_H
#include "proto/mysql_command.h"

/* Longest payload of one packet; one this long goes on in the next. */
#define MYSQL_PACKET_MAX 0xffffffu
/* Of a payload's beginning all that matters: an OK's two numbers of up to 9 bytes and its status. */
#define MYSQL_HEAD_MAX 24

enum mysql_part {
	PART_BAD, /* no server says this here */
	PART_OK,  /* or the end of rows, which has the same status in it */
	PART_ERR,
	PART_COUNT,    /* of columns */
	PART_DEF,      /* of a column or parameter */
	PART_DEFS_END, /* EOF between definitions and rows */
	PART_ROW,
	PART_TEXT,
	PART_PREPARED,
	PART_AUTH, /* the log-in goes on */
	PART_FILE, /* the client is to send a file */
};

enum mysql_after { REPLY_GOES_ON, REPLY_ENDS, REPLY_UNREADABLE };

struct mysql_reply {
	uint8_t command, phase;
	bool optional; /* MySQL's CLIENT_OPTIONAL_RESULTSET_METADATA: a byte before the count */
	int eofs; /* whether an EOF follows definitions: 1, 0 (CLIENT_DEPRECATE_EOF), -1 not known */
	bool stray;          /* after the reply's end such an EOF may still come */
	uint64_t defs, then; /* to come, and behind an EOF */

	/* results */
	bool transaction; /* of the last status: one is open */
	bool status_seen;
	uint32_t statement; /* of the last PART_PREPARED */
};

/* The reply to a command begins. */
void mysql_reply_start(struct mysql_reply *r, uint8_t command);
/* What the packet is whose payload begins with first and is len long. */
enum mysql_part mysql_reply_part(const struct mysql_reply *r, uint8_t first, uint32_t len);
/* That packet is complete; head: the first bytes of its payload, all or MYSQL_HEAD_MAX. */
enum mysql_after mysql_reply_take(struct mysql_reply *r, enum mysql_part part, struct bytes head,
                                  uint32_t len);
#endif
