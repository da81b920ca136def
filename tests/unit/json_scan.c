/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "base/json_scan.h"

/* What was reported, as text: path, kind, value; the fragments of a string joined. */
struct log {
	char text[4096];
	size_t n;
	bool mid; /* inside a string */
};

static void put(struct log *l, const char *p, size_t n)
{
	if (l->n + n < sizeof(l->text)) {
		memcpy(l->text + l->n, p, n);
		l->n += n;
	}
}

static void record(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	static const char kinds[] = "{}[]snTF0";
	struct log *l = ctx;

	if (t->first) {
		for (unsigned i = 0; i < s->depth; i++) {
			if (json_in_array(s, i))
				put(l, "[]", 2);
			else
				put(l, json_key(s, i).p, json_key(s, i).n);
			put(l, ".", 1);
		}
		put(l, kinds + t->kind, 1);
	}
	put(l, t->text.p, t->text.n);
	if (t->last)
		put(l, "\n", 1);
}

static enum json_state scan(struct log *l, const char *doc, size_t n, size_t split, size_t step)
{
	struct json_scan s;
	char *a = guarded(doc, split), *b = guarded(doc + split, n - split);

	*l = (struct log){ .n = 0 };
	json_init(&s, record, l);
	for (size_t i = 0; i < split; i += step)
		json_feed(&s, (struct bytes){ a + i, split - i < step ? split - i : step });
	for (size_t i = 0; i < n - split; i += step)
		json_feed(&s, (struct bytes){ b + i, n - split - i < step ? n - split - i : step });
	guarded_free(a, split);
	guarded_free(b, n - split);
	l->text[l->n] = '\0';
	return s.state;
}

/* Fed whole, at every split, byte by byte: all report the same. */
static bool reports(const char *doc, const char *want)
{
	size_t n = strlen(doc);
	static struct log l;
	bool same = true;

	for (size_t split = 0; split <= n && same; split++)
		same = scan(&l, doc, n, split, n + 1) == JSON_DONE && strcmp(l.text, want) == 0;
	same = same && scan(&l, doc, n, 0, 1) == JSON_DONE && strcmp(l.text, want) == 0;
	if (!same)
		printf("# got:\n%s", l.text);
	return same;
}

static bool is_bad(const char *doc)
{
	static struct log l;
	bool bad = true;

	for (size_t split = 0; split <= strlen(doc); split++)
		bad = bad && scan(&l, doc, strlen(doc), split, 1000) == JSON_BAD;
	return bad;
}

static void test_values(void)
{
	TEST("every kind of value is reported with its path, whatever the split");
	CHECK(reports(
		" {\"a\": 1, \"b\": [true, false, null, -1.5e+3], \"c\": {\"d\": \"x\"}} ",
		"{\na.n1\nb.[\nb.[].T\nb.[].F\nb.[].0\nb.[].n-1.5e+3\nb.]\nc.{\nc.d.sx\nc.}\n}\n"));
	TEST("empty containers and strings are values");
	CHECK(reports("[{},[],\"\"]", "[\n[].{\n[].}\n[].[\n[].]\n[].s\n]\n"));
	TEST("a number ends where it ends");
	CHECK(reports("[1,22]", "[\n[].n1\n[].n22\n]\n"));
}

static void test_strings(void)
{
	TEST("escapes are undone");
	CHECK(reports("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "sa\"\\/\b\f\n\r\tz\n"));
	TEST("\\u gives UTF-8 of one to four bytes");
	CHECK(reports("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
	              "sA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n"));
	TEST("half a surrogate pair is replaced, wherever it stands");
	CHECK(reports("\"\\ud83dx\"", "s\xef\xbf\xbdx\n"));
	CHECK(reports("\"\\ud83d\"", "s\xef\xbf\xbd\n"));
	CHECK(reports("\"\\ud83d\\n\"", "s\xef\xbf\xbd\n\n"));
	CHECK(reports("\"\\ud83d\\ud83d\\ude00\"", "s\xef\xbf\xbd\xf0\x9f\x98\x80\n"));
	CHECK(reports("\"\\ude00\"", "s\xef\xbf\xbd\n"));
	TEST("escapes in keys are undone too");
	CHECK(reports("{\"us\\u0061ge\":1}", "{\nusage.n1\n}\n"));
}

static void test_bad(void)
{
	static const char *const docs[] = { "{,}",        "{\"a\"}",     "[1 2]", "[1,]",
		                            "{\"a\":1,}", "}",           "[}",    "tru3",
		                            "\"\\x\"",    "\"\\u00g0\"", "nul[",  "\"a\nb\"",
		                            "[}]",        "{1:2}",       "hello", "{\"a\":1]" };

	TEST("what is no JSON is said to be none");
	for (size_t i = 0; i < sizeof(docs) / sizeof(docs[0]); i++)
		CHECK(is_bad(docs[i]));
}

static void test_limits(void)
{
	char doc[2 * JSON_DEPTH_MAX + 8];
	struct json_scan s;

	TEST("containers nest up to the limit and no further");
	memset(doc, '[', JSON_DEPTH_MAX);
	memset(doc + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	json_init(&s, NULL, NULL);
	CHECK(json_feed(&s, (struct bytes){ doc, 2 * JSON_DEPTH_MAX }) == 2 * JSON_DEPTH_MAX);
	CHECK(s.state == JSON_DONE);
	memset(doc, '[', JSON_DEPTH_MAX + 1);
	json_init(&s, NULL, NULL);
	json_feed(&s, (struct bytes){ doc, JSON_DEPTH_MAX + 1 });
	CHECK(s.state == JSON_BAD);

	TEST("a key too long to keep matches nothing, the next one does");
	CHECK(reports("{\"12345678901234567890123456789012345678901\":1,\"b\":2}",
	              "{\n.n1\nb.n2\n}\n"));
	TEST("a number too long to keep has no text");
	CHECK(reports("[12345678901234567890123456789012345678901]", "[\n[].n\n]\n"));
	TEST("keys deeper than the kept levels are empty, not somebody else's");
	CHECK(reports("[[[[[[[[[[[[[[[[{\"a\":1}]]]]]]]]]]]]]]]]",
	              "[\n"
	              "[].[\n[].[].[\n[].[].[].[\n[].[].[].[].[\n[].[].[].[].[].[\n"
	              "[].[].[].[].[].[].[\n[].[].[].[].[].[].[].[\n[].[].[].[].[].[].[].[].[\n"
	              "[].[].[].[].[].[].[].[].[].[\n[].[].[].[].[].[].[].[].[].[].[\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[\n[].[].[].[].[].[].[].[].[].[].[].[].[\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[].[\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[].[].[\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[].[].[].{\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[].[].[]..n1\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[].[].[].}\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[].[].]\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].[].]\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].[].]\n"
	              "[].[].[].[].[].[].[].[].[].[].[].[].]\n[].[].[].[].[].[].[].[].[].[].[].]\n"
	              "[].[].[].[].[].[].[].[].[].[].]\n[].[].[].[].[].[].[].[].[].]\n"
	              "[].[].[].[].[].[].[].[].]\n[].[].[].[].[].[].[].]\n[].[].[].[].[].[].]\n"
	              "[].[].[].[].[].]\n[].[].[].[].]\n[].[].[].]\n[].[].]\n[].]\n]\n"));
}

static void test_gap(void)
{
	struct json_scan s;

	TEST("after a gap nothing of the document is read");
	json_init(&s, NULL, NULL);
	json_feed(&s, bytes_of("{\"a\":"));
	json_gap(&s);
	CHECK(s.state == JSON_CUT && json_feed(&s, bytes_of("1}")) == 0 && s.state == JSON_CUT);
	TEST("the document ends before what follows it");
	json_init(&s, NULL, NULL);
	CHECK(json_feed(&s, bytes_of("{} {}")) == 2 && s.state == JSON_DONE);
}

static void match(void *ctx, const struct json_scan *s, const struct json_token *t)
{
	unsigned *hits = ctx, level = 9;

	if (t->kind != JSON_NUMBER)
		return;
	hits[0] += json_at(s, 0, "a.[].b");
	hits[1] += json_at(s, 0, "a.[]");
	hits[2] += json_at(s, 1, "[].b");
	hits[3] += json_under(s, 0, "a", &level) && level == 1;
	hits[4] += json_at(s, 0, "a.b");
}

static void test_path(void)
{
	unsigned hits[5] = { 0 };
	struct json_scan s;

	TEST("a path matches its whole length, from any base");
	json_init(&s, match, hits);
	json_feed(&s, bytes_of("{\"a\":[{\"b\":1,\"bb\":2},3],\"[]\":4,\"ab\":5}"));
	CHECK(hits[0] == 1 && hits[1] == 1 && hits[2] == 1 && hits[3] == 3 && hits[4] == 0);
}

/* Where the tail of doc from off on is picked up, with the containers around it. */
static bool tail_is(const char *doc, size_t off, const char *rest, const char *open)
{
	size_t n = strlen(doc) - off;
	char *t = guarded(doc + off, n), containers[4] = "";
	unsigned count = 0;
	long at = json_tail((struct bytes){ t, n }, containers, 3, &count);
	bool ok = rest ? at >= 0 && (size_t)at <= n && strlen(rest) == n - (size_t)at &&
	                          memcmp(t + at, rest, strlen(rest)) == 0 &&
	                          count == strlen(open) && memcmp(containers, open, count) == 0
	               : at == -1;

	guarded_free(t, n);
	return ok;
}

static void test_tail(void)
{
	const char *doc =
		"{\"t\":[{\"x\":\"a, \\\"usage\\\":{\\\"n\\\":9}, \"}],\"usage\":{\"n\":1}}";
	size_t n = strlen(doc);
	bool sound = true;

	TEST("the end of a document is picked up at the first member that begins in it");
	CHECK(tail_is(doc, 12, "\"usage\":{\"n\":1}}", "{"));
	TEST("a whole document is found whole");
	CHECK(tail_is(doc, 0, doc, ""));
	TEST("elements of lists and members of elements are picked up where the containers are "
	     "few");
	CHECK(tail_is("xx\"},{\"a\":1}]}", 0, "{\"a\":1}]}", "{["));
	CHECK(tail_is("xx\",\"r\":\"u\"},{\"a\":1}]}", 0, "\"r\":\"u\"},{\"a\":1}]}", "{[{"));
	CHECK(tail_is("1,2,{\"a\":[1,[2,3]]}]", 0, "2,{\"a\":[1,[2,3]]}]", "["));
	TEST("what text says is never taken for structure, wherever the tail begins");
	for (size_t off = 0; off <= n; off++) {
		bool whole = off == 0, member = off > 0 && off < n - strlen("\"usage\":{\"n\":1}}");

		sound = sound && (whole    ? tail_is(doc, off, doc, "")
		                  : member ? tail_is(doc, off, "\"usage\":{\"n\":1}}", "{")
		                           : tail_is(doc, off, NULL, NULL));
	}
	CHECK(sound);
	TEST("a tail that is not the end of a document gives nothing");
	CHECK(tail_is("\"a\":1", 0, NULL, NULL));
	CHECK(tail_is("", 0, NULL, NULL));
	CHECK(tail_is("a,{]}", 0, NULL, NULL));
	TEST("a quote at the very edge may have been escaped, and is not trusted");
	CHECK(tail_is("\",\"b\":1}", 0, "\"b\":1}", "{"));
	CHECK(tail_is("\\\",\"b\":1}", 0, "\"b\":1}", "{"));
}

int main(void)
{
	test_values();
	test_strings();
	test_bad();
	test_limits();
	test_gap();
	test_path();
	test_tail();
	return DONE();
}
