/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Flat memory: what the process holds at its peak does not grow with the turns it has seen. TURNS=1000000 in the
 * environment makes it a million, which takes a minute or two.
 */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "out/calls.h"
#include "out/metrics.h"
#include "out/summary.h"

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer keeps what was freed, to find late uses of it: of that only a little, and from the beginning. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64";
}
#endif
#define TURNS_DEFAULT 50000
/* By then (a fraction of them) every table has its size. */
#define SETTLED(turns) ((turns) / 2)
#define GROWTH_MAX_KB 3072

#define MS 1000000ull
#define THREADS 8
#define SESSION_TURNS 20 /* then a thread begins another conversation */
#define ROTATE (8u << 20)
#define KEEP 2

static struct {
	struct turn_sink sink;
	struct turns *turns;
	struct summary *summary;
	struct metrics *metrics;
	struct lines *lines, *call_lines;
	struct calls *calls;
	uint64_t closed, ids, unwritten;
} run;

static const struct call_place llm_place = { "openai", "", "api.example.com" };
static const struct call_place store_place = { "L1", "redis", "127.0.0.1:6379" };

static void on_opened(struct turn_sink *s, const struct turn *t)
{
	(void)s;
	(void)t;
}

static void on_closed(struct turn_sink *s, const struct turn *t)
{
	(void)s;
	run.closed++;
	summary_turn(run.summary, t);
	run.unwritten += metrics_write(run.metrics, t) != 0;
}

static void on_outside(struct turn_sink *s, const struct call *c, const struct call_place *p,
                       const struct call_attempt *a, enum outside_why why)
{
	(void)s, (void)a;
	summary_outside(run.summary, c, p, outside_why_text(why));
}

static void on_booked(struct turn_sink *s, const struct turn *t, const struct call *c,
                      const struct call_place *p, const struct call_attempt *a)
{
	struct call_turn of = { t->id, t->session_id, a->logical, a->attempt };

	(void)s;
	summary_call(run.summary, c);
	run.unwritten += calls_write(run.calls, c, p, &of) != 0;
}

static struct call *call_at(enum call_class class, uint32_t tid, uint64_t ns)
{
	struct call *c = call_new();

	c->id = ++run.ids;
	c->pid = 100;
	c->tid = tid;
	c->class = class;
	c->proto = class == CALL_LLM ? "http" : "redis";
	c->op_known = true;
	c->start_ns = c->request_ns = ns;
	return c;
}

/* The conversation so far: what was said in each turn of this session. */
static void say(struct call *c, uint64_t session, uint64_t index)
{
	struct llm_call *l = c->llm = llm_call_new();

	l->kind = LLM_CHAT;
	l->last_role = LLM_ROLE_USER;
	l->history.complete = true;
	l->history.messages = calloc(2 * index + 1, sizeof(*l->history.messages));
	for (uint64_t i = 0; i <= 2 * index; i++)
		l->history.messages[l->history.n++] =
			(struct llm_message){ .hash = session * 1000 + i + 1,
			                      .role = i % 2 ? LLM_ROLE_ASSISTANT : LLM_ROLE_USER };
	l->tokens = (struct llm_tokens){ 100, 20, 0, 0 };
}

static void make(struct call *c, const struct call_place *p, uint64_t ns, enum call_status status)
{
	turns_call_opened(run.turns, c, p);
	c->sent_ns = c->start_ns;
	turns_call_sent(run.turns, c, p);
	c->end_ns = ns;
	c->status = status;
	turns_call_done(run.turns, c, p);
	call_free(c);
}

/* Turn i of the run: a read, the LLM, a write. Times differ, so that distributions have something to hold. */
static void play(uint64_t i)
{
	uint64_t thread = i % THREADS, nth = i / THREADS, at = (i + 1) * 100 * MS;
	uint64_t session = nth / SESSION_TURNS * THREADS + thread,
		 took = 1 + i * 2654435761 % (50 * MS);
	uint32_t tid = 200 + (uint32_t)thread;
	struct call *c = call_at(CALL_LLM, tid, at + 2 * MS);

	make(call_at(CALL_STORAGE, tid, at), &store_place, at + 1 * MS, CALL_OK);
	say(c, session, nth % SESSION_TURNS);
	make(c, &llm_place, at + 3 * MS + took, i % 100 ? CALL_OK : CALL_RATE_LIMITED);
	c = call_at(CALL_STORAGE, tid, at + 60 * MS);
	c->write = true;
	make(c, &store_place, at + 61 * MS, CALL_OK);
}

static long peak_kb(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) ? -1 : u.ru_maxrss;
}

static struct lines *open_lines(int folder, const char *name)
{
	return lines_open(&(struct lines_config){
		.dirfd = folder, .name = name, .rotate_size = ROTATE, .rotate_keep = KEEP });
}

static void remove_files(const char *dir, int folder)
{
	DIR *d = fdopendir(folder);
	struct dirent *e;

	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(dir);
}

int main(void)
{
	char dir[] = "/tmp/unit_million.XXXXXX";
	int folder = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	const char *asked = getenv("TURNS");
	const uint64_t turns = asked ? strtoull(asked, NULL, 10) : TURNS_DEFAULT;
	struct turns_spec spec;
	long settled = 0, grown;
	json_t *o;

	run.sink = (struct turn_sink){ on_opened, on_closed, on_outside, on_booked, NULL };
	turns_spec_make("llm", NULL, &spec);
	run.turns = turns_new(&run.sink, &spec, 0);
	run.summary = summary_new();
	run.lines = open_lines(folder, "turns");
	run.call_lines = open_lines(folder, "calls");
	run.metrics = metrics_new(run.lines, 0, 1);
	run.calls = calls_new(run.call_lines, 0);

	TEST("memory does not grow with the turns");
	for (uint64_t i = 0; i < turns; i++) {
		if (i == SETTLED(turns))
			settled = peak_kb();
		play(i);
	}
	grown = peak_kb() - settled;
	printf("# %ld KiB at %llu turns, %ld KiB more at %llu\n", settled,
	       (unsigned long long)SETTLED(turns), grown, (unsigned long long)turns);
	CHECK(settled > 0 && grown < GROWTH_MAX_KB);

	TEST("and none was lost");
	turns_end(run.turns, (turns + 10) * 100 * MS, false);
	CHECK(run.closed == turns && run.unwritten == 0);
	CHECK(lines_written(run.lines) == turns && lines_written(run.call_lines) == 3 * turns);
	CHECK(lines_unrotated(run.lines) == 0 && lines_uncompressed(run.lines) == 0);
	o = summary_json(run.summary, 0, NULL);
	CHECK((uint64_t)json_integer_value(json_object_get(o, "turns")) == turns);
	CHECK((uint64_t)json_integer_value(json_object_get(o, "sessions")) ==
	      (turns / THREADS + SESSION_TURNS - 1) / SESSION_TURNS * THREADS);
	json_decref(o);
	turns_free(run.turns);
	summary_free(run.summary);
	metrics_free(run.metrics);
	calls_free(run.calls);
	lines_close(run.lines);
	lines_close(run.call_lines);
	remove_files(dir, folder);
	return DONE();
}
