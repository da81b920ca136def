/* SPDX-License-Identifier: BSD-2-Clause */
/* The forms of --turns, and the profiles. */
#include "turn_source/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"

const struct turns_profile turns_profiles[] = {
	{ "goodai-ltm", "GoodAI's LTM benchmark: turns by the master log its runner appends to",
	  TURNS_JSONL, "run_benchmark.py", "*/master_log.jsonl" },
	{ NULL, NULL, TURNS_AUTO, NULL, NULL },
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

void turns_spec_make(const char *turns, const char *profile, struct turns_spec *s)
{
	const struct turns_profile *p = profile ? turns_profile_find(profile) : NULL;

	*s = (struct turns_spec){ .kind = TURNS_AUTO };
	turns_spec_parse(turns, s);
	if (!p)
		return;
	s->profile = p;
	if (s->kind != TURNS_AUTO)
		return;
	s->kind = p->kind;
	snprintf(s->arg, sizeof(s->arg), "%s", p->glob ? p->glob : "");
}

/* The profile whose program this argument (n bytes) names; NULL none. */
static const struct turns_profile *profile_of(const char *arg, size_t n)
{
	const char *slash = memrchr(arg, '/', n);
	const char *base = slash ? slash + 1 : arg;
	size_t len = n - (size_t)(base - arg);

	for (const struct turns_profile *p = turns_profiles; p->name; p++)
		if (p->program && strlen(p->program) == len && memcmp(p->program, base, len) == 0)
			return p;
	return NULL;
}

void turns_hint(struct turns_hints *h, const struct event *e)
{
	const char *at = (const char *)e + sizeof(struct ev_process);
	const char *end = (const char *)e + e->size;

	if (e->type == EV_SOCKET && e->flags & EVF_LISTEN)
		h->port = ((const struct ev_socket *)e)->local_port;
	while (e->type == EV_PROCESS && !h->profile && at < end) {
		size_t n = strnlen(at, (size_t)(end - at));

		h->profile = profile_of(at, n);
		at += n + 1;
	}
}

/* auto: what it begins with, and what would change its mind. */
static void reason_auto(const struct turns_hints *h, char *text)
{
	int n = snprintf(text, TURNS_REASON_MAX,
	                 "by llm (auto), the requests to LLMs: nothing better was seen yet");

	if (h->profile)
		n += snprintf(text + n, TURNS_REASON_MAX - (size_t)n,
		              "; the command looks like %s, whose log will be taken when it is "
		              "written (--profile %s takes it from the first turn on)",
		              h->profile->name, h->profile->name);
	if (h->port)
		snprintf(text + n, TURNS_REASON_MAX - (size_t)n,
		         "; it listens on port %u, and requests there that bring a message will be "
		         "the turns",
		         h->port);
}

char *turns_reason(const struct turns_spec *s, const struct turns_hints *h,
                   char text[static TURNS_REASON_MAX])
{
	if (s->kind == TURNS_AUTO)
		reason_auto(h, text);
	else if (s->profile)
		snprintf(text, TURNS_REASON_MAX,
		         "by jsonl, what is written to %s, as --profile %s asks", s->arg,
		         s->profile->name);
	else if (s->kind == TURNS_JSONL)
		snprintf(text, TURNS_REASON_MAX,
		         "by jsonl, the lines written to %s, as --turns asks", s->arg);
	else if (s->kind == TURNS_STDOUT)
		snprintf(text, TURNS_REASON_MAX,
		         "by stdout, the lines of output that match '%s', as --turns asks", s->arg);
	else if (s->kind == TURNS_IDLE)
		snprintf(text, TURNS_REASON_MAX,
		         "by idle, gaps of %llu ms without a call, as --turns asks",
		         (unsigned long long)(s->idle_ns / 1000000));
	else if (s->kind == TURNS_HTTP)
		snprintf(text, TURNS_REASON_MAX,
		         "by http, the requests that are served, as --turns asks");
	else
		snprintf(text, TURNS_REASON_MAX, "by llm, the requests to LLMs, as --turns asks");
	return text;
}
