/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that is full, for real: a small tmpfs in a mount namespace of the test's own. Lines, rotation and compression
 * lose nothing that was taken, and go on when there is room again. Skipped (77) where mounting is refused.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "out/lines.h"
#include "out/rotated.h"
#include "out/run_error.h"

#define SKIPPED 77
#define ROTATE 8192

static char dir[] = "/tmp/unit_full_disk.XXXXXX";
static int folder;

/* True when dir is a disk of 64 KiB that only this process sees. */
static bool mount_small(void)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", dir, "tmpfs", 0, "size=64k") == 0;
}

static struct lines *open_lines(uint64_t rotate)
{
	return lines_open(
		&(struct lines_config){ .dirfd = folder, .name = "f", .rotate_size = rotate });
}

/* Takes all the room there is; what is left is less than a line. */
static void fill_up(void)
{
	static const char block[4096];
	int fd = openat(folder, "filler", O_WRONLY | O_CREAT | O_APPEND, 0600);

	for (size_t n = sizeof(block); n; n /= 2)
		while (write(fd, block, n) > 0)
			;
	close(fd);
}

/* A line that hardly shrinks, and tells which it is. */
static int add(struct lines *l, int n)
{
	static uint64_t x = 1;
	char line[256];
	int len = snprintf(line, sizeof(line), "{\"n\":%d,\"x\":\"", n);

	for (int i = 0; i < 200; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		line[len++] = "0123456789abcdef"[x >> 60];
	}
	len += snprintf(line + len, sizeof(line) - (size_t)len, "\"}");
	return lines_write(l, line, (size_t)len);
}

/* Lines of f: each whole; their number, or -1. */
static int whole_lines(void)
{
	FILE *f = fdopen(openat(folder, "f", O_RDONLY), "r");
	char *line = NULL;
	size_t room = 0;
	int n = 0;

	while (n >= 0 && getline(&line, &room, f) > 0) {
		json_t *o;

		if (line[0] == '\n') /* put_spaces() */
			continue;
		o = json_loads(line, 0, NULL);
		n = o && strchr(line, '\n') ? n + 1 : -1;
		json_decref(o);
	}
	free(line);
	fclose(f);
	return n;
}

/* White space behind the last line, to the end of the file's last block: of a file of lines it changes nothing. */
static void put_spaces(void)
{
	int fd = openat(folder, "f", O_WRONLY | O_APPEND);

	while (write(fd, "\n", 1) == 1)
		;
	close(fd);
}

static void test_lines(void)
{
	struct lines *l = open_lines(0);
	int taken = 0, refused = 0;

	TEST("on a full disk a line is refused, and those before it are whole");
	for (; taken < 5; taken++)
		CHECK(add(l, taken) == 0);
	fill_up();
	for (int i = 0; i < 100; i++)
		if (add(l, 1000 + i) == 0)
			taken++;
		else
			refused++;
	CHECK(refused > 50 && lines_unwritten(l) == (uint64_t)refused);
	CHECK(whole_lines() == taken);

	TEST("when there is room again it goes on");
	CHECK(unlinkat(folder, "filler", 0) == 0);
	CHECK(add(l, 1) == 0 && whole_lines() == taken + 1);
	lines_close(l);

	TEST("a watch that begins on a full disk is told so at once, and harms nothing");
	fill_up();
	put_spaces();
	CHECK(!open_lines(0) && errno == ENOSPC);
	CHECK(whole_lines() == taken + 1);
	unlinkat(folder, "filler", 0);
	unlinkat(folder, "f", 0);
}

static void test_rotation(void)
{
	struct lines *l = open_lines(ROTATE);
	int64_t newest;
	char name[ROTATED_NAME_MAX];
	int whole;

	TEST("a full disk stops compressing, not the file that waits for it");
	for (int i = 0; i < 30; i++)
		CHECK(add(l, i) == 0);
	fill_up();
	for (int i = 0; i < 60; i++)
		add(l, i);
	lines_close(l);
	newest = rotated_newest(folder, "f");
	CHECK(newest >= 1);
	rotated_name(name, "f", (uint64_t)newest, "");
	CHECK(faccessat(folder, name, F_OK, 0) == 0);
	CHECK(whole_lines() >= 0);

	TEST("the next watch with room finishes it");
	unlinkat(folder, "filler", 0);
	whole = whole_lines();
	lines_close(open_lines(ROTATE));
	CHECK(faccessat(folder, name, F_OK, 0) != 0);
	rotated_name(name, "f", (uint64_t)newest, ".gz");
	CHECK(faccessat(folder, name, F_OK, 0) == 0);
	CHECK(rotated_next_plain(folder, "f", 0) == 0 && whole_lines() == whole);
}

static void test_summary(void)
{
	json_t *old = json_pack("{s:i}", "a", 1), *new = json_object(), *got;
	char path[64], key[16];

	TEST("a summary that finds no room leaves the one before");
	snprintf(path, sizeof(path), "%s/runstats.json", dir);
	CHECK(run_error_write(old, folder, "runstats.json") == 0);
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "key%d", i);
		json_object_set_new(new, key, json_integer(i));
	}
	fill_up();
	CHECK(run_error_write(new, folder, "runstats.json") == -ENOSPC);
	got = json_load_file(path, 0, NULL);
	CHECK(json_equal(got, old));
	json_decref(old);
	json_decref(new);
	json_decref(got);
}

int main(void)
{
	int status;

	if (!mkdtemp(dir))
		return 1;
	if (!mount_small()) {
		printf("# skipped: no tmpfs of our own: %s\n", strerror(errno));
		rmdir(dir);
		return SKIPPED;
	}
	folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_lines();
	test_rotation();
	test_summary();
	status = DONE();
	close(folder);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return status;
}
