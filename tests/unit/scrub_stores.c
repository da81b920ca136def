/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of userspace/scrub.c: stores whose first bytes tell them, S3's XML, and Bedrock's event streams. */
#include "scrub_fixture.h"

#include <stdarg.h>

/* ===== Dialogues ===== */

struct turn {
	int dir;
	const char *p;
	size_t n;
};
#define TURN(dir, text)                     \
	{                                   \
		dir, text, sizeof(text) - 1 \
	}

static const struct turn mysql[] = {
	TURN(DIR_IN, ")\x00\x00\x00\x0a"
	             "8.0.36-CANARY\x00\x01\x00\x00\x00"
	             "CANARY+8\x00\xff\xf7!\x02\x00\x00\x00"
	             "CANARY"),
	TURN(DIR_OUT, ".\x00\x00\x01\x0d\xa2\x0a\x00\x00\x00\x00\x01-"
	              "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	              "\x00\x00\x00\x00"
	              "CANARY\x00\x06"
	              "CANARY"),
	TURN(DIR_IN, "\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"),
	TURN(DIR_OUT, ".\x00\x00\x00\x03INSERT INTO canary VALUES (\"CANARY\"), (12345)"),
	TURN(DIR_IN, "\x19\x00\x00\x01\xff&\x04#23000Duplicate CANARY"),
	TURN(DIR_OUT, "\x19\x00\x00\x00\x03SELECT * FROM t # CANARY"),
	TURN(DIR_IN, "\x01\x00\x00\x01\x01\x0b\x00\x00\x02\x03"
	             "def\x06"
	             "CANARY\x05\x00\x00\x03\xfe\x00\x00\x02\x00\x07\x00\x00\x04\x06"
	             "CANARY\x05\x00\x00\x05\xfe\x00\x00\x02\x00"),
	TURN(DIR_OUT, "\x01\x00\x00\x00\x01"),
};

static const struct turn memcached[] = {
	TURN(DIR_OUT, "set CANARY 0 60 6\r\nCANARY\r\n"),
	TURN(DIR_IN, "STORED\r\n"),
	TURN(DIR_OUT, "get CANARY 12\r\n"),
	TURN(DIR_IN, "VALUE CANARY 0 8\r\nCANARY\r\n\r\nEND\r\n"),
	TURN(DIR_OUT, "set CANARY 0 0 6 noreply\r\nCANARY\r\n"),
	TURN(DIR_OUT, "incr CANARY 5\r\n"),
	TURN(DIR_IN, "CLIENT_ERROR CANARY is no number\r\n"),
	TURN(DIR_OUT, "mg CANARY v OCANARY t\r\n"),
	TURN(DIR_IN, "VA 6 OCANARY t-1\r\nCANARY\r\n"),
};

static const struct turn bolt[] = {
	TURN(DIR_OUT, "``\xb0\x17\x00\x00\x04\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
	TURN(DIR_IN, "\x00\x00\x04\x04"),
	TURN(DIR_OUT, "\x00\x16\xb1\x01\xa1\x8b"
	              "credentials\x86"
	              "CANARY\x00\x00"),
	TURN(DIR_IN, "\x00\x11\xb1p\xa1\x86server\x86"
	             "CANARY\x00\x00"),
	TURN(DIR_OUT, "\x00"
	              "3\xb3\x10\xd0$MATCH (n {a: 'CANARY'}) SET n.b = $p\xa1\x81p\x86"
	              "CANARY\xa0\x00\x00\x00\x03\xb1\?\xa0\x00\x00"),
	TURN(DIR_IN, "\x00"
	             "4\xb1\x7f\xa2\x84"
	             "code\xd0\x1bNeo.ClientError.Schema.Oops\x87message\x86"
	             "CANARY\x00\x00\x00\x02\xb0~\x00\x00"),
};

static const struct turn mongodb[] = {
	TURN(DIR_OUT, ";\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00"
	              "\x00\x00&\x00\x00\x00\x02insert\x00\x07\x00\x00\x00"
	              "CANARY\x00\x02"
	              "b\x00\x07\x00\x00\x00"
	              "CANARY\x00\x00"),
	TURN(DIR_IN, "D\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00"
	             "\x00/\x00\x00\x00\x10ok\x00\x00\x00\x00\x00\x02"
	             "codeName\x00\x06\x00\x00\x00Oops_\x00\x02"
	             "c\x00\x07\x00\x00\x00"
	             "CANARY\x00\x00"),
	TURN(DIR_OUT,
	     "I\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00"
	     "4\x00\x00\x00\x02"
	     "find\x00\x07\x00\x00\x00"
	     "CANARY\x00\x03"
	     "CANARY\x00\x16\x00\x00\x00\x02"
	     "code\x00\x07\x00\x00\x00"
	     "CANARY\x00\x00\x00"),
	TURN(DIR_IN,
	     "E\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00"
	     "0\x00\x00\x00\x10ok\x00\x01\x00\x00\x00\x03"
	     "cursor\x00\x1b\x00\x00\x00\x10id\x00\x07\x00\x00\x00\x02v\x00\x07\x00\x00\x00"
	     "CANARY\x00\x00\x00"),
};

/* "CANARY", or as base64 of it stands at any place. */
static bool leaks(const struct recording *r)
{
	return recording_holds(r, "CANARY") || recording_holds(r, "Q0FOQVJZ") ||
	       recording_holds(r, "NBTkFSW") || recording_holds(r, "DQU5BUl");
}

/* The same with any one of the records lost, joined late, or both. */
static bool leaks_with_losses(const struct recording *r)
{
	bool bad = false;

	for (size_t lost = 0; lost < r->n; lost++) {
		struct recording less = *r, out;

		less.n--;
		less.e = malloc(r->n * sizeof(*less.e));
		memcpy(less.e, r->e, lost * sizeof(*less.e));
		memcpy(less.e + lost, r->e + lost + 1, (less.n - lost) * sizeof(*less.e));
		out = scrubbed(&less);
		bad |= leaks(&out);
		recording_free(&out);
		less.e++; /* not the connect, or what came after it */
		less.n--;
		out = scrubbed(&less);
		bad |= leaks(&out);
		recording_free(&out);
		free(less.e - 1);
	}
	return bad;
}

static void test_dialogue(const char *sentence, const struct turn *turns, size_t n, uint16_t port,
                          uint64_t calls)
{
	TEST(sentence);
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 5, port);
		for (size_t k = 0; k < n; k++)
			add_bytes(&r, EV_DATA, 5, turns[k].dir, turns[k].p, turns[k].n, steps[i]);
		check_scrub(&r, calls);
		CHECK(steps[i] < 7 || steps[i] > 100 || !leaks_with_losses(&r));
		recording_free(&r);
	}
}
#define DIALOGUE(sentence, turns, port, calls) \
	test_dialogue(sentence, turns, sizeof(turns) / sizeof(*(turns)), port, calls)

/* The server's greeting and the client's wish for TLS, then the log-in and the rest as plaintext of it. */
static void test_tls(void)
{
	static const char wish[] = "\x20\0\0\1\x0d\xaa\x0a\0\0\0\0\1\x2d\0\0\0\0\0\0\0\0\0\0\0"
				   "\0\0\0\0\0\0\0\0\0\0\0";
	static const char hello[] = "\x16\3\1\0\6CANARY";

	TEST("MySQL in TLS");
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 };
		char login[256];

		memcpy(login, mysql[1].p, mysql[1].n);
		login[3] = 2;
		add_connect(&r, 5, 3306);
		add_bytes(&r, EV_DATA, 5, mysql[0].dir, mysql[0].p, mysql[0].n, steps[i]);
		add_bytes(&r, EV_DATA, 5, DIR_OUT, wish, sizeof(wish) - 1, steps[i]);
		add_bytes(&r, EV_DATA, 5, DIR_OUT, hello, sizeof(hello) - 1, steps[i]);
		add_bytes(&r, EV_TLS, 6, DIR_OUT, login, mysql[1].n, 1000);
		for (size_t k = 2; k < sizeof(mysql) / sizeof(*mysql); k++)
			add_bytes(&r, EV_TLS, 6, mysql[k].dir, mysql[k].p, mysql[k].n, 1000);
		check_scrub(&r, 3);
		recording_free(&r);
	}
}

/* ===== S3 ===== */

static void s3(struct recording *r, const char *request, const char *status, const char *xml,
               size_t step)
{
	char text[2048];

	sprintf(text,
	        "%s HTTP/1.1\r\nHost: minio:9000\r\nAuthorization: AWS4-HMAC-SHA256 "
	        "Credential=CANARY/20260101/us-east-1/s3/aws4_request, Signature=CANARY\r\n"
	        "Content-Length: 0\r\n\r\n",
	        request);
	add_text(r, EV_DATA, 5, DIR_OUT, text, step);
	sprintf(text,
	        "HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %zu\r\n\r\n%s",
	        status, strlen(xml), xml);
	add_text(r, EV_DATA, 5, DIR_IN, text, step);
}

static void test_s3(void)
{
	TEST("of S3's XML elements and codes of errors stay, attributes and texts go");
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 };

		add_connect(&r, 5, 9000);
		s3(&r, "GET /b/k", "404 Not Found",
		   "<?xml version=\"1.0\"?>\n<Error xmlns='CANARY'><Code>NoSuchKey</Code><Message>"
		   "CANARY &amp; </Message><Key a=\"CANARY\">CANARY</Key><CANARY/></Error>",
		   steps[i]);
		s3(&r, "POST /b?delete", "200 OK",
		   "<DeleteResult><Deleted><Key>CANARY</Key></Deleted><Error><Key>CANARY</Key>"
		   "<Code>AccessDenied</Code></Error></DeleteResult>",
		   steps[i]);
		s3(&r, "POST /b/k?uploadId=CANARY", "200 OK",
		   "<CompleteMultipartUploadResult><ETag>CANARY</ETag>"
		   "</CompleteMultipartUploadResult>",
		   steps[i]);
		s3(&r, "GET /b", "403 Forbidden", "<Error><Code>CANARY is no code</Code></Error>",
		   steps[i]);
		check_scrub(&r, 4);
		CHECK(steps[i] != 100 || !leaks_with_losses(&r));
		recording_free(&r);
	}
}

/* ===== Bedrock ===== */

static void base64(char *to, const char *p)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(p);

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)(uint8_t)p[i] << 16;

		v |= i + 1 < n ? (uint32_t)(uint8_t)p[i + 1] << 8 : 0;
		v |= i + 2 < n ? (uint8_t)p[i + 2] : 0;
		for (int k = 0; k < 4; k++)
			*to++ = i + (size_t)k <= n ? digits[v >> (18 - 6 * k) & 63] : '=';
	}
	*to = '\0';
}

/* One frame; checksums are not right. */
static size_t frame(char *to, const char *name, const char *type, const char *payload)
{
	const char *const headers[][2] = { { name, type },
		                           { ":content-type", "application/json" },
		                           { "x-canary", "CANARY" },
		                           { ":message-type",
		                             name[2] == 'v' ? "event" : "exception" } };
	size_t h = 12, n;

	for (int i = 0; i < 4; i++) {
		to[h++] = (char)strlen(headers[i][0]);
		h += (size_t)sprintf(to + h, "%s", headers[i][0]);
		to[h++] = 7;
		to[h++] = 0;
		to[h++] = (char)strlen(headers[i][1]);
		h += (size_t)sprintf(to + h, "%s", headers[i][1]);
	}
	n = h + (size_t)sprintf(to + h, "%s", payload) + 4;
	memcpy(to + n - 4, "\xde\xad\xbe\xef", 4);
	memcpy(to, "\0\0\0\0\0\0\0\0\1\2\3\4", 12);
	to[2] = (char)(n >> 8);
	to[3] = (char)n;
	to[7] = (char)(h - 12);
	return n;
}

static size_t chunk(char *to, const char *doc)
{
	char text[1024], payload[2048];

	base64(text, doc);
	sprintf(payload, "{\"bytes\":\"%s\",\"p\":\"CANARYabcd\"}", text);
	return frame(to, ":event-type", "chunk", payload);
}

static void bedrock(struct recording *r, const char *path, const char *body, size_t n, size_t step)
{
	static const char ask[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"CANARY\"}]}";
	char text[8192];
	size_t h;

	h = (size_t)sprintf(text,
	                    "POST %s HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n"
	                    "Authorization: AWS4-HMAC-SHA256 "
	                    "Credential=CANARY/1/us-east-1/bedrock/aws4_request\r\n"
	                    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	                    path, sizeof(ask) - 1, ask);
	add_bytes(r, EV_DATA, 5, DIR_OUT, text, h, step);
	h = (size_t)sprintf(
		text,
		"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
		"Content-Length: %zu\r\n\r\n",
		n);
	memcpy(text + h, body, n);
	add_bytes(r, EV_DATA, 5, DIR_IN, text, h + n, step);
}

static bool says(const struct recording *r, const char *text)
{
	struct seen *s = replayed(r);
	bool good = strstr(s->text, text) != NULL;

	free(s);
	return good;
}

static void test_bedrock(void)
{
	char body[8192];
	size_t n;

	TEST("of event streams frames, kinds and counters stay, also those in base64");
	for (size_t i = 0; i < STEPS; i++) {
		struct recording r = { 0 }, out;

		add_connect(&r, 5, 80);
		n = frame(body, ":event-type", "messageStart", "{\"role\":\"assistant\"}");
		n += frame(body + n, ":event-type", "contentBlockDelta",
		           "{\"delta\":{\"text\":\"Hi CANARY\"},\"p\":\"CANARY\"}");
		n += frame(body + n, ":event-type", "messageStop", "{\"stopReason\":\"end_turn\"}");
		n += frame(body + n, ":event-type", "metadata",
		           "{\"usage\":{\"inputTokens\":3,\"outputTokens\":4}}");
		bedrock(&r, "/model/m/converse-stream", body, n, steps[i]);
		n = chunk(body, "{\"type\":\"message_start\",\"message\":{\"model\":\"claude-3-1\","
		                "\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}");
		n += chunk(body + n,
		           "{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"x\"}}");
		n += chunk(body + n, "{\"type\":\"content_block_delta\",\"delta\":{\"text\":"
		                     "\"xCANARYCANARYCANARY\"}}");
		n += chunk(body + n,
		           "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
		           "\"usage\":{\"output_tokens\":42}}");
		bedrock(&r, "/model/anthropic.claude-3/invoke-with-response-stream", body, n,
		        steps[i]);
		n = frame(body, ":exception-type", "throttlingException",
		          "{\"message\":\"CANARY\"}");
		bedrock(&r, "/model/m/converse-stream", body, n, steps[i]);
		check_scrub(&r, 3);
		CHECK(says(&r, "claude-3-1 1") && says(&r, "tokens 10 42") &&
		      says(&r, "tokens 3 4") && says(&r, "throttlingexception"));
		out = scrubbed(&r);
		CHECK(recording_holds(&r, "Q0FOQVJZ") && !leaks(&out));
		CHECK(steps[i] != 100 || !leaks_with_losses(&r));
		recording_free(&out);
		recording_free(&r);
	}
}

int main(void)
{
	DIALOGUE("MySQL, whose server speaks first", mysql, 3306, 3);
	DIALOGUE("memcached", memcached, 11211, 5);
	DIALOGUE("Bolt", bolt, 7687, 3);
	DIALOGUE("MongoDB", mongodb, 27017, 2);
	test_tls();
	test_s3();
	test_bedrock();
	return DONE();
}
