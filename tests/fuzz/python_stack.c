/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Python frames out of hostile memory: the input lies at a known address, so pointers in it can lead into it; the first
 * byte is the version. Whatever it holds, reading ends, and what it emits are whole records of printable lines.
 */
#include <stdlib.h>
#include <unistd.h>

#include "evidence.h"
#include "python_memory.h"
#include "python_stack.h"
#include "recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(void *ctx, const struct event *e)
{
	const struct ev_frames *f = (const void *)e;
	struct bytes rest = frames_text(f);
	struct frame frame;

	(void)ctx;
	if (event_check(e, e->size) || e->pid != (uint32_t)getpid())
		abort();
	while (frames_next(&rest, &frame))
		if (memchr(frame.function.p, '\0', frame.function.n) || frame.line > INT32_MAX)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct python_runtime runtime = {
		.addr = AT, .head = 40, .next = 0, .threads = 72, .thread_id = 136
	};
	struct python_thread thread = { (uint32_t)getpid(), 0x7000 };

	if (n < 1 || !memory_set(data + 1, n - 1))
		return 0;
	runtime.minor = data[0];
	python_stack_read((uint32_t)getpid(), &runtime, &thread, 1, check, NULL);
	return 0;
}
