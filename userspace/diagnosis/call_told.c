/* SPDX-License-Identifier: BSD-2-Clause */
/* What is shown of a hung call, and what to do about it. */
#include <string.h>

#include "diagnosis/call_facts.h"

/* ---- The evidence behind it, in sentences ---- */

static void ages_evidence(const struct facts *f, struct cause *c)
{
	const struct ev_socket *s = f->socket;
	uint64_t more = age(f->look->now_ns, s->h.ts_ns);

	if (s->tcp_bytes_sent)
		cause_evidence(c, "last data sent %s ago",
		               duration_of(s->tcp_last_sent_ns + more).text);
	else
		cause_evidence(c, "no data was ever sent on this connection");
	if (s->tcp_bytes_recv)
		cause_evidence(c, "last data received %s ago",
		               duration_of(s->tcp_last_recv_ns + more).text);
	else
		cause_evidence(c, "no data was ever received on this connection");
	if (f->doubtful)
		cause_evidence(
			c,
			"%llu bytes came in all, a handshake's worth: a TLS 1.3 server sends its "
			"session tickets when the first request is on its way",
			s->tcp_bytes_recv);
}

static void timers_evidence(const struct facts *f, struct cause *c)
{
	const struct ev_timers *t = f->timers;
	char user[64] = "";

	if (t && t->user_timeout_ms)
		snprintf(user, sizeof(user), "; TCP_USER_TIMEOUT is %s",
		         duration_of(t->user_timeout_ms * NS_PER_MS).text);
	if (f->socket->keepalive && t && t->keep_idle_s)
		cause_evidence(c,
		               "TCP keepalive is on: the first probe after %s, %u in all, one each "
		               "%s%s",
		               duration_of(t->keep_idle_s * NS_PER_S).text, t->keep_count,
		               duration_of(t->keep_interval_s * NS_PER_S).text, user);
	else
		cause_evidence(c, "TCP keepalive is %s%s", f->socket->keepalive ? "on" : "off",
		               user);
	if (t && t->probes)
		cause_evidence(c, "%u probes of the kernel are unanswered", t->probes);
}

static void socket_evidence(const struct facts *f, struct cause *c)
{
	const struct ev_socket *s = f->socket;
	const char *state;

	if (!s) {
		cause_evidence(c, "the call's socket is not in the snapshot");
		return;
	}
	if (!f->tcp)
		return;
	state = tcp_state_name(s->tcp_state);
	cause_evidence(
		c,
		"TCP %s, %u unread, %u unsent, %u segments unacknowledged, %u retransmissions "
		"unanswered",
		state ? state : "state unknown", s->tcp_unread, s->tcp_unsent, s->tcp_unacked,
		s->tcp_retransmits);
	ages_evidence(f, c);
	timers_evidence(f, c);
}

/* What the fields of request and reply say. */
static void said_evidence(const struct call *call, struct cause *c)
{
	if (call->limit == LIMIT_SILENCE)
		cause_evidence(c,
		               "as its request says, the client waits %s for a byte of the reply",
		               seconds_of(call->limit_s).text);
	if (call->limit == LIMIT_CALL)
		cause_evidence(c, "as its request says, the client waits %s for the whole call",
		               seconds_of(call->limit_s).text);
	if (call->limit == LIMIT_HEAD)
		cause_evidence(c, "as its request says, the client waits %s for the reply to begin",
		               seconds_of(call->limit_s).text);
	if (call->limit == LIMIT_NONE)
		cause_evidence(c, "the client set no read timeout: its SDK says one with every "
		                  "request that has one, and this one has none");
	if (call->llm && *call->llm->said.request_id)
		cause_evidence(c, "the provider's support knows this call as request id %s",
		               call->llm->said.request_id);
}

static void own_evidence(const struct facts *f, struct cause *c)
{
	const struct call *call = f->call;

	if (f->late && c->at_least)
		cause_evidence(c, "the call began before whystuck attached: its times are lower "
		                  "bounds");
	else if (f->late)
		cause_evidence(c, "the call began before whystuck attached: its times are those "
		                  "the kernel keeps of the connection");
	if (call->sent_ns && !f->late)
		cause_evidence(c,
		               "request of %" PRIu64 " bytes complete, %" PRIu64
		               " bytes of reply seen",
		               call->bytes_out, call->bytes_in);
	if (f->view->endpoint && f->view->endpoint->how)
		cause_evidence(c, "who that is: %s", f->view->endpoint->how);
	if (call->last_byte_ns && call->last_byte_ns > call_silent_since(call))
		cause_evidence(c, "bytes that are no content came %s ago",
		               duration_of(age(f->look->now_ns, call->last_byte_ns)).text);
	said_evidence(call, c);
	if (call->partial != PARTIAL_NONE && call->partial != PARTIAL_ATTACHED_LATE)
		cause_evidence(c, "not all of the call was seen: %s", partial_name(call->partial));
}

/* What a silent store may be doing, by system. */
static const struct {
	const char *system, *hint;
} storage_hints[] = {
	{ "postgres", "a server that is alive and silent most likely waits for a lock that another "
	              "session holds: pg_stat_activity shows wait_event_type Lock, pg_locks who "
	              "holds it" },
	{ "mysql",
	  "a server that is alive and silent most likely waits for a lock: SHOW PROCESSLIST "
	  "and performance_schema.data_lock_waits show whose" },
	{ "redis", "Redis runs one command at a time: a slow command or script of any client holds "
	           "up all others, CLIENT PAUSE does too" },
	{ "neo4j",
	  "a transaction that waits for a lock of another one is silent: SHOW TRANSACTIONS "
	  "shows both" },
	{ "mongodb", "db.currentOp({waitingForLock: true}) shows operations that wait for a lock" },
};

static void storage_evidence(const struct facts *f, struct cause *c)
{
	if (f->rule->kind != VERDICT_STORAGE_NO_RESPONSE || f->replied || !f->view->endpoint)
		return;
	for (size_t i = 0; i < sizeof(storage_hints) / sizeof(*storage_hints); i++)
		if (strcmp(f->view->endpoint->system, storage_hints[i].system) == 0)
			cause_evidence(c, "%s", storage_hints[i].hint);
}

void call_evidence(const struct facts *f, struct cause *c)
{
	own_evidence(f, c);
	socket_evidence(f, c);
	storage_evidence(f, c);
}

/* ---- What to do ---- */

/* What comes after the options that name the server. Lines are made to be pasted into a shell. */
static const struct {
	const char *system, *client, *socket_option, *rest;
} storage_steps[] = {
	{ "redis", "redis-cli", "-s",
	  "CLIENT LIST   # what its clients do; SLOWLOG GET shows what took long" },
	{ "postgres", "psql", NULL,
	  "-c \"SELECT pid, state, wait_event_type, wait_event, query_start FROM "
	  "pg_stat_activity\"   # what its sessions do, and wait for" },
};

/* " -h HOST -p PORT" or " -s PATH"; empty when the address is not fit for a command line. */
static void server_options(const char *addr, const char *socket_option, char out[static 200])
{
	const char *port = strrchr(addr, ':');
	struct bytes host = { addr, port ? (size_t)(port - addr) : 0 };

	*out = '\0';
	if (!is_shell_safe(addr))
		return;
	if (*addr == '/' && socket_option)
		snprintf(out, 200, " %s %s", socket_option, addr);
	if (*addr == '/' || !port)
		return;
	if (host.n > 2 && *host.p == '[')
		host = (struct bytes){ host.p + 1, host.n - 2 };
	snprintf(out, 200, " -h %.*s -p %s", (int)host.n, host.p, port + 1);
}

static void steps_for_storage(struct cause *c, const struct call_view *v)
{
	for (size_t i = 0; i < sizeof(storage_steps) / sizeof(*storage_steps); i++) {
		char options[200];

		if (!v->endpoint || strcmp(v->endpoint->system, storage_steps[i].system) != 0)
			continue;
		server_options(v->endpoint->addr, storage_steps[i].socket_option, options);
		cause_step(c, "%s%s %s", storage_steps[i].client, options, storage_steps[i].rest);
	}
}

static void step_probe(struct cause *c, uint32_t pid)
{
	cause_step(c,
	           "sudo whystuck --probe %u   # is the path dead, or the server silent? (not "
	           "read-only)",
	           pid);
}

static void steps_for_llm(const struct look *l, struct cause *c)
{
	if (c->wake.answer == WAKE_AT)
		cause_step(c, "wait for its time limit, or set a shorter one on the LLM client");
	else if (call_gets_filler(c->view->call))
		cause_step(c, "limit the time between pieces of content, or of the whole call: "
		              "every ping begins a read timeout anew");
	else
		cause_step(c, "set a read timeout on the LLM client, so that a silent reply "
		              "becomes an error it can retry");
	if (!call_gets_filler(c->view->call))
		step_probe(c, l->pid);
	if (c->view->sock)
		cause_step(c,
		           "sudo whystuck --unstick %u   # end this one call, so that its client "
		           "goes on with an error (asks first)",
		           l->pid);
	cause_step(c, "kill -INT %u   # stop the run if its results so far are kept", l->pid);
}

void call_steps(const struct look *l, struct cause *c)
{
	const char *peer = c->view->endpoint ? c->view->endpoint->addr : "";
	uint32_t pid = c->view->call->pid ? c->view->call->pid : l->pid;

	switch (c->kind) {
	case VERDICT_STORAGE_NO_RESPONSE:
		steps_for_storage(c, c->view);
		step_probe(c, l->pid);
		cause_step(
			c,
			"set a time limit on the storage client's reads, so that a silent server "
			"becomes an error");
		break;
	case VERDICT_LLM_NO_RESPONSE:
	case VERDICT_LLM_STREAM_STALLED:
		steps_for_llm(l, c);
		break;
	case VERDICT_CONNECTION_DEAD:
		cause_step(c, "check the path to %s: VPN, NAT, proxy, whether the host is up",
		           endpoint_text(c->view));
		cause_step(c, "set a read timeout or TCP keepalive on the client, so that a dead "
		              "connection becomes an error");
		break;
	case VERDICT_PEER_CLOSED_UNREAD:
		cause_step(c,
		           "sudo whystuck --all %u   # where is the thread that should read this "
		           "connection?",
		           pid);
		cause_step(c, "kill -INT %u   # stop the run if its results so far are kept",
		           l->pid);
		break;
	default:
		if (*peer && is_shell_safe(peer))
			cause_step(c,
			           "sudo whystuck --llm %s %u   # if that is the LLM; --storage "
			           "NAME=%s if it is a store",
			           peer, l->pid, peer);
		cause_step(c, "sudo whystuck --all %u   # every thread and where it is", l->pid);
	}
}
