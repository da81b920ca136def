/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of userspace/scrub.c: a scrubbed recording holds no secret and gives the same calls as the original. */
#ifdef HAVE_BROTLI
#include <brotli/encode.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif
#include "scrub_fixture.h"

#include <zlib.h>

#include "secrets.h"

/* ===== Dialogues ===== */

static void http_request(struct recording *r, uint16_t type, uint64_t id, const char *path,
                         const char *body, size_t step)
{
	char *text = malloc(strlen(body) + 1024);

	sprintf(text,
	        "POST %s?key=CANARY HTTP/1.1\r\nHost: api.openai.com\r\nAuthorization: Bearer "
	        "sk-CANARY\r\n"
	        "X-Stainless-Retry-Count: 1\r\nX-Stainless-Read-Timeout: 600\r\nContent-Type: "
	        "application/json\r\nContent-Length: "
	        "%zu\r\n\r\n%s",
	        path, strlen(body), body);
	add_text(r, type, id, DIR_OUT, text, step);
	free(text);
}

static const char chat_1[] =
	"{\"model\":\"gpt-4o-mini\",\"stream\":true,\"messages\":[{\"role\":\"system\",\"content\":"
	"\"You are CANARY.\"},"
	"{\"role\":\"user\",\"content\":\"Question 1 CANARY\\n\\\"quoted\\\"\"}]}";
static const char chat_2[] =
	"{\"model\":\"gpt-4o-mini\",\"stream\":true,\"messages\":[{\"role\":\"system\",\"content\":"
	"\"You are CANARY.\"},"
	"{\"role\":\"user\",\"content\":\"Question 2 CANARY\\n\\\"quoted\\\"\"}]}";
static const char chat_3[] =
	"{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"system\",\"content\":\"You are "
	"CANARY.\"},"
	"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Question 1 "
	"CANARY\\n\\\"quoted\\\"\"}]},"
	"{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"CANARY\",\"type\":"
	"\"function\",\"function\":"
	"{\"name\":\"look\",\"arguments\":\"{\\\"type\\\":\\\"CANARY\\\"}\"}}]},"
	"{\"role\":\"tool\",\"tool_call_id\":\"CANARY\",\"content\":\"CANARY result\"}]}";

/* A stream in chunks that end anywhere. */
static size_t stream_reply(char *out)
{
	static const char *const chunks[] = {
		": CANARY waiting\n\n",
		"data: "
		"{\"model\":\"gpt-4o-mini-2\",\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}"
		"\n\n",
		"data: {\"choices\":[{\"delta\":{\"content\":\"CANARY te",
		"xt\"},\"finish_reason\":\"stop\"}]}\n\n",
		"data: "
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34}}"
		"\n\ndata: [DO",
		"NE]\n\n",
		"",
	};
	size_t n = (size_t)sprintf(out,
	                           "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	                           "X-Request-Id: CANARY\r\nX-RateLimit-Remaining-Tokens: 9\r\n"
	                           "X-RateLimit-Reset-Tokens: 6m0s\r\n"
	                           "Set-Cookie: CANARY\r\nTransfer-Encoding: chunked\r\n\r\n");

	for (size_t i = 0; i < sizeof(chunks) / sizeof(*chunks); i++)
		n += (size_t)sprintf(out + n, "%zx\r\n%s\r\n", strlen(chunks[i]), chunks[i]);
	return n;
}

static size_t gzip_reply(const char *body, char *out, size_t room)
{
	char packed[65536];
	z_stream z = { 0 };
	size_t n, head;

	deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)body;
	z.avail_in = (uInt)strlen(body);
	z.next_out = (Bytef *)packed;
	z.avail_out = sizeof(packed);
	deflate(&z, Z_FINISH);
	n = sizeof(packed) - z.avail_out;
	deflateEnd(&z);
	head = (size_t)snprintf(
		out, room,
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
		"X-Secret: CANARY\r\nContent-Length: %zu\r\n\r\n",
		n);
	memcpy(out + head, packed, n);
	return head + n;
}

static void llm_dialogue(struct recording *r, uint16_t type, uint64_t id, size_t step)
{
	static const char reply[] =
		"{\"model\":\"gpt-4o-mini-3\",\"choices\":[{\"message\":{\"role\":\"assistant\","
		"\"content\":"
		"\"CANARY says\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,"
		"\"completion_tokens\":6,\"prompt_tokens_details\":{\"cached_tokens\":2}}}";
	static const char limited[] = "{\"error\":{\"type\":\"tokens\",\"code\":\"rate_limit_"
				      "exceeded\",\"message\":\"CANARY\"}}";
	char packed[4096], head[256];

	http_request(r, type, id, "/v1/chat/completions", chat_1, step);
	add_bytes(r, type, id, DIR_IN, packed, stream_reply(packed), step);
	http_request(r, type, id, "/v1/chat/completions", chat_2, step);
	add_bytes(r, type, id, DIR_IN, packed, gzip_reply(reply, packed, sizeof(packed)), step);
	http_request(r, type, id, "/v1/chat/completions", chat_3, step);
	sprintf(head,
	        "HTTP/1.1 429 Too Many CANARY\r\nRetry-After: 7\r\nContent-Length: %zu\r\n\r\n",
	        strlen(limited));
	add_text(r, type, id, DIR_IN, head, step);
	add_text(r, type, id, DIR_IN, limited, step);
}

static void test_llm(void)
{
	TEST("chats give the same calls, conversations and counters in any cut, and keep no "
	     "secret");
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 5, 80);
		llm_dialogue(&r, EV_DATA, 5, steps[i]);
		check_scrub(&r, 3);
		recording_free(&r);
	}
	TEST("the same through a TLS object, with its ciphertext beside it");
	for (size_t i = 3; i < STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 6, 443);
		add_bytes(&r, EV_DATA, 6, DIR_OUT, "\x16\3\1\0\7\1\0\0\3SNI", 12, 100);
		add_bytes(&r, EV_DATA, 6, DIR_IN, "\x16\3\3\0\6CANARY\x17\3\3\0\6CANARY", 22, 5);
		llm_dialogue(&r, EV_TLS, 7, steps[i]);
		add_bytes(&r, EV_DATA, 6, DIR_OUT, "\x17\3\3\0\6CANARY", 11, 100);
		/* plaintext that is not bound to its socket is read from a whole request line on */
		check_scrub(&r, steps[i] < 100 ? 2 : 3);
		recording_free(&r);
	}
}

static void test_gzip(void)
{
	char *body = malloc(400000), packed[65536 + 300];
	size_t n = (size_t)sprintf(body, "{\"choices\":[{\"message\":{\"content\":\"");
	struct recording r = { 0 }, out;
	size_t bodies = 0;

	while (n < 300000)
		n += (size_t)sprintf(body + n, "CANARY %zu ", n % 977);
	sprintf(body + n, "\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}");

	TEST("a slice that swells beyond what a record holds is cut, with a block for each part");
	add_connect(&r, 5, 80);
	http_request(&r, EV_DATA, 5, "/v1/chat/completions", chat_1, 100000);
	add_bytes(&r, EV_DATA, 5, DIR_IN, packed, gzip_reply(body, packed, sizeof(packed)), 100000);
	out = scrubbed(&r);
	for (size_t i = 0; i < out.n; i++) {
		if (out.e[i]->type != EV_BODY)
			continue;
		bodies++;
		CHECK(out.e[i]->size <= EVENT_SIZE_MAX);
	}
	CHECK(bodies > 9);
	recording_free(&out);
	check_scrub(&r, 1);
	recording_free(&r);
	free(body);
}

#if defined(HAVE_BROTLI) && defined(HAVE_ZSTD)

/* A reply in a coding that swells a few bytes to more than a record holds. */
static void coded_dialogue(struct recording *r, uint64_t id, const char *coding, size_t step)
{
	size_t room = 400000, n, size;
	char *body = malloc(room), *packed = malloc(room);

	n = (size_t)sprintf(body, "{\"choices\":[{\"message\":{\"content\":\"");
	memset(body + n, 'C', 300000);
	n += 300000;
	n += (size_t)sprintf(body + n, "CANARY\"},\"finish_reason\":\"stop\"}],\"usage\":"
	                               "{\"prompt_tokens\":5,\"completion_tokens\":6}}");
	if (strcmp(coding, "br") == 0) {
		size = room;
		if (!BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, n, (uint8_t *)body, &size,
		                           (uint8_t *)packed))
			abort();
	} else {
		size = ZSTD_compress(packed, room, body, n, 3);
	}
	http_request(r, EV_DATA, id, "/v1/chat/completions", chat_1, step);
	sprintf(body,
	        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: %s\r\n"
	        "Content-Length: %zu\r\n\r\n",
	        coding, size);
	n = strlen(body);
	memcpy(body + n, packed, size);
	add_bytes(r, EV_DATA, id, DIR_IN, body, n + size, step);
	free(body);
	free(packed);
}

static void test_codings(void)
{
	static const char *const codings[] = { "br", "zstd" };

	TEST("br and zstd bodies give the same calls, however far a slice swells");
	for (size_t i = 0; i < 2 * STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 5, 80);
		coded_dialogue(&r, 5, codings[i % 2], steps[i / 2]);
		check_scrub(&r, 1);
		recording_free(&r);
	}
}

#else
static void test_codings(void)
{
}
#endif

static void websocket_dialogue(struct recording *r, uint64_t id, size_t step)
{
	static const char ask[] = "\x81\x86\1\2\3\4CANARY", answer[] = "\xc1\x06"
								       "CANARY";

	add_text(r, EV_DATA, id, DIR_OUT,
	         "GET /v1/realtime?model=CANARY HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
	         "Sec-WebSocket-Key: CANARY\r\n\r\n",
	         step);
	add_text(r, EV_DATA, id, DIR_IN,
	         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", step);
	add_bytes(r, EV_DATA, id, DIR_OUT, ask, 12, step);
	add_bytes(r, EV_DATA, id, DIR_IN,
	          "\x89\x06"
	          "CANARY",
	          8, step);
	add_bytes(r, EV_DATA, id, DIR_IN, answer, 8, step);
	add_bytes(r, EV_DATA, id, DIR_OUT, ask, 12, step);
	add_bytes(r, EV_DATA, id, DIR_IN, answer, 8, step);
}

static void test_websocket(void)
{
	TEST("WebSocket's frames and their times stay, payloads go");
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 5, 80);
		websocket_dialogue(&r, 5, steps[i]);
		check_scrub(&r, 3);
		recording_free(&r);
	}
}

static void redis_dialogue(struct recording *r, uint64_t id, size_t step)
{
	static const char out[] =
		"*3\r\n$3\r\nSET\r\n$6\r\nCANARY\r\n$8\r\nCANARY 1\r\n*1\r\n$4\r\nPING\r\n"
		"*6\r\n$5\r\nXREAD\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n$6\r\nCANARY\r\n$"
		"1\r\n$\r\n"
		"*2\r\n$3\r\nGET\r\n$6\r\nCANARY\r\n";
	static const char in[] =
		"+OK\r\n+PONG\r\n*1\r\n*2\r\n$6\r\nCANARY\r\n*0\r\n-WRONGTYPE CANARY\r\n";

	add_text(r, EV_DATA, id, DIR_OUT, out, step);
	add_text(r, EV_DATA, id, DIR_IN, in, step);
}

static void test_redis(void)
{
	TEST("Redis commands and their outcomes stay, keys and values go");
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 5, 6379);
		redis_dialogue(&r, 5, steps[i]);
		check_scrub(&r, 4);
		recording_free(&r);
	}
}

static size_t pg(char *out, char type, const char *body, size_t n)
{
	uint32_t len = (uint32_t)n + 4;
	size_t at = 0;

	if (type)
		out[at++] = type;
	for (int i = 24; i >= 0; i -= 8)
		out[at++] = (char)(len >> i);
	memcpy(out + at, body, n);
	return at + n;
}
#define PG(type, body) n += pg(b + n, type, body, sizeof(body) - 1)

static void postgres_startup(struct recording *r, uint64_t id, size_t step)
{
	char b[1024];
	size_t n = 0;

	PG(0, "\0\3\0\0user\0CANARY\0\0");
	add_bytes(r, EV_DATA, id, DIR_OUT, b, n, step);
	n = 0;
	PG('R', "\0\0\0\0");
	PG('S', "server_version\0CANARY\0");
	PG('Z', "I");
	add_bytes(r, EV_DATA, id, DIR_IN, b, n, step);
}

static void postgres_dialogue(struct recording *r, uint64_t id, size_t step)
{
	char b[1024];
	size_t n;

	n = 0;
	PG('Q', "WITH canary AS (SELECT 'CANARY') INSERT INTO t SELECT * FROM canary\0");
	add_bytes(r, EV_DATA, id, DIR_OUT, b, n, step);
	n = 0;
	PG('C', "INSERT 0 1\0");
	PG('Z', "I");
	add_bytes(r, EV_DATA, id, DIR_IN, b, n, step);
	n = 0;
	PG('P', "s1\0UPDATE t SET a = $1\0\0\0");
	PG('B', "\0s1\0\0\0\0\1\0\0\0\6CANARY\0\0");
	PG('E', "\0\0\0\0\0");
	PG('S', "");
	PG('Q', "SELECT 1\0");
	add_bytes(r, EV_DATA, id, DIR_OUT, b, n, step);
	n = 0;
	PG('1', "");
	PG('2', "");
	PG('E', "SERROR\0VERROR\0C23505\0MCANARY\0\0");
	PG('Z', "I");
	PG('T', "\0\1CANARY\0\0\0\0\1\0\2\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
	PG('D', "\0\1\0\0\0\6CANARY");
	PG('C', "SELECT 1\0");
	PG('Z', "I");
	add_bytes(r, EV_DATA, id, DIR_IN, b, n, step);
	n = 0;
	PG('B', "\0s1\0\0\0\0\1\0\0\0\6CANARY\0\0");
	PG('E', "\0\0\0\0\0");
	PG('S', "");
	add_bytes(r, EV_DATA, id, DIR_OUT, b, n, step);
	n = 0;
	PG('2', "");
	PG('C', "UPDATE 3\0");
	PG('Z', "I");
	add_bytes(r, EV_DATA, id, DIR_IN, b, n, step);
}

static void test_postgres(void)
{
	TEST("PostgreSQL statements and their outcomes stay, texts and values go");
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 5, 5432);
		postgres_startup(&r, 5, steps[i]);
		postgres_dialogue(&r, 5, steps[i]);
		check_scrub(&r, 4);
		recording_free(&r);
	}
}

static void test_doubt(void)
{
	struct recording r = { 0 }, out;
	const struct ev_data *d;
	size_t sum = 0;

	TEST("an unknown protocol leaves only zeros");
	add_connect(&r, 5, 7687);
	add_bytes(&r, EV_DATA, 5, DIR_OUT, "\xfe\xed\xb0\x17 CANARY", 11, 4);
	add_bytes(&r, EV_DATA, 5, DIR_IN, "CANARY", 6, 4);
	out = scrubbed(&r);
	for (size_t i = 0; i < out.n; i++) {
		d = (const struct ev_data *)out.e[i];
		for (uint32_t k = 0; d->h.type == EV_DATA && k < d->n; k++)
			sum += d->data[k];
	}
	CHECK(sum == 0 && same_shape(&r, &out));
	recording_free(&out);
	recording_free(&r);

	TEST("a stream met in its middle is zeros until a request starts");
	add_text(&r, EV_DATA, 5, DIR_IN, "CANARY\"}\r\n\r\n", 100);
	add_text(&r, EV_DATA, 5, DIR_OUT, "CANARY HTTP/1.1\r\n\r\n", 100);
	llm_dialogue(&r, EV_DATA, 5, 100000);
	check_scrub(&r, 3);
	recording_free(&r);

	TEST("after a record was lost nothing of the message stays, and the next one is read "
	     "again");
	for (int proto = 0; proto < 3; proto++) {
		for (size_t lost = 1; lost < 40; lost++) {
			struct recording all = { 0 };

			add_connect(&all, 5, proto == 0 ? 80 : proto == 1 ? 6379 : 5432);
			if (proto == 2)
				postgres_startup(&all, 5, 60);
			for (int i = 0; i < 4; i++) {
				if (proto == 0)
					llm_dialogue(&all, EV_DATA, 5, 60);
				else if (proto == 1)
					redis_dialogue(&all, 5, 60);
				else
					postgres_dialogue(&all, 5, 60);
			}
			r = (struct recording){ .ts = all.ts };
			for (size_t i = 0; i < all.n; i++)
				if (i != lost)
					record(&r, all.e[i]);
			check_scrub(&r, 3);
			recording_free(&r);
			recording_free(&all);
		}
	}

	TEST("what the capture did not keep of an operation is a gap, too");
	add_connect(&r, 5, 6379);
	r.ts += 1000;
	add_record(&r, EV_DATA, 5, DIR_OUT, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$100\r\nCANARY", 34,
	           34 + 96, 0, false);
	r.pos[5][DIR_OUT] += 34 + 96;
	add_text(&r, EV_DATA, 5, DIR_IN, "+OK\r\n", 100);
	add_text(&r, EV_DATA, 5, DIR_OUT, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", 100);
	add_text(&r, EV_DATA, 5, DIR_IN, "$6\r\nCANARY\r\n", 100);
	check_scrub(&r, 2);
	recording_free(&r);

	TEST("records that are shorter than they say are left out");
	{
		struct ev_data bad = { .h = { sizeof(bad), EV_DATA, 0, 1, 1, 1 },
			               .n = 4000,
			               .total = 4000 };
		struct event unknown = { sizeof(unknown), EV_TYPES, 0, 1, 1, 1 };
		struct scrub *s = scrub_new(record, &r, key);

		scrub_feed(s, &bad.h);
		scrub_feed(s, &unknown);
		scrub_end(s);
		CHECK(r.n == 0 && scrub_dropped(s) == 2);
		scrub_free(s);
		recording_free(&r);
	}
}

/* ===== Texts ===== */

static struct recording process(const char *text, size_t n)
{
	struct ev_process *e = calloc(1, sizeof(*e) + n);
	struct recording r = { 0 }, out;

	e->h = (struct event){ (uint32_t)(sizeof(*e) + n), EV_PROCESS, 0, 1, 1, 1 };
	memcpy(e->text, text, n);
	record(&r, &e->h);
	free(e);
	out = scrubbed(&r);
	recording_free(&r);
	return out;
}

/* The line people are shown is the same, and the secret is gone. */
static bool command_good(const char *text, size_t n)
{
	struct recording r = process(text, n);
	const struct ev_process *e = (const struct ev_process *)r.e[0];
	char *before = command_mask(text, n),
	     *after = command_mask(e->text, e->h.size - sizeof(*e));
	bool good = r.n == 1 && strcmp(before, after) == 0 && !recording_holds(&r, "CANARY");

	if (!good)
		printf("# before %s\n# after  %s\n", before, after);
	free(before);
	free(after);
	recording_free(&r);
	return good;
}
#define COMMAND(text) command_good(text, sizeof(text))

static void test_texts(void)
{
	static const char plain[] = "python3\0run.py\0--model\0gpt-4o";
	struct recording r = process(plain, sizeof(plain));
	char *big = malloc(20000);
	size_t n = 0;

	TEST("a command line without secrets stays as it is, NULs included");
	CHECK(memcmp(((struct ev_process *)r.e[0])->text, plain, sizeof(plain) - 1) == 0);
	recording_free(&r);

	TEST("secrets of a command line go, and it is shown as before");
	CHECK(COMMAND("python3\0run.py\0--api-key\0CANARY-1234\0--x\0y"));
	CHECK(COMMAND("python3\0--api-key=CANARY\0x"));
	CHECK(COMMAND("env\0PASSWORD=CANARY a b\0python3\0run.py"));
	CHECK(COMMAND("curl\0-H\0Authorization: Bearer "
	              "CANARY\0https://user:CANARY@host/p?token=CANARY&x=CANARY"));
	CHECK(COMMAND("sh\0-c\0export OPENAI_API_KEY=CANARY; python3 run.py"));

	TEST("so is one longer than what is shown");
	while (n < 15000)
		n += (size_t)sprintf(big + n, "argument%zu%c", n, 0);
	n += (size_t)sprintf(big + n, "--api-key=CANARY");
	CHECK(command_good(big, n));
	free(big);

	TEST("an option's command and address lose their secrets");
	{
		static const char option[] = "webhook=https://u:CANARY@host/x?key=CANARY";
		struct ev_text *e = calloc(1, sizeof(*e) + sizeof(option));
		struct recording in = { 0 }, out;

		e->h = (struct event){
			(uint32_t)(sizeof(*e) + sizeof(option) - 1), EV_OPTION, 0, 1, 1, 1
		};
		memcpy(e->text, option, sizeof(option) - 1);
		record(&in, &e->h);
		free(e);
		out = scrubbed(&in);
		CHECK(out.n == 1 && !recording_holds(&out, "CANARY") &&
		      recording_holds(&out, "webhook=https://"));
		recording_free(&in);
		recording_free(&out);
	}
}

/* All that was written, as it stands in the recording; up to n - 1 bytes. */
static void written(const struct recording *r, char *to, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct ev_data *d = (const struct ev_data *)r->e[i];

		if (d->h.type != EV_WRITE || used + d->n >= n)
			continue;
		memcpy(to + used, d->data, d->n);
		used += d->n;
	}
	to[used] = '\0';
}

static void add_file(struct recording *r, uint64_t id, const char *path)
{
	struct ev_file *e = calloc(1, sizeof(*e) + strlen(path));

	e->h = (struct event){ (uint32_t)(sizeof(*e) + strlen(path)), EV_FILE, 0, r->ts, 100, 101 };
	e->dev = id; /* as add_record() has it */
	memcpy(e->text, path, strlen(path));
	record(r, &e->h);
	free(e);
}

static void test_written(void)
{
	static const char log[] =
		"{\"type\": \"send_message\", \"test_id\": \"CANARY case\", \"timestamp\": 12.5, "
		"\"data\": {\"message\": \"my CANARY 4711\", \"CANARY key\": true}}\n"
		"{\"type\": \"response_message\", \"test_id\": \"CANARY case\"}\n"
		"CANARY: 3/20 tests done, 15% \033[31mCANARY\033[0m pin 4711 /4711/x\n";
	char text[1024], first[64], again[64], cut[1024] = "";
	bool same = true;

	TEST("of what a run writes the structure stays, strings go, and equal ones stay equal");
	for (size_t step = 1; step < sizeof(log); step++) {
		struct recording in = { 0 }, out;

		add_file(&in, 3, "/run/log");
		add_text(&in, EV_WRITE, 3, DIR_OUT, log, step);
		out = scrubbed(&in);
		written(&out, text, sizeof(text));
		same &= in.n == out.n && strlen(text) == strlen(log);
		same &= !recording_holds(&out, "CANARY") && !recording_holds(&out, "4711");
		same &= recording_holds(&out, "/run/log");
		same &= step == 1 || strcmp(text, cut) == 0;
		snprintf(cut, sizeof(cut), "%s", text);
		recording_free(&in);
		recording_free(&out);
	}
	CHECK(same);
	CHECK(strstr(text, "{\"type\": \"send_message\", \"test_id\": \""));
	CHECK(strstr(text, "\"timestamp\": 12.5, \"data\": {\"message\": \""));
	CHECK(sscanf(strstr(text, "\"test_id\": ") + 12, "%60[^}]", first) == 1);
	CHECK(sscanf(strstr(strstr(text, "response_message"), "\"test_id\": ") + 12, "%60[^}]",
	             again) == 1);
	CHECK(strncmp(first, again, strlen(again)) == 0);
	CHECK(strstr(text, " 3/20 tests done, 15% \033[31m"));

	TEST("behind a gap the rest of the line is masked, the next line is read again");
	{
		struct recording in = { 0 }, out;

		add_text(&in, EV_WRITE, 3, DIR_OUT, "{\"type\": \"begin\", \"test_id\": \"a\"",
		         1000);
		in.pos[3][DIR_OUT] += 10;
		add_text(&in, EV_WRITE, 3, DIR_OUT,
		         "CANARY\", \"type\": \"x\"}\n{\"type\": \"end\"}\n", 1000);
		out = scrubbed(&in);
		written(&out, text, sizeof(text));
		CHECK(!recording_holds(&out, "CANARY"));
		CHECK(strstr(text, "}\n{\"type\": \"end\"}\n"));
		recording_free(&in);
		recording_free(&out);
	}

	TEST("what is no text is zeros");
	{
		static const char binary[] = "PK\3\4\0\0some bytes CANARY";
		struct recording in = { 0 }, out;

		add_bytes(&in, EV_WRITE, 3, DIR_OUT, binary, sizeof(binary), 1000);
		add_text(&in, EV_WRITE, 3, DIR_OUT, "more CANARY", 1000);
		out = scrubbed(&in);
		CHECK(!recording_holds(&out, "some") && !recording_holds(&out, "more") &&
		      !recording_holds(&out, "CANARY"));
		recording_free(&in);
		recording_free(&out);
	}
}

static void test_order(void)
{
	struct recording r = { 0 }, out;
	struct event tick = { sizeof(tick), EV_TICK, 0, 5, 1, 1 };
	size_t i;

	TEST("events keep their order though one waits for what follows, and none waits for ever");
	add_connect(&r, 5, 80);
	http_request(&r, EV_DATA, 5, "/v1/chat/completions", "{\"model\":\"gp", 100000);
	for (i = 0; i < 20000; i++)
		record(&r, &tick);
	out = scrubbed(&r);
	CHECK(same_shape(&r, &out));
	recording_free(&out);
	recording_free(&r);
}

int main(void)
{
	test_llm();
	test_gzip();
	test_codings();
	test_websocket();
	test_redis();
	test_postgres();
	test_doubt();
	test_texts();
	test_written();
	test_order();
	return DONE();
}
