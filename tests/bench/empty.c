/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_empty PID: attaches programs that do nothing where `whystuck watch PID` attaches its own: the same tracepoints and,
 * with the same code, the same functions of PID's TLS libraries. Says "attached", detaches at SIGINT.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "empty.skel.h"
#include "tls_probes.h"
#include "uprobe_multi.h"

static int die(const char *what, int err)
{
	fprintf(stderr, "bench_empty: %s: %s\n", what, strerror(err));
	return EXIT_FAILURE;
}

static void report(void *ctx, const struct tls_found *found)
{
	(void)ctx;
	if (found->state == LIB_HOOKED)
		printf("hooked %u functions of %s in %u\n", found->functions, found->path,
		       found->pid);
	else if (found->state == LIB_FAILED)
		fprintf(stderr, "bench_empty: hooking %s: %s\n", found->path, strerror(found->err));
}

static struct empty_bpf *load(void)
{
	struct empty_bpf *skel = empty_bpf__open();

	if (!skel)
		return NULL;
	bpf_program__set_expected_attach_type(skel->progs.empty_tls_enter, UPROBE_MULTI_TYPE);
	bpf_program__set_expected_attach_type(skel->progs.empty_tls_exit, UPROBE_MULTI_TYPE);
	bpf_program__set_autoattach(skel->progs.empty_tls_enter, false);
	bpf_program__set_autoattach(skel->progs.empty_tls_exit, false);
	if (empty_bpf__load(skel) == 0 && empty_bpf__attach(skel) == 0)
		return skel;
	empty_bpf__destroy(skel);
	return NULL;
}

int main(int argc, char **argv)
{
	struct tls_probes_ops ops = { .multi = true, .report = report };
	struct empty_bpf *skel;
	struct tls_probes *tls;
	uint32_t pid = argc == 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	sigset_t stop;
	int signo, err;

	if (!pid) {
		fprintf(stderr, "usage: bench_empty PID\n");
		return 2;
	}
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	skel = load();
	if (!skel)
		return die("loading and attaching the programs", errno);
	for (int i = 0; i < TLS_PROGRAMS; i++)
		ops.program_fd[i] = bpf_program__fd(i == TLS_AT_RETURN
		                                            ? skel->progs.empty_tls_exit
		                                            : skel->progs.empty_tls_enter);
	tls = tls_probes_new(&ops);
	err = tls ? tls_probes_scan(tls, pid) : -ENOMEM;
	if (err == 0) {
		printf("attached\n");
		fflush(stdout);
		sigwait(&stop, &signo);
	}
	tls_probes_free(tls);
	empty_bpf__destroy(skel);
	return err ? die("hooking the TLS libraries", -err) : EXIT_SUCCESS;
}
