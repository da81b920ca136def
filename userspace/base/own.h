/* SPDX-License-Identifier: BSD-2-Clause */
/* Files we leave behind: 0600 and of the user behind sudo. A library of its own: the loader's recordings need it too. */
#ifndef BASE_OWN_H
#define BASE_OWN_H
#include <stdbool.h>
#include <sys/types.h>

/* mkdir -p, then opens the directory; what was made belongs to the user behind sudo. Descriptor or -errno. */
int own_dir(const char *path);

/* openat(dirfd, name, flags | O_CREAT, 0600), never through a symbolic link. A regular file, also one that was there, is
 * then 0600 and of the user behind sudo. */
int own_file(int dirfd, const char *name, int flags);

/* The user behind sudo; false when there is none, or we are not root. */
bool own_user(uid_t *uid, gid_t *gid);

/* Gives an open file to the user behind sudo; nothing when there is none. */
void own_give(int fd);

#endif
