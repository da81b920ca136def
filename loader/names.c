/* SPDX-License-Identifier: BSD-2-Clause */
/* Searches texts that hold secrets, and takes no more than it must. */
#include "names.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/layer.h"
#include "procfs.h"
#include "record.h"

#define BLOCK_MAX 262144 /* of an environment; most have some KB */
#define HOSTS_MAX 65536  /* of a hosts file */

static const struct {
	const char *scheme;
	uint16_t port; /* 0: none of its own */
} schemes[] = {
	{ "http", 80 },         { "https", 443 },
	{ "ws", 80 },           { "wss", 443 },
	{ "redis", 6379 },      { "rediss", 6379 },
	{ "valkey", 6379 },     { "valkeys", 6379 },
	{ "postgres", 5432 },   { "postgresql", 5432 },
	{ "bolt", 7687 },       { "bolt+s", 7687 },
	{ "bolt+ssc", 7687 },   { "neo4j", 7687 },
	{ "neo4j+s", 7687 },    { "neo4j+ssc", 7687 },
	{ "mongodb", 27017 },   { "mysql", 3306 },
	{ "mariadb", 3306 },    { "amqp", 5672 },
	{ "amqps", 5671 },      { "nats", 4222 },
	{ "kafka", 9092 },      { "memcached", 11211 },
	{ "clickhouse", 9000 }, { "elasticsearch", 9200 },
	{ "grpc", 0 },          { "grpcs", 443 },
	{ "tcp", 0 },
};

/* What a pair of variables is about, by how they begin; the port where there is no second variable. */
static const struct {
	const char *prefix;
	const char *scheme;
	uint16_t port;
} prefixes[] = {
	{ "PG", "postgres", 5432 },          { "POSTGRES", "postgres", 5432 },
	{ "REDIS", "redis", 6379 },          { "VALKEY", "redis", 6379 },
	{ "QDRANT", "http", 6333 },          { "TYPESENSE", "http", 8108 },
	{ "NEO4J", "bolt", 7687 },           { "MONGO", "mongodb", 27017 },
	{ "MYSQL", "mysql", 3306 },          { "MARIADB", "mysql", 3306 },
	{ "RABBITMQ", "amqp", 5672 },        { "OLLAMA", "http", 11434 },
	{ "WEAVIATE", "http", 8080 },        { "MILVUS", "grpc", 19530 },
	{ "ELASTIC", "http", 9200 },         { "OPENSEARCH", "http", 9200 },
	{ "CHROMA", "http", 8000 },          { "CLICKHOUSE", "clickhouse", 9000 },
	{ "MEMCACHED", "memcached", 11211 },
};

static bool host_char(char c)
{
	return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_';
}

static bool scheme_char(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '-' || c == '.';
}

static int64_t port_parse(const char *p, size_t n)
{
	int64_t port = 0;

	if (n < 1 || n > 5)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)p[i]))
			return -1;
		port = port * 10 + (p[i] - '0');
	}
	return port > 0 && port <= UINT16_MAX ? port : -1;
}

/* "host", "host:port", "[address]:port", and nothing else. The port stays as it is where there is none. */
static bool host_parse(const char *p, size_t n, struct server_name *to)
{
	const char *begin = p, *end = p + n, *stop;
	int64_t port;

	if (n && *p == '[') {
		begin++;
		for (stop = begin;
		     stop < end && (isxdigit((unsigned char)*stop) || *stop == ':' || *stop == '.');
		     stop++)
			;
		if (stop == end || *stop != ']')
			return false;
		p = stop + 1;
	} else {
		for (stop = p; stop < end && host_char(*stop); stop++)
			;
		p = stop;
	}
	if (stop == begin || (size_t)(stop - begin) >= sizeof(to->host))
		return false;
	if (p < end) {
		if (*p != ':')
			return false;
		port = port_parse(p + 1, (size_t)(end - p - 1));
		if (port < 0)
			return false;
		to->port = (uint16_t)port;
	}
	memcpy(to->host, begin, (size_t)(stop - begin));
	to->host[stop - begin] = '\0';
	return true;
}

/* Is the word that ends at end one of the schemes? "postgresql+asyncpg": what stands behind the + is a driver. */
static bool scheme_find(const char *text, const char *end, struct server_name *to)
{
	const char *begin = end, *plus;
	size_t n;

	while (begin > text && scheme_char(begin[-1]) && end - begin < 32)
		begin--;
	plus = memchr(begin, '+', (size_t)(end - begin));
	for (int whole = 1; whole >= 0; whole--) {
		n = (size_t)((whole || !plus ? end : plus) - begin);
		for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
			if (strlen(schemes[i].scheme) == n &&
			    strncasecmp(schemes[i].scheme, begin, n) == 0) {
				strcpy(to->scheme, schemes[i].scheme);
				to->port = schemes[i].port;
				return true;
			}
	}
	return false;
}

/* An authority, and what may still belong to the same URL. An @ behind the authority may stand behind a password with a
 * character that ends one: then what looks like the host may be the user. */
static bool authority_parse(const char *p, const char *stop, const char *word_end,
                            struct server_name *to)
{
	const char *at = memrchr(p, '@', (size_t)(stop - p));

	if (memchr(stop, '@', (size_t)(word_end - stop)))
		return false;
	if (at)
		p = at + 1;
	return host_parse(p, (size_t)(stop - p), to) && to->port;
}

size_t names_url(const char *text, size_t n, struct server_name *to)
{
	const char *end = text + n, *p = text;

	while ((p = memmem(p, (size_t)(end - p), "://", 3))) {
		const char *word_end = p + 3, *stop = p + 3;
		const char *scheme_end = p;

		while (word_end < end && !isspace((unsigned char)*word_end) && *word_end)
			word_end++;
		while (stop < word_end && !strchr("/?#,;|<>\"'`\\(){}", *stop))
			stop++;
		p = stop;
		memset(to, 0, sizeof(*to));
		if (scheme_find(text, scheme_end, to) &&
		    authority_parse(scheme_end + 3, stop, word_end, to))
			return (size_t)(stop - text);
	}
	return 0;
}

struct block {
	const char *text;
	size_t n;
	struct server_name *to;
	size_t max, found;
};

/* The same server once, but for variables that tell layers: what another one says of it may contradict. */
static void block_add(struct block *b, struct server_name *s, const char *variable, size_t n)
{
	char layer = layer_of((struct bytes){ variable, n });

	for (size_t i = 0; i < b->found && i < b->max; i++)
		if (b->to[i].port == s->port && strcmp(b->to[i].host, s->host) == 0 &&
		    (!layer || layer == layer_of(bytes_of(b->to[i].variable))))
			return;
	s->variable[0] = '\0';
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)variable[i]) && variable[i] != '_')
			n = 0;
	if (n < sizeof(s->variable)) {
		memcpy(s->variable, variable, n);
		s->variable[n] = '\0';
	}
	if (b->found < b->max)
		b->to[b->found] = *s;
	b->found++;
}

/* The value of a variable whose name is two parts put together. NULL: there is none. */
static const char *variable_find(const struct block *b, const char *one, size_t one_n,
                                 const char *two, size_t *n)
{
	size_t two_n = strlen(two), len;

	for (const char *p = b->text, *end = b->text + b->n; p < end; p += len + 1) {
		len = strnlen(p, (size_t)(end - p));
		if (len > one_n + two_n && memcmp(p, one, one_n) == 0 &&
		    memcmp(p + one_n, two, two_n) == 0 && p[one_n + two_n] == '=') {
			*n = len - one_n - two_n - 1;
			return p + one_n + two_n + 1;
		}
		if (end - p == (ptrdiff_t)len)
			break;
	}
	return NULL;
}

/* PREFIX_HOST or PREFIXHOST, with its PORT. */
static void pair_take(struct block *b, const char *name, size_t name_n, const char *value,
                      size_t value_n)
{
	struct server_name s = { 0 };
	const char *port;
	size_t n, prefix_n = name_n - 4;
	int64_t number = -1;

	if (name_n < 6 || memcmp(name + prefix_n, "HOST", 4) != 0)
		return;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (prefix_n >= strlen(prefixes[i].prefix) &&
		    memcmp(name, prefixes[i].prefix, strlen(prefixes[i].prefix)) == 0) {
			strcpy(s.scheme, prefixes[i].scheme);
			s.port = prefixes[i].port;
			break;
		}
	port = variable_find(b, name, prefix_n, "PORT", &n);
	if (port)
		number = port_parse(port, n);
	if (number > 0)
		s.port = (uint16_t)number;
	if (host_parse(value, value_n, &s) && s.port)
		block_add(b, &s, name, name_n);
}

static void urls_take(struct block *b, const char *name, size_t name_n, const char *value,
                      size_t value_n)
{
	struct server_name s;
	size_t used;

	while ((used = names_url(value, value_n, &s))) {
		block_add(b, &s, name, name_n);
		value += used;
		value_n -= used;
	}
}

size_t names_block(const char *text, size_t n, bool environment, struct server_name *to, size_t max)
{
	struct block b = { text, n, to, max, 0 };
	size_t len;

	for (const char *p = text, *end = text + n; p < end; p += len + 1) {
		const char *equals;

		len = strnlen(p, (size_t)(end - p));
		equals = environment ? memchr(p, '=', len) : NULL;
		if (equals) {
			size_t name_n = (size_t)(equals - p), value_n = len - name_n - 1;

			urls_take(&b, p, name_n, equals + 1, value_n);
			pair_take(&b, p, name_n, equals + 1, value_n);
		} else {
			urls_take(&b, "", 0, p, len);
		}
		if (end - p == (ptrdiff_t)len)
			break;
	}
	return b.found;
}

/* "address name name # comment": is one of the names this host? */
static bool hosts_line(const char *p, size_t n, const char *host, char address[64])
{
	char line[1024], *save = NULL, *word;

	if (n >= sizeof(line))
		return false;
	memcpy(line, p, n);
	line[n] = '\0';
	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, " \t\r", &save);
	if (!word || strlen(word) >= 64)
		return false;
	strcpy(address, word);
	while ((word = strtok_r(NULL, " \t\r", &save)))
		if (strcasecmp(word, host) == 0)
			return true;
	return false;
}

static int numeric(const char *host, uint8_t addr[16])
{
	memset(addr, 0, 16);
	if (inet_pton(AF_INET, host, addr) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, host, addr) == 1 ? AF_INET6 : 0;
}

int names_address(const char *host, const char *hosts, size_t n, uint8_t addr[16])
{
	int family = numeric(host, addr);

	for (size_t at = 0; !family && at < n;) {
		const char *lf = memchr(hosts + at, '\n', n - at);
		size_t len = lf ? (size_t)(lf - hosts) - at : n - at;
		char address[64];

		if (hosts_line(hosts + at, len, host, address))
			family = numeric(address, addr);
		at += len + 1;
	}
	if (!family && strcasecmp(host, "localhost") == 0)
		family = numeric("127.0.0.1", addr);
	return family;
}

/* ---- of a process ---- */

static void name_emit(uint32_t pid, uint32_t index, const struct server_name *s, const char *hosts,
                      size_t hosts_n, event_fn emit, void *ctx)
{
	struct record room;
	struct ev_name *e = record_begin(&room, EV_NAME, sizeof(*e), pid, pid);

	e->index = index;
	e->port = s->port;
	e->family = (uint8_t)names_address(s->host, hosts, hosts_n, e->addr);
	record_add_word(&e->h, s->host);
	record_add_word(&e->h, s->scheme);
	record_add(&e->h, s->variable, strlen(s->variable));
	emit(ctx, &e->h);
}

void names_take(uint32_t pid, event_fn emit, void *ctx)
{
	static struct server_name names[NAMES_MAX];
	struct record room;
	char *text = malloc(BLOCK_MAX);
	size_t found = 0;
	ssize_t n = text ? procfs_read(pid, "environ", text, BLOCK_MAX) : -1;

	if (n > 0)
		found = names_block(text, (size_t)n, true, names, NAMES_MAX);
	n = text && found < NAMES_MAX ? procfs_read(pid, "cmdline", text, BLOCK_MAX) : -1;
	if (n > 0)
		found += names_block(text, (size_t)n, false, names + found, NAMES_MAX - found);
	n = text && found ? procfs_read_inside(pid, "/etc/hosts", text, HOSTS_MAX) : -1;
	for (size_t i = 0; i < found && i < NAMES_MAX; i++)
		name_emit(pid, (uint32_t)i, &names[i], text, n > 0 ? (size_t)n : 0, emit, ctx);
	if (found > NAMES_MAX)
		emit(ctx, record_missing(&room, pid, "names",
		                         "it is configured with more servers than are listed"));
	free(text);
}
