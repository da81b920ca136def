/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The summary in somebody else's runstats.json: nothing else of it changes, by a byte; and a file that is not as it
 * should be is not touched.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "out/runstats.h"

#define SUMMARY "{\"turns\":2,\"ms\":{\"p50\":12.345},\"list\":[]}"
#define SPACED "{\"turns\": 2, \"ms\": {\"p50\": 12.345}, \"list\": []}"

static const char *why;

/* The text with SUMMARY in it; NULL and why: refused. Guarded, so that over-reading crashes. */
static char *merged(const char *text, size_t n)
{
	char *copy = guarded(text, n), *out = NULL;
	size_t out_n = 0;

	why = runstats_merge(copy, n, SUMMARY, &out, &out_n);
	guarded_free(copy, n);
	if (out && strlen(out) != out_n)
		why = "there is a NUL in it";
	return out;
}

static bool gives(const char *text, const char *want)
{
	char *got = merged(text, strlen(text));
	bool same = got && !why && strcmp(got, want) == 0;

	if (!same)
		printf("# got %s\n# (%s)\n", got ? got : "nothing", why ? why : "");
	free(got);
	return same;
}

static bool refused(const char *text)
{
	char *got = merged(text, strlen(text));
	bool no = !got && why;

	free(got);
	return no;
}

static void test_insert(void)
{
	TEST("a new member comes last, on one line where the file is one line");
	CHECK(gives("{}", "{\"turn_metrics_summary\": " SPACED "}"));
	CHECK(gives("{\"a\": 1}", "{\"a\": 1, \"turn_metrics_summary\": " SPACED "}"));
	CHECK(gives("{\"a\":1}", "{\"a\":1,\"turn_metrics_summary\":" SUMMARY "}"));
	CHECK(gives("{\"a\": [1, {}]}\n",
	            "{\"a\": [1, {}], \"turn_metrics_summary\": " SPACED "}\n"));

	TEST("what is around the object stays");
	CHECK(gives(" \n{ } \n\n", " \n{\"turn_metrics_summary\": " SPACED " } \n\n"));
	CHECK(gives("\t{ \"a\": 1 }\t", "\t{ \"a\": 1, \"turn_metrics_summary\": " SPACED " }\t"));
	CHECK(gives("\xef\xbb\xbf{\"a\": 1}\n",
	            "\xef\xbb\xbf{\"a\": 1, \"turn_metrics_summary\": " SPACED "}\n"));

	TEST("a file with a line a member gets lines, indented as its own");
	CHECK(gives("{\n  \"a\": 1\n}\n", "{\n  \"a\": 1,\n  \"turn_metrics_summary\": {\n"
	                                  "    \"turns\": 2,\n    \"ms\": {\n"
	                                  "      \"p50\": 12.345\n    },\n"
	                                  "    \"list\": []\n  }\n}\n"));
	CHECK(gives("{\r\n\t\"a\": 1\r\n}",
	            "{\r\n\t\"a\": 1,\r\n\t\"turn_metrics_summary\": {\r\n"
	            "\t\t\"turns\": 2,\r\n\t\t\"ms\": {\r\n\t\t\t\"p50\": 12.345\r\n\t\t},\r\n"
	            "\t\t\"list\": []\r\n\t}\r\n}"));
	CHECK(gives("{\n}", "{\"turn_metrics_summary\": " SPACED "\n}"));
}

static void test_replace(void)
{
	TEST("a value that is there is replaced where it stands");
	CHECK(gives("{\"a\": 1, \"turn_metrics_summary\" :null , \"b\": 2}",
	            "{\"a\": 1, \"turn_metrics_summary\" :" SPACED " , \"b\": 2}"));
	CHECK(gives("{\"turn_metrics_summary\": {\"turn_metrics_summary\": [1, \"}\"]}}",
	            "{\"turn_metrics_summary\": " SPACED "}"));
	CHECK(gives("{\"turn_metrics_summary\":\"\\\"}\",\"b\":-1e9}",
	            "{\"turn_metrics_summary\":" SUMMARY ",\"b\":-1e9}"));
	CHECK(gives("{\"turn_metrics_summary\":-12.5E+3}",
	            "{\"turn_metrics_summary\":" SUMMARY "}"));

	TEST("a second merge of the same changes nothing");
	CHECK(gives("{\"a\": 1, \"turn_metrics_summary\": " SPACED "}",
	            "{\"a\": 1, \"turn_metrics_summary\": " SPACED "}"));
	CHECK(gives("{\n \"a\": 1,\n \"turn_metrics_summary\": {\n  \"turns\": 2,\n  \"ms\": {\n"
	            "   \"p50\": 12.345\n  },\n  \"list\": []\n }\n}",
	            "{\n \"a\": 1,\n \"turn_metrics_summary\": {\n  \"turns\": 2,\n  \"ms\": {\n"
	            "   \"p50\": 12.345\n  },\n  \"list\": []\n }\n}"));

	TEST("an escaped key is the same key");
	CHECK(gives("{\"turn\\u005fmetrics_summar\\u0079\": 1}",
	            "{\"turn\\u005fmetrics_summar\\u0079\": " SPACED "}"));
	CHECK(gives("{\"\\u0074urn\\u005Fmetrics_summary\": 1}",
	            "{\"\\u0074urn\\u005Fmetrics_summary\": " SPACED "}"));

	TEST("of several the last is replaced: it is the one that is read");
	CHECK(gives("{\"turn_metrics_summary\": 1, \"turn_metrics_summary\": 2}",
	            "{\"turn_metrics_summary\": 1, \"turn_metrics_summary\": " SPACED "}"));

	TEST("the same words elsewhere are not the key");
	CHECK(gives("{\"a\": {\"turn_metrics_summary\": 1}}",
	            "{\"a\": {\"turn_metrics_summary\": 1}, \"turn_metrics_summary\": " SPACED
	            "}"));
	CHECK(gives("{\"a\": \"turn_metrics_summary\"}",
	            "{\"a\": \"turn_metrics_summary\", \"turn_metrics_summary\": " SPACED "}"));
	CHECK(gives("{\"a\": \"\\\"turn_metrics_summary\\\": 1\"}",
	            "{\"a\": \"\\\"turn_metrics_summary\\\": 1\", \"turn_metrics_summary\": " SPACED
	            "}"));
	CHECK(gives("{\"turn_metrics_summary2\": 1, \"turn_metrics_summar\": 2, \"\": 3}",
	            "{\"turn_metrics_summary2\": 1, \"turn_metrics_summar\": 2, \"\": 3, "
	            "\"turn_metrics_summary\": " SPACED "}"));
	CHECK(gives("{\"turn\\nmetrics_summary\": 1, \"turn_metrics_summary\\u0001\": 2}",
	            "{\"turn\\nmetrics_summary\": 1, \"turn_metrics_summary\\u0001\": 2, "
	            "\"turn_metrics_summary\": " SPACED "}"));
}

static void test_verbatim(void)
{
	char *text = NULL, *got;
	size_t n = 0;
	FILE *f;

	TEST("numbers stay as they are written, whatever their size");
	CHECK(gives("{\"a\": 123456789012345678901234567890, \"b\": 1e999, \"c\": -0.10, "
	            "\"d\": 1E-400}",
	            "{\"a\": 123456789012345678901234567890, \"b\": 1e999, \"c\": -0.10, "
	            "\"d\": 1E-400, \"turn_metrics_summary\": " SPACED "}"));

	TEST("so do the state of a random generator and names in any script");
	f = open_memstream(&text, &n);
	fprintf(f, "{\"rnd_state\": [3, [");
	for (uint32_t i = 0, x = 1; i < 625; i++) {
		x = x * 1664525 + 1013904223;
		fprintf(f, "%s%u", i ? ", " : "", x);
	}
	fprintf(f, "], null], \"n\xc3\xa4me\": \"\xe6\xbc\xa2 \\ud83d\\ude00 \\/ \\u00e9\"}");
	fclose(f);
	got = merged(text, n);
	CHECK(got && strncmp(got, text, n - 1) == 0);
	CHECK(got && strcmp(got + n - 1, ", \"turn_metrics_summary\": " SPACED "}") == 0);
	free(got);
	free(text);
}

static void test_refuse(void)
{
	static const char *const bad[] = {
		"",
		" \n",
		"[]",
		"1",
		"\"a\"",
		"null",
		"{",
		"{\"a\": 1",
		"{\"a\": 1,}",
		"{\"a\" 1}",
		"{a: 1}",
		"{'a': 1}",
		"{} {}",
		"{}x",
		"{\"a\": 01}",
		"{\"a\": 1.}",
		"{\"a\": .5}",
		"{\"a\": +1}",
		"{\"a\": 1-2}",
		"{\"a\": 1e}",
		"{\"a\": NaN}",
		"{\"a\": -Infinity}",
		"{\"a\": tru}",
		"{\"a\": \"\xff\"}",
		"{\"a\": \"\t\"}",
		"{\"a\": \"\\x\"}",
		"{\"a\": 1 /* b */}",
		"{\"a\": [1}]",
		"{\"turn_metrics_summary\": }",
		"{\"a\": \"\\",
		"{\"a\": \"\\u12",
		"\xef\xbb\xbf",
		"\xef\xbb",
		"{\"a\": -}",
		"{\"a\": 1}}",
	};
	static const char whole[] = "{\n \"turn_metrics_summary\": {\"a\": [1, \"\\u0041}\"]},"
				    " \"b\": -1.5e3, \"c\": true}\n";
	char nul[] = "{\"a\": 1}\0";
	char *got;

	TEST("what is no JSON object is refused, with a reason");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(refused(bad[i]));
	got = merged(nul, sizeof(nul));
	CHECK(!got && why);
	free(got);

	TEST("a file that is cut anywhere is refused, and only then");
	for (size_t n = 0; n < sizeof(whole); n++) {
		got = merged(whole, n);
		CHECK((got != NULL) == (n >= sizeof(whole) - 2));
		free(got);
	}
}

/* ---- files ---- */

static char dir[] = "/tmp/unit_runstats.XXXXXX";
static char reason[256];

static void put_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode))
		abort();
	close(fd);
}

static bool holds(const char *name, const char *want)
{
	char got[4096] = "";
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got) - 1);

	if (fd >= 0)
		close(fd);
	return n >= 0 && strcmp(got, want) == 0;
}

static enum runstats_result merge_file(const char *path)
{
	json_t *summary = json_loads(SUMMARY, 0, NULL);
	enum runstats_result r = runstats_file(path, summary, reason, sizeof(reason));

	json_decref(summary);
	return r;
}

/* The summary is beside path, for its owner's eyes only. */
static bool beside(const char *path)
{
	char name[256];
	struct stat st;
	json_t *o, *want = json_loads(SUMMARY, 0, NULL);
	bool right;

	snprintf(name, sizeof(name), "%s" RUNSTATS_BESIDE, path);
	o = json_load_file(name, 0, NULL);
	right = json_equal(json_object_get(o, RUNSTATS_KEY), want) && stat(name, &st) == 0 &&
	        (st.st_mode & 07777) == 0600;
	json_decref(o);
	json_decref(want);
	unlink(name);
	return right;
}

#define MERGED "{\"a\": 1, \"turn_metrics_summary\": " SPACED "}\n"

static void test_file(void)
{
	struct stat before, after;

	TEST("a file is replaced as a whole, its mode and owner kept, nothing beside it");
	put_file("r.json", "{\"a\": 1}\n", 0640);
	if (geteuid() == 0 && chown("r.json", 12, 34))
		abort();
	stat("r.json", &before);
	CHECK(merge_file("r.json") == RUNSTATS_MERGED && holds("r.json", MERGED));
	CHECK(stat("r.json", &after) == 0 && after.st_mode == before.st_mode);
	CHECK(after.st_uid == before.st_uid && after.st_gid == before.st_gid);
	CHECK(after.st_ino != before.st_ino);
	CHECK(unlink("r.json") == 0);

	TEST("a link is followed, and stays a link");
	if (mkdir("sub", 0700) || symlink("sub/real.json", "link.json"))
		abort();
	put_file("sub/real.json", "{\"a\": 1}\n", 0600);
	CHECK(merge_file("link.json") == RUNSTATS_MERGED && holds("sub/real.json", MERGED));
	CHECK(lstat("link.json", &after) == 0 && S_ISLNK(after.st_mode));

	TEST("a file that is not there is not made, through a link neither");
	unlink("sub/real.json");
	CHECK(merge_file("link.json") == RUNSTATS_BESIDE_IT && beside("link.json"));
	CHECK(strstr(reason, "no such file") && access("sub/real.json", F_OK));
	CHECK(merge_file("sub/none.json") == RUNSTATS_BESIDE_IT && beside("sub/none.json"));
	unlink("link.json");
	CHECK(rmdir("sub") == 0);

	TEST("where there is no folder either, that is said");
	CHECK(merge_file("nowhere/r.json") == RUNSTATS_NOWHERE && strstr(reason, "beside it"));
	CHECK(merge_file("") == RUNSTATS_NOWHERE || !access(RUNSTATS_BESIDE, F_OK));
	unlink(RUNSTATS_BESIDE);
}

static void test_file_refused(void)
{
	struct rlimit limit, small;
	struct stat st;
	int fd;

	TEST("a file that is no JSON stays as it is");
	put_file("r.json", "{\"a\": 1", 0600);
	CHECK(merge_file("r.json") == RUNSTATS_BESIDE_IT && beside("r.json"));
	CHECK(strstr(reason, "cut") && holds("r.json", "{\"a\": 1"));

	TEST("a file that is too large stays as it is, and is not read");
	fd = open("r.json", O_WRONLY | O_TRUNC);
	CHECK(ftruncate(fd, (off_t)RUNSTATS_MAX + 1) == 0);
	CHECK(merge_file("r.json") == RUNSTATS_BESIDE_IT && beside("r.json"));
	CHECK(strstr(reason, "256 MiB") && fstat(fd, &st) == 0 && st.st_size == RUNSTATS_MAX + 1);
	close(fd);
	unlink("r.json");

	TEST("what is no file is not waited for");
	CHECK(mkfifo("r.json", 0600) == 0);
	CHECK(merge_file("r.json") == RUNSTATS_BESIDE_IT && beside("r.json"));
	CHECK(strstr(reason, "no regular file"));
	unlink("r.json");
	CHECK(mkdir("r.json", 0700) == 0);
	CHECK(merge_file("r.json") == RUNSTATS_BESIDE_IT && beside("r.json"));
	CHECK(rmdir("r.json") == 0);

	TEST("a disk that is full leaves the file as it is, and nothing half written");
	put_file("r.json", "{\"a\": 1}\n", 0600);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = limit;
	small.rlim_cur = 16;
	setrlimit(RLIMIT_FSIZE, &small);
	CHECK(merge_file("r.json") == RUNSTATS_NOWHERE);
	setrlimit(RLIMIT_FSIZE, &limit);
	CHECK(holds("r.json", "{\"a\": 1}\n") && access("r.json" RUNSTATS_BESIDE, F_OK));
	unlink("r.json");
}

int main(void)
{
	test_insert();
	test_replace();
	test_verbatim();
	test_refuse();
	if (!mkdtemp(dir) || chdir(dir))
		return 1;
	test_file();
	test_file_refused();
	/* every temporary file is gone, too */
	CHECK(rmdir(dir) == 0);
	return DONE();
}
