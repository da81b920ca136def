/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names that DNS answers gave to addresses (RFC 1035, RFC 3596): what a connection's other end is called before it sent a
 * byte, and where nothing in its bytes says so. The name is the one that was asked for, whatever aliases led to the address.
 */
#ifndef DNS_H
#define DNS_H
#include "base/bytes.h"

/* Longest name kept; RFC 1035 allows 255, no endpoint's is shown longer. */
#define DNS_NAME_MAX 128

struct dns;

struct dns *dns_new(void); /* NULL: out of memory */
void dns_free(struct dns *d);

/* A datagram that came from a name server, whole. False: it is no sound answer for addresses, and nothing is kept. */
bool dns_answer(struct dns *d, struct bytes b);
/* Whether b is such an answer and holds names and addresses alone. */
bool dns_is_answer(struct bytes b);

/* The name of an address (IPv4 as ::ffff:a.b.c.d); NULL: nobody asked, or answers for different names had it, so that it tells
 * none of them. Valid until the next answer. */
const char *dns_name(const struct dns *d, const uint8_t addr[static 16]);
#endif
