/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of lines: whole lines whatever happens, rotation that loses nothing, and what a killed writer left behind. The
 * leftovers of each moment at which it can be killed are built by hand; then it is killed for real, again and again.
 */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <zlib.h>

#include "base/log.h"
#include "out/lines.h"
#include "out/rotated.h"

static char dir[] = "/tmp/unit_lines.XXXXXX";
static int folder;

/* ---- files ---- */

static void put_file(const char *name, const char *text)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

/* What a file holds, unpacked if its name ends in .gz; NULL if it is not there or no whole gzip. */
static char *get_file(const char *name)
{
	int fd = openat(folder, name, O_RDONLY), err = 0;
	size_t n = 0, room = 1 << 16;
	char *text = malloc(room + 1);
	gzFile gz;
	int got;

	gz = fd < 0 ? NULL : gzdopen(fd, "rb");
	if (!gz) {
		free(text);
		return NULL;
	}
	while ((got = gzread(gz, text + n, (unsigned)(room - n))) > 0) {
		n += (size_t)got;
		if (n == room)
			text = realloc(text, (room *= 2) + 1);
	}
	gzerror(gz, &err);
	if (gzclose_r(gz) != Z_OK || got < 0 || (err != Z_OK && err != Z_STREAM_END)) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static bool holds(const char *name, const char *want)
{
	char *got = get_file(name);
	bool same = got && strcmp(got, want) == 0;

	free(got);
	return same;
}

static bool is_there(const char *name)
{
	return faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Removes every file of the folder, and says how many there were. */
static int clear(void)
{
	DIR *d = fdopendir(openat(folder, ".", O_RDONLY | O_DIRECTORY));
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			if (unlinkat(folder, e->d_name, 0))
				unlinkat(folder, e->d_name, AT_REMOVEDIR);
			n++;
		}
	closedir(d);
	return n;
}

static struct lines *open_lines(uint64_t size, uint64_t keep)
{
	return lines_open(&(struct lines_config){
		.dirfd = folder, .name = "f", .rotate_size = size, .rotate_keep = keep });
}

/* {"n":12} and so on: lines that tell which they are. */
static int add(struct lines *l, int n)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "{\"n\":%d}", n);

	return lines_write(l, line, (size_t)len);
}

/* All rotated files and f, in the order they were written, as one text. */
static char *all_files(void)
{
	int64_t newest = rotated_newest(folder, "f");
	char *all = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&all, &n);

	for (int64_t i = 1; i <= newest + 1; i++) {
		char name[ROTATED_NAME_MAX] = "f";
		char *text;

		if (i <= newest)
			rotated_name(name, "f", (uint64_t)i, "");
		text = get_file(name);
		if (!text && i <= newest) {
			rotated_name(name, "f", (uint64_t)i, ".gz");
			text = get_file(name);
		}
		if (text)
			fputs(text, to);
		free(text);
	}
	fclose(to);
	return all;
}

/* How many lines there are if they are those from `from` on, each once and in order; else -1. */
static int count_lines(const char *all, int from)
{
	int n = 0;

	for (const char *p = all; *p; n++) {
		char want[64];
		int len = snprintf(want, sizeof(want), "{\"n\":%d}\n", from + n);

		if (strncmp(p, want, (size_t)len) != 0)
			return -1;
		p += len;
	}
	return n;
}

static int lines_from(int from)
{
	char *all = all_files();
	int n = count_lines(all, from);

	free(all);
	return n;
}

/* ---- one file ---- */

static void test_open(void)
{
	struct lines *l, *other;
	struct stat st = { 0 };

	TEST("a file is ours alone: 0600, and refused to a second writer");
	l = open_lines(0, 0);
	CHECK(l && fstatat(folder, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(st.st_size == 0);
	errno = 0;
	other = open_lines(0, 0);
	CHECK(!other && errno == EWOULDBLOCK);
	CHECK(add(l, 1) == 0 && lines_written(l) == 1);
	lines_close(l);

	TEST("a later writer goes on behind what is there; one that begins anew does not");
	l = open_lines(0, 0);
	CHECK(add(l, 2) == 0 && holds("f", "{\"n\":1}\n{\"n\":2}\n"));
	CHECK(lines_torn(l) == 0);
	lines_close(l);
	put_file("f.1", "{}\n");
	l = lines_open(&(struct lines_config){ .dirfd = folder, .name = "f", .anew = true });
	CHECK(holds("f", "") && add(l, 3) == 0 && holds("f", "{\"n\":3}\n"));
	lines_close(l);
	CHECK(holds("f.1.gz", "{}\n"));
	clear();

	TEST("what cannot be written to is refused at once");
	mkdirat(folder, "f", 0700);
	CHECK(!open_lines(0, 0) && errno == EISDIR);
	clear();
	CHECK(symlinkat("elsewhere", folder, "f") == 0);
	CHECK(!open_lines(0, 0) && errno == ELOOP && !is_there("elsewhere"));
	clear();
	lines_close(NULL);
}

static void test_torn(void)
{
	static const char whole[] = "{\"n\":1}\n{\"n\":2}\n";
	size_t lines_end = sizeof("{\"n\":1}\n") - 1;

	TEST("whatever of the last line a crash left, every line of the file is whole");
	for (size_t cut = 0; cut < sizeof(whole); cut++) {
		size_t line = cut > lines_end ? lines_end : 0, tail = cut - line;
		char text[sizeof(whole)] = "", want[2 * sizeof(whole)] = "";
		bool complete = tail == lines_end || tail == lines_end - 1;
		struct lines *l;

		memcpy(text, whole, cut);
		put_file("f", text);
		l = open_lines(0, 0);
		CHECK(lines_torn(l) == (complete ? 0 : tail));
		add(l, 9);
		lines_close(l);
		snprintf(want, sizeof(want), "%.*s%s{\"n\":9}\n", (int)(complete ? cut : line),
		         text, tail == lines_end - 1 ? "\n" : "");
		CHECK(holds("f", want));
	}

	TEST("a file of something else is not cut to its beginning");
	{
		size_t n = 3 << 20;
		char *big = malloc(n + 1);

		memset(big, 'x', n);
		big[n] = '\0';
		put_file("f", big);
		CHECK(!open_lines(0, 0) && errno == EFBIG);
		CHECK(holds("f", big));
		free(big);
	}
	clear();
}

static void test_report(void)
{
	struct rlimit limit, small;
	struct lines *l = open_lines(0, 0);
	char *said = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&said, &n);

	TEST("that a line could not be written is said once, and once that it can again");
	log_open(LEVEL_INFO, to);
	signal(SIGXFSZ, SIG_IGN);
	add(l, 1);
	lines_report(l, "run1", "turns");
	fflush(to);
	CHECK(n == 0);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = limit;
	small.rlim_cur = 12;
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 3; i++) {
		CHECK(add(l, 2) == -ENOSPC && holds("f", "{\"n\":1}\n"));
		lines_report(l, "run1", "turns");
	}
	setrlimit(RLIMIT_FSIZE, &limit);
	CHECK(lines_unwritten(l) == 3);
	for (int i = 0; i < 2; i++) {
		CHECK(add(l, 3 + i) == 0);
		lines_report(l, "run1", "turns");
	}
	log_open(LEVEL_INFO, stderr);
	fclose(to);
	CHECK(strstr(said, "cannot write run1/f: No space left on device; turns are counted"));
	CHECK(strstr(said, "run1/f is written again; 3 turns are missing in it"));
	CHECK(strchr(strchr(said, '\n') + 1, '\n')[1] == '\0');
	free(said);

	TEST("a line there is no memory for counts as unwritten");
	CHECK(lines_write(l, NULL, 0) == -ENOMEM && lines_unwritten(l) == 4);
	lines_close(l);
	clear();
}

/* ---- rotation ---- */

#define FEW 80 /* room for ten of them */

/* A slow machine's close does not wait for all that is compressed: later watches go on with it. */
static void compress_rest(void)
{
	for (int i = 0; i < 20 && rotated_next_plain(folder, "f", 0); i++)
		lines_close(open_lines(FEW, 0));
}

static void test_rotate(void)
{
	struct lines *l = open_lines(FEW, 0), *other;
	struct stat st;

	TEST("a file never passes its size; the old one gets the next number, then a .gz");
	for (int i = 1; i <= 9; i++)
		add(l, i);
	CHECK(add(l, 1) == 0 && fstatat(folder, "f", &st, 0) == 0 && st.st_size == FEW);
	CHECK(!is_there("f.1") && add(l, 2) == 0);
	CHECK(holds("f", "{\"n\":2}\n"));
	CHECK(lines_written(l) == 11 && lines_unrotated(l) == 0);

	TEST("the new file is locked, too");
	other = open_lines(FEW, 0);
	CHECK(!other && errno == EWOULDBLOCK);
	lines_close(l);
	CHECK(holds("f.1.gz", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n{\"n\":6}\n"
	                      "{\"n\":7}\n{\"n\":8}\n{\"n\":9}\n{\"n\":1}\n"));
	CHECK(!is_there("f.1") && !is_there("f.1.gz.tmp") && !is_there(".f.new"));
	CHECK(fstatat(folder, "f.1.gz", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(fstatat(folder, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(clear() == 2);

	TEST("a line longer than a whole file gets one of its own, and no empty file is rotated");
	l = open_lines(4, 0);
	for (int i = 1; i <= 3; i++)
		CHECK(add(l, i) == 0);
	lines_close(l);
	CHECK(holds("f.1.gz", "{\"n\":1}\n") && holds("f.2.gz", "{\"n\":2}\n"));
	CHECK(holds("f", "{\"n\":3}\n") && !is_there("f.3") && clear() == 3);

	TEST("many rotations: each line once, in order, all but the newest compressed");
	l = open_lines(FEW, 0);
	for (int i = 0; i < 300; i++)
		CHECK(add(l, i) == 0);
	lines_close(l);
	CHECK(lines_from(0) == 300);
	compress_rest();
	CHECK(lines_from(0) == 300 && rotated_next_plain(folder, "f", 0) == 0);
	CHECK(rotated_newest(folder, "f") > 20);

	TEST("a later watch counts on");
	l = open_lines(FEW, 0);
	for (int i = 300; i < 330; i++)
		add(l, i);
	lines_close(l);
	CHECK(lines_from(0) == 330);
	clear();
}

static void test_keep(void)
{
	struct lines *l = open_lines(FEW, 3);
	int64_t newest;
	char name[ROTATED_NAME_MAX];

	TEST("only the newest rotated files stay, and what is not ours is left alone");
	put_file("f.07", "x");
	put_file("f.9999999999999", "x");
	put_file("f.1x", "x");
	put_file("f.1.gz.old", "x");
	put_file("g.1", "x");
	put_file("f.", "x");
	for (int i = 0; i < 200; i++)
		add(l, i);
	lines_close(l);
	newest = rotated_newest(folder, "f");
	CHECK(newest > 15);
	for (int64_t i = 1; i <= newest; i++) {
		rotated_name(name, "f", (uint64_t)i, ".gz");
		CHECK(is_there(name) == (i > newest - 3));
		rotated_name(name, "f", (uint64_t)i, "");
		CHECK(!is_there(name));
	}
	CHECK(clear() == 6 + 3 + 1);

	TEST("a folder in the way does not keep the others");
	for (int i = 1; i <= 5; i++) {
		rotated_name(name, "f", (uint64_t)i, "");
		if (i == 2)
			mkdirat(folder, name, 0700);
		else
			put_file(name, "{}\n");
	}
	CHECK(rotated_prune(folder, "f", 2) < 0);
	CHECK(!is_there("f.1") && is_there("f.2") && !is_there("f.3") && is_there("f.4"));
	clear();
}

static void test_cannot_rotate(void)
{
	struct lines *l = open_lines(FEW, 0);
	struct stat st;

	TEST("a file that cannot be rotated grows on, and is rotated as soon as it can be");
	mkdirat(folder, ".f.new", 0700);
	for (int i = 0; i < 15; i++)
		CHECK(add(l, i) == 0);
	CHECK(lines_unrotated(l) > 0 && lines_unrotated(l) < 6);
	CHECK(rotated_newest(folder, "f") == 0 && lines_from(0) == 15);
	CHECK(fstatat(folder, "f", &st, 0) == 0 && st.st_size > FEW);
	unlinkat(folder, ".f.new", AT_REMOVEDIR);
	for (int i = 15; i < 30; i++)
		CHECK(add(l, i) == 0);
	CHECK(rotated_newest(folder, "f") > 0);
	lines_close(l);
	CHECK(lines_from(0) == 30);
	clear();

	TEST("a file that was moved away is not rotated in another one's name");
	l = open_lines(FEW, 0);
	add(l, 0);
	CHECK(renameat(folder, "f", folder, "moved") == 0);
	put_file("f", "somebody's\n");
	for (int i = 1; i < 30; i++)
		CHECK(add(l, i) == 0);
	lines_close(l);
	CHECK(holds("f", "somebody's\n") && rotated_newest(folder, "f") == 0);
	CHECK(renameat(folder, "moved", folder, "f") == 0 && lines_from(0) == 30);
	clear();
}

/* ---- what a killed writer leaves ---- */

static void test_leftovers(void)
{
	struct lines *l;

	TEST("killed before the new file had its name: it goes, nothing else happened");
	put_file("f", "{\"n\":0}\n");
	put_file(".f.new", "");
	lines_close(open_lines(FEW, 0));
	CHECK(!is_there(".f.new") && lines_from(0) == 1 && clear() == 1);

	TEST("killed when the old file had both names: it keeps its own");
	put_file("f", "{\"n\":0}\n");
	CHECK(linkat(folder, "f", folder, "f.1", 0) == 0);
	l = open_lines(FEW, 0);
	add(l, 1);
	lines_close(l);
	CHECK(lines_from(0) == 2 && clear() == 1);

	TEST("... on a file system without links: the old file has its number, there is no new "
	     "one");
	put_file("f.1", "{\"n\":0}\n");
	put_file(".f.new", "");
	lines_close(open_lines(FEW, 0));
	CHECK(holds("f.1.gz", "{\"n\":0}\n") && holds("f", "") && clear() == 2);

	TEST("killed before it was compressed");
	put_file("f.1", "{\"n\":0}\n");
	put_file("f.2", "{\"n\":1}\n");
	put_file("f", "{\"n\":2}\n");
	lines_close(open_lines(FEW, 0));
	CHECK(lines_from(0) == 3 && holds("f.1.gz", "{\"n\":0}\n") && !is_there("f.2"));
	CHECK(clear() == 3);

	TEST("killed while it was compressed");
	put_file("f.1", "{\"n\":0}\n");
	put_file("f.1.gz.tmp", "half");
	put_file("f", "{\"n\":1}\n");
	lines_close(open_lines(FEW, 0));
	CHECK(lines_from(0) == 2 && holds("f.1.gz", "{\"n\":0}\n") && clear() == 2);

	TEST("killed when both were there");
	put_file("f.1", "{\"n\":0}\n");
	CHECK(rotated_compress(folder, "f", 1) == 0);
	put_file("f.1", "{\"n\":0}\n");
	put_file("f", "{\"n\":1}\n");
	lines_close(open_lines(FEW, 0));
	CHECK(lines_from(0) == 2 && !is_there("f.1") && clear() == 2);

	TEST("a half compressed file whose source is gone holds nothing: it goes");
	put_file("f.3.gz.tmp", "half");
	lines_close(open_lines(FEW, 0));
	CHECK(!is_there("f.3.gz.tmp") && !is_there("f.3.gz") && clear() == 1);

	TEST("without rotation they are finished as well");
	put_file("f.1", "{\"n\":0}\n");
	lines_close(open_lines(0, 0));
	CHECK(holds("f.1.gz", "{\"n\":0}\n") && clear() == 2);
}

static void test_compress(void)
{
	struct rlimit limit, small;
	struct lines *l;
	size_t n = 1 << 20;
	char *big = malloc(n + 1);
	uint64_t x = 7;
	pid_t child;
	int fd, status, go[2];
	char c;

	TEST("a disk that is full while compressing leaves the file as it was");
	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		big[i] = (char)('a' + (x >> 33) % 26);
	}
	big[n] = '\0';
	put_file("f.1", big);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = limit;
	small.rlim_cur = 1000;
	setrlimit(RLIMIT_FSIZE, &small);
	CHECK(rotated_compress(folder, "f", 1) == -EFBIG);
	CHECK(holds("f.1", big) && !is_there("f.1.gz") && !is_there("f.1.gz.tmp"));

	TEST("... is told of a child, and the next watch tries again");
	l = open_lines(FEW, 0);
	lines_close(l);
	CHECK(holds("f.1", big));
	setrlimit(RLIMIT_FSIZE, &limit);
	lines_close(open_lines(FEW, 0));
	CHECK(holds("f.1.gz", big) && !is_there("f.1"));
	clear();

	TEST("two that compress the same file do it once: the second waits, and has nothing left");
	put_file("f.1", big);
	put_file("f.1.gz.tmp", "half");
	fd = openat(folder, "f.1.gz.tmp", O_RDWR);
	CHECK(flock(fd, LOCK_EX) == 0 && pipe(go) == 0);
	child = fork();
	if (child == 0) {
		close(fd);
		if (write(go[1], "g", 1) != 1)
			_exit(1);
		_exit(rotated_compress(folder, "f", 1) != 0);
	}
	CHECK(read(go[0], &c, 1) == 1);
	/* the first one ends */
	unlinkat(folder, "f.1.gz.tmp", 0);
	put_file("f.1.gz", "done");
	unlinkat(folder, "f.1", 0);
	close(fd);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(holds("f.1.gz", "done") && !is_there("f.1.gz.tmp") && clear() == 1);
	close(go[0]);
	close(go[1]);
	free(big);
}

/* ---- killed for real ---- */

#define KILLS 60

/* Writes numbered lines from `from` on, and tells of each how many there are, until it is killed. */
static _Noreturn void write_until_killed(int from, int tell)
{
	struct lines *l = open_lines(4 * FEW, 0);

	while (l && add(l, from) == 0) {
		from++;
		if (write(tell, &from, sizeof(from)) != sizeof(from))
			break;
	}
	_exit(1);
}

/* Starts a writer and kills it when it has told of so many lines. The last number it told. */
static int kill_writer(int from, int lines)
{
	int told = from, pipes[2];
	pid_t child;

	if (pipe(pipes))
		abort();
	child = fork();
	if (child == 0) {
		close(pipes[0]);
		write_until_killed(from, pipes[1]);
	}
	close(pipes[1]);
	while (told < from + lines && read(pipes[0], &told, sizeof(told)) == sizeof(told))
		;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	while (read(pipes[0], &told, sizeof(told)) == sizeof(told))
		;
	close(pipes[0]);
	return told;
}

static void test_kills(void)
{
	int told = 0;
	bool right = true;
	uint32_t dice = 1;

	TEST("kill -9 at any moment: no line is lost, none is there twice, all are whole");
	for (int i = 0; i < KILLS && right; i++) {
		char *all;
		int n;

		dice = dice * 1664525 + 1013904223;
		told = kill_writer(told, 1 + (int)(dice >> 24));
		/* the writer's own end takes what is cut; one line may be there that it did not live to tell */
		lines_close(open_lines(4 * FEW, 0));
		all = all_files();
		n = count_lines(all, 0);
		free(all);
		right &= n == told || n == told + 1;
		told = n;
	}
	CHECK(right && told > KILLS);
	lines_close(open_lines(4 * FEW, 0));
	CHECK(lines_from(0) == told);
	clear();
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!mkdtemp(dir))
		return 1;
	folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_open();
	test_torn();
	test_report();
	test_rotate();
	test_keep();
	test_cannot_rotate();
	test_leftovers();
	test_compress();
	test_kills();
	rmdir(dir);
	return DONE();
}
