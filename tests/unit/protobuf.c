/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "base/protobuf.h"

/* Fields as text: "number type value or contents[~]". */
struct log {
	char text[2048];
	size_t n;
};

static void record(void *ctx, const struct protobuf_field *f)
{
	struct log *l = ctx;

	if (f->type == PROTOBUF_BYTES)
		l->n += (size_t)snprintf(l->text + l->n, sizeof(l->text) - l->n, "%u b %.*s%s\n",
		                         f->number, f->bytes.n > 40 ? 40 : (int)f->bytes.n,
		                         f->bytes.p, f->cut ? "~" : "");
	else
		l->n += (size_t)snprintf(l->text + l->n, sizeof(l->text) - l->n, "%u %u %lld\n",
		                         f->number, f->type, (long long)protobuf_int(f));
}

/* 1: 150, 2: "testing", 3: fixed32 7, 4: fixed64 -2, 5: int32 -1, 6: "", 536870911: 0 */
static const char message[] = "\x08\x96\x01"
			      "\x12\x07testing"
			      "\x1d\x07\0\0\0"
			      "\x21\xfe\xff\xff\xff\xff\xff\xff\xff"
			      "\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
			      "\x32\0"
			      "\xf8\xff\xff\xff\x0f\0";
#define MESSAGE_N (sizeof(message) - 1)
static const char fields[] = "1 0 150\n2 b testing\n3 5 7\n4 1 -2\n5 0 -1\n6 b \n536870911 0 0\n";

static bool scans(struct bytes a, struct bytes b, size_t step, const char *want)
{
	struct protobuf_scan s;
	struct log l = { .n = 0 };
	char *pa = guarded(a.p, a.n), *pb = guarded(b.p, b.n);
	bool whole;

	protobuf_init(&s, record, &l);
	for (size_t i = 0; i < a.n; i += step)
		protobuf_feed(&s, (struct bytes){ pa + i, a.n - i < step ? a.n - i : step });
	for (size_t i = 0; i < b.n; i += step)
		protobuf_feed(&s, (struct bytes){ pb + i, b.n - i < step ? b.n - i : step });
	whole = protobuf_whole(&s);
	protobuf_free(&s);
	guarded_free(pa, a.n);
	guarded_free(pb, b.n);
	l.text[l.n] = '\0';
	return whole && strcmp(l.text, want) == 0;
}

static void test_walk(void)
{
	struct protobuf_field f;
	struct bytes rest;
	struct log l = { .n = 0 };
	char *p = guarded(message, MESSAGE_N);
	bool same = true;

	TEST("a message gives its fields, and ends");
	rest = (struct bytes){ p, MESSAGE_N };
	while (protobuf_next(&rest, &f))
		record(&l, &f);
	CHECK(rest.n == 0);
	CHECK(strcmp(l.text, fields) == 0);
	guarded_free(p, MESSAGE_N);

	TEST("a message cut anywhere gives no field that is not all there but contents, as cut");
	for (size_t n = 0; n < MESSAGE_N && same; n++) {
		p = guarded(message, n);
		rest = (struct bytes){ p, n };
		l.n = 0;
		l.text[0] = '\0';
		f.cut = false;
		while (protobuf_next(&rest, &f))
			record(&l, &f);
		if (strchr(l.text, '~'))
			same = n > 4 && n < 12;
		else
			same = strncmp(l.text, fields, l.n) == 0 && (n < 5 || n >= 12 || rest.n);
		if (!same)
			printf("# cut at %zu: %s\n", n, l.text);
		guarded_free(p, n);
	}
	CHECK(same);
}

static void test_numbers(void)
{
	struct bytes rest = { "\x11\0\0\0\0\0\0\xf8\x3f", 9 };
	struct protobuf_field f;

	TEST("a double is one");
	CHECK(protobuf_next(&rest, &f) && f.number == 2 && protobuf_double(&f) == 1.5);
}

static void test_malformed(void)
{
	static const struct bytes bad[] = {
		{ "\0\1", 2 },                                          /* field 0 */
		{ "\x0b", 1 },                                          /* a group */
		{ "\x0f", 1 },                                          /* no type */
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 }, /* more than 64 bits */
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 },
		{ "\x80\x80\x80\x80\x10\1", 6 }, /* a number of more than 29 bits */
	};

	TEST("what is no field ends the walk in front of it, and the scan for good");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bytes rest = bad[i];
		struct protobuf_field f;
		struct protobuf_scan s;
		struct log l = { .n = 0 };

		CHECK(!protobuf_next(&rest, &f) && rest.n == bad[i].n);
		protobuf_init(&s, record, &l);
		protobuf_feed(&s, bad[i]);
		CHECK(s.state == PROTOBUF_BAD && !protobuf_whole(&s) && l.n == 0);
		protobuf_feed(&s, (struct bytes){ message, MESSAGE_N });
		CHECK(l.n == 0);
		protobuf_free(&s);
	}
}

static void test_scan(void)
{
	bool same = true;

	TEST("a scan gives the same at every split and byte by byte");
	for (size_t n = 0; n <= MESSAGE_N && same; n++)
		same = scans((struct bytes){ message, n },
		             (struct bytes){ message + n, MESSAGE_N - n }, MESSAGE_N, fields);
	CHECK(same);
	CHECK(scans((struct bytes){ message, MESSAGE_N }, (struct bytes){ "", 0 }, 1, fields));
	CHECK(scans((struct bytes){ "", 0 }, (struct bytes){ "", 0 }, 1, ""));
}

static void test_gaps(void)
{
	bool sound = true;

	TEST("a gap inside contents leaves the fields behind it; any other ends the scan");
	for (size_t at = 0; at < MESSAGE_N && sound; at++) {
		for (size_t n = 1; n <= MESSAGE_N - at && sound; n++) {
			struct protobuf_scan s;
			struct log l = { .n = 0 };
			bool inside = at >= 5 && at + n <= 12;

			protobuf_init(&s, record, &l);
			protobuf_feed(&s, (struct bytes){ message, at });
			protobuf_gap(&s, n);
			protobuf_feed(&s, (struct bytes){ message + at + n, MESSAGE_N - at - n });
			l.text[l.n] = '\0';
			if (inside)
				sound = protobuf_whole(&s) && strchr(l.text, '~') &&
				        strstr(l.text, "\n3 5 7\n4 1 -2\n5 0 -1\n6 b \n536870911");
			else
				sound = s.state == PROTOBUF_CUT &&
				        strncmp(l.text, fields, l.n) == 0;
			protobuf_free(&s);
		}
	}
	CHECK(sound);
}

static void test_large(void)
{
	static const char head[] = "\x0a\x80\x80\x40"; /* 1: 1 MiB */
	struct protobuf_scan s;
	struct log l = { .n = 0 };
	char *big = malloc(1 << 20);

	TEST("of long contents the beginning is kept, and what follows is read");
	memset(big, 'x', 1 << 20);
	protobuf_init(&s, record, &l);
	protobuf_feed(&s, (struct bytes){ head, 4 });
	for (int i = 0; i < 1 << 20; i += 1 << 15)
		protobuf_feed(&s, (struct bytes){ big + i, 1 << 15 });
	protobuf_feed(&s, (struct bytes){ "\x10\x05", 2 });
	l.text[l.n] = '\0';
	CHECK(strcmp(l.text, "1 b xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx~\n2 0 5\n") == 0);
	CHECK(s.kept.room <= PROTOBUF_FIELD_MAX);
	protobuf_free(&s);
	free(big);
}

int main(void)
{
	test_walk();
	test_numbers();
	test_malformed();
	test_scan();
	test_gaps();
	test_large();
	return DONE();
}
