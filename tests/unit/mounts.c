/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a file lies as its writer sees it: mount tables and names, whole, cut and hostile. */
#include "mounts.h"

#include <errno.h>

#include "files.h"
#include "state.h"
#include "test.h"

#define DEV(major, minor) ((uint64_t)(major) << 20 | (minor))

static const char table[] = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
			    "30 25 0:42 / /tmp rw - tmpfs tmpfs rw\n"
			    "31 25 8:1 /var/log /mnt/with\\040blank rw - ext4 /dev/sda1 rw\n"
			    "32 25 8:1 /var/log/app /srv rw - ext4 /dev/sda1 rw\n"
			    "33 25 0:50 /@home/sub /home rw - btrfs /dev/sdb rw\n"
			    "34 25 0:51 /gone//deleted /gone rw - ext4 /dev/sdc rw\n"
			    "35 25 0:24 / /dev/pts rw - devpts devpts rw\n";

static const char *path(const char *text, int id, uint64_t dev, const char *inside)
{
	static char to[256];
	size_t n = strlen(text);
	const char *copy = guarded(text, n);
	int err = mounts_path(copy, n, id, dev, inside, to, sizeof(to));

	guarded_free((void *)copy, n);
	if (err)
		snprintf(to, sizeof(to), "%s", strerrorname_np(-err));
	return to;
}

#define IS(want, ...) CHECK(strcmp(path(__VA_ARGS__), want) == 0)

static void check_tables(void)
{
	TEST("the mount with the writer's id tells, where it shows the file");
	IS("/var/log/app/x", table, 25, DEV(8, 1), "/var/log/app/x");
	IS("/mnt/with blank/app/x", table, 31, DEV(8, 1), "/var/log/app/x");
	IS("/srv/x", table, 32, DEV(8, 1), "/var/log/app/x");

	TEST("else the mount whose root is the longest part of the way, in whole names");
	IS("/srv/x", table, 99, DEV(8, 1), "/var/log/app/x");
	IS("/srv", table, 99, DEV(8, 1), "/var/log/app");
	IS("/mnt/with blank/application", table, 99, DEV(8, 1), "/var/log/application");
	IS("/etc/passwd", table, 32, DEV(8, 1), "/etc/passwd");
	IS("/tmp/a b", table, 99, DEV(0, 42), "/a b");
	IS("/tmp", table, 99, DEV(0, 42), "/");
	IS("/home/x", table, 99, DEV(0, 50), "/@home/sub/x");
	IS("/dev/pts/3", table, 99, DEV(0, 24), "/3");

	TEST("what no mount shows has no path");
	IS("ENOENT", table, 25, DEV(0, 99), "/x");
	IS("ENOENT", table, 33, DEV(0, 50), "/@home/other/x");
	IS("ENOENT", table, 34, DEV(0, 51), "/gone/x");
	IS("ENOENT", "", 25, DEV(8, 1), "/x");

	TEST("the root is the mount on top of it");
	CHECK(mounts_root(table, strlen(table)) == 25);
	CHECK(mounts_root("", 0) == -1);
}

static void check_cut_and_hostile(void)
{
	static const char *const bad[] = {
		"x 1 8:1 / / rw\n",      "1 1 8 / / rw\n",         "1 1 8:1 / \n",
		"1 1 8:1 rel / rw\n",    "1 1 8:1 / rel rw\n",     "99999999999 1 8:1 / / rw\n",
		"1 1 8:1x / / rw\n",     "1 1 -8:1 / / rw\n",      "1 1 8:99999999 / / rw\n",
		"1 1 8:1 /\\000 / rw\n", "1 1 8:1 / /\\000x rw\n", "\n\n \n",
	};
	bool whole = true, none = true;
	char *longer = malloc(9000), to[16] = "kept";

	TEST("of a table that is cut anywhere the whole lines count");
	for (size_t n = 0; n < strlen(table); n++) {
		const char *cut = guarded(table, n);
		char got[64] = "";
		int err = mounts_path(cut, n, 25, DEV(8, 1), "/etc/x", got, sizeof(got));

		whole &= n > strcspn(table, "\n") ? !err && strcmp(got, "/etc/x") == 0
		                                  : err == -ENOENT;
		guarded_free((void *)cut, n);
	}
	CHECK(whole);
	TEST("lines that are none are passed over");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		none &= strcmp(path(bad[i], 1, DEV(8, 1), "/x"), "ENOENT") == 0;
	CHECK(none);
	TEST("a path longer than there is room for is none, and nothing is written");
	CHECK(mounts_path(table, strlen(table), 31, DEV(8, 1), "/var/log/x", to, sizeof(to)) ==
	      -ENAMETOOLONG);
	CHECK(strcmp(to, "kept") == 0);
	memset(longer, 'a', 9000);
	memcpy(longer, "1 1 8:1 / /", 11);
	memcpy(longer + 8995, " rw\n", 5);
	IS("ENOENT", longer, 1, DEV(8, 1), "/x");
	free(longer);
}

static int join(const char *names, size_t len, uint32_t n, bool cut, char to[32])
{
	const char *copy = guarded(names, len);
	int err = files_join(copy, len, n, cut, to, 32);

	guarded_free((void *)copy, len);
	return err;
}

static void check_names(void)
{
	static const char names[] = "x.log\0log\0var";
	char to[32];
	bool torn = true;

	TEST("names come innermost first and make a path; one that is cut says so");
	CHECK(join(names, sizeof(names), 3, false, to) == 0 && strcmp(to, "/var/log/x.log") == 0);
	CHECK(join(names, sizeof(names), 3, true, to) == 0 && strcmp(to, ".../var/log/x.log") == 0);
	CHECK(join("", 0, 0, false, to) == 0 && strcmp(to, "/") == 0);
	TEST("names that are not whole, too few, too many or no names make none");
	for (size_t n = 0; n < sizeof(names); n++)
		torn &= join(names, n, 3, false, to) == -EPROTO;
	CHECK(torn);
	CHECK(join(names, sizeof(names), 2, false, to) == -EPROTO);
	CHECK(join(names, sizeof(names), 4, false, to) == -EPROTO);
	CHECK(join("a/b", 4, 1, false, to) == -EPROTO);
	CHECK(join("", 1, 1, false, to) == -EPROTO);
	CHECK(join("0123456789012345678901234567890", 32, 1, false, to) == -ENAMETOOLONG);
	CHECK(join("012345678901234567890123456789", 31, 1, false, to) == 0);
}

/* EV_FILE as the kernel programs send it, of our own process. */
static const struct event *taken(struct files *f, const struct file_names *names, uint64_t ino,
                                 uint32_t mode, const char *text, size_t len)
{
	static struct record raw, out;
	struct ev_file *e = record_begin(&raw, EV_FILE, sizeof(*e), (uint32_t)getpid(), 1);

	e->ino = ino;
	e->dev = DEV(0xfff, 0xfffff); /* mounted nowhere */
	e->fd = -1;
	e->mode = mode;
	record_add(&e->h, (const char *)names, sizeof(*names));
	record_add(&e->h, text, len);
	return files_take(f, &e->h, NULL, 0, &out);
}

static bool told(const struct event *e, const char *want)
{
	const struct ev_file *f = (const void *)e;

	return e && e->size == sizeof(*f) + strlen(want) &&
	       memcmp(f->text, want, strlen(want)) == 0;
}

static void check_files(void)
{
	struct files *f = files_new();
	struct file_names n = {
		.id = 2, .since_ns = 5, .mount = -1, .root_mount = -1, .n = 2, .rooted = 1
	};
	uint64_t id = 0;

	TEST("in the root of its writer the names are the path; the same is told once");
	CHECK(told(taken(f, &n, 7, 0100000, "log\0var", 8), "/var/log"));
	CHECK(files_id(f, 7, DEV(0xfff, 0xfffff), &id) && id == 2);
	CHECK(!taken(f, &n, 7, 0100000, "log\0var", 8));
	n.since_ns = 6; /* forgotten, and seen again */
	CHECK(taken(f, &n, 7, 0100000, "log\0var", 8) != NULL);
	n.id = 4; /* another file of that number */
	CHECK(taken(f, &n, 7, 0100000, "log\0var", 8) != NULL);
	CHECK(files_id(f, 7, DEV(0xfff, 0xfffff), &id) && id == 4);
	CHECK(!files_id(f, 8, DEV(0xfff, 0xfffff), &id));

	TEST("pipes and sockets have their numbers; where no mount shows a file its path is not "
	     "known");
	n.rooted = 0;
	CHECK(told(taken(f, &n, 9, 0100000, "log\0var", 8), ""));
	CHECK(told(taken(f, &n, 10, 0140000, "log\0var", 8), "socket:[10]"));
	CHECK(told(taken(f, &n, 11, 0010000, "log\0var", 8), "pipe:[11]"));
	n.n = 0;
	CHECK(told(taken(f, &n, 12, 0010000, "", 0), "pipe:[12]"));

	TEST("names that do not hold together give no path, a record without them is none");
	n.n = 2;
	n.rooted = 1;
	CHECK(told(taken(f, &n, 13, 0100000, "log\0va", 6), ""));
	{
		struct ev_file e = { .h = { .size = sizeof(e), .type = EV_FILE } };
		static struct record out;

		CHECK(!files_take(f, &e.h, NULL, 0, &out));
	}
	files_free(f);
}

int main(void)
{
	check_tables();
	check_cut_and_hostile();
	check_names();
	check_files();
	return DONE();
}
