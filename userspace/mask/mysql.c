/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks MySQL's and MariaDB's protocol (proto/mysql_reply.h has the sources). Lengths, sequence numbers and the kinds of packets
 * stay; of commands the number and a statement's, of SQL the keywords; of replies status, counts and codes of errors. Names,
 * values, rows, messages and all of a log-in but its capabilities are masked. What is compressed becomes zeros.
 */
#include "mask/mask.h"

#include <ctype.h>
#include <stdlib.h>

#include "mask/sql.h"
#include "proto/collect.h"
#include "proto/mysql_reply.h"
#include "proto/sql.h"

/* As in proto/mysql.c */
#define RESYNC_MAX 0x7fffffu
#define GREETING_MAX 1024u
#define CLIENT_COMPRESS (1u << 5)
#define CLIENT_PROTOCOL_41 (1u << 9)
#define CLIENT_SSL (1u << 11)
#define CLIENT_OPTIONAL_METADATA (1u << 25)
#define CLIENT_ZSTD (1u << 26)
#define CLIENT_QUERY_ATTRIBUTES (1u << 27)
#define LOGIN_FIXED 32u

#define HEAD 4u
/* Commands whose replies are owed; clients wait for each. Of more nothing is known. */
#define OWED_MAX 64
/* A command's number and its statement's. */
#define STATEMENT_HEAD 5u
#define SQLSTATE_AT 4u
#define SQLSTATE_END 9u

enum how { HOW_MASK, HOW_SQL, HOW_KEEP };

/* A direction's packets. */
struct side {
	struct mask_word *word;
	bool lost, begun, goes_on, proven;
	struct collect head, first; /* of the payload the first bytes, as they were */
	uint32_t len, at;           /* of the payload; where in it we are */
	uint64_t left;
	bool open; /* a mask was begun in this packet */
	/* of an OK */
	unsigned numbers, number_left;
	uint32_t status_at;
};

struct mysql {
	const uint8_t *key;
	struct side side[2];
	bool login, silent, switched;
	bool asked; /* the log-in was sent */
	uint32_t capabilities;
	int last_dir; /* -1 none */
	/* of the client's packet */
	enum how how;
	uint32_t kept, sql_at; /* bytes that stay; where SQL begins */
	bool command;          /* it is one */
	bool file;             /* the server waits for a file */
	struct mask_sql sql;
	/* of the server's */
	struct mysql_reply reply;
	enum mysql_part part;
	bool replying, ended;
	uint8_t owed[OWED_MAX]; /* enum mysql_command, a ring */
	unsigned first, n;
	bool sending; /* the newest of them */
	bool doubt;   /* others may have been sent unseen */
};

/* ===== Masks ===== */

static void mask_byte(struct mysql *m, struct side *s, char *p)
{
	if (!s->open)
		word_start(s->word, m->key, WORD_MASK);
	s->open = true;
	word_byte(s->word, p);
}

static void packet_over(struct side *s)
{
	s->goes_on = s->len == MYSQL_PACKET_MAX;
	s->head.n = s->first.n = 0;
	s->at = 0;
	s->begun = s->open = false;
}

/* Which replies were lost is not known: that of a command still being sent is to come. */
static void owed_forget(struct mysql *m)
{
	unsigned kept = m->sending ? 1 : 0;

	m->first = (m->first + m->n - kept) % OWED_MAX;
	m->n = kept;
}

static void side_lost(struct mysql *m, struct side *s)
{
	struct mask_word *word = s->word;

	word_end(word, false);
	*s = (struct side){ .word = word, .lost = true };
	m->file = false;
	if (s == &m->side[1]) {
		m->command = m->sending = false;
		m->doubt = true;
		return;
	}
	m->replying = m->ended = false;
	owed_forget(m);
}

/* ===== From the client ===== */

static bool runs_by_number(uint8_t command)
{
	return command == MYSQL_STMT_EXECUTE || command == MYSQL_BULK_EXECUTE ||
	       command == MYSQL_STMT_LONG_DATA || command == MYSQL_STMT_CLOSE ||
	       command == MYSQL_STMT_RESET || command == MYSQL_STMT_FETCH;
}

/* What stays of a command's payload. */
static void command_begins(struct mysql *m, uint8_t command)
{
	struct side *s = &m->side[1];
	bool sql = command == MYSQL_QUERY || command == MYSQL_STMT_PREPARE;

	m->command = true;
	m->how = sql ? HOW_SQL : HOW_MASK;
	m->kept = runs_by_number(command) ? STATEMENT_HEAD : command == MYSQL_SET_OPTION ? 3 : 1;
	if (command == MYSQL_QUERY && m->capabilities & CLIENT_QUERY_ATTRIBUTES)
		m->kept = 3; /* how many parameters, and how many sets of them */
	mask_sql_start(&m->sql, m->key, s->word, MASK_MYSQL);
	if (mysql_command_mute(command))
		return;
	m->sending = true;
	m->owed[(m->first + m->n) % OWED_MAX] = command;
	if (m->n < OWED_MAX)
		m->n++;
	else
		m->first = (m->first + 1) % OWED_MAX;
}

/* The head of a packet is there; false: no client sends that. */
static bool out_begins(struct mysql *m)
{
	struct side *s = &m->side[1];
	uint8_t seq = s->head.b[3];

	if (s->goes_on) /* more of what the packet before held */
		return true;
	m->command = false;
	m->how = HOW_MASK;
	m->kept = 0;
	if (m->file || (seq && !m->login))
		return true;
	if (!m->login)
		return s->len > 0;
	if (m->asked)
		return true;
	if (seq == 0 || s->len < LOGIN_FIXED)
		return false;
	m->kept = LOGIN_FIXED;
	return true;
}

static bool is_command(const struct mysql *m)
{
	const struct side *s = &m->side[1];

	return !m->login && !m->file && !s->goes_on && s->head.b[3] == 0;
}

static void sql_byte(struct mysql *m, struct side *s, char *p)
{
	/* parameters stand before the text: where that begins is not known */
	if (m->kept == 3 && s->at == 3 && !s->goes_on && s->first.b[1])
		mask_sql_gap(&m->sql);
	mask_sql_byte(&m->sql, p);
}

static bool out_byte(struct mysql *m, char *p)
{
	struct side *s = &m->side[1];

	if (s->at == 0 && is_command(m)) {
		if (!mysql_command_fits((uint8_t)*p, s->len))
			return false;
		command_begins(m, (uint8_t)*p);
	}
	if (!s->goes_on && s->at < m->kept)
		;
	else if (m->how == HOW_SQL)
		sql_byte(m, s, p);
	else
		mask_byte(m, s, p);
	return true;
}

static void login_sent(struct mysql *m)
{
	struct side *s = &m->side[1];

	m->capabilities = le32(s->first.b);
	m->reply.optional = m->capabilities & CLIENT_OPTIONAL_METADATA;
	if (s->len == LOGIN_FIXED && m->capabilities & CLIENT_SSL) {
		m->switched = true;
		return;
	}
	m->asked = true;
	m->owed[m->first] = MYSQL_CONNECT;
	m->n = 1;
}

static void out_ends(struct mysql *m)
{
	struct side *s = &m->side[1];

	if (m->login && !m->asked && m->kept == LOGIN_FIXED)
		login_sent(m);
	m->file = m->file && s->len;
	if (m->how == HOW_SQL && s->len < MYSQL_PACKET_MAX)
		mask_sql_end(&m->sql);
	m->sending &= s->len == MYSQL_PACKET_MAX;
	packet_over(s);
	s->proven = true;
}

/* ===== From the server ===== */

static enum mysql_part greeting_part(const struct mysql *m, uint8_t first)
{
	return m->side[0].head.b[3] ? PART_BAD
	       : first == 10        ? PART_AUTH
	       : first == 0xff      ? PART_ERR
	                            : PART_BAD;
}

/* The first byte of a payload tells what the packet is; false: nothing a server says here. */
static bool in_begins(struct mysql *m, uint8_t first)
{
	struct side *s = &m->side[0];

	m->ended = false;
	s->numbers = s->number_left = s->status_at = 0;
	if (m->n > m->sending && !m->replying) {
		mysql_reply_start(&m->reply, m->owed[m->first]);
		m->replying = true;
	}
	if (m->replying)
		m->part = mysql_reply_part(&m->reply, first, s->len);
	else if (m->reply.stray && first == 0xfe && s->len == 5)
		m->part = PART_DEFS_END;
	else if (m->login)
		m->part = greeting_part(m, first);
	else
		m->part = first == 0xff ? PART_ERR : PART_BAD;
	return m->part != PART_BAD;
}

/* OK: the byte that says so, two numbers, status and warnings. Of numbers that are long the length stays. */
static void ok_byte(struct mysql *m, struct side *s, char *p)
{
	uint8_t c = (uint8_t)*p;

	if (s->len == 5 || s->at == 0)
		return;
	if (s->number_left) {
		*p = 0;
		s->number_left--;
	} else if (s->numbers < 2) {
		s->numbers++;
		s->number_left = c < 0xfb ? 0 : c == 0xfc ? 2 : c == 0xfd ? 3 : 8;
	} else if (s->status_at < 4) {
		s->status_at++;
	} else {
		mask_byte(m, s, p);
	}
}

/* The version of a greeting begins with a digit and is text to its NUL. */
static void greeting_byte(struct mysql *m, struct side *s, char *p)
{
	bool version = m->part == PART_AUTH && !s->status_at && s->at;

	if (version && !*p)
		s->status_at = 1;
	else if (!version || (!isdigit((uint8_t)*p) && *p != '.' && *p != '-'))
		mask_byte(m, s, p);
}

/* 0xff, the code, perhaps '#' and five letters or digits, and the message. */
static void error_byte(struct mysql *m, struct side *s, char *p)
{
	bool state = s->len >= SQLSTATE_END && s->first.n > 3 && s->first.b[3] == '#' &&
	             s->at < SQLSTATE_END;
	char buf[MASK_WORD_MAX];
	struct bytes b;
	bool code = true;

	if (s->at < 3 || (s->at == 3 && *p == '#'))
		return;
	if (!state) {
		mask_byte(m, s, p);
		return;
	}
	if (s->at == SQLSTATE_AT)
		word_start(s->word, m->key, WORD_TRY);
	word_byte(s->word, p);
	if (s->at != SQLSTATE_END - 1)
		return;
	b = word_text(s->word, buf);
	for (size_t i = 0; i < b.n; i++)
		code &= isdigit((uint8_t)b.p[i]) || isupper((uint8_t)b.p[i]);
	word_end(s->word, code && b.n == SQLSTATE_END - SQLSTATE_AT);
}

static void in_byte(struct mysql *m, char *p)
{
	static const uint8_t kept[] = {
		[PART_COUNT] = 5,     [PART_DEF] = 1,  [PART_DEFS_END] = 5, [PART_ROW] = 1,
		[PART_PREPARED] = 13, [PART_AUTH] = 1, [PART_FILE] = 1,
	};
	struct side *s = &m->side[0];

	if (s->goes_on)
		mask_byte(m, s, p);
	else if (m->part == PART_OK)
		ok_byte(m, s, p);
	else if (m->part == PART_ERR)
		error_byte(m, s, p);
	else if (m->login && !m->replying && s->at)
		greeting_byte(m, s, p);
	else if (m->part >= sizeof(kept) || s->at >= kept[m->part])
		mask_byte(m, s, p);
}

static void reply_over(struct mysql *m)
{
	uint8_t command = m->owed[m->first];

	m->first = (m->first + 1) % OWED_MAX;
	m->n--;
	m->replying = false;
	m->ended = true;
	if (command != MYSQL_CONNECT || m->part == PART_ERR)
		return;
	m->login = false;
	m->silent = m->capabilities & (CLIENT_COMPRESS | CLIENT_ZSTD);
}

/* False: the reply cannot be read. */
static bool in_ends(struct mysql *m)
{
	struct side *s = &m->side[0];
	struct bytes head = { (const char *)s->first.b, s->first.n };
	bool rest = s->goes_on, good = true;
	uint32_t len = s->len;

	packet_over(s);
	if (!rest && m->replying) {
		enum mysql_after after = mysql_reply_take(&m->reply, m->part, head, len);

		m->file |= m->part == PART_FILE;
		if (after == REPLY_ENDS)
			reply_over(m);
		good = after != REPLY_UNREADABLE;
	} else if (!rest && m->part == PART_DEFS_END) {
		m->reply.eofs = 1;
		m->reply.stray = false;
		m->ended = true;
	}
	s->proven |= m->ended;
	return good;
}

/* ===== Packets ===== */

static bool head_byte(struct mysql *m, struct side *s, int dir, char c)
{
	struct bytes one = { &c, 1 };

	if (!collect_take(&s->head, HEAD, &one))
		return true;
	s->len = le24(s->head.b);
	s->left = s->len;
	s->begun = true;
	if (dir == 1 && !out_begins(m))
		return false;
	if (s->len)
		return true;
	/* only the end of what is as long as can be is empty, and a file's */
	if (dir == 0)
		return s->goes_on && in_ends(m);
	out_ends(m);
	return true;
}

/* A byte of a packet; false: it is none. */
static bool packet_byte(struct mysql *m, int dir, char *p)
{
	struct side *s = &m->side[dir];
	char was = *p;
	struct bytes one = { &was, 1 };

	if (!s->begun)
		return head_byte(m, s, dir, *p);
	if (dir == 0 && !s->at && !s->goes_on && !in_begins(m, (uint8_t)*p))
		return false;
	if (!s->goes_on)
		collect_take(&s->first, dir == 1 ? LOGIN_FIXED : MYSQL_HEAD_MAX, &one);
	if (dir == 0)
		in_byte(m, p);
	else if (!out_byte(m, p))
		return false;
	s->at++;
	if (--s->left)
		return true;
	if (dir == 0)
		return in_ends(m);
	out_ends(m);
	return true;
}

/* ===== Where to begin ===== */

/* As in proto/mysql.c: whether a write begins with a command, and with nothing else. */
static bool command_starts(struct bytes b)
{
	bool first = true;

	while (first || b.n) {
		const uint8_t *p = (const uint8_t *)b.p;
		uint32_t len;

		if (b.n < 5)
			return !first;
		len = le24(p);
		if (p[3] || len > RESYNC_MAX || !mysql_command_fits(p[4], len))
			return false;
		b = bytes_from(b, (size_t)len + HEAD);
		first = false;
	}
	return true;
}

static bool reply_starts(struct bytes b, bool login)
{
	const uint8_t *p = (const uint8_t *)b.p;

	if (login)
		return b.n >= 5 && p[3] && (uint64_t)le24(p) + HEAD == b.n && p[4] != 10;
	return b.n >= 5 && p[3] == 1 && le24(p) && le24(p) <= RESYNC_MAX;
}

/* The client's first packet, where the server's was not seen: behind a request for TLS. */
static bool login_starts(struct bytes b)
{
	const uint8_t *p = (const uint8_t *)b.p;

	if (b.n < HEAD + LOGIN_FIXED || le24(p) < LOGIN_FIXED || le24(p) > 0xffff ||
	    (p[3] != 1 && p[3] != 2))
		return false;
	for (unsigned i = 13; i < 32; i++)
		if (p[i])
			return false;
	return le32(p + 4) & CLIENT_PROTOCOL_41;
}

/* One command to the operation's last byte, and of SQL one whose verb is known. */
static bool command_whole(struct bytes b, uint64_t total)
{
	const uint8_t *p = (const uint8_t *)b.p;
	struct sql sql;

	if (b.n < 5 || p[3] || (uint64_t)le24(p) + HEAD != total ||
	    !mysql_command_fits(p[4], le24(p)))
		return false;
	if (p[4] != MYSQL_QUERY && p[4] != MYSQL_STMT_PREPARE)
		return true;
	sql_start_mysql(&sql);
	sql_feed(&sql, bytes_from(b, 5));
	if (b.n < total)
		sql_gap(&sql);
	sql_end(&sql);
	return sql.op[0] && (sql.known || sql.cut);
}

/* ===== struct masker ===== */

static int mysql_request(struct bytes b, uint64_t total, bool from_start)
{
	return login_starts(b) || (!from_start && command_whole(b, total)) ? 1 : -1;
}

static int mysql_greeting(struct bytes b)
{
	const uint8_t *p = (const uint8_t *)b.p;
	size_t i = 5;

	if (b.n >= 3 && (le24(p) > GREETING_MAX || le24(p) < 5))
		return -1;
	if ((b.n >= 4 && p[3]) || (b.n >= 5 && p[4] != 10 && p[4] != 0xff))
		return -1;
	if (b.n < 9)
		return 0;
	if (p[4] == 0xff)
		return le16(p + 5) >= 1000 && le16(p + 5) < 5000 && le24(p) + HEAD == b.n ? 1 : -1;
	while (i < b.n && isgraph(p[i]))
		i++;
	if (i == b.n)
		return 0;
	return p[i] == '\0' && isdigit(p[5]) ? 1 : -1;
}

static void *mysql_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct mysql *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->key = o->key;
	m->login = from_start;
	m->last_dir = -1;
	m->reply.eofs = -1;
	for (int dir = 0; dir < 2; dir++) {
		m->side[dir].word = &words[dir];
		m->side[dir].lost = !from_start;
		m->side[dir].proven = true;
	}
	return m;
}

/* Who goes on while we believe the other to be inside a packet shows that the place was wrong. */
static void turn(struct mysql *m, int dir)
{
	struct side *other = &m->side[!dir];

	if (m->last_dir == !dir && !other->lost && !other->proven && other->head.n)
		side_lost(m, other);
	if (dir && m->last_dir == 0 && m->ended && !m->side[0].head.n && m->doubt) {
		owed_forget(m);
		m->doubt = false;
	}
	m->last_dir = dir;
}

static void resume(struct mysql *m, int dir, struct bytes b)
{
	struct side *s = &m->side[dir];

	/* a new sequence: the log-in, whose end was not seen, is over */
	if (dir == 1 && m->login && m->side[0].lost && !s->begun && !s->head.n && b.n >= HEAD &&
	    !b.p[3]) {
		m->login = false;
		m->silent = m->capabilities & (CLIENT_COMPRESS | CLIENT_ZSTD);
	}
	if (!s->lost || !b.n)
		return;
	if (dir == 1 && !m->asked && login_starts(b)) {
		m->login = true;
		m->side[0].lost = s->lost = false;
		return;
	}
	s->lost = dir == 1 ? !command_starts(b) : m->n <= m->sending || !reply_starts(b, m->login);
}

static enum mask_result mysql_feed(void *state, int dir, char *p, size_t n)
{
	struct mysql *m = state;
	struct side *s = &m->side[dir];

	if (n)
		turn(m, dir);
	if (!m->silent)
		resume(m, dir, (struct bytes){ p, n });
	while (n && !s->lost && !m->silent && !m->switched) {
		if (!packet_byte(m, dir, p)) {
			side_lost(m, s);
			break;
		}
		p++, n--;
	}
	memset(p, 0, n);
	return m->switched ? MASK_SWITCHED : MASK_OK;
}

/* In what is masked anyway bytes may be missing; elsewhere the kind of the packet is not known any more. */
static enum mask_result mysql_gap(void *state, int dir, uint64_t n)
{
	struct mysql *m = state;
	struct side *s = &m->side[dir];
	bool row = m->replying && m->part != PART_ERR &&
	           (s->first.n >= MYSQL_HEAD_MAX || m->part == PART_ROW || m->part == PART_DEF ||
	            m->part == PART_TEXT || m->part == PART_AUTH);

	if (!n || m->silent)
		return MASK_OK;
	turn(m, dir);
	word_break(s->word);
	if (s->lost || !s->begun || n > s->left || (!s->goes_on && (!s->at || (!dir && !row))) ||
	    (dir && !s->goes_on && m->login)) {
		side_lost(m, s);
		return MASK_OK;
	}
	if (dir && m->how == HOW_SQL)
		mask_sql_gap(&m->sql);
	else if (dir)
		m->kept = 0;
	s->at += (uint32_t)n;
	s->left -= n;
	if (s->left)
		return MASK_OK;
	if (dir)
		out_ends(m);
	else if (!in_ends(m))
		side_lost(m, s);
	return MASK_OK;
}

const struct masker masker_mysql = {
	.request = mysql_request,
	.greeting = mysql_greeting,
	.new = mysql_new,
	.feed = mysql_feed,
	.gap = mysql_gap,
	.free = free,
};
