/* SPDX-License-Identifier: BSD-2-Clause */
/* Go programs, as anybody may make them. The first byte: 't' a table of functions, 'b' a function's body, 'f' a whole file. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "go_body.h"
#include "go_table.h"
#include "tls_code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void table(const uint8_t *p, size_t n)
{
	static const char *const names[] = { "crypto/tls.(*Conn).Read",
		                             "crypto/tls.(*Conn).Write" };
	struct go_function f[2];
	struct go_table t;

	if (go_table_open(&t, p, n))
		return;
	if (go_table_find(&t, names, 2, f) != (size_t)(f[0].end != 0) + (f[1].end != 0))
		abort();
}

static void body(const uint8_t *p, size_t n)
{
	struct go_body b;

	go_body_read(p, n, &b);
	for (size_t i = 0; i < b.nrets; i++)
		if (b.rets[i] >= n || (i && b.rets[i] <= b.rets[i - 1]))
			abort();
}

static void file(const uint8_t *p, size_t n)
{
	static struct tls_code code;
	int fd = memfd_create("program", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, p, n) == (ssize_t)n && tls_code_go(fd, "program", &code) == 0 &&
	    (code.n > TLS_PLACES_MAX || (code.n && !code.family) || (code.family && !code.how)))
		abort();
	if (fd >= 0)
		close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	/* a copy of its own: one byte of over-read is seen */
	uint8_t *copy = n > 1 ? malloc(n - 1) : NULL;

	if (!copy)
		return 0;
	memcpy(copy, data + 1, n - 1);
	if (*data == 't')
		table(copy, n - 1);
	else if (*data == 'b')
		body(copy, n - 1);
	else if (*data == 'f')
		file(copy, n - 1);
	free(copy);
	return 0;
}
