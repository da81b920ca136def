/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths of LLM APIs; their hosts stand in endpoints.table. */
#include "llm/path.h"

#include "endpoint_table.h"
#include "llm/llm.h"

/* Longest host name looked at: RFC 1035 allows 253 characters. */
#define HOST_MAX 256

/* First match wins: longer suffixes of the same ending come first. */
static const struct {
	const char *suffix;
	const char *within; /* must occur before the suffix, NULL anything may */
	enum llm_kind kind;
	enum llm_shape shape;
	bool streams, array, grpc;
} paths[] = {
#define GRPC "/google.ai.generativelanguage."
	{ ".GenerativeService/GenerateContent", GRPC, LLM_CHAT, SHAPE_GEMINI, .grpc = true },
	{ ".GenerativeService/StreamGenerateContent", GRPC, LLM_CHAT, SHAPE_GEMINI, true,
	  .grpc = true },
	{ ".GenerativeService/EmbedContent", GRPC, LLM_EMBEDDING, SHAPE_GEMINI, .grpc = true },
	{ ".GenerativeService/BatchEmbedContents", GRPC, LLM_EMBEDDING, SHAPE_GEMINI,
	  .grpc = true },
	{ ".GenerativeService/CountTokens", GRPC, LLM_AUXILIARY, SHAPE_GEMINI, .grpc = true },
#undef GRPC
	{ "/api/chat", NULL, LLM_CHAT, SHAPE_OLLAMA, true },
	{ "/api/generate", NULL, LLM_CHAT, SHAPE_OLLAMA, true },
	{ "/api/embed", NULL, LLM_EMBEDDING, SHAPE_OLLAMA },
	{ "/api/embeddings", NULL, LLM_EMBEDDING, SHAPE_OLLAMA },
	{ "/chat/completions", NULL, LLM_CHAT, SHAPE_OPENAI },
	{ "/completions", NULL, LLM_CHAT, SHAPE_OPENAI },
	{ "/completion", NULL, LLM_CHAT, SHAPE_OPENAI }, /* llama.cpp's own */
	{ "/responses", NULL, LLM_CHAT, SHAPE_OPENAI },
	{ "/embeddings", NULL, LLM_EMBEDDING, SHAPE_OPENAI },
	{ "/v1/messages", NULL, LLM_CHAT, SHAPE_ANTHROPIC },
	{ "/messages/count_tokens", NULL, LLM_AUXILIARY, SHAPE_ANTHROPIC },
	{ "/messages/batches", NULL, LLM_AUXILIARY, SHAPE_ANTHROPIC },
	{ ":rawPredict", "/publishers/anthropic/", LLM_CHAT, SHAPE_ANTHROPIC },
	{ ":streamRawPredict", "/publishers/anthropic/", LLM_CHAT, SHAPE_ANTHROPIC, true },
	{ ":generateContent", NULL, LLM_CHAT, SHAPE_GEMINI },
	{ ":streamGenerateContent", NULL, LLM_CHAT, SHAPE_GEMINI, true, true },
	{ ":embedContent", NULL, LLM_EMBEDDING, SHAPE_GEMINI },
	{ ":batchEmbedContents", NULL, LLM_EMBEDDING, SHAPE_GEMINI },
	{ ":predict", "/publishers/google/models/", LLM_EMBEDDING, SHAPE_GEMINI },
	{ ":countTokens", NULL, LLM_AUXILIARY, SHAPE_GEMINI },
	{ "/v1beta/interactions", NULL, LLM_CHAT, SHAPE_GEMINI },
	{ "/converse", "/model/", LLM_CHAT, SHAPE_BEDROCK },
	{ "/converse-stream", "/model/", LLM_CHAT, SHAPE_BEDROCK, true },
	{ "/invoke", "/model/", LLM_CHAT, SHAPE_BEDROCK },
	{ "/invoke-with-response-stream", "/model/", LLM_CHAT, SHAPE_BEDROCK, true },
	{ "/count-tokens", "/model/", LLM_AUXILIARY, SHAPE_BEDROCK },
	{ "/v2/chat", NULL, LLM_CHAT, SHAPE_COHERE },
	{ "/v1/embed", NULL, LLM_EMBEDDING, SHAPE_COHERE },
	{ "/v2/embed", NULL, LLM_EMBEDDING, SHAPE_COHERE },
	{ "/v1/rerank", NULL, LLM_AUXILIARY, SHAPE_COHERE },
	{ "/v2/rerank", NULL, LLM_AUXILIARY, SHAPE_COHERE },
};

static const char *const shape_names[] = {
	[SHAPE_OPENAI] = "openai", [SHAPE_ANTHROPIC] = "anthropic", [SHAPE_GEMINI] = "gemini",
	[SHAPE_OLLAMA] = "ollama", [SHAPE_BEDROCK] = "bedrock",     [SHAPE_COHERE] = "cohere",
};

const char *llm_provider_of_host(struct bytes host)
{
	const char *colon = host.n ? memchr(host.p, ':', host.n) : NULL;
	const struct endpoint_fact *fact, *facts;
	char name[HOST_MAX];
	size_t n;

	if (colon)
		host.n = (size_t)(colon - host.p);
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n == 0 || host.n >= sizeof(name) || memchr(host.p, '\0', host.n))
		return NULL;
	memcpy(name, host.p, host.n);
	name[host.n] = '\0';
	facts = endpoint_facts(&n);
	fact = endpoint_fact_find(facts, n, ENDPOINT_LLM, name, "", 0, NULL);
	return fact ? fact->name : NULL;
}

static bool ends_with(struct bytes b, const char *s)
{
	size_t n = strlen(s);

	return b.n >= n && memcmp(b.p + b.n - n, s, n) == 0;
}

/* What follows s in b; p is NULL when s does not occur. */
static struct bytes after(struct bytes b, const char *s)
{
	const char *at = b.n ? memmem(b.p, b.n, s, strlen(s)) : NULL;

	if (!at)
		return (struct bytes){ NULL, 0 };
	return bytes_from(b, (size_t)(at - b.p) + strlen(s));
}

/* The path alone: no scheme and host (proxies send those), no query, no '/' at the end. */
static struct bytes path_only(struct bytes b)
{
	struct bytes rest = after(b, "://");

	if (rest.p && b.n && b.p[0] != '/') {
		const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;

		b = slash ? bytes_from(rest, (size_t)(slash - rest.p)) : bytes_from(rest, rest.n);
	}
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '?' || b.p[i] == '#')
			b.n = i;
	while (b.n > 1 && b.p[b.n - 1] == '/')
		b.n--;
	return b;
}

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static void copy_decoded(char *to, size_t room, struct bytes from)
{
	size_t n = 0;

	for (size_t i = 0; i < from.n && n + 1 < room; i++) {
		char c = from.p[i];

		if (c == '%' && i + 2 < from.n && hex_value(from.p[i + 1]) >= 0 &&
		    hex_value(from.p[i + 2]) >= 0) {
			c = (char)(hex_value(from.p[i + 1]) << 4 | hex_value(from.p[i + 2]));
			i += 2;
		}
		if (c < ' ' || c > '~') {
			n = 0;
			break;
		}
		to[n++] = c;
	}
	to[n] = '\0';
}

/* ".../models/NAME:verb", ".../model/NAME/verb", ".../deployments/NAME/...". */
static void read_model(struct llm_path *p, struct bytes path)
{
	static const struct {
		const char *before;
		char end;
	} forms[] = { { "/models/", ':' },
		      { "/tunedModels/", ':' },
		      { "/model/", '/' },
		      { "/deployments/", '/' } };

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct bytes rest = after(path, forms[i].before);
		const char *end = rest.n ? memchr(rest.p, forms[i].end, rest.n) : NULL;

		if (!end)
			continue;
		copy_decoded(p->model, sizeof(p->model),
		             (struct bytes){ rest.p, (size_t)(end - rest.p) });
		return;
	}
}

void llm_path_read(struct llm_path *p, struct bytes method, struct bytes path, struct bytes host)
{
	const char *provider = llm_provider_of_host(host);

	*p = (struct llm_path){ .kind = LLM_NONE };
	path = path_only(path);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && bytes_equal(method, "POST");
	     i++) {
		if (!ends_with(path, paths[i].suffix) ||
		    (paths[i].within && !after(path, paths[i].within).p))
			continue;
		p->kind = paths[i].kind;
		p->shape = paths[i].shape;
		p->streams = paths[i].streams;
		p->array = paths[i].array;
		p->grpc = paths[i].grpc;
		p->provider = provider ? provider : shape_names[p->shape];
		read_model(p, path);
		return;
	}
	/* model lists, polling, files: only where the host leaves no doubt */
	if (provider) {
		p->kind = LLM_AUXILIARY;
		p->provider = provider;
	}
}
