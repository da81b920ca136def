/* SPDX-License-Identifier: BSD-2-Clause */
/* Regular expressions nobody trusts: judged in bounded time and memory, and what is taken compiles. */
#include <regex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);
	regex_t re;

	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	if (!pattern_check(text)) {
		if (regcomp(&re, text, REG_EXTENDED))
			abort();
		regexec(&re, "turn 12 done in 3.5 s", 0, NULL, 0);
		regfree(&re);
	}
	free(text);
	return 0;
}
