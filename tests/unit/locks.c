/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of /proc/locks; and the locks of this very process. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "evidence.h"
#include "locks.h"
#include "test.h"

static struct lock_row row;

static bool parse(const char *line)
{
	return locks_parse(line, &row);
}

static void check_lines(void)
{
	static const char line[] = "12: -> POSIX  ADVISORY  WRITE 3569 fd:1a:2531452 0 EOF";
	char cut[sizeof(line)];
	unsigned whole = 0;

	TEST("a lock, and who waits for it");
	CHECK(parse("1: FLOCK  ADVISORY  WRITE 3568 fe:00:11 0 EOF") && row.id == 1 && !row.waits &&
	      row.kind == LOCK_FLOCK && row.write && row.pid == 3568 && row.dev_major == 0xfe &&
	      row.dev_minor == 0 && row.ino == 11);
	CHECK(parse(line) && row.id == 12 && row.waits && row.kind == LOCK_POSIX &&
	      row.dev_minor == 0x1a && row.ino == 2531452);
	CHECK(parse("3:  -> FLOCK  ADVISORY  READ  5 00:01:2 0 EOF") && row.waits && !row.write);

	TEST("an OFD lock has no process");
	CHECK(parse("5: OFDLCK ADVISORY  READ -1 00:2b:7 0 9") && row.kind == LOCK_OFD &&
	      row.pid == -1);
	CHECK(parse("6: LEASE  ACTIVE    READ 9 00:2b:7 0 EOF") && row.kind == LOCK_LEASE);

	TEST("what is no lock is none");
	CHECK(!parse("") && !parse("x") && !parse("1:") && !parse("1: NEW A B 1 0:0:1 0 EOF") &&
	      !parse("1: POSIX  *NOINODE* WRITE 5 <none>:0 0 EOF"));
	for (size_t n = 0; n < sizeof(line); n++) {
		snprintf(cut, n + 1, "%s", line);
		whole += parse(cut);
	}
	CHECK(whole < 20);
}

static struct {
	unsigned n;
	pid_t pid;
	bool waits;
	char path[256];
} seen[8];
static unsigned nseen;
static uint64_t wanted;

static void take(void *ctx, const struct event *e)
{
	const struct ev_lock *l = (const void *)e;
	struct bytes path = lock_path(l);

	(void)ctx;
	if (e->type != EV_LOCK || l->ino != wanted || nseen == 8)
		return;
	seen[nseen].pid = (pid_t)e->pid;
	seen[nseen].waits = l->waits;
	snprintf(seen[nseen++].path, 256, "%.*s", (int)path.n, path.p);
}

static void take_of(pid_t pid)
{
	uint32_t pids[] = { (uint32_t)pid };

	nseen = 0;
	locks_take(pids, 1, take, NULL);
}

/* A child that waits for a lock, once the kernel says so. */
static pid_t waiter(const char *name)
{
	pid_t pid = fork();

	if (pid == 0) {
		flock(open(name, O_RDWR), LOCK_EX);
		_exit(0);
	}
	do {
		usleep(1000);
		take_of(pid);
	} while (!nseen);
	return pid;
}

static void check_live(void)
{
	char name[] = "/tmp/whystuck-locks-XXXXXX";
	struct flock whole = { .l_type = F_WRLCK };
	int fd = mkstemp(name), ofd;
	struct stat st;
	pid_t pid;

	fstat(fd, &st);
	wanted = st.st_ino;

	TEST("who holds the lock a process waits for is told, also when it is another process");
	flock(fd, LOCK_EX);
	pid = waiter(name);
	CHECK(nseen == 2 && seen[0].pid == getpid() && !seen[0].waits);
	CHECK(seen[1].pid == pid && seen[1].waits && strcmp(seen[1].path, name) == 0 &&
	      strcmp(seen[0].path, name) == 0);
	flock(fd, LOCK_UN);
	waitpid(pid, NULL, 0);

	TEST("a lock that nobody waits for is told, a fcntl lock too");
	fcntl(fd, F_SETLK, &whole);
	take_of(getpid());
	CHECK(nseen == 1 && seen[0].pid == getpid() && strcmp(seen[0].path, name) == 0);
	take_of(getppid());
	CHECK(nseen == 0);
	whole.l_type = F_UNLCK;
	fcntl(fd, F_SETLK, &whole);

	TEST("the holder of an OFD lock is found by its descriptors");
	ofd = open(name, O_RDWR);
	whole.l_type = F_WRLCK;
	fcntl(ofd, F_OFD_SETLK, &whole);
	take_of(getpid());
	CHECK(nseen == 1 && seen[0].pid == getpid() && strcmp(seen[0].path, name) == 0);
	close(ofd);
	close(fd);
	unlink(name);
}

int main(void)
{
	check_lines();
	check_live();
	return DONE();
}
