/* SPDX-License-Identifier: BSD-2-Clause */
/* The one value of a FAILURE's map that is kept. */
#include "proto/bolt_failure.h"

#include <ctype.h>

void bolt_failure_code(struct bytes failure, char code[static BOLT_CODE_MAX])
{
	static const char *const keys[] = { "\x84"
		                            "code",
		                            "\x8a"
		                            "neo4j_code" };

	code[0] = '\0';
	for (size_t k = 0; k < 2 && !code[0]; k++) {
		size_t n = strlen(keys[k]);
		const char *p = failure.n > n ? memmem(failure.p, failure.n, keys[k], n) : NULL;
		struct bytes b = { p, p ? (size_t)(failure.p + failure.n - p) : 0 };
		size_t len, i = 0;

		b = p ? bytes_from(b, n) : b;
		if (b.n < 2)
			continue;
		len = (uint8_t)b.p[0] >> 4 == 8 ? (uint8_t)b.p[0] & 0x0f
		      : (uint8_t)b.p[0] == 0xd0 ? (uint8_t)b.p[1]
		                                : 0;
		b = bytes_from(b, (uint8_t)b.p[0] == 0xd0 ? 2 : 1);
		if (len > b.n)
			continue;
		b.n = len;
		if (bytes_start(b, "Neo."))
			b = bytes_from(b, 4);
		for (; i < b.n && i < BOLT_CODE_MAX - 1 &&
		       (isalnum((unsigned char)b.p[i]) || strchr("._", b.p[i]));
		     i++)
			code[i] = b.p[i];
		code[i] = '\0';
	}
}
