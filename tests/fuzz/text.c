/* SPDX-License-Identifier: BSD-2-Clause */
/* Names from the target: whatever they hold, what is shown is printable, fits its buffer and its columns. */
#include <stdlib.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first byte is the size of the buffer, the second the columns to cut to. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t size = n > 2 ? data[0] + 1u : 1, columns = n > 2 ? data[1] : 0;
	char *in = calloc(1, n + 1), *out = malloc(size), *again = malloc(size);

	if (!in || !out || !again || n < 2)
		goto out;
	memcpy(in, data + 2, n - 2);
	for (int ascii = 0; ascii < 2; ascii++) {
		if (text_clean(out, size, in, ascii) != strlen(out))
			abort();
		for (size_t i = 0; out[i]; i++)
			if ((unsigned char)out[i] < ' ' || out[i] == 0x7f ||
			    (ascii && (unsigned char)out[i] > 0x7f))
				abort();
		/* clean text stays as it is */
		text_clean(again, size, out, ascii);
		if (strcmp(out, again) != 0)
			abort();
		text_cut(out, columns);
		if (text_columns(out) > columns)
			abort();
	}
out:
	free(again);
	free(out);
	free(in);
	return 0;
}
