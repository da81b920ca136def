/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines "function TAB file TAB line LF", from a record: whatever they hold, nothing is read beyond them. */
#include "frames.h"

#include <inttypes.h>
#include <stdio.h>

static uint32_t number(struct bytes digits)
{
	uint32_t n = 0;

	for (size_t i = 0; i < digits.n && i < 9 && digits.p[i] >= '0' && digits.p[i] <= '9'; i++)
		n = n * 10 + (uint32_t)(digits.p[i] - '0');
	return n;
}

bool frames_next(struct bytes *rest, struct frame *frame)
{
	struct bytes line;

	if (!rest->n)
		return false;
	line = bytes_to(rest, '\n');
	frame->function = bytes_to(&line, '\t');
	frame->file = bytes_to(&line, '\t');
	frame->line = number(line);
	return true;
}

static bool contains(struct bytes b, const char *s)
{
	return memmem(b.p, b.n, s, strlen(s)) != NULL;
}

bool frame_own(const struct frame *f)
{
	static const char *const others[] = { "/lib/python3", "/lib64/python3", "/site-packages/",
		                              "/dist-packages/", "<frozen " };

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (contains(f->file, others[i]))
			return false;
	return true;
}

static bool has_own(struct bytes rest)
{
	struct frame frame;

	while (frames_next(&rest, &frame))
		if (frame_own(&frame))
			return true;
	return false;
}

static struct bytes base_name(struct bytes path)
{
	const char *slash = memrchr(path.p, '/', path.n);

	return slash ? bytes_from(path, (size_t)(slash - path.p) + 1) : path;
}

/* "one" of "deadlock.<locals>.one": where it was defined says its line. */
static struct bytes without_locals(struct bytes function)
{
	static const char mark[] = "<locals>.";
	const char *found;

	while ((found = memmem(function.p, function.n, mark, sizeof(mark) - 1)))
		function = bytes_from(function, (size_t)(found - function.p) + sizeof(mark) - 1);
	return function;
}

/* One frame at *at; false if it does not fit. */
static bool line_add(char *buf, size_t n, size_t *at, const struct frame *f)
{
	struct bytes file = base_name(f->file), function = without_locals(f->function);
	char line[16] = "";
	int k;

	if (f->line)
		snprintf(line, sizeof(line), ":%" PRIu32, f->line);
	k = snprintf(buf + *at, n - *at, "%s%.*s (%.*s%s)", *at ? " <- " : "", (int)function.n,
	             function.p, (int)file.n, file.p, line);
	if (k < 0 || (*at && (size_t)k >= n - *at)) {
		buf[*at] = '\0';
		return false;
	}
	*at += (size_t)k;
	return *at < n;
}

/* "one" of "deadlock.<locals>.one", "get" of "Queue.get". */
static struct bytes last_name(struct bytes function)
{
	const char *dot = function.n ? memrchr(function.p, '.', function.n) : NULL;

	return dot ? bytes_from(function, (size_t)(dot - function.p) + 1) : function;
}

bool frame_is(const struct frame *f, const char *file, const char *function)
{
	struct bytes name = last_name(f->function);
	size_t n = strlen(file);

	if (n && file[n - 1] == '/'
	            ? !contains(f->file, file)
	            : f->file.n < n || memcmp(f->file.p + f->file.n - n, file, n) != 0)
		return false;
	return !function || (name.n == strlen(function) && memcmp(name.p, function, name.n) == 0);
}

bool frames_have(struct bytes frames, const char *file, const char *function)
{
	struct frame f;

	while (frames_next(&frames, &f))
		if (frame_is(&f, file, function))
			return true;
	return false;
}

char *frames_line(char *buf, size_t n, struct bytes frames, unsigned max)
{
	struct bytes rest = frames;
	bool own = has_own(frames);
	struct frame frame;
	size_t at = 0;

	if (!n)
		return buf;
	buf[0] = '\0';
	while (max && frames_next(&rest, &frame)) {
		if (own && !frame_own(&frame))
			continue;
		if (!line_add(buf, n, &at, &frame))
			break;
		max--;
	}
	return buf;
}
