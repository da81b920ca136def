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
	bool streams, array, vague, grpc;
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
	{ "/completions", NULL, LLM_CHAT, SHAPE_OPENAI }, /* legacy, Mistral's fim and agents */
	{ "/completion", NULL, LLM_CHAT, SHAPE_OPENAI },  /* llama.cpp's own */
	{ "/infill", NULL, LLM_CHAT, SHAPE_OPENAI },      /* the same */
	{ "/responses", NULL, LLM_CHAT, SHAPE_OPENAI },
	{ "/responses/input_tokens", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/conversations", NULL, LLM_CHAT, SHAPE_OPENAI, .vague = true }, /* Mistral's */
	{ "/embeddings", NULL, LLM_EMBEDDING, SHAPE_OPENAI },
	{ "/embedding", NULL, LLM_EMBEDDING, SHAPE_OPENAI }, /* llama.cpp's own */
	{ "/v1/images/generations", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/images/edits", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/images/variations", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/audio/speech", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/audio/transcriptions", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/audio/translations", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/moderations", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/v1/messages", NULL, LLM_CHAT, SHAPE_ANTHROPIC },
	{ "/messages/count_tokens", NULL, LLM_AUXILIARY, SHAPE_ANTHROPIC },
	{ "/messages/batches", NULL, LLM_AUXILIARY, SHAPE_ANTHROPIC },
	{ "/count-tokens:rawPredict", "/publishers/anthropic/", LLM_AUXILIARY, SHAPE_ANTHROPIC },
	{ ":rawPredict", "/publishers/anthropic/", LLM_CHAT, SHAPE_ANTHROPIC },
	{ ":streamRawPredict", "/publishers/anthropic/", LLM_CHAT, SHAPE_ANTHROPIC, true },
	{ ":rawPredict", "/publishers/", LLM_CHAT, SHAPE_OPENAI },
	{ ":streamRawPredict", "/publishers/", LLM_CHAT, SHAPE_OPENAI, true },
	{ ":generateContent", NULL, LLM_CHAT, SHAPE_GEMINI },
	{ ":streamGenerateContent", NULL, LLM_CHAT, SHAPE_GEMINI, true, true },
	{ ":embedContent", NULL, LLM_EMBEDDING, SHAPE_GEMINI },
	{ ":batchEmbedContents", NULL, LLM_EMBEDDING, SHAPE_GEMINI },
	{ ":predict", "/publishers/google/models/ima", LLM_AUXILIARY, SHAPE_GEMINI }, /* Imagen */
	{ ":predict", "/publishers/google/models/", LLM_EMBEDDING, SHAPE_GEMINI },
	{ ":predictLongRunning", "/models/", LLM_AUXILIARY, SHAPE_GEMINI },
	{ ":batchGenerateContent", "/models/", LLM_AUXILIARY, SHAPE_GEMINI },
	{ ":countTokens", NULL, LLM_AUXILIARY, SHAPE_GEMINI },
	{ "/interactions", "/v1beta", LLM_CHAT, SHAPE_GEMINI },
	{ "/converse", "/model/", LLM_CHAT, SHAPE_BEDROCK },
	{ "/converse-stream", "/model/", LLM_CHAT, SHAPE_BEDROCK, true },
	{ "/invoke", "/model/", LLM_CHAT, SHAPE_BEDROCK },
	{ "/invoke-with-response-stream", "/model/", LLM_CHAT, SHAPE_BEDROCK, true },
	{ "/invoke-with-bidirectional-stream", "/model/", LLM_AUXILIARY, SHAPE_BEDROCK, true },
	{ "/count-tokens", "/model/", LLM_AUXILIARY, SHAPE_BEDROCK },
	{ "/v1/chat", NULL, LLM_CHAT, SHAPE_COHERE, .vague = true },
	{ "/v2/chat", NULL, LLM_CHAT, SHAPE_COHERE, .vague = true },
	{ "/v1/embed", NULL, LLM_EMBEDDING, SHAPE_COHERE },
	{ "/v2/embed", NULL, LLM_EMBEDDING, SHAPE_COHERE },
	{ "/rerank", NULL, LLM_AUXILIARY, SHAPE_COHERE },
	{ "/generate", NULL, LLM_CHAT, SHAPE_TGI },
	{ "/generate_stream", NULL, LLM_CHAT, SHAPE_TGI, true },
	{ "/invocations", NULL, LLM_CHAT, SHAPE_TGI, .vague = true },
	{ "/tokenize", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
	{ "/detokenize", NULL, LLM_AUXILIARY, SHAPE_OPENAI },
};

static const char *const shape_names[] = {
	[SHAPE_OPENAI] = "openai", [SHAPE_ANTHROPIC] = "anthropic", [SHAPE_GEMINI] = "gemini",
	[SHAPE_OLLAMA] = "ollama", [SHAPE_BEDROCK] = "bedrock",     [SHAPE_COHERE] = "cohere",
	[SHAPE_TGI] = "tgi",
};

/* What Bedrock's invoke is asked for is known by the model alone. */
static const struct {
	const char *part;
	enum llm_kind kind;
} bedrock_models[] = {
	{ "embed", LLM_EMBEDDING },       { "rerank", LLM_AUXILIARY },
	{ "stability.", LLM_AUXILIARY },  { "-image", LLM_AUXILIARY },
	{ "nova-canvas", LLM_AUXILIARY }, { "nova-reel", LLM_AUXILIARY },
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
			c = (char)((unsigned)hex_value(from.p[i + 1]) << 4 |
			           (unsigned)hex_value(from.p[i + 2]));
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

/* Of a name with an account in it (arn:aws:bedrock:REGION:ACCOUNT:inference-profile/NAME) the name. */
static void shorten_model(char *model)
{
	const char *slash = strrchr(model, '/');

	if (strncmp(model, "arn:", 4) == 0 && slash)
		memmove(model, slash + 1, strlen(slash));
}

static void read_bedrock(struct llm_path *p)
{
	shorten_model(p->model);
	for (size_t i = 0; i < sizeof(bedrock_models) / sizeof(bedrock_models[0]); i++)
		if (p->kind == LLM_CHAT && strstr(p->model, bedrock_models[i].part))
			p->kind = bedrock_models[i].kind;
}

static bool read_post(struct llm_path *p, struct bytes path)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (!ends_with(path, paths[i].suffix) ||
		    (paths[i].within && !after(path, paths[i].within).p))
			continue;
		p->kind = paths[i].kind;
		p->shape = paths[i].shape;
		p->streams = paths[i].streams;
		p->array = paths[i].array;
		p->vague = paths[i].vague;
		p->grpc = paths[i].grpc;
		read_model(p, path);
		if (p->shape == SHAPE_BEDROCK)
			read_bedrock(p);
		return true;
	}
	/* Mistral's, to go on with one; text-generation-inference's root */
	p->shape = bytes_equal(path, "/") ? SHAPE_TGI : SHAPE_OPENAI;
	p->vague = true;
	p->kind = bytes_equal(path, "/") || after(path, "/v1/conversations/").p ? LLM_CHAT
	                                                                        : LLM_NONE;
	return p->kind != LLM_NONE;
}

/* What is asked of a server of one's own, beside the requests that its path tells. */
static bool read_local(struct llm_path *p, struct bytes method, struct bytes path,
                       struct bytes host)
{
	if (ends_with(host, ":11434") && bytes_start(path, "/api/"))
		p->shape = SHAPE_OLLAMA;
	else if (bytes_equal(method, "GET") && ends_with(path, "/v1/models"))
		p->shape = SHAPE_OPENAI;
	else
		return false;
	p->kind = LLM_AUXILIARY;
	return true;
}

bool llm_socket(struct bytes path)
{
	path = path_only(path);
	return ends_with(path, "/v1/realtime") || ends_with(path, "/openai/realtime") ||
	       ends_with(path, "/v1/responses") || after(path, "BidiGenerateContent").p;
}

void llm_path_read(struct llm_path *p, struct bytes method, struct bytes path, struct bytes host)
{
	const char *provider = llm_provider_of_host(host);

	*p = (struct llm_path){ .kind = LLM_NONE };
	path = path_only(path);
	if (bytes_equal(method, "POST") && read_post(p, path))
		p->provider = shape_names[p->shape];
	else if (read_local(p, method, path, host))
		p->provider = shape_names[p->shape];
	else
		*p = (struct llm_path){ .kind = LLM_NONE };
	if (!provider)
		return;
	p->named = true;
	p->provider = provider;
	/* model lists, polling, files: only where the host leaves no doubt */
	if (p->kind == LLM_NONE)
		p->kind = LLM_AUXILIARY;
}
