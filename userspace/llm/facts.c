/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of where each API puts what we want to know; the rules are in facts_rules.c. */
#include "llm/facts.h"

#include <stdio.h>
#include <stdlib.h>

#include "llm/model.h"

enum fact {
	FACT_NONE,
	FACT_MODEL,
	FACT_CONTENT,
	FACT_FINISHED,
	FACT_FINISH, /* why it ended, if it did */
	FACT_STATE,  /* the state a reply is in */
	FACT_REQUEST_ID,
	FACT_DELAY,
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
	{ "delta.content.text", FACT_CONTENT }, /* interactions: a summary of thoughts */
	/* Ollama, llama.cpp */
	{ "message.content", FACT_CONTENT },
	{ "message.thinking", FACT_CONTENT },
	{ "response", FACT_CONTENT },
	{ "thinking", FACT_CONTENT },
	{ "content", FACT_CONTENT }, /* also Mistral's conversations */
	{ "content.text", FACT_CONTENT },
	/* text-generation-inference */
	{ "token.text", FACT_CONTENT },
	/* what Bedrock's invoke passes on of Titan, Llama, Mistral and Nova */
	{ "outputText", FACT_CONTENT },
	{ "generation", FACT_CONTENT },
	{ "outputs.[].text", FACT_CONTENT },
	{ "contentBlockDelta.delta.text", FACT_CONTENT },
	/* Cohere; text also in v1 */
	{ "text", FACT_CONTENT },
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
	{ "finish_reason", FACT_FINISHED }, /* Cohere */
	{ "done_reason", FACT_FINISH },     /* Ollama; done says whether */
	{ "stop_type", FACT_FINISH },       /* llama.cpp; stop says whether */
	{ "details.finish_reason", FACT_FINISHED },
	{ "results.[].completionReason", FACT_FINISHED },
	{ "completionReason", FACT_FINISHED },
	{ "outputs.[].stop_reason", FACT_FINISHED },
	{ "messageStop.stopReason", FACT_FINISHED },
	{ "incomplete_details.reason", FACT_FINISH },
	{ "response.incomplete_details.reason", FACT_FINISH },
	{ "status", FACT_STATE },
	{ "response.status", FACT_STATE },
	{ "interaction.status", FACT_STATE },

	{ "request_id", FACT_REQUEST_ID }, /* Anthropic, with errors */
	/* google.rpc.RetryInfo */
	{ "error.details.[].retryDelay", FACT_DELAY },
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
	"message_stop",    "response.completed", "response.incomplete",
	"response.failed", "response.cancelled", "interaction.completed",
	"message-end",     "stream-end",         "conversation.response.done",
};

/* States in which a reply has ended. */
static const char *const last_states[] = { "completed", "incomplete", "failed", "cancelled" };

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
	{ "metadata.usage", false }, /* Nova's */
	{ "meta", false },           /* Cohere v1 */
	{ "response.meta", false },
	{ "details", false }, /* text-generation-inference */
	{ "timings", false }, /* llama.cpp */
};

static const struct {
	const char *path; /* below one of usages */
	enum counter counter;
	bool all_in, grows;
} counters[] = {
	{ "prompt_tokens", COUNT_IN, true },
	{ "input_tokens", COUNT_IN },
	{ "promptTokenCount", COUNT_IN, true, true },
	{ "inputTokens", COUNT_IN },
	{ "total_input_tokens", COUNT_IN, true },
	{ "tokens.input_tokens", COUNT_IN, true },
	{ "input_length", COUNT_IN, true },
	{ "inputTokenCount", COUNT_METERED_IN },
	{ "billed_units.input_tokens", COUNT_BILLED },
	{ "toolUsePromptTokenCount", COUNT_IN_TOOLS },
	{ "total_tool_use_tokens", COUNT_TOOLS },
	{ "prompt_tokens_details.cached_tokens", COUNT_CACHED },
	{ "input_tokens_details.cached_tokens", COUNT_CACHED },
	{ "cachedContentTokenCount", COUNT_CACHED },
	{ "total_cached_tokens", COUNT_CACHED },
	{ "cached_tokens", COUNT_CACHED },
	{ "prompt_cache_hit_tokens", COUNT_CACHED },
	/* llama.cpp: its tokens_cached are those of the whole slot, generated ones too
	 * (ggml-org/llama.cpp tools/server) */
	{ "cache_n", COUNT_CACHED },
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
	{ "generated_tokens", COUNT_OUT },
	{ "outputTokenCount", COUNT_METERED_OUT },
	{ "completion_tokens_details.reasoning_tokens", COUNT_REASONING },
	{ "output_tokens_details.reasoning_tokens", COUNT_REASONING },
	{ "output_tokens_details.thinking_tokens", COUNT_REASONING },
	{ "total_thought_tokens", COUNT_REASONING },
	{ "thoughtsTokenCount", COUNT_THOUGHTS },
	{ "total_tokens", COUNT_TOTAL },
	{ "totalTokenCount", COUNT_TOTAL },
};

/* Counters in the document itself: Ollama, llama.cpp, Bedrock's Titan and Llama. */
static const struct {
	const char *path;
	enum counter counter;
	bool adds; /* one for each of what was asked for together */
} root_counters[] = {
	{ "prompt_eval_count", COUNT_IN },
	{ "eval_count", COUNT_OUT },
	{ "tokens_evaluated", COUNT_IN },
	{ "tokens_predicted", COUNT_OUT },
	{ "prompt_token_count", COUNT_IN },
	{ "generation_token_count", COUNT_OUT },
	{ "inputTextTokenCount", COUNT_IN },
	{ "totalOutputTextTokenCount", COUNT_OUT },
	{ "results.[].tokenCount", COUNT_OUT, true },
	{ "predictions.[].embeddings.statistics.token_count", COUNT_IN, true }, /* Vertex */
};

#define N(table) (sizeof(table) / sizeof((table)[0]))

void facts_init(struct facts *f)
{
	*f = (struct facts){ .retry_s = -1 };
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

void facts_id(char to[FACTS_ID_MAX], struct bytes word)
{
	char id[FACTS_ID_MAX];
	size_t n = word.n;

	if (n >= FACTS_ID_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		char c = word.p[i];

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

static struct bytes word_of(const struct facts *f)
{
	return (struct bytes){ f->word, f->word_n };
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

/* A duration of Protobuf's JSON: "3.5s". */
static void delay_end(struct facts *f)
{
	char *end;
	double s = strtod(f->word, &end);

	if (!f->word_long && end != f->word && strcmp(end, "s") == 0 && s >= 0 && s <= 1e9)
		f->retry_s = s;
}

static void state_end(struct facts *f)
{
	for (size_t i = 0; i < N(last_states); i++)
		if (word_is(f, last_states[i]))
			facts_id(f->status_word, word_of(f));
}

static void event_end(struct facts *f)
{
	for (size_t i = 0; i < N(last_events); i++)
		f->finished |= word_is(f, last_events[i]);
	f->flat_error |= word_is(f, "error") || word_is(f, "conversation.response.error");
}

static void error_word(struct facts *f, char id[FACTS_ID_MAX])
{
	f->error = true;
	if (word_number(f))
		f->number = word_number(f);
	else
		facts_id(id, word_of(f));
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
		facts_id(f->finish, word_of(f));
		break;
	case FACT_FINISH:
		if (!word_is(f, "none"))
			facts_id(f->finish, word_of(f));
		break;
	case FACT_STATE:
		state_end(f);
		break;
	case FACT_REQUEST_ID:
		if (!f->word_long)
			llm_request_id(f->request_id, word_of(f));
		break;
	case FACT_DELAY:
		delay_end(f);
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
		facts_id(f->root_code, word_of(f));
		break;
	case FACT_ROOT_TYPE:
		facts_id(f->root_type, word_of(f));
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

static void root_count(struct facts *f, size_t i, struct bytes text)
{
	int64_t *n = &f->n[root_counters[i].counter], before = *n;

	count(f, root_counters[i].counter, text, true);
	if (root_counters[i].adds && before > 0)
		*n += before;
}

static bool is_input(enum counter c)
{
	return c != COUNT_OUT && c != COUNT_REASONING && c != COUNT_THOUGHTS && c != COUNT_TOTAL;
}

static void usage_count(struct facts *f, size_t i, struct bytes text)
{
	count(f, counters[i].counter, text, counters[i].all_in);
	f->grows |= counters[i].grows;
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
				usage_count(f, k, text);
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
			root_count(f, i, text);
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
	all->grows |= newer->grows;
	all->content |= newer->content;
	all->finished |= newer->finished;
	take(all->model, sizeof(all->model), newer->model);
	take(all->finish, sizeof(all->finish), newer->finish);
	take(all->status_word, sizeof(all->status_word), newer->status_word);
	take(all->request_id, sizeof(all->request_id), newer->request_id);
	if (newer->retry_s >= 0)
		all->retry_s = newer->retry_s;
	merge_error(all, newer);
}

void facts_forget(struct facts *f)
{
	for (size_t i = 0; i < COUNTERS; i++)
		f->n[i] = -1;
}

void facts_outdate(struct facts *f)
{
	for (size_t i = 0; i < COUNTERS; i++)
		if (f->grows || !is_input(i))
			f->n[i] = -1;
	f->holed = true;
}
