/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a source reports of files, from a command line: follow PID [N [PATTERN]], or follow PID record FILE. Prints "attached", then
 * "file INO PATH" and "write INO N TOTAL"; of files whose path has PATTERN in it ("" all) no more than N bytes of a write are taken,
 * 0: none is reported. Or records the whole stream, of the process and its children. Ends with PID, or when stdin does.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording.h"
#include "source.h"

static struct source *source;
static uint32_t most;
static const char *pattern;
static struct recording *recording;

static void show(void *ctx, const struct event *e)
{
	const struct ev_file *f = (const void *)e;
	const struct ev_data *d = (const void *)e;

	(void)ctx;
	if (recording) {
		if (recording_write(recording, e))
			abort();
	}
	if (e->type == EV_FILE) {
		size_t n = e->size - sizeof(*f);

		printf("file %llu %.*s\n", (unsigned long long)f->ino, (int)n, f->text);
		if (pattern && memmem(f->text, n, pattern, strlen(pattern)))
			source->follow(source, f->ino, f->dev, most);
	} else if (e->type == EV_WRITE) {
		printf("write %llu %u %llu\n", (unsigned long long)d->sock, d->n,
		       (unsigned long long)d->total);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct source_config c = {
		.files = true, .output = true, .tick_ms = 250, .on_event = show
	};
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char why[256] = "";
	int r = 0;

	if (argc < 2)
		return 2;
	c.pid = (uint32_t)strtoul(argv[1], NULL, 10);
	most = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	pattern = argc > 2 ? (argc > 3 ? argv[3] : "") : NULL;
	if (argc > 3 && strcmp(argv[2], "record") == 0) {
		recording = recording_create(argv[3]);
		if (!recording)
			return 2;
		c.tree = true;
	}
	source = source_bpf_open(&c, why, sizeof(why));
	if (!source) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	printf("attached\n");
	fflush(stdout);
	while (!r && poll(&in, 1, 0) == 0)
		r = source->poll(source, 20);
	source->close(source);
	return recording_close(recording) || r < 0;
}
