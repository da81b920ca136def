/* SPDX-License-Identifier: BSD-2-Clause */
/* Told by their first lines: requests and replies of HTTP/1. */
#include "proto/http1_line.h"

#include <http_parser.h>
#include <strings.h>

struct bytes http1_until(struct bytes b, const char *stops)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] && strchr(stops, b.p[i]))
			return (struct bytes){ b.p, i };
	return b;
}

/* Length of "http://" or "https://" in front of b, else 0. */
size_t http1_scheme(struct bytes b)
{
	if (b.n >= 7 && strncasecmp(b.p, "http://", 7) == 0)
		return 7;
	return b.n >= 8 && strncasecmp(b.p, "https://", 8) == 0 ? 8 : 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static enum proto_match starts_with(struct bytes b, const char *s)
{
	size_t n = strlen(s);

	if (!b.n)
		return PROTO_MAYBE;
	if (b.n >= n)
		return memcmp(b.p, s, n) ? PROTO_NO : PROTO_YES;
	return memcmp(b.p, s, b.n) ? PROTO_NO : PROTO_MAYBE;
}

/* "HTTP/1." and the digits of version and status. */
enum proto_match http1_status_line(struct bytes b)
{
	enum proto_match m = starts_with(b, "HTTP/1.");

	if (m != PROTO_YES)
		return m;
	if ((b.n > 7 && !is_digit(b.p[7])) || (b.n > 8 && b.p[8] != ' ') ||
	    (b.n > 9 && !is_digit(b.p[9])))
		return PROTO_NO;
	return b.n > 9 ? PROTO_YES : PROTO_MAYBE;
}

/* A method and its space in front of b; *rest is what follows. */
static enum proto_match method_word(struct bytes b, struct bytes *rest, bool *connect)
{
	enum proto_match best = PROTO_NO;

	/* libhttp_parser numbers its methods from 0 without a hole */
	for (int i = 0; i <= HTTP_SOURCE; i++) {
		const char *name = http_method_str((enum http_method)i);
		size_t n = strlen(name);
		enum proto_match m = starts_with(b, name);

		if (m == PROTO_YES && b.n > n && b.p[n] == ' ') {
			*rest = bytes_from(b, n + 1);
			*connect = i == HTTP_CONNECT;
			return PROTO_YES;
		}
		if (m == PROTO_MAYBE || (m == PROTO_YES && b.n == n))
			best = PROTO_MAYBE;
	}
	return best;
}

/* " HTTP/1." behind the target in front of b: the whole line, as no other protocol has it. */
static enum proto_match version_behind(struct bytes b)
{
	struct bytes target = http1_until(b, " \r\n");

	if (target.n == b.n)
		return PROTO_MAYBE;
	return starts_with(bytes_from(b, target.n), " HTTP/1.");
}

/* Whether b begins a request: method, space, and a target in one of its forms. Other protocols
 * have the same words (SIP, RTSP, NATS), but never these targets; CONNECT's could be anything,
 * there the version must follow. */
static enum proto_match request_line(struct bytes b)
{
	struct bytes target;
	bool connect;
	enum proto_match m = method_word(b, &target, &connect), a;

	if (m != PROTO_YES)
		return m;
	if (!target.n)
		return PROTO_MAYBE;
	if (connect)
		return version_behind(target);
	if (target.p[0] == '/' || (target.p[0] == '*' && (target.n == 1 || target.p[1] == ' ')))
		return PROTO_YES;
	if (http1_scheme(target))
		return PROTO_YES;
	a = target.n < 8 && strncasecmp(target.p, "https://", target.n) == 0 ? PROTO_MAYBE
	                                                                     : PROTO_NO;
	return target.n < 7 && strncasecmp(target.p, "http://", target.n) == 0 ? PROTO_MAYBE : a;
}

/* The same in the middle of a connection, where a body could look like it: the version must be
 * there. */
bool http1_request_begins(struct bytes b)
{
	struct bytes target;
	bool connect;

	return request_line(b) == PROTO_YES && method_word(b, &target, &connect) == PROTO_YES &&
	       version_behind(target) == PROTO_YES;
}

/* One direction; which of the two carries the requests depends on who we are. */
enum proto_match http1_first_line(struct bytes b)
{
	enum proto_match m = request_line(b);

	return m == PROTO_NO ? http1_status_line(b) : m;
}
