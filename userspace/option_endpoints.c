/* SPDX-License-Identifier: BSD-2-Clause */
/* The value of --endpoints: a file of lines as endpoints.table has them; and those lines in a recording. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "option_values.h"

/* All lines there may be, and as much again in comments. */
#define FILE_MAX (2 * ENDPOINT_FACTS_MAX * ENDPOINT_LINE_MAX)
#define UTF8_BOM "\xef\xbb\xbf"

/* Up to room bytes of a regular file: a pipe or a terminal would make us wait. -errno. */
static ssize_t read_file(const char *path, char *buf, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err = 0;
	struct stat st;
	size_t n = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = errno;
	else if (!S_ISREG(st.st_mode))
		err = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	while (n < room && !err) {
		ssize_t got = read(fd, buf + n, room - n);

		if (got == 0)
			break;
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			err = errno;
	}
	close(fd);
	return err ? -err : (ssize_t)n;
}

/* A copy of a line without its comment and the blanks around it, NULL when out of memory. */
static char *line_copy(struct bytes line)
{
	line = bytes_to(&line, '#');
	while (line.n && strchr(" \t\r", line.p[0]))
		line = bytes_from(line, 1);
	while (line.n && strchr(" \t\r", line.p[line.n - 1]))
		line.n--;
	return strndup(line.p, line.n);
}

static const char *line_add(struct options *o, struct bytes line)
{
	struct endpoint_fact fact;
	const char *why = NULL;
	char **more;
	int ret = endpoint_fact_parse(line, &fact, &why);

	if (ret <= 0)
		return why;
	if (o->nendpoints == ENDPOINT_FACTS_MAX)
		return "more lines than the 512 that there can be";
	more = realloc(o->endpoints, ((size_t)o->nendpoints + 1) * sizeof(*more));
	if (!more)
		return "out of memory";
	o->endpoints = more;
	more[o->nendpoints] = line_copy(line);
	if (!more[o->nendpoints])
		return "out of memory";
	o->nendpoints++;
	return NULL;
}

const char *value_endpoint(struct options *o, const struct option *opt, const char *value)
{
	(void)opt;
	return line_add(o, bytes_of(value));
}

static void lines_drop(struct options *o, int from)
{
	while (o->nendpoints > from)
		free(o->endpoints[--o->nendpoints]);
}

static const char *take_lines(struct options *o, struct bytes text)
{
	static char said[256];
	const char *why = NULL;
	unsigned at = 0;

	if (bytes_start(text, UTF8_BOM))
		text = bytes_from(text, strlen(UTF8_BOM));
	while (text.n && !why) {
		at++;
		why = line_add(o, bytes_to(&text, '\n'));
	}
	if (!why)
		return NULL;
	snprintf(said, sizeof(said), "line %u: %s", at, why);
	return said;
}

const char *value_endpoints(struct options *o, const struct option *opt, const char *value)
{
	static char said[256];
	int before = o->nendpoints;
	char *text = malloc(FILE_MAX + 1);
	ssize_t n = text ? read_file(value, text, FILE_MAX + 1) : -ENOMEM;
	const char *why = NULL;

	(void)opt;
	if (n > FILE_MAX) {
		why = "longer than any table";
	} else if (n < 0) {
		snprintf(said, sizeof(said), "cannot read it: %s",
		         n == -EINVAL ? "it is no file" : strerror((int)-n));
		why = said;
	} else {
		why = take_lines(o, (struct bytes){ text, (size_t)n });
	}
	if (why)
		lines_drop(o, before);
	free(text);
	return why;
}

static void reverse(char **a, int n)
{
	for (int i = 0; i < n / 2; i++) {
		char *c = a[i];

		a[i] = a[n - 1 - i];
		a[n - 1 - i] = c;
	}
}

void value_endpoints_rotate(struct options *o, int n)
{
	reverse(o->endpoints, n);
	reverse(o->endpoints + n, o->nendpoints - n);
	reverse(o->endpoints, o->nendpoints);
}

void value_endpoints_free(struct options *o)
{
	lines_drop(o, 0);
	free(o->endpoints);
	o->endpoints = NULL;
}
