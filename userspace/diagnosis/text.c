/* SPDX-License-Identifier: BSD-2-Clause */
/* How causes are written down: names, durations, sentences. */
#include <stdarg.h>

#include "diagnosis/scene.h"

const char *duration_text(uint64_t ns, char buf[static DURATION_TEXT_MAX])
{
	uint64_t s = ns / NS_PER_S;

	if (ns < NS_PER_S)
		snprintf(buf, DURATION_TEXT_MAX, "%" PRIu64 " ms", ns / NS_PER_MS);
	else if (s < 60)
		snprintf(buf, DURATION_TEXT_MAX, "%" PRIu64 ".%" PRIu64 " s", s,
		         ns / (NS_PER_S / 10) % 10);
	else if (s < 3600)
		snprintf(buf, DURATION_TEXT_MAX, "%" PRIu64 " m %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, DURATION_TEXT_MAX, "%" PRIu64 " h %" PRIu64 " m", s / 3600,
		         s / 60 % 60);
	else
		snprintf(buf, DURATION_TEXT_MAX, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
		         s / 3600 % 24);
	return buf;
}

struct duration duration_of(uint64_t ns)
{
	struct duration d;

	duration_text(ns, d.text);
	return d;
}

const char *endpoint_text(const struct call_view *v)
{
	return v->endpoint && *v->endpoint->name ? v->endpoint->name : "an unnamed endpoint";
}

const char *op_text(const struct call *c)
{
	return *c->op ? c->op : "a request";
}

const char *verdict_name(enum verdict_kind k)
{
	static const char *const names[VERDICT_KINDS] = {
		[VERDICT_UNKNOWN] = "unknown",
		[VERDICT_PROGRESSING] = "progressing",
		[VERDICT_SLOW] = "slow",
		[VERDICT_LLM_NO_RESPONSE] = "llm_no_response",
		[VERDICT_LLM_STREAM_STALLED] = "llm_stream_stalled",
		[VERDICT_STORAGE_NO_RESPONSE] = "storage_no_response",
		[VERDICT_CONNECTION_DEAD] = "connection_dead",
		[VERDICT_PEER_CLOSED_UNREAD] = "peer_closed_unread",
		[VERDICT_CONNECTING] = "connecting",
		[VERDICT_RESOLVING] = "resolving",
		[VERDICT_RATE_LIMITED] = "rate_limited",
		[VERDICT_RETRY_LOOP] = "retry_loop",
		[VERDICT_DEADLOCK] = "deadlock",
		[VERDICT_FORKED_LOCK] = "forked_lock",
		[VERDICT_EVENT_LOOP_BLOCKED] = "event_loop_blocked",
		[VERDICT_EVENT_LOOP_IDLE] = "event_loop_idle",
		[VERDICT_POOL_EXHAUSTED] = "pool_exhausted",
		[VERDICT_CPU_BOUND] = "cpu_bound",
		[VERDICT_TURN_LOOP] = "turn_loop",
		[VERDICT_SLEEPING] = "sleeping",
		[VERDICT_STOPPED] = "stopped",
		[VERDICT_UNINTERRUPTIBLE] = "uninterruptible",
		[VERDICT_OUTPUT_BLOCKED] = "output_blocked",
		[VERDICT_INPUT_WAIT] = "input_wait",
		[VERDICT_FILE_LOCK] = "file_lock",
		[VERDICT_CHILD_WAIT] = "child_wait",
		[VERDICT_WORKER_LOST] = "worker_lost",
		[VERDICT_EXIT_BLOCKED] = "exit_blocked",
		[VERDICT_EXITED] = "exited",
	};
	return names[k];
}

bool verdict_is_alive(enum verdict_kind k)
{
	return k == VERDICT_PROGRESSING || k == VERDICT_SLOW;
}

const char *confidence_name(enum confidence c)
{
	static const char *const names[] = { NULL, "likely", "strong", "proven" };

	return names[c];
}

const char *wake_name(enum wake_answer a)
{
	static const char *const names[] = { "unknown", "at", "never", "on_event" };

	return names[a];
}

const char *tcp_state_name(int state)
{
	static const char *const names[] = { NULL,          "ESTABLISHED", "SYN_SENT",  "SYN_RECV",
		                             "FIN_WAIT1",   "FIN_WAIT2",   "TIME_WAIT", "CLOSE",
		                             "CLOSE_WAIT",  "LAST_ACK",    "LISTEN",    "CLOSING",
		                             "NEW_SYN_RECV" };

	return state > 0 && (size_t)state < sizeof(names) / sizeof(*names) ? names[state] : NULL;
}

/* ---- Sentences ---- */

static void say(char out[static DIAGNOSIS_TEXT_MAX], const char *format, va_list args)
{
	char raw[2 * DIAGNOSIS_TEXT_MAX];

	vsnprintf(raw, sizeof(raw), format, args);
	secrets_clean(raw, strlen(raw), out, DIAGNOSIS_TEXT_MAX);
}

void cause_say(struct cause *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(c->summary, format, args);
	va_end(args);
}

void cause_evidence(struct cause *c, const char *format, ...)
{
	va_list args;

	if (c->nevidence == CAUSE_EVIDENCE_MAX)
		return;
	va_start(args, format);
	say(c->evidence[c->nevidence++], format, args);
	va_end(args);
}

void cause_step(struct cause *c, const char *format, ...)
{
	va_list args;

	if (c->nsteps == STEPS_MAX)
		return;
	va_start(args, format);
	say(c->steps[c->nsteps++], format, args);
	va_end(args);
}

void cause_wake(struct cause *c, enum wake_answer a, uint64_t at_ns, const char *format, ...)
{
	va_list args;

	c->wake.answer = a;
	c->wake.at_ns = at_ns;
	va_start(args, format);
	say(c->wake.why, format, args);
	va_end(args);
}

bool is_shell_safe(const char *s)
{
	return s[strspn(s,
	                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._:[]-")] ==
	       '\0';
}
