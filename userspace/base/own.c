/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is behind sudo is told by SUDO_UID and SUDO_GID; only root can give files away, so nobody else is asked. */
#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool own_user(uid_t *uid, gid_t *gid)
{
	const char *u = getenv("SUDO_UID"), *g = getenv("SUDO_GID");
	char *end;

	if (geteuid() != 0 || !u || !g || !*u || !*g)
		return false;
	*uid = (uid_t)strtoul(u, &end, 10);
	if (*end)
		return false;
	*gid = (gid_t)strtoul(g, &end, 10);
	return *end == '\0';
}

void own_give(int fd)
{
	uid_t uid;
	gid_t gid;

	/* not fatal: the file then stays root's, readable with sudo */
	if (own_user(&uid, &gid) && fchown(fd, uid, gid))
		errno = 0;
}

int own_dir(const char *path)
{
	char *copy = strdup(path);
	int fd = -1, err = 0;

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) == 0) {
			fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
			if (fd >= 0) {
				own_give(fd);
				close(fd);
			}
		} else if (errno != EEXIST) {
			err = -errno;
			break;
		}
		*p = c;
		if (c == '\0')
			break;
	}
	free(copy);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int own_file(int dirfd, const char *name, int flags)
{
	/* a pipe somebody put there must not hold us up */
	int fd = openat(dirfd, name, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	/* devices are nobody's to give away */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		own_give(fd);
		if (st.st_mode & 077 && fchmod(fd, 0600)) {
			int err = -errno;

			close(fd);
			return err;
		}
	}
	return fd;
}
