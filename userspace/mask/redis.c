/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks RESP2 and RESP3 (redis.io, protocol specification): types, lengths, integers, command names, options and the code of an
 * error stay; keys, values and all other text are masked.
 */
#include "mask/mask.h"

#include <ctype.h>
#include <stdlib.h>

#define LENGTH_MAX (512u << 20) /* proto-max-bulk-len of a server */
#define NUMBER_MAX 32           /* digits of an integer or double */

enum redis_at { AT_TYPE, AT_LINE, AT_BULK, AT_CR, AT_LF };

struct side {
	enum redis_at at;
	bool lost; /* waits for bytes that begin with a request, or are the reply to one */
	char type;
	bool inline_command, container, error_code;
	uint64_t number, left; /* of the line; of the bulk string */
	unsigned digits;
	bool negative;
	uint64_t items; /* of the request still to come */
	unsigned index; /* of the item in its command or reply */
	struct mask_word *word;
};

struct redis {
	const uint8_t *key;
	struct side side[2];
	bool asked; /* a request was seen since replies were lost */
};

/* ===== Words ===== */

/* clang-format off */
static const char *const commands[] = {
	"ACL", "APPEND", "ASKING", "AUTH", "BGREWRITEAOF", "BGSAVE", "BITCOUNT", "BITFIELD",
	"BITFIELD_RO", "BITOP", "BITPOS", "BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH",
	"BZMPOP", "BZPOPMAX", "BZPOPMIN", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "COPY",
	"DBSIZE", "DEBUG", "DECR", "DECRBY", "DEL", "DISCARD", "DUMP", "ECHO", "EVAL", "EVALSHA",
	"EVALSHA_RO", "EVAL_RO", "EXEC", "EXISTS", "EXPIRE", "EXPIREAT", "EXPIRETIME",
	"FAILOVER", "FCALL", "FCALL_RO", "FLUSHALL", "FLUSHDB", "FUNCTION", "GEOADD", "GEODIST",
	"GEOHASH", "GEOPOS", "GEORADIUS", "GEORADIUSBYMEMBER", "GEOSEARCH", "GEOSEARCHSTORE",
	"GET", "GETBIT", "GETDEL", "GETEX", "GETRANGE", "GETSET", "HDEL", "HELLO", "HEXISTS",
	"HEXPIRE", "HGET", "HGETALL", "HGETDEL", "HGETEX", "HINCRBY", "HINCRBYFLOAT", "HKEYS",
	"HLEN", "HMGET", "HMSET", "HPEXPIRE", "HPERSIST", "HPTTL", "HRANDFIELD", "HSCAN", "HSET",
	"HSETEX", "HSETNX", "HSTRLEN", "HTTL", "HVALS", "INCR", "INCRBY", "INCRBYFLOAT", "INFO",
	"KEYS", "LASTSAVE", "LATENCY", "LCS", "LINDEX", "LINSERT", "LLEN", "LMOVE", "LMPOP",
	"LOLWUT", "LPOP", "LPOS", "LPUSH", "LPUSHX", "LRANGE", "LREM", "LSET", "LTRIM", "MEMORY",
	"MGET", "MIGRATE", "MODULE", "MONITOR", "MOVE", "MSET", "MSETNX", "MULTI", "OBJECT",
	"PERSIST", "PEXPIRE", "PEXPIREAT", "PEXPIRETIME", "PFADD", "PFCOUNT", "PFMERGE", "PING",
	"PSETEX", "PSUBSCRIBE", "PSYNC", "PTTL", "PUBLISH", "PUBSUB", "PUNSUBSCRIBE", "QUIT",
	"RANDOMKEY", "READONLY", "READWRITE", "RENAME", "RENAMENX", "REPLCONF", "REPLICAOF",
	"RESET", "RESTORE", "ROLE", "RPOP", "RPOPLPUSH", "RPUSH", "RPUSHX", "SADD", "SAVE",
	"SCAN", "SCARD", "SCRIPT", "SDIFF", "SDIFFSTORE", "SELECT", "SET", "SETBIT", "SETEX",
	"SETNX", "SETRANGE", "SHUTDOWN", "SINTER", "SINTERCARD", "SINTERSTORE", "SISMEMBER",
	"SLAVEOF", "SLOWLOG", "SMEMBERS", "SMISMEMBER", "SMOVE", "SORT", "SORT_RO", "SPOP",
	"SPUBLISH", "SRANDMEMBER", "SREM", "SSCAN", "SSUBSCRIBE", "STRLEN", "SUBSCRIBE",
	"SUBSTR", "SUNION", "SUNIONSTORE", "SUNSUBSCRIBE", "SWAPDB", "SYNC", "TIME", "TOUCH",
	"TTL", "TYPE", "UNLINK", "UNSUBSCRIBE", "UNWATCH", "VADD", "VCARD", "VDIM", "VEMB",
	"VGETATTR", "VINFO", "VREM", "VSETATTR", "VSIM", "WAIT", "WAITAOF", "WATCH", "XACK",
	"XADD", "XAUTOCLAIM", "XCLAIM", "XDEL", "XGROUP", "XINFO", "XLEN", "XPENDING", "XRANGE",
	"XREAD", "XREADGROUP", "XREVRANGE", "XSETID", "XTRIM", "ZADD", "ZCARD", "ZCOUNT",
	"ZDIFF", "ZDIFFSTORE", "ZINCRBY", "ZINTER", "ZINTERCARD", "ZINTERSTORE", "ZLEXCOUNT",
	"ZMPOP", "ZMSCORE", "ZPOPMAX", "ZPOPMIN", "ZRANDMEMBER", "ZRANGE", "ZRANGEBYLEX",
	"ZRANGEBYSCORE", "ZRANGESTORE", "ZRANK", "ZREM", "ZREMRANGEBYLEX", "ZREMRANGEBYRANK",
	"ZREMRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYLEX", "ZREVRANGEBYSCORE", "ZREVRANK",
	"ZSCAN", "ZSCORE", "ZUNION", "ZUNIONSTORE", "BF.ADD", "BF.EXISTS", "BF.MADD",
	"BF.MEXISTS", "BF.RESERVE", "CF.ADD", "CF.EXISTS", "FT._LIST", "FT.AGGREGATE",
	"FT.ALIASADD", "FT.ALTER", "FT.CONFIG", "FT.CREATE", "FT.CURSOR", "FT.DROPINDEX",
	"FT.EXPLAIN", "FT.HYBRID", "FT.INFO", "FT.PROFILE", "FT.SEARCH", "FT.SUGADD",
	"FT.SUGGET", "FT.TAGVALS", "JSON.ARRAPPEND", "JSON.ARRLEN", "JSON.CLEAR", "JSON.DEL",
	"JSON.GET", "JSON.MERGE", "JSON.MGET", "JSON.MSET", "JSON.NUMINCRBY", "JSON.OBJKEYS",
	"JSON.SET", "JSON.STRAPPEND", "JSON.TYPE", "TS.ADD", "TS.CREATE", "TS.GET", "TS.MADD",
	"TS.MRANGE", "TS.RANGE", "GRAPH.QUERY", NULL,
};
/* clang-format on */

/* clang-format off */
static const char *const containers[] = {
	"ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY",
	"MEMORY", "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO",
	"FT.CONFIG", "FT.CURSOR", NULL,
};
/* clang-format on */

/* clang-format off */
static const char *const subcommands[] = {
	"CAT", "CHANNELS", "CONSUMERS", "COUNT", "CREATE", "CREATECONSUMER", "DEL",
	"DELCONSUMER", "DELETE", "DESTROY", "DOCS", "DOCTOR", "ENCODING", "EXISTS", "FLUSH",
	"FREQ", "GET", "GETNAME", "GETREDIR", "GETUSER", "GROUPS", "HELP", "HISTORY", "ID",
	"IDLETIME", "INFO", "KEYSLOT", "KILL", "LATEST", "LEN", "LIST", "LOAD", "LOG", "MYID",
	"NO-EVICT", "NO-TOUCH", "NODES", "NUMPAT", "NUMSUB", "PAUSE", "READ", "REFCOUNT",
	"REPLY", "RESET", "RESETSTAT", "REWRITE", "SET", "SETID", "SETINFO", "SETNAME", "SHARDS",
	"SHARDCHANNELS", "SLEEP", "SLOTS", "STATS", "STREAM", "TRACKING", "TRACKINGINFO",
	"UNBLOCK", "UNPAUSE", "USAGE", "WHOAMI", NULL,
};
/* clang-format on */

/* clang-format off */
static const char *const options[] = {
	"AFTER", "ASC", "BEFORE", "BLOCK", "BY", "BYLEX", "BYSCORE", "CH", "COUNT", "DESC", "EX",
	"EXAT", "FIELDS", "GROUP", "GT", "KEEPTTL", "LEFT", "LIB-NAME", "LIB-VER", "LIMIT", "LT",
	"MATCH", "MAX", "MAXLEN", "MIN", "MINID", "MKSTREAM", "NOACK", "NOMKSTREAM", "NX", "OFF",
	"ON", "PERSIST", "PX", "PXAT", "REPLACE", "REV", "RIGHT", "STREAMS", "SYNC", "ASYNC",
	"WITHSCORES", "WITHVALUES", "XX", NULL,
};
/* clang-format on */

static const char *const statuses[] = {
	"OK", "QUEUED", "PONG", "RESET", "CONTINUE", "NOKEY", NULL
};

/* First items of what a server pushes. */
static const char *const pushes[] = {
	"message",     "pmessage",     "smessage",     "subscribe",  "psubscribe", "ssubscribe",
	"unsubscribe", "punsubscribe", "sunsubscribe", "invalidate", "pong",       NULL,
};

static bool argument_kept(struct side *s, struct bytes word)
{
	if (s->index == 0) {
		s->container = mask_listed(containers, word);
		return mask_listed(commands, word);
	}
	return mask_listed(options, word) ||
	       (s->index == 1 && s->container && mask_listed(subcommands, word));
}

static bool is_code(struct bytes word)
{
	for (size_t i = 0; i < word.n; i++)
		if (!isupper((uint8_t)word.p[i]))
			return false;
	return word.n > 0;
}

/* ===== Lines ===== */

static bool counts_bytes(char type)
{
	return type == '$' || type == '!' || type == '=';
}

static bool counts_items(char type)
{
	return type && strchr("*%~>|", type);
}

static void type_start(struct side *s, char type)
{
	s->type = type;
	s->number = s->digits = 0;
	s->negative = false;
	s->at = AT_LINE;
}

static bool type_byte(struct redis *r, struct side *s, int dir, char *p)
{
	bool request = dir == 1;

	s->inline_command = false;
	if (request && s->items == 0 && isalpha((uint8_t)*p)) {
		s->inline_command = true;
		s->index = 0;
		type_start(s, ' ');
		word_start(s->word, r->key, WORD_TRY);
		word_byte(s->word, p);
		return true;
	}
	if (request ? *p != (s->items ? '$' : '*') : !strchr("+-:$*_#,(!=%~>|", *p) || !*p)
		return false;
	type_start(s, *p);
	s->error_code = *p == '-';
	if (*p == '+' || *p == '-')
		word_start(s->word, r->key, WORD_TRY);
	return true;
}

static bool number_byte(struct side *s, char c)
{
	static const struct {
		char type;
		const char *others;
	} allowed[] = {
		{ ':', "+-" }, { '(', "+-" }, { ',', "+-.eEinfa" }, { '#', "tf" }, { '_', "" }
	};

	if (++s->digits > NUMBER_MAX)
		return false;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
		if (s->type == allowed[i].type)
			return isdigit((uint8_t)c) || (c && strchr(allowed[i].others, c));
	if (c == '-' && s->digits == 1) {
		s->negative = true;
		return true;
	}
	s->number = s->number * 10 + (uint64_t)(c - '0');
	return isdigit((uint8_t)c) && s->number <= LENGTH_MAX;
}

static void text_byte(struct redis *r, struct side *s, char *p)
{
	char buf[MASK_WORD_MAX];

	if (s->inline_command && (*p == ' ' || *p == '\t')) {
		word_end(s->word, argument_kept(s, word_text(s->word, buf)));
		s->index++;
		word_start(s->word, r->key, WORD_TRY);
	} else if (s->error_code && *p == ' ') {
		word_end(s->word, is_code(word_text(s->word, buf)));
		word_start(s->word, r->key, WORD_MASK);
		s->error_code = false;
	} else {
		word_byte(s->word, p);
	}
}

static void text_end(struct side *s)
{
	char buf[MASK_WORD_MAX];
	struct bytes word = word_text(s->word, buf);

	if (s->inline_command)
		word_end(s->word, argument_kept(s, word));
	else if (s->type == '-')
		word_end(s->word, s->error_code && is_code(word));
	else
		word_end(s->word, mask_listed(statuses, word));
}

static bool line_byte(struct redis *r, struct side *s, char *p)
{
	bool text = s->type == '+' || s->type == '-' || s->inline_command;

	if (*p == '\r') {
		if (text)
			text_end(s);
		s->at = AT_LF;
		return true;
	}
	if (!text)
		return number_byte(s, *p);
	if (*p == '\n')
		return false;
	text_byte(r, s, p);
	return true;
}

static void item_end(struct side *s, int dir)
{
	s->at = AT_TYPE;
	s->index++;
	if (dir == 1 && s->items)
		s->items--;
}

/* The line that ended with LF told how many bytes or items follow. */
static void line_end(struct redis *r, struct side *s, int dir)
{
	s->at = AT_TYPE;
	if (counts_items(s->type)) {
		s->index = 0;
		s->items = dir == 1 && !s->negative ? s->number : 0;
		return;
	}
	if (counts_bytes(s->type) && !s->negative) {
		s->at = s->number ? AT_BULK : AT_CR;
		s->left = s->number;
		s->error_code = s->type == '!';
		word_start(s->word, r->key,
		           s->number <= MASK_WORD_MAX || s->error_code ? WORD_TRY : WORD_MASK);
	} else {
		item_end(s, dir);
	}
}

/* ===== Bulk strings ===== */

static void bulk_end(struct side *s, int dir)
{
	char buf[MASK_WORD_MAX];
	struct bytes word = word_text(s->word, buf);

	if (dir == 1)
		word_end(s->word, argument_kept(s, word));
	else
		word_end(s->word, s->type == '!' ? s->error_code && is_code(word)
		                                 : s->index == 0 && mask_listed(pushes, word));
	s->at = AT_CR;
}

static bool redis_byte(struct redis *r, struct side *s, int dir, char *p)
{
	switch (s->at) {
	case AT_TYPE:
		return type_byte(r, s, dir, p);
	case AT_LINE:
		return line_byte(r, s, p);
	case AT_BULK:
		text_byte(r, s, p);
		if (--s->left == 0)
			bulk_end(s, dir);
		return true;
	case AT_CR:
		s->at = AT_LF;
		s->type = 0; /* the LF that follows ends an item */
		return *p == '\r';
	case AT_LF:
		if (*p != '\n')
			return false;
		if (s->type)
			line_end(r, s, dir);
		else
			item_end(s, dir);
		return true;
	}
	return false;
}

/* ===== struct masker ===== */

/* "*2\r\n$3\r\n", or an inline command when nothing came before it. */
static int redis_request(struct bytes b, uint64_t total, bool from_start)
{
	static const char *const form = "*0\r\n$0\r\n"; /* 0: one to seven digits */
	size_t i = 0, digits;
	const char *f;

	(void)total;
	if (from_start && b.n && isalpha((uint8_t)*b.p)) {
		while (i < b.n && i < 24 && !isspace((uint8_t)b.p[i]))
			i++;
		if (i == b.n && i < 24)
			return 0;
		if (!mask_listed(commands, (struct bytes){ b.p, i }))
			return -1;
		while (i < b.n && b.p[i] != '\r')
			i++;
		return i + 1 >= b.n ? 0 : b.p[i + 1] == '\n' ? 1 : -1;
	}
	for (f = form; *f && i < b.n; f++) {
		if (*f != '0') {
			if (b.p[i++] != *f)
				return -1;
			continue;
		}
		for (digits = 0; i < b.n && isdigit((uint8_t)b.p[i]); digits++)
			i++;
		if ((digits == 0 && i < b.n) || digits > 7)
			return -1;
	}
	return !*f;
}

static void *redis_new(struct mask_owner *o, struct mask_word *words, bool from_start)
{
	struct redis *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->key = o->key;
	r->side[0].word = &words[0];
	r->side[1].word = &words[1];
	r->side[0].lost = !from_start;
	return r;
}

static void side_lost(struct redis *r, struct side *s)
{
	struct mask_word *word = s->word;

	word_end(word, false);
	*s = (struct side){ .lost = true, .word = word };
	if (s == &r->side[0])
		r->asked = false;
}

static bool resumes(const struct redis *r, int dir, struct bytes b)
{
	return dir == 1 ? redis_request(b, b.n, false) == 1 : r->asked;
}

static enum mask_result redis_feed(void *m, int dir, char *p, size_t n)
{
	struct redis *r = m;
	struct side *s = &r->side[dir];
	size_t i = 0;

	if (s->lost && n && resumes(r, dir, (struct bytes){ p, n }))
		s->lost = false;
	while (i < n && !s->lost) {
		if (redis_byte(r, s, dir, p + i))
			i++;
		else
			side_lost(r, s);
	}
	memset(p + i, 0, n - i);
	r->asked |= dir == 1 && !s->lost;
	return MASK_OK;
}

/* In a string it does not matter what was in it; where it ended with the gap, the next item begins. */
static enum mask_result redis_gap(void *m, int dir, uint64_t n)
{
	struct redis *r = m;
	struct side *s = &r->side[dir];

	word_break(s->word);
	if (s->at != AT_BULK || n > s->left + 2) {
		side_lost(r, s);
		return MASK_OK;
	}
	if (n < s->left) {
		s->left -= n;
		return MASK_OK;
	}
	n -= s->left;
	bulk_end(s, dir);
	if (n) {
		s->at = AT_LF;
		s->type = 0;
	}
	if (n == 2)
		item_end(s, dir);
	return MASK_OK;
}

const struct masker masker_redis = {
	.request = redis_request,
	.new = redis_new,
	.feed = redis_feed,
	.gap = redis_gap,
	.free = free,
};
