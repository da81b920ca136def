/* SPDX-License-Identifier: BSD-2-Clause */
/* The finders, asked in the order of how sure they are: the first that knows the file tells what is in it. */
#include "tls_code.h"

#include <string.h>

#include "elf_sym.h"

static int (*const finders[])(int fd, const char *name, struct tls_code *to) = {
	tls_code_symbols,
	tls_code_go,
};

int tls_code_find(int fd, const char *name, struct tls_code *to)
{
	int err = 0;

	memset(to, 0, sizeof(*to));
	for (size_t i = 0; i < sizeof(finders) / sizeof(finders[0]) && !err && !to->family; i++)
		err = finders[i](fd, name, to);
	return err;
}
