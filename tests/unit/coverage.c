/* SPDX-License-Identifier: BSD-2-Clause */
/* The ledger: what is said of endpoints, read and unread, and what is not said of more than fit. */
#include "coverage.h"

#include "test.h"

static struct conn *conn(const char *name, enum call_class class)
{
	static struct conn c;

	memset(&c, 0, sizeof(c));
	snprintf(c.endpoint.name, sizeof(c.endpoint.name), "%s", name);
	c.carries = class;
	c.sock = 1;
	c.calls = 1;
	c.bytes[0] = 100;
	c.bytes[1] = 20;
	return &c;
}

static json_t *entry(json_t *all, const char *list, const char *name)
{
	json_t *a = json_object_get(all, list), *e;
	size_t i;

	json_array_foreach(a, i, e) if (strcmp(json_string_value(json_object_get(e, "endpoint")),
	                                       name) == 0) return e;
	return NULL;
}

static int64_t number(const json_t *o, const char *name)
{
	return json_is_integer(json_object_get(o, name))
	               ? json_integer_value(json_object_get(o, name))
	               : -1;
}

static void endpoints(void)
{
	struct coverage *v = coverage_new();
	struct conn *c = conn("db:5432", CALL_STORAGE);
	json_t *all, *e;

	c->dropped = 7;
	coverage_conn(v, c);
	coverage_conn(v, c);
	c = conn("api.test", CALL_LLM); /* its socket, joined with its TLS object */
	c->ciphertext = c->plaintext_seen = true;
	coverage_conn(v, c);
	c = conn("api.test", CALL_LLM);
	c->sock = 0;
	c->tls = 1;
	c->bytes[0] = 70;
	coverage_conn(v, c);
	c = conn("blind.test", CALL_OTHER);
	c->ciphertext = true;
	snprintf(c->alpn, sizeof(c->alpn), "h2,http/1.1");
	coverage_conn(v, c);
	c = conn("h3.test", CALL_OTHER);
	c->ignored = c->datagram = true;
	c->port = 443;
	coverage_conn(v, c);
	c = conn("dns.test", CALL_OTHER);
	c->ignored = c->datagram = true;
	c->port = 53;
	coverage_conn(v, c);
	c = conn("silent.test", CALL_OTHER);
	c->bytes[0] = c->bytes[1] = 0;
	coverage_conn(v, c);
	all = coverage_json(v, &(struct coverage_limits){ 0 });

	TEST("an endpoint has the bytes of all its connections, and what of them was not captured");
	e = entry(all, "endpoints", "db:5432");
	CHECK(number(e, "connections") == 2 && number(e, "bytes") == 240);
	CHECK(number(e, "bytes_plaintext") == 240 && number(e, "bytes_dropped") == 14);
	TEST("with TLS the wire's bytes and the plaintext's are two numbers of one endpoint");
	e = entry(all, "endpoints", "api.test");
	CHECK(number(e, "connections") == 1 && number(e, "bytes") == 120);
	CHECK(number(e, "bytes_plaintext") == 90 && !entry(all, "no_plaintext", "api.test"));
	TEST("what was not read says why");
	e = entry(all, "endpoints", "blind.test");
	CHECK(number(e, "bytes") == 120 && number(e, "bytes_plaintext") == 0);
	CHECK(strcmp(json_string_value(json_object_get(e, "alpn")), "h2,http/1.1") == 0);
	CHECK(json_is_null(json_object_get(entry(all, "endpoints", "db:5432"), "alpn")));
	e = entry(all, "no_plaintext", "blind.test");
	CHECK(number(e, "connections") == 1 && number(e, "bytes") == 120);
	CHECK(strstr(json_string_value(json_object_get(e, "why")), "no TLS library"));
	TEST("QUIC is named, and that it is not read");
	e = entry(all, "no_plaintext", "h3.test");
	CHECK(number(e, "bytes") == 120 &&
	      strstr(json_string_value(json_object_get(e, "why")), "QUIC"));
	e = entry(all, "endpoints", "h3.test");
	CHECK(number(e, "bytes") == 120 && number(e, "bytes_plaintext") == 0);
	CHECK(!entry(all, "endpoints", "dns.test"));
	TEST("a connection that moved nothing is none");
	CHECK(!entry(all, "endpoints", "silent.test"));
	json_decref(all);
	coverage_free(v);
}

static void too_many(void)
{
	struct coverage *v = coverage_new();
	char name[32];
	json_t *all;

	TEST("of more endpoints than are named the connections are counted");
	for (int i = 0; i < 300; i++) {
		struct conn *c;

		snprintf(name, sizeof(name), "host%d", i);
		c = conn(name, CALL_OTHER);
		c->ciphertext = i >= 290;
		coverage_conn(v, c);
	}
	all = coverage_json(v, &(struct coverage_limits){ 0 });
	CHECK(json_array_size(json_object_get(all, "endpoints")) == 256);
	CHECK(number(all, "endpoints_more_connections") == 44);
	CHECK(number(all, "no_plaintext_more") == 10);
	json_decref(all);
	coverage_free(v);
}

static void opened(struct coverage *v, const char *path)
{
	char room[sizeof(struct ev_fd) + 300] __attribute__((aligned(8))) = { 0 };
	struct ev_fd *e = (void *)room;

	e->h.type = EV_FD;
	e->h.size = (uint32_t)(sizeof(*e) + strlen(path));
	memcpy(e->text, path, strlen(path));
	coverage_event(v, &e->h);
}

static void files(void)
{
	struct coverage *v = coverage_new();
	json_t *all, *list;
	char name[32];

	TEST("databases in files are named once, with their companions");
	opened(v, "/srv/memory.sqlite3");
	opened(v, "/srv/memory.sqlite3-wal");
	opened(v, "/srv/notes.db-journal");
	opened(v, ".db");
	opened(v, "/srv/notes.dbx");
	opened(v, "pipe:[1.db]");
	opened(v, "/srv/log-wal");
	opened(v, "");
	all = coverage_json(v, &(struct coverage_limits){ 0 });
	list = json_object_get(all, "file_databases");
	CHECK(json_array_size(list) == 2);
	CHECK(strcmp(json_string_value(json_array_get(list, 0)), "/srv/memory.sqlite3") == 0);
	CHECK(strcmp(json_string_value(json_array_get(list, 1)), "/srv/notes.db") == 0);
	json_decref(all);
	TEST("no more than fit, and the rest is counted");
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "/srv/%d.db", i);
		opened(v, name);
	}
	all = coverage_json(v, &(struct coverage_limits){ 0 });
	CHECK(json_array_size(json_object_get(all, "file_databases")) == 16);
	CHECK(number(all, "file_databases_more") == 26);
	json_decref(all);
	coverage_free(v);
}

static void libraries(void)
{
	char room[sizeof(struct ev_tls_lib) + 64] __attribute__((aligned(8))) = { 0 };
	struct coverage *v = coverage_new();
	struct ev_tls_lib *e = (void *)room;
	json_t *all;

	TEST("of more libraries than are named it is counted how often they were found");
	e->h.type = EV_TLS_LIB;
	e->state = LIB_HOOKED;
	for (int i = 0; i < 80; i++) {
		int n = snprintf(e->text, 64, "/lib/%d.so%copenssl%csymbols", i % 70, 0, 0);

		e->h.size = (uint32_t)(sizeof(*e) + (size_t)n);
		coverage_event(v, &e->h);
	}
	all = coverage_json(v, &(struct coverage_limits){ 0 });
	CHECK(json_array_size(json_object_get(all, "tls_libraries")) == 64);
	CHECK(number(all, "tls_libraries_more") == 6);
	json_decref(all);
	coverage_free(v);
}

int main(void)
{
	endpoints();
	too_many();
	files();
	libraries();
	return DONE();
}
