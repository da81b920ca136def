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

/* What was seen of the run while it was watched; of a look on demand that is a moment. */
struct history {
	uint64_t start_ns; /* watched since */
	/*
	 * When a progress clock moved last, and which ("content", "calls", "turns", "output", "cpu");
	 * 0: none since start_ns.
	 */
	uint64_t moved_ns;
	const char *moved;
	/*
	 * Signs of life that alone prove nothing: threads tick, logs are written of a run that hangs. When
	 * one moved last ("output", "system calls"), 0 none; they count where nothing explains a stall.
	 */
	uint64_t stirred_ns;
	const char *stirred;
	uint64_t failed; /* LLM and storage calls since one of the clocks moved */
	uint64_t llm_p99_ns, storage_p99_ns; /* of the run's done calls, 0: too few to tell */
	uint64_t turns;                      /* ended since start_ns */
	uint64_t turn_ns;                    /* when the last one ended, 0 none */
	uint64_t calls_since_turn;           /* LLM calls that succeeded since then */
	uint64_t written_ns;            /* newest output to anything but sockets, 0 none seen */
	const struct call_view *recent; /* done calls, oldest first */
	size_t nrecent;
};

/* Everything that is looked at. */
struct look {
	uint64_t now_ns;
	uint32_t pid;
	const struct evidence *evidence;
	const struct stall *stall;     /* NULL: no stall was waited for (a look on demand) */
	const struct history *history; /* NULL: nothing was watched */
	const struct call_view *open;  /* calls in flight, any class and order */
	size_t nopen;
	/*
	 * What waits for less is no cause yet: the stuck timeout; of a look on demand
	 * LOOK_QUIET_NS.
	 */
	uint64_t silent_min_ns;
	/* The endpoint of a socket, NULL unknown; may be NULL itself. */
	const struct endpoint *(*endpoint_of)(void *ctx, uint64_t sock);
	void *ctx;
};

/*
 * A look on demand has no history to tell slow from stuck: a wait younger than this is taken for life
 * as usual. Most replies of LLMs begin sooner.
 */
#define LOOK_QUIET_NS 10000000000ull
/*
 * A reply that is not streamed begins when it is whole: long ones take longer than that. In a look on demand
 * an unanswered LLM call must be silent for so long.
 */
#define LOOK_REPLY_NS 20000000000ull

enum verdict_kind {
	VERDICT_UNKNOWN,
	VERDICT_PROGRESSING,
	VERDICT_SLOW,
	VERDICT_LLM_NO_RESPONSE,
	VERDICT_LLM_STREAM_STALLED,
	VERDICT_STORAGE_NO_RESPONSE,
	VERDICT_CONNECTION_DEAD,
	VERDICT_PEER_CLOSED_UNREAD,
	VERDICT_CONNECTING,
	VERDICT_RESOLVING,
	VERDICT_RATE_LIMITED,
	VERDICT_RETRY_LOOP,
	VERDICT_DEADLOCK,
	VERDICT_FORKED_LOCK,
	VERDICT_EVENT_LOOP_BLOCKED,
	VERDICT_EVENT_LOOP_IDLE,
	VERDICT_POOL_EXHAUSTED,
	VERDICT_CPU_BOUND,
	VERDICT_TURN_LOOP,
	VERDICT_SLEEPING,
	VERDICT_STOPPED,
	VERDICT_UNINTERRUPTIBLE,
	VERDICT_OUTPUT_BLOCKED,
	VERDICT_INPUT_WAIT,
	VERDICT_FILE_LOCK,
	VERDICT_CHILD_WAIT,
	VERDICT_WORKER_LOST,
	VERDICT_EXIT_BLOCKED,
	VERDICT_EXITED,
	VERDICT_KINDS
};

enum confidence { CONFIDENCE_NONE, CONFIDENCE_LIKELY, CONFIDENCE_STRONG, CONFIDENCE_PROVEN };
enum wake_answer { WAKE_UNKNOWN, WAKE_AT, WAKE_NEVER, WAKE_ON_EVENT };

#define DIAGNOSIS_TEXT_MAX 320
#define CAUSE_EVIDENCE_MAX 10
/*
 * Causes kept; a pool of a hundred connections to one dead host needs no hundred rows. The rest is
 * counted.
 */
#define CAUSES_MAX 16
#define STEPS_MAX 4

struct wake {
	enum wake_answer answer;
	uint64_t at_ns; /* WAKE_AT */
	char why[DIAGNOSIS_TEXT_MAX];
};

struct cause {
	enum verdict_kind kind;
	enum confidence confidence;
	uint32_t pid, tid;                /* who waits, 0 nobody in particular */
	const struct call_view *view;     /* the call, NULL none */
	uint64_t since_ns;                /* 0 unknown */
	bool at_least;                    /* since then or earlier */
	char summary[DIAGNOSIS_TEXT_MAX]; /* one sentence */
	char where
		[DIAGNOSIS_TEXT_MAX]; /* "ask_llm (llm.py:120) <- reply (agent.py:88)", "" unknown */
	char evidence[CAUSE_EVIDENCE_MAX][DIAGNOSIS_TEXT_MAX];
	int nevidence;
	struct wake wake;
	char steps[STEPS_MAX][DIAGNOSIS_TEXT_MAX]; /* what to do, made to be pasted into a shell */
	int nsteps;
};

struct diagnosis {
	struct cause causes[CAUSES_MAX]; /* the first is the verdict; there is always one */
	int ncauses;
	uint32_t omitted; /* causes beyond CAUSES_MAX */
};

void diagnosis_make(const struct look *l, struct diagnosis *d);

const char *verdict_name(enum verdict_kind k);
const char *confidence_name(enum confidence c); /* NULL for CONFIDENCE_NONE */
const char *wake_name(enum wake_answer a);
const char *tcp_state_name(int state); /* NULL: no such state */

/* The run goes on: no stall. The other kinds but VERDICT_UNKNOWN are stalls. */
bool verdict_is_alive(enum verdict_kind k);

/* For how long this call must be silent before it is a cause. */
uint64_t look_quiet_ns(const struct look *l, const struct call *c);

/* "8 h 42 m", "3 m 12 s", "3.2 s", "340 ms" into buf, which is returned. */
#define DURATION_TEXT_MAX 32
const char *duration_text(uint64_t ns, char buf[static DURATION_TEXT_MAX]);
#endif
