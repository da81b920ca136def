/* SPDX-License-Identifier: BSD-2-Clause */
/* The newest sign of life in open calls, their sockets and, where nothing else decides, in threads. */
#include "settle.h"

#include "base/times.h"

/* Facts that no further look changes. */
static const bool definite[VERDICT_KINDS] = {
	[VERDICT_PROGRESSING] = true, [VERDICT_SLOW] = true,         [VERDICT_STOPPED] = true,
	[VERDICT_SLEEPING] = true,    [VERDICT_RATE_LIMITED] = true, [VERDICT_EXITED] = true,
};

/* When data moved last on a socket, 0 unknown or never. */
static uint64_t socket_life(const struct ev_socket *s)
{
	bool again = s->tcp_retransmits && s->tcp_unacked; /* what is sent last is old */
	uint64_t sent = s->tcp_bytes_sent && !again ? age(s->h.ts_ns, s->tcp_last_sent_ns) : 0;

	return later(sent, s->tcp_bytes_recv ? age(s->h.ts_ns, s->tcp_last_recv_ns) : 0);
}

static uint64_t call_life(const struct look *l, const struct call_view *v)
{
	const struct ev_socket *s = l->evidence && v->sock ? evidence_socket(l->evidence, v->sock)
	                                                   : NULL;
	bool late = v->call->at_least || v->call->partial == PARTIAL_ATTACHED_LATE;

	/* of the time before we came the socket knows more */
	if (late && s && s->h.flags & EVF_TCP && socket_life(s) && !call_gets_filler(v->call))
		return socket_life(s);
	return call_silent_since(v->call);
}

static bool may_decide(const struct call *c, bool decided)
{
	if (c->blocks || c->inbound || c->class == CALL_HEARTBEAT)
		return false;
	return c->class == CALL_LLM || c->class == CALL_STORAGE || !decided;
}

/* When a first thread began to wait; one that runs lives now. */
static uint64_t threads_life(const struct look *l)
{
	const struct ev_thread *const *list;
	uint64_t newest = 0;
	size_t n;

	if (!l->evidence || !evidence_time(l->evidence))
		return l->now_ns;
	list = evidence_threads(l->evidence, 0, &n);
	for (size_t i = 0; i < n; i++) {
		const struct ev_thread *t = list[i];

		if (t->h.pid != t->h.tid)
			continue;
		if (t->state == 'R')
			return l->now_ns;
		newest = later(newest, t->blocked_since_ns);
	}
	return newest;
}

uint64_t settle_life(const struct look *l, const struct diagnosis *d)
{
	bool decided = d->causes[0].kind != VERDICT_UNKNOWN;
	uint64_t newest = l->history ? l->history->moved_ns : 0;

	for (size_t i = 0; i < l->nopen; i++)
		if (may_decide(l->open[i].call, decided))
			newest = later(newest, call_life(l, &l->open[i]));
	return decided ? newest : later(newest, threads_life(l));
}

/* How long unanswered LLM calls are looked at, which are given more time than other silences. */
static uint64_t replies_ns(const struct look *l, uint64_t looked)
{
	uint64_t longest = 0;

	for (size_t i = 0; i < l->nopen; i++) {
		const struct call_view *v = &l->open[i];
		uint64_t quiet = look_quiet_ns(l, v->call);

		if (may_decide(v->call, true) && quiet > l->silent_min_ns)
			longest = later(longest,
			                age(quiet, later(age(l->now_ns, call_life(l, v)), looked)));
	}
	return longest;
}

/*
 * Computing, or trying for a lock again and again: it has no age but that of the look, and most of what
 * does so is done soon.
 */
static bool is_brief(const struct cause *c)
{
	return c->kind == VERDICT_CPU_BOUND ||
	       (c->kind == VERDICT_FILE_LOCK && c->confidence == CONFIDENCE_LIKELY);
}

uint64_t settle_ns(const struct look *l, const struct diagnosis *d)
{
	uint64_t quiet = age(l->now_ns, settle_life(l, d));
	uint64_t looked = l->history ? age(l->now_ns, l->history->start_ns) : 0;

	if (definite[d->causes[0].kind])
		return 0;
	if (is_brief(&d->causes[0])) {
		/* attaching may have taken long: what tells is from when functions were seen */
		uint64_t first = l->evidence ? evidence_first_frames(l->evidence) : 0;

		return age(l->silent_min_ns, first ? age(l->now_ns, first) : looked);
	}
	return later(age(l->silent_min_ns, later(quiet, looked)), replies_ns(l, looked));
}
