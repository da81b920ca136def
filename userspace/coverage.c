/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts, and two lists: endpoints with what was seen of their bytes, and TLS libraries. */
#include "coverage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "file_store.h"
#include "out/metrics.h"

#define ENDPOINTS_MAX 256 /* named; the connections of the rest are counted */
#define LIBRARIES_MAX 64
#define FILES_MAX 16  /* databases in files */
#define QUIC_PORT 443 /* RFC 9114, 3.1: HTTP/3 by the port of its https URL */

struct seen {
	char name[140];
	char alpn[32];   /* as in struct conn, of the newest connection that said */
	const char *why; /* static: why plaintext was missing, NULL it was not */
	enum call_class class;
	uint64_t connections, wire, plaintext, dropped;
	uint64_t unread, unread_bytes; /* connections whose plaintext was not seen */
};

struct library {
	char path[256];
	char family[16];
	char how[192]; /* it was found, or why it cannot be read */
	uint16_t state, err;
	unsigned processes, functions;
};

struct coverage {
	uint64_t events, ring, slots, faults;
	uint64_t calls[4], partial[PARTIAL_NO_PLAINTEXT + 1], at_least;
	uint64_t llm_bytes, llm_plaintext;
	uint64_t gaps;
	struct seen endpoints[ENDPOINTS_MAX];
	size_t nendpoints;
	uint64_t connections_more, unread_more;
	struct library libraries[LIBRARIES_MAX];
	size_t nlibraries;
	uint64_t libraries_more, files_more; /* times that others were told of */
	unsigned hooked;
	char files[FILES_MAX][256];
	size_t nfiles;
};

struct coverage *coverage_new(void)
{
	return calloc(1, sizeof(struct coverage));
}

void coverage_free(struct coverage *v)
{
	free(v);
}

/* One of the texts behind each other, each ended by a NUL or the record's end, from *from on. */
static void text_next(const struct ev_tls_lib *e, size_t *from, char *to, size_t room)
{
	size_t left = e->h.size - sizeof(*e) - *from, n = strnlen(e->text + *from, left);

	snprintf(to, room, "%.*s", (int)n, e->text + *from);
	*from += n < left ? n + 1 : left;
}

static void library_tell(const struct library *l)
{
	if (l->state == LIB_HOOKED)
		log_debug("TLS code in %s: %s, %u functions hooked, found by %s", l->path,
		          l->family, l->functions, l->how);
	else
		log_debug("TLS code in %s: not hooked: %s", l->path,
		          l->state == LIB_FAILED ? strerror(l->err) : l->how);
}

static void library_seen(struct coverage *v, const struct ev_tls_lib *e)
{
	struct library *l = v->libraries, seen = {
		.state = e->state, .err = e->err, .functions = e->functions, .processes = 1
	};
	size_t from = 0;

	text_next(e, &from, seen.path, sizeof(seen.path));
	text_next(e, &from, seen.family, sizeof(seen.family));
	text_next(e, &from, seen.how, sizeof(seen.how));
	library_tell(&seen);
	v->hooked += e->state == LIB_HOOKED;
	for (size_t i = 0; i < v->nlibraries; i++, l++) {
		if (strcmp(l->path, seen.path) == 0 && l->state == e->state) {
			l->processes++;
			return;
		}
	}
	if (v->nlibraries == LIBRARIES_MAX)
		v->libraries_more++;
	else
		v->libraries[v->nlibraries++] = seen;
}

static void file_seen(struct coverage *v, const char *text, size_t n)
{
	struct bytes path = file_store_path((struct bytes){ text, n });

	if (!path.n)
		return;
	for (size_t i = 0; i < v->nfiles; i++)
		if (bytes_equal(path, v->files[i]))
			return;
	if (v->nfiles == FILES_MAX || path.n >= sizeof(v->files[0])) {
		v->files_more++;
		return;
	}
	memcpy(v->files[v->nfiles], path.p, path.n);
	v->files[v->nfiles++][path.n] = '\0';
}

void coverage_event(struct coverage *v, const struct event *e)
{
	const struct ev_file *file = (const void *)e;
	const struct ev_fd *fd = (const void *)e;

	if (e->type == EV_LOST) {
		const struct ev_lost *l = (const void *)e;

		v->events = l->received;
		v->ring = l->ring;
		v->slots = l->slots;
		v->faults = l->faults;
	} else if (e->type == EV_TLS_LIB) {
		library_seen(v, (const void *)e);
	} else if (e->type == EV_FD) {
		file_seen(v, fd->text, e->size - sizeof(*fd));
	} else if (e->type == EV_FILE) {
		file_seen(v, file->text, e->size - sizeof(*file));
	}
}

void coverage_call(struct coverage *v, const struct call *c)
{
	v->calls[c->class]++;
	v->partial[c->partial]++;
	v->at_least += c->at_least;
}

static struct seen *seen_of(struct coverage *v, const struct conn *c)
{
	struct seen *e = v->endpoints;

	for (size_t i = 0; i < v->nendpoints; i++, e++)
		if (strcmp(e->name, c->endpoint.name) == 0)
			return e;
	if (v->nendpoints == ENDPOINTS_MAX)
		return NULL;
	v->nendpoints++;
	snprintf(e->name, sizeof(e->name), "%s", c->endpoint.name);
	return e;
}

/* Which library a connection belongs to is not known; that one of the processes has one that cannot be read is a reason. */
static const char *unread_why(const struct coverage *v)
{
	for (size_t i = 0; i < v->nlibraries; i++)
		if (v->libraries[i].state == LIB_OPAQUE)
			return "none of it came through a library that was hooked; tls_libraries "
			       "has one "
			       "that cannot be read";
	return v->hooked ? "none of it came through a library that was hooked, or that was hooked "
	                   "too late"
	                 : "no TLS library with known functions was found in the process";
}

static void seen_add(struct coverage *v, const struct conn *c, struct seen *e)
{
	uint64_t bytes = c->bytes[0] + c->bytes[1];

	if (c->carries != CALL_OTHER || e->class == CALL_OTHER)
		e->class = c->carries != CALL_OTHER ? c->carries : c->endpoint.class;
	if (c->alpn[0])
		memcpy(e->alpn, c->alpn, sizeof(e->alpn));
	if (c->sock) {
		e->connections++;
		e->wire += bytes;
	}
	if (c->tls || !c->ciphertext)
		e->plaintext += bytes;
	e->dropped += c->dropped;
	if (c->datagram) {
		e->plaintext -= bytes;
		e->unread++;
		e->unread_bytes += bytes;
		e->why = "UDP to port 443, QUIC by its port: nothing of it is read";
		return;
	}
	if (!c->sock || !c->ciphertext || c->plaintext_seen || !c->calls)
		return;
	e->unread++;
	e->unread_bytes += bytes;
	e->why = unread_why(v);
}

void coverage_conn(struct coverage *v, const struct conn *c)
{
	uint64_t bytes = c->bytes[0] + c->bytes[1];
	struct seen *e;

	v->gaps += c->gaps;
	if (c->carries == CALL_LLM && c->sock)
		v->llm_bytes += bytes;
	if (c->carries == CALL_LLM && (c->tls || !c->ciphertext))
		v->llm_plaintext += bytes;
	if (!bytes || !c->endpoint.name[0])
		return;
	if (c->ignored && !(c->datagram && c->port == QUIC_PORT))
		return;
	e = seen_of(v, c);
	if (e) {
		seen_add(v, c, e);
		return;
	}
	v->connections_more += c->sock != 0;
	v->unread_more += c->sock && c->ciphertext && !c->plaintext_seen && c->calls;
}

void coverage_hint(const struct coverage *v, FILE *out)
{
	char name[160];
	bool told = false;

	if (v->calls[CALL_LLM])
		return;
	for (size_t i = 0; i < v->nendpoints; i++) {
		if (!v->endpoints[i].unread)
			continue;
		told = true;
		text_clean(name, sizeof(name), v->endpoints[i].name, false);
		fprintf(out,
		        "  not read: %s (TLS: %s); if it is the LLM, --llm %s gives its calls "
		        "their times\n",
		        name, v->endpoints[i].why, name);
	}
	if (!told)
		fprintf(out, "  no call to an LLM was seen: %llu to stores, %llu to others\n",
		        (unsigned long long)v->calls[CALL_STORAGE],
		        (unsigned long long)v->calls[CALL_OTHER]);
}

uint64_t coverage_events(const struct coverage *v)
{
	return v->events;
}

uint64_t coverage_lost(const struct coverage *v)
{
	return v->ring + v->slots;
}

unsigned coverage_hooked(const struct coverage *v)
{
	return v->hooked;
}

static json_t *text_or_null(const char *text)
{
	return *text ? metrics_text(text) : json_null();
}

static json_t *partial_json(const struct coverage *v)
{
	json_t *o = json_object();

	for (int i = PARTIAL_NONE + 1; i <= PARTIAL_NO_PLAINTEXT; i++)
		if (v->partial[i])
			json_object_set_new(o, partial_name((enum partial)i),
			                    json_integer((json_int_t)v->partial[i]));
	return o;
}

static json_t *unread_json(const struct coverage *v)
{
	json_t *a = json_array();

	for (size_t i = 0; i < v->nendpoints; i++) {
		const struct seen *e = &v->endpoints[i];

		if (e->unread)
			json_array_append_new(a, json_pack("{s:o, s:s, s:I, s:I}", "endpoint",
			                                   metrics_text(e->name), "why", e->why,
			                                   "connections", (json_int_t)e->unread,
			                                   "bytes", (json_int_t)e->unread_bytes));
	}
	return a;
}

static json_t *endpoints_json(const struct coverage *v)
{
	json_t *a = json_array();

	for (size_t i = 0; i < v->nendpoints; i++) {
		const struct seen *e = &v->endpoints[i];

		json_array_append_new(
			a, json_pack("{s:o, s:s, s:o, s:I, s:I, s:I, s:I}", "endpoint",
		                     metrics_text(e->name), "class", call_class_name(e->class),
		                     "alpn", text_or_null(e->alpn), "connections",
		                     (json_int_t)e->connections, "bytes", (json_int_t)e->wire,
		                     "bytes_plaintext", (json_int_t)e->plaintext, "bytes_dropped",
		                     (json_int_t)e->dropped));
	}
	return a;
}

static json_t *libraries_json(const struct coverage *v)
{
	static const char *const states[] = { "", "hooked", "no_symbols", "failed", "opaque" };
	json_t *a = json_array();

	for (size_t i = 0; i < v->nlibraries; i++) {
		const struct library *l = &v->libraries[i];
		const char *why = l->state == LIB_FAILED ? strerror(l->err) : l->how;
		bool hooked = l->state == LIB_HOOKED;

		json_array_append_new(a, json_pack("{s:o, s:o, s:s, s:i, s:o, s:o, s:i}", "path",
		                                   metrics_text(l->path), "family",
		                                   text_or_null(l->family), "state",
		                                   l->state <= LIB_OPAQUE ? states[l->state] : "",
		                                   "functions", (int)l->functions, "how",
		                                   text_or_null(hooked ? l->how : ""), "why",
		                                   text_or_null(hooked ? "" : why), "processes",
		                                   (int)l->processes));
	}
	return a;
}

static json_t *files_json(const struct coverage *v)
{
	json_t *a = json_array();

	for (size_t i = 0; i < v->nfiles; i++)
		json_array_append_new(a, metrics_text(v->files[i]));
	return a;
}

json_t *coverage_json(const struct coverage *v, const struct coverage_limits *l)
{
	json_t *all = json_pack(
		"{s:I, s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I}, s:o, s:I, s:I, s:I, "
		"s:I, s:o, s:I, s:o, s:I, s:o, s:I, s:o, s:I, s:I, s:I}",
		"events_seen", (json_int_t)v->events, "events_lost", "ring_full",
		(json_int_t)v->ring, "no_slot", (json_int_t)v->slots, "unreadable",
		(json_int_t)v->faults, "calls", "llm", (json_int_t)v->calls[CALL_LLM], "storage",
		(json_int_t)v->calls[CALL_STORAGE], "heartbeat",
		(json_int_t)v->calls[CALL_HEARTBEAT], "other", (json_int_t)v->calls[CALL_OTHER],
		"calls_partial", partial_json(v), "calls_at_least", (json_int_t)v->at_least,
		"stream_gaps", (json_int_t)v->gaps, "llm_bytes", (json_int_t)v->llm_bytes,
		"llm_bytes_plaintext", (json_int_t)v->llm_plaintext, "no_plaintext", unread_json(v),
		"no_plaintext_more", (json_int_t)v->unread_more, "endpoints", endpoints_json(v),
		"endpoints_more_connections", (json_int_t)v->connections_more, "tls_libraries",
		libraries_json(v), "tls_libraries_more", (json_int_t)v->libraries_more,
		"file_databases", files_json(v), "file_databases_more", (json_int_t)v->files_more,
		"connections_forgotten", (json_int_t)l->forgotten, "turns_unwritten",
		(json_int_t)l->unwritten);

	if (all && l->unfollowed)
		json_object_set_new(all, "calls_unfollowed",
		                    json_integer((json_int_t)l->unfollowed));
	return all;
}
