/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS libraries in C whose functions can be found by name: a row a function. */
#include "elf_sym.h"
#include "state.h"
#include "tls_code.h"

static const struct row {
	const char *family;
	const char *name;
	enum tls_function function;
} rows[] = {
	{ "openssl", "SSL_read", TLS_READ },           { "openssl", "SSL_read_ex", TLS_READ_EX },
	{ "openssl", "SSL_write", TLS_WRITE },         { "openssl", "SSL_write_ex", TLS_WRITE_EX },
	{ "openssl", "SSL_write_ex2", TLS_WRITE_EX2 }, { "openssl", "SSL_free", TLS_FREE },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void place_add(struct tls_code *to, uint64_t offset, enum tls_function function,
                      enum tls_program program)
{
	if (to->n < TLS_PLACES_MAX)
		to->places[to->n++] = (struct tls_place){ offset, function, program };
}

void tls_code_add(struct tls_code *to, uint64_t offset, enum tls_function function)
{
	to->functions++;
	place_add(to, offset, function, TLS_AT_ENTRY);
	/* nothing is to be known of what it returns */
	if (function != TLS_FREE)
		place_add(to, offset, function, TLS_AT_RETURN);
}

int tls_code_symbols(int fd, const char *name, struct tls_code *to)
{
	const char *names[ROWS];
	uint64_t offsets[ROWS];
	int found;

	(void)name;
	for (size_t i = 0; i < ROWS; i++)
		names[i] = rows[i].name;
	found = elf_sym_offsets(fd, names, ROWS, offsets);
	if (found <= 0)
		return found;
	to->family = "openssl";
	to->how = "symbols";
	for (size_t i = 0; i < ROWS; i++)
		if (offsets[i])
			tls_code_add(to, offsets[i], rows[i].function);
	return 0;
}
