/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of where each API puts what we want to know; their rules in one place, facts_tokens(). */
#include "llm/facts.h"

#include <stdio.h>
#include <stdlib.h>

#include "llm/model.h"

enum fact {
	FACT_NONE,
	FACT_MODEL,
	FACT_CONTENT,
	FACT_FINISHED,
	FACT_ERROR, /* something an error has, or its text: never kept */
	FACT_CODE,
	FACT_TYPE,
	FACT_STATUS,
	FACT_ROOT_CODE,
	FACT_ROOT_TYPE,
	FACT_OBJECT, /* "object":"error" */
	FACT_EVENT,  /* "event_type" of Gemini's interactions */
};

/* Strings that tell something when they are not empty. */
static const struct {
	const char *path;
	enum fact fact;
} strings[] = {
	{ "model", FACT_MODEL },
	{ "response.model", FACT_MODEL },
	{ "message.model", FACT_MODEL },
	{ "modelVersion", FACT_MODEL },
	{ "interaction.model", FACT_MODEL },

	/* OpenAI chat and legacy completions, Mistral's parts, OpenRouter's reasoning */
	{ "choices.[].delta.content", FACT_CONTENT },
	{ "choices.[].delta.content.[].text", FACT_CONTENT },
	{ "choices.[].delta.content.[].thinking.[].text", FACT_CONTENT },
	{ "choices.[].delta.reasoning_content", FACT_CONTENT },
	{ "choices.[].delta.reasoning", FACT_CONTENT },
	{ "choices.[].delta.refusal", FACT_CONTENT },
	{ "choices.[].delta.tool_calls.[].function.arguments", FACT_CONTENT },
	{ "choices.[].delta.function_call.arguments", FACT_CONTENT },
	{ "choices.[].delta.audio.data", FACT_CONTENT },
	{ "choices.[].text", FACT_CONTENT },
	/* OpenAI responses: every event with content has it in its delta */
	{ "delta", FACT_CONTENT },
	{ "partial_image_b64", FACT_CONTENT },
	/* Anthropic; text also Gemini's interactions and Bedrock */
	{ "delta.text", FACT_CONTENT },
	{ "delta.thinking", FACT_CONTENT },
	{ "delta.partial_json", FACT_CONTENT },
	{ "delta.arguments", FACT_CONTENT },
	{ "delta.toolUse.input", FACT_CONTENT },
	{ "delta.reasoningContent.text", FACT_CONTENT },
	/* Gemini */
	{ "candidates.[].content.parts.[].text", FACT_CONTENT },
	{ "candidates.[].content.parts.[].inlineData.data", FACT_CONTENT },
	{ "candidates.[].content.parts.[].executableCode.code", FACT_CONTENT },
	{ "candidates.[].content.parts.[].codeExecutionResult.output", FACT_CONTENT },
	/* Ollama, llama.cpp */
	{ "message.content", FACT_CONTENT },
	{ "message.thinking", FACT_CONTENT },
	{ "response", FACT_CONTENT },
	{ "thinking", FACT_CONTENT },
	{ "content", FACT_CONTENT },
	/* Cohere */
	{ "delta.message.content.text", FACT_CONTENT },
	{ "delta.message.content.thinking", FACT_CONTENT },
	{ "delta.message.tool_plan", FACT_CONTENT },
	{ "delta.message.tool_calls.function.arguments", FACT_CONTENT },

	{ "choices.[].finish_reason", FACT_FINISHED },
	{ "candidates.[].finishReason", FACT_FINISHED },
	{ "promptFeedback.blockReason", FACT_FINISHED },
	{ "delta.stop_reason", FACT_FINISHED },
	{ "delta.finish_reason", FACT_FINISHED },
	{ "stopReason", FACT_FINISHED },
	{ "stop_reason", FACT_FINISHED },

	{ "error", FACT_ERROR }, /* Ollama: prose */
	{ "error.message", FACT_ERROR },
	{ "error.code", FACT_CODE },
	{ "error.type", FACT_TYPE },
	{ "error.status", FACT_STATUS },
	{ "response.error.message", FACT_ERROR },
	{ "response.error.code", FACT_CODE },
	{ "x_groq.error", FACT_ERROR },
	{ "delta.error", FACT_ERROR },
	{ "error_type", FACT_TYPE },
	{ "__type", FACT_TYPE },
	{ "type", FACT_ROOT_TYPE },
	{ "code", FACT_ROOT_CODE },
	{ "object", FACT_OBJECT },
	{ "event_type", FACT_EVENT },
};

/* Types of the event that ends a stream. */
static const char *const last_events[] = {
	"message_stop",       "response.completed",    "response.incomplete", "response.failed",
	"response.cancelled", "interaction.completed", "message-end",
};

/* Objects that are content by being there. */
static const char *const content_objects[] = {
	"candidates.[].content.parts.[].functionCall",
	"message.tool_calls.[]",
};

/* Where the counters are. Anthropic's message_start knows the input but no output worth the
 * name. */
static const struct {
	const char *path;
	bool input_only;
} usages[] = {
	{ "usage", false },
	{ "response.usage", false },
	{ "message.usage", true },
	{ "usageMetadata", false },
	{ "x_groq.usage", false },
	{ "delta.usage", false },
	{ "interaction.usage", false },
	{ "amazon-bedrock-invocationMetrics", false },
};

static const struct {
	const char *path; /* below one of usages */
	enum counter counter;
	bool all_in;
} counters[] = {
	{ "prompt_tokens", COUNT_IN, true },
	{ "input_tokens", COUNT_IN },
	{ "promptTokenCount", COUNT_IN, true },
	{ "inputTokens", COUNT_IN },
	{ "total_input_tokens", COUNT_IN, true },
	{ "tokens.input_tokens", COUNT_IN, true },
	{ "inputTokenCount", COUNT_IN },
	{ "toolUsePromptTokenCount", COUNT_IN_TOOLS },
	{ "prompt_tokens_details.cached_tokens", COUNT_CACHED },
	{ "input_tokens_details.cached_tokens", COUNT_CACHED },
	{ "cachedContentTokenCount", COUNT_CACHED },
	{ "total_cached_tokens", COUNT_CACHED },
	{ "cached_tokens", COUNT_CACHED },
	{ "prompt_cache_hit_tokens", COUNT_CACHED },
	{ "cache_read_input_tokens", COUNT_CACHE_READ },
	{ "cacheReadInputTokens", COUNT_CACHE_READ },
	{ "cache_creation_input_tokens", COUNT_CACHE_WRITE },
	{ "cacheWriteInputTokens", COUNT_CACHE_WRITE },
	{ "completion_tokens", COUNT_OUT },
	{ "output_tokens", COUNT_OUT },
	{ "candidatesTokenCount", COUNT_OUT },
	{ "outputTokens", COUNT_OUT },
	{ "total_output_tokens", COUNT_OUT },
	{ "tokens.output_tokens", COUNT_OUT },
	{ "outputTokenCount", COUNT_OUT },
	{ "completion_tokens_details.reasoning_tokens", COUNT_REASONING },
	{ "output_tokens_details.reasoning_tokens", COUNT_REASONING },
	{ "output_tokens_details.thinking_tokens", COUNT_REASONING },
	{ "total_thought_tokens", COUNT_REASONING },
	{ "thoughtsTokenCount", COUNT_THOUGHTS },
	{ "total_tokens", COUNT_TOTAL },
	{ "totalTokenCount", COUNT_TOTAL },
};

/* Counters in the document itself: Ollama, llama.cpp. */
static const struct {
	const char *path;
	enum counter counter;
} root_counters[] = {
	{ "prompt_eval_count", COUNT_IN },
	{ "eval_count", COUNT_OUT },
	{ "tokens_evaluated", COUNT_IN },
	{ "tokens_predicted", COUNT_OUT },
};

/* Kinds of error that mean "later": waiting cures them. */
static const char *const rate_limits[] = {
	"rate_limit", "resource_exhausted", "throttling", "too_many_requests", "toomanyrequests",
};

#define N(table) (sizeof(table) / sizeof((table)[0]))

void facts_init(struct facts *f)
{
	*f = (struct facts){ .number = 0 };
	for (size_t i = 0; i < COUNTERS; i++)
		f->n[i] = -1;
}

static enum fact string_fact(const struct json_scan *s, unsigned base)
{
	for (size_t i = 0; i < N(strings); i++)
		if (json_at(s, base, strings[i].path))
			return strings[i].fact;
	return FACT_NONE;
}

/* An identifier, in lower case; anything else could be prose, and is nobody's business. */
static void id_set(char to[FACTS_ID_MAX], const char *word, size_t n)
{
	char id[FACTS_ID_MAX];

	if (n >= FACTS_ID_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		char c = word[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' &&
		    c != '-')
			return;
		id[i] = c;
	}
	memcpy(to, id, n);
	to[n] = '\0';
}

/* The number at the word's beginning: some send codes as strings. */
static int word_number(const struct facts *f)
{
	long v = f->word_n && f->word_n <= 4 && !f->word_long ? strtol(f->word, NULL, 10) : 0;

	return v >= 400 && v < 600 ? (int)v : 0;
}

static bool word_is(const struct facts *f, const char *s)
{
	return !f->word_long && strcmp(f->word, s) == 0;
}

static void event_end(struct facts *f)
{
	for (size_t i = 0; i < N(last_events); i++)
		f->finished |= word_is(f, last_events[i]);
	f->flat_error |= word_is(f, "error");
}

static void error_word(struct facts *f, char id[FACTS_ID_MAX])
{
	f->error = true;
	if (word_number(f))
		f->number = word_number(f);
	else
		id_set(id, f->word, f->word_n);
}

/* A string was read that is not empty. */
static void word_end(struct facts *f)
{
	f->word[f->word_n] = '\0';
	switch (f->word_is) {
	case FACT_MODEL:
		model_set(f->model, sizeof(f->model), f->word);
		break;
	case FACT_CONTENT:
		f->content = true;
		break;
	case FACT_FINISHED:
		f->finished = true;
		break;
	case FACT_ERROR:
		f->error = true;
		break;
	case FACT_CODE:
		error_word(f, f->code);
		break;
	case FACT_TYPE:
		error_word(f, f->type);
		break;
	case FACT_STATUS:
		error_word(f, f->status);
		break;
	case FACT_ROOT_CODE:
		id_set(f->root_code, f->word, f->word_n);
		break;
	case FACT_ROOT_TYPE:
		id_set(f->root_type, f->word, f->word_n);
		event_end(f);
		break;
	case FACT_OBJECT:
		f->flat_error |= word_is(f, "error");
		break;
	case FACT_EVENT:
		event_end(f);
		break;
	default:
		break;
	}
}

static bool keeps_text(uint8_t fact)
{
	return fact != FACT_NONE && fact != FACT_CONTENT && fact != FACT_ERROR;
}

static void string_token(struct facts *f, const struct json_scan *s, unsigned base,
                         const struct json_token *t)
{
	size_t n = t->text.n;

	if (t->first) {
		f->word_is = string_fact(s, base);
		f->word_n = 0;
		f->word_long = f->word_any = false;
	}
	f->word_any |= n != 0;
	if (keeps_text(f->word_is)) {
		if (n > sizeof(f->word) - 1 - f->word_n) {
			n = sizeof(f->word) - 1 - f->word_n;
			f->word_long = true;
		}
		if (n)
			memcpy(f->word + f->word_n, t->text.p, n);
		f->word_n += n;
	}
	if (t->last && f->word_any)
		word_end(f);
}

/* A count: a whole number no tokenizer would exceed, else -1. Cohere writes 12.0. */
static int64_t count_of(struct bytes text)
{
	double v = text.n ? strtod(text.p, NULL) : -1;

	return v >= 0 && v < 1e15 ? (int64_t)v : -1;
}

static void count(struct facts *f, enum counter which, struct bytes text, bool all_in)
{
	int64_t v = count_of(text);

	if (v < 0)
		return;
	f->n[which] = v;
	if (which == COUNT_IN)
		f->all_in = all_in;
}

static bool is_input(enum counter c)
{
	return c != COUNT_OUT && c != COUNT_REASONING && c != COUNT_THOUGHTS && c != COUNT_TOTAL;
}

static void usage_number(struct facts *f, const struct json_scan *s, unsigned base,
                         struct bytes text)
{
	unsigned level;

	for (size_t i = 0; i < N(usages); i++) {
		if (!json_under(s, base, usages[i].path, &level))
			continue;
		for (size_t k = 0; k < N(counters); k++)
			if (json_at(s, level, counters[k].path) &&
			    (!usages[i].input_only || is_input(counters[k].counter)))
				count(f, counters[k].counter, text, counters[k].all_in);
		return;
	}
}

static void number_token(struct facts *f, const struct json_scan *s, unsigned base,
                         struct bytes text)
{
	int64_t v = count_of(text);
	int code = v >= 400 && v < 600 ? (int)v : 0;

	for (size_t i = 0; i < N(root_counters); i++)
		if (json_at(s, base, root_counters[i].path))
			count(f, root_counters[i].counter, text, true);
	if (json_at(s, base, "error.code")) {
		f->error = true;
		f->number = code;
	} else if (json_at(s, base, "code")) {
		f->root_number = code;
	} else {
		usage_number(f, s, base, text);
	}
}

void facts_token(struct facts *f, const struct json_scan *s, unsigned base,
                 const struct json_token *t)
{
	/* an embedding is thousands of numbers in an array: none is ours */
	if (t->kind == JSON_NUMBER && s->depth > base && !json_in_array(s, s->depth - 1))
		number_token(f, s, base, t->text);
	else if (t->kind == JSON_STRING)
		string_token(f, s, base, t);
	else if (t->kind == JSON_TRUE)
		f->finished |= json_at(s, base, "done") || json_at(s, base, "stop");
	else if (t->kind == JSON_OBJECT)
		for (size_t i = 0; i < N(content_objects); i++)
			f->content |= json_at(s, base, content_objects[i]);
}

static void take(char *to, size_t room, const char *from)
{
	if (from[0])
		snprintf(to, room, "%s", from);
}

/* The root's type and code are an error's only if the document is one. */
static void merge_error(struct facts *all, const struct facts *newer)
{
	if (!newer->error && !newer->flat_error)
		return;
	all->error = true;
	take(all->code, sizeof(all->code), newer->code);
	take(all->type, sizeof(all->type), newer->type);
	take(all->status, sizeof(all->status), newer->status);
	if (newer->number)
		all->number = newer->number;
	if (!newer->flat_error)
		return;
	if (strcmp(newer->root_type, "error") != 0)
		take(all->type, sizeof(all->type), newer->root_type);
	take(all->code, sizeof(all->code), newer->root_code);
	if (newer->root_number)
		all->number = newer->root_number;
}

void facts_merge(struct facts *all, const struct facts *newer)
{
	for (size_t i = 0; i < COUNTERS; i++)
		if (newer->n[i] >= 0)
			all->n[i] = newer->n[i];
	if (newer->n[COUNT_IN] >= 0)
		all->all_in = newer->all_in;
	all->content |= newer->content;
	all->finished |= newer->finished;
	take(all->model, sizeof(all->model), newer->model);
	merge_error(all, newer);
}

void facts_forget(struct facts *f, bool output_only)
{
	for (size_t i = 0; i < COUNTERS; i++)
		if (!output_only || !is_input(i))
			f->n[i] = -1;
}

static int64_t plus(int64_t a, int64_t b)
{
	return a + (b > 0 ? b : 0);
}

struct llm_tokens facts_tokens(const struct facts *f)
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
	} else if (t.reasoning > 0 && t.out >= 0 && n[COUNT_TOTAL] == t.in + t.out + t.reasoning) {
		/* the total proves that reasoning was counted beside the output */
		t.out += t.reasoning;
	}
	return t;
}

void facts_error_kind(struct facts *f, const char *kind)
{
	f->error = true;
	id_set(f->type, kind, strlen(kind));
}

static bool is_rate_limit(const char *kind)
{
	for (size_t i = 0; i < N(rate_limits); i++)
		if (strncmp(kind, rate_limits[i], strlen(rate_limits[i])) == 0)
			return true;
	return false;
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
	if (kind[0])
		snprintf(c->error_kind, sizeof(c->error_kind), "%s", kind);
	else if (f->number && c->http_status < 400)
		snprintf(c->error_kind, sizeof(c->error_kind), "http_%d", f->number);
	else if (c->http_status < 400)
		snprintf(c->error_kind, sizeof(c->error_kind), "stream_error");
}
