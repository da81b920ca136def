/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines for people on one stream, in step with a progress bar on the same terminal. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <strings.h>

#include "text.h"

static struct {
	enum log_level level;
	FILE *out; /* NULL: stderr */
	void (*hide)(void *ctx);
	void (*show)(void *ctx);
	void *ctx;
} sink = { .level = LEVEL_INFO };

void log_open(enum log_level level, FILE *out)
{
	sink.level = level;
	sink.out = out;
}

bool log_enabled(enum log_level level)
{
	return level <= sink.level;
}

void log_set_bar(void (*hide)(void *ctx), void (*show)(void *ctx), void *ctx)
{
	sink.hide = hide;
	sink.show = show;
	sink.ctx = ctx;
}

/* The line goes out in one piece: other writers of the terminal come before or after it. */
static void __attribute__((format(printf, 1, 0))) write_line(const char *fmt, va_list ap)
{
	static const char prefix[] = "whystuck: ", more[] = "...";
	FILE *out = sink.out ? sink.out : stderr;
	char raw[LOG_LINE_MAX], line[sizeof(prefix) + LOG_LINE_MAX + sizeof(more)];
	int n = vsnprintf(raw, sizeof(raw), fmt, ap);
	size_t len = sizeof(prefix) - 1;

	if (n < 0)
		return;
	memcpy(line, prefix, len);
	len += text_clean(line + len, LOG_LINE_MAX, raw, false);
	if ((size_t)n >= sizeof(raw)) {
		memcpy(line + len, more, sizeof(more) - 1);
		len += sizeof(more) - 1;
	}
	line[len++] = '\n';
	if (sink.hide)
		sink.hide(sink.ctx);
	fwrite(line, 1, len, out);
	fflush(out);
	if (sink.show)
		sink.show(sink.ctx);
}

static void __attribute__((format(printf, 2, 0)))
log_at(enum log_level level, const char *fmt, va_list ap)
{
	int err = errno;

	if (log_enabled(level))
		write_line(fmt, ap);
	errno = err;
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LEVEL_ERROR, fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LEVEL_WARNING, fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LEVEL_INFO, fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_at(LEVEL_DEBUG, fmt, ap);
	va_end(ap);
}

bool log_level_parse(const char *s, enum log_level *level)
{
	static const char *const names[] = {
		[LEVEL_ERROR] = "ERROR",
		[LEVEL_WARNING] = "WARNING",
		[LEVEL_INFO] = "INFO",
		[LEVEL_DEBUG] = "DEBUG",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(s, names[i]) == 0)
			return *level = (enum log_level)i, true;
	return false;
}
