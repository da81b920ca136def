/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is what a connection received last a reply, or no more than the end of a TLS handshake? A TLS 1.3 server sends its
 * session tickets when the client's Finished arrives (RFC 8446, 4.6.1), and the client's request leaves right behind
 * that: the kernel's counters then say "sent, later received" of a request that nobody answered.
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H
#include "evidence.h"

/* From the request to the tickets: beyond a round trip, what a server needs to check the Finished. No LLM is as quick. */
#define TICKETS_NS (100 * 1000000ULL)
/* A handshake with a long chain of certificates, and its tickets, are no more bytes. */
#define HANDSHAKE_BYTES_MAX 16384

enum reply_sign {
	REPLY_NONE, /* nothing was received since data was sent last */
	REPLY_MAYBE, /* what was received since may be the end of a handshake, or the beginning of a reply */
	REPLY_BEGAN, /* it is a reply */
};

enum tls_sign { TLS_UNKNOWN, TLS_YES, TLS_NO };

/* By the usual ports and by what the configuration says of a server with this port. */
enum tls_sign handshake_tls(const struct evidence *e, const struct ev_socket *s);
/* Of a TCP socket whose tcp_* fields were read. */
enum reply_sign handshake_reply(const struct evidence *e, const struct ev_socket *s);
#endif
