/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is at the other end of a call of which no byte was seen: from the newest snapshot. The thread or
 * task that waits for the socket knows (what it asked its HTTP client for, the client library it is
 * in), the configuration may (a server with this address), and some ports belong to one program.
 *
 * Never a guess: sources that contradict each other give nothing, a name that two sockets could have
 * is given to neither, and `how` says what it was told by.
 */
#ifndef IDENTIFY_H
#define IDENTIFY_H
#include "diagnosis.h"

struct identity {
	enum call_class class; /* CALL_LLM, CALL_STORAGE, or CALL_OTHER: not told */
	char provider[24];     /* LLM: "openai", ...; "" unknown */
	char system[16];       /* storage: "redis", ...; "" unknown */
	char host[128];        /* "" unknown, or an address, which the socket tells as well */
	uint16_t port;         /* of the socket, 0 none */
	char op[CALL_OP_MAX];  /* "POST /v1/messages", "GET"; "" unknown */
	bool http;             /* op is a method and a path, so `write` is known */
	bool write;            /* op changes what is stored */
	bool blocks;           /* op is meant to wait (BLPOP, a subscriber) */
	bool sure;             /* a fact; else the one thing that fits */
	const char *how;       /* what told it, or why nothing is told: a static sentence */
};

struct identify;

/*
 * To be asked about calls of e's newest snapshot. open: all n calls in flight, so that what is known of
 * one is not given to another; they and e must outlive it unchanged. NULL: out of memory.
 */
struct identify *identify_new(const struct evidence *e, const struct call_view *open, size_t n);
void identify_free(struct identify *i);

/*
 * Fills *id for one of the open calls; of a call that began after the snapshot only configuration and
 * port can tell. False when nothing is known; id->how says why then.
 */
bool identify_call(struct identify *i, const struct call_view *v, struct identity *id);

/*
 * Sockets without an open call on which a reply is awaited although they received last (the end of a TLS
 * handshake, of a stream that stalled) or have no counters. Proof is a thread that waits for nothing
 * else, or a task that reads the reply to its request and can do that on no other socket. A unix socket
 * also needs a client library. Without proof: a TLS connection of a loop whose tasks nobody can see, on which what came
 * after the request may be the end of the handshake (handshake.h). Fills rows; returns how many, no more than room.
 */
struct awaited {
	uint64_t sock;
	uint64_t since_ns; /* a thread waits since then, 0 unknown */
	bool doubtful;     /* there is no proof ... */
	bool llm;          /* ... and the configuration says that an LLM is at the other end */
};
size_t identify_awaited(struct identify *i, struct awaited *rows, size_t room);
#endif
