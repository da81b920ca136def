/* SPDX-License-Identifier: BSD-2-Clause */
/* A line: "id parent major:minor root mount-point ...", blanks and the like in the paths as \ooo. */
#include "mounts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SEEN_MAX 4096 /* of a root or mount point; PATH_MAX */

struct mount {
	int id;
	uint64_t dev;
	char root[PATH_SEEN_MAX], point[PATH_SEEN_MAX];
};

/* The next word of the line, *n long; NULL: there is none. */
static const char *word_next(const char **p, const char *end, size_t *n)
{
	const char *start;

	while (*p < end && **p == ' ')
		(*p)++;
	start = *p;
	while (*p < end && **p != ' ')
		(*p)++;
	*n = (size_t)(*p - start);
	return *n ? start : NULL;
}

/* A decimal number that is the whole word. */
static bool number_take(const char *p, size_t n, uint64_t most, uint64_t *to)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(p[i] - '0');
		if (v > most)
			return false;
	}
	*to = v;
	return n > 0;
}

static bool octal(char c)
{
	return c >= '0' && c <= '7';
}

/* Without the escapes; false: no path, or too long. */
static bool path_take(const char *p, size_t n, char to[static PATH_SEEN_MAX])
{
	size_t used = 0;

	if (!n || *p != '/')
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (c == '\\' && i + 3 < n && octal(p[i + 1]) && octal(p[i + 2]) &&
		    octal(p[i + 3])) {
			c = (char)((p[i + 1] - '0') << 6 | (p[i + 2] - '0') << 3 |
			           (p[i + 3] - '0'));
			i += 3;
		}
		if (!c || used == PATH_SEEN_MAX - 1)
			return false;
		to[used++] = c;
	}
	to[used] = '\0';
	return true;
}

static bool mount_parse(const char *line, size_t len, struct mount *m)
{
	const char *p = line, *end = line + len, *word, *colon;
	uint64_t id, parent, major, minor;
	size_t n;

	word = word_next(&p, end, &n);
	if (!word || !number_take(word, n, INT32_MAX, &id))
		return false;
	word = word_next(&p, end, &n);
	if (!word || !number_take(word, n, INT32_MAX, &parent))
		return false;
	word = word_next(&p, end, &n);
	colon = word ? memchr(word, ':', n) : NULL;
	if (!colon || !number_take(word, (size_t)(colon - word), 0xfff, &major) ||
	    !number_take(colon + 1, n - (size_t)(colon - word) - 1, 0xfffff, &minor))
		return false;
	m->id = (int)id;
	m->dev = major << 20 | minor;
	word = word_next(&p, end, &n);
	if (!word || !path_take(word, n, m->root))
		return false;
	word = word_next(&p, end, &n);
	return word && path_take(word, n, m->point);
}

/* Is `inside` below or at root? Then what is left of it, "" or from '/' on. */
static const char *below(const char *root, const char *inside)
{
	size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(root, inside, n) != 0 || (inside[n] && inside[n] != '/'))
		return NULL;
	return strcmp(inside + n, "/") == 0 ? "" : inside + n;
}

/* Calls fn for each line that is one and ends; stops when it returns true. */
static void mounts_each(const char *text, size_t len, bool (*fn)(void *ctx, const struct mount *m),
                        void *ctx)
{
	struct mount *m = malloc(sizeof(*m));
	const char *end = text + len, *eol;

	for (; m && text < end && (eol = memchr(text, '\n', (size_t)(end - text))); text = eol + 1)
		if (mount_parse(text, (size_t)(eol - text), m) && fn(ctx, m))
			break;
	free(m);
}

struct search {
	int id;
	uint64_t dev;
	const char *inside;
	size_t best; /* length of the root found, and 1: found */
	int err;
	char *to;
	size_t n;
};

static bool search_visit(void *ctx, const struct mount *m)
{
	struct search *s = ctx;
	const char *rest = m->dev == s->dev ? below(m->root, s->inside) : NULL;
	size_t length = strlen(m->root) + 1;
	int n;

	if (!rest || (m->id != s->id && length <= s->best))
		return false;
	s->best = length;
	n = snprintf(s->to, s->n, "%s%s", strcmp(m->point, "/") == 0 && *rest ? "" : m->point,
	             rest);
	s->err = n < 0 || (size_t)n >= s->n ? -ENAMETOOLONG : 0;
	return m->id == s->id;
}

int mounts_path(const char *mountinfo, size_t len, int id, uint64_t dev, const char *inside,
                char *to, size_t n)
{
	char *found = malloc(n);
	struct search s = {
		.id = id, .dev = dev, .inside = inside, .err = -ENOENT, .to = found, .n = n
	};

	if (!found)
		return -ENOMEM;
	mounts_each(mountinfo, len, search_visit, &s);
	if (!s.err)
		memcpy(to, found, strlen(found) + 1);
	free(found);
	return s.err;
}

static bool root_visit(void *ctx, const struct mount *m)
{
	if (strcmp(m->point, "/") == 0)
		*(int *)ctx = m->id;
	return false; /* of several the last one lies on top */
}

int mounts_root(const char *mountinfo, size_t len)
{
	int id = -1;

	mounts_each(mountinfo, len, root_visit, &id);
	return id;
}
