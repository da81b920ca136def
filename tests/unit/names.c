/* SPDX-License-Identifier: BSD-2-Clause */
/* Servers named in an environment: host and port are found, and nothing that may be a secret is. */
#include <sys/socket.h>

#include "names.h"
#include "test.h"

static struct server_name got;

/* Of the text as it is, ending at an unreadable page. */
static bool url(const char *text)
{
	size_t n = strlen(text);
	char *copy = guarded(text, n);
	size_t used = names_url(copy, n, &got);

	guarded_free(copy, n);
	return used > 0 && used <= n;
}

static bool is(const char *scheme, const char *host, unsigned port)
{
	return strcmp(got.scheme, scheme) == 0 && strcmp(got.host, host) == 0 && got.port == port;
}

static struct server_name list[4];

static size_t block(const char *text, size_t n, bool environment)
{
	char *copy = guarded(text, n);
	size_t found = names_block(copy, n, environment, list, 4);

	guarded_free(copy, n);
	return found;
}
#define BLOCK(text, environment) block(text, sizeof(text) - 1, environment)

static bool listed(size_t i, const char *variable, const char *scheme, const char *host,
                   unsigned port)
{
	got = list[i];
	return is(scheme, host, port) && strcmp(got.variable, variable) == 0;
}

static void check_urls(void)
{
	static const char *const none[] = {
		"",
		"://",
		"http://",
		"http:///path",
		"file:///etc/passwd",
		"no://host:1",
		"http//host",
		"tcp://host",
		"http://host:0",
		"http://host:65536",
		"http://host:12x",
		"http://[::1",
		"http://[]:80",
		"http://ho%73t/",
		"http://h\xc3\xb6st/",
	};
	/* where a password ends the authority too early what is before the @ may be mistaken for the host */
	static const char *const unclear[] = {
		"postgres://user:12/34@host/db", "redis://secret#1@host", "redis://secret?@host:1",
		"redis://:80/80@host:6379",      "http://secret,a@host",  "https://secret\"x@host",
	};
	size_t found = 0;

	TEST("scheme, host and port are taken from a URL, the port from the scheme if need be");
	CHECK(url("https://api.example.com/v1?key=x") && is("https", "api.example.com", 443));
	CHECK(url("http://localhost:8080") && is("http", "localhost", 8080));
	CHECK(url("redis://10.0.0.1/0") && is("redis", "10.0.0.1", 6379));
	CHECK(url("NEO4J+S://graph:7690") && is("neo4j+s", "graph", 7690));
	CHECK(url("postgresql+asyncpg://db/x") && is("postgresql", "db", 5432));
	CHECK(url("http://[2001:db8::1]:9000/") && is("http", "2001:db8::1", 9000));
	CHECK(url("tcp://host:65535") && is("tcp", "host", 65535));
	CHECK(url("see x=http://a.b, or not") && is("http", "a.b", 80));

	TEST("who logs in is dropped");
	CHECK(url("postgres://user:pass@db.internal:5433/app?x=y") &&
	      is("postgres", "db.internal", 5433));
	CHECK(url("redis://:p@ss:w@rd@cache") && is("redis", "cache", 6379));
	CHECK(url("mongodb://u:p@one:1,two:2/db") && is("mongodb", "one", 1));

	TEST("where it is not clear which part is the host nothing is taken");
	for (size_t i = 0; i < sizeof(unclear) / sizeof(*unclear); i++)
		found += url(unclear[i]);
	CHECK(found == 0);

	TEST("what is no URL of a known scheme is left");
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		found += url(none[i]);
	CHECK(found == 0);
}

static void check_blocks(void)
{
	static char many[64 * 16];
	size_t n = 0;

	TEST("a variable keeps its name, and a server comes once");
	CHECK(BLOCK("A=1\0CACHE_URL=redis://c:1\0OTHER=redis://c:1/2\0X=http://x\0", true) == 2);
	CHECK(listed(0, "CACHE_URL", "redis", "c", 1) && listed(1, "X", "http", "x", 80));

	TEST("a name that is none is not kept");
	CHECK(BLOCK("sk-secret key=http://x", true) == 1 && listed(0, "", "http", "x", 80));

	TEST("host and port of the same prefix belong together, with the port its kind has if "
	     "there is none");
	CHECK(BLOCK("REDIS_PORT=6380\0REDIS_HOST=r\0PGHOST=db\0APP_HOST=a\0APP_PORT=99\0", true) ==
	      3);
	CHECK(listed(0, "REDIS_HOST", "redis", "r", 6380) &&
	      listed(1, "PGHOST", "postgres", "db", 5432) && listed(2, "APP_HOST", "", "a", 99));
	CHECK(BLOCK("QDRANT_HOST=q\0TYPESENSE_HOST=t", true) == 2);
	CHECK(listed(0, "QDRANT_HOST", "http", "q", 6333) &&
	      listed(1, "TYPESENSE_HOST", "http", "t", 8108));

	TEST("a host without a port, or that is none, is not told");
	CHECK(BLOCK("APP_HOST=a\0HOST=b\0PGHOST=/run/postgres\0REDIS_HOST=a b", true) == 0);

	TEST("arguments have no variable");
	CHECK(BLOCK("run\0--url=http://a:1\0http://b:2", false) == 2);
	CHECK(listed(0, "", "http", "a", 1) && listed(1, "", "http", "b", 2));

	TEST("what finds no room is counted");
	for (int i = 0; i < 20; i++)
		n += (size_t)snprintf(many + n, sizeof(many) - n, "http://h%d", i) + 1;
	CHECK(block(many, n, false) == 20 && listed(3, "", "http", "h3", 80));

	TEST("a block cut at any byte is read as far as it goes");
	for (n = 0; n < 40; n++)
		block("PGHOST=db\0PGPORT=1\0U=http://u:p@h:1/x\0\0", n, true);
	CHECK(true);
}

static void check_addresses(void)
{
	static const char hosts[] = "127.0.0.1\tlocalhost\n# 1.1.1.1 db\n10.0.0.5  store db # x\n"
				    "fe80::1 six\nbroken\n999.1.1.1 bad\n10.0.0.6 last";
	uint8_t a[16];
	char *copy = guarded(hosts, sizeof(hosts) - 1);
	size_t n = sizeof(hosts) - 1;

	TEST("an address is its own, or in the hosts file, or not known");
	CHECK(names_address("10.1.2.3", copy, n, a) == AF_INET && memcmp(a, "\x0a\1\2\3", 4) == 0);
	CHECK(names_address("::1", copy, n, a) == AF_INET6 && a[15] == 1);
	CHECK(names_address("DB", copy, n, a) == AF_INET && a[3] == 5);
	CHECK(names_address("six", copy, n, a) == AF_INET6);
	CHECK(names_address("last", copy, n, a) == AF_INET && a[3] == 6);
	CHECK(names_address("bad", copy, n, a) == 0 && names_address("none", copy, n, a) == 0);
	CHECK(names_address("localhost", NULL, 0, a) == AF_INET && a[0] == 127);
	guarded_free(copy, n);
}

int main(void)
{
	check_urls();
	check_blocks();
	check_addresses();
	return DONE();
}
