/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function is the nearest symbol at or below an address. While the file is read a symbol is kept with the first address
 * above it only; in the end it holds for those behind it, too, that found none nearer.
 */
#include "kernel_symbols.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADDRESSES_MAX \
	65536 /* different ones in all stacks: a kernel has some thousand places to sleep in */
#define BLOCK 65536

/* The first address that is at or above addr. */
static size_t place(const struct kernel_symbols *s, uint64_t addr)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->list[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void kernel_symbols_want(struct kernel_symbols *s, uint64_t addr)
{
	size_t at = place(s, addr);

	if ((at < s->n && s->list[at].addr == addr) || s->n == ADDRESSES_MAX)
		return;
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 256;
		struct kernel_symbol *more = realloc(s->list, room * sizeof(*more));

		if (!more)
			return;
		s->list = more;
		s->room = room;
	}
	memmove(s->list + at + 1, s->list + at, (s->n - at) * sizeof(*s->list));
	s->list[at] = (struct kernel_symbol){ .addr = addr };
	s->n++;
	s->asked = true;
}

/* "ffffffff81000000 T name" or "... t name\t[module]" */
static void line_take(struct kernel_symbols *s, const char *p, const char *end)
{
	uint64_t addr = 0;
	struct kernel_symbol *k;
	size_t at, n;

	for (; p < end && *p != ' '; p++)
		addr = addr << 4 | (uint64_t)(*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
	if (end - p < 4 || (p[1] | 0x20) != 't' || p[2] != ' ' || addr == 0)
		return;
	at = place(s, addr);
	k = s->list + at;
	if (at == s->n || k->begin >= addr)
		return;
	p += 3;
	for (n = 0; p + n < end && p[n] != '\t' && p[n] != ' ' && n < sizeof(k->name) - 1; n++)
		k->name[n] = p[n];
	k->name[n] = '\0';
	k->begin = addr;
}

size_t kernel_symbols_scan(struct kernel_symbols *s, const char *text, size_t n, bool last)
{
	const char *p = text, *end = text + n, *lf;

	while (p < end) {
		lf = memchr(p, '\n', (size_t)(end - p));
		if (!lf && !last)
			break;
		line_take(s, p, lf ? lf : end);
		p = lf ? lf + 1 : end;
	}
	for (size_t i = 1; last && i < s->n; i++) {
		const struct kernel_symbol *below = &s->list[i - 1];

		if (s->list[i].begin < below->begin) {
			s->list[i].begin = below->begin;
			memcpy(s->list[i].name, below->name, sizeof(below->name));
		}
	}
	return (size_t)(p - text);
}

void kernel_symbols_read(struct kernel_symbols *s)
{
	static char block[BLOCK];
	size_t have = 0, used;
	ssize_t n;
	int fd;

	if (!s->asked)
		return;
	s->asked = false;
	fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && have < sizeof(block) &&
	       (n = read(fd, block + have, sizeof(block) - have)) > 0) {
		have += (size_t)n;
		used = kernel_symbols_scan(s, block, have, false);
		have -= used;
		memmove(block, block + used, have);
	}
	kernel_symbols_scan(s, block, have, true);
	if (fd >= 0)
		close(fd);
}

const char *kernel_symbols_name(const struct kernel_symbols *s, uint64_t addr)
{
	size_t at = place(s, addr);

	return at < s->n && s->list[at].addr == addr && s->list[at].begin ? s->list[at].name : "?";
}

void kernel_symbols_free(struct kernel_symbols *s)
{
	free(s->list);
	*s = (struct kernel_symbols){ 0 };
}
