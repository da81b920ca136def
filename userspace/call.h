/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call: one request and its reply on one connection, as seen on the wire. Parsers fill it, the
 * endpoint table names it, the turn engine adds it up. All times are CLOCK_MONOTONIC ns, 0 = not seen.
 */
#ifndef CALL_H
#define CALL_H
#include "base/bytes.h"

enum call_class {
	CALL_OTHER, /* nothing we know: neither LLM nor storage */
	CALL_LLM,
	CALL_STORAGE,
	CALL_HEARTBEAT, /* health checks and protocol pings: neither progress nor part of a turn */
};

enum call_status {
	CALL_OK,
	CALL_ERROR,        /* the peer said so */
	CALL_RATE_LIMITED, /* 429 and its kin */
	CALL_TIMEOUT,      /* the client gave up waiting and closed */
	CALL_ABORTED,      /* the connection ended before the reply did */
	CALL_UNKNOWN,      /* the outcome was not observed */
};

/* Why part of a call was not seen; the first reason stays. */
enum partial {
	PARTIAL_NONE,
	PARTIAL_ATTACHED_LATE, /* it began before we came */
	PARTIAL_EVENTS_LOST,
	PARTIAL_TRUNCATED,    /* more bytes than the capture keeps */
	PARTIAL_NO_PLAINTEXT, /* encrypted, and the TLS code was not found */
};

/* -1 = not seen */
struct llm_tokens {
	int64_t in, out, cached, reasoning;
};

/* What kind of exchange with an LLM endpoint. Only chat opens turns. */
enum llm_kind {
	LLM_NONE,
	LLM_CHAT,
	LLM_EMBEDDING,
	LLM_AUXILIARY /* token counts, model lists, batches */
};

enum llm_role { LLM_ROLE_NONE, LLM_ROLE_SYSTEM, LLM_ROLE_USER, LLM_ROLE_ASSISTANT, LLM_ROLE_TOOL };

/* The conversation a request carries: for each message its role and a hash of its text; never the text. When a
 * request holds more than LLM_HISTORY_MAX messages, the oldest are dropped and `dropped` counts them. */
#define LLM_HISTORY_MAX 1024

struct llm_message {
	uint64_t hash;
	uint8_t role; /* enum llm_role */
};

struct llm_history {
	uint32_t n;
	uint32_t dropped;
	bool complete; /* the whole request was seen; false: cut or lost, hold nothing against it */
	struct llm_message *messages; /* n of them, oldest first */
};

/* The reply's name at its provider, which its support asks for. */
#define LLM_REQUEST_ID_MAX 80
#define LLM_FINISH_MAX 48

/* What a client says in its request of how long it will wait. */
enum limit_said {
	LIMIT_UNSAID,
	LIMIT_NONE,    /* its SDK would have said it, had there been one */
	LIMIT_SILENCE, /* time without a byte of the reply */
	LIMIT_HEAD,    /* until the reply begins */
	LIMIT_CALL,    /* of the whole call (gRPC's deadline) */
};

/* What a provider says is left of its limits; -1 not told. */
struct llm_quota {
	int64_t requests, tokens;
	double requests_reset_s, tokens_reset_s; /* until they are full again */
};

/* What a provider says of a call beside its tokens. */
struct llm_said {
	char finish_reason
		[LLM_FINISH_MAX]; /* the API's word for why it ended, in lower case; "" not told */
	char request_id[LLM_REQUEST_ID_MAX]; /* "" not told */
	struct llm_quota quota;
};

struct llm_call {
	enum llm_kind kind;
	char provider[24]; /* "openai", "anthropic", "gemini", "ollama", ... "" unknown */
	char model[96];    /* of the reply, else of the request; "" unknown */
	bool streamed;
	enum llm_role
		last_role; /* of the last message; a tool result is LLM_ROLE_TOOL whatever the API calls it */
	struct llm_history history;
	uint64_t first_content_ns; /* first content of the reply: no ping, no role-only chunk */
	uint64_t last_content_ns;
	bool finished; /* the reply said it is complete */
	struct llm_tokens tokens;
	struct llm_said said;
};

/* What a request to the target says of the turn it asks for, from its JSON or header fields. */
struct turn_fields {
	char session_id[64]; /* "" not told */
	int64_t turn_index;  /* as the requester counts, -1 not told */
	enum llm_role role;  /* of the message it brings; LLM_ROLE_NONE not told */
	uint64_t text_hash;  /* of that message's text, as in struct llm_message; 0 none */
	bool message;        /* it brings one, of the user's */
};

#define CALL_OP_MAX 64

struct call {
	uint64_t id;       /* counts from 1 in the order calls were opened */
	uint64_t conn;     /* id of its connection */
	uint32_t pid, tid; /* who sent the request's first byte */
	uint64_t task;     /* asyncio task that did, 0 unknown */

	uint64_t start_ns;      /* first request byte (or connect(), see docs/metrics.md) */
	uint64_t request_ns;    /* first request byte, always */
	uint64_t sent_ns;       /* last request byte, 0 while it is being sent */
	uint64_t first_byte_ns; /* first reply byte */
	uint64_t last_byte_ns;  /* newest reply byte */
	uint64_t end_ns;        /* last reply byte, 0 while open */
	uint32_t reply_tid;     /* inbound: who wrote the reply's first byte, 0 nobody yet ... */
	uint64_t reply_task;    /* ... and the asyncio task that did */
	/*
	 * Proto "generic": newest reply bytes that are a stream's comments and pings alone, 0 none came; and
	 * the newest that may be content, or since when that was watched for.
	 */
	uint64_t filler_ns, content_ns;
	bool at_least; /* start_ns is a bound: it began then or earlier */
	uint64_t bytes_out, bytes_in;

	enum call_class class;
	const char *proto; /* "http", "http2", "redis", "postgres", "generic" */
	char op[CALL_OP_MAX]; /* "POST /v1/messages" (no query), "search", "SELECT", ... never an argument */
	char request[CALL_OP_MAX]; /* HTTP: method and path, whatever op says; else "" */
	char store[16]; /* the system that the exchange itself shows: "qdrant", ...; "" none */
	bool inbound;   /* a request to the target, not one of its own */
	bool write;     /* storage: changes what is stored */
	bool op_known;  /* op and write are facts, not defaults */
	bool setup;     /* makes the connection usable (log-in): part of the call it is made for */
	bool blocks;    /* meant to wait (BLPOP, LISTEN, long poll): an old one is no stall */

	enum call_status status;
	char error_kind
		[48]; /* "http_429", "rate_limit_error", "WRONGTYPE", "23505", "connection_reset"; "" none */
	int http_status;       /* 0 none */
	int retry_count;       /* what the SDK's own header says, -1 no such header */
	double retry_after_s;  /* of the reply, < 0 none */
	enum limit_said limit; /* how long the client said in its request that it would wait ... */
	double limit_s;        /* ... -1 not told, or for ever */
	uint32_t
		stream; /* its number among those that share the connection (HTTP/2), 0 it shares none */
	enum partial partial;

	char host[128];             /* Host header, else "" */
	struct llm_call *llm;       /* set for LLM exchanges read in plaintext, else NULL */
	struct turn_fields *fields; /* inbound: set when its request was read, else NULL */
};

/* One moment on a connection: when the bytes moved, and who moved them. */
struct stamp {
	uint64_t start_ns, end_ns;
	uint32_t pid, tid;
	uint64_t task;
};

/* All unset: counters -1, status unknown. */
void call_init(struct call *c);
/* A call with unset (-1) counters, or NULL. */
struct call *call_new(void);
void call_free(struct call *c);
struct llm_call *llm_call_new(void);
void llm_call_free(struct llm_call *l);
/* Takes over a request id if it is an identifier (letters, digits, . _ : -) that fits; else leaves to as it was. */
void llm_request_id(char to[LLM_REQUEST_ID_MAX], struct bytes id);

/* An LLM or storage call: of those the books, clocks and causes are made. */
bool call_counts(const struct call *c);
/* It is a request of HTTP, whatever version. */
bool call_over_http(const struct call *c);
/* Says once why a part of c was not seen. */
void call_partial(struct call *c, enum partial why);

const char *call_class_name(enum call_class c);
const char *call_status_name(enum call_status s);
const char *partial_name(enum partial p);       /* NULL for PARTIAL_NONE */
const char *llm_role_name(enum llm_role r);     /* NULL for LLM_ROLE_NONE */
const char *limit_said_name(enum limit_said l); /* NULL for LIMIT_UNSAID */
/* By the names that APIs and logs have for it, in any case: "human", "AI", "developer"; LLM_ROLE_NONE: nobody's. */
enum llm_role llm_role_of_name(const char *name);
#endif
