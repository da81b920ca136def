/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever a request to the target says, however it is cut and whatever is lost: what comes out can be shown, a hash is
 * only of a message, and a cut changes nothing. The input is a script; each step is a letter, a length byte, and as many
 * bytes:
 *   n  a header's name    v  a piece of its value    b  a piece of the body    g  a hole in it
 * The first byte says whether the request is cut at its end.
 */
#include <stdlib.h>

#include "base/text.h"
#include "proto/http_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void step(struct http_fields *f, char what, struct bytes b)
{
	switch (what) {
	case 'n':
		http_fields_header(f, b);
		break;
	case 'v':
		http_fields_value(f, b);
		break;
	case 'g':
		http_fields_gap(f);
		break;
	default:
		http_fields_body(f, b);
	}
}

/* single: bytes one by one, wherever that may make no difference */
static struct turn_fields *run(const uint8_t *data, size_t n, bool single)
{
	struct http_fields *f = http_fields_new();
	struct turn_fields *t;

	for (size_t i = 1; i + 2 <= n;) {
		size_t m = data[i + 1], piece;
		char *copy;

		if (m > n - i - 2)
			m = n - i - 2;
		piece = single && data[i] != 'n' && data[i] != 'g' ? 1 : m;
		for (size_t k = 0; k < m || !k; k += piece ? piece : 1) {
			size_t have = piece < m - k ? piece : m - k;

			/* a copy of its own, so that the sanitizer sees where each ends */
			copy = malloc(have ? have : 1);
			memcpy(copy, data + i + 2 + k, have);
			step(f, (char)data[i], (struct bytes){ copy, have });
			free(copy);
		}
		i += 2 + m;
	}
	t = http_fields_end(f, n && data[0] & 1);
	http_fields_free(f);
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct turn_fields *a = run(data, n, false), *b = run(data, n, true);
	char clean[sizeof(a->session_id)];

	text_clean(clean, sizeof(clean), a->session_id, false);
	if (strcmp(clean, a->session_id) != 0 || strcmp(a->session_id, b->session_id) != 0)
		abort();
	if (a->turn_index < -1 || a->turn_index != b->turn_index || a->role != b->role ||
	    a->message != b->message || a->text_hash != b->text_hash)
		abort();
	if (!a->message && a->text_hash)
		abort();
	free(a);
	free(b);
	return 0;
}
