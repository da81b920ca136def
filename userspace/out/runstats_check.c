/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a text one JSON object? By base/json_scan.h, whose names are jansson's, too: so this is a file of its own. */
#include "out/runstats_check.h"

#include "base/json_scan.h"

static size_t skip_space(const char *p, size_t i, size_t n)
{
	while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n' || p[i] == '\r'))
		i++;
	return i;
}

const char *runstats_check(const char *text, size_t n)
{
	struct json_scan scan;
	size_t i = skip_space(text, 0, n), end;

	if (i == n)
		return "it is empty";
	json_init(&scan, NULL, NULL);
	end = json_feed(&scan, (struct bytes){ text, n });
	if (text[i] != '{' && scan.state != JSON_BAD)
		return "it is no JSON object";
	if (scan.state == JSON_OPEN)
		return "it ends in the middle: it was cut, or is being written";
	if (scan.state != JSON_DONE || skip_space(text, end, n) != n)
		return "it is no JSON";
	return NULL;
}
