/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies of LLM exchanges: paths, conversations, counters, streams, errors, cuts and gaps. */
#include "test.h"

#include "llm/llm.h"

#define POST "POST"

/* One exchange. Reply bytes at offset i have ts 1000 + i. */
struct exchange {
	const char *path, *host, *request, *type, *reply;
	int status;
};

static struct call *call;
static struct llm *llm;

static void feed_request(const char *body, size_t from, size_t to, size_t step)
{
	for (size_t i = from; i < to; i += step) {
		size_t n = to - i < step ? to - i : step;
		char *p = guarded(body + i, n);

		llm_request_body(llm, (struct bytes){ p, n });
		guarded_free(p, n);
	}
}

static void feed_reply(const char *body, size_t from, size_t to, size_t step)
{
	for (size_t i = from; i < to; i += step) {
		size_t n = to - i < step ? to - i : step;
		char *p = guarded(body + i, n);

		llm_response_body(llm, (struct bytes){ p, n }, 1000 + i + n - 1);
		guarded_free(p, n);
	}
}

static void end(void)
{
	llm_free(llm);
	call_free(call);
	llm = NULL;
	call = NULL;
}

static bool begin(const struct exchange *e)
{
	if (call)
		end();
	call = call_new();
	llm = llm_new(call, bytes_of(POST), bytes_of(e->path), bytes_of(e->host));
	return llm != NULL;
}

static void head(const struct exchange *e)
{
	int status = e->status ? e->status : 200;

	call->http_status = status;
	call->status = status == 429 ? CALL_RATE_LIMITED : status < 400 ? CALL_OK : CALL_ERROR;
	llm_response_head(llm, status, bytes_of(e->type));
}

#define WHOLE ((size_t)1 << 30)

/* The whole exchange, the reply split once and in steps. False: not an LLM call. */
static bool run(const struct exchange *e, size_t split, size_t step)
{
	size_t n = strlen(e->request);

	if (!begin(e))
		return false;
	feed_request(e->request, 0, n < split ? n : split, step);
	feed_request(e->request, n < split ? n : split, n, step);
	if (!llm_request_end(llm))
		return false;
	head(e);
	n = strlen(e->reply);
	feed_reply(e->reply, 0, n < split ? n : split, step);
	feed_reply(e->reply, n < split ? n : split, n, step);
	llm_response_end(llm, true);
	return true;
}

/* What must come out, whatever the split. first: offset of the byte that completes the first
 * content, 0 none. */
struct want {
	const char *model;
	int64_t in, out, cached, reasoning;
	size_t first;
	bool finished;
	enum call_status status;
	const char *kind;
};

static bool matches(const struct want *w)
{
	const struct llm_call *l = call->llm;
	const struct llm_tokens *t = &l->tokens;

	return strcmp(l->model, w->model) == 0 && t->in == w->in && t->out == w->out &&
	       t->cached == w->cached && t->reasoning == w->reasoning &&
	       l->finished == w->finished && call->status == w->status &&
	       strcmp(call->error_kind, w->kind ? w->kind : "") == 0;
}

static void show(void)
{
	const struct llm_call *l = call->llm;

	printf("# got: %s in %ld out %ld cached %ld reasoning %ld first %ld last %ld finished %d "
	       "status %s kind %s\n",
	       l->model, (long)l->tokens.in, (long)l->tokens.out, (long)l->tokens.cached,
	       (long)l->tokens.reasoning, (long)l->first_content_ns, (long)l->last_content_ns,
	       l->finished, call_status_name(call->status), call->error_kind);
}

/* Fed whole, at every split, byte by byte. */
static bool gives(const struct exchange *e, const struct want *w)
{
	size_t n = strlen(e->request), m = strlen(e->reply), most = n > m ? n : m;
	bool ok = true;

	for (size_t split = 0; split <= most && ok; split++)
		ok = run(e, split, WHOLE) && matches(w);
	ok = ok && run(e, 0, 1) && matches(w) &&
	     call->llm->first_content_ns == (w->first ? 1000 + w->first : 0);
	if (!ok && call && call->llm)
		show();
	return ok;
}

static size_t offset_of(const char *s, const char *part)
{
	const char *at = strstr(s, part);

	return at ? (size_t)(at - s) + strlen(part) - 1 : 0;
}

#define CHAT "/v1/chat/completions"
#define CHAT_REQUEST "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"model\":\"gpt-4o\"}"

static bool is_kind(const char *method, const char *path, const char *host, enum llm_kind kind,
                    const char *provider)
{
	struct call *c = call_new();
	struct llm *l = llm_new(c, bytes_of(method), bytes_of(path), bytes_of(host));
	bool ok = kind == LLM_NONE
	                  ? !l && !c->llm
	                  : l && c->llm->kind == kind && strcmp(c->llm->provider, provider) == 0;

	if (!ok)
		printf("# %s %s\n", host, path);
	llm_free(l);
	call_free(c);
	return ok;
}

static void test_paths(void)
{
	static const struct {
		const char *path, *host;
		enum llm_kind kind;
		const char *provider;
	} t[] = {
		{ "/v1/chat/completions", "api.openai.com", LLM_CHAT, "openai" },
		{ "/v1/chat/completions", "localhost:8000", LLM_CHAT, "openai" },
		{ "/openai/v1/chat/completions", "api.groq.com", LLM_CHAT, "groq" },
		{ "/api/v1/chat/completions", "openrouter.ai:443", LLM_CHAT, "openrouter" },
		{ "/openai/deployments/d/chat/completions?api-version=1", "r.openai.azure.com",
		  LLM_CHAT, "azure" },
		{ "/v1/completions", "", LLM_CHAT, "openai" },
		{ "/v1/responses", "api.openai.com", LLM_CHAT, "openai" },
		{ "/v1/embeddings", "API.OpenAI.com.", LLM_EMBEDDING, "openai" },
		{ "/v1/messages?beta=true", "api.anthropic.com", LLM_CHAT, "anthropic" },
		{ "/v1/messages/count_tokens", "proxy", LLM_AUXILIARY, "anthropic" },
		{ "/v1beta/models/g:generateContent", "generativelanguage.googleapis.com", LLM_CHAT,
		  "gemini" },
		{ "/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent",
		  "us-central1-aiplatform.googleapis.com", LLM_CHAT, "vertex" },
		{ "/v1beta/models/g:streamGenerateContent?alt=sse", "", LLM_CHAT, "gemini" },
		{ "/v1beta/models/e:embedContent", "", LLM_EMBEDDING, "gemini" },
		{ "/v1beta/models/g:countTokens", "", LLM_AUXILIARY, "gemini" },
		{ "/api/chat", "localhost:11434", LLM_CHAT, "ollama" },
		{ "/api/generate", "localhost:11434", LLM_CHAT, "ollama" },
		{ "/api/embed", "", LLM_EMBEDDING, "ollama" },
		{ "/api/embeddings", "", LLM_EMBEDDING, "ollama" },
		{ "/model/a%3A0/converse", "bedrock-runtime.us-east-1.amazonaws.com", LLM_CHAT,
		  "bedrock" },
		{ "/v2/chat", "api.cohere.com", LLM_CHAT, "cohere" },
		{ "http://proxy/v1/chat/completions", "", LLM_CHAT, "openai" },
		{ "/v1/chat/completions/", "", LLM_CHAT, "openai" },
		{ "/v1/files", "api.openai.com", LLM_AUXILIARY, "openai" },
		{ "/v1/files", "example.com", LLM_NONE, NULL },
		{ "/x/", "", LLM_NONE, NULL },
		{ "", "", LLM_NONE, NULL },
		{ "/converse", "", LLM_NONE, NULL },
		{ "/chat/completions", "api.deepseek.com", LLM_CHAT, "deepseek" },
		{ "/v1/chat/completions", "evilapi.openai.com.example.org", LLM_CHAT, "openai" },
	};

	TEST("a path's end tells the kind of exchange, the host or else the API the provider");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		CHECK(is_kind(POST, t[i].path, t[i].host, t[i].kind, t[i].provider));
	TEST("what is fetched is auxiliary on a provider's host and nothing elsewhere");
	CHECK(is_kind("GET", "/v1/models", "api.openai.com", LLM_AUXILIARY, "openai"));
	CHECK(is_kind("GET", "/v1/responses/r", "api.openai.com", LLM_AUXILIARY, "openai"));
	CHECK(is_kind("GET", "/v1/chat/completions", "localhost", LLM_NONE, NULL));
	TEST("a host that only looks like a provider's is none");
	CHECK(llm_provider_of_host(bytes_of("api.openai.com.example.org")) == NULL);
	CHECK(llm_provider_of_host(bytes_of("notapi.openai.com")) == NULL);
	CHECK(llm_provider_of_host(bytes_of("")) == NULL);
	CHECK(llm_provider_of_host((struct bytes){ "api.openai.com\0x", 16 }) == NULL);
}

/* Model, stream and kind of a request. */
static bool request(const char *path, const char *body)
{
	struct exchange e = { path, "", body };

	begin(&e);
	feed_request(body, 0, strlen(body), 1);
	return llm_request_end(llm);
}

static void test_model(void)
{
	TEST("the model is in the body, or in the path");
	CHECK(request(CHAT, CHAT_REQUEST) && strcmp(call->llm->model, "gpt-4o") == 0);
	CHECK(request("/v1beta/models/gemini-2.5-pro:generateContent", "{\"contents\":[]}") &&
	      strcmp(call->llm->model, "gemini-2.5-pro") == 0);
	CHECK(request("/openai/deployments/mine/chat/completions?api-version=1",
	              "{\"messages\":[]}") &&
	      strcmp(call->llm->model, "mine") == 0);
	CHECK(request("/model/anthropic.claude%3A0/converse", "{\"messages\":[]}") &&
	      strcmp(call->llm->model, "anthropic.claude:0") == 0);
	TEST("a model that is no name is left out");
	CHECK(request(CHAT, "{\"messages\":[],\"model\":\"a\\nb\"}") &&
	      call->llm->model[0] == '\0');
	TEST("streaming is what the body asks for, and Ollama's default");
	CHECK(request(CHAT, CHAT_REQUEST) && !call->llm->streamed);
	CHECK(request(CHAT, "{\"stream\":true,\"messages\":[]}") && call->llm->streamed);
	CHECK(request("/api/chat", "{\"messages\":[]}") && call->llm->streamed);
	CHECK(request("/api/chat", "{\"messages\":[],\"stream\":false}") && !call->llm->streamed);
	CHECK(request("/v1beta/models/g:streamGenerateContent", "{\"contents\":[]}") &&
	      call->llm->streamed);
}

static void test_body_decides(void)
{
	TEST("a chat path with no conversation in the body is no LLM call");
	CHECK(!request(CHAT, "{\"query\":\"x\"}") && !call->llm);
	CHECK(!request("/v1/responses", "{}"));
	CHECK(!request("/api/generate", "{}"));
	TEST("what is no JSON is no LLM call");
	CHECK(!request(CHAT, "a=b"));
	CHECK(!request(CHAT, ""));
	CHECK(!request("/v1/embeddings", "--boundary"));
	CHECK(!request("/v1/embeddings", "7 "));
	TEST("a body cut by a gap is given the benefit of the doubt");
	CHECK(begin(&(struct exchange){ CHAT, "" }));
	llm_request_gap(llm, 10);
	CHECK(llm_request_end(llm) && call->llm && !call->llm->history.complete);
	TEST("Ollama asked to load a model is auxiliary");
	CHECK(request("/api/generate", "{\"model\":\"llama3\"}") &&
	      call->llm->kind == LLM_AUXILIARY);
}

/* The roles of a request's history: s u a t, '-' unknown. */
static const char *roles(const char *path, const char *body)
{
	static char out[32];
	uint32_t i;

	if (!request(path, body))
		return "";
	for (i = 0; i < call->llm->history.n && i < sizeof(out) - 1; i++)
		out[i] = "-suat"[call->llm->history.messages[i].role];
	out[i] = '\0';
	return out;
}

#define SAYS(path, body, want, last)                                               \
	(strcmp(roles(path, body), want) == 0 && call->llm->last_role == (last) && \
	 call->llm->history.complete)

static void test_roles(void)
{
	TEST("each message has its role");
	CHECK(SAYS(CHAT,
	           "{\"messages\":[{\"role\":\"developer\",\"content\":\"x\"},{\"role\":\"user\"},"
	           "{\"role\":\"assistant\"},{\"role\":\"tool\",\"content\":\"y\"}]}",
	           "suat", LLM_ROLE_TOOL));
	TEST("the last role is not the system's");
	CHECK(SAYS(CHAT, "{\"messages\":[{\"role\":\"user\"},{\"role\":\"system\"}]}", "us",
	           LLM_ROLE_USER));
	TEST("an unknown role is unknown");
	CHECK(SAYS(CHAT, "{\"messages\":[{\"role\":\"wizard\"}]}", "-", LLM_ROLE_NONE));
	TEST("instructions beside the list are no messages");
	CHECK(SAYS(
		"/v1/messages",
		"{\"system\":[{\"type\":\"text\",\"text\":\"x\"}],\"messages\":[{\"role\":\"user\","
		"\"content\":\"x\"}],\"tools\":[{\"name\":\"t\"}]}",
		"u", LLM_ROLE_USER));
	TEST("a user's message that holds a tool's result is the tool's");
	CHECK(SAYS("/v1/messages",
	           "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
	           "\"content\":[{\"type\":\"text\",\"text\":\"1\"}]}]}]}",
	           "t", LLM_ROLE_TOOL));
	CHECK(SAYS("/v1beta/models/g:generateContent",
	           "{\"contents\":[{\"parts\":[{\"text\":\"x\"}],\"role\":\"user\"},{\"role\":"
	           "\"model\","
	           "\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]},{\"role\":\"user\",\"parts\":"
	           "[{\"functionResponse\":{\"name\":\"f\"}}]}]}",
	           "uat", LLM_ROLE_TOOL));
	CHECK(SAYS("/model/m/converse",
	           "{\"messages\":[{\"role\":\"user\",\"content\":[{\"toolResult\":{}}]}]}", "t",
	           LLM_ROLE_TOOL));
	TEST("an assistant's message that names tool results stays the assistant's");
	CHECK(SAYS("/v1/messages",
	           "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":"
	           "\"web_search_tool_result\"}]}]}",
	           "a", LLM_ROLE_ASSISTANT));
	TEST("Gemini's only turn needs no role and no list");
	CHECK(SAYS("/v1beta/models/g:generateContent", "{\"contents\":[{\"parts\":[]}]}", "u",
	           LLM_ROLE_USER));
	CHECK(SAYS("/v1beta/models/g:generateContent",
	           "{\"systemInstruction\":{\"parts\":[]},\"contents\":{\"parts\":[]}}", "u",
	           LLM_ROLE_USER));
	TEST("items of a Responses request have types for roles");
	CHECK(SAYS("/v1/responses",
	           "{\"instructions\":\"x\",\"input\":[{\"role\":\"user\",\"content\":\"x\"},{"
	           "\"type\":"
	           "\"reasoning\"},{\"type\":\"function_call\",\"arguments\":\"{}\"},{\"type\":"
	           "\"function_call_output\",\"output\":\"1\"}]}",
	           "uaat", LLM_ROLE_TOOL));
	TEST("a prompt is one message of the user");
	CHECK(SAYS("/v1/responses", "{\"input\":\"x\"}", "u", LLM_ROLE_USER));
	CHECK(SAYS("/v1/completions", "{\"prompt\":[\"a\",\"b\"]}", "u", LLM_ROLE_USER));
	CHECK(SAYS("/v1/completions", "{\"prompt\":[1,2]}", "u", LLM_ROLE_USER));
	CHECK(SAYS("/api/generate", "{\"model\":\"m\",\"prompt\":\"x\",\"system\":\"y\"}", "u",
	           LLM_ROLE_USER));
	TEST("what is embedded is no conversation");
	CHECK(SAYS("/v1/embeddings", "{\"input\":[\"a\",\"b\"]}", "", LLM_ROLE_NONE));
}

static uint64_t hash_of(const char *path, const char *body)
{
	if (!request(path, body) || call->llm->history.n != 1)
		return 1;
	return call->llm->history.messages[0].hash;
}

#define MESSAGE(rest) "{\"messages\":[{\"role\":\"user\"," rest "}]}"

static void test_hashes(void)
{
	uint64_t abc = hash_of(CHAT, MESSAGE("\"content\":\"abc\""));

	TEST("a text hashes the same as a string, as a part, and escaped");
	CHECK(abc != 0 && abc != 1);
	CHECK(abc == hash_of(CHAT, MESSAGE("\"content\":[{\"type\":\"text\",\"text\":\"abc\"}]")));
	CHECK(abc == hash_of(CHAT, MESSAGE("\"content\":\"\\u0061bc\"")));
	TEST("names, ids, roles and cache marks do not change it");
	CHECK(abc == hash_of(CHAT, MESSAGE("\"id\":\"x\",\"name\":\"n\",\"content\":\"abc\"")));
	CHECK(abc ==
	      hash_of("/v1/messages",
	              MESSAGE("\"content\":[{\"type\":\"text\",\"text\":\"abc\","
	                      "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"5m\"}}]")));
	CHECK(abc ==
	      hash_of(CHAT, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"abc\"}]}"));
	CHECK(abc == hash_of("/v1/responses", "{\"input\":\"abc\"}"));
	TEST("nothing said is nothing said: null, empty, absent");
	CHECK(hash_of(CHAT, MESSAGE("\"content\":null")) == 0);
	CHECK(hash_of(CHAT, MESSAGE("\"content\":\"\"")) == 0);
	TEST("other words, other images, other arguments hash to something else");
	CHECK(abc != hash_of(CHAT, MESSAGE("\"content\":\"abd\"")));
	CHECK(abc != hash_of(CHAT, MESSAGE("\"content\":[{\"text\":\"ab\"},{\"text\":\"c\"}]")));
	CHECK(hash_of("/v1/messages", MESSAGE("\"content\":[{\"source\":{\"data\":\"aaaa\"}}]")) !=
	      hash_of("/v1/messages", MESSAGE("\"content\":[{\"source\":{\"data\":\"aaab\"}}]")));
	CHECK(hash_of("/v1/messages", MESSAGE("\"content\":[{\"input\":{\"x\":1}}]")) !=
	      hash_of("/v1/messages", MESSAGE("\"content\":[{\"input\":{\"x\":2}}]")));
}

static void test_history_limit(void)
{
	size_t room = (LLM_HISTORY_MAX + 10) * 48 + 64, n;
	char *body = malloc(room);

	TEST("of a very long conversation the newest messages are kept and the others counted");
	n = (size_t)sprintf(body, "{\"messages\":[");
	for (int i = 0; i < LLM_HISTORY_MAX + 10; i++)
		n += (size_t)snprintf(body + n, room - n, "%s{\"role\":\"%s\",\"content\":\"%d\"}",
		                      i ? "," : "", i % 2 ? "assistant" : "user", i);
	snprintf(body + n, room - n, "]}");
	CHECK(request(CHAT, body));
	CHECK(call->llm->history.n == LLM_HISTORY_MAX && call->llm->history.dropped == 10);
	CHECK(call->llm->history.messages[0].role == LLM_ROLE_USER);
	n = strlen(body);
	{
		uint64_t first = call->llm->history.messages[0].hash,
			 last = call->llm->history.messages[LLM_HISTORY_MAX - 1].hash;

		CHECK(first == hash_of(CHAT, MESSAGE("\"content\":\"10\"")));
		CHECK(last == hash_of(CHAT, MESSAGE("\"content\":\"1033\"")));
	}
	free(body);
}

static void test_request_gaps(void)
{
	static const char body[] =
		"{\"messages\":[{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\","
		"\"content\":\"two, \\\"role\\\":\\\"tool\\\"}],\"},{\"role\":\"user\",\"content\":"
		"\"three\"}],\"model\":\"gpt-4o\",\"tools\":[{\"type\":\"function\",\"function\":"
		"{\"name\":\"f\"}}]}";
	size_t n = strlen(body),
	       last = (size_t)(strstr(body, "{\"role\":\"user\",\"content\":\"three") - body);
	struct exchange e = { CHAT, "", body };
	bool sound = true, prefix = true, found = true;

	TEST("with a gap anywhere nothing wrong is said of a request");
	for (size_t at = 0; at < n; at++)
		for (size_t len = 1; len < n - at; len = len * 3 + 1) {
			const struct llm_history *h;

			begin(&e);
			feed_request(body, 0, at, WHOLE);
			llm_request_gap(llm, len);
			feed_request(body, at + len, n, WHOLE);
			sound = sound && llm_request_end(llm);
			h = &call->llm->history;
			sound = sound && !h->complete && h->n <= 3 &&
			        (call->llm->last_role == LLM_ROLE_USER ||
			         call->llm->last_role == LLM_ROLE_NONE ||
			         (at + len > last && at < last)) &&
			        (!call->llm->model[0] || strcmp(call->llm->model, "gpt-4o") == 0);
			for (uint32_t i = 0; i < h->n; i++)
				prefix = prefix && h->messages[i].role == "\2\3\2"[i];
			if (at > 12 && at + len < last - 1)
				found = found && call->llm->last_role == LLM_ROLE_USER &&
				        call->llm->model[0];
		}
	CHECK(sound);
	TEST("the messages before the gap stay");
	CHECK(prefix);
	TEST("the last role and the model behind the gap are found");
	CHECK(found);
}

/* ---- replies ---- */

#define CHAT_STREAM                                                                              \
	"data: "                                                                                 \
	"{\"id\":\"1\",\"model\":\"gpt-4o-2024\",\"choices\":[{\"index\":0,\"delta\":{\"role\":" \
	"\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n"           \
	"data: {\"choices\":[{\"delta\":{\"content\":\"He\"}}],\"usage\":null}\n\n"              \
	"data: {\"choices\":[{\"delta\":{\"content\":\"llo\"}}]}\n\n"                            \
	"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"                    \
	"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,"         \
	"\"total_tokens\":21,\"prompt_tokens_details\":{\"cached_tokens\":4},"                   \
	"\"completion_tokens_details\":{\"reasoning_tokens\":3}}}\n\n"                           \
	"data: [DONE]\n\n"

#define ANTHROPIC_STREAM                                                                           \
	"event: message_start\ndata: "                                                             \
	"{\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\","                         \
	"\"role\":\"assistant\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":"  \
	"10,"                                                                                      \
	"\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":300,\"output_tokens\":1}}" \
	"}\n\n"                                                                                    \
	"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"         \
	"\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"                                 \
	"event: ping\ndata: {\"type\": \"ping\"}\n\n"                                              \
	"event: content_block_delta\ndata: "                                                       \
	"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":"                                 \
	"{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n"                                           \
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"      \
	"\"end_turn\"},\"usage\":{\"output_tokens\":42}}\n\n"                                      \
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

#define OLLAMA_STREAM                                                                             \
	"{\"model\":\"llama3\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":"   \
	"false}\n"                                                                                \
	"{\"model\":\"llama3\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":" \
	"false}\n"                                                                                \
	"{\"model\":\"llama3\",\"message\":{\"content\":\"\"},\"done_reason\":\"stop\",\"done\":" \
	"true,"                                                                                   \
	"\"prompt_eval_count\":26,\"eval_count\":7}\n"

#define GEMINI_ARRAY                                                                               \
	"[{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"H\"}],\"role\": "              \
	"\"model\"}}],\n"                                                                          \
	"\"usageMetadata\": {\"promptTokenCount\": 8,\"totalTokenCount\": 8},\"modelVersion\": "   \
	"\"g-2\"}\n"                                                                               \
	",\r\n{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"i\"}]},\"finishReason\": " \
	"\"STOP\"}],"                                                                              \
	"\"usageMetadata\": {\"promptTokenCount\": 8,\"candidatesTokenCount\": 2,"                 \
	"\"thoughtsTokenCount\": 30,\"cachedContentTokenCount\": 5,\"totalTokenCount\": 40}}]"

#define RESPONSES_STREAM                                                                     \
	"event: response.created\ndata: "                                                    \
	"{\"type\":\"response.created\",\"response\":{\"model\":\"o4\","                     \
	"\"error\":null,\"usage\":null}}\n\n"                                                \
	"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\"," \
	"\"delta\":\"Hi\"}\n\n"                                                              \
	"event: response.completed\ndata: "                                                  \
	"{\"type\":\"response.completed\",\"response\":{\"model\":"                          \
	"\"o4-mini\",\"error\":null,\"usage\":{\"input_tokens\":5,\"input_tokens_details\":" \
	"{\"cached_tokens\":2},\"output_tokens\":7,\"output_tokens_details\":{\"reasoning_"  \
	"tokens\":6},"                                                                       \
	"\"total_tokens\":12}}}\n\n"

#define SSE "text/event-stream; charset=utf-8"
#define JSON "application/json"
#define GEMINI "/v1beta/models/g:streamGenerateContent"
#define GEMINI_REQUEST "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}"
#define MESSAGES_REQUEST \
	"{\"model\":\"claude\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"

static void test_json_replies(void)
{
	TEST("counters, model and end of a reply in one piece, by each API's rules");
	CHECK(gives(
		&(struct exchange){
			CHAT, "", CHAT_REQUEST, JSON,
			"\n\n{\"model\":\"gpt-4o-2024\",\"choices\":[{\"message\":{\"content\":"
			"\"the \\\"usage\\\":{\\\"prompt_tokens\\\":999}\"}}],\"usage\":"
			"{\"prompt_tokens\":9,\"completion_tokens\":12}}" },
		&(struct want){ "gpt-4o-2024", 9, 12, -1, -1, 2, true }));
	CHECK(gives(
		&(struct exchange){
			"/v1/messages", "", MESSAGES_REQUEST, JSON,
			" {\"model\":\"claude-x\",\"usage\":{\"input_tokens\":10,"
			"\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":"
			"300,\"output_tokens\":5}}" },
		&(struct want){ "claude-x", 330, 5, 300, -1, 1, true }));
	CHECK(gives(&(struct exchange){ "/api/chat", "", "{\"stream\":false,\"messages\":[]}", JSON,
	                                " {\"model\":\"llama3\",\"done\":true,\"eval_count\":7}" },
	            &(struct want){ "llama3", -1, 7, -1, -1, 1, true }));
	CHECK(gives(
		&(struct exchange){
			"/v1/embeddings", "", "{\"input\":\"x\",\"model\":\"e\"}", JSON,
			" {\"data\":[{\"embedding\":[0.1,-2e-3]}],\"usage\":{\"prompt_tokens\":8,"
			"\"total_tokens\":8}}" },
		&(struct want){ "e", 8, -1, -1, -1, 1, true }));
	CHECK(gives(
		&(struct exchange){ "/model/m/converse", "", "{\"messages\":[]}", JSON,
	                            " {\"usage\":{\"inputTokens\":3,\"outputTokens\":4,"
	                            "\"cacheReadInputTokens\":10},\"stopReason\":\"end_turn\"}" },
		&(struct want){ "m", 13, 4, 10, -1, 1, true }));
	CHECK(gives(
		&(struct exchange){
			"/v2/chat", "api.cohere.com", "{\"messages\":[]}", JSON,
			" {\"usage\":{\"billed_units\":{\"input_tokens\":1.0},\"tokens\":"
			"{\"input_tokens\":5.0,\"output_tokens\":6.0}}}" },
		&(struct want){ "", 5, 6, -1, -1, 1, true }));
	TEST("counters beside OpenAI's own do not add to what has them already");
	CHECK(gives(
		&(struct exchange){ CHAT, "", CHAT_REQUEST, JSON,
	                            " {\"usage\":{\"prompt_tokens\":330,\"completion_tokens\":5,"
	                            "\"cache_read_input_tokens\":300}}" },
		&(struct want){ "gpt-4o", 330, 5, 300, -1, 1, true }));
	TEST("reasoning is added to the output only where the total proves it was left out");
	CHECK(gives(&(struct exchange){ CHAT, "", CHAT_REQUEST, JSON,
	                                " {\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,"
	                                "\"total_tokens\":35,\"completion_tokens_details\":"
	                                "{\"reasoning_tokens\":20}}}" },
	            &(struct want){ "gpt-4o", 10, 25, -1, 20, 1, true }));
	TEST("a count of tokens is an answer, not usage");
	CHECK(gives(&(struct exchange){ "/v1/messages/count_tokens", "", MESSAGES_REQUEST, JSON,
	                                " {\"input_tokens\":2095}" },
	            &(struct want){ "claude", -1, -1, -1, -1, 1, true }));
	TEST("usage that is absent, null or no number stays unknown");
	CHECK(gives(&(struct exchange){ CHAT, "", CHAT_REQUEST, JSON,
	                                " {\"usage\":null,\"eval_count\":-1,\"x\":{\"usage\":"
	                                "{\"prompt_tokens\":1}}}" },
	            &(struct want){ "gpt-4o", -1, -1, -1, -1, 1, true }));
	TEST("a reply that is no JSON is not finished and tells nothing");
	CHECK(gives(&(struct exchange){ CHAT, "", CHAT_REQUEST, "text/html", "<html>{}</html>" },
	            &(struct want){ "gpt-4o", -1, -1, -1, -1, 0, false }));
}

static const struct exchange chat_stream = { CHAT, "", CHAT_REQUEST, SSE, CHAT_STREAM };
static const struct exchange anthropic_stream = { "/v1/messages", "", MESSAGES_REQUEST, SSE,
	                                          ANTHROPIC_STREAM };
static const struct exchange ollama_stream = { "/api/chat", "",
	                                       "{\"model\":\"llama3\",\"messages\":[]}",
	                                       "application/x-ndjson", OLLAMA_STREAM };
static const struct exchange gemini_array = { GEMINI, "", GEMINI_REQUEST, JSON, GEMINI_ARRAY };
static const struct exchange responses_stream = { "/v1/responses", "", "{\"input\":\"x\"}", SSE,
	                                          RESPONSES_STREAM };

static struct want wants(const char *model, int64_t in, int64_t out, int64_t cached,
                         int64_t reasoning, size_t first)
{
	return (struct want){ model, in, out, cached, reasoning, first, true };
}

static void test_streams(void)
{
	struct want chat = wants("gpt-4o-2024", 9, 12, 4, 3,
	                         offset_of(CHAT_STREAM, "\"He\"}}],\"usage\":null}"));
	struct want anthropic =
		wants("claude-x", 330, 42, 300, -1, offset_of(ANTHROPIC_STREAM, "\"Hi\"}}"));
	struct want ollama = wants("llama3", 26, 7, -1, -1,
	                           offset_of(OLLAMA_STREAM, "\"Hi\"},\"done\":false}\n"));
	struct want gemini = wants("g-2", 8, 32, 5, 30, offset_of(GEMINI_ARRAY, "\"g-2\"}"));
	struct want responses =
		wants("o4-mini", 5, 7, 2, 6, offset_of(RESPONSES_STREAM, "\"Hi\"}"));

	TEST("a stream's first content is neither its role nor its start, ping or empty delta");
	CHECK(gives(&chat_stream, &chat));
	CHECK(gives(&anthropic_stream, &anthropic));
	CHECK(gives(&ollama_stream, &ollama));
	CHECK(gives(&gemini_array, &gemini));
	CHECK(gives(&responses_stream, &responses));
	TEST("the newest content is dated too");
	CHECK(run(&chat_stream, 0, 1) &&
	      call->llm->last_content_ns == 1000 + offset_of(CHAT_STREAM, "\"llo\"}}]}"));
	TEST("a reply that is a stream is streamed, whatever was seen of the request");
	CHECK(call->llm->streamed);
}

/* s with every line feed replaced. */
static const char *with_ends(const char *s, const char *eol)
{
	static char out[8192];
	size_t n = 0;

	for (; *s; s++)
		n += (size_t)sprintf(out + n, "%s", *s == '\n' ? eol : ((char[]){ *s, 0 }));
	return out;
}

static void test_sse(void)
{
	struct exchange e = chat_stream;
	struct want w = { "gpt-4o-2024", 9, 12, 4, 3, 0, true };

	TEST("lines of an event stream end with CR LF, LF or CR");
	e.reply = with_ends(CHAT_STREAM, "\r\n");
	w.first = offset_of(e.reply, "\"He\"}}],\"usage\":null}");
	CHECK(gives(&e, &w));
	e.reply = with_ends(CHAT_STREAM, "\r");
	w.first = offset_of(e.reply, "\"He\"}}],\"usage\":null}");
	CHECK(gives(&e, &w));
	TEST("a byte order mark, comments, unknown fields and blank lines are no content");
	e.reply = "\xef\xbb\xbf: PROCESSING\n\n\nid: 3\nretry: 5\nunknownfield: data: x\nnocolon\n"
		  ":\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";
	CHECK(gives(&e,
	            &(struct want){ "gpt-4o", -1, -1, -1, -1, offset_of(e.reply, "}}]}"), false }));
	TEST("an event's data may come in several lines");
	e.reply = "data: {\"choices\":\ndata: [],\"usage\":{\"prompt_tokens\":1,\n"
		  "data:\"completion_tokens\":2}}\n\n";
	CHECK(gives(&e, &(struct want){ "gpt-4o", 1, 2, -1, -1, 0, false }));
	TEST("the last event needs no blank line, nor a line end");
	e.reply = "data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]";
	CHECK(gives(&e, &(struct want){ "gpt-4o", 1, 2, -1, -1, 0, true }));
	TEST("a stream that was declared as something else is read by its first byte");
	e.type = JSON;
	CHECK(gives(&e, &(struct want){ "gpt-4o", 1, 2, -1, -1, 0, true }));
	e.type = "";
	CHECK(gives(&e, &(struct want){ "gpt-4o", 1, 2, -1, -1, 0, true }));
	TEST("tool calls and reasoning are content");
	e.type = SSE;
	e.reply = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\","
		  "\"arguments\":\"\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{"
		  "\"function\":{\"arguments\":\"{\"}}]}}]}\n\n";
	CHECK(gives(&e, &(struct want){ "gpt-4o", -1, -1, -1, -1,
	                                offset_of(e.reply, "\"{\"}}]}}]}"), false }));
	e.reply = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"m\"}}]}\n\n";
	CHECK(gives(&e,
	            &(struct want){ "gpt-4o", -1, -1, -1, -1, offset_of(e.reply, "}}]}"), false }));
	TEST("cumulative counters are never summed, and a cut Anthropic stream has no output "
	     "count");
	e.reply = "data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n"
		  "data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n"
		  "data: {\"usage\":null}\n\n";
	CHECK(gives(&e, &(struct want){ "gpt-4o", 9, 2, -1, -1, 0, false }));
	e = anthropic_stream;
	e.reply = "data: {\"type\":\"message_start\",\"message\":{\"model\":\"c\",\"usage\":"
		  "{\"input_tokens\":5,\"output_tokens\":1}}}\n\n";
	CHECK(gives(&e, &(struct want){ "c", 5, -1, -1, -1, 0, false }));
}

static void test_errors(void)
{
	static const struct {
		int http;
		const char *type, *body;
		enum call_status status;
		const char *kind;
	} t[] = {
		{ 429, JSON,
		  " {\"error\":{\"message\":\"slow down "
		  "sk-secret\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}",
		  CALL_RATE_LIMITED, "rate_limit_exceeded" },
		{ 429, JSON,
		  " {\"error\":{\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}",
		  CALL_ERROR, "insufficient_quota" },
		{ 400, JSON,
		  " {\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\",\"param\":"
		  "null,\"code\":null}}",
		  CALL_ERROR, "invalid_request_error" },
		{ 529, JSON,
		  " {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
		  "\"Overloaded\"},\"request_id\":\"r\"}",
		  CALL_ERROR, "overloaded_error" },
		{ 429, JSON,
		  " {\"error\":{\"code\":429,\"message\":\"x\",\"status\":\"RESOURCE_EXHAUSTED\"}}",
		  CALL_RATE_LIMITED, "resource_exhausted" },
		{ 400, JSON,
		  "[{\n  \"error\": {\"code\": 400,\"status\": \"INVALID_ARGUMENT\"}\n}\n]",
		  CALL_ERROR, "invalid_argument" },
		{ 400, JSON,
		  " {\"object\":\"error\",\"message\":\"x\",\"type\":\"BadRequestError\",\"code\":"
		  "400}",
		  CALL_ERROR, "badrequesterror" },
		{ 404, JSON, " {\"error\":\"model 'x' not found\"}", CALL_ERROR, "" },
		{ 400, JSON, " {\"error\":{\"type\":\"the prompt was: secret words\"}}", CALL_ERROR,
		  "" },
		{ 502, JSON, " {\"detail\":\"x\"}", CALL_ERROR, "" },
		{ 400, JSON,
		  " {\"error\":{\"code\":\"0123456789012345678901234567890123456789012345678\"}}",
		  CALL_ERROR, "" },
	};
	static const struct {
		const char *body;
		enum call_status status;
		const char *kind;
	} in_stream[] = {
		{ "data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}\n\n", CALL_ERROR,
		  "server_error" },
		{ "event: error\ndata: "
		  "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
		  CALL_ERROR, "overloaded_error" },
		{ "data: "
		  "{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"x\"}\n\n",
		  CALL_RATE_LIMITED, "rate_limit_exceeded" },
		{ "data: "
		  "{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_"
		  "error\",\"message\":\"x\"}}}\n\n",
		  CALL_ERROR, "server_error" },
		{ "data: {\"error\":{\"code\":429,\"message\":\"x\"}}\n\n", CALL_RATE_LIMITED,
		  "http_429" },
		{ "data: {\"choices\":[]}\n\n{\n  \"error\": {\n\"code\": 503,\n\"status\": "
		  "\"UNAVAILABLE\"\n}\n}\n",
		  CALL_ERROR, "unavailable" },
		{ "event: error\ndata: {\"message\":\"x\"}\n\n", CALL_ERROR, "stream_error" },
		{ "data: {\"x_groq\":{\"error\":\"too bad\"}}\n\n", CALL_ERROR, "stream_error" },
		{ "{\"error\":{\"code\":\"bad\"}}", CALL_ERROR, "bad" },
		{ "data: {\"error\":null,\"choices\":[]}\n\n{\"choices\":[]}\n\n", CALL_OK, "" },
	};

	TEST("an error's kind is the provider's identifier, never its words");
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct exchange e = { CHAT, "", CHAT_REQUEST, t[i].type, t[i].body, t[i].http };

		CHECK(gives(&e, &(struct want){ "gpt-4o", -1, -1, -1, -1, 0, true, t[i].status,
		                                t[i].kind }));
	}
	TEST("an error inside a stream that began well is an error");
	for (size_t i = 0; i < sizeof(in_stream) / sizeof(in_stream[0]); i++) {
		struct exchange e = { CHAT, "", CHAT_REQUEST, SSE, in_stream[i].body };

		CHECK(run(&e, 0, 1) && call->status == in_stream[i].status &&
		      strcmp(call->error_kind, in_stream[i].kind) == 0);
		for (size_t split = 0; split <= strlen(e.reply); split++)
			if (!run(&e, split, WHOLE) || call->status != in_stream[i].status)
				CHECK(split == WHOLE);
	}
	TEST("an error in a line of Ollama's is an error");
	CHECK(run(&(struct exchange){ "/api/chat", "", "{\"messages\":[]}", "application/x-ndjson",
	                              "{\"error\":\"out of memory\"}\n" },
	          0, 1) &&
	      call->status == CALL_ERROR && strcmp(call->error_kind, "stream_error") == 0);
}

/* The reply broke off after n bytes. */
static void broken_by(const struct exchange *e, size_t n, enum call_status how)
{
	begin(e);
	feed_request(e->request, 0, strlen(e->request), WHOLE);
	llm_request_end(llm);
	head(e);
	feed_reply(e->reply, 0, n, WHOLE);
	call->status = how;
	snprintf(call->error_kind, sizeof(call->error_kind), "%s",
	         how == CALL_TIMEOUT ? "timeout" : "");
	llm_response_end(llm, false);
}

static void broken(const struct exchange *e, size_t n)
{
	broken_by(e, n, CALL_ABORTED);
}

static void test_broken(void)
{
	size_t stop = offset_of(CHAT_STREAM, "\"stop\"}]}");
	bool sound = true;

	TEST("a stream that breaks off before it says it is complete stays aborted");
	for (size_t n = 0; n < stop; n++) {
		broken(&chat_stream, n);
		sound = sound && call->status == CALL_ABORTED && !call->llm->finished;
	}
	CHECK(sound);
	TEST("a client that hangs up after the last word missed nothing");
	broken(&chat_stream, strlen(CHAT_STREAM) - 2);
	CHECK(call->status == CALL_OK && call->llm->finished && call->llm->tokens.out == 12);
	broken_by(&chat_stream, strlen(CHAT_STREAM) - 2, CALL_TIMEOUT);
	CHECK(call->status == CALL_OK && !call->error_kind[0]);
	broken_by(&chat_stream, stop, CALL_TIMEOUT);
	CHECK(call->status == CALL_TIMEOUT && strcmp(call->error_kind, "timeout") == 0);
	TEST("a JSON reply that breaks off is not finished, and its model is known all the same");
	broken(&(struct exchange){ CHAT, "", CHAT_REQUEST, JSON,
	                           "{\"model\":\"m2\",\"choices\":[" },
	       25);
	CHECK(call->status == CALL_ABORTED && !call->llm->finished &&
	      strcmp(call->llm->model, "m2") == 0 && call->llm->tokens.in == -1);
}

/* A gap of every length at every offset: tokens are right or unknown; behind it they are found. */
static bool survives(const struct exchange *e, int64_t in, int64_t out, const char *usage)
{
	size_t n = strlen(e->reply), at_usage = (size_t)(strstr(e->reply, usage) - e->reply);
	bool ok = true;

	for (size_t at = 0; at < n && ok; at++)
		for (size_t len = 1; len <= n - at && ok; len = len < 8 ? len + 1 : len * 2) {
			const struct llm_tokens *t;

			begin(e);
			feed_request(e->request, 0, strlen(e->request), WHOLE);
			llm_request_end(llm);
			head(e);
			feed_reply(e->reply, 0, at, WHOLE);
			llm_response_gap(llm, len);
			feed_reply(e->reply, at + len, n, WHOLE);
			llm_response_end(llm, true);
			t = &call->llm->tokens;
			ok = (t->out == out || t->out == -1) && call->status == CALL_OK &&
			     call->error_kind[0] == '\0';
			if (at + len <= at_usage)
				ok = ok && t->out == out && (in < 0 || t->in == in);
			if (!ok) {
				printf("# gap of %zu at %zu\n", len, at);
				show();
			}
		}
	return ok;
}

static void test_reply_gaps(void)
{
	struct exchange json = {
		CHAT, "", CHAT_REQUEST, JSON,
		"{\"id\":\"1\",\"model\":\"gpt-4o\",\"choices\":[{\"message\":{\"content\":"
		"\"a \\\\\\\"usage\\\\\\\": \\\"usage\\\":{\\\"completion_tokens\\\":999}}, {\"}}],"
		"\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12},\"fp\":\"x\"}"
	};
	struct exchange cut = json;

	TEST("with a gap anywhere in a reply its counters are right or unknown, and found behind "
	     "it");
	CHECK(survives(&json, 9, 12, ",\"usage\":{\"p"));
	CHECK(survives(&chat_stream, 9, 12, "data: {\"choices\":[],\"usage\""));
	CHECK(survives(&anthropic_stream, -1, 42, "event: message_delta"));
	CHECK(survives(&ollama_stream, 26, 7,
	               "{\"model\":\"llama3\",\"message\":{\"content\":\"\"},"));
	CHECK(survives(&gemini_array, 8, 32,
	               ",\"usageMetadata\": {\"promptTokenCount\": 8,\"cand"));
	CHECK(survives(&responses_stream, 5, 7, "data: {\"type\":\"response.completed\""));
	TEST("a tail that does not close the document proves nothing");
	cut.reply = "{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12}";
	begin(&cut);
	feed_request(cut.request, 0, strlen(cut.request), WHOLE);
	llm_request_end(llm);
	head(&cut);
	llm_response_gap(llm, 5);
	feed_reply(cut.reply, 0, strlen(cut.reply) - 1, WHOLE);
	llm_response_end(llm, true);
	CHECK(call->llm->tokens.out == -1);
}

static void test_stale(void)
{
	struct exchange e = chat_stream;
	const char *one = "data: {\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\n";

	TEST("a count that grows with the stream is unknown once a gap may have hidden a newer "
	     "one");
	e.reply = one;
	begin(&e);
	feed_request(e.request, 0, strlen(e.request), WHOLE);
	llm_request_end(llm);
	head(&e);
	feed_reply(one, 0, strlen(one), WHOLE);
	CHECK(call->llm->tokens.out == 1);
	llm_response_gap(llm, 100);
	CHECK(call->llm->tokens.out == -1 && call->llm->tokens.in == 9);
	feed_reply(CHAT_STREAM, 0, strlen(CHAT_STREAM), WHOLE);
	CHECK(call->llm->tokens.out == 12);
	TEST("at the stream's end the count is final, whatever a gap hides behind it");
	llm_response_gap(llm, 5);
	llm_response_end(llm, true);
	CHECK(call->llm->tokens.out == 12);
}

static void test_long_tail(void)
{
	size_t n = 100000;
	char *text = malloc(n + 200);

	TEST("behind a gap and more text than is kept the counters are still found");
	memset(text, 'x', n);
	strcpy(text + n, "\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12}}");
	begin(&chat_stream);
	feed_request(CHAT_REQUEST, 0, strlen(CHAT_REQUEST), WHOLE);
	llm_request_end(llm);
	call->status = CALL_OK;
	llm_response_head(llm, 200, bytes_of(JSON));
	llm_response_body(llm, bytes_of("{\"choices\":[{\"message\":{\"content\":\""), 5);
	llm_response_gap(llm, UINT64_MAX);
	feed_reply(text, 0, strlen(text), 4097);
	llm_response_end(llm, true);
	CHECK(call->llm->tokens.in == 9 && call->llm->tokens.out == 12 && call->llm->finished);
	free(text);
}

/* Appends one frame of Amazon's event stream, checksums left zero. */
static size_t frame(char *to, const char *type, const char *name, const char *payload)
{
	uint8_t *p = (uint8_t *)to;
	const char *const headers[][2] = {
		{ name, type }, { ":message-type", name[2] == 'v' ? "event" : "exception" }
	};
	size_t h = 12, n;

	for (int i = 0; i < 2; i++) {
		p[h++] = (uint8_t)strlen(headers[i][0]);
		h += (size_t)sprintf(to + h, "%s", headers[i][0]);
		p[h++] = 7;
		p[h++] = 0;
		p[h++] = (uint8_t)strlen(headers[i][1]);
		h += (size_t)sprintf(to + h, "%s", headers[i][1]);
	}
	n = h + (size_t)sprintf(to + h, "%s", payload) + 4;
	memset(to + n - 4, 0, 4);
	memset(to, 0, 12);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
	p[7] = (uint8_t)(h - 12);
	return n;
}

static void run_frames(const char *body, size_t n, size_t split, size_t step)
{
	struct exchange e = { "/model/m/converse-stream", "", "{\"messages\":[]}",
		              "application/vnd.amazon.eventstream" };

	begin(&e);
	feed_request(e.request, 0, strlen(e.request), WHOLE);
	llm_request_end(llm);
	head(&e);
	feed_reply(body, 0, split, step);
	feed_reply(body, split, n, step);
	llm_response_end(llm, true);
}

static void test_frames(void)
{
	struct want w = { "m", 3, 4, -1, -1, 0, true };
	char body[2048];
	size_t n = 0, first;
	bool ok = true;

	TEST("Bedrock's frames are read at every split");
	n += frame(body + n, "messageStart", ":event-type", "{\"role\":\"assistant\"}");
	n += frame(body + n, "contentBlockDelta", ":event-type", "{\"delta\":{\"text\":\"Hi\"}}");
	first = n - 5;
	n += frame(body + n, "messageStop", ":event-type", "{\"stopReason\":\"end_turn\"}");
	n += frame(body + n, "metadata", ":event-type",
	           "{\"usage\":{\"inputTokens\":3,\"outputTokens\":4}}");
	for (size_t split = 0; split <= n; split++) {
		run_frames(body, n, split, WHOLE);
		ok = ok && matches(&w);
	}
	run_frames(body, n, 0, 1);
	CHECK(ok && matches(&w) && call->llm->first_content_ns == 1000 + first);
	TEST("an exception among the frames is an error");
	n = frame(body, "throttlingException", ":exception-type", "{\"message\":\"x\"}");
	run_frames(body, n, 0, 1);
	CHECK(call->status == CALL_RATE_LIMITED &&
	      strcmp(call->error_kind, "throttlingexception") == 0);
	TEST("lengths that make no frame end the reading");
	memset(body, 0xff, sizeof(body));
	run_frames(body, sizeof(body), 0, 7);
	CHECK(call->status == CALL_OK && !call->llm->finished);
}

int main(void)
{
	test_paths();
	test_model();
	test_body_decides();
	test_roles();
	test_hashes();
	test_history_limit();
	test_request_gaps();
	test_json_replies();
	test_streams();
	test_sse();
	test_errors();
	test_broken();
	test_reply_gaps();
	test_stale();
	test_long_tail();
	test_frames();
	end();
	return DONE();
}
