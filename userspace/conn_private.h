/* SPDX-License-Identifier: BSD-2-Clause */
/* What conn.c, conn_parser.c, cipher.c and tls_bind.c share. */
#ifndef CONN_PRIVATE_H
#define CONN_PRIVATE_H
#include "conn.h"

#define THREAD_BUCKETS 1024
#define GENERIC_CAPTURE 64     /* bytes of an operation that tell whether a known protocol begins */
#define CIPHER_CAPTURE 128     /* record headers, and a client's Finished with what follows it */
#define CAPTURE_ALL (2u << 20) /* bpf/state.h CAPTURE_DEFAULT */

#define RECORD_HEADER 5 /* type, version, length: RFC 8446 5.1 */
#define RECORD_PLAIN_MAX 16384

#define HELD_MAX 64   /* writes of one thread that wait for its next event */
#define WRITES_MAX 32 /* plaintext writes of one thread whose ciphertext has not come yet */

#define READS_MAX 32 /* reads of one thread whose plaintext has not come yet */

/* Ciphertext that may be a call of its own. */
struct held_op {
	struct conn *c;
	struct stamp at;
	uint64_t n;
};

/* Plaintext that some socket will carry. */
struct plain_write {
	struct conn *c;
	uint64_t n;
	uint64_t ts_ns;
};

struct flow_thread {
	uint32_t tid;
	uint64_t last; /* inode of the socket used last */
	unsigned nheld, nwrites;
	struct held_op held[HELD_MAX];
	struct plain_write writes[WRITES_MAX];
	unsigned nreads; /* records received, the oldest first, whose object is not known */
	struct cipher_read {
		uint64_t sock;
		uint64_t record; /* bytes in the body of the first one */
		uint64_t total;  /* of the read */
	} reads[READS_MAX];
	struct flow_thread *next;
};

struct conns {
	struct conn_ops ops;
	const struct endpoint_rules *rules;
	struct conn **buckets;
	struct conn **by_ends; /* TCP sockets whose both ends are known */
	struct flow_thread **threads;
	struct dns *dns; /* names that the target asked for */
	size_t n;
	uint64_t ids, forgotten;
	bool seeding;          /* the first snapshot has not ended */
	struct conn *awaiting; /* TLS objects that wait for their socket to be known */
	uint64_t attach_ns;
	struct buf body; /* of a slice whose blocks are several, those that came */
	uint64_t
		record_adds; /* bytes a record added to its plaintext in the newest join by length */
	uint64_t last, turns; /* socket used last by anybody, and how often that changed */
};

void conn_stop(struct conn *c, enum done_why why, const struct stamp *at);
void conn_part(struct conn *c);
/* The socket of TLS object c is known, or will not be: looks at what waited for that, if anything did. */
void conn_await_over(struct conn *c);
/* The same for all that have waited too long by ts_ns. */
void conns_await_over(struct conns *t, uint64_t ts_ns);
/* A call that was under way on the socket before we came is over. */
void conn_end_late(struct conn *sock);
/* What was in flight on the socket below TLS object c when we came: of HTTP/2 it is one of its streams; else it is over when the
 * object asks for something else. */
void conn_settle_below(struct conn *c, bool asks);
void conn_rename(struct conn *c);

/* ---- conn_parser.c ---- */

/* Feeds a connection's parser; dir as in the event. */
void conn_feed(struct conn *c, int dir, struct bytes b, uint64_t gap, enum partial why,
               const struct stamp *at);
/* Its request left before we came. */
void conn_seed(struct conn *c);

/* ---- cipher.c ---- */

/* NULL when it is not known, or with create when there is no memory. */
struct flow_thread *thread_find(struct conns *t, uint32_t tid, bool create);

/* Thread tid uses socket c now. */
void socket_used(struct conns *t, uint32_t tid, const struct conn *c);

/* The socket the thread used last, NULL unknown. */
const struct conn *thread_socket(struct conns *t, uint32_t tid);

/* The first bytes of an operation on a socket: does TLS begin here, or is it under way? */
void conn_look(struct conn *c, const struct ev_data *e);
/* What was kept back as session tickets was the reply: nothing else comes. */
void tickets_settle(struct conn *c);
/* An operation on a socket that carries TLS, or a piece of it: one that came in several counts when its beginning is there. */
void cipher_data(struct conn *c, const struct ev_data *e);

/* Ciphertext written by a thread waits for the thread's next event, which tells whether its plaintext is seen. now: that
 * event, or NULL. */
void held_flush(struct conns *t, uint32_t tid, const struct ev_data *now);
/* All that was held before ts_ns. */
void held_flush_older(struct conns *t, uint64_t ts_ns);
/* c goes away. */
void held_forget(struct conns *t, const struct conn *c);
void threads_free(struct conns *t);

/* ---- tls_bind.c ---- */

/* Plaintext of TLS object c: joins it with its socket where that is a fact, checks what was joined by lengths. */
void tls_found(struct conns *t, struct conn *c, const struct ev_data *e);
/* The socket's bytes are those of the TLS object, NULL not known. */
void tls_above(struct conn *sock, struct conn *tls);
/* A TLS socket sends n bytes that carry data, in an operation that is in no call to a TLS object; shaking: and what ends the
 * handshake. Joins it with the object they come from where only one can be meant. True: their plaintext was seen. */
bool tls_bind_out(struct conn *sock, const struct ev_data *e, uint64_t n, bool shaking);
/* A TLS socket received; record: the length of the record that begins there, 0 unknown. */
void tls_bind_in(struct conn *sock, const struct ev_data *e, unsigned record);
/* The socket below a TLS object, as far as that is certain; NULL it is not. */
struct conn *tls_below(const struct conn *tls);
/* Plaintext that thread tid just read from TLS object tls: did it come through a socket that has an open call? */
bool tls_came_through(const struct conn *tls, uint32_t tid);
/* The TLS object and its socket, if any, have nothing to do with each other. NULL is fine. */
void tls_part(struct conn *tls);

#endif
