/* SPDX-License-Identifier: BSD-2-Clause */
/* Causes in event loops and connection pools. */
#include <string.h>

#include "diagnosis/scene.h"

#define TASKS_NAMED_MAX 5

/* ---- A loop that is elsewhere ---- */

struct unread {
	const struct ev_socket *socket; /* whose data have waited longest */
	const struct ev_fd *fd;
	uint64_t for_ns;
	unsigned n;
};

static struct unread unread_of(const struct scene *s, uint32_t pid)
{
	struct unread u = { 0 };
	size_t n;
	const struct ev_fd *const *fds = evidence_fds(s->look->evidence, pid, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ev_socket *k = scene_socket(s, fds[i]);
		uint64_t waited;

		if (!k || !(k->h.flags & EVF_TCP) || !k->tcp_unread)
			continue;
		waited = k->tcp_last_recv_ns + age(s->look->now_ns, k->h.ts_ns);
		u.n++;
		if (waited > u.for_ns || !u.socket)
			u = (struct unread){ k, fds[i], waited, u.n };
	}
	return u;
}

static const char *endpoint_name_of(const struct scene *s, uint64_t sock)
{
	const struct endpoint *e = scene_endpoint(s, sock);

	return e && *e->name ? e->name : "a connection";
}

static void loop_blocked(struct scene *s, const struct wait *w)
{
	struct unread u = unread_of(s, w->thread->h.pid);
	struct cause *c;
	char name[64];

	if (!u.n || u.for_ns < s->look->silent_min_ns)
		return;
	c = cause_new(s, VERDICT_EVENT_LOOP_BLOCKED, CONFIDENCE_STRONG, w);
	cause_say(c,
	          "the event loop of %s is blocked by code of the program, and %u bytes from %s "
	          "have waited %s to be read",
	          wait_name(w, name), u.socket->tcp_unread, endpoint_name_of(s, u.socket->sock),
	          duration_of(u.for_ns).text);
	if (!w->since_ns || w->ticks)
		c->since_ns = age(s->look->now_ns, u.for_ns);
	cause_evidence(c, "%u of its sockets have data that nobody reads (descriptor %d first)",
	               u.n, u.fd->fd);
	cause_evidence_wait(s, c, w);
	if (w->kind == WAIT_RUNNING)
		cause_wake(c, WAKE_UNKNOWN, 0, "the loop goes on when the computation ends");
	else
		cause_wake_by_wait(s, c, w);
	cause_step(c,
	           "let that line run in a thread (asyncio.to_thread, run_in_executor), or use its "
	           "asynchronous form");
}

/* ---- Pools ---- */

static const struct {
	const char *file, *function, *what;
} pools[] = {
	{ "httpcore/_sync/connection_pool.py", "wait_for_connection", "httpx's connection pool" },
	{ "httpcore/_async/connection_pool.py", "wait_for_connection", "httpx's connection pool" },
	{ "urllib3/connectionpool.py", "_get_conn", "urllib3's connection pool" },
	{ "aiohttp/connector.py", "_wait_for_available_connection", "aiohttp's connection pool" },
	{ "aiohttp/connector.py", "connect", "aiohttp's connection pool" },
	{ "redis/connection.py", "get_connection", "redis-py's connection pool" },
	{ "redis/asyncio/connection.py", "get_connection", "redis-py's connection pool" },
	{ "psycopg_pool/pool.py", "getconn", "psycopg's connection pool" },
	{ "psycopg_pool/pool_async.py", "getconn", "psycopg's connection pool" },
	{ "psycopg2/pool.py", "getconn", "psycopg2's connection pool" },
	{ "asyncpg/pool.py", "_acquire", "asyncpg's connection pool" },
	{ "sqlalchemy/pool/impl.py", "_do_get", "SQLAlchemy's connection pool" },
	{ "neo4j/_sync/io/_pool.py", "acquire", "Neo4j's connection pool" },
	{ "neo4j/_async/io/_pool.py", "acquire", "Neo4j's connection pool" },
	{ "pymongo/pool.py", "_get_conn", "MongoDB's connection pool" },
};

/* Network functions inside: it has its connection and connects, or talks. */
static bool talks(struct bytes frames)
{
	return frames_have(frames, "asyncio/base_events.py", "create_connection") ||
	       frames_have(frames, "asyncio/base_events.py", "sock_connect") ||
	       frames_have(frames, "aiohttp/connector.py", "_create_connection") ||
	       frames_have(frames, "socket.py", "create_connection");
}

static const char *pool_of(struct bytes frames)
{
	for (size_t i = 0; i < sizeof(pools) / sizeof(*pools); i++)
		if (frames_have(frames, pools[i].file, pools[i].function) && !talks(frames))
			return pools[i].what;
	return NULL;
}

static unsigned connections_of(const struct scene *s, uint32_t pid)
{
	size_t n;
	const struct ev_fd *const *fds = evidence_fds(s->look->evidence, pid, &n);
	unsigned open = 0;

	for (size_t i = 0; i < n; i++) {
		const struct ev_socket *k = scene_socket(s, fds[i]);

		open += k && k->role == ROLE_CLIENT && !(k->h.flags & EVF_LISTEN);
	}
	return open;
}

static void pool_exhausted(struct scene *s, const struct wait *w, const char *pool, unsigned n,
                           struct bytes frames)
{
	struct cause *c = cause_new(s, VERDICT_POOL_EXHAUSTED, CONFIDENCE_STRONG, w);
	char name[64];

	frames_line(c->where, sizeof(c->where), frames, 4);
	cause_say(c,
	          "%u %s of %s %s for a connection of %s, and no connection has a request open: "
	          "none was given back",
	          n, n == 1 ? "caller" : "callers", wait_name(w, name), n == 1 ? "waits" : "wait",
	          pool);
	cause_evidence(c, "%u client connections are open, none with a request in flight",
	               connections_of(s, w->thread->h.pid));
	cause_evidence_wait(s, c, w);
	if (w->kind == WAIT_MANY)
		cause_wake(c, WAKE_ON_EVENT, 0,
		           "it goes on when a connection is given back to the pool");
	else
		cause_wake_by_wait(s, c, w);
	cause_step(c, "look for replies that are never read to their end or closed (stream without "
	              "`with`, missing close())");
	cause_step(c, "give the pool a time limit (httpx.Timeout(pool=...), timeout=), so that it "
	              "becomes an error");
}

/* Threads of a process that wait in a pool. */
static void pools_of_threads(struct scene *s, const struct process *p)
{
	const struct wait *first = NULL;
	const char *pool = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < p->nwaits; i++) {
		const struct wait *w = &p->waits[i];
		const char *in = w->python && w->kind == WAIT_LOCK ? pool_of(frames_text(w->python))
		                                                   : NULL;

		if (!in || !wait_old(s, w))
			continue;
		n++;
		if (!first || (first->since_ns > w->since_ns)) {
			first = w;
			pool = in;
		}
	}
	if (n)
		pool_exhausted(s, first, pool, n, frames_text(first->python));
}

/* ---- A loop that waits for nothing ---- */

struct tasks {
	size_t n, sleeping, pooled;
	const struct ev_task *pooled_first;
	const char *pool;
};

/* It awaits other tasks, and those are listed themselves. */
static bool awaits_tasks(const struct ev_task *t)
{
	static const char *const types[] = { "_GatheringFuture", "Task", "_asyncio.Task" };
	struct bytes awaits = task_text(t).awaits;

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (awaits.n == strlen(types[i]) && memcmp(awaits.p, types[i], awaits.n) == 0)
			return true;
	return frames_have(task_text(t).frames, "asyncio/tasks.py", "_wait");
}

static struct tasks tasks_of(const struct scene *s, uint32_t pid)
{
	struct tasks t = { 0 };
	size_t n;
	const struct ev_task *const *list = evidence_tasks(s->look->evidence, pid, &n);

	for (size_t i = 0; i < n; i++) {
		struct bytes frames = task_text(list[i]).frames;
		const char *pool = pool_of(frames);

		if (awaits_tasks(list[i]))
			continue;
		t.n++;
		t.sleeping += frames_have(frames, "asyncio/tasks.py", "sleep");
		if (!pool)
			continue;
		t.pooled++;
		if (!t.pooled_first) {
			t.pooled_first = list[i];
			t.pool = pool;
		}
	}
	return t;
}

static void tasks_evidence(const struct scene *s, struct cause *c, uint32_t pid)
{
	size_t n;
	const struct ev_task *const *list = evidence_tasks(s->look->evidence, pid, &n);
	size_t told = 0, leaves = 0;

	for (size_t i = 0; i < n; i++) {
		struct task_text t = task_text(list[i]);
		char line[DIAGNOSIS_TEXT_MAX];

		if (awaits_tasks(list[i]))
			continue;
		leaves++;
		if (told == TASKS_NAMED_MAX)
			continue;
		told++;
		frames_line(line, sizeof(line), t.frames, 4);
		cause_evidence(c, "task %.*s awaits %s%.*s%s%s", (int)t.name.n,
		               t.name.n ? t.name.p : "?", t.awaits.n ? "a " : "something",
		               (int)t.awaits.n, t.awaits.n ? t.awaits.p : "", *line ? " in " : "",
		               line);
		if (!*c->where && *line)
			snprintf(c->where, sizeof(c->where), "%s", line);
	}
	if (leaves > told)
		cause_evidence(c, "and %zu tasks more", leaves - told);
}

static bool listens(const struct scene *s, uint32_t pid)
{
	size_t n;
	const struct ev_fd *const *fds = evidence_fds(s->look->evidence, pid, &n);

	for (size_t i = 0; i < n; i++) {
		const struct ev_socket *k = scene_socket(s, fds[i]);

		if (k && k->h.flags & EVF_LISTEN)
			return true;
	}
	return false;
}

/* All tasks sleep: the loop's timer is theirs. */
static void loop_sleeps(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_SLEEPING, CONFIDENCE_STRONG, w);
	char name[64];

	c->where[0] = '\0';
	tasks_evidence(s, c, w->thread->h.pid);
	cause_say(c, "every asyncio task of %s sleeps", wait_name(w, name));
	cause_wake_by_wait(s, c, w);
	cause_step(c,
	           "wait, or look at the line that sleeps; a sleep between retries should have a "
	           "limit");
}

/*
 * What the loop's tasks await may come from another thread of the process (an executor's): one that works,
 * or waits for something that can come, is no reason to say that nothing does. All there are then are
 * threads that wait for locks without a limit themselves.
 */
static bool fed_by_threads(const struct scene *s, const struct wait *loop)
{
	const struct process *p = scene_process(s, loop->thread->h.pid);

	for (size_t i = 0; p && i < p->nwaits; i++) {
		const struct wait *w = &p->waits[i];

		if (w == loop || !w->python || !wait_matters(w))
			continue;
		if (!wait_locked(s, w))
			return true;
	}
	return false;
}

static void threads_evidence(const struct scene *s, struct cause *c, const struct wait *loop)
{
	const struct process *p = scene_process(s, loop->thread->h.pid);

	for (size_t i = 0; p && i < p->nwaits; i++) {
		const struct wait *w = &p->waits[i];

		if (w != loop && w->python && wait_matters(w) && w->kind == WAIT_LOCK)
			cause_evidence_wait(s, c, w);
	}
}

static void loop_idles(struct scene *s, const struct wait *w)
{
	struct cause *c = cause_new(s, VERDICT_EVENT_LOOP_IDLE, CONFIDENCE_STRONG, w);
	char name[64];
	size_t n = tasks_of(s, w->thread->h.pid).n;

	c->where[0] = '\0';
	tasks_evidence(s, c, w->thread->h.pid);
	if (n)
		cause_say(c,
		          "the event loop of %s waits with nothing in flight: %zu %s something "
		          "that never comes",
		          wait_name(w, name), n, n == 1 ? "task awaits" : "tasks await");
	else
		cause_say(c, "the event loop of %s waits with nothing in flight, for %s",
		          wait_name(w, name), duration_of(wait_for_ns(s, w)).text);
	if (!n)
		c->confidence = CONFIDENCE_LIKELY;
	cause_evidence_wait(s, c, w);
	threads_evidence(s, c, w);
	cause_wake_by_wait(s, c, w);
	cause_step(c, "sudo whystuck --all %u   # every task and what it awaits",
	           scene_root(s, c->pid));
	cause_step(c, "give the await a time limit (asyncio.wait_for, asyncio.timeout)");
}

static void loop_waits(struct scene *s, const struct wait *w)
{
	uint32_t pid = w->thread->h.pid;
	struct tasks t = tasks_of(s, pid);
	bool long_timer = w->until_ns > w->since_ns && w->since_ns &&
	                  w->until_ns - w->since_ns >= s->look->silent_min_ns;

	if (t.pooled && wait_old(s, w))
		pool_exhausted(s, w, t.pool, (unsigned)t.pooled, task_text(t.pooled_first).frames);
	else if (t.n && t.sleeping == t.n && (long_timer || wait_old(s, w)))
		loop_sleeps(s, w);
	else if (wait_old(s, w) && !listens(s, pid) && !fed_by_threads(s, w))
		loop_idles(s, w);
}

/* ---- All of it ---- */

void loop_causes(struct scene *s)
{
	for (size_t i = 0; i < s->nprocesses; i++) {
		const struct process *p = &s->processes[i];

		if (!p->in_tree || p->stopped || p->zombie)
			continue;
		if (!scene_has_call(s, p->pid))
			pools_of_threads(s, p);
		for (size_t k = 0; k < p->nwaits; k++) {
			const struct wait *w = &p->waits[k];

			if (!wait_runs_loop(w))
				continue;
			if (w->kind != WAIT_MANY)
				loop_blocked(s, w);
			else if (!scene_has_call(s, p->pid) && p->waits_for < 0)
				loop_waits(s, w);
		}
	}
}
