/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls as JSON lines. The fields and their order are those of docs/metrics.md. */
#include "out/calls.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "out/metrics.h"

#define SCHEMA "whystuck.call/1"

struct calls {
	struct lines *lines;
	uint64_t wall_offset_ns;
};

/* Between two moments; null if either was not seen. */
static json_t *between(uint64_t from_ns, uint64_t to_ns)
{
	if (!from_ns || !to_ns)
		return json_null();
	return metrics_ms(to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0);
}

static json_t *id_or_null(uint64_t id)
{
	return id ? json_integer((json_int_t)id) : json_null();
}

static void set_who(json_t *o, const struct call *c, const struct call_turn *t)
{
	json_object_set_new(o, "call_id", json_integer((json_int_t)c->id));
	json_object_set_new(o, "logical_id", id_or_null(t->logical));
	json_object_set_new(o, "attempt", id_or_null(t->attempt));
	json_object_set_new(o, "session_id", metrics_text(t->session_id));
	json_object_set_new(o, "turn_id", id_or_null(t->turn_id));
	json_object_set_new(o, "pid", json_integer(c->pid));
	json_object_set_new(o, "tid", json_integer(c->tid));
}

static void set_where(json_t *o, const struct call *c, const struct call_place *p)
{
	json_object_set_new(o, "class", json_string(call_class_name(c->class)));
	json_object_set_new(o, "label", metrics_text(p->label));
	json_object_set_new(o, "system", metrics_text(p->system));
	json_object_set_new(o, "provider", metrics_text(c->llm ? c->llm->provider : NULL));
	json_object_set_new(o, "endpoint", metrics_text(p->endpoint));
	json_object_set_new(o, "op", metrics_text(c->op));
}

/* Bounds of what was not seen from its beginning say nothing of how long its parts took. */
static void set_times(json_t *o, const struct call *c)
{
	uint64_t request_ns = c->at_least ? 0 : c->request_ns;
	bool set_up = !c->at_least && c->start_ns < c->request_ns;

	json_object_set_new(o, "duration_ms", between(c->start_ns, c->end_ns));
	json_object_set_new(o, "setup_ms",
	                    set_up ? between(c->start_ns, c->request_ns) : json_null());
	json_object_set_new(o, "first_byte_ms", between(request_ns, c->first_byte_ns));
	json_object_set_new(o, "ttft_ms",
	                    between(request_ns, c->llm ? c->llm->first_content_ns : 0));
}

static void set_tokens(json_t *o, const struct llm_call *l)
{
	const struct llm_tokens *t = l ? &l->tokens : &(struct llm_tokens){ -1, -1, -1, -1 };

	json_object_set_new(o, "tokens_in", metrics_count(t->in));
	json_object_set_new(o, "tokens_out", metrics_count(t->out));
	json_object_set_new(o, "tokens_cached", metrics_count(t->cached));
	json_object_set_new(o, "tokens_reasoning", metrics_count(t->reasoning));
	json_object_set_new(o, "model", metrics_text(l ? l->model : NULL));
}

static json_t *seconds(double s)
{
	return s >= 0 && isfinite(s) ? json_real(s) : json_null();
}

/* What the provider said is left of its limits; null if it said nothing. */
static json_t *quota(const struct llm_quota *q)
{
	json_t *o;

	if (q->requests < 0 && q->tokens < 0)
		return json_null();
	o = json_object();
	json_object_set_new(o, "requests", metrics_count(q->requests));
	json_object_set_new(o, "requests_reset_s", seconds(q->requests_reset_s));
	json_object_set_new(o, "tokens", metrics_count(q->tokens));
	json_object_set_new(o, "tokens_reset_s", seconds(q->tokens_reset_s));
	return o;
}

/* What client and provider say of a call beside its tokens. */
static void set_said(json_t *o, const struct call *c)
{
	const struct llm_call *l = c->llm;

	json_object_set_new(o, "finish_reason", metrics_text(l ? l->said.finish_reason : NULL));
	json_object_set_new(o, "request_id", metrics_text(l ? l->said.request_id : NULL));
	json_object_set_new(o, "client_timeout_of", metrics_text(limit_said_name(c->limit)));
	json_object_set_new(o, "client_timeout_s", seconds(c->limit_s));
	json_object_set_new(o, "limits_left", l ? quota(&l->said.quota) : json_null());
}

static void set_outcome(json_t *o, const struct call *c)
{
	json_object_set_new(o, "status", json_string(call_status_name(c->status)));
	json_object_set_new(o, "error_kind", metrics_text(c->error_kind));
	json_object_set_new(o, "http_status",
	                    c->http_status ? json_integer(c->http_status) : json_null());
	json_object_set_new(o, "retry_after_s", seconds(c->retry_after_s));
	json_object_set_new(o, "partial", metrics_text(partial_name(c->partial)));
	if (c->at_least)
		json_object_set_new(o, "at_least", json_true());
}

json_t *calls_json(const struct call *c, const struct call_place *p, const struct call_turn *t,
                   uint64_t wall_offset_ns)
{
	static const struct call_turn unknown;
	char when[METRICS_TIME_MAX];
	json_t *o = json_object();

	metrics_time(c->start_ns + wall_offset_ns, when);
	json_object_set_new(o, "schema", json_string(SCHEMA));
	json_object_set_new(o, "timestamp", metrics_text(when));
	set_who(o, c, t ? t : &unknown);
	set_where(o, c, p);
	set_times(o, c);
	json_object_set_new(o, "bytes_out", json_integer((json_int_t)c->bytes_out));
	json_object_set_new(o, "bytes_in", json_integer((json_int_t)c->bytes_in));
	set_tokens(o, c->llm);
	set_said(o, c);
	set_outcome(o, c);
	return o;
}

int calls_write(struct calls *calls, const struct call *c, const struct call_place *p,
                const struct call_turn *t)
{
	json_t *o;
	char *line;
	int err;

	if (!call_counts(c))
		return 0;
	o = calls_json(c, p, t, calls->wall_offset_ns);
	line = o ? json_dumps(o, METRICS_JSON) : NULL;
	json_decref(o);
	err = lines_write(calls->lines, line, line ? strlen(line) : 0);
	free(line);
	return err;
}

struct calls *calls_new(struct lines *lines, uint64_t wall_offset_ns)
{
	struct calls *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->lines = lines;
	c->wall_offset_ns = wall_offset_ns;
	return c;
}

void calls_free(struct calls *c)
{
	free(c);
}
