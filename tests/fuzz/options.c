/* SPDX-License-Identifier: BSD-2-Clause */
/* Option lines of a recording nobody trusts: whatever is taken can be written down again and read back as the same. */
#include <stdlib.h>
#include <string.h>

#include "options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void apply(void *ctx, const char *line)
{
	if (options_apply(ctx, line))
		abort();
}

static void same(void *ctx, const char *line)
{
	const char **rest = ctx;
	size_t n = strlen(line);

	if (strncmp(*rest, line, n) != 0)
		abort();
	*rest += n;
}

static void append(void *ctx, const char *line)
{
	strcat(ctx, line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char written[OPTIONS_RULES_MAX * 1024];
	const char *rest = written;
	char *text = malloc(n + 1);
	struct options o, back;

	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	options_init(&o);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		options_apply(&o, line);
	if (o.stop || o.on_stuck || o.output || o.record || o.scrub || o.file || o.match ||
	    o.runstats || o.config || o.calls || o.rotate_size)
		abort();
	if (o.profile && strcmp(o.turns, "auto") != 0)
		abort();
	free(text); /* nothing points into it */
	options_init(&back);
	options_each(&o, apply, &back);
	written[0] = '\0';
	options_each(&o, append, written);
	options_each(&back, same, &rest);
	if (*rest)
		abort();
	options_free(&back);
	options_free(&o);
	return 0;
}
