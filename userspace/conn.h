/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections: each socket and each TLS object is one, found by inode or by address; each finds its parser and feeds it. A
 * socket that carries TLS is joined with the TLS object that speaks through it: the object's plaintext makes the calls,
 * the socket tells address and times. Not joined, plaintext alone still names and times its calls.
 */
#ifndef CONN_H
#define CONN_H
#include "base/buf.h"
#include "call.h"
#include "endpoint.h"
#include "event.h"
#include "proto/proto.h"

/* Connections remembered; beyond, the oldest without an open call is forgotten and counted. */
#define CONNS_MAX 65536

struct conn;

/* What connections tell their owner. Calls are the owner's from open to done. */
struct conn_ops {
	struct call *(*open)(void *ctx, struct conn *c, const struct stamp *at);
	void (*sent)(void *ctx, struct conn *c, struct call *call);
	void (*done)(void *ctx, struct conn *c, struct call *call);
	/* An open call turns out to be one of c's, not of the socket below it. */
	void (*adopted)(void *ctx, struct conn *c, struct call *call);
	/* Bytes moved on a connection that has an open call. */
	void (*moved)(void *ctx, struct conn *c, int dir, uint64_t ts_ns);
	/* The connection is forgotten. */
	void (*gone)(void *ctx, struct conn *c);
	/* No more than n bytes of one operation are of use on this socket from now on. */
	void (*enough)(void *ctx, uint64_t sock, uint32_t n);
	void *ctx;
};

/* Who is at the other end, as found out without its bytes; how NULL: not. */
struct conn_told {
	enum call_class class;
	char label[32], system[16]; /* as in struct endpoint */
	const char *how;            /* a static sentence */
	bool unsure;
};

struct conn {
	uint64_t id;   /* from 1, in order of appearance */
	uint64_t sock; /* inode, 0 for a TLS object */
	uint64_t tls;  /* address, 0 for a socket */
	uint32_t pid;  /* who used it last */
	struct conn
		*peer; /* the socket of a TLS object, the TLS object of a socket; NULL not joined */
	struct endpoint endpoint;
	uint16_t port; /* of the other end */
	char alpn
		[32]; /* protocols its ClientHello offered, in order, joined by ','; "" none seen */
	uint8_t ends
		[2]
		[18]; /* TCP: address (as IPv6) and port, our own end's and the other's; 0 unknown */
	struct conn *far; /* the socket that is the other end, watched too; NULL none was found */
	struct conn *ends_next; /* in its bucket by ends */
	uint8_t role;           /* enum socket_role */
	bool from_start;        /* seen from its first byte */
	bool ciphertext;        /* a socket that carries TLS */
	bool shared;            /* used by more than one process: the end of one is not its own */
	bool ignored;           /* datagrams, unnamed unix sockets: nothing to parse */
	bool datagram;
	bool plaintext_seen; /* ciphertext: its TLS object was found */
	enum call_class
		carries; /* the class of the newest call on it that is LLM or storage: the owner's */
	uint64_t connect_ns; /* entry of connect(), 0 not seen */
	uint64_t setup_ns;   /* newest sign of being set up: connect done, handshake, log-in */
	uint32_t
		connect_tid; /* who connected, and how often the socket in use had changed by then */
	uint64_t connect_turns;
	uint64_t bytes[2]; /* by direction, as moved (ciphertext where it is that) */
	uint64_t last_ns[2];
	uint64_t gaps;       /* places where bytes were not seen */
	uint64_t dropped;    /* bytes of those, where it is not ciphertext */
	unsigned calls;      /* opened so far */
	unsigned open;       /* calls open */
	unsigned real_calls; /* done so far that are no log-ins */

	struct conn_told told; /* what no byte said: conn_tell() */
	char store[16];        /* what its exchanges said: conn_store() */

	/* conn.c's own */
	struct conn *next; /* in its bucket */
	struct conns *table;
	struct call_sink sink;
	const struct proto *proto;
	void *state;
	struct buf pending[2]; /* bytes before the protocol was known, by the parser's direction */
	struct buf order;      /* struct pending_op: how they came */
	bool awaits; /* TLS object: ... and its socket is, which tells what they follow; since awaits_ns */
	uint64_t awaits_ns;
	struct conn *awaits_next; /* in the table's list of these */
	uint64_t pos[2];          /* bytes of each direction accounted for */
	bool pos_known[2];
	uint64_t op_off[2];    /* captured so far of the operation under way */
	uint64_t seed_sent_ns; /* snapshot: when it sent last, 0 never */
	int32_t fd;            /* snapshot: its descriptor in pid */
	bool outstanding;      /* snapshot: a request was */
	uint8_t handshake;     /* enum handshake of a ciphertext socket */
	uint8_t frames; /* of HTTP/2, whole ones that came in a row while that was not known */
	bool idle;      /* snapshot: nothing was outstanding */
	bool spoke;     /* a request was seen */
	bool noted;     /* a thread may hold it, see held_forget() */

	/* cipher.c's and tls_bind.c's own */
	struct buf hello;         /* a ClientHello that is not whole */
	struct cipher_join *join; /* the pieces of an operation that is not whole, NULL none */
	uint32_t in_left;         /* socket: bytes to come of the record received last */
	bool in_sync;             /* ... is known */
	bool in_counts;           /* ... it carries data */
	bool tls13;               /* ... its handshake was TLS 1.3's */
	uint32_t holder;          /* ... thread whose ciphertext waits (held_op), 0 none */
	bool finished;            /* ... its client has sent what ends the handshake of TLS 1.3 */
	bool padded;              /* ... whose client pads its records as JSSE does */
	bool answered;            /* ... data came */
	uint8_t tickets;          /* ... records that may be session tickets, all of ticket_len */
	uint16_t ticket_len;
	uint64_t
		ticket_bytes; /* ... of those that came behind a request, the newest at ticket_at */
	struct stamp ticket_at;
	bool proven;           /* TLS object: its socket was used inside calls to it */
	uint64_t owed;         /* ... plaintext written whose ciphertext has not left */
	uint64_t owed_records; /* ... in so many records */
	uint64_t through; /* ... inode of the socket its newest plaintext came through, 0 unknown */
	uint64_t unread;  /* socket: received, and no plaintext came of it yet */
	uint16_t record;  /* ... length of the record its newest read began with, 0 unknown */
	bool fresh;       /* ... since it received last */
};

struct conns;

/* attach_ns: what was under way then began earlier. */
struct conns *conns_new(const struct conn_ops *ops, const struct endpoint_rules *rules,
                        uint64_t attach_ns);
void conns_free(struct conns *t);

void conns_socket(struct conns *t,
                  const struct ev_socket *e);              /* EV_SOCKET, EV_CONNECT, EV_ACCEPT */
void conns_data(struct conns *t, const struct ev_data *e); /* EV_DATA, EV_TLS */
void conns_body(struct conns *t, const struct ev_body *e);
void conns_named(struct conns *t, const struct ev_tls_name *e);
/* The thread that made the open call ended. A call without framing is over then if it was answered. */
void conn_caller_left(struct conn *c);
void conns_close(struct conns *t, const struct ev_close *e); /* EV_CLOSE, EV_TLS_FREE */
void conns_process_exit(struct conns *t, uint32_t pid, uint64_t ts_ns);
/* The first snapshot ended: what was outstanding before we came becomes an open call. */
void conns_seeded(struct conns *t);
/*
 * Somebody waits for a reply on this socket, as a snapshot proved though the counters did not say so.
 * Opens a call that began before we came, unless bytes were seen since then. since_ns: when its request
 * had been sent at the latest, where no counter tells; 0 unknown.
 */
void conns_awaited(struct conns *t, uint64_t sock, uint64_t since_ns);
/* A thread of the first snapshot: one that waits for a single connection waits for a reply. */
void conns_thread(struct conns *t, const struct ev_thread *e);
/* At every tick: decides what waited for the next event of its thread. */
void conns_tick(struct conns *t, uint64_t ts_ns);
/* The watch ends: every open call is done, with status unknown. */
void conns_end(struct conns *t, uint64_t ts_ns);

/* What the rules say of endpoints changed: names all anew. */
void conns_rename(struct conns *t);

/* By socket inode; NULL unknown. */
struct conn *conns_by_sock(struct conns *t, uint64_t sock);
/* The host name of c became known (Host header): names it anew. */
void conn_host(struct conn *c, const char *host);
/* An exchange on c showed which store it is to: names it anew. */
void conn_store(struct conn *c, const char *system);
/* What c's endpoint is where neither options, host nor port tell: names it, and its calls from now on, anew. */
void conn_tell(struct conn *c, const struct conn_told *told);
/* When the first call of c, requested by thread tid, began: at connect() where the connection was made for it, else at its
 * request. HTTP clients connect when they have a request; other clients may connect in advance: there it was made for the
 * call if nothing was done on other connections in between and hardly any time passed. */
uint64_t conn_call_start(const struct conn *c, uint32_t tid, uint64_t request_ns);
/* A log-in on c ended. */
void conn_set_up(struct conn *c, uint64_t ts_ns);
/* The watched socket at the other end of c's connection (loopback, or two processes of one network namespace); NULL: none is. */
struct conn *conn_far_end(struct conn *c);
/* The socket below c: itself, or the one joined with it, or NULL. */
const struct conn *conn_socket(const struct conn *c);
void conns_each(struct conns *t, void (*fn)(void *ctx, struct conn *c), void *ctx);
/* Connections forgotten because there were too many. */
uint64_t conns_forgotten(const struct conns *t);
#endif
