/* SPDX-License-Identifier: BSD-2-Clause */
/* Causes before a request can be sent: connections that do not open, names that do not resolve. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "diagnosis/scene.h"

/* include/net/tcp_states.h */
#define STATE_SYN_SENT 2
/* The kernel sends a SYN again after 1, 3, 7, ... s: what takes longer than this has lost several. */
#define CONNECT_NS (5 * NS_PER_S)
/* A resolver asks again after 5 s (resolv.conf(5)): it never waits in one call for as long as a run. */
#define RESOLVE_NS (2 * NS_PER_S)

static const char *address_text(const struct ev_socket *k, char buf[static 80])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (k->family == AF_UNIX) {
		struct bytes path = socket_path(k);

		snprintf(buf, 80, "%.*s", (int)(path.n < 79 ? path.n : 79), path.n ? path.p : "?");
		return buf;
	}
	inet_ntop(k->family, k->remote, ip, sizeof(ip));
	snprintf(buf, 80, k->family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, k->remote_port);
	return buf;
}

static const char *peer_text(const struct scene *s, const struct ev_socket *k, char buf[static 80])
{
	const struct endpoint *e = scene_endpoint(s, k->sock);

	if (!e || !*e->host)
		return address_text(k, buf);
	snprintf(buf, 80, "%.78s", e->name);
	return buf;
}

static void connecting(struct scene *s, const struct wait *w, const struct ev_socket *k)
{
	const struct ev_timers *t = evidence_timers(s->look->evidence, k->sock);
	struct cause *c = cause_new(s, VERDICT_CONNECTING, CONFIDENCE_PROVEN, w);
	uint64_t sent = k->tcp_last_sent_ns + age(s->look->now_ns, k->h.ts_ns);
	char peer[80], where[80];

	if (k->h.flags & EVF_TCP && k->tcp_last_sent_ns && (w->ticks || w->kind == WAIT_MANY))
		c->since_ns = age(s->look->now_ns, sent);
	cause_say(c, "connecting to %s for %s: it does not answer", peer_text(s, k, peer),
	          duration_of(age(s->look->now_ns, c->since_ns)).text);
	cause_evidence(c, "TCP SYN_SENT to %s, %u retransmissions unanswered",
	               address_text(k, where), k->tcp_retransmits);
	if (t && t->timer == TIMER_RETRANSMIT)
		cause_evidence(c, "the kernel asks again in %s", duration_of(t->timer_ns).text);
	cause_evidence_wait(s, c, w);
	if (w->until_ns > s->look->now_ns && w->kind != WAIT_MANY)
		cause_wake_by_wait(s, c, w);
	else
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "the kernel gives up after its last SYN (net.ipv4.tcp_syn_retries: "
		           "about two minutes by default), or the server answers");
	cause_step(c, "curl -v --max-time 5 telnet://%s   # does it open from here?",
	           address_text(k, where));
	cause_step(c, "check firewall, VPN and proxy towards it; set a connect timeout");
}

/* Sockets that wait for their connection to open, where a loop waits for many. */
static void connecting_among_many(struct scene *s, const struct wait *w)
{
	for (uint32_t i = 0; i < thread_nfds(w->thread); i++) {
		const struct ev_socket *k = scene_socket(
			s, evidence_fd(s->look->evidence, w->thread->h.pid, w->thread->fds[i]));

		if (!k || !(k->h.flags & EVF_TCP) || k->tcp_state != STATE_SYN_SENT)
			continue;
		if (k->tcp_last_sent_ns + age(s->look->now_ns, k->h.ts_ns) >= CONNECT_NS ||
		    k->tcp_retransmits > 1)
			connecting(s, w, k);
	}
}

static void unix_connecting(struct scene *s, const struct wait *w, const struct ev_socket *k)
{
	struct cause *c = cause_new(s, VERDICT_CONNECTING, CONFIDENCE_STRONG, w);
	char where[80], name[64];

	cause_say(c, "%s waits to connect to %s for %s: the server accepts no more",
	          wait_name(w, name), address_text(k, where), duration_of(wait_for_ns(s, w)).text);
	cause_evidence_wait(s, c, w);
	cause_wake_by_wait(s, c, w);
	cause_step(c, "look at the server behind that socket: its queue of connections is full");
}

static void resolving(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_RESOLVING,
	                            w->kind == WAIT_RESOLVE ? CONFIDENCE_STRONG : CONFIDENCE_LIKELY,
	                            w);
	const struct ev_socket *k = w->sock ? evidence_socket(s->look->evidence, w->sock) : NULL;
	char server[80], name[64];

	cause_say(c, "%s waits for a name to be resolved%s%s%s", wait_name(w, name),
	          k ? ": the name server " : "", k ? address_text(k, server) : "",
	          k ? " does not answer" : "");
	cause_evidence_wait(s, c, w);
	if (w->until_ns > s->look->now_ns)
		cause_wake(c, WAKE_AT, w->until_ns, "the resolver asks again, or gives up, in %s",
		           duration_of(w->until_ns - s->look->now_ns).text);
	else
		cause_wake(c, WAKE_ON_EVENT, 0, "it goes on when a name server answers");
	cause_step(c, "cat /proc/%u/root/etc/resolv.conf   # which name servers does it ask?",
	           w->thread->h.pid);
	cause_step(c, "getent hosts api.openai.com   # does resolving work from here?");
}

static bool is_resolving(const struct scene *s, const struct wait *w)
{
	if (w->kind == WAIT_RESOLVE)
		return wait_for_ns(s, w) >= smaller(RESOLVE_NS, s->look->silent_min_ns);
	/* the resolver may ask by other ways: a local cache, systemd-resolved */
	return w->kind == WAIT_SOCKET && w->python &&
	       frames_have(frames_text(w->python), "socket.py", "getaddrinfo") &&
	       wait_for_ns(s, w) >= smaller(RESOLVE_NS, s->look->silent_min_ns);
}

void network_causes(struct scene *s)
{
	for (size_t i = 0; i < s->nwaits; i++) {
		const struct wait *w = &s->waits[i];
		const struct ev_socket *k = w->sock ? evidence_socket(s->look->evidence, w->sock)
		                                    : NULL;

		if (is_resolving(s, w))
			resolving(s, w);
		else if (w->kind == WAIT_MANY)
			connecting_among_many(s, w);
		else if (w->kind == WAIT_CONNECT && k && k->family == AF_UNIX && wait_old(s, w))
			unix_connecting(s, w, k);
		else if (w->kind == WAIT_CONNECT && k && k->family != AF_UNIX &&
		         wait_for_ns(s, w) >= smaller(CONNECT_NS, s->look->silent_min_ns))
			connecting(s, w, k);
	}
}
