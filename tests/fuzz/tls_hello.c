/* SPDX-License-Identifier: BSD-2-Clause */
/* A ClientHello as a target may send it. Each beginning of it must be read, too, and say nothing that the whole denies. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const char *text, size_t room)
{
	size_t n = strnlen(text, room);

	if (n == room)
		abort();
	for (size_t i = 0; i < n; i++)
		if (text[i] < '!' || text[i] > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tls_hello whole, part;
	enum tls_hello_match m = tls_hello_read((struct bytes){ (const char *)data, n }, &whole);
	size_t step = n > 512 ? n / 64 : 1;

	check(whole.name, sizeof(whole.name));
	check(whole.alpn, sizeof(whole.alpn));
	for (size_t i = 0; i < n; i += step) {
		if (tls_hello_read((struct bytes){ (const char *)data, i }, &part) ==
		            TLS_HELLO_YES &&
		    m == TLS_HELLO_MORE)
			abort();
		check(part.name, sizeof(part.name));
		check(part.alpn, sizeof(part.alpn));
	}
	return 0;
}
