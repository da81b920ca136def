/* SPDX-License-Identifier: BSD-2-Clause */
/* Files by the names a target gives them: only regular ones are opened, and no link leads out of its root. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "procfs.h"
#include "test.h"

static char dir[] = "/tmp/procfs-XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void file_make(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd))
		abort();
}

static void check_own(void)
{
	uint32_t pid = (uint32_t)getpid();
	char text[64];

	TEST("a file is read up to what there is room for");
	file_make(in_dir("file"), "0123456789");
	CHECK(procfs_read_inside(pid, in_dir("file"), text, sizeof(text)) == 10);
	CHECK(procfs_read_inside(pid, in_dir("file"), text, 5) == 4 && strcmp(text, "0123") == 0);
	CHECK(procfs_read_inside(pid, in_dir("none"), text, sizeof(text)) == -ENOENT);

	TEST("a FIFO hangs nobody, a directory or device is not opened");
	if (mkfifo(in_dir("fifo"), 0600))
		abort();
	CHECK(procfs_read_inside(pid, in_dir("fifo"), text, sizeof(text)) == -EINVAL);
	CHECK(procfs_open_inside(pid, dir) == -EINVAL);
	CHECK(procfs_open_inside(pid, "/dev/null") == -EINVAL);

	TEST("a process that is not there has no files");
	CHECK(procfs_open_inside(0, in_dir("file")) < 0);
	unlink(in_dir("file"));
	unlink(in_dir("fifo"));
}

/* Only root may have another root: who is not is not asked. */
static void check_links(void)
{
	int ready[2], end[2];
	char text[64] = "";
	pid_t pid;

	if (geteuid() || pipe(ready) || pipe(end))
		return;
	file_make(in_dir("host"), "of the host");
	if (mkdir(in_dir("root"), 0700) || symlink("/host", in_dir("root/link")) ||
	    symlink("../../../../../../etc/passwd", in_dir("root/up")))
		abort();
	pid = fork();
	if (pid == 0) {
		close(end[1]);
		if (chroot(in_dir("root")) || write(ready[1], "", 1) != 1)
			_exit(1);
		_exit(read(end[0], text, 1) != 0);
	}
	close(ready[1]);
	TEST("a link leads nowhere but to the process's own root");
	if (read(ready[0], text, 1) == 1) {
		CHECK(procfs_open_inside((uint32_t)pid, "/link") == -ENOENT);
		CHECK(procfs_open_inside((uint32_t)pid, "/up") == -ENOENT);
		file_make(in_dir("root/host"), "its own");
		CHECK(procfs_read_inside((uint32_t)pid, "/link", text, sizeof(text)) == 7);
		CHECK(strcmp(text, "its own") == 0);
	}
	close(end[1]);
	waitpid(pid, NULL, 0);
	unlink(in_dir("host"));
	unlink(in_dir("root/host"));
	unlink(in_dir("root/link"));
	unlink(in_dir("root/up"));
	rmdir(in_dir("root"));
}

int main(void)
{
	if (!mkdtemp(dir))
		abort();
	check_own();
	check_links();
	rmdir(dir);
	return DONE();
}
