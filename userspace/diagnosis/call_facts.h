/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One open call as the family of calls sees it: what is known of it (calls.c), which cause that is (call_rules.c), whether
 * its wait ends (call_wake.c), and what is shown and advised (call_told.c).
 */
#ifndef CALL_FACTS_H
#define CALL_FACTS_H
#include "diagnosis/scene.h"

/* include/net/tcp_states.h */
enum { STATE_ESTABLISHED = 1, STATE_CLOSE_WAIT = 8 };

struct rule;

struct facts {
	const struct scene *scene;
	const struct look *look;
	const struct call_view *view;
	const struct call *call;
	const struct ev_socket *socket; /* NULL: not in the snapshot */
	const struct ev_timers *timers; /* NULL: not read */
	const struct rule *rule;        /* the first that holds */
	char where[DIAGNOSIS_TEXT_MAX]; /* the task that awaits it, "" none or not known */
	size_t alike;                   /* calls told in its cause, itself included */
	bool tcp;                       /* its tcp_* fields were read */
	bool late;                      /* it may have begun before we came */
	bool sent;     /* the request is complete, or the kernel has passed on all there was */
	bool replied;  /* reply bytes came */
	bool doubtful; /* whether they did is not known: it may have been the end of a handshake */
	bool acknowledged;  /* the peer's kernel has everything */
	uint64_t silent_ns; /* since when, on any account */
	bool said;          /* that its wait ends is what the client said itself */
};

struct rule {
	enum verdict_kind kind;
	bool (*holds)(const struct facts *f);
	enum confidence (*sure)(const struct facts *f);
	void (*tell)(const struct facts *f, struct cause *c);
};

/* The first rule that holds; the last always does. */
const struct rule *call_rule(const struct facts *f);
/* An open request of the target to somebody whose kind nothing told. */
bool is_unnamed_wait(const struct call_view *v);

/* Fills c->wake; may set f->said. */
void call_wake(struct facts *f, struct cause *c);
/* Evidence of the call, its socket and its server; then what to do. After the sentence and the wake. */
void call_evidence(const struct facts *f, struct cause *c);
void call_steps(const struct look *l, struct cause *c);
/* As a client says its time limits, in seconds. */
struct duration seconds_of(double s);
#endif
