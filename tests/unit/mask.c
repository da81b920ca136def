/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of userspace/mask: what stays, what goes, and that no split of the input changes either. */
#include "test.h"

#include <zlib.h>

#include "mask/mask.h"

static const uint8_t key[MASK_KEY_SIZE] = "0123456789abcdef";

/* ===== Harness ===== */

#define BLOCKS 512
static struct owner {
	struct mask_owner o;
	char *block[BLOCKS];
	size_t n[BLOCKS], count;
} owner;

static int not_recorded(struct mask_owner *o, int dir, struct bytes *b)
{
	(void)o, (void)dir, (void)b;
	return -1;
}

static char *keep_block(struct mask_owner *o, int dir, struct bytes b)
{
	struct owner *w = (struct owner *)o;

	(void)dir;
	if (w->count == BLOCKS)
		return NULL;
	w->block[w->count] = malloc(b.n + 1);
	if (b.n)
		memcpy(w->block[w->count], b.p, b.n);
	w->n[w->count] = b.n;
	return w->block[w->count++];
}

static void no_cut(struct mask_owner *o, const char *p)
{
	(void)o, (void)p;
}

static void owner_reset(void)
{
	for (size_t i = 0; i < owner.count; i++)
		free(owner.block[i]);
	memset(&owner, 0, sizeof(owner));
	memcpy(owner.o.key, key, sizeof(key));
	owner.o.recorded = not_recorded;
	owner.o.block = keep_block;
	owner.o.cut = no_cut;
}

/* All blocks one after the other; free it. */
static char *blocks_joined(void)
{
	char *all = calloc(1, 1 << 20);
	size_t n = 0;

	for (size_t i = 0; i < owner.count; n += owner.n[i++])
		memcpy(all + n, owner.block[i], owner.n[i]);
	return all;
}

struct turn {
	int dir;
	struct bytes b;
};

/* Masks a dialogue, each turn fed in two pieces at `split` (0: none, SIZE_MAX: byte by byte). Returns what came out, all turns one
 * after the other, in memory that ends at an unreadable page. */
static char *masked(const struct masker *m, const struct turn *t, size_t turns, size_t split,
                    size_t *ret_n)
{
	struct mask_word words[2] = { 0 };
	void *state;
	size_t n = 0, at = 0;
	char *all;

	owner_reset();
	state = m->new (&owner.o, words, true);
	for (size_t i = 0; i < turns; i++)
		n += t[i].b.n;
	all = guarded("", 0);
	guarded_free(all, 0);
	{
		char *copy = malloc(n);

		for (size_t i = 0; i < turns; at += t[i++].b.n)
			memcpy(copy + at, t[i].b.p, t[i].b.n);
		all = guarded(copy, n);
		free(copy);
	}
	at = 0;
	for (size_t i = 0; i < turns; at += t[i++].b.n) {
		for (size_t k = 0; k < t[i].b.n;) {
			size_t step = split == SIZE_MAX               ? 1
			              : split > k && split < t[i].b.n ? split - k
			                                              : t[i].b.n - k;

			m->feed(state, t[i].dir, all + at + k, step);
			k += step;
		}
	}
	word_end(&words[0], false);
	word_end(&words[1], false);
	m->free(state);
	word_free(&words[0]);
	word_free(&words[1]);
	*ret_n = n;
	return all;
}

static size_t splits_wrong(const struct masker *m, const struct turn *t, size_t turns)
{
	size_t n, longest = 0, wrong = 0;
	char *whole = masked(m, t, turns, 0, &n);

	for (size_t i = 0; i < turns; i++)
		longest = t[i].b.n > longest ? t[i].b.n : longest;
	for (size_t split = 1; split <= longest; split++) {
		char *p = masked(m, t, turns, split == longest ? SIZE_MAX : split, &n);

		wrong += memcmp(p, whole, n) != 0;
		guarded_free(p, n);
	}
	guarded_free(whole, n);
	return wrong;
}

static bool holds(const char *p, size_t n, const char *part)
{
	return memmem(p, n, part, strlen(part)) != NULL;
}

static struct bytes of(const char *s)
{
	return bytes_of(s);
}

/* ===== JSON ===== */

static char *json(const char *text, enum mask_form form, size_t split)
{
	struct mask_word word = { 0 };
	struct mask_json j;
	char *p = strdup(text);
	size_t n = strlen(p);

	mask_json_start(&j, key, &word, form);
	for (size_t i = 0; i < n;) {
		size_t step = split == SIZE_MAX ? 1 : split > i && split < n ? split - i : n - i;

		mask_json_feed(&j, p + i, step);
		i += step;
	}
	mask_json_end(&j, true);
	word_end(&word, false);
	return p;
}

static bool json_is(const char *text, const char *want)
{
	char *p = json(text, FORM_JSON, 0);
	bool same = strcmp(p, want) == 0;

	if (!same)
		printf("# got  %s\n# want %s\n", p, want);
	free(p);
	return same;
}

static bool json_hides(const char *text, enum mask_form form, const char *canary)
{
	char *whole = json(text, form, 0);
	bool good = !strstr(whole, canary) && strlen(whole) == strlen(text);

	for (size_t i = 1; i < strlen(text); i++) {
		char *p = json(text, form, i);

		good &= strcmp(p, whole) == 0;
		free(p);
	}
	free(whole);
	whole = json(text, form, SIZE_MAX);
	good &= !strstr(whole, canary);
	free(whole);
	return good;
}

/* The masked string that follows `before`, up to its quote; free it. */
static char *mask_after(const char *text, enum mask_form form, const char *before)
{
	char *p = json(text, form, 0), *at = strstr(p, before), *s;

	s = at ? strndup(at + strlen(before), strcspn(at + strlen(before), "\"")) : strdup("");
	free(p);
	return s;
}

static void test_json(void)
{
	char *a, *b;

	TEST("what no string holds stays: structure, numbers, known names, machine values");
	CHECK(json_is("{\"model\":\"gpt-4o-mini\",\"stream\":true,\"n\":1,\"stop\":null,\"usage\":{"
	              "\"prompt_tokens\":12}}",
	              "{\"model\":\"gpt-4o-mini\",\"stream\":true,\"n\":1,\"stop\":null,\"usage\":{"
	              "\"prompt_tokens\":12}}"));
	CHECK(json_is("[ ]\n{ }\n{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}",
	              "[ ]\n{ }\n{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}"));

	TEST("texts, identifiers and names of the user's own go");
	CHECK(json_hides("{\"messages\":[{\"role\":\"user\",\"content\":\"CANARY\"}]}", FORM_JSON,
	                 "CANARY"));
	CHECK(json_hides("{\"id\":\"CANARY\",\"CANARY\":1,\"content\":[\"CANARY\"]}", FORM_JSON,
	                 "CANARY"));
	CHECK(json_hides("{\"content\":\"say \\\"CANARY\\\" and \\u0043ANARY \\\\\"}", FORM_JSON,
	                 "CANARY"));
	CHECK(json_hides("{\"content\":\"\xc3\xa9"
	                 "CANARY\"}",
	                 FORM_JSON, "CANARY"));

	TEST("a machine value that is no single word is masked from its first byte");
	CHECK(json_hides("{\"model\":\"CANARY is a secret\"}", FORM_JSON, "CANARY"));
	CHECK(json_hides("{\"role\":\"CANARY\\n\"}", FORM_JSON, "CANARY"));

	TEST("in a tool's arguments nothing is a known name");
	CHECK(json_hides("{\"input\":{\"model\":\"CANARY\",\"a\":{\"type\":\"CANARY\"}}}",
	                 FORM_JSON, "CANARY"));
	a = json("{\"input\":{\"text\":\"x\"},\"role\":\"user\"}", FORM_JSON, 0);
	CHECK(!strstr(a, "text") && strstr(a, "\"role\":\"user\""));
	free(a);

	TEST("as an array, input is a list of messages");
	a = json("{\"input\":[{\"role\":\"user\",\"content\":\"hello\"}]}", FORM_JSON, 0);
	CHECK(strstr(a, "{\"role\":\"user\",\"content\":\"") && !strstr(a, "hello"));
	free(a);

	TEST("the same string has the same mask wherever it stands, and others have others");
	a = mask_after("{\"content\":\"the same text\"}", FORM_JSON, "\"content\":\"");
	b = mask_after("[{\"type\":\"text\",\"text\":\"the same text\"}]", FORM_JSON,
	               "\"text\":\"");
	CHECK(strlen(a) == 13 && strcmp(a, b) == 0);
	free(b);
	b = mask_after("{\"content\":\"the same texT\"}", FORM_JSON, "\"content\":\"");
	CHECK(strlen(b) == 13 && strcmp(a, b) != 0);
	free(a);
	free(b);

	TEST("strings that differ in one letter, digit or space at the end always differ when "
	     "masked");
	{
		const char *ends =
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!";
		char seen[256] = { 0 };
		int twice = 0;

		for (const char *e = ends; *e; e++) {
			struct mask_chain c;
			char last = 0;

			chain_start(&c, key);
			for (const char *p = "Question "; *p; p++)
				chain_next(&c, *p);
			last = chain_next(&c, *e);
			twice += seen[(uint8_t)last]++;
		}
		CHECK(twice == 0);
	}

	TEST("what is not JSON is masked from there on");
	CHECK(json_hides("{\"a\":CANARY}", FORM_JSON, "CANARY"));
	CHECK(json_hides("5551234", FORM_JSON, "5551234"));
	CHECK(json_hides("{\"content\":\"x\"} CANARY {\"model\":\"CANARY\"}", FORM_JSON, "CANARY"));
	CHECK(json_hides("{\"a\":1]\"model\":\"CANARY\"", FORM_JSON, "CANARY"));
	CHECK(json_hides("{\"content\":\"CANARY", FORM_JSON, "CANARY"));

	TEST("a document deeper than any API's is masked whole");
	a = malloc(4096);
	memset(a, '[', 600);
	strcpy(a + 600, "\"CANARY\"");
	CHECK(json_hides(a, FORM_JSON, "CANARY"));
	free(a);

	TEST("after a gap nothing is certain any more in a document");
	{
		struct mask_word word = { 0 };
		struct mask_json j;
		char one[] = "{\"content\":\"abc", two[] = "CANARY\",\"model\":\"CANARY\"}";

		mask_json_start(&j, key, &word, FORM_JSON);
		mask_json_feed(&j, one, strlen(one));
		mask_json_gap(&j);
		mask_json_feed(&j, two, strlen(two));
		mask_json_end(&j, false);
		CHECK(!strstr(two, "CANARY") && !strstr(two, "model"));
		word_free(&word);
	}

	TEST("but a complete document shows at its end what was structure");
	{
		struct mask_word word = { 0 };
		struct mask_json j;
		char one[] = "{\"content\":\"abc";
		char two[] = "CANARY \\\"usage\\\": {}\",\"type\":\"CANARY\"}],\"text\":\"CANARY\","
			     "\"model\":\"m\",\"usage\":{\"total_tokens\":3}}";

		mask_json_start(&j, key, &word, FORM_JSON);
		mask_json_feed(&j, one, strlen(one));
		mask_json_gap(&j);
		for (size_t i = 0; i < strlen(two); i++)
			mask_json_feed(&j, two + i, 1);
		CHECK(strstr(two, "CANARY"));
		mask_json_end(&j, true);
		CHECK(!strstr(two, "CANARY"));
		CHECK(strstr(two, ",\"model\":\"m\",\"usage\":{\"total_tokens\":3}}"));
		word_free(&word);
	}
}

static void test_sse(void)
{
	static const char stream[] =
		": OPENROUTER CANARY\r\n"
		"event: content_block_delta\r\nid: CANARY\r\nretry: 300\r\n"
		"data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"CANARY\"}}\r\n\r\n"
		"data:{\"usage\":{\"output_tokens\":7}}\n\n"
		"CANARY: x\nCANARY\ndata: CANARY\n\ndata: [DONE]\n\n";
	char *p = json(stream, FORM_SSE, 0);

	TEST("of an event stream the events, the structure and the counters stay");
	CHECK(json_hides(stream, FORM_SSE, "CANARY"));
	CHECK(strstr(p, "\r\nevent: content_block_delta\r\nid: ") &&
	      strstr(p, "\r\nretry: 300\r\n"));
	CHECK(strstr(p, "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\""));
	CHECK(strstr(p, "data:{\"usage\":{\"output_tokens\":7}}\n\n"));
	CHECK(strstr(p, "data: [DONE]\n\n"));
	free(p);

	TEST("an event that is no JSON does not hide the next one");
	p = json("data: nonsense\n\ndata: {\"done\":true}\n\n", FORM_SSE, 0);
	CHECK(strstr(p, "data: {\"done\":true}") && !strstr(p, "nonsense"));
	free(p);

	TEST("an error without \"data: \" is read all the same");
	p = json("{\"error\":{\"code\":429,\"message\":\"CANARY\"}}\n\n", FORM_SSE, 0);
	CHECK(strstr(p, "{\"error\":{\"code\":429,\"message\":\"") && !strstr(p, "CANARY"));
	free(p);

	TEST("after a gap the next line is certain again");
	{
		struct mask_word word = { 0 };
		struct mask_json j;
		char one[] = "data: {\"text\":\"a",
		     two[] = "CANARY\"}\n\ndata: {\"model\":\"m\"}\n\n";

		mask_json_start(&j, key, &word, FORM_SSE);
		mask_json_feed(&j, one, strlen(one));
		mask_json_gap(&j);
		mask_json_feed(&j, two, strlen(two));
		CHECK(!strstr(two, "CANARY") && strstr(two, "data: {\"model\":\"m\"}\n"));
	}

	TEST("of JSON lines each line stands for itself");
	p = json("{\"model\":\"m\",\"response\":\"CANARY\"}\nCANARY\n{\"done\":true}\n", FORM_LINES,
	         0);
	CHECK(strstr(p, "\n{\"done\":true}\n") && !strstr(p, "CANARY"));
	free(p);
}

/* ===== HTTP ===== */

static void test_http(void)
{
	static const char request[] =
		"POST "
		"http://user:CANARY@api.host:80/v1/"
		"messages?alt=sse&key=CANARY&CANARY=1&api-version=2024-10#CANARY HTTP/1.1\r\n"
		"Host: api.host\r\nAuthorization: Bearer CANARY\r\nx-api-key: "
		"CANARY\r\nX-Stainless-Retry-Count: 1\r\n"
		"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
		"1b;CANARY=CANARY\r\n{\"model\":\"m-1\",\"content\":\"C\r\na\r\nANARY "
		"text\r\n2\r\n\"}\r\n0\r\nX-Sum: CANARY\r\n\r\n";
	static const char reply[] =
		"HTTP/1.1 100 CANARY\r\n\r\nHTTP/1.1 200 CANARY\r\nContent-Type: "
		"text/event-stream\r\nSet-Cookie: CANARY\r\n"
		"Content-Length: 28\r\nRetry-After: 7\r\n\r\ndata: {\"content\":\"CANARY\"}\n\n";
	static const char head[] = "HEAD /x HTTP/1.1\r\n\r\n",
			  head_reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
	static const char text_reply[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nCANARY, CANARY";
	struct turn t[] = { { 1, of(request) },
		            { 0, of(reply) },
		            { 1, of(head) },
		            { 0, of(head_reply) },
		            { 1, of("GET /y HTTP/1.1\r\n\r\n") },
		            { 0, of(text_reply) } };
	size_t n;
	char *p = masked(&masker_http, t, 6, 0, &n);

	TEST("of HTTP the framing, the path and harmless headers stay");
	CHECK(holds(p, n, "POST http://"));
	CHECK(holds(p, n, "@api.host:80/v1/messages?alt=sse&"));
	CHECK(holds(p, n, "&api-version=2024-10#"));
	CHECK(holds(p, n, "X-Stainless-Retry-Count: 1\r\n") && holds(p, n, "Retry-After: 7\r\n"));
	CHECK(holds(p, n, "{\"model\":\"m-1\",\"content\":\""));
	CHECK(holds(p, n, "HTTP/1.1 200 OK\r\nContent-Length: 14") ||
	      holds(p, n, "HTTP/1.1 200 xx\r\nContent-Length: 14"));

	TEST("no header, query, chunk extension, trailer or body gives the secret away, in any "
	     "split");
	CHECK(!holds(p, n, "CANARY"));
	CHECK(splits_wrong(&masker_http, t, 6) == 0);
	guarded_free(p, n);

	TEST("of a body that is no LLM's no name and no word stays");
	{
		struct turn store[] = {
			{ 1, of("PUT /collections/c/points HTTP/1.1\r\nContent-Length: 41\r\n\r\n"
			        "{\"type\":\"CANARY\",\"text\":7,\"model\":\"m-1\"}") },
		};

		p = masked(&masker_http, store, 1, 0, &n);
		CHECK(!holds(p, n, "CANARY") && !holds(p, n, "text") && !holds(p, n, "m-1"));
		CHECK(holds(p, n, ":7,"));
		guarded_free(p, n);
	}

	TEST("of a store's reply stays what tells how it went, and nothing that looks like it "
	     "elsewhere");
	{
		struct turn store[] = {
			{ 1, of("POST /_bulk?action=upsert&uploads&CANARY HTTP/1.1\r\n"
			        "Authorization: AWS4-HMAC-SHA256 "
			        "Credential=CANARY/1/eu/s3/aws4_request, "
			        "Signature=CANARY\r\nContent-Length: 20\r\n\r\n"
			        "{\"errors\":\"CANARY\"}\n") },
			{ 0,
			  of("HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\n"
			     "Content-Length: 146\r\n\r\n"
			     "{\"errors\":true,\"items\":[{\"index\":{\"_id\":\"CANARY\",\"error\":"
			     "{\"type\":\"x_exception\",\"reason\":\"CANARY\"}}},{\"type\":"
			     "\"CANARY\","
			     "\"CANARY\":{\"type\":\"CANARY\"}}]}") },
		};

		p = masked(&masker_http, store, 2, 0, &n);
		CHECK(!holds(p, n, "CANARY") && splits_wrong(&masker_http, store, 2) == 0);
		CHECK(holds(p, n, "?action=upsert&uploads&"));
		CHECK(holds(p, n, "AWS4-HMAC-SHA256 Credential=") &&
		      holds(p, n, "/1/eu/s3/aws4_request"));
		CHECK(holds(p, n, "{\"errors\":true,\"items\":[{\"index\":{\""));
		CHECK(holds(p, n, "\"error\":{\"type\":\"x_exception\",\""));
		guarded_free(p, n);
	}

	TEST("what is not HTTP is zeroed");
	{
		struct turn bad[] = { { 1, of("GET / HTTP/1.1\r\nA\001CANARY: x\r\n\r\n") } };

		p = masked(&masker_http, bad, 1, 0, &n);
		CHECK(!holds(p, n, "CANARY"));
		guarded_free(p, n);
	}
}

static size_t gzip(const char *text, char *out, size_t room)
{
	z_stream z = { 0 };

	deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)text;
	z.avail_in = (uInt)strlen(text);
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)room;
	deflate(&z, Z_FINISH);
	deflateEnd(&z);
	return room - z.avail_out;
}

static void test_encoded(void)
{
	static const char plain[] = "{\"model\":\"m-1\",\"choices\":[{\"message\":{\"content\":"
				    "\"CANARY\"}}],\"usage\":{\"total_tokens\":3}}";
	char body[512], reply[1024], zeros[512] = { 0 }, *whole, *p, *b;
	size_t nbody = gzip(plain, body, sizeof(body)), n, nhead, wrong = 0, nreply;
	struct turn t[] = { { 1, of("POST /v1/messages HTTP/1.1\r\n\r\n") }, { 0, { reply, 0 } } };

	nhead = (size_t)sprintf(reply,
	                        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: "
	                        "application/json\r\nContent-Length: %zu\r\n\r\n",
	                        nbody);
	memcpy(reply + nhead, body, nbody);
	nreply = nhead + nbody;
	t[1].b.n = nreply;

	TEST("an encoded body becomes zeros, and a block with what it decodes to, masked");
	p = masked(&masker_http, t, 2, 0, &n);
	CHECK(memcmp(p + t[0].b.n + nhead, zeros, nbody) == 0);
	CHECK(owner.count == 1 && owner.n[0] == strlen(plain));
	whole = blocks_joined();
	CHECK(strstr(whole, "{\"model\":\"m-1\",\"choices\":[{\"message\":{\"content\":\"") &&
	      !strstr(whole, "CANARY"));
	CHECK(strstr(whole, "\"usage\":{\"total_tokens\":3}}"));
	guarded_free(p, n);

	TEST("split anywhere, each slice has its block, empty or not, and they add up to the same");
	for (size_t split = nhead + 1; split < nreply; split++) {
		p = masked(&masker_http, t, 2, split, &n);
		b = blocks_joined();
		wrong += strcmp(b, whole) != 0 || owner.count != 2;
		free(b);
		guarded_free(p, n);
	}
	CHECK(wrong == 0);
	p = masked(&masker_http, t, 2, SIZE_MAX, &n);
	b = blocks_joined();
	CHECK(strcmp(b, whole) == 0 && owner.count == nbody);
	free(b);
	free(whole);
	guarded_free(p, n);

	TEST("an encoding nobody reads leaves zeros and no block");
	memcpy(strstr(reply, "gzip"), "br  ", 4);
	p = masked(&masker_http, t, 2, 0, &n);
	CHECK(memcmp(p + t[0].b.n + nhead, zeros, nbody) == 0 && owner.count == 0);
	guarded_free(p, n);
	owner_reset();
}

/* ===== Redis ===== */

static void test_redis(void)
{
	static const char request[] = "*5\r\n$3\r\nSET\r\n$6\r\nCANARY\r\n$12\r\nCANARY\r\n*"
				      "1\r\n\r\n$2\r\nEX\r\n$2\r\n60\r\n"
				      "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$6\r\nCANARY\r\n*"
				      "2\r\n$6\r\nCANARY\r\n$-1\r\nAUTH CANARY CANARY\r\nPING\r\n";
	static const char reply[] =
		"+OK\r\n+CANARY\r\n-WRONGTYPE CANARY "
		"is\r\n:42\r\n$6\r\nCANARY\r\n$-1\r\n*2\r\n$7\r\nmessage\r\n$6\r\nCANARY\r\n"
		"%1\r\n+CANARY\r\n,1.5\r\n#t\r\n_\r\n!10\r\nERR "
		"CANARY\r\n=10\r\ntxt:CANARY\r\n>1\r\n$0\r\n\r\n";
	struct turn t[] = { { 1, of(request) }, { 0, of(reply) } };
	size_t n;
	char *p = masked(&masker_redis, t, 2, 0, &n);

	TEST("of RESP commands, options, lengths, integers and error codes stay");
	CHECK(holds(p, n, "*5\r\n$3\r\nSET\r\n$6\r\n") && holds(p, n, "\r\n$2\r\nEX\r\n$2\r\n"));
	CHECK(holds(p, n, "$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$6\r\n"));
	CHECK(holds(p, n, "\r\nAUTH ") && holds(p, n, "\r\nPING\r\n"));
	CHECK(holds(p, n, "+OK\r\n") && holds(p, n, "-WRONGTYPE ") && holds(p, n, ":42\r\n"));
	CHECK(holds(p, n, "$7\r\nmessage\r\n") && holds(p, n, "!10\r\nERR ") &&
	      holds(p, n, ">1\r\n$0\r\n\r\n"));

	TEST("keys, values and texts go, in any split");
	CHECK(!holds(p, n, "CANARY") && !holds(p, n, "60"));
	CHECK(splits_wrong(&masker_redis, t, 2) == 0);
	guarded_free(p, n);

	TEST("what is not RESP is zeroed");
	{
		struct turn bad[] = { { 1, of("*1\r\n$4\r\nPING\r\n\001CANARY") },
			              { 0, of("?CANARY") } };

		p = masked(&masker_redis, bad, 2, 0, &n);
		CHECK(!holds(p, n, "CANARY") && holds(p, n, "PING"));
		guarded_free(p, n);
	}
}

/* ===== PostgreSQL ===== */

static size_t pg(char *out, char type, const char *body, size_t n)
{
	size_t at = 0;
	uint32_t len = (uint32_t)n + 4;

	if (type)
		out[at++] = type;
	for (int i = 24; i >= 0; i -= 8)
		out[at++] = (char)(len >> i);
	memcpy(out + at, body, n);
	return at + n;
}
#define PG(type, body) pg(out + n, type, body, sizeof(body) - 1)

static size_t frontend(char *out)
{
	size_t n = 0;

	n += PG(0, "\0\3\0\0user\0CANARY\0database\0CANARY\0CANARY\0CANARY\0\0");
	n += PG('p', "SCRAM-SHA-256\0CANARY");
	n += PG('Q', "SELECT 1\0");
	n += PG('Q', "/* CANARY */ SELECT canary, 'select CANARY ''CANARY' FROM \"CANARY\" WHERE a "
	             "= E'\\'CANARY' -- CANARY\n AND b = $q$CANARY$ from$q$ LIMIT 25\0");
	n += PG('P', "st1\0INSERT INTO CANARY VALUES ($1)\0\0\1\0\0\0\x19");
	n += PG('B', "\0st1\0\0\1\0\0\0\2\0\0\0\6CANARY\xff\xff\xff\xff\0\0");
	n += PG('B', "\0st2\0\0\0\0\0\0\0");
	n += PG('E', "\0\0\0\0\0");
	n += PG('S', "");
	n += PG('d', "CANARY\tCANARY\n");
	n += PG('f', "CANARY\0");
	return n;
}

static size_t backend(char *out)
{
	size_t n = 0;

	n += PG('R', "\0\0\0\5CANA");
	n += PG('S', "server_version\0CANARY\0");
	n += PG('K', "\0\0\1\2CANARY");
	n += PG('Z', "I");
	n += PG('T', "\0\1CANARY\0\0\0\0\1\0\2\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
	n += PG('D', "\0\2\0\0\0\6CANARY\xff\xff\xff\xff");
	n += PG('C', "SELECT 1\0");
	n += PG('E', "SERROR\0VERROR\0C23505\0MCANARY exists\0DCANARY\0\0");
	n += PG('A', "\0\0\0\1CANARY\0CANARY\0");
	n += PG('N', "SNOTICE\0MCANARY\0\0");
	n += PG('d', "CANARY");
	return n;
}

static void test_postgres(void)
{
	char out[2048], in[2048];
	struct turn t[] = { { 1, { out, frontend(out) } }, { 0, { in, backend(in) } } };
	size_t n, nmask = 0;
	char *p = masked(&masker_postgres, t, 2, 0, &n), *first, *second;

	TEST("of PostgreSQL messages, keywords, tags and SQLSTATE stay");
	CHECK(holds(p, n, "user") && holds(p, n, "database"));
	CHECK(holds(p, n, "SELECT 1") && holds(p, n, "INSERT INTO ") && holds(p, n, " VALUES ($"));
	CHECK(holds(p, n, " FROM \"") && holds(p, n, " LIMIT "));
	CHECK(memmem(p, n, "SERROR\0VERROR\0C23505\0M", 22) != NULL);
	CHECK(holds(p, n, "server_version"));

	TEST("literals, identifiers, comments, parameters, rows, passwords and messages go, in any "
	     "split");
	CHECK(!holds(p, n, "CANARY") && !holds(p, n, "canary") && !holds(p, n, "CANA") &&
	      !holds(p, n, "25\0"));
	CHECK(splits_wrong(&masker_postgres, t, 2) == 0);

	TEST("a statement's name has the same mask at Parse and Bind, and another another");
	first = memmem(p, n, "INSERT", 6);
	second = first ? memmem(first, n - (size_t)(first - p), "B\0\0\0", 4) : NULL;
	CHECK(first && second && memcmp(first - 4, second + 6, 3) == 0 && (nmask = 1));
	if (nmask) {
		char *third = memmem(second + 1, n - (size_t)(second + 1 - p), "B\0\0\0", 4);

		CHECK(third && memcmp(first - 4, third + 6, 3) != 0);
	}
	guarded_free(p, n);

	TEST("a request for encryption is answered by one byte");
	{
		struct turn ssl[] = { { 1, { "\0\0\0\10\4\xd2\x16\x2f", 8 } },
			              { 0, { "N", 1 } },
			              { 1, { out, t[0].b.n } },
			              { 0, { in, t[1].b.n } } };

		p = masked(&masker_postgres, ssl, 4, 0, &n);
		CHECK(p[8] == 'N' && holds(p, n, "SELECT 1") && !holds(p, n, "CANARY") &&
		      holds(p, n, "23505"));
		guarded_free(p, n);
	}
}

/* ===== TLS ===== */

static void test_tls(void)
{
	static const char hello[] =
		"\x16\3\1\0\x0c\1\0\0\x08SNI name\x14\3\3\0\1\1\x17\3\3\0\6CANARY";
	static const char server[] = "\x16\3\3\0\6CANARY\x17\3\3\0\6CANARY";
	struct turn t[] = { { 1, { hello, sizeof(hello) - 1 } },
		            { 0, { server, sizeof(server) - 1 } },
		            { 1, { "\x17\3\3\0\x0a\1\0\0\6CANARY", 15 } } };
	size_t n;
	char *p = masked(&masker_tls, t, 3, 0, &n);

	TEST("of TLS the record headers and the ClientHello stay, in any split");
	CHECK(memcmp(p, hello, 17) == 0 &&
	      memcmp(p + 17, "\x14\3\3\0\1\0\x17\3\3\0\6\0\0\0\0\0\0", 17) == 0);
	CHECK(memcmp(p + sizeof(hello) - 1, "\x16\3\3\0\6\0\0\0\0\0\0\x17\3\3\0\6\0\0\0\0\0\0",
	             22) == 0);
	CHECK(!holds(p, n, "CANARY"));
	CHECK(splits_wrong(&masker_tls, t, 3) == 0);
	guarded_free(p, n);
}

int main(void)
{
	test_json();
	test_sse();
	test_http();
	test_encoded();
	test_redis();
	test_postgres();
	test_tls();
	return DONE();
}
