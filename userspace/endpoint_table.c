/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads lines of the table; the built-in one was read by the build (CMakeLists.txt). */
#include "endpoint_table.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <strings.h>

static const struct endpoint_fact built_in[] = {
#include "endpoints_table.inc"
};

const struct endpoint_fact *endpoint_facts(size_t *n)
{
	*n = sizeof(built_in) / sizeof(built_in[0]);
	return built_in;
}

static int port_parse(const char *p, const char *end, uint16_t *port)
{
	unsigned long v = 0;

	if (p == end || end - p > 5)
		return -EINVAL;
	for (; p < end; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		v = v * 10 + (unsigned long)(*p - '0');
	}
	if (v == 0 || v > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)v;
	return 0;
}

static int fail(const char **why, const char *sentence)
{
	*why = sentence;
	return -EINVAL;
}

int endpoint_host_parse(const char *spec, size_t n, bool pattern, char host[128], uint16_t *port,
                        const char **why)
{
	const char *end = spec + n, *colon = NULL, *host_end = end;
	unsigned stars = 0;

	if (n && *spec == '[') {
		const char *close = memchr(spec, ']', n);

		if (!close || (close + 1 < end && close[1] != ':'))
			return fail(why, "an IPv6 address is written [ADDRESS] or [ADDRESS]:PORT");
		host_end = close;
		spec++;
		colon = close + 1 < end ? close + 1 : NULL;
	} else {
		colon = n ? memchr(spec, ':', n) : NULL;
		if (colon)
			host_end = colon;
	}
	if (host_end == spec || host_end - spec >= 128)
		return fail(why, "the host is missing or too long");
	for (const char *p = spec; p < host_end; p++) {
		stars += *p == '*';
		if (isalnum((unsigned char)*p) || (*p && strchr(".-_:%", *p)))
			continue;
		if (!pattern)
			return fail(why, "a host name has letters, digits, dots and hyphens only");
		if (*p != '*' && *p != '?')
			return fail(why, "a host has letters, digits, dots, hyphens, * and ? only");
	}
	if (stars > ENDPOINT_STARS_MAX)
		return fail(why, "more than four * in one host");
	*port = 0;
	if (colon && port_parse(colon + 1, end, port))
		return fail(why, "the port is a number from 1 to 65535");
	memcpy(host, spec, (size_t)(host_end - spec));
	host[host_end - spec] = '\0';
	return 0;
}

/* The next word of a line, "" none. */
static struct bytes word(struct bytes *line)
{
	struct bytes w;

	while (line->n && (line->p[0] == ' ' || line->p[0] == '\t'))
		*line = bytes_from(*line, 1);
	w = (struct bytes){ line->p, 0 };
	while (w.n < line->n && line->p[w.n] != ' ' && line->p[w.n] != '\t')
		w.n++;
	*line = bytes_from(*line, w.n);
	return w;
}

/* A name as the metrics show it. */
static int name_parse(struct bytes w, char *to, size_t room)
{
	if (!w.n || w.n >= room)
		return -EINVAL;
	for (size_t i = 0; i < w.n; i++)
		if (!isalnum((unsigned char)w.p[i]) && !(w.p[i] && strchr("._-", w.p[i])))
			return -EINVAL;
	memcpy(to, w.p, w.n);
	to[w.n] = '\0';
	return 0;
}

static int path_parse(struct bytes w, char *to, size_t room)
{
	if (!w.n || w.n >= room || w.p[0] != '/')
		return -EINVAL;
	for (size_t i = 0; i < w.n; i++)
		if (w.p[i] <= ' ' || w.p[i] == 0x7f)
			return -EINVAL;
	memcpy(to, w.p, w.n);
	to[w.n] = '\0';
	return 0;
}

static int kind_parse(struct bytes w, enum endpoint_kind *kind)
{
	static const char *const kinds[] = { [ENDPOINT_LLM] = "llm",
		                             [ENDPOINT_STORAGE] = "storage",
		                             [ENDPOINT_HEARTBEAT] = "heartbeat" };

	for (int i = 0; i < 3; i++) {
		if (!bytes_equal(w, kinds[i]))
			continue;
		*kind = (enum endpoint_kind)i;
		return 0;
	}
	return -EINVAL;
}

/* What stands behind the host. */
static int rest_parse(struct bytes *line, struct endpoint_fact *f, const char **why)
{
	struct bytes w = word(line), label;

	if (f->kind == ENDPOINT_HEARTBEAT)
		return path_parse(w, f->path, sizeof(f->path))
		               ? fail(why, "behind the host of a health check stands its path, for "
		                           "example /health")
		               : 0;
	if (name_parse(w, f->name, sizeof(f->name)))
		return fail(why,
		            f->kind == ENDPOINT_LLM
		                    ? "behind the host of an LLM stands its provider, up to 15 "
		                      "letters, digits, dots, hyphens and underscores"
		                    : "behind the host of a store stands its system, up to 15 "
		                      "letters, digits, dots, hyphens and underscores");
	label = f->kind == ENDPOINT_STORAGE ? word(line) : (struct bytes){ "", 0 };
	if (label.n && name_parse(label, f->label, sizeof(f->label)))
		return fail(why, "a label has letters, digits, dots, hyphens and underscores only, "
		                 "at most 31");
	return 0;
}

int endpoint_fact_parse(struct bytes line, struct endpoint_fact *fact, const char **why)
{
	const char *comment = line.n ? memchr(line.p, '#', line.n) : NULL;
	struct endpoint_fact f = { .port = 0 };
	struct bytes w;
	int err;

	if (line.n > ENDPOINT_LINE_MAX)
		return fail(why, "the line is longer than 512 bytes");
	if (comment)
		line.n = (size_t)(comment - line.p);
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	w = word(&line);
	if (!w.n)
		return 0;
	if (kind_parse(w, &f.kind))
		return fail(why, "a line begins with llm, storage or heartbeat");
	w = word(&line);
	err = endpoint_host_parse(w.p, w.n, true, f.host, &f.port, why);
	if (!err)
		err = rest_parse(&line, &f, why);
	if (err)
		return err;
	if (word(&line).n)
		return fail(why, "there is more on the line than belongs there");
	*fact = f;
	return 1;
}

static bool host_fits(const char *pattern, const char *host)
{
	/* "*" is any host, also one whose name is not known */
	if (strcmp(pattern, "*") == 0)
		return true;
	return *host && fnmatch(pattern, host, FNM_CASEFOLD | FNM_NOESCAPE) == 0;
}

const struct endpoint_fact *endpoint_fact_find(const struct endpoint_fact *facts, size_t n,
                                               enum endpoint_kind kind, const char *host,
                                               const char *addr, uint16_t port, const char *path)
{
	for (size_t i = 0; i < n; i++) {
		const struct endpoint_fact *f = &facts[i];

		if (f->kind != kind || (f->port && f->port != port) ||
		    (path && strcmp(f->path, path) != 0))
			continue;
		if (host_fits(f->host, host) || host_fits(f->host, addr))
			return f;
	}
	return NULL;
}
