/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of turn_metrics.jsonl: their fields, their arithmetic, and that they are whole or not there. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "out/metrics.h"

static const char *const fields[] = {
	"schema",
	"timestamp",
	"session_id",
	"turn_index",
	"turn_id",
	"role",
	"pid",
	"tid",
	"wall_ms",
	"llm_ms",
	"storage_ms",
	"backoff_ms",
	"overlap_ms",
	"orchestration_ms",
	"ttft_ms",
	"llm_calls",
	"storage_calls",
	"retries",
	"storage",
	"tokens_in",
	"tokens_out",
	"tokens_cached",
	"tokens_reasoning",
	"model",
	"provider",
	"status",
	"error",
	"partial",
	"at_least",
	"boundary",
	"attribution",
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))
#define OPTIONAL 3 /* the last ones are there only when they hold */

static struct turn example(void)
{
	struct turn t = {
		.id = 7,
		.session_id = "s1",
		.turn_index = 3,
		.role = LLM_ROLE_USER,
		.pid = 10,
		.tid = 11,
		.start_ns = 1000000000,
		.end_ns = 1000000000 + 12345678,
		.llm_ns = 10000999,
		.storage_ns = 2000999,
		.backoff_ns = 999,
		.overlap_ns = 1,
		.ttft_ns = 1234567,
		.llm_calls = 2,
		.storage_calls = 3,
		.retries = 1,
		.nstores = 1,
		.tokens = { 100, 20, -1, 0 },
		.model = "m-1",
		.provider = "openai",
	};

	t.stores[0] = (struct turn_store){ "L1", "redis", "127.0.0.1:6379", 2.000999, 3, 1 };
	return t;
}

static json_t *parsed(const struct turn *t)
{
	char *line = metrics_line(t, 1700000000ull * 1000000000);
	json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

	CHECK(strchr(line, '\n') == NULL);
	free(line);
	return o;
}

static bool in_order(json_t *o, size_t n)
{
	const char *key;
	json_t *v;
	size_t i = 0;

	json_object_foreach(o, key, v) if (i >= n || strcmp(key, fields[i++]) != 0) return false;
	return i == n;
}

static const char *text(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void test_fields(void)
{
	struct turn t = example();
	json_t *o = parsed(&t), *l1;
	char *line;

	TEST("a line has exactly the promised fields, in order");
	CHECK(in_order(o, FIELDS - OPTIONAL));
	CHECK(strcmp(text(o, "schema"), "whystuck.turn/1") == 0);
	CHECK(strcmp(text(o, "timestamp"), "2023-11-14T22:13:21.000000Z") == 0);
	CHECK(strcmp(text(o, "role"), "user") == 0 && strcmp(text(o, "status"), "ok") == 0);
	CHECK(json_is_real(json_object_get(o, "wall_ms")) &&
	      json_is_integer(json_object_get(o, "turn_id")));
	l1 = json_object_get(json_object_get(o, "storage"), "L1");
	CHECK(strcmp(text(l1, "system"), "redis") == 0 &&
	      strcmp(text(l1, "endpoint"), "127.0.0.1:6379") == 0);
	CHECK(json_real_value(json_object_get(l1, "ms")) == 2.0);
	CHECK(json_integer_value(json_object_get(l1, "calls")) == 3 &&
	      json_integer_value(json_object_get(l1, "errors")) == 1);

	TEST("what was not seen is null, what was seen as none is 0");
	CHECK(json_is_null(json_object_get(o, "tokens_cached")));
	CHECK(json_integer_value(json_object_get(o, "tokens_reasoning")) == 0);
	CHECK(json_is_null(json_object_get(o, "error")) &&
	      json_is_null(json_object_get(o, "partial")));
	json_decref(o);
	t.ttft_ns = -1;
	t.role = LLM_ROLE_NONE;
	t.model[0] = '\0';
	t.partial = PARTIAL_NO_PLAINTEXT;
	t.at_least = t.boundary_guessed = t.attribution_order = true;
	t.status = TURN_RATE_LIMITED;
	t.error_http_status = 429;
	o = parsed(&t);
	CHECK(in_order(o, FIELDS));
	CHECK(json_is_null(json_object_get(o, "ttft_ms")) &&
	      json_is_null(json_object_get(o, "role")));
	CHECK(json_is_null(json_object_get(o, "model")) &&
	      strcmp(text(o, "partial"), "no_plaintext") == 0);
	CHECK(strcmp(text(o, "boundary"), "guessed") == 0 &&
	      strcmp(text(o, "attribution"), "order") == 0);
	CHECK(json_is_true(json_object_get(o, "at_least")));
	CHECK(strcmp(text(json_object_get(o, "error"), "kind"), "rate_limited") == 0);
	CHECK(json_integer_value(json_object_get(json_object_get(o, "error"), "http_status")) ==
	      429);
	CHECK(json_object_size(json_object_get(o, "error")) == 4);
	json_decref(o);

	TEST("12.345 ms is printed as 12.345");
	t = example();
	line = metrics_line(&t, 0);
	CHECK(strstr(line, "\"wall_ms\":12.345,") && strstr(line, "\"ttft_ms\":1.234,"));
	free(line);

	TEST("bytes that are no text do not spoil the line");
	snprintf(t.model, sizeof(t.model), "m\xff\x1b[31m\"");
	o = parsed(&t);
	CHECK(strcmp(text(o, "model"), "m?\x1b[31m\"") == 0);
	json_decref(o);
}

static int64_t us(json_t *o, const char *key)
{
	return (int64_t)llround(json_real_value(json_object_get(o, key)) * 1000);
}

static void test_identity(void)
{
	uint64_t x = 42;
	bool sound = true;

	TEST("the printed parts add up to the printed wall time, and none is below zero");
	for (int i = 0; i < 2000; i++) {
		struct turn t = example();
		uint64_t part[4], any;
		json_t *o;
		char *line;

		for (int k = 0; k < 4; k++) {
			x = x * 6364136223846793005ull + 1442695040888963407ull;
			part[k] = (x >> 33) % (i % 2 ? 3000 : 90000000);
		}
		t.llm_ns = part[0];
		t.storage_ns = part[1];
		t.backoff_ns = part[2];
		any = part[0] > part[1] ? part[0] : part[1];
		any = any > part[2] ? any : part[2];
		if (i % 3)
			any += part[3] % (part[0] + part[1] + part[2] - any + 1);
		else
			any = part[0] + part[1] + part[2];
		t.overlap_ns = part[0] + part[1] + part[2] - any;
		t.end_ns = t.start_ns + any + (i % 5 ? part[3] : 0);
		line = metrics_line(&t, 0);
		o = json_loads(line, 0, NULL);
		sound &= us(o, "llm_ms") + us(o, "storage_ms") + us(o, "backoff_ms") -
		                 us(o, "overlap_ms") + us(o, "orchestration_ms") ==
		         us(o, "wall_ms");
		sound &= us(o, "orchestration_ms") >= 0 && us(o, "overlap_ms") >= 0;
		sound &= t.overlap_ns > 0 || us(o, "overlap_ms") == 0;
		json_decref(o);
		free(line);
	}
	CHECK(sound);
}

static char dir[] = "/tmp/unit_metrics.XXXXXX";
static int dirfd;

static struct lines *open_file(const char *name)
{
	return lines_open(&(struct lines_config){ .dirfd = dirfd, .name = name });
}

static off_t size_of(const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, 0) == 0 ? st.st_size : -1;
}

/* Lines of a file that parse, or -1 if one does not; the turn_id of the n-th, from 0, in *id. */
static int lines_in(const char *name, int n, int64_t *id)
{
	FILE *f = fdopen(openat(dirfd, name, O_RDONLY), "r");
	char *line = NULL;
	size_t room = 0;
	int got = 0;

	while (getline(&line, &room, f) > 0) {
		json_t *o = json_loads(line, 0, NULL);

		if (!o) {
			got = -1;
			break;
		}
		if (got == n)
			*id = json_integer_value(json_object_get(o, "turn_id"));
		json_decref(o);
		got++;
	}
	free(line);
	fclose(f);
	return got;
}

static void test_write(void)
{
	struct rlimit limit = { 0 }, small;
	struct turn t = example();
	struct lines *l = open_file("turns");
	struct metrics *m = metrics_new(l, 0, 1);
	off_t size;

	TEST("a line is one line of the file");
	CHECK(metrics_write(m, &t) == 0 && metrics_write(m, &t) == 0);
	CHECK(metrics_written(m) == 2 && lines_in("turns", -1, NULL) == 2);

	TEST("a line that does not fit leaves the file as it was, is counted, and later ones go "
	     "on");
	size = size_of("turns");
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = limit;
	small.rlim_cur = (rlim_t)size + 20;
	setrlimit(RLIMIT_FSIZE, &small);
	CHECK(metrics_write(m, &t) == -ENOSPC && size_of("turns") == size);
	small.rlim_cur = (rlim_t)size;
	setrlimit(RLIMIT_FSIZE, &small);
	CHECK(metrics_write(m, &t) == -EFBIG && size_of("turns") == size);
	CHECK(metrics_unwritten(m) == 2);
	setrlimit(RLIMIT_FSIZE, &limit);
	CHECK(metrics_write(m, &t) == 0 && metrics_written(m) == 3);
	CHECK(lines_in("turns", -1, NULL) == 3);
	metrics_free(m);
	metrics_free(NULL);
	lines_close(l);
}

static void test_sample(void)
{
	static const enum turn_status turns[] = { TURN_OK, TURN_OK,      TURN_ERROR,   TURN_OK,
		                                  TURN_OK, TURN_STALLED, TURN_UNKNOWN, TURN_OK };
	static const int64_t written[] = { 1, 3, 5, 6, 7 };
	struct lines *l = open_file("sample");
	struct metrics *m = metrics_new(l, 0, 3);
	struct turn t = example();
	bool right = true;

	TEST("of turns that are ok the first and every Nth after it is written, of others every "
	     "one");
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		t.id = i + 1;
		t.status = turns[i];
		right &= metrics_write(m, &t) == 0;
	}
	CHECK(right && lines_in("sample", -1, NULL) == 5);
	for (int i = 0; i < 5; i++) {
		int64_t id = 0;

		lines_in("sample", i, &id);
		right &= id == written[i];
	}
	CHECK(right);
	CHECK(metrics_written(m) == 5 && metrics_left_out(m) == 3 && metrics_unwritten(m) == 0);
	metrics_free(m);
	lines_close(l);

	TEST("a sample of every turn leaves none out");
	l = open_file("all");
	m = metrics_new(l, 0, 0);
	t.status = TURN_OK;
	CHECK(metrics_write(m, &t) == 0 && metrics_write(m, &t) == 0);
	CHECK(metrics_left_out(m) == 0 && lines_in("all", -1, NULL) == 2);
	metrics_free(m);
	lines_close(l);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	test_fields();
	test_identity();
	test_write();
	test_sample();
	unlinkat(dirfd, "turns", 0);
	unlinkat(dirfd, "sample", 0);
	unlinkat(dirfd, "all", 0);
	rmdir(dir);
	return DONE();
}
