/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the run's own history says: it moves, it is slow, its calls fail again and again, it goes round
 * in circles.
 */
#include <string.h>

#include "diagnosis/scene.h"

/* So many calls that fail the same way are no accident. */
#define FAILURES_MIN 3
/* So many LLM calls without an end of a turn or any output are a circle. */
#define CIRCLE_CALLS_MIN 20

static bool failed(const struct call *c)
{
	return c->status == CALL_ERROR || c->status == CALL_RATE_LIMITED ||
	       c->status == CALL_TIMEOUT;
}

static bool alike(const struct call_view *a, const struct call_view *b)
{
	return a->call->class == b->call->class && strcmp(a->call->op, b->call->op) == 0 &&
	       strcmp(endpoint_text(a), endpoint_text(b)) == 0;
}

/* Calls that failed in a row, and all alike. */
struct failures {
	const struct call_view *newest; /* NULL none */
	unsigned times;
	uint64_t since_ns; /* when the first of them had failed */
	bool at_least;     /* nothing is known to have succeeded before it */
};

/* The newest done LLM call, or of any class that counts when there was none, if it failed. */
static struct failures newest_failures(const struct history *h)
{
	struct failures f = { 0 };

	for (size_t i = h->nrecent; i-- > 0;) {
		const struct call_view *v = &h->recent[i];

		if (v->call->class != CALL_LLM && v->call->class != CALL_STORAGE)
			continue;
		if (!f.newest && !failed(v->call))
			break;
		if (!f.newest)
			f.newest = v;
		if (v->call->class == f.newest->call->class && !failed(v->call))
			f.at_least = false;
		if (!alike(f.newest, v))
			continue;
		if (!failed(v->call))
			break;
		f.times++;
		f.since_ns = v->call->end_ns;
		f.at_least = true;
	}
	return f;
}

/* ---- Waits between tries ---- */

/*
 * Functions that wait before they try again. What made them is only told by the reply, which may have
 * come before whystuck did: then limited says whether the wait is one that the server asked for.
 */
static const struct {
	const char *file, *function;
	bool limited; /* waits because of Retry-After */
} retries[] = {
	{ "urllib3/util/retry.py", "sleep_for_retry", true },
	{ "urllib3/util/retry.py", "_sleep_backoff", false },
	{ "openai/_base_client.py", "_sleep_for_retry", false },
	{ "openai/_base_client.py", "_retry_request", false },
	{ "anthropic/_base_client.py", "_sleep_for_retry", false },
	{ "anthropic/_base_client.py", "_retry_request", false },
	{ "google/api_core/retry/", NULL, false },
	{ "tenacity/nap.py", "sleep", false },
	{ "tenacity/asyncio/", NULL, false },
	{ "tenacity/_asyncio.py", "__call__", false },
	{ "backoff/_sync.py", "retry", false },
	{ "backoff/_async.py", "retry", false },
	{ "stamina/", NULL, false },
	{ "retrying.py", "call", false },
	{ "litellm/", "_sleep_for_timeout", false },
};
/* The SDKs of OpenAI and Anthropic wait 8 s at most by themselves: longer is what Retry-After said. */
#define SDK_WAIT_MAX_NS (9 * NS_PER_S)

static bool retry_frames(struct bytes frames, bool *limited)
{
	for (size_t i = 0; i < sizeof(retries) / sizeof(*retries); i++)
		if (frames_have(frames, retries[i].file, retries[i].function)) {
			*limited = retries[i].limited;
			return true;
		}
	return false;
}

/* Its thread's or task's functions while it waits to try again; false: it does not. */
static bool waits_to_retry(const struct scene *s, const struct wait *w, bool *limited,
                           struct bytes *frames)
{
	size_t n;
	const struct ev_task *const *tasks;

	if (w->kind == WAIT_SLEEP && w->python &&
	    retry_frames(*frames = frames_text(w->python), limited))
		return true;
	if (w->kind != WAIT_MANY)
		return false;
	tasks = evidence_tasks(s->look->evidence, w->thread->h.pid, &n);
	for (size_t i = 0; i < n; i++) {
		*frames = task_text(tasks[i]).frames;
		if (frames_have(*frames, "asyncio/tasks.py", "sleep") &&
		    retry_frames(*frames, limited))
			return true;
	}
	return false;
}

static void retry_steps(struct cause *c, bool limited)
{
	if (limited)
		cause_step(c,
		           "look at the account's limits with the provider; fewer requests at once "
		           "avoid the waits");
	else
		cause_step(c, "look at why the calls fail: the error stands in recent_calls of "
		              "run_error.json when it was seen");
	cause_step(c, "give the retries a limit in number and in time");
}

static void retry_seen(struct scene *s, const struct wait *w, const struct failures *f)
{
	const struct call_view *v = f->newest;
	bool limited = v->call->status == CALL_RATE_LIMITED;
	struct cause *c = cause_new(s, limited ? VERDICT_RATE_LIMITED : VERDICT_RETRY_LOOP,
	                            CONFIDENCE_PROVEN, w);
	char status[32] = "";

	c->view = v;
	c->pid = v->call->pid;
	c->since_ns = f->since_ns;
	c->at_least = f->at_least;
	if (v->call->http_status)
		snprintf(status, sizeof(status), " with %d", v->call->http_status);
	if (limited && w && w->until_ns > s->look->now_ns)
		cause_say(c,
		          "%s said it is asked too often (%s%s, %u in a row): it sleeps for "
		          "another %s",
		          endpoint_text(v), op_text(v->call), status, f->times,
		          duration_of(w->until_ns - s->look->now_ns).text);
	else
		cause_say(c, "%s to %s fails again and again: %u times in a row%s%s%s",
		          op_text(v->call), endpoint_text(v), f->times, status,
		          *v->call->error_kind ? ", " : "", v->call->error_kind);
	if (v->call->retry_after_s >= 0)
		cause_evidence(c, "the reply asked to wait %.0f s (Retry-After)",
		               v->call->retry_after_s);
	cause_evidence(c, "the last of them ended %s ago",
	               duration_of(age(s->look->now_ns, v->call->end_ns)).text);
	if (w)
		cause_evidence_wait(s, c, w);
	if (w && w->until_ns > s->look->now_ns)
		cause_wake(c, WAKE_AT, w->until_ns, "it tries again in %s",
		           duration_of(w->until_ns - s->look->now_ns).text);
	else
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when a call succeeds, or it gives up");
	retry_steps(c, limited);
}

static void retry_by_frames(struct scene *s, const struct wait *w, bool limited,
                            struct bytes frames)
{
	uint64_t length = w->until_ns > w->since_ns ? w->until_ns - w->since_ns : 0;
	bool sdk = frames_have(frames, "/_base_client.py", NULL);
	struct cause *c;
	char name[64];

	limited |= sdk && w->kind == WAIT_SLEEP && length > SDK_WAIT_MAX_NS;
	c = cause_new(s, limited ? VERDICT_RATE_LIMITED : VERDICT_RETRY_LOOP,
	              limited ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY, w);
	frames_line(c->where, sizeof(c->where), frames, 4);
	cause_say(c, "%s waits before it tries a failed call again%s", wait_name(w, name),
	          limited ? ", as long as the server asked for (Retry-After)" : "");
	cause_evidence_wait(s, c, w);
	cause_evidence(c,
	               "the call that failed ended before whystuck came: its error was not seen");
	cause_wake_by_wait(s, c, w);
	retry_steps(c, limited);
}

/* In a sleep, or a loop's wait for its next timer, that began after the call did end. */
static bool sleeps_after(const struct wait *w, const struct call_view *v)
{
	return (w->kind == WAIT_SLEEP || (w->kind == WAIT_MANY && w->until_ns)) &&
	       w->thread->h.tid == v->call->tid && w->since_ns >= v->call->end_ns;
}

/* A short wait between two tries is life as usual. */
static bool is_long(const struct scene *s, const struct wait *w)
{
	return wait_old(s, w) || w->until_ns >= w->since_ns + s->look->silent_min_ns;
}

static void retries_look(struct scene *s)
{
	const struct history *h = s->look->history;
	struct failures f = h ? newest_failures(h) : (struct failures){ 0 };
	const struct call_view *v = f.newest;
	bool told = false;

	for (size_t i = 0; i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];
		struct bytes frames = { NULL, 0 };
		bool limited = false;

		if (!wait_matters(w))
			continue;
		if (v && sleeps_after(w, v)) {
			if (f.times >= FAILURES_MIN ||
			    (v->call->status == CALL_RATE_LIMITED && is_long(s, w))) {
				retry_seen(s, w, &f);
				told = true;
			}
		} else if (waits_to_retry(s, w, &limited, &frames) && is_long(s, w)) {
			retry_by_frames(s, w, limited, frames);
			told = true;
		}
	}
	if (!told && v && f.times >= FAILURES_MIN)
		retry_seen(s, NULL, &f);
}

/* ---- It moves ---- */

static bool moves(const struct look *l)
{
	const struct history *h = l->history;

	/* the request of a call that failed moved bytes, too */
	if (!h || !h->moved_ns || h->failed || (l->stall && stall_stuck(l->stall)))
		return false;
	return age(l->now_ns, h->moved_ns) < l->silent_min_ns;
}

/* "a call ended": what a clock that moved stands for. */
static const char *moved_text(const char *clock)
{
	static const struct {
		const char *clock, *text;
	} texts[] = {
		{ "content", "content came" },
		{ "calls", "a call succeeded" },
		{ "turns", "a turn began or ended" },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (strcmp(texts[i].clock, clock) == 0)
			return texts[i].text;
	return clock;
}

static const struct call_view *slow_call(const struct look *l, uint64_t *p99)
{
	const struct history *h = l->history;
	const struct call_view *oldest = NULL;

	for (size_t i = 0; i < l->nopen; i++) {
		const struct call *c = l->open[i].call;
		uint64_t usual = c->class == CALL_LLM       ? h->llm_p99_ns
		                 : c->class == CALL_STORAGE ? h->storage_p99_ns
		                                            : 0;

		if (!usual || c->blocks || age(l->now_ns, c->start_ns) <= usual)
			continue;
		if (!oldest || c->start_ns < oldest->call->start_ns) {
			oldest = &l->open[i];
			*p99 = usual;
		}
	}
	return oldest;
}

static void progressing(struct scene *s)
{
	const struct look *l = s->look;
	uint64_t p99 = 0;
	const struct call_view *slow = slow_call(l, &p99);
	struct cause *c =
		cause_new(s, slow ? VERDICT_SLOW : VERDICT_PROGRESSING, CONFIDENCE_PROVEN, NULL);

	c->pid = l->pid;
	c->view = slow;
	if (slow) {
		c->since_ns = slow->call->start_ns;
		cause_say(
			c,
			"%s to %s has been open for %s, longer than this run's p99 of %s, but the "
			"run moves: %s %s ago",
			op_text(slow->call), endpoint_text(slow),
			duration_of(age(l->now_ns, slow->call->start_ns)).text,
			duration_of(p99).text, moved_text(l->history->moved),
			duration_of(age(l->now_ns, l->history->moved_ns)).text);
	} else {
		cause_say(c, "the run moves: %s %s ago", moved_text(l->history->moved),
		          duration_of(age(l->now_ns, l->history->moved_ns)).text);
	}
	cause_evidence(c, "watched for %s", duration_of(age(l->now_ns, l->history->start_ns)).text);
	cause_wake(c, WAKE_ON_EVENT, 0, "it is not asleep");
	cause_step(c, "sudo whystuck watch %u   # where every turn's time goes", l->pid);
}

bool stirs(const struct look *l)
{
	const struct history *h = l->history;

	return h && h->stirred_ns && !h->failed && !(l->stall && stall_stuck(l->stall)) &&
	       age(l->now_ns, h->stirred_ns) < l->silent_min_ns;
}

void progress_by_stirring(struct scene *s)
{
	const struct look *l = s->look;
	struct cause *c = cause_new(s, VERDICT_PROGRESSING, CONFIDENCE_LIKELY, NULL);

	c->pid = l->pid;
	cause_say(
		c,
		"nothing is stuck that can be seen: no call has been silent for long, and the last "
		"%s was %s ago",
		strcmp(l->history->stirred, "output") == 0 ? "output" : "useful system call",
		duration_of(age(l->now_ns, l->history->stirred_ns)).text);
	cause_evidence(c, "watched for %s", duration_of(age(l->now_ns, l->history->start_ns)).text);
	cause_wake(c, WAKE_ON_EVENT, 0, "it is not asleep");
	cause_step(c, "sudo whystuck watch %u   # where every turn's time goes", l->pid);
}

/* ---- It moves in circles ---- */

static void turn_loop(struct scene *s)
{
	const struct look *l = s->look;
	const struct history *h = l->history;
	uint64_t since = h->turn_ns > h->written_ns ? h->turn_ns : h->written_ns;
	struct cause *c;

	c = cause_new(s, VERDICT_TURN_LOOP, CONFIDENCE_LIKELY, NULL);
	c->pid = l->pid;
	c->since_ns = since ? since : h->start_ns;
	c->at_least = !since;
	cause_say(c,
	          "%" PRIu64 " LLM calls have succeeded in %s, but no turn ended and nothing was "
	          "written: the agent may go round in circles",
	          h->calls_since_turn, duration_of(age(l->now_ns, c->since_ns)).text);
	cause_wake(c, WAKE_ON_EVENT, 0,
	           "it ends when the agent finds an end, or reaches its own limit");
	cause_step(c, "look at the last calls in run_error.json (recent_calls): do they repeat?");
	cause_step(c, "limit the number of steps of a turn in the agent");
}

void progress_causes(struct scene *s)
{
	const struct look *l = s->look;

	if (l->stall && stall_stuck(l->stall) && l->history &&
	    l->history->calls_since_turn >= CIRCLE_CALLS_MIN &&
	    strcmp(stall_last(l->stall)->clock, "turns") == 0)
		turn_loop(s);
	retries_look(s);
	if (moves(l))
		progressing(s);
}
