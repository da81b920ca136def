/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frames of one request stand together: from the innermost function of a client outwards, up to the first frame of no
 * client. What is further out (a request during which another is made, for a token say) is not mixed in.
 */
#include "python_requests.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "snapshot.h"

#define NAMES_MAX 64 /* of arguments and locals that are looked through: arguments come first */
#define CELL_VALUE 16
#define NAME_MAX_READ 48 /* of an argument or attribute */

/*
 * Where a part stands: an argument's name, then .attribute or [number]; more such places after a blank, the first that
 * is there counts; "=TEXT" stands for itself; "" nowhere. A scheme that is an object is told by its type's name.
 * whole: host, port and URL belong together whatever other frames have.
 */
static const struct row {
	const char *file, *function;
	const char *method, *scheme, *host, *port, *url;
	bool whole;
} rows[] = {
#define CORE(file, function, request)                                                         \
	{                                                                                     \
		"/httpcore/" file, function, request ".method", request ".url.scheme",        \
			request ".url.host", request ".url.port", request ".url.target", true \
	}
	CORE("_sync/connection_pool.py", "handle_request", "request"),
	CORE("_async/connection_pool.py", "handle_async_request", "request"),
	CORE("_sync/http11.py", "__iter__", "self._request"),
	CORE("_async/http11.py", "__aiter__", "self._request"),
	CORE("_sync/http2.py", "__iter__", "self._request"),
	CORE("_async/http2.py", "__aiter__", "self._request"),
#undef CORE
#define CONNECTION(function, method, url)                                                   \
	{                                                                                   \
		"/http/client.py", function, method, "self", "self._tunnel_host self.host", \
			"self._tunnel_port self.port", url, false                           \
	}
	CONNECTION("connect", "", ""),
	CONNECTION("putrequest", "method", "url"),
	CONNECTION("request", "method", "url"),
	CONNECTION("_send_request", "method", "url"),
	CONNECTION("getresponse", "self._method", ""),
#undef CONNECTION
	{ "/http/client.py", "read", "self._method", "", "", "", "self.url", false },
	{ "/http/client.py", "read1", "self._method", "", "", "", "self.url", false },
	{ "/http/client.py", "readinto", "self._method", "", "", "", "self.url", false },
	{ "/http/client.py", "readline", "self._method", "", "", "", "self.url", false },
	{ "/urllib/request.py", "do_open", "req.method", "", "", "", "req._full_url", false },
	{ "/urllib/request.py", "open", "", "", "", "", "fullurl fullurl._full_url", false },
	{ "/urllib/request.py", "urlopen", "", "", "", "", "url url._full_url", false },
	{ "/urllib3/connectionpool.py", "urlopen", "method", "self", "self.host", "self.port",
	  "url", false },
	{ "/urllib3/connectionpool.py", "_make_request", "method", "self", "self.host", "self.port",
	  "url", false },
	{ "/urllib3/poolmanager.py", "urlopen", "method", "", "", "", "url", false },
	{ "/requests/adapters.py", "send", "request.method", "", "", "", "request.url", false },
	{ "/requests/sessions.py", "send", "request.method", "", "", "", "request.url", false },
	{ "/requests/sessions.py", "request", "method", "", "", "", "url", false },
	{ "/requests/models.py", "iter_lines", "self.request.method", "", "", "", "self.url",
	  false },
	{ "/requests/models.py", "content", "self.request.method", "", "", "", "self.url", false },
	{ "/httpx/_client.py", "request", "method", "", "", "", "url", false },
	{ "/httpx/_client.py", "stream", "method", "", "", "", "url", false },
	{ "/httpx/_client.py", "send", "request.method", "", "", "", "", false },
	{ "/aiohttp/client.py", "_request", "method", "", "", "", "str_or_url", false },
#define BASE_CLIENT(file, verb, method)                       \
	{                                                     \
		file, verb, method, "", "", "", "path", false \
	}
	BASE_CLIENT("/openai/_base_client.py", "post", "=POST"),
	BASE_CLIENT("/openai/_base_client.py", "get", "=GET"),
	BASE_CLIENT("/anthropic/_base_client.py", "post", "=POST"),
	BASE_CLIENT("/anthropic/_base_client.py", "get", "=GET"),
	BASE_CLIENT("/google/genai/_api_client.py", "request", "http_method"),
	BASE_CLIENT("/google/genai/_api_client.py", "async_request", "http_method"),
	BASE_CLIENT("/google/genai/_api_client.py", "request_streamed", "http_method"),
	BASE_CLIENT("/google/genai/_api_client.py", "async_request_streamed", "http_method"),
#undef BASE_CLIENT
	{ "/ollama/_client.py", "_request_raw", "args[0]", "", "", "", "args[1]", false },
	{ "/redis/client.py", "execute_command", "args[0]", "", "", "", "=redis:", true },
	{ "/redis/asyncio/client.py", "execute_command", "args[0]", "", "", "", "=redis:", true },
};

/* Frames of these may stand between those of the table. */
static const char *const packages[] = {
	"/http/client.py", "/urllib/request.py", "/urllib3/", "/requests/",
	"/httpx/",         "/httpcore/",         "/aiohttp/", "/openai/",
	"/anthropic/",     "/google/genai/",     "/ollama/",  "/redis/",
	"/contextlib.py",
};

/* ---- URLs ---- */

static size_t scheme_length(const char *s, size_t n)
{
	size_t i = 0;

	if (!n || !isalpha((unsigned char)s[0]))
		return 0;
	while (i < n && (isalnum((unsigned char)s[i]) || strchr("+.-", s[i])))
		i++;
	return i < sizeof(((struct python_url *)0)->scheme) && n - i >= 3 &&
	                       memcmp(s + i, "://", 3) == 0
	               ? i
	               : 0;
}

/* A host's name or address without brackets; anything strange in it: none. */
static bool host_set(struct python_url *u, const char *s, size_t n)
{
	if (n >= 2 && s[0] == '[' && s[n - 1] == ']') {
		s++;
		n -= 2;
	}
	if (!n || n >= sizeof(u->host))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("._:-", s[i]))
			return false;
	memcpy(u->host, s, n);
	u->host[n] = '\0';
	return true;
}

/* user:password@host:port */
static bool authority_set(struct python_url *u, const char *s, size_t n)
{
	const char *at = memrchr(s, '@', n), *colon;
	uint32_t port = 0;

	if (at) {
		n -= (size_t)(at + 1 - s);
		s = at + 1;
	}
	colon = memrchr(s, ':', n);
	if (colon && !memchr(colon, ']', n - (size_t)(colon - s))) {
		for (const char *p = colon + 1; p < s + n; p++) {
			if (!isdigit((unsigned char)*p))
				return false;
			port = port * 10 + (uint32_t)(*p - '0');
			if (port > UINT16_MAX)
				return false;
		}
		n = (size_t)(colon - s);
	}
	u->port = port;
	return host_set(u, s, n);
}

/* Up to a part that looks like a user's name and password; the last one may be half of such (cut). */
static void path_set(struct python_url *u, const char *s, size_t n, bool cut)
{
	size_t i = 0, at = 0;

	while (i < n) {
		const char *slash = memchr(s + i + 1, '/', n - i - 1), *sign;
		size_t end = slash ? (size_t)(slash - s) : n;

		sign = memchr(s + i, '@', end - i);
		if ((sign && memchr(s + i, ':', (size_t)(sign - s) - i)) || (cut && end == n))
			break;
		for (; i < end && at < PYTHON_URL_PATH_MAX; i++)
			u->path[at++] = isalnum((unsigned char)s[i]) || strchr("/_.:-~%", s[i])
			                        ? s[i]
			                        : '?';
		i = end;
	}
	u->path[at] = '\0';
}

void python_url_split(const char *url, size_t n, bool cut, struct python_url *to)
{
	struct python_url u = { 0 };
	size_t end = 0, scheme = scheme_length(url, n), authority;

	*to = u;
	while (end < n && !strchr("?#;\\", url[end]))
		end++;
	cut = cut && end == n;
	if (scheme || (end >= 2 && url[0] == '/' && url[1] == '/')) {
		const char *s = url + scheme + (scheme ? 3 : 2), *slash;

		if (s > url + end)
			return;
		slash = memchr(s, '/', (size_t)(url + end - s));
		authority = slash ? (size_t)(slash - s) : (size_t)(url + end - s);
		if ((!slash && cut) || !authority_set(&u, s, authority))
			return;
		memcpy(u.scheme, url, scheme);
		path_set(&u, s + authority, (size_t)(url + end - s) - authority, cut);
	} else {
		const char *slash = memchr(url, '/', end);
		size_t first = slash ? (size_t)(slash - url) : end;

		/* of a user's name and password, or of what is no URL of a server */
		if (memchr(url, '@', first) || memchr(url, ':', first))
			return;
		path_set(&u, url, end, cut);
	}
	*to = u;
}

/* ---- places ---- */

/* The value of an argument or local, 0 none. */
static uint64_t local_find(struct python_reader *r, const struct python_code *code, uint64_t frame,
                           const char *name, size_t n)
{
	int64_t names = python_tuple_size(r->pid, code->names);
	char text[PYTHON_UTF8_MAX];
	uint64_t item, value;

	for (int64_t i = 0; i < names && i < NAMES_MAX; i++) {
		if (!python_tuple_item(r->pid, r->shape, code->names, (uint64_t)i, &item) ||
		    python_text(r->pid, r->shape, item, false, text) != (int)n ||
		    memcmp(text, name, n) != 0)
			continue;
		if (!python_word(r->pid, frame + r->layout.locals + (uint64_t)i * 8, &value) ||
		    (value & 3) == 3) /* from 3.14 on: a number, not an object */
			return 0;
		value &= ~3ull;
		/* one that an inner function uses, too */
		if (python_is_a(r->pid, value, "cell") &&
		    !python_word(r->pid, value + CELL_VALUE, &value))
			return 0;
		return value;
	}
	return 0;
}

/* One place, n characters long; 0 nothing there. */
static uint64_t place_find(struct python_reader *r, const struct python_code *code, uint64_t frame,
                           const char *place, size_t n)
{
	const char *p = place, *end = place + n;
	size_t len = strcspn(p, ".[ ");
	uint64_t object = local_find(r, code, frame, p, len < n ? len : n);

	for (p += len; p < end && object; p += len) {
		char name[NAME_MAX_READ];
		bool found;

		if (*p == '[') {
			len = 3; /* one digit */
			found = python_tuple_item(r->pid, r->shape, object, (uint64_t)(p[1] - '0'),
			                          &object);
		} else {
			len = 1 + strcspn(p + 1, ".[ ");
			snprintf(name, sizeof(name), "%.*s", (int)len - 1, p + 1);
			found = python_attribute(r->pid, r->shape, object, name, &object);
		}
		if (!found)
			return 0;
	}
	return object;
}

/* The first text there is, as python_ascii(); -1 none. */
static int place_text(struct python_reader *r, const struct python_code *code, uint64_t frame,
                      const char *places, char to[static PYTHON_ASCII_MAX], bool *cut)
{
	*cut = false;
	if (*places == '=') {
		memcpy(to, places + 1, strlen(places + 1));
		return (int)strlen(places + 1);
	}
	while (*places) {
		size_t n = strcspn(places, " ");
		uint64_t object = place_find(r, code, frame, places, n);
		int len = object ? python_ascii(r->pid, r->shape, object, to, cut) : -1;

		if (len >= 0)
			return len;
		places += n + (places[n] == ' ');
	}
	return -1;
}

static uint32_t place_port(struct python_reader *r, const struct python_code *code, uint64_t frame,
                           const char *places)
{
	while (*places) {
		size_t n = strcspn(places, " ");
		uint64_t object = place_find(r, code, frame, places, n);
		uint32_t port;

		if (object && python_int(r->pid, r->shape, object, &port) && port <= UINT16_MAX)
			return port;
		places += n + (places[n] == ' ');
	}
	return 0;
}

static void place_scheme(struct python_reader *r, const struct python_code *code, uint64_t frame,
                         const char *place, struct python_url *u)
{
	uint64_t object = place_find(r, code, frame, place, strlen(place));
	char text[PYTHON_ASCII_MAX], type[64];
	bool cut;
	int n = object ? python_ascii(r->pid, r->shape, object, text, &cut) : -1;

	if (n > 0 && (size_t)n < sizeof(u->scheme)) {
		for (int i = 0; i < n; i++)
			if (!isalnum((unsigned char)text[i]))
				return;
		memcpy(u->scheme, text, (size_t)n);
		u->scheme[n] = '\0';
	} else if (object && n < 0 && python_type_name(r->pid, object, type, sizeof(type))) {
		snprintf(u->scheme, sizeof(u->scheme), "%s",
		         strstr(type, "HTTPSConnection")  ? "https"
		         : strstr(type, "HTTPConnection") ? "http"
		                                          : "");
	}
}

/* ---- requests ---- */

static bool ends_with(const char *text, size_t n, const char *end)
{
	size_t len = strlen(end);

	return n >= len && memcmp(text + n - len, end, len) == 0;
}

static const struct row *row_of(const struct python_code *code)
{
	const char *dot = memrchr(code->name, '.', code->nname); /* from 3.11 on: Class.function */
	const char *function = dot ? dot + 1 : code->name;
	size_t n = code->nname - (size_t)(function - code->name);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strlen(rows[i].function) == n && memcmp(rows[i].function, function, n) == 0 &&
		    ends_with(code->file, code->nfile, rows[i].file))
			return &rows[i];
	return NULL;
}

static bool is_clients(const struct python_code *code)
{
	for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++)
		if (memmem(code->file, code->nfile, packages[i], strlen(packages[i])))
			return true;
	return false;
}

/* The first word of it; of anything else than a name nothing. */
static void method_set(struct python_reader *r, const struct python_code *code, uint64_t frame,
                       const char *places, char to[static 32])
{
	char text[PYTHON_ASCII_MAX];
	bool cut;
	int n = place_text(r, code, frame, places, text, &cut), i = 0;

	while (i < n && (isalnum((unsigned char)text[i]) || strchr("_.-", text[i])))
		i++;
	if (i < 1 || i > 31 || (i < n && text[i] != '?')) /* '?' was a blank */
		return;
	for (int k = 0; k < i; k++)
		to[k] = (char)toupper((unsigned char)text[k]);
	to[i] = '\0';
}

/* What one frame knows of the URL; true: its host stands in the text of a URL. */
static bool url_read(struct python_reader *r, const struct row *row, const struct python_code *code,
                     uint64_t frame, struct python_url *u)
{
	char text[PYTHON_ASCII_MAX];
	bool cut;
	int n = place_text(r, code, frame, row->url, text, &cut);

	*u = (struct python_url){ 0 };
	if (*row->url == '=')
		snprintf(u->path, sizeof(u->path), "%s", row->url + 1);
	else if (n > 0)
		python_url_split(text, (size_t)n, cut, u);
	if (u->host[0] || !*row->host)
		return u->host[0] != '\0';
	place_scheme(r, code, frame, row->scheme, u);
	n = u->scheme[0] ? place_text(r, code, frame, row->host, text, &cut) : -1;
	if (n > 0 && !cut && host_set(u, text, (size_t)n))
		u->port = place_port(r, code, frame, row->port);
	return false;
}

void python_request_begin(struct python_request *q)
{
	*q = (struct python_request){ 0 };
}

void python_request_frame(struct python_reader *r, struct python_request *q,
                          const struct python_code *code, uint64_t frame)
{
	const struct row *row = q->over ? NULL : row_of(code);
	struct python_url u;
	bool text;

	if (!row) {
		q->over = q->over || (q->begun && !is_clients(code));
		return;
	}
	q->begun = true;
	if (!q->method[0])
		method_set(r, code, frame, row->method, q->method);
	if (q->whole)
		return;
	text = url_read(r, row, code, frame, &u);
	if (text || (row->whole && (u.host[0] || *row->url == '='))) {
		q->url = u; /* of inner frames: a proxy's, or the same */
		q->whole = true;
		return;
	}
	if (u.host[0] && !q->url.host[0]) {
		memcpy(q->url.scheme, u.scheme, sizeof(u.scheme));
		memcpy(q->url.host, u.host, sizeof(u.host));
		q->url.port = u.port;
	}
	if (u.path[0] && !q->url.path[0])
		memcpy(q->url.path, u.path, sizeof(u.path));
}

void python_request_emit(struct python_reader *r, const struct python_request *q, uint32_t tid,
                         uint64_t task)
{
	union {
		struct ev_request request;
		char bytes[sizeof(struct ev_request) + sizeof(*q) + 32];
	} e;
	const struct python_url *u = &q->url;
	bool six = strchr(u->host, ':') != NULL;
	char port[8] = "";
	int n;

	if (!q->method[0] && !u->host[0] && !u->path[0])
		return;
	memset(&e, 0, sizeof(e));
	if (u->port)
		snprintf(port, sizeof(port), ":%u", (unsigned)u->port % 65536);
	n = snprintf(e.request.text, sizeof(e) - sizeof(e.request), "%s%c%s%s%s%s%s%s%s", q->method,
	             '\0', u->host[0] ? u->scheme : "", u->host[0] ? "://" : "", six ? "[" : "",
	             u->host, six ? "]" : "", port, u->path);
	e.request.h = (struct event){ .size = (uint32_t)(sizeof(e.request) + (size_t)n),
		                      .type = EV_REQUEST,
		                      .ts_ns = now_ns(),
		                      .pid = r->pid,
		                      .tid = tid };
	e.request.task = task;
	r->emit(r->ctx, &e.request.h);
}
