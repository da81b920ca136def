/* SPDX-License-Identifier: BSD-2-Clause */
/* whystuck watch PID: attaches to a live process and observes until it ends or Ctrl-C. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "procfs.h"
#include "session.h"
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

struct source *watch_attach(struct session *s, uint32_t pid, const char *program, const char *what)
{
	char why[256] = "";
	struct source_config c = {
		.pid = pid,
		.tree = true,
		.program = program,
		.tick_ms = WATCH_TICK_MS,
		.on_event = session_event,
		.ctx = s,
	};
	struct source *source = source_bpf_open(&c, why, sizeof(why));
	struct pipeline *p = session_pipeline(s);

	if (!source) {
		log_error("cannot attach to %u: %s", pid, why[0] ? why : strerror(errno));
		return NULL;
	}
	session_source(s, source);
	log_info("attached to %u (%s): %zu %s open, %u TLS %s hooked; writing to %s", pid, what,
	         pipeline_connections(p),
	         pipeline_connections(p) == 1 ? "connection" : "connections",
	         pipeline_tls_libraries(p),
	         pipeline_tls_libraries(p) == 1 ? "library" : "libraries", session_dir(s));
	return source;
}

int cmd_watch(struct options *o)
{
	struct session *s;
	int status = EXIT_ERROR, err;
	char name[64];

	log_open(o->log_level, stderr);
	if (!watch_privileged() || !watch_fits(o->pid, false))
		return EXIT_ERROR;
	/* the program only: arguments can hold prompts */
	if (procfs_read(o->pid, "comm", name, sizeof(name)) <= 0)
		name[0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	session_signals(false);
	s = session_new(o, o->pid, false);
	if (s && watch_attach(s, o->pid, NULL, name)) {
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
