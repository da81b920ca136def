/* SPDX-License-Identifier: BSD-2-Clause */
/* Adds up turns: distributions of times, sums of counters. */
#include "out/summary.h"

#include <inttypes.h>
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

struct summary {
	uint64_t turns, outside, stalls;
	uint64_t status[STATUSES];
	struct hist *wall, *llm, *storage, *ttft;
	struct store_sum stores[SUMMARY_STORES_MAX];
	uint32_t nstores;
	int64_t tokens_in, tokens_out; /* -1 none seen */
	uint64_t without_tokens;       /* turns with either not seen */
	uint64_t unmeasured;           /* values lost for lack of memory */
};

static void measure(struct summary *s, struct hist *h, uint64_t ns)
{
	if (hist_add(h, ns / 1000) < 0)
		s->unmeasured++;
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

void summary_turn(struct summary *s, const struct turn *t)
{
	s->turns++;
	s->status[t->status]++;
	measure(s, s->wall, t->end_ns - t->start_ns);
	measure(s, s->llm, t->llm_ns);
	measure(s, s->storage, t->storage_ns);
	if (t->ttft_ns >= 0)
		measure(s, s->ttft, (uint64_t)t->ttft_ns);
	add_count(&s->tokens_in, t->tokens.in);
	add_count(&s->tokens_out, t->tokens.out);
	s->without_tokens += t->tokens.in < 0 || t->tokens.out < 0;
	for (uint32_t i = 0; i < t->nstores && i < TURN_STORES_MAX; i++) {
		struct store_sum *st = store_of(s, t->stores[i].label, t->stores[i].system);

		if (!st) {
			s->unmeasured++;
			continue;
		}
		st->calls += t->stores[i].calls;
		st->errors += t->stores[i].errors;
		measure(s, st->ms, (uint64_t)(t->stores[i].ms * 1e6 + 0.5));
	}
}

void summary_outside(struct summary *s)
{
	s->outside++;
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

static json_t *count_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

json_t *summary_json(const struct summary *s, uint64_t events, json_t *coverage)
{
	json_t *o = json_object();

	json_object_set_new(o, "turns", json_integer((json_int_t)s->turns));
	json_object_set_new(o, "events", json_integer((json_int_t)events));
	json_object_set_new(o, "llm_ms", hist_json(s->llm));
	json_object_set_new(o, "storage_ms", hist_json(s->storage));
	json_object_set_new(o, "storage", stores_json(s));
	json_object_set_new(o, "ttft_ms", hist_json(s->ttft));
	json_object_set_new(o, "tokens_in", count_or_null(s->tokens_in));
	json_object_set_new(o, "tokens_out", count_or_null(s->tokens_out));
	json_object_set_new(o, "turns_without_tokens", json_integer((json_int_t)s->without_tokens));
	json_object_set_new(o, "status", status_json(s));
	json_object_set_new(o, "stalls", json_integer((json_int_t)s->stalls));
	json_object_set_new(o, "calls_outside_turns", json_integer((json_int_t)s->outside));
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

/* Stores shown by name: the rest are in the files. */
#define PRINT_STORES_MAX 4

void summary_print(const struct summary *s, FILE *out)
{
	print_statuses(s, out);
	if (s->turns) {
		print_hist("turn", s->wall, out);
		print_hist("LLM", s->llm, out);
		print_hist("first token", s->ttft, out);
		if (s->nstores)
			print_hist("storage", s->storage, out);
		for (uint32_t i = 0; i < s->nstores && i < PRINT_STORES_MAX; i++) {
			char name[40];

			snprintf(name, sizeof(name), "  %s", s->stores[i].label);
			print_hist(name, s->stores[i].ms, out);
		}
		print_tokens(s, out);
	}
	if (s->outside)
		fprintf(out, "  %" PRIu64 " LLM call%s in no turn\n", s->outside,
		        s->outside == 1 ? "" : "s");
	if (s->unmeasured)
		fprintf(out, "  %" PRIu64 " values were lost: out of memory\n", s->unmeasured);
}

struct summary *summary_new(void)
{
	struct summary *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->tokens_in = s->tokens_out = -1;
	s->wall = hist_new();
	s->llm = hist_new();
	s->storage = hist_new();
	s->ttft = hist_new();
	if (s->wall && s->llm && s->storage && s->ttft)
		return s;
	summary_free(s);
	return NULL;
}

void summary_free(struct summary *s)
{
	if (!s)
		return;
	hist_free(s->wall);
	hist_free(s->llm);
	hist_free(s->storage);
	hist_free(s->ttft);
	for (uint32_t i = 0; i < s->nstores; i++)
		hist_free(s->stores[i].ms);
	free(s);
}
