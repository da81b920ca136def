/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages are handed on whole; of one that a gap went through, or that is too long, the part before that. */
#include "proto/grpc.h"

#include <ctype.h>
#include <stdio.h>

#include "proto/http_exchange.h"

static uint32_t prefix_length(const uint8_t *p)
{
	return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
}

static void collect(void *ctx, struct bytes b)
{
	buf_add(ctx, b.p, b.n);
}

/* The message as it was before it was compressed; false: it cannot be had. */
static bool unpack(const struct grpc_messages *m, struct buf *out)
{
	struct decoder *d = m->coding == CODING_IDENTITY ? NULL : decoder_new(m->coding);
	bool good = d && decoder_feed(d, buf_bytes(&m->kept), collect, out) == DECODE_OK;

	decoder_free(d);
	return good;
}

static void message_end(struct grpc_messages *m, struct http_exchange *x, int dir, uint64_t ts_ns)
{
	struct buf plain = { 0 };
	bool packed = m->prefix[0] & 1, cut = m->holed || m->left;

	if (packed && (cut || !unpack(m, &plain))) {
		http_exchange_partial(x, PARTIAL_NO_PLAINTEXT);
		http_exchange_grpc_message(x, dir, bytes_of(""), true, ts_ns);
	} else if (packed) {
		http_exchange_grpc_message(x, dir, plain.n ? buf_bytes(&plain) : bytes_of(""),
		                           false, ts_ns);
	} else {
		http_exchange_grpc_message(x, dir, m->kept.n ? buf_bytes(&m->kept) : bytes_of(""),
		                           cut, ts_ns);
	}
	buf_free(&plain);
	buf_free(&m->kept);
	m->nprefix = 0;
	m->holed = false;
	m->left = 0;
}

static void keep(struct grpc_messages *m, struct http_exchange *x, struct bytes b)
{
	if (m->holed)
		return;
	if (b.n > GRPC_MESSAGE_MAX - m->kept.n || !buf_add(&m->kept, b.p, b.n)) {
		m->holed = true;
		http_exchange_partial(x, PARTIAL_TRUNCATED);
	}
}

static void prefix_byte(struct grpc_messages *m, char c)
{
	m->prefix[m->nprefix++] = (uint8_t)c;
	if (m->nprefix < GRPC_PREFIX)
		return;
	m->left = prefix_length(m->prefix);
	/* the flag is 0 or 1: what is neither is no message */
	m->lost = m->prefix[0] > 1;
}

void grpc_feed(struct grpc_messages *m, struct http_exchange *x, int dir, struct bytes b,
               uint64_t ts_ns)
{
	while (b.n && !m->lost) {
		if (m->nprefix < GRPC_PREFIX) {
			prefix_byte(m, b.p[0]);
			b = bytes_from(b, 1);
		} else {
			struct bytes part = { b.p, b.n < m->left ? b.n : m->left };

			keep(m, x, part);
			m->left -= (uint32_t)part.n;
			b = bytes_from(b, part.n);
		}
		if (m->nprefix == GRPC_PREFIX && !m->left && !m->lost)
			message_end(m, x, dir, ts_ns);
	}
}

void grpc_gap(struct grpc_messages *m, struct http_exchange *x, int dir, uint64_t n, uint64_t ts_ns)
{
	bool inside = m->nprefix == GRPC_PREFIX && n <= m->left;

	if (m->lost || !n)
		return;
	m->holed = true;
	if (inside)
		m->left -= (uint32_t)n;
	if (!inside || !m->left)
		message_end(m, x, dir, ts_ns);
	m->lost = !inside;
}

void grpc_free(struct grpc_messages *m)
{
	buf_free(&m->kept);
}

/* ---- headers ---- */

bool grpc_content_type(struct bytes type)
{
	static const char name[] = "application/grpc";
	struct bytes rest = bytes_from(type, sizeof(name) - 1);

	/* also "+proto", "; charset"; not "application/grpc-web", which frames its trailers as messages */
	return bytes_start(type, name) && (!rest.n || *rest.p == '+' || *rest.p == ';');
}

double grpc_timeout_s(struct bytes value)
{
	static const struct {
		char unit;
		double s;
	} units[] = { { 'H', 3600 }, { 'M', 60 },   { 'S', 1 },
		      { 'm', 1e-3 }, { 'u', 1e-6 }, { 'n', 1e-9 } };
	double n = 0;

	/* up to eight digits and a unit */
	if (value.n < 2 || value.n > 9)
		return -1;
	for (size_t i = 0; i + 1 < value.n; i++) {
		if (!isdigit((unsigned char)value.p[i]))
			return -1;
		n = n * 10 + (value.p[i] - '0');
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (value.p[value.n - 1] == units[i].unit)
			return n * units[i].s;
	return -1;
}

bool grpc_outcome(struct bytes value, enum call_status *status, const char **kind)
{
	/* doc/statuscodes.md */
	static const struct {
		const char *name;
		enum call_status status;
	} codes[] = {
		{ "", CALL_OK },
		{ "CANCELLED", CALL_ABORTED },
		{ "UNKNOWN", CALL_ERROR },
		{ "INVALID_ARGUMENT", CALL_ERROR },
		{ "DEADLINE_EXCEEDED", CALL_TIMEOUT },
		{ "NOT_FOUND", CALL_ERROR },
		{ "ALREADY_EXISTS", CALL_ERROR },
		{ "PERMISSION_DENIED", CALL_ERROR },
		{ "RESOURCE_EXHAUSTED", CALL_RATE_LIMITED },
		{ "FAILED_PRECONDITION", CALL_ERROR },
		{ "ABORTED", CALL_ERROR },
		{ "OUT_OF_RANGE", CALL_ERROR },
		{ "UNIMPLEMENTED", CALL_ERROR },
		{ "INTERNAL", CALL_ERROR },
		{ "UNAVAILABLE", CALL_ERROR },
		{ "DATA_LOSS", CALL_ERROR },
		{ "UNAUTHENTICATED", CALL_ERROR },
	};
	size_t code = 0;

	if (!value.n || value.n > 3)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (!isdigit((unsigned char)value.p[i]))
			return false;
		code = code * 10 + (size_t)(value.p[i] - '0');
	}
	if (code >= sizeof(codes) / sizeof(codes[0]))
		code = 2; /* an unknown code is to be taken for UNKNOWN */
	*status = codes[code].status;
	*kind = codes[code].name;
	return true;
}

void grpc_op(char op[static CALL_OP_MAX], struct bytes path)
{
	path = path.n && path.p[0] == '/' ? bytes_from(path, 1) : path;
	while (path.n > CALL_OP_MAX - 2) {
		const char *dot = memchr(path.p, '.', path.n);
		const char *slash = memchr(path.p, '/', path.n);

		if (!dot || (slash && slash < dot))
			break;
		path = bytes_from(path, (size_t)(dot - path.p) + 1);
	}
	op[0] = '/';
	if (path.n > CALL_OP_MAX - 2)
		path.n = CALL_OP_MAX - 2;
	for (size_t i = 0; i < path.n; i++)
		op[i + 1] = path.p[i] > ' ' && path.p[i] < 0x7f ? path.p[i] : '?';
	op[path.n + 1] = '\0';
}

bool grpc_fills(struct bytes prefix, uint32_t n)
{
	uint32_t length = prefix_length((const uint8_t *)prefix.p);

	if ((uint8_t)prefix.p[0] > 1 || length > GRPC_MESSAGE_MAX)
		return false;
	return length + GRPC_PREFIX == n || (n == GRPC_PREFIX && length) ||
	       (length + GRPC_PREFIX > n && n >= 8192);
}

bool grpc_is_path(struct bytes path)
{
	struct bytes rest = bytes_from(path, 1), service, method;

	if (!path.n || path.p[0] != '/')
		return false;
	service = bytes_to(&rest, '/');
	method = rest;
	return service.n && memchr(service.p, '.', service.n) && method.n &&
	       !memchr(method.p, '/', method.n);
}

bool grpc_is_health_check(struct bytes path, bool *watch)
{
	*watch = bytes_equal(path, "/grpc.health.v1.Health/Watch");
	return *watch || bytes_equal(path, "/grpc.health.v1.Health/Check");
}
