/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of name servers: which addresses get which names, and what is no answer. */
#include "dns.h"

#include "test.h"

/* What `dig +edns A api.example.com` brings: an alias, two addresses, an empty OPT record. */
static const char answer[] = "\x12\x34\x81\x80\0\1\0\3\0\0\0\1"
			     "\3api\7Example\3com\0\0\1\0\1"
			     "\xc0\x0c\0\5\0\1\0\0\1\x2c\0\6\3cdn\xc0\x10"
			     "\xc0\x2d\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1"
			     "\xc0\x2d\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\2"
			     "\0\0\x29\x10\0\0\0\0\0\0\0";
/* The same address under another name, and an IPv6 one. */
static const char other[] = "\x12\x35\x81\x80\0\1\0\1\0\0\0\0"
			    "\5other\3net\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\2";
static const char six[] = "\x12\x36\x81\x80\0\1\0\1\0\0\0\0"
			  "\3six\3net\0\0\x1c\0\1\xc0\x0c\0\x1c\0\1\0\0\0\1\0\x10"
			  "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7";
/* Answers for addresses that bring something else as well: a cookie, a text. */
static const char cookie[] = "\x12\x37\x81\x80\0\1\0\1\0\0\0\1"
			     "\1c\3net\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\3"
			     "\0\0\x29\x10\0\0\0\0\0\0\4\0\x0a\0\0";
static const char text[] = "\x12\x38\x81\x80\0\1\0\1\0\0\0\0"
			   "\1t\3net\0\0\1\0\1\xc0\x0c\0\x10\0\1\0\0\0\1\0\4\3abc";

#define BYTES(s) ((struct bytes){ s, sizeof(s) - 1 })

static const uint8_t one[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t two[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
static const uint8_t three[16] = { [10] = 0xff, 0xff, 192, 0, 2, 3 };
static const uint8_t v6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 7 };

static bool is(const struct dns *d, const uint8_t *addr, const char *name)
{
	const char *got = dns_name(d, addr);

	return name ? got && strcmp(got, name) == 0 : !got;
}

static bool feed(struct dns *d, struct bytes b)
{
	char *copy = guarded(b.p, b.n);
	bool is_answer = dns_is_answer((struct bytes){ copy, b.n });
	bool ret = dns_answer(d, (struct bytes){ copy, b.n });

	if (is_answer && !ret)
		abort();
	guarded_free(copy, b.n);
	return ret;
}

static void names(void)
{
	struct dns *d = dns_new();

	TEST("an address is called what was asked for, in lower case, whatever aliases led to it");
	CHECK(is(d, one, NULL));
	CHECK(feed(d, BYTES(answer)));
	CHECK(is(d, one, "api.example.com") && is(d, two, "api.example.com") && is(d, three, NULL));
	TEST("the same answer again changes nothing");
	CHECK(feed(d, BYTES(answer)) && is(d, two, "api.example.com"));
	TEST("an address that two names have is called by neither");
	CHECK(feed(d, BYTES(other)) && is(d, two, NULL) && is(d, one, "api.example.com"));
	TEST("IPv6 addresses have names, too");
	CHECK(feed(d, BYTES(six)) && is(d, v6, "six.net"));
	TEST("what comes along with addresses does not disturb, but is not names alone");
	CHECK(feed(d, BYTES(cookie)) && is(d, three, "c.net") && !dns_is_answer(BYTES(cookie)));
	CHECK(dns_is_answer(BYTES(answer)) && dns_is_answer(BYTES(six)));
	CHECK(!feed(d, BYTES(text)));
	dns_free(d);
}

static void broken(void)
{
	char copy[sizeof(answer)];
	struct dns *d = dns_new();
	bool none = true, changed = true;

	TEST("an answer that is cut anywhere, or followed by something, tells nothing");
	for (size_t n = 0; n < sizeof(answer) - 1; n++)
		none &= !feed(d, (struct bytes){ answer, n });
	CHECK(none && !feed(d, (struct bytes){ answer, sizeof(answer) }) && is(d, one, NULL));

	TEST("questions, errors, truncated answers and other operations are no answers");
	for (size_t i = 0; i < 5; i++) {
		static const uint8_t flags[5][2] = {
			{ 0x01, 0x80 }, { 0x81, 0x83 }, { 0x83, 0x80 }, { 0xa9, 0x80 }, { 0, 0 }
		};

		memcpy(copy, answer, sizeof(answer));
		memcpy(copy + 2, flags[i], 2);
		changed &= !feed(d, (struct bytes){ copy, sizeof(answer) - 1 });
	}
	CHECK(changed);

	TEST("a name that points at itself ends");
	memcpy(copy, answer, sizeof(answer));
	memcpy(copy + 12, "\xc0\x0c", 2);
	CHECK(!feed(d, (struct bytes){ copy, sizeof(answer) - 1 }));
	TEST("a name with what no host has in it is not shown");
	memcpy(copy, answer, sizeof(answer));
	copy[13] = '\n';
	CHECK(!feed(d, (struct bytes){ copy, sizeof(answer) - 1 }) && is(d, one, NULL));

	dns_free(d);
}

/* Whether a name for addr is one a host may have. */
static bool is_host(const struct dns *d, const uint8_t *addr)
{
	const char *name = dns_name(d, addr);

	return !name || (name[0] && strlen(name) < 254 &&
	                 strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == strlen(name));
}

static void damaged(void)
{
	char copy[sizeof(answer)];
	bool hosts = true, others = true;

	TEST("with any bit wrong an address has a host's name or none, and others have none");
	for (size_t i = 0; i < 8 * (sizeof(answer) - 1); i++) {
		struct dns *d = dns_new();

		memcpy(copy, answer, sizeof(answer));
		copy[i / 8] = (char)(copy[i / 8] ^ 1 << i % 8);
		feed(d, (struct bytes){ copy, sizeof(answer) - 1 });
		hosts &= is_host(d, one) && is_host(d, two) && is_host(d, three);
		others &= is(d, v6, NULL);
		dns_free(d);
	}
	CHECK(hosts);
	CHECK(others);
	TEST("with bytes missing anywhere, too");
	for (size_t at = 0; at < sizeof(answer) - 1; at++) {
		for (size_t n = 1; n < 9 && at + n < sizeof(answer) - 1; n++) {
			struct dns *d = dns_new();

			memcpy(copy, answer, at);
			memcpy(copy + at, answer + at + n, sizeof(answer) - 1 - at - n);
			feed(d, (struct bytes){ copy, sizeof(answer) - 1 - n });
			hosts &= is_host(d, one) && is_host(d, two);
			others &= is(d, v6, NULL);
			dns_free(d);
		}
	}
	CHECK(hosts);
	CHECK(others);
}

static void many(void)
{
	struct dns *d = dns_new();
	char copy[sizeof(other)];
	uint8_t addr[16] = { [10] = 0xff, 0xff, 10 };
	int known = 0;

	TEST("of more addresses than are remembered the newest stay");
	memcpy(copy, other, sizeof(other));
	for (int i = 0; i < 5000; i++) {
		copy[sizeof(other) - 5] = 10;
		copy[sizeof(other) - 4] = 0;
		copy[sizeof(other) - 3] = (char)(i >> 8);
		copy[sizeof(other) - 2] = (char)i;
		feed(d, (struct bytes){ copy, sizeof(other) - 1 });
	}
	for (int i = 0; i < 5000; i++) {
		addr[14] = (uint8_t)(i >> 8);
		addr[15] = (uint8_t)i;
		known += is(d, addr, "other.net");
	}
	CHECK(known >= 500 && known <= 1024 && is(d, addr, "other.net"));
	dns_free(d);
}

int main(void)
{
	names();
	broken();
	damaged();
	many();
	return DONE();
}
