/* SPDX-License-Identifier: BSD-2-Clause */
/* Events whose payload is text: command lines, and options that hold one. */
#include <stdlib.h>

#include "scrub_state.h"
#include "secrets.h"

/* A copy of e with another text behind its first n bytes. */
static void add_text(struct scrub *s, const struct event *e, size_t n, const char *text, size_t len)
{
	struct event *copy = malloc(n + len);

	if (!copy) {
		s->dropped++;
		return;
	}
	memcpy(copy, e, n);
	memcpy((char *)copy + n, text, len);
	copy->size = (uint32_t)(n + len);
	queue_add(s, NULL, copy, copy->size);
	free(copy);
}

/* What the argument that ends at `end` becomes: command_mask() masks from left to right, so its line for one argument more is
 * longer by that argument's mask. */
static char *line_until(const char *text, size_t end, size_t *n)
{
	char *line = command_mask(text, end);

	*n = line ? strlen(line) : 0;
	return line;
}

/* Masks each argument in its place, so that the program still sees the same arguments. Returns the length; out holds
 * SECRETS_LINE_MAX. */
static size_t arguments_mask(const char *text, size_t n, char *out)
{
	size_t used = 0, before = 0;

	for (size_t i = 0; i < n;) {
		const char *nul = memchr(text + i, 0, n - i);
		size_t end = nul ? (size_t)(nul - text) : n, len;
		char *line = line_until(text, end, &len);

		if (line && len > before && len < SECRETS_LINE_MAX - 8) {
			memcpy(out + before, line + before, len - before);
			if (before)
				out[before] = '\0';
			used = before = len;
		}
		free(line);
		i = end + 1;
	}
	return used;
}

/* A command line whose mask is that of the original. Where no such thing can be had, its mask itself. */
void scrub_process(struct scrub *s, const struct ev_process *e)
{
	size_t n = e->h.size - sizeof(*e), len = 0;
	char *line = command_mask(e->text, n), *again = NULL;
	char out[SECRETS_LINE_MAX];

	if (line) {
		len = arguments_mask(e->text, n, out);
		again = command_mask(out, len);
	}
	if (!line || !again)
		add_text(s, &e->h, sizeof(*e), "", 0);
	else if (strcmp(line, again) == 0)
		add_text(s, &e->h, sizeof(*e), out, len);
	else
		add_text(s, &e->h, sizeof(*e), line, strlen(line));
	free(line);
	free(again);
}

/* Options that hold a command or an address of the user's; they change no result. */
void scrub_option(struct scrub *s, const struct ev_text *e)
{
	static const char *const commands[] = { "on-stuck", "webhook", "otlp", NULL };
	size_t n = e->h.size - sizeof(*e);
	const char *equals = memchr(e->text, '=', n);
	size_t name = equals ? (size_t)(equals - e->text) : n;
	char *line;

	if (!equals || !mask_listed(commands, (struct bytes){ e->text, name })) {
		queue_add(s, NULL, e, e->h.size);
		return;
	}
	line = command_mask(equals + 1, n - name - 1);
	add_text(s, &e->h, sizeof(*e) + name + 1, line ? line : "", line ? strlen(line) : 0);
	free(line);
}
