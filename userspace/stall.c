/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The progress clocks and the one rule over them. Threads live in a hash table, CPU time in a
 * short ring of samples.
 */
#include "stall.h"

#include <stdlib.h>

#include "base/times.h"

#define BUCKETS 1024
/* CPU samples: taken T/32 apart, so 32 cover T and 40 leave room for the one before it. */
#define SAMPLES_PER_TIMEOUT 32
#define SAMPLES_MAX 40
/* Below one part in twenty (5 %) of one CPU it does nothing but tick. */
#define CPU_IDLE_PART 20
/*
 * The CPU clock looks so far back: threads' times come every second, of many threads every five; in a
 * shorter span a mere tick would look like work.
 */
#define CPU_SPAN_NS 5000000000ull
/*
 * A failure or two are nothing, a third with no success between is a loop. SDKs give up after three tries
 * as they come (openai, anthropic: max_retries 2); who goes on then has a loop of its own.
 */
#define FAILURES_MIN 3
/* Agents that use tools work on one turn for long; fewer calls may well be that. */
#define LOOP_CALLS_MIN 20
/* No error a store replies with is longer: more is content. */
#define ERROR_REPLY_MAX 65536

enum clock_kind {
	CLOCK_CONTENT,
	CLOCK_CALLS,
	CLOCK_TURNS,
	CLOCKS_OF_CALLS, /* those before it have to stand still in every stall but a turn loop */
	CLOCK_OUTPUT = CLOCKS_OF_CALLS,
	CLOCK_SYSCALLS,
	CLOCK_CPU,
	CLOCK_ANY,
	CLOCKS
};

static const char *const clock_names[CLOCKS] = { "content",  "calls", "turns",      "output",
	                                         "syscalls", "cpu",   "any_syscall" };

struct thread {
	struct thread *next;
	uint32_t pid, tid;
	uint64_t useful_ns, output_ns, cpu_ns, written;
	bool matters, seen; /* seen: cpu_ns is a measurement */
};

/* Sums over threads: of all, and of those that matter. */
struct effort {
	uint64_t useful_ns, output_ns, cpu_ns;
};

struct sample {
	uint64_t ts_ns, all_cpu_ns, matter_cpu_ns;
};

struct stall {
	uint64_t timeout_ns, start_ns;
	uint64_t clocks
		[CLOCKS];   /* when each moved last; SYSCALLS: a call was started; OUTPUT: unused */
	uint64_t waited_ns; /* when a call that is meant to wait was last seen open */
	struct thread *threads[BUCKETS];
	uint32_t nthreads, nmatter;
	struct effort all, matter;
	uint64_t others_useful_ns; /* newest of the threads that did not matter then */
	struct sample cpu_from;    /* where the CPU clock looks from */
	struct sample samples[SAMPLES_MAX];
	unsigned first_sample, nsamples;
	struct stall_period periods[STALL_PERIODS_MAX];
	uint32_t nperiods, count;
	struct stall_period last;
	uint64_t progress_at_begin_ns;
	bool stuck, loops, idle;    /* loops: stuck going round in circles; idle: nothing is done */
	uint64_t failed, failed_ns; /* calls since the last progress, the newest of them */
	uint64_t turns, calls_since_turn;
	uint64_t opened_ns; /* newest turn that began */
	uint64_t loop_calls,
		loop_call_ns; /* calls since a turn began or ended or output was written */
};

static void clock_move(struct stall *s, enum clock_kind k, uint64_t ts_ns)
{
	s->clocks[k] = later(s->clocks[k], ts_ns);
}

/* ---- Threads ---- */

static struct thread **thread_slot(struct stall *s, uint32_t pid, uint32_t tid)
{
	struct thread **slot = &s->threads[tid % BUCKETS];

	while (*slot && ((*slot)->tid != tid || (*slot)->pid != pid))
		slot = &(*slot)->next;
	return slot;
}

/* NULL: out of room. */
static struct thread *thread_get(struct stall *s, uint32_t pid, uint32_t tid)
{
	struct thread **slot = thread_slot(s, pid, tid);

	if (!*slot && s->nthreads < STALL_THREADS_MAX) {
		*slot = calloc(1, sizeof(**slot));
		if (*slot) {
			(*slot)->pid = pid;
			(*slot)->tid = tid;
			s->nthreads++;
		}
	}
	return *slot;
}

static void thread_matters(struct stall *s, uint32_t pid, uint32_t tid)
{
	struct thread *t = thread_get(s, pid, tid);

	if (!t || t->matters)
		return;
	t->matters = true;
	s->nmatter++;
	s->matter.useful_ns = later(s->matter.useful_ns, t->useful_ns);
	s->matter.output_ns = later(s->matter.output_ns, t->output_ns);
}

/* ---- CPU over the last T ---- */

static uint64_t cpu_used(const struct stall *s, const struct sample *from)
{
	return s->nmatter ? s->matter.cpu_ns - from->matter_cpu_ns
	                  : s->all.cpu_ns - from->all_cpu_ns;
}

static void cpu_look(struct stall *s, uint64_t now_ns)
{
	uint64_t span = age(now_ns, s->cpu_from.ts_ns);

	if (span < CPU_SPAN_NS)
		return;
	if (cpu_used(s, &s->cpu_from) >= span / CPU_IDLE_PART)
		clock_move(s, CLOCK_CPU, now_ns);
	s->cpu_from = (struct sample){ now_ns, s->all.cpu_ns, s->matter.cpu_ns };
}

static void sample_take(struct stall *s, uint64_t now_ns)
{
	unsigned next = (s->first_sample + s->nsamples) % SAMPLES_MAX;
	const struct sample *newest = &s->samples[(next + SAMPLES_MAX - 1) % SAMPLES_MAX];

	if (s->nsamples && age(now_ns, newest->ts_ns) < s->timeout_ns / SAMPLES_PER_TIMEOUT)
		return;
	s->samples[next] = (struct sample){ now_ns, s->all.cpu_ns, s->matter.cpu_ns };
	if (s->nsamples < SAMPLES_MAX)
		s->nsamples++;
	else
		s->first_sample = (s->first_sample + 1) % SAMPLES_MAX;
}

/* The newest sample at least T old, NULL while there is none. */
static const struct sample *sample_before(const struct stall *s, uint64_t now_ns)
{
	const struct sample *found = NULL;

	for (unsigned i = 0; i < s->nsamples; i++) {
		const struct sample *x = &s->samples[(s->first_sample + i) % SAMPLES_MAX];

		if (age(now_ns, x->ts_ns) < s->timeout_ns)
			break;
		found = x;
	}
	return found;
}

/* CPU time of threads that do not matter, of which one may since. */
static uint64_t cpu_of_others(const struct stall *s, const struct sample *from)
{
	return age(s->all.cpu_ns - from->all_cpu_ns, s->matter.cpu_ns - from->matter_cpu_ns);
}

/* ---- The rule ---- */

bool call_gets_filler(const struct call *c)
{
	/* only there are such bytes known for what they are */
	return c->class == CALL_LLM && c->filler_ns;
}

uint64_t call_silent_since(const struct call *c)
{
	uint64_t since =
		later(later(c->start_ns, c->request_ns), later(c->sent_ns, c->first_byte_ns));

	if (call_gets_filler(c))
		return later(c->sent_ns, c->content_ns);
	if (c->llm && c->llm->streamed && c->partial == PARTIAL_NONE)
		return later(since, c->llm->last_content_ns);
	return later(since, c->last_byte_ns);
}

static bool silent(const struct stall *s, uint64_t now_ns, uint64_t since_ns)
{
	return age(now_ns, since_ns) >= s->timeout_ns;
}

static bool a_call_hangs(const struct stall *s, uint64_t now_ns, const struct call *const *open,
                         size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (call_counts(open[i]) && !open[i]->blocks &&
		    silent(s, now_ns, call_silent_since(open[i])))
			return true;
	return false;
}

static uint64_t syscalls_moved(const struct stall *s)
{
	uint64_t useful = s->nmatter ? s->matter.useful_ns : s->all.useful_ns;

	return later(s->clocks[CLOCK_SYSCALLS], useful);
}

static uint64_t output_moved(const struct stall *s)
{
	return s->nmatter ? s->matter.output_ns : s->all.output_ns;
}

/*
 * A tool, a test, an evaluation that the run waits for: threads that make no calls, but compute and do useful
 * things besides. What only ticks does not compute, what computes for ever does nothing else.
 */
static bool others_work(const struct stall *s, uint64_t now_ns)
{
	const struct sample *from = sample_before(s, now_ns);

	if (!s->nmatter || silent(s, now_ns, s->others_useful_ns))
		return false;
	return !from || cpu_of_others(s, from) >= age(now_ns, from->ts_ns) / CPU_IDLE_PART;
}

static bool threads_idle(const struct stall *s, uint64_t now_ns)
{
	return silent(s, now_ns, syscalls_moved(s)) && silent(s, now_ns, s->waited_ns) &&
	       !others_work(s, now_ns);
}

static uint64_t progress(const struct stall *s)
{
	return later(later(s->clocks[CLOCK_CONTENT], s->clocks[CLOCK_CALLS]),
	             s->clocks[CLOCK_TURNS]);
}

/* Calls go on failing. Failures long past are no loop: it does something else since. */
static bool keeps_failing(const struct stall *s, uint64_t now_ns)
{
	return s->failed >= FAILURES_MIN && age(now_ns, s->failed_ns) < s->timeout_ns / 2;
}

/* What has to move in a run that calls and calls. */
static uint64_t loop_moved(const struct stall *s)
{
	return later(later(s->clocks[CLOCK_TURNS], s->opened_ns), output_moved(s));
}

static bool goes_round(const struct stall *s, uint64_t now_ns)
{
	return s->loop_calls >= LOOP_CALLS_MIN &&
	       age(now_ns, s->loop_call_ns) < s->timeout_ns / 2 && silent(s, now_ns, loop_moved(s));
}

static void begin(struct stall *s, enum clock_kind clock, uint64_t since_ns)
{
	s->stuck = true;
	s->count++;
	s->last = (struct stall_period){ .since_ns = since_ns,
		                         .at_least = since_ns == s->start_ns,
		                         .clock = clock_names[clock] };
	if (s->nperiods < STALL_PERIODS_MAX)
		s->periods[s->nperiods++] = s->last;
}

/* Named by the clock that expired last, of the first n. */
static void begin_silence(struct stall *s, int n, uint64_t now_ns)
{
	enum clock_kind last = CLOCK_CONTENT;
	uint64_t moved[CLOCKS];

	memcpy(moved, s->clocks, sizeof(moved));
	moved[CLOCK_SYSCALLS] = syscalls_moved(s);
	moved[CLOCK_OUTPUT] = output_moved(s);
	for (int k = 0; k < n; k++)
		if (moved[k] > moved[last] && silent(s, now_ns, moved[k]))
			last = (enum clock_kind)k;
	s->loops = false;
	s->progress_at_begin_ns = progress(s);
	begin(s, last, moved[last]);
}

static void begin_loop(struct stall *s)
{
	s->loops = true;
	s->progress_at_begin_ns = loop_moved(s);
	begin(s, CLOCK_TURNS, loop_moved(s));
}

/* The newest stall's row, if it found room. */
static void keep(struct stall *s)
{
	if (s->count == s->nperiods)
		s->periods[s->nperiods - 1] = s->last;
}

static void end(struct stall *s, uint64_t ts_ns)
{
	s->stuck = false;
	s->last.end_ns = ts_ns;
	keep(s);
}

/* ---- For the pipeline ---- */

struct stall *stall_new(uint64_t timeout_ns, uint64_t start_ns)
{
	struct stall *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->timeout_ns = timeout_ns;
	s->start_ns = start_ns;
	for (int k = 0; k < CLOCKS; k++)
		s->clocks[k] = start_ns;
	s->opened_ns = s->cpu_from.ts_ns = start_ns;
	sample_take(s, start_ns);
	return s;
}

void stall_free(struct stall *s)
{
	if (!s)
		return;
	for (int i = 0; i < BUCKETS; i++)
		while (s->threads[i]) {
			struct thread *t = s->threads[i];

			s->threads[i] = t->next;
			free(t);
		}
	free(s);
}

static void progressed(struct stall *s, enum clock_kind k, uint64_t ts_ns)
{
	clock_move(s, k, ts_ns);
	s->failed = 0;
}

void stall_content(struct stall *s, uint64_t ts_ns)
{
	progressed(s, CLOCK_CONTENT, ts_ns);
}

void stall_bytes(struct stall *s, const struct call *c, uint64_t ts_ns)
{
	/* whether an unread call fails is never known */
	bool unread = c->proto && strcmp(c->proto, "generic") == 0;

	if (s->failed == 0 || unread || (c->class == CALL_STORAGE && c->bytes_in > ERROR_REPLY_MAX))
		progressed(s, CLOCK_CONTENT, ts_ns);
}

void stall_call_started(struct stall *s, const struct call *c)
{
	if (!call_counts(c))
		return;
	thread_matters(s, c->pid, c->tid);
	thread_matters(s, c->pid, c->pid);
	if (c->blocks)
		s->waited_ns = later(s->waited_ns, c->start_ns);
	else
		clock_move(s, CLOCK_SYSCALLS, c->start_ns);
}

/* A store that says "there is none" has answered. */
static bool has_failed(const struct call *c)
{
	return c->status != CALL_UNKNOWN && !(c->class == CALL_STORAGE && c->http_status == 404);
}

static void call_succeeded(struct stall *s, const struct call *c)
{
	progressed(s, CLOCK_CALLS, c->end_ns);
	if (c->class != CALL_LLM || !c->llm || c->llm->kind != LLM_CHAT)
		return;
	s->calls_since_turn++;
	s->loop_calls++;
	s->loop_call_ns = later(s->loop_call_ns, c->end_ns);
}

void stall_call_done(struct stall *s, const struct call *c)
{
	if (!call_counts(c))
		return;
	if (c->blocks) {
		s->waited_ns = later(s->waited_ns, c->end_ns);
	} else if (c->status == CALL_OK) {
		call_succeeded(s, c);
	} else if (has_failed(c)) {
		s->failed++;
		s->failed_ns = later(s->failed_ns, c->end_ns);
	}
}

void stall_connect_failed(struct stall *s, uint32_t pid, uint32_t tid, uint64_t ts_ns)
{
	const struct thread *t = *thread_slot(s, pid, tid);

	if (!t || !t->matters)
		return;
	s->failed++;
	s->failed_ns = later(s->failed_ns, ts_ns);
}

void stall_turn_opened(struct stall *s, uint64_t ts_ns)
{
	s->opened_ns = later(s->opened_ns, ts_ns);
	s->loop_calls = 0;
}

void stall_turn(struct stall *s, uint64_t ts_ns)
{
	progressed(s, CLOCK_TURNS, ts_ns);
	s->turns++;
	s->calls_since_turn = s->loop_calls = 0;
}

/* What the thread wrote since we asked last. */
static void output_count(struct stall *s, struct thread *t, const struct ev_activity *a)
{
	uint64_t at = a->useful_ns ? a->useful_ns : a->h.ts_ns;

	if (a->written <= t->written)
		return;
	t->written = a->written;
	t->output_ns = later(t->output_ns, at);
	s->all.output_ns = later(s->all.output_ns, at);
	if (t->matters)
		s->matter.output_ns = later(s->matter.output_ns, at);
	if (t->matters || !s->nmatter)
		s->loop_calls = 0;
}

void stall_activity(struct stall *s, const struct ev_activity *a)
{
	struct thread *t = thread_get(s, a->h.pid, a->h.tid);
	/* the first figure holds the thread's whole life, of which we saw nothing */
	uint64_t used = t && t->seen ? age(a->cpu_ns, t->cpu_ns) : 0;

	clock_move(s, CLOCK_ANY, a->last_ns);
	if (!t) {
		clock_move(s, CLOCK_SYSCALLS, a->useful_ns);
		return;
	}
	output_count(s, t, a);
	t->seen = true;
	t->cpu_ns = a->cpu_ns;
	t->useful_ns = later(t->useful_ns, a->useful_ns);
	s->all.cpu_ns += used;
	s->all.useful_ns = later(s->all.useful_ns, t->useful_ns);
	if (t->matters) {
		s->matter.cpu_ns += used;
		s->matter.useful_ns = later(s->matter.useful_ns, t->useful_ns);
	} else {
		s->others_useful_ns = later(s->others_useful_ns, t->useful_ns);
	}
}

void stall_thread_exit(struct stall *s, uint32_t pid, uint32_t tid)
{
	struct thread **slot = thread_slot(s, pid, tid), *t = *slot;

	if (!t)
		return;
	*slot = t->next;
	s->nthreads--;
	s->nmatter -= t->matters;
	free(t);
}

void stall_rest(struct stall *s, uint64_t ts_ns)
{
	s->start_ns = ts_ns;
	for (int k = 0; k < CLOCKS; k++)
		s->clocks[k] = later(s->clocks[k], ts_ns);
	s->opened_ns = later(s->opened_ns, ts_ns);
	s->failed = 0;
}

static enum stall_change stuck_tick(struct stall *s)
{
	uint64_t moved = s->loops ? loop_moved(s) : progress(s);

	if (moved <= s->progress_at_begin_ns)
		return STALL_NONE;
	end(s, moved);
	return STALL_ENDED;
}

enum stall_change stall_tick(struct stall *s, uint64_t now_ns, const struct call *const *open,
                             size_t n)
{
	cpu_look(s, now_ns);
	if (!s->timeout_ns)
		return STALL_NONE;
	sample_take(s, now_ns);
	for (size_t i = 0; i < n; i++)
		if (call_counts(open[i]) && open[i]->blocks)
			s->waited_ns = later(s->waited_ns, now_ns);
	if (s->stuck)
		return stuck_tick(s);
	s->idle = false;
	if (goes_round(s, now_ns))
		begin_loop(s);
	else if (!silent(s, now_ns, progress(s)))
		return STALL_NONE;
	else if (a_call_hangs(s, now_ns, open, n) || keeps_failing(s, now_ns))
		begin_silence(s, CLOCKS_OF_CALLS, now_ns);
	else if (s->idle = threads_idle(s, now_ns), s->idle)
		begin_silence(s, CLOCKS, now_ns);
	else
		return STALL_NONE;
	return STALL_BEGAN;
}

bool stall_excused(struct stall *s, const struct call *const *open, size_t n)
{
	bool waits = false;

	for (size_t i = 0; i < n; i++)
		waits |= call_counts(open[i]) && open[i]->blocks;
	if (!s->stuck || !s->idle || !waits || s->count != s->nperiods)
		return false;
	s->stuck = false;
	s->count = --s->nperiods;
	if (s->count)
		s->last = s->periods[s->count - 1];
	return true;
}

void stall_finish(struct stall *s, uint64_t ts_ns)
{
	if (!s->stuck)
		return;
	s->last.lasted = true;
	end(s, ts_ns);
}

void stall_name(struct stall *s, const char *verdict)
{
	if (!s->count)
		return;
	s->last.verdict = verdict;
	keep(s);
}

bool stall_stuck(const struct stall *s)
{
	return s->stuck;
}

uint32_t stall_count(const struct stall *s)
{
	return s->count;
}

const struct stall_period *stall_last(const struct stall *s)
{
	return s->count ? &s->last : NULL;
}

const struct stall_period *stall_periods(const struct stall *s, size_t *n)
{
	*n = s->nperiods;
	return s->periods;
}

uint64_t stall_last_progress(const struct stall *s)
{
	return later(progress(s), syscalls_moved(s));
}

/* 0 for a clock that never moved. */
static uint64_t moved_since(const struct stall *s, uint64_t ts_ns)
{
	return ts_ns > s->start_ns ? ts_ns : 0;
}

void stall_clocks(const struct stall *s, struct stall_clocks *c)
{
	*c = (struct stall_clocks){
		.content_ns = moved_since(s, s->clocks[CLOCK_CONTENT]),
		.calls_ns = moved_since(s, s->clocks[CLOCK_CALLS]),
		.turns_ns = moved_since(s, s->clocks[CLOCK_TURNS]),
		.output_ns = moved_since(s, output_moved(s)),
		.syscalls_ns = moved_since(s, syscalls_moved(s)),
		.cpu_ns = moved_since(s, s->clocks[CLOCK_CPU]),
		.any_syscall_ns = moved_since(s, s->clocks[CLOCK_ANY]),
		.turns = s->turns,
		.calls_since_turn = s->calls_since_turn,
		.failed = s->failed,
	};
}
