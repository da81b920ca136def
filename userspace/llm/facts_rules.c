/* SPDX-License-Identifier: BSD-2-Clause */
/* What the facts of a reply add up to, by each API's rules: tokens, why it ended, which error it is. */
#include <stdio.h>

#include "llm/facts.h"

/* Kinds of error that mean "later": waiting cures them. */
static const char *const rate_limits[] = {
	"rate_limit", "resource_exhausted", "throttling", "too_many_requests", "toomanyrequests",
};

#define N(table) (sizeof(table) / sizeof((table)[0]))

static int64_t plus(int64_t a, int64_t b)
{
	return a + (b > 0 ? b : 0);
}

/* What stands beside input and output, where only the total tells that it is not in them. */
static void add_by_total(const struct facts *f, struct llm_tokens *t)
{
	int64_t total = f->n[COUNT_TOTAL], known = t->in + t->out;
	int64_t tools = plus(0, f->n[COUNT_TOOLS]), reasoning = plus(0, f->n[COUNT_REASONING]);

	if (t->in < 0 || t->out < 0 || total <= known)
		return;
	if (reasoning && (total == known + reasoning || total == known + reasoning + tools))
		t->out += reasoning;
	if (tools && (total == known + tools || total == known + tools + reasoning))
		t->in += tools;
}

static int64_t or_else(int64_t n, int64_t other)
{
	return n >= 0 ? n : other;
}

struct llm_tokens facts_tokens(const struct facts *f, enum llm_kind kind)
{
	const int64_t *n = f->n;
	struct llm_tokens t = { n[COUNT_IN], n[COUNT_OUT], n[COUNT_CACHED], n[COUNT_REASONING] };

	if (t.in >= 0)
		t.in = plus(t.in, n[COUNT_IN_TOOLS]);
	/* Anthropic, Bedrock: input is what the cache did not have */
	if (t.in >= 0 && !f->all_in)
		t.in = plus(plus(t.in, n[COUNT_CACHE_READ]), n[COUNT_CACHE_WRITE]);
	if (t.cached < 0)
		t.cached = n[COUNT_CACHE_READ];
	/* Gemini leaves a counter out that is zero, thoughts or candidates */
	if (n[COUNT_THOUGHTS] >= 0) {
		t.reasoning = n[COUNT_THOUGHTS];
		t.out = plus(t.reasoning, t.out);
	} else {
		add_by_total(f, &t);
	}
	/* the model's own counts tell of a cache, too: none may have been lost */
	if (!f->holed) {
		t.in = or_else(t.in, n[COUNT_METERED_IN]);
		t.out = or_else(t.out, n[COUNT_METERED_OUT]);
	}
	if (kind == LLM_EMBEDDING)
		t.in = or_else(t.in, n[COUNT_BILLED]);
	return t;
}

const char *facts_finish(const struct facts *f)
{
	return f->finish[0] ? f->finish : f->status_word;
}

void facts_error_kind(struct facts *f, struct bytes kind)
{
	f->error = true;
	facts_id(f->type, kind);
}

static bool is_rate_limit(const char *kind)
{
	for (size_t i = 0; i < N(rate_limits); i++)
		if (strncmp(kind, rate_limits[i], strlen(rate_limits[i])) == 0)
			return true;
	return false;
}

void facts_last_word(struct call *c)
{
	if (!c->llm->finished || (c->status != CALL_ABORTED && c->status != CALL_TIMEOUT))
		return;
	c->status = CALL_OK;
	c->error_kind[0] = '\0';
}

void facts_error(const struct facts *f, struct call *c)
{
	const char *quota = "insufficient_quota";
	bool limited = c->http_status == 429 || f->number == 429 || is_rate_limit(f->code) ||
	               is_rate_limit(f->type) || is_rate_limit(f->status);
	const char *kind = f->code[0] ? f->code : f->type[0] ? f->type : f->status;

	if (strcmp(f->code, quota) == 0 || strcmp(f->type, quota) == 0) {
		kind = quota;
		limited = false;
	}
	c->status = limited ? CALL_RATE_LIMITED : CALL_ERROR;
	if (f->retry_s >= 0 && c->retry_after_s < 0)
		c->retry_after_s = f->retry_s;
	if (kind[0])
		snprintf(c->error_kind, sizeof(c->error_kind), "%s", kind);
	else if (f->number && c->http_status < 400)
		snprintf(c->error_kind, sizeof(c->error_kind), "http_%d", f->number);
	else if (c->http_status < 400)
		snprintf(c->error_kind, sizeof(c->error_kind), "stream_error");
}
