/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads --config files; the form of a line is told in the header. */
#include "options_config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "options_help.h"

#define UTF8_BOM "\xef\xbb\xbf"

/* A line taken apart; both point into it. */
struct entry {
	char *name;  /* NULL: nothing but a comment */
	char *value; /* NULL: the name alone */
};

/* ===== One line ===== */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(char *s)
{
	return s + strspn(s, " \t");
}

/* Whether a line may end at s, which is not its first byte. */
static bool is_end(const char *s)
{
	return !*s || (*s == '#' && is_blank(s[-1]));
}

/* The value behind the quote at s, unquoted in place. NULL, or why not. */
static const char *split_quoted(char *s, struct entry *e)
{
	char *to = s + 1;

	e->value = to;
	for (s++; *s != '"'; *to++ = *s++) {
		if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		else if (*s == '\\')
			return "a backslash in quotes stands before \" or \\; write \\\\ for one";
		if (!*s)
			return "the quote is not closed; write \\\" for a quote in the value";
	}
	s = skip_blanks(s + 1);
	*to = '\0';
	if (!is_end(s))
		return "something follows the closing quote; write \\\" for a quote in the value";
	return NULL;
}

static void split_plain(char *s, struct entry *e)
{
	e->value = s;
	while (!is_end(s))
		s++;
	while (s > e->value && is_blank(s[-1]))
		s--;
	*s = '\0';
	if (s == e->value)
		e->value = NULL;
}

/* NULL, or why line is not of the form that it should have. */
static const char *split(char *line, struct entry *e)
{
	char *s = skip_blanks(line), *end;
	const char *why = NULL;

	*e = (struct entry){ 0 };
	if (!*s || *s == '#')
		return NULL;
	end = s;
	while (isalnum((unsigned char)*end) || *end == '-' || *end == '_')
		end++;
	if (end == s)
		return "no option's name; write 'name = value', or 'name' of one that takes none";
	e->name = s;
	s = skip_blanks(end);
	if (*s == '=') {
		s = skip_blanks(s + 1);
		if (*s == '"')
			why = split_quoted(s, e);
		else
			split_plain(s, e);
		if (!why && !e->value)
			why = "no value behind the '='";
	} else if (!is_end(s)) {
		why = "no '=' behind the name; write 'name = value'";
	}
	*end = '\0';
	return why;
}

/* "run.conf:12: " */
static const char *where(const struct config *c, char *buf, size_t n)
{
	snprintf(buf, n, "%.200s:%u: ", c->path, c->line);
	return buf;
}

static int unknown(struct config *c, const char *name)
{
	const char *bare = name + strspn(name, "-");
	const struct option *opt = option_find(bare, strlen(bare));

	if (opt && bare != name)
		return help_complain(
			c->err, "%.200s:%u: '%.80s': names stand here without dashes; write %s",
			c->path, c->line, name, opt->name);
	if (!opt && strlen(bare) == 1)
		opt = option_find_letter(*bare);
	if (!opt)
		opt = help_nearest_option(bare, ALL);
	if (opt && !opt->on_command_line)
		return help_complain(c->err, "%.200s:%u: unknown option '%.80s'; did you mean %s?",
		                     c->path, c->line, name, opt->name);
	return help_complain(c->err,
	                     "%.200s:%u: unknown option '%.80s'; whystuck %s --help shows those "
	                     "there are",
	                     c->path, c->line, name, c->command->name);
}

static int take(struct config *c, const struct entry *e)
{
	const struct option *opt = option_find(e->name, strlen(e->name));
	char place[256], advice[256];
	const char *why;

	if (!opt)
		return unknown(c, e->name);
	where(c, place, sizeof(place));
	if (opt->on_command_line)
		return help_complain(c->err,
		                     "%s%s: cannot stand in a file; give --%s on the command line",
		                     place, opt->name, opt->name);
	if (!opt->arg && e->value)
		return help_complain(c->err, "%s%s: takes no value; write %s alone", place,
		                     opt->name, opt->name);
	if (opt->arg && !opt->arg_optional && !e->value)
		return help_complain(c->err, "%s%s: no value; %s", place, opt->name,
		                     help_advice(opt, advice, sizeof(advice)));
	if (!(opt->commands & c->command->bit) || (opt->not_from_config & c->command->bit))
		return 0;
	why = opt->parse(c->o, opt, e->value);
	if (why)
		return help_bad_value(c->err, place, opt, e->value, why);
	c->o->given |= option_bit(opt);
	c->lines[opt - option_table] = c->line;
	return 0;
}

/* Why these bytes are no line of text. */
static const char *not_text(const char *line, size_t n)
{
	if (strlen(line) != n)
		return "a NUL byte in it; is this a text file?";
	for (; *line; line++)
		if ((unsigned char)*line < ' ' && *line != '\t')
			return "a control character in it; is this a text file?";
	return NULL;
}

int config_line(struct config *c, const char *line, size_t n)
{
	char text[CONFIG_LINE_MAX + 1], place[256];
	const char *why;
	struct entry e;

	c->line++;
	where(c, place, sizeof(place));
	if (n > 0 && line[n - 1] == '\r')
		n--;
	if (n > CONFIG_LINE_MAX)
		return help_complain(c->err, "%sthe line is longer than %d bytes; shorten it",
		                     place, CONFIG_LINE_MAX);
	memcpy(text, line, n);
	text[n] = '\0';
	why = not_text(text, n);
	if (!why && !text_is_utf8(text))
		why = "not UTF-8; save the file in that encoding";
	if (why)
		return help_complain(c->err, "%s%s", place, why);
	why = split(text, &e);
	/* the value is not shown: what is malformed may be a secret */
	if (why)
		return help_complain(c->err, "%s%.80s%s%s", place, e.name ? e.name : "",
		                     e.name ? ": " : "", why);
	return e.name ? take(c, &e) : 0;
}

/* ===== A file ===== */

int config_text(struct config *c, const char *text, size_t n)
{
	const char *end = text + n;

	if (n >= strlen(UTF8_BOM) && memcmp(text, UTF8_BOM, strlen(UTF8_BOM)) == 0)
		text += strlen(UTF8_BOM);
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((newline ? newline : end) - text);
		int ret = config_line(c, text, len);

		if (ret)
			return ret;
		text += len + 1;
	}
	return 0;
}

/* Up to n bytes. -errno. */
static ssize_t read_all(const char *path, char *buf, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	size_t used = 0;

	if (fd < 0)
		return -errno;
	while (used < n && !err) {
		ssize_t got = read(fd, buf + used, n - used);

		if (got == 0)
			break;
		if (got > 0)
			used += (size_t)got;
		else if (errno != EINTR)
			err = errno;
	}
	close(fd);
	return err ? -err : (ssize_t)used;
}

int config_read(struct config *c)
{
	char *text = calloc(1, CONFIG_SIZE_MAX + 1);
	ssize_t n = text ? read_all(c->path, text, CONFIG_SIZE_MAX + 1) : -ENOMEM;
	int ret = EXIT_ERROR;

	if (n < 0)
		help_complain(c->err, "--config '%.200s': cannot read it: %s; %s", c->path,
		              strerror((int)-n), option_find("config", 6)->advice);
	else if (n > CONFIG_SIZE_MAX)
		help_complain(c->err,
		              "--config '%.200s': longer than %d bytes; name the file with the "
		              "options",
		              c->path, CONFIG_SIZE_MAX);
	else
		ret = config_text(c, text, (size_t)n);
	free(text);
	return ret;
}
