/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_native [-f] PID...: how long the native frames of these processes take to read, with nothing parsed and again, with the rest
 * of an autopsy left out. -f: prints the frames. To compare with what stops the target: gdb, eu-stack.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "iter.h"
#include "native_stack.h"
#include "snapshot.h"
#include "whystuck.skel.h"

#define LIMIT_NS 10000000000ull

struct counts {
	unsigned threads, frames, cut, torn;
	bool print;
};

static void count(void *ctx, const struct event *e)
{
	struct counts *c = ctx;
	const struct ev_frames *f = (const void *)e;

	if (e->type == EV_MISSING) {
		printf("missing of %u: %s\n", e->pid, ((const struct ev_missing *)e)->text + 14);
		return;
	}
	c->threads++;
	c->cut += (f->flags & FRAMES_CUT) != 0;
	c->torn += (f->flags & FRAMES_TORN) != 0;
	for (const char *p = f->text; p < (const char *)e + e->size; p++)
		c->frames += *p == '\n';
	if (c->print)
		printf("%u/%u flags %u\n%.*s\n", e->pid, e->tid, f->flags,
		       (int)(e->size - sizeof(*f)), f->text);
}

static struct whystuck_bpf *load(void)
{
	struct whystuck_bpf *skel = whystuck_bpf__open();
	struct bpf_program *p;

	if (!skel)
		return NULL;
	bpf_object__for_each_program(p, skel->obj)
		bpf_program__set_autoload(p, p == skel->progs.snapshot_thread);
	if (whystuck_bpf__load(skel) == 0)
		return skel;
	whystuck_bpf__destroy(skel);
	return NULL;
}

static void measure(const char *what, struct native_stacks *s, struct bpf_link *link,
                    const uint32_t *pids, size_t npids, bool print)
{
	struct counts c = { .print = print };
	uint64_t start = now_ns();
	size_t n;
	char *rows = iter_read(link, &n);

	for (size_t i = 0; rows && i < npids; i++)
		native_stacks_read(s, pids[i], (const struct snap_thread *)rows,
		                   n / sizeof(struct snap_thread), start + LIMIT_NS, count, &c);
	printf("%s: %.2f ms, %u threads, %u frames, %u cut, %u torn\n", what,
	       (double)(now_ns() - start) / 1e6, c.threads, c.frames, c.cut, c.torn);
	free(rows);
}

int main(int argc, char **argv)
{
	struct whystuck_bpf *skel = load();
	uint32_t *pids = calloc((size_t)argc, sizeof(*pids)), pid;
	struct native_stacks *s;
	struct bpf_link *link;
	bool print = false;
	struct rusage used;
	size_t npids = 0;

	if (!skel || !pids) {
		fprintf(stderr, "bench_native: loading: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	for (int i = 1; i < argc; i++) {
		__u8 one[64] = { 0 };

		if (strcmp(argv[i], "-f") == 0) {
			print = true;
			continue;
		}
		pids[npids++] = pid = (uint32_t)strtoul(argv[i], NULL, 10);
		bpf_map_update_elem(bpf_map__fd(skel->maps.targets), &pid, one, BPF_ANY);
	}
	link = bpf_program__attach_iter(skel->progs.snapshot_thread, NULL);
	s = native_stacks_new();
	if (!link || !s)
		return EXIT_FAILURE;
	measure("first", s, link, pids, npids, print);
	measure("again", s, link, pids, npids, false);
	getrusage(RUSAGE_SELF, &used);
	printf("peak memory %ld KiB\n", used.ru_maxrss);
	native_stacks_free(s);
	bpf_link__destroy(link);
	whystuck_bpf__destroy(skel);
	free(pids);
	return EXIT_SUCCESS;
}
