/* SPDX-License-Identifier: BSD-2-Clause */
/* The forms of --turns, and the profiles. */
#include "turn_source/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"

const struct turns_profile turns_profiles[] = {
	{ "goodai-ltm", "GoodAI's LTM benchmark: turns by the master log its runner appends to",
	  TURNS_JSONL, "*/master_log.jsonl" },
	{ NULL, NULL, TURNS_AUTO, NULL },
};

static const struct {
	const char *name;
	bool arg;
} kinds[] = {
	[TURNS_AUTO] = { "auto", false },    [TURNS_LLM] = { "llm", false },
	[TURNS_HTTP] = { "http", false },    [TURNS_JSONL] = { "jsonl", true },
	[TURNS_STDOUT] = { "stdout", true }, [TURNS_IDLE] = { "idle", true },
};

const struct turns_profile *turns_profile_find(const char *name)
{
	for (const struct turns_profile *p = turns_profiles; p->name; p++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const char *turns_kind_name(enum turns_kind k)
{
	return kinds[k].name;
}

static const char *check_idle(const char *text, uint64_t *ns)
{
	size_t n = strspn(text, "0123456789");
	uint64_t ms = n && n <= 9 && !text[n] ? strtoull(text, NULL, 10) : 0;

	if (!ms || ms > TURNS_IDLE_MS_MAX)
		return "the gap is not a number of milliseconds between 1 and 86400000";
	*ns = ms * 1000000;
	return NULL;
}

const char *turns_spec_parse(const char *text, struct turns_spec *s)
{
	size_t n = strcspn(text, ":"), k;
	const char *arg = text[n] ? text + n + 1 : NULL, *why = NULL;
	struct turns_spec out = { 0 };

	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		if (strlen(kinds[k].name) == n && strncmp(kinds[k].name, text, n) == 0)
			break;
	if (k == sizeof(kinds) / sizeof(kinds[0]))
		return "no such source of turns";
	out.kind = (enum turns_kind)k;
	if (!kinds[k].arg && arg)
		return "this source takes nothing behind a colon";
	if (kinds[k].arg && (!arg || !*arg))
		return "nothing behind the colon to tell turns by";
	if (arg && strlen(arg) >= sizeof(out.arg))
		return "longer than 511 characters";
	if (arg)
		snprintf(out.arg, sizeof(out.arg), "%s", arg);
	if (out.kind == TURNS_STDOUT)
		why = pattern_check(arg);
	else if (out.kind == TURNS_IDLE)
		why = check_idle(arg, &out.idle_ns);
	if (!why)
		*s = out;
	return why;
}
