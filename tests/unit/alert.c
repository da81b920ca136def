/* SPDX-License-Identifier: BSD-2-Clause */
/* Which actions are due when: the alert, each step of the stop plan, and what ends it. */
#include <errno.h>
#include <signal.h>

#include "alert.h"
#include "test.h"

#define S 1000000000ull
#define PID 77

static struct targets targets;

static char log_text[256];
static char environment[20000];

static void act(void *ctx, enum action_kind kind, int signo, const char *text)
{
	size_t n = strlen(log_text);

	(void)ctx;
	snprintf(log_text + n, sizeof(log_text) - n, "%s%d ",
	         kind == ACTION_ALERT     ? "alert"
	         : kind == ACTION_WEBHOOK ? "webhook"
	                                  : "signal",
	         signo);
	if (kind == ACTION_ALERT)
		snprintf(environment, sizeof(environment), "%s", text);
}

static const struct alert_facts facts = {
	.verdict = "llm_no_response",
	.summary = "POST to x sent 1 h 0 m ago",
	.where = "ask (x.py:12) <- main (x.py:40)",
	.will_wake = "never",
	.pid = 78,
	.since = "2026-01-01T00:00:00.000000Z",
	.for_ms = 3600000,
	.run_error = "/out/run_error.json",
	.output = "/out",
};

/* The target is PID, alone. */
static const struct targets *targets_one(void)
{
	struct ev_hello e = { .h = { .type = EV_HELLO, .size = sizeof(e), .pid = PID } };

	targets = (struct targets){ 0 };
	targets_event(&targets, &e.h);
	return &targets;
}

/* The pipeline tells who is there before the alert hears of it. */
static void event(struct alert *a, const struct event *e)
{
	targets_event(&targets, e);
	alert_event(a, e);
}

/* What was done by time to, ticking every second after a stall at 0. */
static const char *plan(const struct alert_plan *p, uint64_t to, struct alert **out)
{
	struct alert *a = alert_new(p, targets_one(), act, NULL);

	*log_text = '\0';
	alert_began(a, 0, &facts);
	for (uint64_t now = S; now <= to; now += S)
		alert_tick(a, now);
	if (out)
		*out = a;
	else
		alert_free(a);
	return log_text;
}

static void result(struct alert *a, int kind, int value)
{
	struct ev_action e = { .h = { .type = EV_ACTION, .size = sizeof(e) },
		               .kind = (unsigned)kind,
		               .result = value };

	event(a, &e.h);
}

static void last_exit(struct alert *a, uint32_t pid, uint16_t flags)
{
	struct ev_exit e = {
		.h = { .type = EV_EXIT, .size = sizeof(e), .pid = pid, .flags = flags }
	};

	event(a, &e.h);
}

static void alerts(void)
{
	struct alert_plan p = { .alert = true };
	struct alert_facts odd = facts;
	struct alert *a;
	static char huge[20000];

	TEST("on a stall the command runs at once, and nothing is stopped unless asked for");
	CHECK(!strcmp(plan(&p, 100 * S, &a), "alert0 "));
	CHECK(!alert_stopping(a));

	TEST("it is told everything in its environment, a line a name");
	CHECK(!strcmp(environment, "WHYSTUCK_PID=77\n"
	                           "WHYSTUCK_VERDICT=llm_no_response\n"
	                           "WHYSTUCK_SUMMARY=POST to x sent 1 h 0 m ago\n"
	                           "WHYSTUCK_WHERE=ask (x.py:12) <- main (x.py:40)\n"
	                           "WHYSTUCK_WILL_WAKE=never\n"
	                           "WHYSTUCK_STUCK_PID=78\n"
	                           "WHYSTUCK_SINCE=2026-01-01T00:00:00.000000Z\n"
	                           "WHYSTUCK_FOR_MS=3600000\n"
	                           "WHYSTUCK_RUN_ERROR=/out/run_error.json\n"
	                           "WHYSTUCK_OUTPUT=/out\n"));

	TEST("what is unknown, or could forge another line, or does not fit, is left out");
	memset(huge, 'x', sizeof(huge) - 1);
	odd.for_ms = -1;
	odd.since = odd.where = odd.will_wake = NULL;
	odd.pid = 0;
	odd.run_error = "/x\nLD_PRELOAD=/evil";
	odd.summary = huge;
	alert_began(a, 200 * S, &odd);
	CHECK(!strcmp(environment,
	              "WHYSTUCK_PID=77\nWHYSTUCK_VERDICT=llm_no_response\nWHYSTUCK_OUTPUT=/out\n"));
	alert_free(a);

	TEST("a webhook is posted beside the command, once a stall, before anything is stopped");
	p.webhook = p.stop = true;
	p.grace_ns = 10 * S;
	CHECK(!strcmp(plan(&p, 5 * S, NULL), "alert0 webhook0 signal2 "));
	p.alert = p.stop = false;
	CHECK(!strcmp(plan(&p, 100 * S, NULL), "webhook0 "));
	p.webhook = false;

	TEST("without a command there is no alert");
	p.alert = false;
	CHECK(!strcmp(plan(&p, 100 * S, NULL), ""));
}

static void stops(void)
{
	struct alert_plan p = { .stop = true, .grace_ns = 10 * S };
	struct alert *a;

	TEST("a stop is SIGINT at once, SIGTERM after the grace, then nothing");
	CHECK(!strcmp(plan(&p, 9 * S, NULL), "signal2 "));
	CHECK(!strcmp(plan(&p, 10 * S, NULL), "signal2 signal15 "));
	CHECK(!strcmp(plan(&p, 1000 * S, &a), "signal2 signal15 "));
	CHECK(!alert_stopping(a));

	TEST("a new stall after a stop that failed begins a new one");
	alert_began(a, 2000 * S, &facts);
	CHECK(!strcmp(log_text, "signal2 signal15 signal2 ") && alert_stopping(a));

	TEST("a stall during a stop does not begin another");
	alert_began(a, 2001 * S, &facts);
	CHECK(!strcmp(log_text, "signal2 signal15 signal2 "));
	alert_free(a);

	TEST("SIGKILL comes last, and only if asked for");
	p.stop_kill = true;
	CHECK(!strcmp(plan(&p, 1000 * S, NULL), "signal2 signal15 signal9 "));
	p.stop_kill = false;
	p.stop_signal = SIGKILL;
	CHECK(!strcmp(plan(&p, 1000 * S, NULL), "signal15 "));

	TEST("another first signal is taken, SIGTERM is not sent twice");
	p.stop_signal = SIGUSR1;
	CHECK(!strcmp(plan(&p, 1000 * S, NULL), "signal10 signal15 "));
	p.stop_signal = SIGTERM;
	CHECK(!strcmp(plan(&p, 1000 * S, NULL), "signal15 "));
}

static void endings(void)
{
	struct alert_plan p = { .stop = true, .stop_kill = true, .grace_ns = 10 * S };
	struct alert *a;

	TEST("when the target has ended no further signal is sent, so that none hits a stranger");
	plan(&p, 5 * S, &a);
	last_exit(a, PID, EVF_LAST);
	alert_tick(a, 100 * S);
	alert_began(a, 200 * S, &facts);
	CHECK(!strcmp(log_text, "signal2 ") && !alert_stopping(a));
	alert_free(a);

	TEST("the end of one of its threads, or of another process, is not its end");
	plan(&p, 5 * S, &a);
	last_exit(a, PID, 0);
	last_exit(a, PID + 1, EVF_LAST);
	alert_tick(a, 100 * S);
	CHECK(!strcmp(log_text, "signal2 signal15 "));

	TEST("a signal that found no process ends the plan too");
	result(a, ACTION_STOP, -ESRCH);
	alert_tick(a, 200 * S);
	CHECK(!strcmp(log_text, "signal2 signal15 "));
	alert_free(a);
}

static void stop_result(struct alert *a, int signo)
{
	static const char what[] = "signal sent to the target";
	struct {
		struct ev_action e;
		char text[sizeof(what) - 1];
	} r = { .e = { .h = { .type = EV_ACTION,
		              .size = sizeof(struct ev_action) + sizeof(what) - 1 },
		       .kind = ACTION_STOP,
		       .signo = signo,
		       .result = signo } };

	memcpy((char *)&r + sizeof(struct ev_action), what, sizeof(what) - 1);
	event(a, &r.e.h);
}

static bool said(const struct alert *a, size_t i, const char *text)
{
	size_t n;
	const struct ev_action *e = alert_actions(a, &n)[i];

	return i < n && e->h.size - sizeof(*e) == strlen(text) &&
	       !memcmp(e->text, text, strlen(text));
}

static void what_followed(void)
{
	struct alert_plan p = { .stop = true, .grace_ns = 10 * S };
	struct ev_end end = { .h = { .type = EV_END, .size = sizeof(end), .ts_ns = 12 * S },
		              .reason = END_EXITED };
	struct alert *a = alert_new(&p, targets_one(), act, NULL);

	TEST("of each signal it is told whether the target ended, and how long after it");
	alert_began(a, 0, &facts);
	stop_result(a, SIGINT);
	alert_tick(a, 10 * S);
	stop_result(a, SIGTERM);
	CHECK(said(a, 0, "signal sent to the target; the target did not end within 10.0 s"));
	CHECK(said(a, 1, "signal sent to the target"));
	event(a, &end.h);
	last_exit(a, PID, EVF_LAST);
	CHECK(said(a, 1, "signal sent to the target; the target ended 2.0 s after it"));
	alert_free(a);

	TEST("nothing is added when nobody asked it to end, or we left first");
	a = alert_new(&p, targets_one(), act, NULL);
	event(a, &end.h);
	alert_free(a);
	a = alert_new(&p, targets_one(), act, NULL);
	alert_began(a, 0, &facts);
	stop_result(a, SIGINT);
	end.reason = END_INTERRUPTED;
	event(a, &end.h);
	CHECK(said(a, 0, "signal sent to the target"));
	alert_free(a);
}

static void results(void)
{
	struct alert_plan p = { .alert = true };
	struct event cut = { .type = EV_ACTION, .size = sizeof(cut) };
	const struct ev_action *const *list;
	struct alert *a;
	size_t n;

	TEST("results are kept in order, the newest when there are too many, and counted");
	plan(&p, S, &a);
	for (int i = 0; i < ALERT_ACTIONS_MAX + 3; i++)
		result(a, ACTION_ALERT, i);
	list = alert_actions(a, &n);
	CHECK(n == ALERT_ACTIONS_MAX && list[0]->result == 3);
	CHECK(list[n - 1]->result == ALERT_ACTIONS_MAX + 2 && alert_forgotten(a) == 3);
	event(a, &cut);
	CHECK(alert_forgotten(a) == 4);
	alert_free(a);
	alert_free(NULL);
}

int main(void)
{
	alerts();
	stops();
	endings();
	what_followed();
	results();
	return DONE();
}
