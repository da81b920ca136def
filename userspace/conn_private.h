/* SPDX-License-Identifier: BSD-2-Clause */
/* What conn.c and cipher.c share. */
#ifndef CONN_PRIVATE_H
#define CONN_PRIVATE_H
#include "conn.h"

#define THREAD_BUCKETS 1024
#define GENERIC_CAPTURE 64     /* bytes of an operation that tell whether a known protocol begins */
#define CIPHER_CAPTURE 128     /* record headers, and a client's Finished with what follows it */
#define CAPTURE_ALL (2u << 20) /* bpf/state.h CAPTURE_DEFAULT */

struct flow_thread;

struct conns {
	struct conn_ops ops;
	const struct endpoint_rules *rules;
	struct conn **buckets;
	struct conn **by_ends; /* TCP sockets whose both ends are known */
	struct flow_thread **threads;
	struct dns *dns; /* names that the target asked for */
	size_t n;
	uint64_t ids, forgotten;
	bool seeding; /* the first snapshot has not ended */
	uint64_t attach_ns;
	uint64_t last, turns; /* socket used last by anybody, and how often that changed */
};

/* Feeds a connection's parser; dir as in the event. */
void conn_feed(struct conn *c, int dir, struct bytes b, uint64_t gap, enum partial why,
               const struct stamp *at);
void conn_stop(struct conn *c, enum done_why why, const struct stamp *at);
void conn_part(struct conn *c);
void conn_rename(struct conn *c);

/* ---- cipher.c ---- */

/* Thread tid uses socket c now. */
void socket_used(struct conns *t, uint32_t tid, const struct conn *c);

/* The socket the thread used last, NULL unknown. */
const struct conn *thread_socket(struct conns *t, uint32_t tid);

/* The first bytes of an operation on a socket: does TLS begin here, or is it under way? */
void conn_look(struct conn *c, const struct ev_data *e);
/* An operation on a socket that carries TLS. */
void cipher_data(struct conn *c, const struct ev_data *e);
/* Plaintext of TLS object c: joins it with its socket where that is certain. */
void tls_found(struct conns *t, struct conn *c, const struct ev_data *e);
/* The socket's bytes are those of the TLS object, NULL not known. */
void tls_above(struct conn *sock, struct conn *tls);

/* Ciphertext written by a thread waits for the thread's next event, which tells whether its plaintext is seen. now: that
 * event, or NULL. */
void held_flush(struct conns *t, uint32_t tid, const struct ev_data *now);
/* All that was held before ts_ns. */
void held_flush_older(struct conns *t, uint64_t ts_ns);
/* c goes away. */
void held_forget(struct conns *t, const struct conn *c);
void threads_free(struct conns *t);

#endif
