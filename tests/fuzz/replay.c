/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A recording nobody trusts, through the whole pipeline: records that pass event_check() may say anything, in any order.
 * What does not pass is skipped where its length allows it, so that one changed byte does not end the input.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline.h"
#include "recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What a session does after each poll; a replay carries nothing out. */
static void serve(struct pipeline *p)
{
	struct pipeline_action a;

	pipeline_wants_look(p);
	while (pipeline_next_action(p, &a))
		if (!a.text)
			abort();
}

/* A copy of its own, aligned as records are, so that the sanitizer sees where it ends. True: it was the last. */
static bool feed(struct pipeline *p, const uint8_t *data, uint32_t size)
{
	struct event *e = malloc(size);
	bool last = false;

	if (!e)
		return true;
	memcpy(e, data, size);
	if (event_check(e, size) == 0) {
		last = e->type == EV_END;
		pipeline_feed(p, e);
		serve(p);
	}
	free(e);
	return last;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pipeline_config c = { .replay = true, .dirfd = -1 };
	static FILE *nowhere;
	struct options o;
	struct pipeline *p;

	if (!nowhere && !(nowhere = fopen("/dev/null", "we")))
		abort();
	log_open(LEVEL_DEBUG, nowhere);
	options_init(&o);
	c.options = &o;
	p = pipeline_new(&c);
	for (size_t at = 0; p && n - at >= sizeof(struct event);) {
		uint32_t size;

		memcpy(&size, data + at, sizeof(size));
		if (size < sizeof(struct event) || size > n - at || feed(p, data + at, size))
			break;
		at += size;
	}
	if (p)
		pipeline_finish(p);
	pipeline_free(p);
	options_free(&o);
	return 0;
}
