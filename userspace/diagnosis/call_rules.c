/* SPDX-License-Identifier: BSD-2-Clause */
/* A table of rules over what a hung call's socket and its bytes say: which cause it is, how sure, in which sentence. */
#include "diagnosis/call_facts.h"

/* tcp_retries1: from so many unanswered retransmissions on the kernel itself doubts the path. */
#define RETRANSMITS_DOUBT 3

static const char *class_text(const struct call_view *v)
{
	if (v->call->class == CALL_LLM)
		return "LLM";
	return v->endpoint && *v->endpoint->label ? v->endpoint->label : "storage";
}

bool is_unnamed_wait(const struct call_view *v)
{
	return v->call->class == CALL_OTHER && !v->call->inbound && !v->call->first_byte_ns;
}

static bool is_dead(const struct facts *f)
{
	return f->tcp && f->socket->tcp_unacked && f->socket->tcp_retransmits;
}

static bool is_closed_unread(const struct facts *f)
{
	return f->tcp && f->socket->tcp_state == STATE_CLOSE_WAIT;
}

/* The reply lies in the kernel: whoever fails to answer, it is not the peer. */
static bool is_unread(const struct facts *f)
{
	return f->tcp && f->socket->tcp_unread;
}

static bool is_llm_unanswered(const struct facts *f)
{
	return f->call->class == CALL_LLM && f->sent && !f->replied;
}

static bool is_llm_stalled(const struct facts *f)
{
	return f->call->class == CALL_LLM && f->sent && f->replied;
}

static bool is_storage(const struct facts *f)
{
	return f->call->class == CALL_STORAGE && f->sent;
}

static bool is_unnamed(const struct facts *f)
{
	return is_unnamed_wait(f->view);
}

static bool is_unsent(const struct facts *f)
{
	return !f->sent;
}

/* "at least 10.0 s": for how long it is silent, and whether that is only a bound. */
static struct duration silent_for(const struct facts *f, const struct cause *c, uint64_t since_ns)
{
	struct duration d = duration_of(age(f->look->now_ns, since_ns)), bound;

	if (!c->at_least)
		return d;
	snprintf(bound.text, sizeof(bound.text), "at least %.*s",
	         (int)(sizeof(bound.text) - sizeof("at least ")), d.text);
	return bound;
}

static void tell_dead(const struct facts *f, struct cause *c)
{
	cause_say(c,
	          "the connection of %s to %s (%s) is dead: data unacknowledged after %u "
	          "retransmissions, silent for %s",
	          op_text(f->call), endpoint_text(f->view), class_text(f->view),
	          f->socket->tcp_retransmits, silent_for(f, c, f->silent_ns).text);
}

static void tell_closed(const struct facts *f, struct cause *c)
{
	cause_say(c, "%s closed the connection of %s (%s), and the process has not read that",
	          endpoint_text(f->view), op_text(f->call), class_text(f->view));
}

static void tell_unread(const struct facts *f, struct cause *c)
{
	cause_say(
		c,
		"%u bytes from %s for %s (%s) wait unread in the socket: the process does not read "
		"them",
		f->socket->tcp_unread, endpoint_text(f->view), op_text(f->call),
		class_text(f->view));
}

struct ending {
	char text[2 * DURATION_TEXT_MAX + 64];
};

/* The end of a sentence on a wait: what can end it, as far as that is certain. */
static struct ending ending(const struct facts *f, const struct cause *c)
{
	struct ending e = { "" };

	if (c->wake.answer == WAKE_NEVER)
		snprintf(e.text, sizeof(e.text),
		         "; no timeout and no keep-alive: it will wait for ever");
	else if (c->wake.answer == WAKE_AT && f->said)
		snprintf(e.text, sizeof(e.text),
		         "; the client set a timeout of %s: it gives up in %s",
		         seconds_of(f->call->limit_s).text,
		         duration_of(age(c->wake.at_ns, f->look->now_ns)).text);
	else if (c->wake.answer == WAKE_AT)
		snprintf(e.text, sizeof(e.text), "; its time limit ends the wait in %s",
		         duration_of(age(c->wake.at_ns, f->look->now_ns)).text);
	else if (f->call->limit == LIMIT_NONE)
		snprintf(e.text, sizeof(e.text), "; the client set no read timeout");
	return e;
}

struct reply_text {
	char text[DURATION_TEXT_MAX + 120];
};

/* What came since the request, as far as it is known. */
static struct reply_text no_reply(const struct facts *f)
{
	struct reply_text r = { ", no byte since" };
	uint64_t sent = f->tcp ? f->socket->tcp_last_sent_ns : 0,
		 received = f->tcp ? f->socket->tcp_last_recv_ns : 0;
	char after[DURATION_TEXT_MAX + 8];

	snprintf(after, sizeof(after), "%s later", duration_of(age(sent, received)).text);
	if (f->doubtful)
		snprintf(r.text, sizeof(r.text),
		         ", and what came last, %s, is the end of the TLS handshake, or a "
		         "reply as quick and no more of it",
		         sent == received ? "at once" : after);
	else if (f->late && f->tcp && f->socket->tcp_bytes_recv && received < sent)
		snprintf(r.text, sizeof(r.text), ", no reply since");
	return r;
}

static void tell_unanswered(const struct facts *f, struct cause *c)
{
	uint64_t sent = f->late || !f->call->sent_ns ? f->silent_ns : f->call->sent_ns;

	if (f->alike > 1)
		cause_say(c, "%zu calls of %s to %s (%s), the oldest sent %s ago%s%s%s", f->alike,
		          op_text(f->call), endpoint_text(f->view), class_text(f->view),
		          silent_for(f, c, sent).text, f->acknowledged ? ", acknowledged" : "",
		          no_reply(f).text, ending(f, c).text);
	else
		cause_say(c, "%s to %s (%s) sent %s ago%s%s%s", op_text(f->call),
		          endpoint_text(f->view), class_text(f->view), silent_for(f, c, sent).text,
		          f->acknowledged ? ", acknowledged" : "", no_reply(f).text,
		          ending(f, c).text);
}

static void tell_stalled(const struct facts *f, struct cause *c)
{
	if (f->alike > 1)
		cause_say(c,
		          "%zu replies of %s to %s (%s) began, then nothing of their content came, "
		          "of the oldest for %s%s",
		          f->alike, endpoint_text(f->view), op_text(f->call), class_text(f->view),
		          silent_for(f, c, f->silent_ns).text, ending(f, c).text);
	else
		cause_say(c,
		          "the reply of %s to %s (%s) began, then nothing of its content came for "
		          "%s%s",
		          endpoint_text(f->view), op_text(f->call), class_text(f->view),
		          silent_for(f, c, f->silent_ns).text, ending(f, c).text);
}

static void tell_storage(const struct facts *f, struct cause *c)
{
	if (f->replied)
		tell_stalled(f, c);
	else
		tell_unanswered(f, c);
}

static void tell_unnamed(const struct facts *f, struct cause *c)
{
	const char *op = op_text(f->call), *place = endpoint_text(f->view);
	struct duration silent = silent_for(f, c, f->silent_ns);

	if (f->alike > 1)
		cause_say(c,
		          "%zu calls of %s to %s are unanswered, the oldest silent for %s; whether "
		          "that is an LLM or a store is not known",
		          f->alike, op, place, silent.text);
	else
		cause_say(
			c,
			"%s to %s is unanswered, silent for %s; whether that is an LLM or a store "
			"is not known",
			op, place, silent.text);
}

static void tell_unsent(const struct facts *f, struct cause *c)
{
	cause_say(c,
	          "%s to %s (%s) is open, silent for %s; whether its request was fully sent is not "
	          "known",
	          op_text(f->call), endpoint_text(f->view), class_text(f->view),
	          silent_for(f, c, f->silent_ns).text);
}

/* Socket evidence agrees: the connection stands and the peer has it all. */
static enum confidence sure_if_established(const struct facts *f)
{
	bool agrees = f->acknowledged && f->socket->tcp_state == STATE_ESTABLISHED && !f->doubtful;

	return agrees ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY;
}

static enum confidence sure_by_retransmits(const struct facts *f)
{
	return f->socket->tcp_retransmits >= RETRANSMITS_DOUBT ? CONFIDENCE_STRONG
	                                                       : CONFIDENCE_LIKELY;
}

static enum confidence sure_by_state(const struct facts *f)
{
	(void)f; /* the kernel says so itself */
	return CONFIDENCE_STRONG;
}

static enum confidence not_sure(const struct facts *f)
{
	(void)f;
	return CONFIDENCE_NONE;
}

/* The first that holds is the call's cause. */
static const struct rule rules[] = {
	{ VERDICT_CONNECTION_DEAD, is_dead, sure_by_retransmits, tell_dead },
	{ VERDICT_PEER_CLOSED_UNREAD, is_closed_unread, sure_by_state, tell_closed },
	{ VERDICT_UNKNOWN, is_unread, not_sure, tell_unread },
	{ VERDICT_LLM_NO_RESPONSE, is_llm_unanswered, sure_if_established, tell_unanswered },
	{ VERDICT_LLM_STREAM_STALLED, is_llm_stalled, sure_if_established, tell_stalled },
	{ VERDICT_STORAGE_NO_RESPONSE, is_storage, sure_if_established, tell_storage },
	{ VERDICT_UNKNOWN, is_unnamed, not_sure, tell_unnamed },
	{ VERDICT_UNKNOWN, is_unsent, not_sure, tell_unsent }, /* of the rest this always holds */
};

const struct rule *call_rule(const struct facts *f)
{
	const struct rule *r = rules;

	while (!r->holds(f))
		r++;
	return r;
}
