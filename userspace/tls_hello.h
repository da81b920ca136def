/* SPDX-License-Identifier: BSD-2-Clause */
/* What a TLS ClientHello tells in the clear: whom the client asks for, and which protocols it would speak. */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H
#include "base/bytes.h"

/* Bytes of records worth waiting for: post-quantum key shares make a ClientHello some 2 KB long. */
#define TLS_HELLO_MAX 16384
/* The bytes that tell one: record header, handshake header and version. */
#define TLS_HELLO_LEAST 11

struct tls_hello {
	char name[128]; /* server_name; "" none */
	char alpn[32];  /* protocols offered, in order, joined by ','; "" none */
};

enum tls_hello_match { TLS_HELLO_NO, TLS_HELLO_MORE, TLS_HELLO_YES };

/*
 * b: the first bytes of a connection, records and all. NO: this is no ClientHello, or a broken one. MORE: it goes on behind
 * b. to has what was found so far; an extension that is not whole gives nothing, nor does a name with bytes no name has.
 */
enum tls_hello_match tls_hello_read(struct bytes b, struct tls_hello *to);
#endif
