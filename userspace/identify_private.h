/* SPDX-License-Identifier: BSD-2-Clause */
/* What identify.c (what is concluded) and identify_waits.c (who waits for what, and what they say) share. */
#ifndef IDENTIFY_PRIVATE_H
#define IDENTIFY_PRIVATE_H
#include "claim.h"
#include "identify.h"

#define NO_FRAMES ((struct bytes){ "", 0 })

struct wait_row {
	uint64_t sock;
	const struct ev_thread *thread;
	bool alone; /* the thread waits for nothing else */
};

/* What a task says. Endpoints are those that fit it: 0 none, or several. */
struct task_claim {
	struct claim claim;
	uint64_t task;     /* 0: what the thread says, where it runs none */
	uint64_t endpoint; /* of the loop's open calls without a name */
	uint64_t reader;   /* of all its sockets, if the task waits for a reply */
	bool reads;        /* it waits for bytes */
	bool spent;        /* a call whose name is known explains it */
};

struct loop_sock {
	const struct ev_socket *row;
	const struct call_view *view; /* its open call, NULL none */
	uint64_t endpoint;
};

/* What a verdict rests on so far. */
struct answer {
	struct claim claim;
	const char *how;
	bool sure;
};

/* What the tasks of a loop said of an endpoint: calls to it that have no name get the same. */
struct loop_answer {
	uint64_t endpoint;
	struct answer answer;
};

/* A thread that waits for many sockets, and the tasks it runs. */
struct loop {
	const struct ev_thread *thread;
	struct task_claim *claims;
	size_t nclaims;
	struct loop_sock *socks;
	size_t nsocks;
	struct loop_answer *answers; /* room for one a socket */
	size_t nanswers;
	bool whole; /* all it waits for is known */
	struct loop *next;
};

struct identify {
	const struct evidence *evidence;
	const struct call_view **views; /* sorted by socket */
	size_t nviews;
	struct wait_row *waits; /* sorted by socket */
	size_t nwaits;
	struct loop *loops;
};

bool ident_address_is(const struct ev_socket *s, const uint8_t addr[static 16]);
bool ident_address_loops(const struct ev_socket *s);
bool ident_host_is(struct bytes b, const char *s);
/* The endpoint of a socket as a number; never 0. */
uint64_t ident_endpoint(const struct ev_socket *s);

/* The open call on the socket, NULL none. */
const struct call_view *ident_view(const struct identify *i, uint64_t sock);
/* The first thread that waits for the socket, *n of them; NULL none. */
const struct wait_row *ident_waits(const struct identify *i, uint64_t sock, size_t *n);
/* Of a call, else of its endpoint. */
enum call_class ident_class(const struct call_view *v);
/* May this source's server be at the other end of s? known: what is known of that, NULL nothing. */
bool ident_fits(const struct identify *i, const struct claim *c, const struct ev_socket *s,
                const struct endpoint *known);
/* It carries an open call that something is left to ask of. */
bool ident_sock_open(const struct loop_sock *s);
/* What the thread's event loop waits for, and what its tasks say; NULL: out of memory. */
struct loop *ident_loop(struct identify *i, const struct ev_thread *t);
#endif
