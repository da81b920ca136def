/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams from name servers: two in a row, split at the length the first byte tells. */
#include <stdlib.h>
#include <string.h>

#include "dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void one(struct dns *d, const uint8_t *p, size_t n)
{
	char *copy = malloc(n ? n : 1);
	struct bytes b = { copy, n };

	if (!copy)
		return;
	memcpy(copy, p, n);
	if (dns_is_answer(b) && !dns_answer(d, b))
		abort();
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dns *d = dns_new();
	size_t first = n ? data[0] : 0;

	if (d && n > 1) {
		first = first < n - 1 ? first : n - 1;
		one(d, data + 1, first);
		one(d, data + 1 + first, n - 1 - first);
	}
	dns_free(d);
	return 0;
}
