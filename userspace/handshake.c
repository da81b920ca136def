/* SPDX-License-Identifier: BSD-2-Clause */
/* What the ages and counters of a TCP connection leave open, and what they do not. */
#include "handshake.h"

#include <string.h>

/* Schemes that say whether TLS is spoken; "https" and its like, by the letter they end with, do. */
static enum tls_sign scheme_sign(struct bytes scheme)
{
	static const char *const tls[] = { "https", "wss", "grpcs" }, *const plain[] = { "http",
		                                                                         "ws" };

	for (size_t i = 0; i < sizeof(tls) / sizeof(*tls); i++)
		if (bytes_equal(scheme, tls[i]))
			return TLS_YES;
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (bytes_equal(scheme, plain[i]))
			return TLS_NO;
	return TLS_UNKNOWN;
}

enum tls_sign handshake_tls(const struct evidence *e, const struct ev_socket *s)
{
	enum tls_sign found = TLS_UNKNOWN;
	size_t n;
	const struct ev_name *const *names = evidence_names(e, s->h.pid, &n);

	if (s->remote_port == 443)
		return TLS_YES;
	if (s->remote_port == 80)
		return TLS_NO;
	for (size_t i = 0; i < n; i++) {
		enum tls_sign sign = scheme_sign(name_text(names[i]).scheme);

		if (names[i]->port != s->remote_port || sign == TLS_UNKNOWN)
			continue;
		if (found != TLS_UNKNOWN && sign != found)
			return TLS_UNKNOWN;
		found = sign;
	}
	return found;
}

enum reply_sign handshake_reply(const struct evidence *e, const struct ev_socket *s)
{
	uint64_t after, window = TICKETS_NS + (uint64_t)s->tcp_rtt_us * 1000;
	enum tls_sign tls;

	if (!s->tcp_bytes_recv || !s->tcp_bytes_sent || s->tcp_last_recv_ns > s->tcp_last_sent_ns)
		return REPLY_NONE;
	after = s->tcp_last_sent_ns - s->tcp_last_recv_ns;
	tls = handshake_tls(e, s);
	if (tls != TLS_NO && after <= window && s->tcp_bytes_recv <= HANDSHAKE_BYTES_MAX)
		return after || tls == TLS_YES ? REPLY_MAYBE : REPLY_NONE;
	return after ? REPLY_BEGAN
	             : REPLY_NONE; /* in one tick of the kernel's clock: a request after a reply */
}
