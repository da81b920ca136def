/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files of /proc/PID/task/T, and our own threads as rows. */
#include "proc_rows.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

static bool parse(const char *text, struct snap_thread *r)
{
	size_t n = strlen(text) + 1;
	char *copy = guarded(text, n);
	bool ok = proc_syscall_parse(copy, r);

	guarded_free(copy, n);
	return ok;
}

static void test_syscall(void)
{
	struct snap_thread r = { 0 };

	TEST("a blocked call has its number, arguments, stack pointer and address");
	CHECK(parse("45 0x5 0x7f0000001000 0x40 0x0 0x0 0x0 0x7ffc00000010 0x7f00dead\n", &r));
	CHECK(r.syscall == 45 && r.args[0] == 5 && r.args[1] == 0x7f0000001000 && r.args[2] == 64);
	CHECK(r.sp == 0x7ffc00000010 && r.ip == 0x7f00dead);
	TEST("a thread that runs is in no call");
	CHECK(parse("running\n", &r) && r.syscall == -1);
	TEST("a thread blocked outside of a call has a stack pointer and an address alone");
	memset(&r, 0, sizeof(r));
	CHECK(parse("-1 0x7ffc00000010 0x7f00dead\n", &r) && r.syscall == -1);
	CHECK(r.sp == 0x7ffc00000010 && r.ip == 0x7f00dead && r.args[0] == 0);
	TEST("what is cut short, at whatever byte, is no call");
	for (size_t i = 0; i < 40; i++) {
		char text[] = "45 0x5 0x7f0000001000 0x40 0x0 0x0 0x0 0x1 0x2\n";

		text[i] = '\0';
		CHECK(!parse(text, &r) && r.syscall == -1);
	}
	CHECK(!parse("-1 0x7ffc", &r));
	CHECK(!parse("garbage\n", &r));
}

static void test_switches(void)
{
	TEST("switches of both kinds are added up");
	CHECK(proc_switches_parse("Name:\tpython3\nvoluntary_ctxt_switches:\t150\n"
	                          "nonvoluntary_ctxt_switches:\t7\n") == 157);
	TEST("a status without them says nothing");
	CHECK(proc_switches_parse("Name:\tpython3\n") == 0);
	CHECK(proc_switches_parse("Name:\tx\nvoluntary_ctxt_switches:\t150\n") == 0);
	CHECK(proc_switches_parse("") == 0);
}

static void test_stack(void)
{
	static const char text[] =
		"[<0>] futex_wait_queue+0x60/0x90\n[<0>] futex_wait+0x177/0x270\n"
		"[<0>] do_futex+0x106/0x1b0\n";
	char to[64], tiny[20], many[64 * 40] = "";

	TEST("a kernel stack becomes names, innermost first");
	CHECK(proc_stack_parse(text, to, sizeof(to)) ==
	      strlen("futex_wait_queue;futex_wait;do_futex"));
	CHECK(strcmp(to, "futex_wait_queue;futex_wait;do_futex") == 0);
	TEST("a stack that does not fit ends with a whole name");
	CHECK(proc_stack_parse(text, tiny, sizeof(tiny)) == 16);
	CHECK(strcmp(tiny, "futex_wait_queue") == 0);
	TEST("no more names than BPF gives are taken");
	for (int i = 0; i < 40; i++)
		strcat(many, "[<0>] a+0x1/0x2\n");
	CHECK(proc_stack_parse(many, to, sizeof(to)) == SNAP_STACK_MAX * 2 - 1);
	TEST("a stack that is hidden or empty gives none");
	CHECK(proc_stack_parse("", to, sizeof(to)) == 0 && to[0] == '\0');
	CHECK(proc_stack_parse("[<0>] ", to, sizeof(to)) == 0);
}

static int pipe_fds[2];
static pid_t sleeper_tid;

static void *sleeper(void *arg)
{
	char c;

	(void)arg;
	pthread_setname_np(pthread_self(), "a (b) c");
	__atomic_store_n(&sleeper_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	return read(pipe_fds[0], &c, 1) == 1 ? NULL : arg;
}

static const struct proc_thread *row_of(const char *rows, size_t n, pid_t tid)
{
	for (size_t at = 0; at < n; at += sizeof(struct proc_thread))
		if (((const struct proc_thread *)(rows + at))->row.tid == (uint32_t)tid)
			return (const struct proc_thread *)(rows + at);
	return NULL;
}

static void test_threads(void)
{
	struct proc_missing missing = { 0 };
	struct rows *to = calloc(1, sizeof(*to));
	const struct proc_thread *t = NULL;
	char *rows = NULL;
	pthread_t thread;
	size_t n = 0;

	TEST("a thread that sleeps in a read is a row with its name, state and call");
	if (!to || pipe(pipe_fds) || pthread_create(&thread, NULL, sleeper, NULL))
		abort();
	do { /* until it is in the read, and off its CPU: it says that it sleeps before */
		free(rows);
		to->used = 0;
		proc_threads_take((uint32_t)getpid(), to, &missing);
		rows = rows_copy(to, &n);
		t = row_of(rows, n, __atomic_load_n(&sleeper_tid, __ATOMIC_ACQUIRE));
	} while (!t || t->row.state != 1 || !t->row.switches ||
	         strcmp(t->row.comm, "a (b) c") != 0);
	CHECK(n == 2 * sizeof(*t));
	CHECK(t->row.tgid == (uint32_t)getpid());
	CHECK(missing.syscalls ? t->row.syscall == -1
	                       : t->row.syscall == SYS_read &&
	                                 t->row.args[0] == (uint64_t)pipe_fds[0] && t->row.sp);
	TEST("since when it sleeps is not claimed to be known");
	CHECK(t->row.last_arrival == 0 && t->row.me_last_arrival == 0);
	TEST("we ourselves run, and our CPU time is known");
	t = row_of(rows, n, getpid());
	CHECK(t && t->row.state == 0 && t->row.cpu_ns > 0);
	TEST("a process that is gone has no rows");
	to->used = 0;
	proc_threads_take(0x7ffffffe, to, &missing);
	CHECK(to->used == 0);
	if (write(pipe_fds[1], "x", 1) != 1)
		abort();
	pthread_join(thread, NULL);
	free(rows);
	free(to);
}

static void test_rows(void)
{
	struct rows *to = calloc(1, sizeof(*to));
	static char row[1 << 20];
	size_t n;
	char *copy;

	TEST("rows beyond the room are counted, not written");
	if (!to)
		abort();
	for (int i = 0; i < 33; i++)
		rows_add(to, row, sizeof(row));
	CHECK(to->used == ROWS_BYTES_MAX && to->beyond == 1);
	TEST("no rows are an empty buffer, not none");
	to->used = 0;
	copy = rows_copy(to, &n);
	CHECK(copy && n == 0);
	free(copy);
	free(to);
}

int main(void)
{
	test_syscall();
	test_switches();
	test_stack();
	test_threads();
	test_rows();
	return DONE();
}
