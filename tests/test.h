/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole unit test framework: TAP lines, and input that ends at an unreadable page. */
#ifndef TEST_H
#define TEST_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int checks, failures;

/* The sentence says what behaviour the checks behind it show. */
#define TEST(sentence) printf("# %s\n", sentence)
#define CHECK(x)                                 \
	((x) ? (void)printf("ok %d\n", ++checks) \
	     : (void)(failures++,                \
	              printf("not ok %d - %s:%d: %s\n", ++checks, __FILE__, __LINE__, #x)))
#define DONE() (printf("1..%d\n", checks), failures != 0 || checks == 0)

/* A copy of p that ends where an unreadable page begins: one byte of over-read crashes. Give it back with
 * guarded_free(same n). */
static inline char *guarded(const void *p, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (n + page - 1) / page * page;
	char *m =
		mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		abort();
	mprotect(m + room, page, PROT_NONE);
	if (n)
		memcpy(m + room - n, p, n);
	return m + room - n;
}

static inline void guarded_free(char *p, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (n + page - 1) / page * page;

	munmap(p + n - room, room + page);
}

/* The same for pieces by the million: valid until the next one, and overwritten then. */
static inline char *guarded_piece(const void *p, size_t n)
{
	static char *area;
	static size_t room, before;

	if (n > room || !area) {
		char *empty = calloc(1, n > 4096 ? n : 4096);

		if (area)
			guarded_free(area, room);
		room = n > 4096 ? n : 4096;
		area = guarded(empty, room);
		free(empty);
	}
	before = before < room ? before : room;
	memset(area + room - before, 0xa5, before);
	if (n)
		memcpy(area + room - n, p, n);
	before = n;
	return area + room - n;
}
#endif
