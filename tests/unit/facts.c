/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the kernel as numbers: /proc/PID/stat and cgroup, mounts, pressure, and the log. */
#include "facts.h"
#include "procfs.h"
#include "test.h"

#define STAT_HEAD "7 (a) b) S 1 7 7 0 -1 4194368 1 2 3 4 100 50 0 0 20 0 3 0 200 1 2 "
#define STAT_TAIL "3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 256\n"

static void check_stat(void)
{
	static const char whole[] = STAT_HEAD STAT_TAIL;
	struct proc_stat st;
	char cut[sizeof(whole)];
	unsigned wrong = 0;
	uint64_t tick = 1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK);

	TEST("a name with parentheses does not shift the fields");
	CHECK(procfs_stat_parse(whole, &st) == 0 && st.state == 'S' && st.ppid == 1);
	CHECK(st.forked && !st.kernel_thread && st.threads == 3 && st.exit_code == 256);
	CHECK(st.cpu_ns == 150 * tick && st.start_ns == 200 * tick);

	TEST("a text cut anywhere gives an error or what it has");
	for (size_t n = 0; n < sizeof(whole); n++) {
		snprintf(cut, n + 1, "%s", whole);
		wrong += procfs_stat_parse(cut, &st) == 0 && n < 50;
	}
	CHECK(wrong == 0);

	TEST("a process has ended when its last thread has");
	CHECK(procfs_ended(&(struct proc_stat){ .state = 'Z', .threads = 1 }) &&
	      !procfs_ended(&(struct proc_stat){ .state = 'Z', .threads = 2 }) &&
	      !procfs_ended(&(struct proc_stat){ .state = 'S', .threads = 1 }));
}

static void check_words(void)
{
	TEST("a number is found behind its word, at the beginning of a line only");
	CHECK(facts_word("low 0\noom_kill 12\noom 3\n", "oom_kill ", false) == 12);
	CHECK(facts_word("xoom_kill 1\n", "oom_kill ", false) == -1);
	CHECK(facts_word("Name:\tx\nNSpid:\t500\t20\t3\n", "NSpid:", true) == 3);
	CHECK(facts_word("NSpid:\t500\n", "NSpid:", true) == 500);
	CHECK(facts_word("Max open files   unlimited", "Max open files", false) == -1);
	CHECK(facts_word("Max open files   1024  4096 files", "Max open files", false) == 1024);
	CHECK(facts_word("", "x", true) == -1 && facts_word("x", "x", true) == -1);

	TEST("pressure is in hundredths of a percent");
	CHECK(facts_pressure("some avg10=1.23 avg60=0.00\n") == 123);
	CHECK(facts_pressure("some avg10=100.00 ") == 10000);
	CHECK(facts_pressure("full avg10=1.23") == -1 && facts_pressure("") == -1);
}

static void check_groups(void)
{
	static const char groups[] = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/d:e\n";
	static const char mounts[] =
		"30 1 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
		"31 30 0:27 /a /sys/fs/cgroup/memory rw,nosuid shared:5 - cgroup cgroup rw,memory\n"
		"32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
	char path[64], at[64], root[64], cut[512];

	TEST("the group of a controller and of cgroup2");
	CHECK(facts_group(groups, "memory", path, 64) && strcmp(path, "/a/b") == 0);
	CHECK(facts_group(groups, "cpuacct", path, 64) && strcmp(path, "/c") == 0);
	CHECK(facts_group(groups, NULL, path, 64) && strcmp(path, "/d:e") == 0);
	CHECK(!facts_group(groups, "pids", path, 64) &&
	      !facts_group("4:memory", "memory", path, 64));
	CHECK(!facts_group(groups, "memory", path, 4));

	TEST("where a hierarchy is mounted, and what of it");
	CHECK(facts_mount(mounts, "memory", at, root, 64) &&
	      strcmp(at, "/sys/fs/cgroup/memory") == 0 && strcmp(root, "/a") == 0);
	CHECK(facts_mount(mounts, NULL, at, root, 64) &&
	      strcmp(at, "/sys/fs/cgroup/unified") == 0 && strcmp(root, "/") == 0);
	CHECK(!facts_mount(mounts, "pids", at, root, 64));
	for (size_t n = 0; n < sizeof(mounts); n++) {
		snprintf(cut, n + 1, "%s", mounts);
		facts_mount(cut, "memory", at, root, 64);
		facts_mount(cut, NULL, at, root, 64);
	}
	CHECK(true);
}

static struct kernel_record record(const char *text)
{
	struct kernel_record r;
	size_t n = strlen(text);
	char *copy = guarded(text, n);

	facts_record(copy, n, &r);
	guarded_free(copy, n);
	return r;
}

#define OOM                                                                                        \
	"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/" \
	"x,"

static void check_log(void)
{
	struct kernel_record r;

	TEST("a kill for want of memory, with its time");
	r = record(
		"3,1200,5140900,-;Out of memory: Killed process 71 (python3) total-vm:1kB\n X=1\n");
	CHECK(r.kind == KERNEL_KILLED && r.pid == 71 && r.at_us == 5140900);
	r = record("3,1,2,-;Memory cgroup out of memory: Killed process 72 (a b) total-vm:1kB");
	CHECK(r.kind == KERNEL_KILLED && r.pid == 72);

	TEST("whose group it was");
	r = record("6,1,2,-;" OOM "task_memcg=/x/y,task=py,pid=73,uid=0");
	CHECK(r.kind == KERNEL_OOM && r.pid == 73 && strcmp(r.group, "/x/y") == 0);

	TEST("what a process wrote into the log, or a name in a message, is no kill");
	CHECK(record("12,1,2,-;Out of memory: Killed process 71 (x)").kind == KERNEL_OTHER);
	CHECK(record("6,1,2,-;x[9]: Out of memory: Killed process 71").kind == KERNEL_OTHER);
	CHECK(record("6,1,2,-;Out of memory: Killed process x").kind == KERNEL_OTHER);
	CHECK(record("").kind == KERNEL_OTHER && record("6,1,2,-").kind == KERNEL_OTHER &&
	      record(";").kind == KERNEL_OTHER);
}

int main(void)
{
	check_stat();
	check_words();
	check_groups();
	check_log();
	return DONE();
}
