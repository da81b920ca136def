/* SPDX-License-Identifier: BSD-2-Clause */
/* One exchange with an LLM endpoint: its request and its reply, each with a reader of its own. */
#include "llm/llm.h"

#include <stdio.h>
#include <stdlib.h>

#include "llm/grpc.h"
#include "llm/path.h"
#include "llm/reply.h"
#include "llm/request.h"

struct llm {
	struct call *call;
	struct llm_path path;
	bool sure; /* the request has shown that it is one */
	struct request request;
	struct reply reply;
	struct llm_grpc grpc; /* in place of the two, where path.grpc is set */
};

static struct llm *reader_new(struct call *c, const struct llm_path *p)
{
	struct llm *l = calloc(1, sizeof(*l));
	struct llm_call *call = llm_call_new();

	if (!l || !call) {
		free(l);
		llm_call_free(call);
		return NULL;
	}
	call->kind = p->kind;
	call->streamed = p->streams;
	snprintf(call->provider, sizeof(call->provider), "%s", p->provider);
	memcpy(call->model, p->model, sizeof(call->model));
	l->call = c;
	l->path = *p;
	c->llm = call;
	request_init(&l->request, call, &l->path);
	reply_init(&l->reply, c, p->array);
	llm_grpc_init(&l->grpc, c, p->kind);
	return l;
}

struct llm *llm_new(struct call *c, struct bytes method, struct bytes path, struct bytes host)
{
	struct llm_path p;

	llm_path_read(&p, method, path, host);
	return p.kind == LLM_NONE ? NULL : reader_new(c, &p);
}

struct llm *llm_new_unnamed(struct call *c, struct bytes host)
{
	const char *provider = llm_provider_of_host(host);
	struct llm_path p = { .kind = LLM_CHAT, .shape = SHAPE_OPENAI, .guessed = true };

	p.provider = provider ? provider : "";
	return reader_new(c, &p);
}

struct llm *llm_new_grpc_unnamed(struct call *c, struct bytes message)
{
	struct llm_path p = { .kind = LLM_CHAT,
		              .shape = SHAPE_GEMINI,
		              .grpc = true,
		              .guessed = true,
		              .provider = "gemini" };

	return llm_grpc_is_chat(message) ? reader_new(c, &p) : NULL;
}

void llm_free(struct llm *l)
{
	if (!l)
		return;
	request_free(&l->request);
	reply_free(&l->reply);
	llm_grpc_free(&l->grpc);
	free(l);
}

void llm_request_body(struct llm *l, struct bytes b)
{
	request_feed(&l->request, b);
}

void llm_request_gap(struct llm *l, uint64_t n)
{
	if (l->path.grpc)
		llm_grpc_request(&l->grpc, bytes_of(""), true);
	else if (n)
		request_gap(&l->request);
}

bool llm_request_end(struct llm *l)
{
	if (l->path.grpc)
		llm_grpc_request_end(&l->grpc);
	l->sure = l->path.grpc || request_end(&l->request);
	if (l->sure)
		return true;
	llm_call_free(l->call->llm);
	l->call->llm = NULL;
	return false;
}

bool llm_sure(const struct llm *l)
{
	return l->sure || l->path.named || !l->path.vague;
}

void llm_response_head(struct llm *l, int status, struct bytes content_type)
{
	l->call->http_status = status;
	reply_head(&l->reply, content_type,
	           l->path.shape == SHAPE_OLLAMA && l->call->llm->streamed && status < 400);
}

void llm_response_metered(struct llm *l, int64_t in, int64_t out)
{
	if (in >= 0 || out >= 0)
		reply_metered(&l->reply, in, out);
}

void llm_response_error(struct llm *l, struct bytes kind)
{
	if (kind.n && l->call->http_status >= 400)
		facts_error_kind(&l->reply.all, kind);
}

void llm_response_body(struct llm *l, struct bytes b, uint64_t ts_ns)
{
	reply_feed(&l->reply, b, ts_ns);
}

void llm_response_gap(struct llm *l, uint64_t n)
{
	if (n && !l->path.grpc)
		reply_gap(&l->reply, n);
}

void llm_grpc_message(struct llm *l, bool request, struct bytes message, bool cut, uint64_t ts_ns)
{
	if (l->path.grpc && request)
		llm_grpc_request(&l->grpc, message, cut);
	else if (l->path.grpc)
		llm_grpc_reply(&l->grpc, message, cut, ts_ns);
}

void llm_response_end(struct llm *l, bool complete)
{
	struct call *c = l->call;

	if (l->path.grpc) {
		llm_grpc_end(&l->grpc, complete);
		return;
	}
	reply_end(&l->reply, complete);
	if (l->reply.all.error)
		facts_error(&l->reply.all, c);
	else if (!complete && c->http_status < 300)
		facts_last_word(c);
}
