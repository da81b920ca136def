/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --runstats on files nobody trusts. What is merged into was JSON, is JSON after it, has the summary, and nothing else of
 * it changed; and merging again changes nothing.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "out/runstats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define SUMMARY "{\"turns\":1,\"x\":[{\"y\":0.5}]}"

/* How many bytes the two have in common, from the front or from the back. */
static size_t common(const char *a, size_t an, const char *b, size_t bn, int from_end)
{
	size_t i = 0;

	while (i < an && i < bn && (from_end ? a[an - 1 - i] == b[bn - 1 - i] : a[i] == b[i]))
		i++;
	return i;
}

/* All values but the summary's are the ones they were; a new member is put in at one place. Numbers too large for
 * jansson end the comparison. */
static void compare(const char *old, size_t old_n, const char *new, size_t new_n)
{
	size_t mark = memcmp(new, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	json_t *want = json_loads(SUMMARY, 0, NULL);
	json_t *a = json_loadb(old + mark, old_n - mark, JSON_ALLOW_NUL, NULL);
	json_t *b = json_loadb(new + mark, new_n - mark, JSON_ALLOW_NUL, NULL);

	if (a && !b)
		abort();
	if (a) {
		if (!json_object_get(a, RUNSTATS_KEY) &&
		    common(old, old_n, new, new_n, 0) + common(old, old_n, new, new_n, 1) < old_n)
			abort();
		if (!json_equal(json_object_get(b, RUNSTATS_KEY), want))
			abort();
		json_object_del(a, RUNSTATS_KEY);
		json_object_del(b, RUNSTATS_KEY);
		if (!json_equal(a, b))
			abort();
	}
	json_decref(a);
	json_decref(b);
	json_decref(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data;
	char *once = NULL, *twice = NULL;
	size_t once_n = 0, twice_n = 0;

	if (runstats_merge(text, n, SUMMARY, &once, &once_n))
		return 0;
	compare(text, n, once, once_n);
	if (runstats_merge(once, once_n, SUMMARY, &twice, &twice_n) || twice_n != once_n ||
	    memcmp(once, twice, once_n) != 0)
		abort();
	free(once);
	free(twice);
	return 0;
}
