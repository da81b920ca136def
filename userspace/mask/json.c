/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks bodies: JSON (RFC 8259), JSON lines, server-sent events (WHATWG HTML, 9.2) and plain text. Of JSON, structure, numbers
 * and the names an LLM API uses stay, and the values of a few names if they look like a machine's. The first byte that is
 * not JSON makes the rest of the document opaque.
 */
#include "mask/mask.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/json_scan.h"
#include "llm/tail.h"

enum key_class {
	KEY_UNKNOWN, /* the user's own: masked */
	KEY_KNOWN,   /* an API's: kept, its value masked */
	KEY_MACHINE, /* kept, and its value too if it is one word */
	KEY_PROSE,   /* kept; an object as its value has known names, but no machine values */
	KEY_USER,    /* kept; an object as its value holds names and words of the user's own */
};

enum json_at { AT_VALUE, AT_AFTER, AT_KEY, AT_COLON, AT_STRING, AT_NUMBER, AT_LITERAL, AT_BAD };
enum line_at { LINE_FIELD, LINE_DATA, LINE_RAW, LINE_WORD, LINE_MASK };

/* ===== Names ===== */

/* clang-format off */
static const char *const machine_keys[] = {
	"model", "modelVersion", "role", "type", "__type", "object", "event", "event_type",
	"finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason",
	"blockReason", "status", "code", "error_type", "completionReason", "stop_type", "reason",
	"retryDelay", NULL,
};
/* clang-format on */

/* clang-format off */
static const char *const user_keys[] = {
	"input", "arguments", "args", "input_schema", "inputSchema", "schema", "json_schema",
	"properties", "parameters", "responseSchema", "response_schema", "responseJsonSchema",
	"metadata", "functionResponse", "function_response", "logit_bias", "labels", "format",
	"chat_template_kwargs", "user_location", "variables", NULL,
};
/* clang-format on */

/* Among their members "code" is a program. */
static const char *const prose_keys[] = { "executableCode", "codeExecutionResult",
	                                  "executable_code", "code_execution_result", NULL };

/* clang-format off */
static const char *const known_keys[] = {
	/* requests */
	"messages", "content", "contents", "parts", "text", "input_text", "output_text",
	"prompt", "system", "systemInstruction", "system_instruction", "instructions",
	"developer", "stream", "stream_options", "include_usage", "continuous_usage_stats",
	"max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens",
	"temperature", "top_p", "top_k", "topP", "topK", "n", "stop", "stop_sequences",
	"stopSequences", "seed", "presence_penalty", "frequency_penalty", "logprobs",
	"top_logprobs", "response_format", "generationConfig", "generation_config",
	"safetySettings", "thinking", "thinkingConfig", "budget_tokens", "reasoning",
	"reasoning_effort", "effort", "summary", "store", "background", "previous_response_id",
	"conversation", "truncation", "parallel_tool_calls", "tools", "tool_choice",
	"toolConfig", "tool_calls", "tool_call_id", "tool_use_id", "tool_use", "tool_result",
	"toolUse", "toolResult", "toolUseId", "toolUses", "function", "functions", "name",
	"call_id", "id", "output", "is_error", "image_url", "url", "detail", "source",
	"media_type", "data", "inlineData", "inline_data", "mimeType", "mime_type", "fileData",
	"file_data", "file_id", "cache_control", "options", "num_ctx", "num_predict",
	"keep_alive", "raw", "suffix", "images", "context", "template", "documents", "texts",
	"inputs", "query", "requests", "instances", "embedding_types", "input_type",
	"dimensions", "modalities", "user", "anthropic_version", "anthropic_beta", "prediction",
	"agent", "inputText", "textGenerationConfig", "functionCall", "function_call", "refusal",
	"chat_history", "tool_results", "agent_id", "input_prefix", "input_suffix",
	"additionalModelRequestFields", "inferenceConfig", "reasoningContent", "reasoningText",
	/* replies */
	"choices", "index", "delta", "message", "logprob", "refusal", "reasoning_content",
	"reasoning_details", "thought", "thoughts", "thoughtSignature", "signature", "citations",
	"annotations", "created", "created_at", "system_fingerprint", "response", "response_id",
	"responseId", "item", "item_id", "items", "output_index", "content_index",
	"summary_index", "sequence_number", "part", "partial_json", "content_block",
	"content_blocks", "candidates", "candidateCount", "promptFeedback", "safetyRatings",
	"category", "probability", "blocked", "interaction", "steps", "done",
	"incomplete_details", "stop_sequence", "prompt_filter_results", "content_filter_results",
	"x_groq", "details", "generated_text", "token", "tokens", "special", "embedding",
	"embeddings", "predictions", "statistics", "token_count", "results", "result", "list",
	"has_more", "first_id", "last_id", "obfuscation", "container", "tool_plan", "outputs",
	"outputText", "generation", "contentBlockDelta", "messageStop", "@type",
	/* counters */
	"usage", "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens",
	"output_tokens", "prompt_tokens_details", "completion_tokens_details",
	"input_tokens_details", "output_tokens_details", "cached_tokens", "cache_write_tokens",
	"reasoning_tokens", "thinking_tokens", "audio_tokens", "text_tokens", "image_tokens",
	"accepted_prediction_tokens", "rejected_prediction_tokens",
	"cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation",
	"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "server_tool_use",
	"web_search_requests", "usageMetadata", "usage_metadata", "promptTokenCount",
	"candidatesTokenCount", "totalTokenCount", "cachedContentTokenCount",
	"thoughtsTokenCount", "toolUsePromptTokenCount", "promptTokensDetails",
	"candidatesTokensDetails", "cacheTokensDetails", "modality", "tokenCount", "totalTokens",
	"total_input_tokens", "total_output_tokens", "total_cached_tokens",
	"total_thought_tokens", "total_tool_use_tokens", "billed_units", "meta", "search_units",
	"queue_time", "prompt_time", "completion_time", "total_time", "prompt_eval_count",
	"eval_count", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration",
	"tokens_evaluated", "tokens_predicted", "tokens_cached", "timings", "prompt_n",
	"predicted_n", "cache_n", "generated_tokens", "input_length", "prefill", "inputTokens",
	"outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens",
	"cacheReadInputTokenCount", "cacheWriteInputTokenCount", "metrics", "latencyMs",
	"inputTokenCount", "outputTokenCount", "invocationLatency", "firstByteLatency",
	"amazon-bedrock-invocationMetrics", "partial_image_b64", "audio", "language", "bytes",
	"cost", "is_byok", "cost_details", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens",
	"num_sources_used", "token_usage", "tokenUsage", "cache_n", "prompt_token_count",
	"generation_token_count", "inputTextTokenCount", "totalOutputTextTokenCount",
	"connector_tokens",
	/* errors */
	"error", "errors", "param", "innererror", "request_id", "error_code", "errmsg",
	"errorMessage", "last_error", "retry_after", "violations", "quotaMetric", "quotaId",
	"success", "ok", "timed_out", "time",
	/* runners' logs */
	"test_id", "timestamp", "session_id", "session", "turn", "turn_id", "turn_index",
	"dataset_name", "run_name", "example_id", NULL,
};
/* clang-format on */

/* What the machine values are where the names around them were not seen: a tool's arguments may have a "type", too. */
static const char *const common_values[] = {
	"user",    "assistant", "system",   "developer",   "tool",          "function",
	"model",   "text",      "tool_use", "tool_result", "function_call", "function_call_output",
	"message", "reasoning", NULL,
};

/* Names are compared as they stand: case matters in JSON. */
static bool exactly(const char *const *list, struct bytes b)
{
	for (; *list; list++)
		if (bytes_equal(b, *list))
			return true;
	return false;
}

static enum key_class key_class(struct bytes name)
{
	if (exactly(machine_keys, name))
		return KEY_MACHINE;
	if (exactly(user_keys, name))
		return KEY_USER;
	if (exactly(prose_keys, name))
		return KEY_PROSE;
	return exactly(known_keys, name) ? KEY_KNOWN : KEY_UNKNOWN;
}

/* ===== JSON ===== */

static bool in_array(const struct mask_json *j)
{
	return j->arrays[j->depth / 64] >> j->depth % 64 & 1;
}

static void json_restart(struct mask_json *j)
{
	j->at = AT_VALUE;
	j->depth = j->user = j->prose = 0;
	j->arrays[0] = 0;
	j->escape = j->in_key = false;
	j->key_class = KEY_UNKNOWN;
	j->fresh = false;
}

/* Not JSON, or no longer known where in it: the rest is one masked string. */
static void json_bad(struct mask_json *j)
{
	word_start(j->word, j->key, WORD_MASK);
	j->at = AT_BAD;
}

static void bad_byte(struct mask_json *j, char *p)
{
	if (j->tailing)
		word_hold(j->word, p);
	else if (!isspace((uint8_t)*p))
		word_byte(j->word, p);
}

static void json_reject(struct mask_json *j, char *p)
{
	json_bad(j);
	bad_byte(j, p);
}

static void string_start(struct mask_json *j, bool is_key)
{
	bool foreign = j->foreign || j->user;
	bool may_stay = j->rules ? j->depth <= RULE_PATH_MAX
	                         : !foreign &&
	                                   (is_key || (j->key_class == KEY_MACHINE && !j->prose));

	word_start(j->word, j->key, may_stay ? WORD_TRY : WORD_MASK);
	j->in_key = is_key;
	j->escape = false;
	j->at = AT_STRING;
}

/* The containers around the value; how many, more than there is room for: none is known. */
static size_t path_of(const struct mask_json *j, struct bytes path[RULE_PATH_MAX])
{
	for (unsigned d = 1; d <= j->depth && d <= RULE_PATH_MAX; d++) {
		bool array = j->arrays[d / 64] >> d % 64 & 1;

		path[d - 1] = array ? (struct bytes){ NULL, 0 }
		                    : (struct bytes){ j->keys[d - 1], j->nkeys[d - 1] };
	}
	return j->depth;
}

/* A string of a store's reply. */
static void string_end_ruled(struct mask_json *j)
{
	char buf[MASK_WORD_MAX];
	struct bytes text = word_text(j->word, buf), path[RULE_PATH_MAX];
	size_t n = path_of(j, path);

	if (n == 0 || n > RULE_PATH_MAX) {
		word_end(j->word, false);
	} else if (j->in_key) {
		j->nkeys[n - 1] = text.n;
		if (text.n)
			memcpy(j->keys[n - 1], text.p, text.n);
		path[n - 1].n = text.n;
		word_end(j->word, rule_path_known(j->rules, path, n));
	} else {
		word_end(j->word, rule_string_known(j->rules, path, n, text));
	}
	j->key_class = KEY_UNKNOWN;
	j->at = j->in_key ? AT_COLON : AT_AFTER;
}

static void string_end(struct mask_json *j)
{
	char buf[MASK_WORD_MAX];

	if (j->rules) {
		string_end_ruled(j);
		return;
	}
	if (!j->in_key) {
		bool sure = !j->unsure || j->least < 2;

		word_end(j->word, sure || exactly(common_values, word_text(j->word, buf)));
		j->at = AT_AFTER;
		return;
	}
	j->key_class = key_class(word_text(j->word, buf));
	word_end(j->word, j->key_class != KEY_UNKNOWN);
	j->at = AT_COLON;
}

static void string_byte(struct mask_json *j, char *p)
{
	if (*p == '"' && !j->escape) {
		string_end(j);
	} else if ((uint8_t)*p < 0x20) {
		json_reject(j, p);
	} else {
		j->escape = *p == '\\' && !j->escape;
		word_byte(j->word, p);
	}
}

static void open_level(struct mask_json *j, char *p)
{
	bool array = *p == '[';

	if (j->depth == MASK_DEPTH_MAX - 1) {
		json_reject(j, p);
		return;
	}
	j->depth++;
	j->arrays[j->depth / 64] &= ~(1ull << j->depth % 64);
	j->arrays[j->depth / 64] |= (uint64_t)array << j->depth % 64;
	/* "input" is a list of messages as an array, a tool's arguments as an object */
	if (!array && j->key_class == KEY_USER && !j->user)
		j->user = j->depth;
	if (j->key_class == KEY_PROSE && !j->prose)
		j->prose = j->depth;
	j->key_class = KEY_UNKNOWN;
	j->fresh = true;
	j->at = array ? AT_VALUE : AT_KEY;
}

static void close_level(struct mask_json *j, char *p)
{
	if (!j->depth || in_array(j) != (*p == ']')) {
		json_reject(j, p);
		return;
	}
	if (j->user == j->depth)
		j->user = 0;
	if (j->prose == j->depth)
		j->prose = 0;
	j->depth--;
	if (j->least > j->depth)
		j->least = j->depth;
	j->fresh = false;
	j->at = AT_AFTER;
}

static void literal_start(struct mask_json *j, char *p)
{
	static const char *const literals[] = { "true", "false", "null" };

	for (size_t i = 0; i < sizeof(literals) / sizeof(*literals); i++)
		if (*p == *literals[i])
			j->literal = literals[i] + 1;
	/* the end of OpenAI's streams, which is no JSON */
	if (*p == 'D' && j->form == FORM_SSE && j->depth == 1 && in_array(j) && j->fresh)
		j->literal = "ONE";
	if (!j->literal)
		json_reject(j, p);
	else
		j->at = AT_LITERAL;
}

static void value_byte(struct mask_json *j, char *p)
{
	j->literal = NULL;
	if (*p == '"')
		string_start(j, false);
	else if (*p == '{' || *p == '[')
		open_level(j, p);
	else if (*p == ']' && j->fresh && in_array(j))
		close_level(j, p);
	else if (j->depth && (*p == '-' || isdigit((uint8_t)*p)))
		j->at = AT_NUMBER; /* a bare number at the top is no API's */
	else
		literal_start(j, p);
	if (j->at != AT_VALUE && j->at != AT_KEY)
		j->fresh = false;
}

static void after_byte(struct mask_json *j, char *p)
{
	if (!j->depth) {
		j->key_class = KEY_UNKNOWN;
		j->at = AT_VALUE;
		value_byte(j, p);
	} else if (*p == ',') {
		j->key_class = KEY_UNKNOWN;
		j->at = in_array(j) ? AT_VALUE : AT_KEY;
	} else if (*p == '}' || *p == ']') {
		close_level(j, p);
	} else {
		json_reject(j, p);
	}
}

static void key_byte(struct mask_json *j, char *p)
{
	if (*p == '"')
		string_start(j, true);
	else if (*p == '}' && j->fresh)
		close_level(j, p);
	else
		json_reject(j, p);
	j->fresh = false;
}

static void json_byte(struct mask_json *j, char *p)
{
	if (j->at == AT_LITERAL) {
		if (*p && *j->literal == *p) {
			j->literal++;
			return;
		}
		if (*j->literal) {
			json_reject(j, p);
			return;
		}
		j->at = AT_AFTER;
	}
	if (j->at == AT_NUMBER) {
		if (isdigit((uint8_t)*p) || (*p && strchr("+-.eE", *p)))
			return;
		j->at = AT_AFTER;
	}
	if (j->at == AT_STRING)
		string_byte(j, p);
	else if (j->at == AT_BAD)
		bad_byte(j, p);
	else if (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		return;
	else if (j->at == AT_VALUE)
		value_byte(j, p);
	else if (j->at == AT_AFTER)
		after_byte(j, p);
	else if (j->at == AT_KEY)
		key_byte(j, p);
	else if (*p == ':')
		j->at = AT_VALUE;
	else
		json_reject(j, p);
}

/* ===== Lines of an event stream ===== */

static void field_start(struct mask_json *j)
{
	j->line = LINE_FIELD;
	word_start(j->word, j->key, WORD_TRY);
}

static void data_start(struct mask_json *j)
{
	j->line = LINE_DATA;
	if (j->at == AT_BAD)
		word_start(j->word, j->key, WORD_MASK);
}

/* The field's name is complete. An empty one starts a comment. */
static void field_end(struct mask_json *j)
{
	char buf[MASK_WORD_MAX];
	struct bytes name = word_text(j->word, buf);
	bool data = bytes_equal(name, "data"), id = bytes_equal(name, "id");
	bool word = bytes_equal(name, "event") || bytes_equal(name, "retry");

	word_end(j->word, data || id || word);
	j->line = word ? LINE_WORD : LINE_MASK;
	j->space = true;
	j->has_data |= data;
	if (data)
		data_start(j);
	else
		word_start(j->word, j->key, word && !j->foreign ? WORD_TRY : WORD_MASK);
}

static void line_end(struct mask_json *j)
{
	bool blank = j->line == LINE_FIELD && j->word->open && j->word->n == 0;

	if (j->line == LINE_DATA && j->at == AT_STRING)
		j->at = AT_BAD; /* a string cannot span lines */
	word_end(j->word, j->line == LINE_WORD);
	if (blank) {
		json_restart(j);
		j->has_data = false;
	}
	field_start(j);
}

static void line_byte(struct mask_json *j, char *p)
{
	bool space = j->space;

	j->space = false;
	if (j->line == LINE_FIELD && *p == ':')
		field_end(j);
	else if (*p == ' ' && space)
		return;
	else if (j->line == LINE_DATA)
		json_byte(j, p);
	else
		word_byte(j->word, p);
}

/* Gemini's errors come without "data: ", and run over the ends of lines. */
static bool raw_starts(const struct mask_json *j, char c)
{
	return c == '{' && j->line == LINE_FIELD && j->word->open && !j->word->n && !j->has_data;
}

/* False: the document is over, the byte is the line's. */
static bool raw_byte(struct mask_json *j, char *p)
{
	if (j->at == AT_BAD || (j->at == AT_AFTER && !j->depth)) {
		word_start(j->word, j->key, WORD_MASK);
		j->line = LINE_MASK;
		return false;
	}
	if (j->at == AT_STRING && (*p == '\n' || *p == '\r')) {
		json_bad(j);
		return raw_byte(j, p);
	}
	json_byte(j, p);
	return true;
}

static void sse_byte(struct mask_json *j, char *p)
{
	bool after_cr = j->cr;

	if (raw_starts(j, *p)) {
		json_restart(j);
		j->line = LINE_RAW;
	}
	if (j->line == LINE_RAW && raw_byte(j, p))
		return;

	j->cr = *p == '\r';
	if (*p == '\n' && after_cr)
		return;
	if (*p == '\n' || *p == '\r')
		line_end(j);
	else
		line_byte(j, p);
}

/* ===== All forms ===== */

static void text_byte(struct mask_json *j, char *p)
{
	if (isalnum((uint8_t)*p) || (uint8_t)*p >= 0x80)
		word_byte(j->word, p);
}

static void form_byte(struct mask_json *j, char *p)
{
	switch (j->form) {
	case FORM_LINES:
		if (*p == '\n') {
			word_end(j->word, false);
			json_restart(j);
			j->after_gap = false;
			break;
		}
		if (j->after_gap && *p != '{')
			json_reject(j, p);
		else
			json_byte(j, p);
		j->after_gap = false;
		break;
	case FORM_JSON:
		json_byte(j, p);
		break;
	case FORM_SSE:
		sse_byte(j, p);
		break;
	case FORM_TEXT:
		text_byte(j, p);
		break;
	case FORM_BINARY:
	case FORM_XML: /* not of this file */
	case FORM_FRAMES:
		*p = 0;
		break;
	}
}

void mask_json_start(struct mask_json *j, const uint8_t *key, struct mask_word *word,
                     enum mask_form form)
{
	*j = (struct mask_json){ .key = key, .word = word, .form = form };
	word_start(word, key, WORD_MASK);
	json_restart(j);
	if (form == FORM_SSE)
		field_start(j);
}

void mask_json_feed(struct mask_json *j, char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		form_byte(j, p + i);
}

/* Where a line begins reading can begin anew: what a gap left of a line is no field and no document, for in a string no
 * quote stands without a backslash. Of a document without lines the end may still tell something. */
void mask_json_gap(struct mask_json *j)
{
	j->rules = 0; /* where in the document what follows stands is not known */
	word_break(j->word);
	j->cr = j->space = j->has_data = false;
	if (j->form == FORM_TEXT || j->form == FORM_BINARY)
		return;
	if (j->form == FORM_JSON) {
		json_bad(j);
		j->unsure = j->tailing = !j->foreign;
		return;
	}
	json_restart(j);
	j->after_gap = j->form == FORM_LINES;
	if (j->form == FORM_SSE)
		field_start(j);
}

/* Containers the tail may begin in, as in llm/tail.c. */
#define OPEN_MAX 3

/* Reads the end of a document as llm/tail.c does: what stands before the first member or element certain is masked. */
static void tail_read(struct mask_json *j)
{
	size_t n = j->word->ntail < TAIL_MAX ? j->word->ntail : TAIL_MAX;
	char **at = j->word->tail + (j->word->ntail - n), open[OPEN_MAX];
	char *text = malloc(n);
	long start;

	for (size_t i = 0; text && i < n; i++)
		text[i] = *at[i];
	start = text ? json_tail((struct bytes){ text, n }, open, OPEN_MAX, &j->least) : -1;
	free(text);
	if (start < 0)
		return;
	/* the comma in front shows where to begin */
	j->word->ntail -= n - (size_t)start + (start > 0);
	word_break(j->word);
	json_restart(j);
	for (unsigned d = 0; d < j->least; d++)
		j->arrays[0] |= (uint64_t)(open[d] == '[') << (d + 1);
	j->depth = j->least;
	j->at = j->depth && !in_array(j) ? AT_KEY : AT_VALUE;
	for (size_t i = (size_t)start; i < n; i++)
		json_byte(j, at[i]);
}

void mask_json_end(struct mask_json *j, bool complete)
{
	bool tail = j->tailing && complete && j->word->ntail;

	j->tailing = false;
	if (tail)
		tail_read(j);
	word_end(j->word, false);
	word_break(j->word);
}

/* As llm/reply.c: the type declares, the first byte decides. */
enum mask_form mask_form_of(struct bytes type, char first, bool foreign)
{
	const struct {
		const char *part;
		enum mask_form form;
	} forms[] = {
		{ "amazon.eventstream", foreign ? FORM_BINARY : FORM_FRAMES },
		{ "event-stream", FORM_SSE },
		{ "ndjson", FORM_LINES },
		{ "jsonl", FORM_LINES },
		{ "stream+json", FORM_LINES },
		{ "octet-stream", FORM_BINARY },
	};
	enum mask_form declared = FORM_TEXT;

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms) && declared == FORM_TEXT; i++)
		if (memmem(type.p, type.n, forms[i].part, strlen(forms[i].part)))
			declared = forms[i].form;
	if (declared == FORM_BINARY || declared == FORM_FRAMES)
		return declared;
	if (first == '<' && foreign)
		return FORM_XML;
	if (first == '{' || first == '[')
		return declared == FORM_LINES ? FORM_LINES : FORM_JSON;
	return declared == FORM_SSE || (first && strchr(":dei", first)) ? FORM_SSE : FORM_TEXT;
}
