/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a run: whose runstats.json gets the summary, and what the files of lines have to do with it. */
#include "test.h"

#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "out/runstats.h"
#include "pipeline.h"

#define TEXT "{\"a\": 1}\n"

static char dir[] = "/tmp/unit_finish.XXXXXX";
static int folder;
static char *said;

static void put_file(const char *name)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, TEXT, strlen(TEXT)) != (ssize_t)strlen(TEXT))
		abort();
	close(fd);
}

static json_t *get_file(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return json_load_file(path, 0, NULL);
}

/* Does a file hold the summary? -1: there is no such file. */
static int has_summary(const char *name)
{
	json_t *o = get_file(name);
	int has = o ? json_is_object(json_object_get(o, RUNSTATS_KEY)) : -1;

	json_decref(o);
	return has;
}

/* A run that ended in that way, with --runstats FILE of the folder. What pipeline_finish() returned. */
static int run(enum end_reason reason, bool replay, const char *file, uint64_t sample)
{
	struct {
		struct ev_hello hello;
		char text[8];
	} hello = { .hello = { .h = { sizeof(hello), EV_HELLO, 0, 1000, 10, 10 },
		               .magic = EVENT_MAGIC,
		               .version = EVENT_VERSION } };
	struct ev_end end = { .h = { sizeof(end), EV_END, 0, 2000, 10, 10 }, .reason = reason };
	struct lines *turns =
		lines_open(&(struct lines_config){ .dirfd = folder, .name = "turns" });
	struct pipeline_config c = {
		.dirfd = folder, .dir = dir, .replay = replay, .turns = turns, .style = STYLE_NONE
	};
	char path[256];
	struct options o;
	struct pipeline *p;
	size_t n = 0;
	FILE *to;
	int r;

	free(said);
	to = open_memstream(&said, &n);
	log_open(LEVEL_INFO, to);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	options_init(&o);
	o.runstats = path;
	o.sample = sample;
	c.options = &o;
	p = pipeline_new(&c);
	pipeline_feed(p, &hello.hello.h);
	pipeline_feed(p, &end.h);
	r = pipeline_finish(p);
	pipeline_free(p);
	options_free(&o);
	lines_close(turns);
	log_open(LEVEL_INFO, stderr);
	fclose(to);
	return r;
}

static void test_runstats(void)
{
	json_t *o;

	TEST("when the run has ended its own file gets the summary, and keeps what it had");
	put_file("own.json");
	CHECK(run(END_EXITED, false, "own.json", 1) == 0);
	CHECK(has_summary("own.json") == 1 && has_summary("runstats.json") == 1);
	o = get_file("own.json");
	CHECK(json_integer_value(json_object_get(o, "a")) == 1);
	CHECK(!json_object_get(json_object_get(o, RUNSTATS_KEY), "sampled"));
	json_decref(o);

	TEST("while it may go on its file is left alone, and that is said");
	put_file("own.json");
	for (int reason = END_INTERRUPTED; reason <= END_FAILED; reason++) {
		unlinkat(folder, "runstats.json", 0);
		CHECK(run((enum end_reason)reason, false, "own.json", 1) == 0);
		CHECK(has_summary("own.json") == 0 && has_summary("runstats.json") == 1);
		CHECK(strstr(said, "own.json is left as it is") && strstr(said, "/runstats.json"));
	}

	TEST("a replay never touches it");
	CHECK(run(END_EXITED, true, "own.json", 1) == 0 && has_summary("own.json") == 0);

	TEST("a file that is not there is not made: the summary goes beside it, in one line");
	CHECK(run(END_EXITED, false, "none.json", 1) < 0);
	CHECK(has_summary("none.json") == -1 && has_summary("none.json" RUNSTATS_BESIDE) == 1);
	CHECK(strstr(said, "no such file") && strstr(said, "none.json" RUNSTATS_BESIDE));
	CHECK(strchr(said, '\n')[1] == '\0');
}

static void test_sample(void)
{
	json_t *o, *sampled;

	TEST("a run of which not all turns were written says so");
	put_file("own.json");
	CHECK(run(END_EXITED, false, "own.json", 10) == 0);
	o = get_file("own.json");
	sampled = json_object_get(json_object_get(o, RUNSTATS_KEY), "sampled");
	CHECK(json_integer_value(json_object_get(sampled, "every")) == 10);
	json_decref(o);
}

int main(void)
{
	static const char *const files[] = { "own.json", "none.json" RUNSTATS_BESIDE,
		                             "runstats.json", "turns" };

	if (!mkdtemp(dir))
		return 1;
	folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_runstats();
	test_sample();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		CHECK(unlinkat(folder, files[i], 0) == 0);
	CHECK(rmdir(dir) == 0);
	free(said);
	return DONE();
}
