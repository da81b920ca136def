/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers out of hostile environments: what is taken is a host's name and no part of what may be a secret. The first byte
 * says whether the block is an environment.
 */
#include <stdlib.h>
#include <string.h>

#include "names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct server_name *s)
{
	if (!s->port || !s->host[0] || !memchr(s->host, 0, sizeof(s->host)) ||
	    !memchr(s->scheme, 0, sizeof(s->scheme)) ||
	    !memchr(s->variable, 0, sizeof(s->variable)))
		abort();
	if (strpbrk(s->host, "/?#@%&=+ \t\n") || strpbrk(s->variable, "/?#@%&=+-: \t\n"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct server_name list[8];
	size_t found;
	uint8_t addr[16];

	if (n < 1)
		return 0;
	found = names_block((const char *)data + 1, n - 1, data[0] & 1, list, 8);
	for (size_t i = 0; i < found && i < 8; i++) {
		check(&list[i]);
		names_address(list[i].host, (const char *)data + 1, n - 1, addr);
	}
	return 0;
}
