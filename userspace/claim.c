/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which library, URL, scheme or variable stands for which server: tables, and what is read with them.
 * The text comes from the target: nothing of it is believed beyond its bounds.
 */
#include "claim.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "llm/llm.h"
#include "llm/path.h"

/* ---- Names of libraries, schemes and variables ---- */

/*
 * Below a directory of installed packages: a project may well have folders of these names. http: it
 * speaks through an HTTP client, so what that was asked for is its request. CALL_OTHER: an HTTP client,
 * says nothing of the server.
 */
static const struct package {
	const char *path;
	enum call_class class;
	const char *name; /* provider, or system; NULL unknown */
	bool http;
} packages[] = {
	{ "openai/", CALL_LLM, "openai", true },
	{ "anthropic/", CALL_LLM, "anthropic", true },
	{ "google/genai/", CALL_LLM, "gemini", true },
	{ "google/generativeai/", CALL_LLM, "gemini", true },
	{ "google/ai/generativelanguage", CALL_LLM, "gemini", true },
	{ "litellm/", CALL_LLM, NULL, true },
	{ "mistralai/", CALL_LLM, "mistral", true },
	{ "cohere/", CALL_LLM, "cohere", true },
	{ "groq/", CALL_LLM, "groq", true },
	{ "ollama/", CALL_LLM, "ollama", true },
	{ "together/", CALL_LLM, "together", true },
	{ "huggingface_hub/inference/", CALL_LLM, "huggingface", true },
	{ "redis/", CALL_STORAGE, "redis", false },
	{ "psycopg/", CALL_STORAGE, "postgres", false },
	{ "psycopg2/", CALL_STORAGE, "postgres", false },
	{ "psycopg_pool/", CALL_STORAGE, "postgres", false },
	{ "asyncpg/", CALL_STORAGE, "postgres", false },
	{ "pg8000/", CALL_STORAGE, "postgres", false },
	{ "sqlalchemy/", CALL_STORAGE, NULL, false },
	{ "pymongo/", CALL_STORAGE, "mongodb", false },
	{ "motor/", CALL_STORAGE, "mongodb", false },
	{ "neo4j/", CALL_STORAGE, "neo4j", false },
	{ "qdrant_client/", CALL_STORAGE, "qdrant", true },
	{ "typesense/", CALL_STORAGE, "typesense", true },
	{ "weaviate/", CALL_STORAGE, "weaviate", true },
	{ "chromadb/", CALL_STORAGE, "chroma", true },
	{ "elasticsearch/", CALL_STORAGE, "elasticsearch", true },
	{ "elastic_transport/", CALL_STORAGE, "elasticsearch", true },
	{ "opensearchpy/", CALL_STORAGE, "opensearch", true },
	{ "meilisearch/", CALL_STORAGE, "meilisearch", true },
	{ "meilisearch_python_sdk/", CALL_STORAGE, "meilisearch", true },
	{ "pymilvus/", CALL_STORAGE, "milvus", true },
	{ "MySQLdb/", CALL_STORAGE, "mysql", false },
	{ "pymysql/", CALL_STORAGE, "mysql", false },
	{ "aiomysql/", CALL_STORAGE, "mysql", false },
	{ "memcache.py", CALL_STORAGE, "memcached", false },
	{ "pymemcache/", CALL_STORAGE, "memcached", false },
	{ "httpx/", CALL_OTHER, NULL, true },
	{ "httpcore/", CALL_OTHER, NULL, true },
	{ "requests/", CALL_OTHER, NULL, true },
	{ "urllib3/", CALL_OTHER, NULL, true },
	{ "aiohttp/", CALL_OTHER, NULL, true },
};

/* The standard library's HTTP clients, by the end of their path. */
static const char *const http_files[] = { "/http/client.py", "/urllib/request.py" };

/* Native client libraries, by the beginning of the file's name (wheels put a hash behind it). */
static const struct {
	const char *file, *system;
} natives[] = {
	{ "libpq.so", "postgres" },      { "libpq-", "postgres" },  { "libmysqlclient", "mysql" },
	{ "libmariadb", "mysql" },       { "libhiredis", "redis" }, { "libmongoc", "mongodb" },
	{ "libmemcached", "memcached" },
};

static const struct {
	const char *scheme; /* up to a '+' */
	const char *system;
} schemes[] = {
	{ "redis", "redis" },         { "rediss", "redis" },        { "postgres", "postgres" },
	{ "postgresql", "postgres" }, { "neo4j", "neo4j" },         { "bolt", "neo4j" },
	{ "mongodb", "mongodb" },     { "mysql", "mysql" },         { "mariadb", "mysql" },
	{ "qdrant", "qdrant" },       { "typesense", "typesense" }, { "milvus", "milvus" },
	{ "memcached", "memcached" },
};

/* First words of a variable's name, or words after a '_'; whole: the word ends there. */
static const struct {
	const char *word;
	enum call_class class;
	const char *name;
	bool whole;
} words[] = {
	{ "REDIS", CALL_STORAGE, "redis", false },
	{ "PG", CALL_STORAGE, "postgres", true },
	{ "PGHOST", CALL_STORAGE, "postgres", true },
	{ "PGVECTOR", CALL_STORAGE, "postgres", true },
	{ "POSTGRES", CALL_STORAGE, "postgres", false },
	{ "QDRANT", CALL_STORAGE, "qdrant", false },
	{ "NEO4J", CALL_STORAGE, "neo4j", false },
	{ "TYPESENSE", CALL_STORAGE, "typesense", false },
	{ "MONGO", CALL_STORAGE, "mongodb", false },
	{ "ELASTIC", CALL_STORAGE, "elasticsearch", false },
	{ "OPENSEARCH", CALL_STORAGE, "opensearch", false },
	{ "WEAVIATE", CALL_STORAGE, "weaviate", false },
	{ "CHROMA", CALL_STORAGE, "chroma", false },
	{ "MILVUS", CALL_STORAGE, "milvus", false },
	{ "MEILI", CALL_STORAGE, "meilisearch", false },
	{ "MYSQL", CALL_STORAGE, "mysql", false },
	{ "OPENAI", CALL_LLM, "openai", true },
	{ "ANTHROPIC", CALL_LLM, "anthropic", true },
	{ "GEMINI", CALL_LLM, "gemini", true },
	{ "OLLAMA", CALL_LLM, "ollama", true },
	{ "MISTRAL", CALL_LLM, "mistral", true },
	{ "GROQ", CALL_LLM, "groq", true },
	{ "VLLM", CALL_LLM, NULL, true },
	{ "LITELLM", CALL_LLM, NULL, true },
	{ "LLM", CALL_LLM, NULL, true },
};

/* An LLM's variable names its server only with one of these at its end. */
static const char *const llm_endings[] = { "_BASE_URL", "_API_BASE", "_BASE",
	                                   "_ENDPOINT", "_HOST",     "_URL" };

/* Ports that are an LLM server's own; those of stores name the endpoint anyway (endpoint.c). */
static const struct {
	uint16_t port;
	const char *provider;
} llm_ports[] = { { 11434, "ollama" } };

/* Commands of Redis that are meant to wait; XREAD and WAIT mostly are, and nobody waits long for the rest. */
static const char *const waiting_commands[] = {
	"BLPOP",    "BRPOP",     "BLMOVE",     "BRPOPLPUSH", "BZPOPMIN",
	"BZPOPMAX", "BLMPOP",    "BZMPOP",     "XREAD",      "XREADGROUP",
	"WAIT",     "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR",
};

/* Functions of storage clients that wait for news. */
static const struct {
	const char *file, *function;
} waiting_functions[] = {
	{ "redis/client.py", "listen" },         { "redis/client.py", "get_message" },
	{ "redis/asyncio/client.py", "listen" }, { "redis/asyncio/client.py", "get_message" },
	{ "redis/commands/core.py", "blpop" },   { "redis/commands/core.py", "brpop" },
	{ "redis/commands/core.py", "xread" },   { "redis/commands/core.py", "xreadgroup" },
	{ "psycopg/connection.py", "notifies" }, { "psycopg/connection_async.py", "notifies" },
};

/* Where a task waits for bytes of a reply. */
static const struct {
	const char *file, *function;
} reading_functions[] = {
	{ "httpcore/_async/http11.py", "_receive_event" },
	{ "anyio/_backends/_asyncio.py", "receive" },
	{ "aiohttp/client_reqrep.py", "start" },
	{ "aiohttp/streams.py", "_wait" },
	{ "aiohttp/streams.py", "read" },
	{ "asyncio/streams.py", "_wait_for_data" },
};

/*
 * Where HTTP clients read the two parts of a reply; heads first, for some read both through the same function. http2.py of
 * httpcore: its head is read in a function of its own, its body in another.
 */
static const struct {
	const char *file, *function;
	enum reply_part part;
} reply_parts[] = {
	{ "/http/client.py", "begin", AWAITS_HEAD },
	{ "/http/client.py", "read", AWAITS_BODY },
	{ "/http/client.py", "read1", AWAITS_BODY },
	{ "/http/client.py", "readinto", AWAITS_BODY },
	{ "/http/client.py", "readline", AWAITS_BODY },
	{ "httpcore/_sync/http11.py", "_receive_response_headers", AWAITS_HEAD },
	{ "httpcore/_sync/http11.py", "_receive_response_body", AWAITS_BODY },
	{ "httpcore/_async/http11.py", "_receive_response_headers", AWAITS_HEAD },
	{ "httpcore/_async/http11.py", "_receive_response_body", AWAITS_BODY },
	{ "httpcore/_sync/http2.py", "_receive_response", AWAITS_HEAD },
	{ "httpcore/_sync/http2.py", "_receive_response_body", AWAITS_BODY },
	{ "httpcore/_async/http2.py", "_receive_response", AWAITS_HEAD },
	{ "httpcore/_async/http2.py", "_receive_response_body", AWAITS_BODY },
	{ "aiohttp/client_reqrep.py", "start", AWAITS_HEAD },
	{ "aiohttp/client_reqrep.py", "read", AWAITS_BODY },
	{ "aiohttp/streams.py", "_wait", AWAITS_BODY },
};

/* A task in one of these uses the network, for whomever. */
static const char *const network_files[] = { "/asyncio/streams.py",   "/asyncio/sslproto.py",
	                                     "-packages/anyio/",      "-packages/aiohttp/",
	                                     "-packages/httpx/",      "-packages/httpcore/",
	                                     "-packages/websockets/", "-packages/grpc/" };

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* ---- Addresses ---- */

bool address_make(uint16_t family, const uint8_t *from, uint8_t to[static 16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (family == AF_INET6) {
		memcpy(to, from, 16);
		return true;
	}
	memcpy(to, mapped, sizeof(mapped));
	memcpy(to + 12, from, 4);
	return family == AF_INET;
}

bool address_loops(const uint8_t addr[static 16])
{
	static const uint8_t one[16] = { [15] = 1 },
			     mapped[13] = { [10] = 0xff, [11] = 0xff, [12] = 127 };

	return memcmp(addr, one, 16) == 0 || memcmp(addr, mapped, sizeof(mapped)) == 0;
}

/* ---- What a request says ---- */

static bool same_text(struct bytes b, const char *s)
{
	return b.n == strlen(s) && strncasecmp(b.p, s, b.n) == 0;
}

/* Up to the first of the stops, which *rest then begins with. */
static struct bytes part_until(struct bytes *rest, const char *stops)
{
	struct bytes part = *rest;

	for (size_t i = 0; i < rest->n; i++) {
		if (rest->p[i] && strchr(stops, rest->p[i])) {
			part.n = i;
			break;
		}
	}
	*rest = bytes_from(*rest, part.n);
	return part;
}

/* False, and to unchanged, when it does not fit or holds what no name has. */
static bool host_copy(char *to, size_t room, struct bytes host)
{
	if (!host.n || host.n >= room)
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (!isalnum((unsigned char)host.p[i]) && !strchr(".-_:%", host.p[i]))
			return false;
	memcpy(to, host.p, host.n);
	to[host.n] = '\0';
	return true;
}

static void host_read(struct claim *c, struct bytes host)
{
	uint8_t v4[4];

	if (!host_copy(c->host, sizeof(c->host), host))
		return;
	if (inet_pton(AF_INET, c->host, v4) == 1)
		c->numeric = address_make(AF_INET, v4, c->addr);
	else if (inet_pton(AF_INET6, c->host, c->addr) == 1)
		c->numeric = true;
	c->loopback = strcasecmp(c->host, "localhost") == 0;
}

static const char *system_of_scheme(struct bytes scheme)
{
	struct bytes rest = scheme;

	scheme = part_until(&rest, "+");
	for (size_t i = 0; i < COUNT(schemes); i++)
		if (same_text(scheme, schemes[i].scheme))
			return schemes[i].system;
	return NULL;
}

/* HOST, HOST:PORT, [V6]:PORT; the port of the scheme where none is written. */
static void authority_read(struct claim *c, struct bytes authority, uint16_t usual)
{
	struct bytes host = authority, port = { "", 0 };
	const char *at = authority.n ? memrchr(authority.p, '@', authority.n) : NULL;
	unsigned n = 0;

	if (at)
		host = bytes_from(authority, (size_t)(at - authority.p) + 1);
	if (host.n && *host.p == '[') {
		port = bytes_from(host, 1);
		host = part_until(&port, "]");
		port = bytes_from(port, 1);
	} else {
		port = host;
		host = part_until(&port, ":");
	}
	for (size_t i = 1; i < port.n && i < 6 && isdigit((unsigned char)port.p[i]); i++)
		n = n * 10 + (unsigned)(port.p[i] - '0');
	host_read(c, host);
	if (c->host[0])
		c->port = n && n <= UINT16_MAX ? (uint16_t)n : usual;
}

/* "POST /v1/messages", "POST" where the path is not known; a method that is none, or no path, gives none. */
static void op_read(struct claim *c, struct bytes method, struct bytes path)
{
	size_t n = 0;

	for (size_t i = 0; i < method.n; i++)
		if (!isupper((unsigned char)method.p[i]))
			return;
	if (!method.n || method.n > 16 || (path.n && *path.p != '/'))
		return;
	n = (size_t)snprintf(c->op, sizeof(c->op), "%.*s%s", (int)method.n, method.p,
	                     path.n ? " " : "");
	for (size_t i = 0; i < path.n && n + 1 < sizeof(c->op); i++)
		c->op[n++] = path.p[i] > ' ' && path.p[i] <= '~' ? path.p[i] : '?';
	c->op[n] = '\0';
	c->http = true;
	c->write = !bytes_equal(method, "GET") && !bytes_equal(method, "HEAD") &&
	           !bytes_equal(method, "OPTIONS");
}

/* A command of Redis, in letters. */
static void command_read(struct claim *c, struct bytes command)
{
	if (!command.n || command.n >= sizeof(c->op))
		return;
	for (size_t i = 0; i < command.n; i++)
		if (!isalpha((unsigned char)command.p[i]) && command.p[i] != '.')
			return;
	for (size_t i = 0; i < command.n; i++)
		c->op[i] = (char)toupper((unsigned char)command.p[i]);
	for (size_t i = 0; i < COUNT(waiting_commands); i++)
		c->blocks |= strcmp(c->op, waiting_commands[i]) == 0;
}

static void request_read(struct claim *c, const struct ev_request *r)
{
	struct request_text text = request_text(r);
	struct bytes rest = text.url, scheme = { "", 0 }, path;
	const char *colon = rest.n ? memmem(rest.p, rest.n, "://", 3) : NULL;
	struct llm_path llm;

	if (rest.n && rest.p[rest.n - 1] == ':' && !colon) { /* "redis:", a store's command */
		c->system = system_of_scheme((struct bytes){ rest.p, rest.n - 1 });
		c->class = c->system ? CALL_STORAGE : CALL_OTHER;
		command_read(c, text.method);
		return;
	}
	if (colon) {
		scheme = (struct bytes){ rest.p, (size_t)(colon - rest.p) };
		rest = bytes_from(rest, scheme.n + 3);
		authority_read(c, part_until(&rest, "/?#"),
		               same_text(scheme, "https") || same_text(scheme, "wss") ? 443 : 80);
	}
	path = part_until(&rest, "?#"); /* none: some clients forget it once it is sent */
	op_read(c, text.method, path);
	llm_path_read(&llm, text.method, path, bytes_of(c->host));
	if (llm.kind != LLM_NONE && (llm.named || !llm.vague)) {
		c->class = CALL_LLM;
		c->provider = llm.provider;
	}
}

/* ---- What frames say ---- */

static bool contains(struct bytes b, const char *s)
{
	return b.n && memmem(b.p, b.n, s, strlen(s)) != NULL;
}

static bool ends(struct bytes b, const char *s)
{
	size_t n = strlen(s);

	return b.n >= n && memcmp(b.p + b.n - n, s, n) == 0;
}

static const struct package *package_of(struct bytes file)
{
	static const struct package standard = { .http = true };
	const char *at = file.n ? memmem(file.p, file.n, "-packages/", 10) : NULL;
	struct bytes in = at ? bytes_from(file, (size_t)(at - file.p) + 10)
	                     : (struct bytes){ "", 0 };

	for (size_t i = 0; i < COUNT(packages); i++)
		if (bytes_start(in, packages[i].path))
			return &packages[i];
	for (size_t i = 0; i < COUNT(http_files); i++)
		if (ends(file, http_files[i]))
			return &standard;
	return NULL;
}

/*
 * The innermost client library; *own_wire: it does not go through an HTTP client, so a request of one
 * further out is not what is waited for.
 */
static const struct package *library_of(struct bytes frames, bool *own_wire)
{
	const struct package *p;
	struct frame f;
	bool http = false;

	*own_wire = false;
	while (frames_next(&frames, &f)) {
		p = package_of(f.file);
		if (!p)
			continue;
		http |= p->http;
		if (p->class == CALL_OTHER)
			continue;
		*own_wire = !http;
		return p->http || !http ? p : NULL;
	}
	return NULL;
}

static const char *native_of(struct bytes frames)
{
	struct frame f;

	while (frames_next(&frames, &f)) {
		const char *slash = f.file.n ? memrchr(f.file.p, '/', f.file.n) : NULL;
		struct bytes name = slash ? bytes_from(f.file, (size_t)(slash - f.file.p) + 1)
		                          : f.file;

		for (size_t i = 0; i < COUNT(natives); i++)
			if (bytes_start(name, natives[i].file))
				return natives[i].system;
	}
	return NULL;
}

static bool waits_for_news(struct bytes frames)
{
	for (size_t i = 0; i < COUNT(waiting_functions); i++)
		if (frames_have(frames, waiting_functions[i].file, waiting_functions[i].function))
			return true;
	return false;
}

bool frames_read_reply(struct bytes frames)
{
	for (size_t i = 0; i < COUNT(reading_functions); i++)
		if (frames_have(frames, reading_functions[i].file, reading_functions[i].function))
			return true;
	return false;
}

enum reply_part frames_reply_part(struct bytes frames)
{
	for (size_t i = 0; i < COUNT(reply_parts); i++)
		if (frames_have(frames, reply_parts[i].file, reply_parts[i].function))
			return reply_parts[i].part;
	return AWAITS_UNTOLD;
}

bool frames_use_network(struct bytes frames)
{
	struct frame f;

	while (frames_next(&frames, &f))
		for (size_t i = 0; i < COUNT(network_files); i++)
			if (contains(f.file, network_files[i]))
				return true;
	return false;
}

/* ---- Claims joined ---- */

static void name_add(const char **to, const char *name, bool *torn)
{
	if (!*to)
		*to = name;
	else if (name && strcmp(*to, name) != 0)
		*torn = true;
}

void claim_add(struct claim *c, enum call_class class, const char *name)
{
	bool torn = false;

	if (class == CALL_OTHER)
		return;
	if (c->class != CALL_OTHER && c->class != class) {
		c->torn = true;
		return;
	}
	c->class = class;
	if (class == CALL_STORAGE) {
		name_add(&c->system, name, &torn);
		if (torn)
			c->system = NULL;
	} else if (!c->provider) {
		c->provider = name; /* SDKs serve many: what is known from host or path wins */
	}
}

static const char *name_meet(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0 ? a : NULL;
}

void claim_meet(struct claim *c, const struct claim *o)
{
	if (c->class != o->class)
		c->class = CALL_OTHER;
	c->provider = name_meet(c->provider, o->provider);
	c->system = name_meet(c->system, o->system);
	if (strcmp(c->host, o->host) != 0)
		c->host[0] = '\0';
	if (strcmp(c->op, o->op) != 0)
		c->op[0] = '\0';
	if (c->port != o->port)
		c->port = 0;
	c->http &= o->http && c->op[0];
	c->write &= c->http;
	c->blocks &= o->blocks;
	c->torn |= o->torn;
}

struct claim claim_of(const struct evidence *e, uint32_t pid, uint64_t id, struct bytes python)
{
	const struct ev_request *r = evidence_request(e, pid, id);
	const struct package *library;
	struct claim c = { 0 };
	bool own_wire;

	library = library_of(python, &own_wire);
	if (r) {
		request_read(&c, r);
		if (own_wire && (c.http || c.port))
			c = (struct claim){ 0 };
	}
	if (library)
		claim_add(&c, library->class, library->name);
	c.blocks |= waits_for_news(python);
	return c;
}

bool claim_empty(const struct claim *c)
{
	return c->class == CALL_OTHER && !c->host[0] && !c->op[0];
}

void claim_add_library(struct claim *c, struct bytes python)
{
	bool own_wire;
	const struct package *library = library_of(python, &own_wire);

	if (library)
		claim_add(c, library->class, library->name);
}

void claim_add_native(struct claim *c, struct bytes native)
{
	const char *system = native_of(native);

	if (system)
		claim_add(c, CALL_STORAGE, system);
}

/* ---- Configuration ---- */

/* The word stands at the beginning of a variable's name or behind a '_'. */
static bool has_word(struct bytes variable, const char *word, bool whole)
{
	size_t n = strlen(word);

	for (size_t at = 0; at + n <= variable.n; at++) {
		if ((at && variable.p[at - 1] != '_') || strncasecmp(variable.p + at, word, n) != 0)
			continue;
		if (!whole || at + n == variable.n || variable.p[at + n] == '_')
			return true;
	}
	return false;
}

static bool names_server(struct bytes variable)
{
	for (size_t i = 0; i < COUNT(llm_endings); i++) {
		size_t n = strlen(llm_endings[i]);

		if (variable.n > n &&
		    strncasecmp(variable.p + variable.n - n, llm_endings[i], n) == 0)
			return true;
	}
	return false;
}

struct claim claim_of_name(const struct ev_name *name)
{
	struct name_text text = name_text(name);
	const char *system = system_of_scheme(text.scheme), *provider;
	struct claim c = { .port = name->port };

	host_read(&c, text.host);
	provider = llm_provider_of_host(text.host);
	if (provider)
		claim_add(&c, CALL_LLM, provider);
	if (system)
		claim_add(&c, CALL_STORAGE, system);
	for (size_t i = 0; c.class == CALL_OTHER && i < COUNT(words); i++) {
		struct claim other = c;

		if (!has_word(text.variable, words[i].word, words[i].whole) ||
		    (words[i].class == CALL_LLM && !names_server(text.variable)))
			continue;
		claim_add(&c, words[i].class, words[i].name);
		for (size_t k = i + 1; k < COUNT(words); k++)
			if (words[k].class != c.class &&
			    has_word(text.variable, words[k].word, words[k].whole) &&
			    (words[k].class != CALL_LLM || names_server(text.variable)))
				return other;
	}
	return c;
}

void claim_add_port(struct claim *c, uint16_t port)
{
	for (size_t i = 0; i < COUNT(llm_ports); i++)
		if (llm_ports[i].port == port)
			claim_add(c, CALL_LLM, llm_ports[i].provider);
}
