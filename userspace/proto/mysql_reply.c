/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of packets in a MySQL or MariaDB reply. */
#include "proto/mysql_reply.h"

#include "proto/collect.h"

enum phase { FIRST, DEFS, DEFS_END, ROWS, EVENTS };

/* Bits of the server's status (mysql_com.h, SERVER_STATUS_flags_enum). */
#define STATUS_IN_TRANS 0x0001u
#define STATUS_MORE_RESULTS 0x0008u
#define STATUS_CURSOR_EXISTS 0x0040u
/* An EOF is always this long, an OK in its place longer. */
#define EOF_LENGTH 5u
/* An ERR with this code tells MariaDB's progress. */
#define CODE_PROGRESS 0xffffu

static bool is_rows(uint8_t command)
{
	return command == MYSQL_QUERY || command == MYSQL_STMT_EXECUTE ||
	       command == MYSQL_BULK_EXECUTE || command == MYSQL_PROCESS_INFO;
}

void mysql_reply_start(struct mysql_reply *r, uint8_t command)
{
	r->command = command;
	r->defs = r->then = 0;
	r->stray = r->status_seen = false;
	r->phase = command == MYSQL_FIELD_LIST                                         ? ROWS
	           : command == MYSQL_STMT_FETCH                                       ? ROWS
	           : command == MYSQL_BINLOG_DUMP || command == MYSQL_BINLOG_DUMP_GTID ? EVENTS
	                                                                               : FIRST;
}

static enum mysql_part first_part(const struct mysql_reply *r, uint8_t first)
{
	if (r->command == MYSQL_STATISTICS)
		return PART_TEXT;
	if (first == 0x00)
		return r->command == MYSQL_STMT_PREPARE ? PART_PREPARED : PART_OK;
	if (mysql_command_logs_in(r->command))
		return first == 0xfe || first == 0x01 ? PART_AUTH : PART_BAD;
	if (first == 0xfe)
		return PART_OK;
	if (first == 0xfb && r->command == MYSQL_QUERY)
		return PART_FILE;
	return is_rows(r->command) ? PART_COUNT : PART_BAD;
}

enum mysql_part mysql_reply_part(const struct mysql_reply *r, uint8_t first, uint32_t len)
{
	if (!len)
		return PART_BAD;
	if (first == 0xff && len < MYSQL_PACKET_MAX && r->command != MYSQL_STATISTICS)
		return PART_ERR;
	switch ((enum phase)r->phase) {
	case FIRST:
		return first_part(r, first);
	case DEFS:
		/* the EOF between parameters and columns */
		return first == 0xfe && len == EOF_LENGTH ? PART_DEFS_END : PART_DEF;
	case DEFS_END:
		if (first == 0xfe && len == EOF_LENGTH)
			return PART_DEFS_END;
		/* fall through */
	case ROWS:
		/* a row whose first value is 16 MiB or longer begins so, too */
		return first == 0xfe && len < MYSQL_PACKET_MAX ? PART_OK : PART_ROW;
	case EVENTS:
		return first == 0xfe && len < 9 ? PART_OK : PART_ROW;
	}
	return PART_BAD;
}

/* A length-encoded number; false: it is not all there. */
static bool number(struct bytes *b, uint64_t *ret)
{
	const uint8_t *p = (const uint8_t *)b->p;
	unsigned n = !b->n ? 1 : p[0] < 0xfb ? 0 : p[0] == 0xfc ? 2 : p[0] == 0xfd ? 3 : 8;

	if (b->n <= n || p[0] == 0xfb || p[0] == 0xff)
		return false;
	*ret = n ? 0 : p[0];
	for (unsigned i = n; i; i--)
		*ret = *ret << 8 | p[i];
	*b = bytes_from(*b, n + 1);
	return true;
}

/* OK: two numbers, then status. EOF: warnings, then status. */
static bool status_of(struct bytes head, uint32_t len, uint32_t *ret)
{
	bool eof = len == EOF_LENGTH && (uint8_t)head.p[0] == 0xfe;
	struct bytes b = bytes_from(head, eof ? 3 : 1);
	uint64_t v;

	if (!eof && (!number(&b, &v) || !number(&b, &v)))
		return false;
	if (b.n < 2)
		return false;
	*ret = le16((const uint8_t *)b.p);
	return true;
}

static enum mysql_after end_part(struct mysql_reply *r, struct bytes head, uint32_t len)
{
	uint32_t status;

	if (!status_of(head, len, &status))
		return REPLY_UNREADABLE;
	r->transaction = status & STATUS_IN_TRANS;
	r->status_seen = true;
	if (!(status & STATUS_MORE_RESULTS))
		return REPLY_ENDS;
	r->phase = FIRST;
	return REPLY_GOES_ON;
}

static enum mysql_after count_part(struct mysql_reply *r, struct bytes head)
{
	bool follow = true;
	uint64_t n;

	if (r->optional && head.n) {
		follow = head.p[0];
		head = bytes_from(head, 1);
	}
	if (!number(&head, &n) || !n || n > 0xffff)
		return REPLY_UNREADABLE;
	/* MariaDB: whether definitions follow, when client and server know that they may not */
	if (head.n)
		follow = head.p[0];
	r->defs = follow ? n : 0;
	r->phase = follow ? DEFS : DEFS_END;
	return REPLY_GOES_ON;
}

/* Definitions of a prepared statement's parameters, then those of its columns, each with an EOF or not. */
static enum mysql_after prepared_next(struct mysql_reply *r)
{
	if (r->defs)
		return REPLY_GOES_ON;
	r->defs = r->then;
	r->then = 0;
	return r->defs ? REPLY_GOES_ON : REPLY_ENDS;
}

static enum mysql_after prepared_part(struct mysql_reply *r, struct bytes head)
{
	const uint8_t *p = (const uint8_t *)head.p;

	if (head.n < 9)
		return REPLY_UNREADABLE;
	r->statement = le32(p + 1);
	r->defs = le16(p + 7);
	r->then = le16(p + 5);
	/* metadata_follows, where it is optional */
	if (r->optional && head.n > 12 && !p[12])
		r->defs = r->then = 0;
	r->phase = DEFS;
	return prepared_next(r);
}

static enum mysql_after def_part(struct mysql_reply *r)
{
	if (!r->defs && r->command == MYSQL_STMT_PREPARE) {
		/* no EOF came where one could have been */
		r->eofs = 0;
		if (prepared_next(r) == REPLY_ENDS)
			return REPLY_UNREADABLE;
	}
	if (!r->defs)
		return REPLY_UNREADABLE;
	if (--r->defs)
		return REPLY_GOES_ON;
	if (r->command != MYSQL_STMT_PREPARE) {
		r->phase = DEFS_END;
		return REPLY_GOES_ON;
	}
	if (r->eofs == 1 || r->then)
		return r->eofs == 0 ? prepared_next(r) : REPLY_GOES_ON;
	r->stray = r->eofs < 0;
	return REPLY_ENDS;
}

static enum mysql_after defs_end_part(struct mysql_reply *r, struct bytes head)
{
	r->eofs = 1;
	if (r->command == MYSQL_STMT_PREPARE)
		return r->defs ? REPLY_UNREADABLE : prepared_next(r);
	if (head.n < 5)
		return REPLY_UNREADABLE;
	if (r->command == MYSQL_STMT_EXECUTE &&
	    le16((const uint8_t *)head.p + 3) & STATUS_CURSOR_EXISTS)
		return REPLY_ENDS; /* rows come with STMT_FETCH */
	r->phase = ROWS;
	return REPLY_GOES_ON;
}

enum mysql_after mysql_reply_take(struct mysql_reply *r, enum mysql_part part, struct bytes head,
                                  uint32_t len)
{
	switch (part) {
	case PART_OK:
		return end_part(r, head, len);
	case PART_ERR:
		if (head.n < 3)
			return REPLY_UNREADABLE;
		return le16((const uint8_t *)head.p + 1) == CODE_PROGRESS ? REPLY_GOES_ON
		                                                          : REPLY_ENDS;
	case PART_TEXT:
		return REPLY_ENDS;
	case PART_COUNT:
		return count_part(r, head);
	case PART_PREPARED:
		return prepared_part(r, head);
	case PART_DEF:
		return def_part(r);
	case PART_DEFS_END:
		return defs_end_part(r, head);
	case PART_ROW:
		if (r->phase == DEFS_END) {
			r->eofs = 0;
			r->phase = ROWS;
		}
		return REPLY_GOES_ON;
	case PART_AUTH:
	case PART_FILE:
		return REPLY_GOES_ON;
	case PART_BAD:
		break;
	}
	return REPLY_UNREADABLE;
}
