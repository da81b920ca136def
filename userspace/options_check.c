/* SPDX-License-Identifier: BSD-2-Clause */
/* What each option alone does not show: those that need, exclude or undo another. */
#include <string.h>

#include "options_help.h"
#include "options_parser.h"

/* How an option is called in messages: as it was typed, or where it stands in the file. */
static const char *called(struct parser *p, const char *name)
{
	const struct option *opt = option_find(name, strlen(name));

	if (!(p->typed & option_bit(opt)) && p->config.lines[opt - option_table])
		snprintf(p->called, sizeof(p->called), "%.200s:%u: %s", p->o->config,
		         p->config.lines[opt - option_table], name);
	else
		snprintf(p->called, sizeof(p->called), "--%s", name);
	return p->called;
}

static int check_stop(struct parser *p)
{
	const struct options *o = p->o;
	bool off = o->stuck_timeout_minutes == 0;

	if (!o->stop && (o->stop_kill || GIVEN(o, stop_grace_s)))
		return help_complain(p->err,
		                     "%s: without --stop nothing is ever stopped; add --stop",
		                     called(p, o->stop_kill ? "stop-kill" : "stop-grace"));
	if (off && p->command->bit == WHY)
		return help_complain(p->err, "--stuck-timeout 0: then every wait would be called "
		                             "stuck; use for example 0.5");
	if (off && (o->stop || o->on_stuck || o->webhook))
		return help_complain(
			p->err,
			"%s: the stuck timeout is 0 (off), so this would never happen; "
			"set --stuck-timeout to for example 15",
			called(p, o->stop       ? "stop"
		                  : o->on_stuck ? "on-stuck"
		                                : "webhook"));
	return 0;
}

static int check_unstick(struct parser *p)
{
	const struct options *o = p->o;

	if (o->yes && !o->unstick)
		return help_complain(p->err,
		                     "%s: there is nothing to say yes to; it goes with --unstick",
		                     called(p, "yes"));
	if (o->unstick && !o->yes && o->json)
		return help_complain(p->err, "%s with --json: nobody could be asked; add --yes",
		                     called(p, "unstick"));
	return 0;
}

static int check_files(struct parser *p)
{
	const struct options *o = p->o;

	if (!o->rotate_size && GIVEN(o, rotate_keep))
		return help_complain(
			p->err,
			"%s: without --rotate-size there are no old files to keep; add "
			"for example --rotate-size=100M",
			called(p, "rotate-keep"));
	if (o->scrub && strcmp(o->scrub, o->file) == 0)
		return help_complain(
			p->err,
			"%s '%.80s': is the recording itself, which would be lost; name "
			"another file",
			called(p, "scrub"), o->scrub);
	return 0;
}

static int check_turns(struct parser *p)
{
	const struct options *o = p->o;

	if (o->profile && strcmp(o->turns, TURNS_DEFAULT) != 0)
		return help_complain(
			p->err,
			"%s '%.80s': says what turns are, and so does --turns '%.80s'; "
			"leave one of them out",
			called(p, "profile"), o->profile, o->turns);
	return 0;
}

int parser_check(struct parser *p)
{
	int ret = check_stop(p);

	if (!ret)
		ret = check_unstick(p);
	if (!ret)
		ret = check_files(p);
	return ret ? ret : check_turns(p);
}
