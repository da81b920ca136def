/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ClientHello (RFC 8446 4.1.2), gathered from the handshake records it is spread over (RFC 8446 5.1), and two of its
 * extensions: server_name (RFC 6066 3) and application_layer_protocol_negotiation (RFC 7301 3.1). Clients shuffle
 * extensions and invent some (RFC 8701), so the list is walked and what is not known is stepped over.
 */
#include "tls_hello.h"

#include <ctype.h>

#define RECORD_HANDSHAKE 22
#define RECORD_HEADER 5
#define CLIENT_HELLO 1
#define EXT_SERVER_NAME 0
#define EXT_ALPN 16

static unsigned be16(const char *p)
{
	return (unsigned)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

/* Takes n bytes off the front of b into *part; false when there are fewer. */
static bool take(struct bytes *b, size_t n, struct bytes *part)
{
	if (b->n < n)
		return false;
	*part = (struct bytes){ b->p, n };
	*b = bytes_from(*b, n);
	return true;
}

/* Takes a vector whose length stands before it in len_bytes. */
static bool take_vector(struct bytes *b, size_t len_bytes, struct bytes *part)
{
	struct bytes len;
	size_t n = 0;

	if (!take(b, len_bytes, &len))
		return false;
	for (size_t i = 0; i < len_bytes; i++)
		n = n << 8 | (uint8_t)len.p[i];
	return take(b, n, part);
}

static void read_name(struct bytes ext, struct tls_hello *to)
{
	struct bytes list, kind, name;

	if (!take_vector(&ext, 2, &list) || !take(&list, 1, &kind) || kind.p[0] != 0 ||
	    !take_vector(&list, 2, &name) || name.n >= sizeof(to->name))
		return;
	for (size_t i = 0; i < name.n; i++)
		if (!isalnum((unsigned char)name.p[i]) && !memchr("-._", name.p[i], 3))
			return;
	memcpy(to->name, name.p, name.n);
	to->name[name.n] = '\0';
}

static bool is_word(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (!isgraph((unsigned char)b.p[i]) || b.p[i] == ',')
			return false;
	return b.n > 0;
}

/* Names that are no words (RFC 8701 has some) and those beyond the room are left out. */
static void read_alpn(struct bytes ext, struct tls_hello *to)
{
	struct bytes list, name;
	size_t at = 0;

	if (!take_vector(&ext, 2, &list))
		return;
	while (take_vector(&list, 1, &name)) {
		if (!is_word(name) || at + name.n + 2 > sizeof(to->alpn))
			continue;
		if (at)
			to->alpn[at++] = ',';
		memcpy(to->alpn + at, name.p, name.n);
		at += name.n;
		to->alpn[at] = '\0';
	}
}

/* b: the body of the message, as much as is there. */
static void read_body(struct bytes b, struct tls_hello *to)
{
	struct bytes skipped, head, ext;

	if (!take(&b, 2 + 32, &skipped) ||   /* version, random */
	    !take_vector(&b, 1, &skipped) || /* session id */
	    !take_vector(&b, 2, &skipped) || /* cipher suites */
	    !take_vector(&b, 1, &skipped) || /* compression methods */
	    !take(&b, 2, &skipped))          /* length of the extensions */
		return;
	while (take(&b, 2, &head) && take_vector(&b, 2, &ext)) {
		if (be16(head.p) == EXT_SERVER_NAME)
			read_name(ext, to);
		else if (be16(head.p) == EXT_ALPN)
			read_alpn(ext, to);
	}
}

/* The handshake bytes of the records in b, at most room of them. False: something else is in between. */
static bool gather(struct bytes b, char *to, size_t room, size_t *n)
{
	*n = 0;
	while (b.n && *n < room) {
		size_t len, part;

		if (b.p[0] != RECORD_HANDSHAKE || (b.n > 1 && b.p[1] != 3))
			return false;
		if (b.n < RECORD_HEADER)
			return true;
		len = be16(b.p + 3);
		if (!len)
			return false; /* RFC 8446 5.1: no empty fragments of a handshake */
		b = bytes_from(b, RECORD_HEADER);
		part = len < b.n ? len : b.n;
		part = part < room - *n ? part : room - *n;
		memcpy(to + *n, b.p, part);
		*n += part;
		b = bytes_from(b, part);
	}
	return true;
}

enum tls_hello_match tls_hello_read(struct bytes b, struct tls_hello *to)
{
	char message[TLS_HELLO_MAX];
	size_t n, whole;

	*to = (struct tls_hello){ 0 };
	if (b.n < TLS_HELLO_LEAST || (uint8_t)b.p[2] > 4 ||
	    !gather(b, message, sizeof(message), &n) || !n || message[0] != CLIENT_HELLO)
		return TLS_HELLO_NO;
	if (n < 4)
		return TLS_HELLO_MORE;
	whole = 4 + ((size_t)(uint8_t)message[1] << 16 | be16(message + 2));
	if (whole > sizeof(message) || (n > 4 && message[4] != 3))
		return TLS_HELLO_NO;
	read_body((struct bytes){ message + 4, (n < whole ? n : whole) - 4 }, to);
	return n < whole ? TLS_HELLO_MORE : TLS_HELLO_YES;
}
