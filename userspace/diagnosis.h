/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Diagnosis: from the open calls and the newest snapshot to ranked causes, each with its evidence.
 * Says only what the evidence holds; what does not decide is `unknown`, with what is known.
 */
#ifndef DIAGNOSIS_H
#define DIAGNOSIS_H
#include "call.h"
#include "endpoint.h"
#include "evidence.h"
#include "stall.h"

/* A call as the diagnosis sees it. All pointers stay the caller's. */
struct call_view {
	const struct call *call;
	const struct endpoint *endpoint; /* NULL unknown */
	uint64_t sock;                   /* inode of its connection's socket, 0 unknown */
};

/* Everything that is looked at. */
struct look {
	uint64_t now_ns;
	uint32_t pid;
	const struct evidence *evidence;
	const struct stall *stall;    /* NULL: no stall was waited for (a look on demand) */
	const struct call_view *open; /* calls in flight, any class and order */
	size_t nopen;
	/*
	 * An open call that was silent for less is no cause: the stuck timeout, or 0 for a look on
	 * demand.
	 */
	uint64_t silent_min_ns;
	/* The endpoint of a socket, NULL unknown; may be NULL itself. */
	const struct endpoint *(*endpoint_of)(void *ctx, uint64_t sock);
	void *ctx;
};

enum verdict_kind {
	VERDICT_UNKNOWN,
	VERDICT_LLM_NO_RESPONSE,
	VERDICT_LLM_STREAM_STALLED,
	VERDICT_STORAGE_NO_RESPONSE,
	VERDICT_CONNECTION_DEAD,
	VERDICT_PEER_CLOSED_UNREAD,
};

enum confidence { CONFIDENCE_NONE, CONFIDENCE_LIKELY, CONFIDENCE_STRONG };
enum wake_answer { WAKE_UNKNOWN, WAKE_AT, WAKE_NEVER };

#define DIAGNOSIS_TEXT_MAX 320
#define CAUSE_EVIDENCE_MAX 10
/*
 * Causes kept; a pool of a hundred connections to one dead host needs no hundred rows. The rest is
 * counted.
 */
#define CAUSES_MAX 16
#define STEPS_MAX 3

struct wake {
	enum wake_answer answer;
	uint64_t at_ns; /* WAKE_AT */
	char why[DIAGNOSIS_TEXT_MAX];
};

struct cause {
	enum verdict_kind kind;
	enum confidence confidence;
	const struct call_view *view;     /* the call, NULL none */
	uint64_t since_ns;                /* 0 unknown */
	bool at_least;                    /* since then or earlier */
	char summary[DIAGNOSIS_TEXT_MAX]; /* one sentence */
	char evidence[CAUSE_EVIDENCE_MAX][DIAGNOSIS_TEXT_MAX];
	int nevidence;
	struct wake wake;
};

struct diagnosis {
	struct cause causes[CAUSES_MAX]; /* the first is the verdict; there is always one */
	int ncauses;
	uint32_t omitted; /* causes beyond CAUSES_MAX */
	char steps[STEPS_MAX][DIAGNOSIS_TEXT_MAX];
	int nsteps;
};

void diagnosis_make(const struct look *l, struct diagnosis *d);

const char *verdict_name(enum verdict_kind k);
const char *confidence_name(enum confidence c); /* NULL for CONFIDENCE_NONE */
const char *wake_name(enum wake_answer a);
const char *tcp_state_name(int state); /* NULL: no such state */

/* Does t wait for what happens on descriptor fd? */
bool thread_waits_on(const struct ev_thread *t, int fd);

/* "8 h 42 m", "3 m 12 s", "3.2 s", "340 ms" into buf, which is returned. */
#define DURATION_TEXT_MAX 32
const char *duration_text(uint64_t ns, char buf[static DURATION_TEXT_MAX]);
#endif
