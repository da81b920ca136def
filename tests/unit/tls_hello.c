/* SPDX-License-Identifier: BSD-2-Clause */
/* ClientHellos as OpenSSL and others send them: whole, cut at every offset, spread over records, and broken. */
#include "test.h"
#include "tls_hello.h"

#define ROOM 4096

struct wire {
	unsigned char p[ROOM];
	size_t n;
};

static void put(struct wire *w, const void *p, size_t n)
{
	memcpy(w->p + w->n, p, n);
	w->n += n;
}

static void put16(struct wire *w, size_t v)
{
	put(w, (unsigned char[]){ (unsigned char)(v >> 8), (unsigned char)v }, 2);
}

static void extension(struct wire *w, unsigned type, const void *p, size_t n)
{
	put16(w, type);
	put16(w, n);
	put(w, p, n);
}

static void server_name(struct wire *w, const char *name, size_t n)
{
	struct wire e = { .n = 0 };

	put16(&e, n + 3);
	put(&e, "", 1);
	put16(&e, n);
	put(&e, name, n);
	extension(w, 0, e.p, e.n);
}

/* The message with these extensions, in records of at most each bytes. */
static struct wire hello(const struct wire *extensions, size_t each)
{
	static const char fixed[2 + 32 + 1 + 32] = { 3, 3, [34] = 32 };
	struct wire m = { .n = 4 }, w = { .n = 0 };

	put(&m, fixed, sizeof(fixed));
	put(&m, "\x00\x04\x13\x01\x13\x02", 6); /* cipher suites */
	put(&m, "\x01\x00", 2);                 /* compression methods */
	put16(&m, extensions->n);
	put(&m, extensions->p, extensions->n);
	memcpy(m.p,
	       (unsigned char[]){ 1, 0, (unsigned char)((m.n - 4) >> 8), (unsigned char)(m.n - 4) },
	       4);
	for (size_t at = 0, n; at < m.n; at += n) {
		n = m.n - at < each ? m.n - at : each;
		put(&w, "\x16\x03\x01", 3);
		put16(&w, n);
		put(&w, m.p + at, n);
	}
	return w;
}

static const char alpn[] = "\x00\x0f\x02h2\x02\x0a\x0a\x08http/1.1"; /* the second is GREASE */

/* A key share large enough for records to be told apart, the name, and what would be spoken. */
static struct wire usual(size_t each)
{
	static const char share[1200];
	struct wire e = { .n = 0 };

	extension(&e, 0x1a1a, "", 0);
	extension(&e, 51, share, sizeof(share));
	server_name(&e, "api.openai.com", 14);
	extension(&e, 16, alpn, sizeof(alpn) - 1);
	return hello(&e, each);
}

static enum tls_hello_match reads(const struct wire *w, size_t n, struct tls_hello *to)
{
	return tls_hello_read((struct bytes){ guarded_piece(w->p, n), n }, to);
}

static void whole(void)
{
	static const size_t cuts[] = { ROOM, 1000, 100, 7, 1 };
	struct tls_hello h;

	TEST("name and protocols are read, in one record or spread over many; invented ones are "
	     "left "
	     "out");
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		struct wire w = usual(cuts[i] < 100 ? 600 : cuts[i]);

		CHECK(reads(&w, w.n, &h) == TLS_HELLO_YES);
		CHECK(strcmp(h.name, "api.openai.com") == 0);
		CHECK(strcmp(h.alpn, "h2,http/1.1") == 0);
	}
}

static void cut(void)
{
	static const size_t cuts[] = { ROOM, 300 };
	struct tls_hello h;

	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		struct wire w = usual(cuts[i]);
		bool more = true, honest = true;

		TEST("cut at any offset there is more to come, and no name unless all of it is "
		     "there");
		for (size_t n = 0; n < w.n; n++) {
			enum tls_hello_match m = reads(&w, n, &h);

			more &= m == (n < TLS_HELLO_LEAST ? TLS_HELLO_NO : TLS_HELLO_MORE);
			honest &= !h.name[0] || strcmp(h.name, "api.openai.com") == 0;
			honest &= !h.alpn[0] || strcmp(h.alpn, "h2,http/1.1") == 0;
		}
		CHECK(more);
		CHECK(honest);
	}
}

/* Bytes [at, at + n) of w are not there. */
static struct wire without(const struct wire *w, size_t at, size_t n)
{
	struct wire other = { .n = 0 };

	put(&other, w->p, at);
	put(&other, w->p + at + n, w->n - at - n);
	return other;
}

static void gaps(void)
{
	static const size_t missing[] = { 1, 2, 7, 14, 100 };
	struct wire w = usual(ROOM), records = usual(300);
	bool there = true, text = true;

	TEST("with bytes missing anywhere nothing is read that is not there");
	for (size_t at = 0; at < w.n; at++) {
		for (size_t k = 0; k < sizeof(missing) / sizeof(*missing) && at + missing[k] < w.n;
		     k++) {
			struct wire other = without(&w, at, missing[k]);
			struct tls_hello h;

			reads(&other, other.n, &h);
			there &= !h.name[0] || memmem(other.p, other.n, h.name, strlen(h.name));
			there &= !h.alpn[0] || strspn(h.alpn, "h2,tp/1.") == strlen(h.alpn);
		}
	}
	CHECK(there);
	TEST("nor over records, and a name is one of a host all the same");
	for (size_t at = 0; at < records.n; at++) {
		for (size_t k = 0;
		     k < sizeof(missing) / sizeof(*missing) && at + missing[k] < records.n; k++) {
			struct wire other = without(&records, at, missing[k]);
			struct tls_hello h;

			reads(&other, other.n, &h);
			text &= strspn(h.name, "abcdefghijklmnopqrstuvwxyz.") == strlen(h.name);
		}
	}
	CHECK(text);
}

static void nothing(void)
{
	static const char evil[] = "a\nb\0c d";
	struct wire e = { .n = 0 }, w;
	struct tls_hello h;
	char name[200];

	TEST("a name that is none is none: control characters, too long, empty");
	server_name(&e, evil, sizeof(evil) - 1);
	w = hello(&e, ROOM);
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_YES && !h.name[0]);
	memset(name, 'a', sizeof(name));
	e.n = 0;
	server_name(&e, name, sizeof(name));
	w = hello(&e, ROOM);
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_YES && !h.name[0]);
	e.n = 0;
	server_name(&e, "", 0);
	w = hello(&e, ROOM);
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_YES && !h.name[0]);

	TEST("more protocols than there is room for: those that fit");
	e.n = 0;
	{
		struct wire list = { .n = 0 };

		put16(&list, 3 * 15);
		put(&list, "\x0ehttp/1.1/first\x0ehttp/1.1/other\x0ehttp/1.1/third", 45);
		extension(&e, 16, list.p, list.n);
	}
	w = hello(&e, ROOM);
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_YES);
	CHECK(strcmp(h.alpn, "http/1.1/first,http/1.1/other") == 0);

	TEST("no extensions, other messages, other records, empty records and absurd lengths");
	e.n = 0;
	w = hello(&e, ROOM);
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_YES && !h.name[0] && !h.alpn[0]);
	w.p[5] = 2; /* ServerHello */
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_NO);
	w.p[5] = 1;
	w.p[6] = 1; /* 64 KB and more */
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_NO);
	w.p[6] = 0;
	w.p[0] = 23;
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_NO);
	w.p[0] = 22;
	w.p[1] = 2;
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_NO);
	w.p[1] = 3;
	w.p[3] = w.p[4] = 0;
	CHECK(reads(&w, w.n, &h) == TLS_HELLO_NO);
}

int main(void)
{
	whole();
	cut();
	gaps();
	nothing();
	return DONE();
}
