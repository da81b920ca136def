/* SPDX-License-Identifier: BSD-2-Clause */
/* Operands: what stands on the command line beside the options, each command's own. */
#include <string.h>

#include "options_help.h"
#include "options_parser.h"

/* Linux's PID_MAX_LIMIT on 64-bit machines. */
#define PID_MAX 4194304

/* Named twice is watched once. */
static void add_pid(struct options *o, uint32_t pid)
{
	for (int i = 0; i < o->npids; i++)
		if (o->pids[i] == pid)
			return;
	o->pids[o->npids++] = pid;
	o->pid = o->pids[0];
}

static int parse_pid(struct parser *p, const char *s)
{
	uint64_t pid = value_positive(s, PID_MAX);

	if (!pid)
		return help_complain(
			p->err,
			"%s '%.80s': not a process id; give the number that ps or pgrep "
			"shows, 1 to %d",
			p->command->name, s, PID_MAX);
	add_pid(p->o, (uint32_t)pid);
	return 0;
}

static int operands_why(struct parser *p)
{
	if (p->noperands == 0)
		return help_complain(p->err,
		                     "why: no process id; use whystuck PID, pgrep -af python "
		                     "shows what runs");
	if (command_find(p->operands[0]))
		return help_complain(p->err,
		                     "'%.80s': options go behind the command; use whystuck %s "
		                     "--help",
		                     p->argv[1], p->operands[0]);
	if (p->noperands > 1)
		return help_complain(p->err,
		                     "why: '%.80s' is one argument too many; one process (and its "
		                     "children) is looked at a time%s",
		                     p->operands[1],
		                     p->o->unstick ? ", and a descriptor is given as --unstick=FD"
		                                   : "");
	return parse_pid(p, p->operands[0]);
}

static int operands_watch(struct parser *p)
{
	int ret = 0;

	if (p->noperands == 0 && !p->o->match)
		return help_complain(
			p->err, "watch: no process id; use whystuck watch PID or --match REGEX, "
				"pgrep -af python shows what runs");
	if (p->noperands > OPTIONS_PIDS_MAX)
		return help_complain(
			p->err,
			"watch: %d process ids, at most %d can be named; --match is for "
			"more",
			p->noperands, OPTIONS_PIDS_MAX);
	for (int i = 0; i < p->noperands && !ret; i++)
		ret = parse_pid(p, p->operands[i]);
	return ret;
}

static int operands_run(struct parser *p)
{
	if (!p->o->argv || !p->o->argv[0])
		return help_complain(p->err,
		                     "run: no command to start; use whystuck run -- CMD, for "
		                     "example whystuck run -- python3 bench.py");
	return 0;
}

static int operands_replay(struct parser *p)
{
	if (p->noperands == 0)
		return help_complain(p->err,
		                     "replay: no file; use whystuck replay FILE with a file "
		                     "that --record wrote");
	if (p->noperands > 1)
		return help_complain(p->err,
		                     "replay: '%.80s' is one argument too many; one recording is "
		                     "replayed at a time",
		                     p->operands[1]);
	p->o->file = p->operands[0];
	return 0;
}

static int operands_check(struct parser *p)
{
	if (p->noperands > 1)
		return help_complain(
			p->err,
			"check: '%.80s' is one argument too many; use whystuck check, or "
			"whystuck check PID for one process",
			p->operands[1]);
	return p->noperands ? parse_pid(p, p->operands[0]) : 0;
}

int parser_operands(struct parser *p)
{
	switch (p->command->bit) {
	case WHY:
		return operands_why(p);
	case WATCH:
		return operands_watch(p);
	case RUN:
		return operands_run(p);
	case REPLAY:
		return operands_replay(p);
	default:
		return operands_check(p);
	}
}
