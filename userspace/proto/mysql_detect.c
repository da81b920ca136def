/* SPDX-License-Identifier: BSD-2-Clause */
/* How MySQL is recognised, and where reading begins again after a loss. */
#include "proto/mysql_detect.h"

#include <ctype.h>

#include "proto/collect.h"
#include "proto/mysql_command.h"
#include "sql.h"

/* A packet this long is not believed where we look for our feet again. */
#define RESYNC_MAX 0x7fffffu
/* A command shorter than this is written in one piece. */
#define PIECE_LEAST 1024u
/* A greeting is a version of up to 60 bytes and some 60 more. */
#define GREETING_MAX 1024u

/* A record of TLS: as a packet's head it would be of a length that no command has by chance. */
static bool is_tls(const uint8_t p[4])
{
	return p[0] >= 0x14 && p[0] <= 0x17 && p[1] == 3 && p[2] >= 1 && p[2] <= 4;
}

bool mysql_command_starts(struct bytes b)
{
	size_t whole = b.n;
	bool first = true;

	while (first || b.n) {
		const uint8_t *p = (const uint8_t *)b.p;
		uint32_t len;

		if (b.n < 5)
			return !first;
		len = le24(p);
		if (p[3] || is_tls(p) || len > RESYNC_MAX || !mysql_command_fits(p[4], len) ||
		    (len > b.n - 4 && whole < PIECE_LEAST))
			return false;
		b = bytes_from(b, (size_t)len + 4);
		first = false;
	}
	return true;
}

bool mysql_reply_starts(struct bytes b, bool login)
{
	const uint8_t *p = (const uint8_t *)b.p;

	if (login)
		return b.n >= 5 && p[3] && (uint64_t)le24(p) + 4 == b.n && p[4] != 10;
	return b.n >= 5 && p[3] == 1 && le24(p) && le24(p) <= RESYNC_MAX;
}

static enum proto_match greeting_detect(struct bytes in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	size_t i = 5;

	if (in.n >= 3 && (le24(p) > GREETING_MAX || le24(p) < 5))
		return PROTO_NO;
	if ((in.n >= 4 && p[3]) || (in.n >= 5 && p[4] != 10 && p[4] != 0xff))
		return PROTO_NO;
	if (in.n < 9)
		return PROTO_MAYBE;
	if (p[4] == 0xff) /* refused: a number from 1000 on and a text */
		return le16(p + 5) >= 1000 && le16(p + 5) < 5000 && le24(p) + 4 == in.n ? PROTO_YES
		                                                                        : PROTO_NO;
	while (i < in.n && isgraph(p[i]))
		i++;
	if (i == in.n)
		return PROTO_MAYBE;
	return p[i] == '\0' && isdigit(p[5]) ? PROTO_YES : PROTO_NO;
}

/* The client's first packet, where the server's was not seen: behind a request for TLS. */
static bool login_starts(struct bytes out)
{
	const uint8_t *p = (const uint8_t *)out.p;

	if (out.n < 4 + LOGIN_FIXED || le24(p) < LOGIN_FIXED || le24(p) > 0xffff ||
	    (p[3] != 1 && p[3] != 2))
		return false;
	for (unsigned i = 13; i < 32; i++)
		if (p[i])
			return false;
	return le32(p + 4) & CLIENT_PROTOCOL_41;
}

/* A whole command to the last byte. sure: of its text a verb is known. */
static bool command_whole(struct bytes b, bool *sure)
{
	const uint8_t *p = (const uint8_t *)b.p;
	struct sql sql;

	*sure = false;
	if (!mysql_command_starts(b) || (uint64_t)le24(p) + 4 != b.n)
		return false;
	if (p[4] == MYSQL_QUERY || p[4] == MYSQL_STMT_PREPARE) {
		sql_start_mysql(&sql);
		sql_feed(&sql, bytes_from(b, 5));
		sql_end(&sql);
		*sure = sql.op[0] && (sql.known || sql.cut);
		return *sure;
	}
	return true;
}

enum proto_match mysql_detect(struct bytes out, struct bytes in, const struct proto_hint *hint)
{
	bool usual = hint->port == 3306 || (hint->path && strstr(hint->path, "mysql"));
	bool sure;

	if (hint->from_start && !out.n)
		return greeting_detect(in);
	if (login_starts(out))
		return PROTO_YES;
	if (hint->from_start && in.n)
		return greeting_detect(in) == PROTO_YES ? PROTO_YES : PROTO_NO;
	if (hint->from_start) /* a client of MySQL waits for the greeting; one with TLS does not show it here */
		return out.n < 4 + LOGIN_FIXED && out.n >= 4 && (out.p[3] == 1 || out.p[3] == 2)
		               ? PROTO_MAYBE
		               : PROTO_NO;
	if (usual && mysql_command_starts(out))
		return PROTO_YES;
	if (!command_whole(out, &sure))
		return usual && !out.n ? PROTO_MAYBE : PROTO_NO;
	if (sure)
		return PROTO_YES;
	if (in.n < 5)
		return PROTO_MAYBE;
	return mysql_reply_starts(in, false) && (uint64_t)le24((const uint8_t *)in.p) + 4 <= in.n &&
	                       ((uint8_t)in.p[4] == 0 || (uint8_t)in.p[4] == 0xff)
	               ? PROTO_YES
	               : PROTO_NO;
}
