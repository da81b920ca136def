/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns as JSON lines. The fields and their order are those of docs/metrics.md. */
#include "out/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SCHEMA "whystuck.turn/1"

struct metrics {
	struct lines *lines;
	uint64_t wall_offset_ns;
	uint64_t sample, ok; /* turns that were ok */
	uint64_t left_out;
};

void metrics_time(uint64_t wall_ns, char out[METRICS_TIME_MAX])
{
	time_t s = (time_t)(wall_ns / 1000000000);
	struct tm tm;
	char date[METRICS_TIME_MAX];

	out[0] = '\0';
	if (!gmtime_r(&s, &tm) || !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	snprintf(out, METRICS_TIME_MAX, "%.19s.%06uZ", date, (unsigned)(wall_ns / 1000 % 1000000));
}

json_t *metrics_ms(uint64_t us)
{
	return json_real((double)us / 1000);
}

json_t *metrics_text(const char *s)
{
	char clean[256];
	json_t *j;
	size_t i;

	if (!s || !s[0])
		return json_null();
	j = json_string(s);
	if (j)
		return j;
	for (i = 0; s[i] && i < sizeof(clean) - 1; i++)
		clean[i] = (s[i] & 0x80) ? '?' : s[i];
	clean[i] = '\0';
	return json_string(clean);
}

json_t *metrics_count(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static json_t *storage_of(const struct turn *t)
{
	json_t *all = json_object();

	for (uint32_t i = 0; i < t->nstores && i < TURN_STORES_MAX; i++) {
		const struct turn_store *s = &t->stores[i];
		json_t *label = metrics_text(s->label), *o = json_object();

		json_object_set_new(o, "system", metrics_text(s->system));
		json_object_set_new(o, "endpoint", metrics_text(s->endpoint));
		json_object_set_new(o, "ms", metrics_ms((uint64_t)(s->ms * 1000 + 1e-6)));
		json_object_set_new(o, "calls", json_integer(s->calls));
		json_object_set_new(o, "errors", json_integer(s->errors));
		json_object_set_new(
			all, json_is_string(label) ? json_string_value(label) : "storage", o);
		json_decref(label);
	}
	return all;
}

/* Sentences of ours only: what a provider wrote may quote a prompt. */
static const char *error_message(enum turn_status s)
{
	static const char *const messages[] = {
		[TURN_OK] = NULL,
		[TURN_ERROR] = "the LLM call failed",
		[TURN_RATE_LIMITED] = "the LLM endpoint refused the call for its rate limit",
		[TURN_TIMEOUT] = "the client gave up waiting for the LLM",
		[TURN_ABORTED] = "the connection ended before the reply did",
		[TURN_STALLED] = "no progress until the end of the run",
		[TURN_UNKNOWN] = NULL,
	};
	return messages[s];
}

static json_t *error_of(const struct turn *t)
{
	json_t *o;

	if (!error_message(t->status))
		return json_null();
	o = json_object();
	json_object_set_new(o, "kind",
	                    metrics_text(t->error_kind[0] && t->status != TURN_STALLED
	                                         ? t->error_kind
	                                         : turn_status_name(t->status)));
	json_object_set_new(o, "message", metrics_text(error_message(t->status)));
	json_object_set_new(o, "endpoint", metrics_text(t->error_endpoint));
	json_object_set_new(o, "http_status",
	                    t->error_http_status ? json_integer(t->error_http_status)
	                                         : json_null());
	return o;
}

struct metrics_times metrics_times(const struct turn *t)
{
	struct metrics_times us = {
		.wall = (t->end_ns - t->start_ns) / 1000,
		.llm = t->llm_ns / 1000,
		.storage = t->storage_ns / 1000,
		.backoff = t->backoff_ns / 1000,
		.overlap = (t->overlap_ns + 999) / 1000,
	};
	uint64_t spent = us.llm + us.storage + us.backoff;

	if (us.overlap > spent)
		us.overlap = spent;
	us.orchestration = us.wall + us.overlap - spent;
	return us;
}

static void set_times(json_t *o, const struct turn *t)
{
	struct metrics_times us = metrics_times(t);

	json_object_set_new(o, "wall_ms", metrics_ms(us.wall));
	json_object_set_new(o, "llm_ms", metrics_ms(us.llm));
	json_object_set_new(o, "storage_ms", metrics_ms(us.storage));
	json_object_set_new(o, "backoff_ms", metrics_ms(us.backoff));
	json_object_set_new(o, "overlap_ms", metrics_ms(us.overlap));
	json_object_set_new(o, "orchestration_ms", metrics_ms(us.orchestration));
	json_object_set_new(o, "ttft_ms",
	                    t->ttft_ns < 0 ? json_null() : metrics_ms((uint64_t)t->ttft_ns / 1000));
}

json_t *metrics_turn(const struct turn *t, uint64_t wall_offset_ns)
{
	char when[METRICS_TIME_MAX];
	json_t *o = json_object();

	metrics_time(t->start_ns + wall_offset_ns, when);
	json_object_set_new(o, "schema", json_string(SCHEMA));
	json_object_set_new(o, "timestamp", metrics_text(when));
	json_object_set_new(o, "session_id", metrics_text(t->session_id));
	json_object_set_new(o, "turn_index", json_integer(t->turn_index));
	json_object_set_new(o, "turn_id", json_integer((json_int_t)t->id));
	json_object_set_new(o, "role", metrics_text(llm_role_name(t->role)));
	json_object_set_new(o, "pid", json_integer(t->pid));
	json_object_set_new(o, "tid", json_integer(t->tid));
	set_times(o, t);
	json_object_set_new(o, "llm_calls", json_integer(t->llm_calls));
	json_object_set_new(o, "storage_calls", json_integer(t->storage_calls));
	json_object_set_new(o, "retries", json_integer(t->retries));
	json_object_set_new(o, "storage", storage_of(t));
	json_object_set_new(o, "tokens_in", metrics_count(t->tokens.in));
	json_object_set_new(o, "tokens_out", metrics_count(t->tokens.out));
	json_object_set_new(o, "tokens_cached", metrics_count(t->tokens.cached));
	json_object_set_new(o, "tokens_reasoning", metrics_count(t->tokens.reasoning));
	json_object_set_new(o, "model", metrics_text(t->model));
	json_object_set_new(o, "provider", metrics_text(t->provider));
	json_object_set_new(o, "status", json_string(turn_status_name(t->status)));
	json_object_set_new(o, "error", error_of(t));
	json_object_set_new(o, "partial", metrics_text(partial_name(t->partial)));
	if (t->at_least)
		json_object_set_new(o, "at_least", json_true());
	if (t->boundary_guessed)
		json_object_set_new(o, "boundary", json_string("guessed"));
	if (t->attribution_order)
		json_object_set_new(o, "attribution", json_string("order"));
	return o;
}

char *metrics_line(const struct turn *t, uint64_t wall_offset_ns)
{
	json_t *o = metrics_turn(t, wall_offset_ns);
	char *line = o ? json_dumps(o, METRICS_JSON) : NULL;

	json_decref(o);
	return line;
}

/* Is it one that the sample leaves out? What went wrong is never. */
static bool left_out(struct metrics *m, const struct turn *t)
{
	return t->status == TURN_OK && m->ok++ % m->sample != 0;
}

int metrics_write(struct metrics *m, const struct turn *t)
{
	char *line;
	int err;

	if (left_out(m, t)) {
		m->left_out++;
		return 0;
	}
	line = metrics_line(t, m->wall_offset_ns);
	err = lines_write(m->lines, line, line ? strlen(line) : 0);
	free(line);
	return err;
}

uint64_t metrics_written(const struct metrics *m)
{
	return lines_written(m->lines);
}

uint64_t metrics_unwritten(const struct metrics *m)
{
	return lines_unwritten(m->lines);
}

uint64_t metrics_left_out(const struct metrics *m)
{
	return m->left_out;
}

struct metrics *metrics_new(struct lines *lines, uint64_t wall_offset_ns, uint64_t sample)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->lines = lines;
	m->wall_offset_ns = wall_offset_ns;
	m->sample = sample ? sample : 1;
	return m;
}

void metrics_free(struct metrics *m)
{
	free(m);
}
