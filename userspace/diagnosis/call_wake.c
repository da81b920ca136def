/* SPDX-License-Identifier: BSD-2-Clause */
/* Will a hung call ever end? Time limits of threads, of the client, of the kernel. */
#include <sys/socket.h>

#include "diagnosis/call_facts.h"

struct duration seconds_of(double s)
{
	return duration_of((uint64_t)(s * NS_PER_S));
}

/* What the threads that wait on the call's socket have armed. */
struct waiters {
	unsigned n, unknown;
	const struct ev_thread *first; /* whose timer ends first */
	uint64_t at_ns;
	bool many; /* that thread waits for other things too */
	bool bare; /* one waits on it alone, and armed nothing */
};

static struct waiters waiters_of(const struct scene *s, uint64_t sock)
{
	struct waiters found = { 0 };

	for (size_t i = 0; sock && i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];

		if (!wait_on(s, w, sock))
			continue;
		found.n++;
		if (!w->until_ns) {
			found.unknown += !wait_untimed(w);
			found.bare |= wait_untimed(w) && w->thread->fds_total <= 1 &&
			              thread_nfds(w->thread) <= 1;
			continue;
		}
		if (!found.first || w->until_ns < found.at_ns) {
			found.first = w->thread;
			found.at_ns = w->until_ns;
			found.many = w->thread->fds_total > 1 || thread_nfds(w->thread) > 1;
		}
	}
	return found;
}

/* What the kernel does when the path is dead, which no living silent peer brings about. */
static void wake_by_keepalive(const struct facts *f, struct cause *c)
{
	const struct ev_timers *t = f->timers;
	uint64_t next, last;

	if (!t || t->timer != TIMER_KEEPALIVE || !t->keep_count) {
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "no time limit is set; TCP keepalive ends the wait should the peer be "
		           "gone, not while it is merely silent");
		return;
	}
	next = age(t->h.ts_ns + t->timer_ns, f->look->now_ns);
	last = t->keep_count > t->probes ? t->keep_count - t->probes : 0;
	cause_wake(c, WAKE_ON_EVENT, 0,
	           "no time limit is set; TCP keepalive asks in %s whether the peer lives: should "
	           "it be gone, the wait ends %s later, should it live, only its answer ends it",
	           duration_of(next).text,
	           t->user_timeout_ms ? duration_of(t->user_timeout_ms * NS_PER_MS).text
	                              : duration_of(last * t->keep_interval_s * NS_PER_S).text);
}

static void wake_by_retransmits(const struct facts *f, struct cause *c)
{
	const struct ev_timers *t = f->timers;
	const char *next = "";
	struct duration left = { "" }, limit;

	if (t && t->timer == TIMER_RETRANSMIT) {
		left = duration_of(age(t->h.ts_ns + t->timer_ns, f->look->now_ns));
		next = ", next in ";
	}
	if (t && t->user_timeout_ms) {
		limit = duration_of(t->user_timeout_ms * NS_PER_MS);
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "the kernel sends again%s%s and gives up %s after the first try "
		           "(TCP_USER_TIMEOUT); until then the path may work again",
		           next, left.text, limit.text);
		return;
	}
	cause_wake(c, WAKE_ON_EVENT, 0,
	           "the kernel sends again%s%s and gives up in the end (tcp_retries2, about 15 "
	           "minutes by default); until then the path may work again",
	           next, left.text);
}

static void wake_from_socket(const struct facts *f, struct cause *c)
{
	const struct ev_socket *s = f->socket;

	if (!s)
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "its socket was not seen, so neither were its timers");
	else if (s->family != AF_UNIX && !f->tcp)
		cause_wake(c, WAKE_UNKNOWN, 0, "the state of its TCP connection could not be read");
	else if (f->tcp && f->timers && f->timers->timer == TIMER_PROBE0)
		cause_wake(
			c, WAKE_ON_EVENT, 0,
			"the peer takes no more bytes (its window is closed); the kernel asks it "
			"again and again, for ever while it answers");
	else if (f->tcp && (s->tcp_unacked || s->tcp_unsent))
		wake_by_retransmits(f, c);
	else if (s->keepalive)
		wake_by_keepalive(f, c);
	else
		cause_wake(c, WAKE_NEVER, 0,
		           "the thread that waits on it set no time limit, %s: only the peer can "
		           "end this wait",
		           f->tcp ? "nothing is left to retransmit and TCP keepalive is off"
		                  : "and a unix socket has no timer");
}

/* When the client gives up by what its request said, 0 not said or no longer in effect. */
static uint64_t said_until(const struct call *call)
{
	uint64_t limit_ns = call->limit_s > 0 ? (uint64_t)(call->limit_s * NS_PER_S) : 0, from = 0;

	if (limit_ns &&
	    (call->limit == LIMIT_CALL || (call->limit == LIMIT_HEAD && !call->first_byte_ns)))
		from = call->request_ns;
	if (limit_ns && call->limit == LIMIT_SILENCE)
		from = call->last_byte_ns > call->sent_ns ? call->last_byte_ns : call->sent_ns;
	return from ? from + limit_ns : 0;
}

static bool wake_by_said(struct facts *f, struct cause *c)
{
	uint64_t until_ns = said_until(f->call);
	struct duration limit;

	if (!until_ns)
		return false;
	limit = seconds_of(f->call->limit_s);
	if (until_ns < f->look->now_ns) {
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "the client said in its request that it waits %s, and that is over",
		           limit.text);
	} else if (f->call->last_byte_ns > call_silent_since(f->call)) {
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "bytes that are no content begin the client's timeout of %s anew again "
		           "and again: it ends the wait when they stop too, or content comes",
		           limit.text);
	} else {
		f->said = true;
		cause_wake(c, WAKE_AT, until_ns,
		           "the client said in its request that it waits %s: it gives up in %s",
		           limit.text, duration_of(age(until_ns, f->look->now_ns)).text);
	}
	return true;
}

void call_wake(struct facts *f, struct cause *c)
{
	struct waiters t = waiters_of(f->scene, f->view->sock);
	struct duration left = duration_of(age(t.at_ns, f->look->now_ns));

	/* what is armed on this wait alone, or is not, is more than words, which may be passed on */
	if ((!t.first || t.many) && !t.bare && wake_by_said(f, c))
		return;
	if (!f->look->evidence || !evidence_time(f->look->evidence)) {
		cause_wake(c, WAKE_UNKNOWN, 0, "there is no snapshot of the threads");
	} else if (!t.n) {
		cause_wake(c, WAKE_UNKNOWN, 0, "no thread was seen waiting on this call's socket");
	} else if (t.first && t.many) {
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "thread %u, which also waits for other things, wakes in %s; whether "
		           "that ends this call is not known",
		           t.first->h.tid, left.text);
	} else if (t.first && t.at_ns < f->look->now_ns) {
		cause_wake(c, WAKE_UNKNOWN, 0, "the timer of thread %u should have run out already",
		           t.first->h.tid);
	} else if (t.first && f->call->last_byte_ns > call_silent_since(f->call)) {
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "bytes that are no content arm the time limit of thread %u anew again "
		           "and again: it ends the wait when they stop too, or content comes",
		           t.first->h.tid);
	} else if (t.first) {
		cause_wake(c, WAKE_AT, t.at_ns,
		           "the wait of thread %u on this socket times out in %s", t.first->h.tid,
		           left.text);
	} else if (t.unknown) {
		cause_wake(c, WAKE_UNKNOWN, 0,
		           "a thread waits on this socket; its time limit could not be read");
	} else {
		wake_from_socket(f, c);
	}
}
