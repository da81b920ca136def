/* SPDX-License-Identifier: BSD-2-Clause */
/* The pattern stands in our own command line, and in those of sudo, shells and scripts that started us. */
#include "match.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <stdio.h>
#include <unistd.h>

#include "procfs.h"

#define CMDLINE_MATCHED 4096 /* bytes of a command line that are looked at */
#define ANCESTORS_MAX 128    /* generations looked at */

struct match {
	regex_t regex;
	uint32_t self;
	uint32_t ancestors[ANCESTORS_MAX];
	size_t nancestors;
	dev_t dev; /* of our program; 0: not known */
	ino_t ino;
};

struct match *match_new(const char *pattern, char *why, size_t n)
{
	struct match *m = calloc(1, sizeof(*m));
	struct proc_stat st;
	struct stat exe;
	int err;

	if (!m)
		return NULL;
	err = regcomp(&m->regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (err) {
		regerror(err, &m->regex, why, n);
		free(m);
		errno = EINVAL;
		return NULL;
	}
	m->self = (uint32_t)getpid();
	for (uint32_t pid = m->self;
	     m->nancestors < ANCESTORS_MAX && procfs_stat(pid, &st) == 0 && st.ppid; pid = st.ppid)
		m->ancestors[m->nancestors++] = st.ppid;
	if (stat("/proc/self/exe", &exe) == 0) {
		m->dev = exe.st_dev;
		m->ino = exe.st_ino;
	}
	return m;
}

void match_free(struct match *m)
{
	if (!m)
		return;
	regfree(&m->regex);
	free(m);
}

void match_join(char *buf, size_t len)
{
	while (len && !buf[len - 1])
		len--;
	for (size_t i = 0; i < len; i++)
		if (!buf[i])
			buf[i] = ' ';
	buf[len] = '\0';
}

/* Started by us, or by what we started. */
static bool descends(const struct match *m, uint32_t pid)
{
	struct proc_stat st;

	for (unsigned i = 0; i < ANCESTORS_MAX && pid && procfs_stat(pid, &st) == 0; i++) {
		if (st.ppid == m->self)
			return true;
		pid = st.ppid;
	}
	return false;
}

/* Another whystuck, which may have the same pattern. */
static bool same_program(const struct match *m, uint32_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	return m->ino && stat(path, &st) == 0 && st.st_dev == m->dev && st.st_ino == m->ino;
}

bool match_fits(const struct match *m, uint32_t pid)
{
	char cmdline[CMDLINE_MATCHED];
	ssize_t n;

	if (pid == m->self || procfs_listed(m->ancestors, m->nancestors, pid))
		return false;
	n = procfs_read(pid, "cmdline", cmdline, sizeof(cmdline));
	if (n <= 0) /* a kernel thread, a zombie */
		return false;
	match_join(cmdline, (size_t)n);
	return regexec(&m->regex, cmdline, 0, NULL, 0) == 0 && !same_program(m, pid) &&
	       !descends(m, pid);
}
