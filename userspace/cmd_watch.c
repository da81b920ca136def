/* SPDX-License-Identifier: BSD-2-Clause */
/* whystuck watch PID ...: attaches to live processes and observes until they end or Ctrl-C. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "procfs.h"
#include "session.h"
#include "turn_source/spec.h"
#include "watch.h"

bool watch_fits(uint32_t pid, bool zombie)
{
	struct proc_stat st;
	int err = procfs_stat(pid, &st);

	if (err == -ENOENT || err == -ESRCH)
		log_error("cannot attach to %u: there is no such process; `pgrep -af python` lists "
		          "candidates",
		          pid);
	else if (err)
		log_error("cannot attach to %u: reading /proc/%u/stat: %s", pid, pid,
		          strerror(-err));
	else if (st.kernel_thread)
		log_error("cannot attach to %u: it is a kernel thread and makes no calls to "
		          "observe; give the PID of the "
		          "program",
		          pid);
	else if (!zombie && (st.state == 'Z' || st.state == 'X'))
		log_error("cannot attach to %u: it has ended and waits for its parent %u to notice "
		          "(zombie); look at the parent",
		          pid, st.ppid);
	else if (pid == (uint32_t)getpid())
		log_error("cannot attach to %u: that is whystuck itself", pid);
	else
		return true;
	return false;
}

bool watch_privileged(void)
{
	if (geteuid() == 0)
		return true;
	log_error("cannot attach: not root, and loading kernel programs needs it; run it with sudo "
	          "(replay and --help work without)");
	return false;
}

/* What the line that says we are attached begins with. */
static void attached_text(const struct targets *t, const struct options *o, const char *what,
                          char *text, size_t n)
{
	char who[TARGETS_TEXT_MAX];

	targets_text(t, who);
	if (!t->live && o->match)
		snprintf(text, n, "attached, waiting for processes that match '%s'", o->match);
	else if (t->live > 1)
		snprintf(text, n, "attached to %zu processes (%s)", t->live, who);
	else
		snprintf(text, n, "attached to %s (%s)", who, what);
}

struct source *watch_attach(struct session *s, const struct options *o, const char *program,
                            const char *what)
{
	char why[256] = "", text[1024];
	struct turns_spec spec;
	struct source_config c = {
		.pid = o->pid,
		.pids = o->pids,
		.npids = (size_t)o->npids,
		.match = o->match,
		.tree = true,
		.program = program,
		.tick_ms = WATCH_TICK_MS,
		.on_event = session_event,
		.ctx = s,
	};
	struct pipeline *p = session_pipeline(s);
	struct source *source;

	/* what nobody reads costs the target nothing */
	turns_spec_make(o->turns, o->profile, &spec);
	c.files = spec.kind == TURNS_AUTO || spec.kind == TURNS_JSONL;
	c.output = spec.kind == TURNS_AUTO || spec.kind == TURNS_STDOUT || spec.profile;
	source = source_bpf_open(&c, why, sizeof(why));
	if (!source && o->match && !o->pid) {
		log_error("cannot attach to what matches '%s': %s", o->match,
		          why[0] ? why : strerror(errno));
		return NULL;
	}
	if (!source) {
		log_error("cannot attach to %u: %s", o->pid, why[0] ? why : strerror(errno));
		return NULL;
	}
	session_source(s, source);
	attached_text(pipeline_targets(p), o, what, text, sizeof(text));
	log_info("%s: %zu %s open, %u TLS %s hooked; writing to %s", text, pipeline_connections(p),
	         pipeline_connections(p) == 1 ? "connection" : "connections",
	         pipeline_tls_libraries(p),
	         pipeline_tls_libraries(p) == 1 ? "library" : "libraries", session_dir(s));
	return source;
}

/* Leaves in o those that can be watched; what cannot is said. False: there is nobody to watch. */
static bool targets_check(struct options *o)
{
	int named = o->npids ? o->npids : o->pid != 0, n = 0;

	if (!o->npids && o->pid)
		o->pids[0] = o->pid;
	for (int i = 0; i < named; i++)
		if (watch_fits(o->pids[i], false))
			o->pids[n++] = o->pids[i];
	if (n && n < named)
		log_warn("going on with the other %d of %d processes", n, named);
	o->npids = n;
	o->pid = n ? o->pids[0] : 0;
	return n || (o->match && !named);
}

int cmd_watch(struct options *o)
{
	struct session *s;
	int status = EXIT_ERROR, err;
	char name[64] = "";

	log_open(o->log_level, stderr);
	if (!watch_privileged() || !targets_check(o))
		return EXIT_ERROR;
	/* the program only: arguments can hold prompts */
	if (!o->pid || procfs_read(o->pid, "comm", name, sizeof(name)) <= 0)
		snprintf(name, sizeof(name), "%s", o->pid ? "" : "it matches");
	name[strcspn(name, "\n")] = '\0';
	session_signals(false);
	s = session_new(o, o->pid, false);
	if (s && watch_attach(s, o, NULL, name)) {
		err = session_loop(s, NULL, NULL);
		status = session_end(s);
		if (err) {
			log_error("reading the kernel's events failed: %s; what was seen until "
			          "then is written",
			          strerror(-err));
			status = EXIT_ERROR;
		}
	}
	session_free(s);
	return status;
}
