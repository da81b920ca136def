/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * asyncio tasks out of hostile memory: the input lies at a known address, so pointers in it can lead into it; the first
 * byte is the version. Whatever it holds, reading ends, and what it emits are whole records of texts.
 */
#include <stdlib.h>
#include <unistd.h>

#include "evidence.h"
#include "python_memory.h"
#include "python_tasks.h"
#include "recording.h"

#define DEBUG 0x1e00 /* where .AsyncioDebug would be: inputs are no longer than 8 KiB */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(void *ctx, const struct event *e)
{
	struct bytes rest;
	struct frame frame;

	(void)ctx;
	if (event_check(e, e->size) || e->pid != (uint32_t)getpid())
		abort();
	if (e->type == EV_REQUEST) {
		struct bytes url = request_text((const void *)e).url;

		if (url.n && (memchr(url.p, '@', url.n) || memchr(url.p, '#', url.n)))
			abort();
		return;
	}
	if (e->type != EV_TASK)
		return;
	rest = task_text((const void *)e).frames;
	while (frames_next(&rest, &frame))
		if (memchr(frame.function.p, '\0', frame.function.n) || frame.line > INT32_MAX)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct python_runtime runtime = { .addr = AT,
		                          .head = 40,
		                          .threads = 72,
		                          .thread_id = 136,
		                          .modules = 944,
		                          .dict = 112,
		                          .asyncio_debug = AT + DEBUG };
	struct python_thread thread = { (uint32_t)getpid(), 0x7000 };

	if (n < 1 || !memory_set(data + 1, n - 1))
		return 0;
	runtime.minor = data[0];
	python_tasks_read((uint32_t)getpid(), &runtime, &thread, 1, check, NULL);
	return 0;
}
