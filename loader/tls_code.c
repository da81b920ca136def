/* SPDX-License-Identifier: BSD-2-Clause */
/* The finders, asked in the order of how sure they are: the first that knows the file tells what is in it. */
#include "tls_code.h"

#include <string.h>

static int (*const finders[])(int fd, const char *name, struct tls_code *to) = {
	tls_code_symbols,
	tls_code_go,
	tls_code_nss,
	tls_code_opaque,
};

int tls_code_find(int fd, const char *name, struct tls_code *to)
{
	int err = 0;

	memset(to, 0, sizeof(*to));
	for (size_t i = 0; i < sizeof(finders) / sizeof(finders[0]) && !err && !to->family; i++)
		err = finders[i](fd, name, to);
	return err;
}

static void place_add(struct tls_code *to, uint64_t offset, enum tls_function function,
                      enum tls_program program)
{
	if (to->n < TLS_PLACES_MAX)
		to->places[to->n++] = (struct tls_place){ offset, function, program };
}

bool tls_function_reads(enum tls_function function)
{
	return function == TLS_READ || function == TLS_READ_EX || function == TLS_READ_FLAGS;
}

bool tls_function_writes(enum tls_function function)
{
	return function == TLS_WRITE || function == TLS_WRITE_EX || function == TLS_WRITE_EX2;
}

void tls_code_add(struct tls_code *to, uint64_t offset, enum tls_function function)
{
	if (!offset)
		return;
	to->functions++;
	if (function != TLS_NEW)
		place_add(to, offset, function, TLS_AT_ENTRY);
	if (function != TLS_FREE && function != TLS_HOST_CTRL && function != TLS_HOST)
		place_add(to, offset, function, TLS_AT_RETURN);
}
