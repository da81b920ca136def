/* SPDX-License-Identifier: BSD-2-Clause */
/* Adds up turns: distributions of times, sums of counters. */
#include "out/summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "out/metrics.h"
#include "out/run_error.h"

#define STATUSES (TURN_UNKNOWN + 1)

struct store_sum {
	char label[32], system[16];
	uint64_t calls, errors;
	struct hist *ms; /* of the turns that used it */
};

/* A call in no turn. */
struct outside {
	uint64_t start_ns, end_ns;
	uint32_t pid, tid;
	enum call_class class;
	char endpoint[128], provider[24], op[CALL_OP_MAX];
	const char *why;
};

/* Of what times a turn has there are distributions, in the order they are written. */
enum measure { WALL, LLM, STORAGE, BACKOFF, ORCHESTRATION, TTFT, MEASURES };

static const char *const measures[MEASURES] = {
	"wall_ms", "llm_ms", "storage_ms", "backoff_ms", "orchestration_ms", "ttft_ms",
};

/* Half full at most, so that a search is short. */
#define SESSION_SLOTS (2 * SUMMARY_SESSIONS_MAX)

struct summary {
	uint64_t turns, stalls, sessions, llm_calls, retries;
	uint64_t outside_llm, outside_storage;
	uint64_t status[STATUSES];
	struct hist *hist[MEASURES];
	struct outside outside[2 * SUMMARY_OUTSIDE_MAX];
	uint32_t noutside;
	uint64_t session_hash[SESSION_SLOTS]; /* 0 empty */
	uint32_t nsessions;                   /* in there */
	uint64_t rate_limits;
	double retry_after_s, retry_after_max_s; /* sum, < 0 none seen */
	uint64_t wall_offset_ns;
	uint64_t every, written, left_out; /* every: 0 or 1, all turns were written */
	struct store_sum stores[SUMMARY_STORES_MAX];
	uint32_t nstores;
	int64_t tokens_in, tokens_out; /* -1 none seen */
	uint64_t without_tokens;       /* turns with either not seen */
	uint64_t unmeasured;           /* values lost for lack of memory */
};

static void measure_in(struct summary *s, struct hist *h, uint64_t us)
{
	if (hist_add(h, us) < 0)
		s->unmeasured++;
}

static void measure(struct summary *s, enum measure m, uint64_t us)
{
	measure_in(s, s->hist[m], us);
}

/* The sum of a label, made if need be; NULL when out of memory. */
static struct store_sum *store_of(struct summary *s, const char *label, const char *system)
{
	struct store_sum *st;

	for (uint32_t i = 0; i < s->nstores; i++)
		if (strcmp(s->stores[i].label, label) == 0)
			return &s->stores[i];
	if (s->nstores == SUMMARY_STORES_MAX)
		return &s->stores[SUMMARY_STORES_MAX - 1];
	if (s->nstores == SUMMARY_STORES_MAX - 1)
		label = "(others)", system = "";
	st = &s->stores[s->nstores];
	st->ms = hist_new();
	if (!st->ms)
		return NULL;
	snprintf(st->label, sizeof(st->label), "%s", label);
	snprintf(st->system, sizeof(st->system), "%s", system);
	s->nstores++;
	return st;
}

static void add_count(int64_t *sum, int64_t n)
{
	if (n >= 0)
		*sum = (*sum < 0 ? 0 : *sum) + n;
}

static void add_session(struct summary *s, const struct turn *t)
{
	uint64_t hash = bytes_hash(0, bytes_of(t->session_id));
	size_t i;

	hash += hash == 0;
	for (i = hash % SESSION_SLOTS; s->session_hash[i]; i = (i + 1) % SESSION_SLOTS)
		if (s->session_hash[i] == hash)
			return;
	if (s->nsessions < SUMMARY_SESSIONS_MAX) {
		s->session_hash[i] = hash;
		s->nsessions++;
		s->sessions++;
	} else {
		s->sessions += t->turn_index == 0;
	}
}

static void add_times(struct summary *s, const struct turn *t)
{
	struct metrics_times us = metrics_times(t);

	measure(s, WALL, us.wall);
	measure(s, LLM, us.llm);
	measure(s, STORAGE, us.storage);
	measure(s, BACKOFF, us.backoff);
	measure(s, ORCHESTRATION, us.orchestration);
	if (t->ttft_ns >= 0)
		measure(s, TTFT, (uint64_t)t->ttft_ns / 1000);
}

static void add_stores(struct summary *s, const struct turn *t)
{
	for (uint32_t i = 0; i < t->nstores && i < TURN_STORES_MAX; i++) {
		struct store_sum *st = store_of(s, t->stores[i].label, t->stores[i].system);

		if (!st) {
			s->unmeasured++;
			continue;
		}
		st->calls += t->stores[i].calls;
		st->errors += t->stores[i].errors;
		measure_in(s, st->ms, (uint64_t)(t->stores[i].ms * 1e6 + 0.5) / 1000);
	}
}

void summary_turn(struct summary *s, const struct turn *t)
{
	s->turns++;
	s->status[t->status]++;
	s->llm_calls += t->llm_calls;
	s->retries += t->retries;
	add_session(s, t);
	add_times(s, t);
	add_stores(s, t);
	add_count(&s->tokens_in, t->tokens.in);
	add_count(&s->tokens_out, t->tokens.out);
	s->without_tokens += t->llm_calls && (t->tokens.in < 0 || t->tokens.out < 0);
}

void summary_call(struct summary *s, const struct call *c)
{
	double after = c->retry_after_s;

	if (!call_counts(c) || c->status != CALL_RATE_LIMITED)
		return;
	s->rate_limits++;
	if (after < 0 || !isfinite(s->retry_after_s + after))
		return;
	s->retry_after_s = (s->retry_after_s < 0 ? 0 : s->retry_after_s) + after;
	if (after > s->retry_after_max_s)
		s->retry_after_max_s = after;
}

void summary_outside(struct summary *s, const struct call *c, const struct call_place *p,
                     const char *why)
{
	uint64_t *count = c->class == CALL_LLM ? &s->outside_llm : &s->outside_storage;
	struct outside *o;

	if (!call_counts(c) || (*count)++ >= SUMMARY_OUTSIDE_MAX)
		return;
	o = &s->outside[s->noutside++];
	*o = (struct outside){ .start_ns = c->start_ns,
		               .end_ns = c->end_ns,
		               .pid = c->pid,
		               .tid = c->tid,
		               .class = c->class,
		               .why = why };
	snprintf(o->endpoint, sizeof(o->endpoint), "%s", p ? p->endpoint : c->host);
	snprintf(o->provider, sizeof(o->provider), "%s", c->llm ? c->llm->provider : "");
	snprintf(o->op, sizeof(o->op), "%s", c->op);
}

void summary_wall_offset(struct summary *s, uint64_t wall_offset_ns)
{
	s->wall_offset_ns = wall_offset_ns;
}

void summary_sampled(struct summary *s, uint64_t every, uint64_t written, uint64_t left_out)
{
	s->every = every;
	s->written = written;
	s->left_out = left_out;
}

void summary_stall(struct summary *s)
{
	s->stalls++;
}

static json_t *percentile_ms(const struct hist *h, double p)
{
	return hist_count(h) ? metrics_ms(hist_percentile(h, p)) : json_null();
}

static json_t *hist_json(const struct hist *h)
{
	bool any = hist_count(h) > 0;
	json_t *o = json_object();

	json_object_set_new(o, "p50", percentile_ms(h, 50));
	json_object_set_new(o, "p95", percentile_ms(h, 95));
	json_object_set_new(o, "p99", percentile_ms(h, 99));
	json_object_set_new(o, "mean",
	                    any ? metrics_ms((uint64_t)(hist_mean(h) + 0.5)) : json_null());
	json_object_set_new(o, "min", any ? metrics_ms(hist_min(h)) : json_null());
	json_object_set_new(o, "max", any ? metrics_ms(hist_max(h)) : json_null());
	json_object_set_new(o, "count", json_integer((json_int_t)hist_count(h)));
	return o;
}

static json_t *stores_json(const struct summary *s)
{
	json_t *all = json_object();

	for (uint32_t i = 0; i < s->nstores; i++) {
		const struct store_sum *st = &s->stores[i];
		json_t *o = hist_json(st->ms), *label = metrics_text(st->label);

		json_object_set_new(o, "system", metrics_text(st->system));
		json_object_set_new(o, "calls", json_integer((json_int_t)st->calls));
		json_object_set_new(o, "errors", json_integer((json_int_t)st->errors));
		json_object_set_new(
			all, json_is_string(label) ? json_string_value(label) : "storage", o);
		json_decref(label);
	}
	return all;
}

static json_t *status_json(const struct summary *s)
{
	json_t *o = json_object();

	for (int i = 0; i < STATUSES; i++)
		if (s->status[i])
			json_object_set_new(o, turn_status_name((enum turn_status)i),
			                    json_integer((json_int_t)s->status[i]));
	return o;
}

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *outside_json(const struct summary *s)
{
	json_t *all = json_array();

	for (uint32_t i = 0; i < s->noutside; i++) {
		const struct outside *c = &s->outside[i];
		char when[METRICS_TIME_MAX] = "";
		json_t *o = json_object();

		if (s->wall_offset_ns)
			metrics_time(c->start_ns + s->wall_offset_ns, when);
		json_object_set_new(o, "timestamp", metrics_text(when));
		json_object_set_new(o, "pid", json_integer(c->pid));
		json_object_set_new(o, "tid", json_integer(c->tid));
		json_object_set_new(o, "class", json_string(call_class_name(c->class)));
		json_object_set_new(o, "endpoint", metrics_text(c->endpoint));
		json_object_set_new(o, "provider", metrics_text(c->provider));
		json_object_set_new(o, "op", metrics_text(c->op));
		json_object_set_new(o, "duration_ms",
		                    c->end_ns >= c->start_ns
		                            ? metrics_ms((c->end_ns - c->start_ns) / 1000)
		                            : json_null());
		json_object_set_new(o, "why", metrics_text(c->why));
		json_array_append_new(all, o);
	}
	return all;
}

static json_t *rate_limits_json(const struct summary *s)
{
	bool any = s->retry_after_s >= 0;

	return json_pack("{s:I, s:{s:o, s:o}}", "count", (json_int_t)s->rate_limits,
	                 "retry_after_s", "sum", any ? json_real(s->retry_after_s) : json_null(),
	                 "max", any ? json_real(s->retry_after_max_s) : json_null());
}

static json_t *sampled_json(const struct summary *s)
{
	return json_pack("{s:I, s:I, s:I}", "every", (json_int_t)s->every, "written",
	                 (json_int_t)s->written, "left_out", (json_int_t)s->left_out);
}

json_t *summary_json(const struct summary *s, uint64_t events, json_t *coverage)
{
	json_t *o = json_object();

	json_object_set_new(o, "turns", count(s->turns));
	if (s->every > 1)
		json_object_set_new(o, "sampled", sampled_json(s));
	json_object_set_new(o, "sessions", count(s->sessions));
	json_object_set_new(o, "events", count(events));
	for (int i = 0; i < MEASURES; i++)
		json_object_set_new(o, measures[i], hist_json(s->hist[i]));
	json_object_set_new(o, "storage", stores_json(s));
	json_object_set_new(o, "llm_calls", count(s->llm_calls));
	json_object_set_new(o, "llm_attempts", count(s->llm_calls + s->retries));
	json_object_set_new(o, "rate_limits", rate_limits_json(s));
	json_object_set_new(o, "tokens_in", metrics_count(s->tokens_in));
	json_object_set_new(o, "tokens_out", metrics_count(s->tokens_out));
	json_object_set_new(o, "turns_without_tokens", count(s->without_tokens));
	json_object_set_new(o, "status", status_json(s));
	json_object_set_new(o, "stalls", count(s->stalls));
	json_object_set_new(o, "calls_outside_turns", count(s->outside_llm));
	json_object_set_new(o, "storage_outside_turns", count(s->outside_storage));
	json_object_set_new(o, "outside_turns", outside_json(s));
	json_object_set_new(o, "coverage", coverage ? json_incref(coverage) : json_null());
	return o;
}

static json_t *stall_json(const struct stall_period *p, uint64_t wall_offset_ns)
{
	char since[TIMESTAMP_TEXT_MAX], ended[TIMESTAMP_TEXT_MAX];
	bool over = p->end_ns && !p->lasted;

	timestamp_text(p->since_ns + wall_offset_ns, since);
	timestamp_text(p->end_ns + wall_offset_ns, ended);
	return json_pack("{s:s, s:s?, s:o, s:b, s:s, s:s?}", "since", since, "ended",
	                 over ? ended : NULL, "for_ms",
	                 p->end_ns ? metrics_ms((p->end_ns - p->since_ns) / 1000) : json_null(),
	                 "at_least", p->at_least, "clock", p->clock, "verdict", p->verdict);
}

json_t *summary_stalls(const struct stall_period *list, size_t n, uint64_t wall_offset_ns)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		if (json_array_append_new(a, stall_json(&list[i], wall_offset_ns)) == 0)
			continue;
		json_decref(a);
		return NULL;
	}
	return a;
}

static void print_hist(const char *name, const struct hist *h, FILE *out)
{
	if (!hist_count(h)) {
		fprintf(out, "  %-12s not seen\n", name);
		return;
	}
	fprintf(out, "  %-12s p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms\n", name,
	        (double)hist_percentile(h, 50) / 1000, (double)hist_percentile(h, 95) / 1000,
	        (double)hist_percentile(h, 99) / 1000, (double)hist_max(h) / 1000);
}

static void print_statuses(const struct summary *s, FILE *out)
{
	const char *between = ": ";

	fprintf(out, "%" PRIu64 " turn%s", s->turns, s->turns == 1 ? "" : "s");
	for (int i = 0; i < STATUSES; i++) {
		if (!s->status[i])
			continue;
		fprintf(out, "%s%" PRIu64 " %s", between, s->status[i],
		        turn_status_name((enum turn_status)i));
		between = ", ";
	}
	if (s->stalls)
		fprintf(out, "; %" PRIu64 " stall%s", s->stalls, s->stalls == 1 ? "" : "s");
	fputc('\n', out);
}

static void print_tokens(const struct summary *s, FILE *out)
{
	if (s->tokens_in < 0 && s->tokens_out < 0) {
		fprintf(out, "  %-12s not seen\n", "tokens");
		return;
	}
	fprintf(out, "  %-12s", "tokens");
	if (s->tokens_in >= 0)
		fprintf(out, " %" PRId64 " in", s->tokens_in);
	if (s->tokens_out >= 0)
		fprintf(out, "%s %" PRId64 " out", s->tokens_in >= 0 ? "," : "", s->tokens_out);
	if (s->without_tokens)
		fprintf(out, " (not seen in %" PRIu64 " %s)", s->without_tokens,
		        s->without_tokens == 1 ? "turn" : "turns");
	fputc('\n', out);
}

static void print_rate_limits(const struct summary *s, FILE *out)
{
	fprintf(out, "  rate limits  %" PRIu64 " call%s", s->rate_limits,
	        s->rate_limits == 1 ? "" : "s");
	if (s->retry_after_s >= 0)
		fprintf(out, ", Retry-After %.2f s in all, at most %.2f s", s->retry_after_s,
		        s->retry_after_max_s);
	fputc('\n', out);
}

/* Stores shown by name: the rest are in the files. */
#define PRINT_STORES_MAX 4

void summary_print(const struct summary *s, FILE *out)
{
	print_statuses(s, out);
	if (s->turns) {
		print_hist("turn", s->hist[WALL], out);
		print_hist("LLM", s->hist[LLM], out);
		print_hist("first token", s->hist[TTFT], out);
		if (s->nstores)
			print_hist("storage", s->hist[STORAGE], out);
		for (uint32_t i = 0; i < s->nstores && i < PRINT_STORES_MAX; i++) {
			char name[40];

			snprintf(name, sizeof(name), "  %s", s->stores[i].label);
			print_hist(name, s->stores[i].ms, out);
		}
		print_tokens(s, out);
	}
	if (s->rate_limits)
		print_rate_limits(s, out);
	if (s->outside_llm)
		fprintf(out, "  %" PRIu64 " LLM call%s in no turn\n", s->outside_llm,
		        s->outside_llm == 1 ? "" : "s");
	if (s->unmeasured)
		fprintf(out, "  %" PRIu64 " values were lost: out of memory\n", s->unmeasured);
}

struct summary *summary_new(void)
{
	struct summary *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->tokens_in = s->tokens_out = -1;
	s->retry_after_s = -1;
	for (int i = 0; i < MEASURES; i++) {
		s->hist[i] = hist_new();
		if (!s->hist[i]) {
			summary_free(s);
			return NULL;
		}
	}
	return s;
}

void summary_free(struct summary *s)
{
	if (!s)
		return;
	for (int i = 0; i < MEASURES; i++)
		hist_free(s->hist[i]);
	for (uint32_t i = 0; i < s->nstores; i++)
		hist_free(s->stores[i].ms);
	free(s);
}
