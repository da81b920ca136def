/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile memory at a known address, so that pointers in an input can lead into it. */
#ifndef PYTHON_MEMORY_H
#define PYTHON_MEMORY_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define AT 0x5a5a00000000ull
#define ROOM 65536

/* Holds the n bytes of data, zeros behind them; false when the address is not to be had. */
static bool memory_set(const uint8_t *data, size_t n)
{
	static char *memory;

	if (!memory)
		memory = mmap((void *)AT, ROOM, PROT_READ | PROT_WRITE,
		              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	memset(memory, 0, ROOM);
	memcpy(memory, data, n < ROOM ? n : ROOM);
	return true;
}
#endif
