/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options: reads the command line, the file of --config and the environment into struct options, by the rows of
 * options_table.c; and the lines that a recording keeps.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "options_doc.h"
#include "options_help.h"
#include "options_parser.h"
#include "options_table.h"

/* LOOK_QUIET_NS (diagnosis.h), as the option is given. */
#define WHY_QUIET_MINUTES (10.0 / 60)

bool parser_given(const struct options *o, size_t field)
{
	for (const struct option *opt = option_table; opt->name; opt++)
		if (opt->field == field && opt->parse && !opt->rule && (o->given & option_bit(opt)))
			return true;
	return false;
}

/* ===== The command line ===== */

static int unknown_command(const char *name, FILE *err)
{
	const struct command *best = help_nearest_command(name);

	if (best)
		help_complain(err, "'%.80s': no such command; did you mean '%s'?", name,
		              best->name);
	else
		help_complain(err, "'%.80s': no such command; use one of these", name);
	help_usage(err);
	return EXIT_USAGE;
}

static int unknown_option(struct parser *p, const char *arg)
{
	const struct option *best;
	size_t n = strcspn(arg, "=");
	char name[64];

	snprintf(name, sizeof(name), "%.*s", n < sizeof(name) ? (int)n : 63, arg);
	best = help_nearest_option(name + strspn(name, "-"), p->command->bit);
	if (best)
		return help_complain(p->err, "%s: unknown option '%s'; did you mean --%s?",
		                     p->command->name, name, best->name);
	return help_complain(p->err,
	                     "%s: unknown option '%s'; whystuck %s --help shows those there are",
	                     p->command->name, name, p->command->name);
}

static int foreign_option(struct parser *p, const struct option *opt)
{
	char list[64];

	command_names(opt->commands, list, sizeof(list));
	return help_complain(p->err,
	                     "%s: --%s is no option of this command, only of %s; whystuck %s "
	                     "--help shows those there are",
	                     p->command->name, opt->name, list, p->command->name);
}

/* The value of opt: behind its '=', or the next argument. NULL for none; false when that is wrong, and said. */
static bool take_value(struct parser *p, const struct option *opt, const char *attached,
                       const char **value)
{
	const char *next = p->i + 1 < p->argc ? p->argv[p->i + 1] : NULL;
	char advice[256];

	*value = attached;
	if (!opt->arg && attached) {
		help_complain(p->err, "--%s '%.80s': takes no value; write --%s alone", opt->name,
		              attached, opt->name);
		return false;
	}
	if (opt->arg_optional && !attached && next && opt->parse == value_stop &&
	    isalpha((unsigned char)*next) && value_signal(next)) {
		help_complain(p->err,
		              "--%s: '%.80s' behind it is not taken as its value; write --%s=%.80s",
		              opt->name, next, opt->name, next);
		return false;
	}
	if (!opt->arg || opt->arg_optional || attached)
		return true;
	if (!next) {
		help_complain(p->err, "--%s: no value; %s", opt->name,
		              help_advice(opt, advice, sizeof(advice)));
		return false;
	}
	if (strncmp(next, "--", 2) == 0) {
		help_complain(
			p->err,
			"--%s: no value, '%.80s' follows; %s (--%s=%.80s if that is the value)",
			opt->name, next, help_advice(opt, advice, sizeof(advice)), opt->name, next);
		return false;
	}
	*value = p->argv[++p->i];
	return true;
}

static int answer(struct parser *p, const struct option *opt)
{
	if (opt->letter == 'h')
		help_command(p->out, p->command);
	else
		fputs("whystuck " WHYSTUCK_VERSION "\n", p->out);
	return OPTIONS_LEAVE;
}

static int parse_option(struct parser *p)
{
	const char *arg = p->argv[p->i], *value, *why, *attached = NULL;
	const struct option *opt;

	if (arg[1] == '-') {
		size_t n = strcspn(arg + 2, "=");

		opt = option_find(arg + 2, n);
		attached = arg[2 + n] ? arg + 2 + n + 1 : NULL;
	} else {
		opt = option_find_letter(arg[1]);
		attached = arg[2] ? arg + 2 : NULL;
	}
	if (!opt)
		return unknown_option(p, arg);
	if (!(opt->commands & p->command->bit))
		return foreign_option(p, opt);
	if (!take_value(p, opt, attached, &value))
		return EXIT_USAGE;
	if (!opt->parse)
		return answer(p, opt);
	why = opt->parse(p->o, opt, value);
	if (why)
		return help_bad_value(p->err, "--", opt, value, why);
	p->o->given |= option_bit(opt);
	return 0;
}

/* Options may stand before and behind operands; of run, all from the first operand on is CMD's. */
static int parse_arguments(struct parser *p)
{
	bool options = true;

	for (; p->i < p->argc; p->i++) {
		char *arg = p->argv[p->i];
		bool looks = options && arg[0] == '-' && arg[1] && !isdigit((unsigned char)arg[1]);
		int ret;

		if (looks && strcmp(arg, "--") == 0) {
			options = false;
		} else if (looks) {
			ret = parse_option(p);
			if (ret)
				return ret;
		} else if (p->command->bit == RUN) {
			p->o->argv = p->argv + p->i;
			return 0;
		} else if (p->noperands++ <= OPTIONS_PIDS_MAX) {
			p->operands[p->noperands - 1] = arg;
		}
	}
	return 0;
}

/* What the options say before anybody was asked. */
static void begin(struct options *o, const struct command *c)
{
	options_init(o);
	o->command = c->name;
	if (c->bit == WHY)
		o->stuck_timeout_minutes = WHY_QUIET_MINUTES;
}

/* The first rule that fits names an endpoint: those of the command line go before the first n, the file's. */
static void rules_typed_first(struct options *o, int n)
{
	struct options_rule file[OPTIONS_RULES_MAX];
	int typed = o->nrules - n;

	memcpy(file, o->rules, sizeof(file));
	memmove(o->rules, o->rules + n, (size_t)typed * sizeof(file[0]));
	memcpy(o->rules + typed, file, (size_t)n * sizeof(file[0]));
}

/* --turns and --profile say the same thing: of one typed and one in the file, the file's does not count. */
static void turns_typed_wins(struct parser *p)
{
	bool turns = p->typed & option_bit(option_find("turns", 5));
	bool profile = p->typed & option_bit(option_find("profile", 7));

	if (turns && !profile)
		p->o->profile = NULL;
	if (profile && !turns)
		p->o->turns = TURNS_DEFAULT;
}

/* The command line was read once, to learn of --config. Now the file's options come first, and it is read over them. */
static int parse_config(struct parser *p)
{
	struct options *o = p->o;
	char *path = strdup(o->config);
	uint64_t in_file = 0;
	int ret = EXIT_ERROR, nrules = 0, nendpoints = 0;

	options_free(o);
	begin(o, p->command);
	p->config = (struct config){ .o = o, .command = p->command, .path = path, .err = p->err };
	if (path)
		ret = config_read(&p->config);
	else
		help_complain(p->err, "--config: out of memory");
	if (!ret) {
		in_file = o->given;
		nrules = o->nrules;
		nendpoints = o->nendpoints;
		o->given = 0;
		p->i = p->first;
		p->noperands = 0;
		ret = parse_arguments(p);
	}
	p->typed = o->given;
	if (!ret) {
		rules_typed_first(o, nrules);
		value_endpoints_rotate(o, nendpoints);
		turns_typed_wins(p);
	}
	o->given |= in_file;
	free(path);
	return ret;
}

static int parse_environment(struct parser *p)
{
	for (const struct option *var = option_environment; var->name; var++) {
		const char *value = getenv(var->name), *why;

		if (!var->parse || !value || !*value || !(var->commands & p->command->bit) ||
		    parser_given(p->o, var->field))
			continue;
		why = var->parse(p->o, var, value);
		if (why)
			return help_bad_value(p->err, "environment variable ", var, value, why);
	}
	return 0;
}

static int parse_command(struct parser *p)
{
	int ret = parse_arguments(p);

	p->typed = p->o->given;
	if (!ret && p->o->config)
		ret = parse_config(p);
	if (!ret)
		ret = parser_operands(p);
	if (!ret)
		ret = parse_environment(p);
	if (!ret)
		ret = parser_check(p);
	return ret;
}

void options_init(struct options *o)
{
	*o = (struct options){ .stuck_timeout_minutes = 15,
		               .progress = PROGRESS_TQDM,
		               .log_level = LEVEL_INFO,
		               .turns = TURNS_DEFAULT,
		               .sample = 1,
		               .rotate_keep = 5,
		               .unstick_fd = -1,
		               .stop_signal = SIGINT,
		               .stop_grace_s = 10 };
}

void options_free(struct options *o)
{
	while (o->nrules > 0)
		free(o->rules[--o->nrules].spec);
	value_endpoints_free(o);
	value_free_all(o);
}

/* whystuck --completion SHELL */
static int answer_completion(const char *shell, FILE *out, FILE *err)
{
	if (!shell)
		return help_complain(err, "--completion: no value; use bash, zsh or fish");
	if (options_completion(out, shell))
		return help_complain(
			err, "--completion '%.80s': no such shell; use bash, zsh or fish", shell);
	return OPTIONS_LEAVE;
}

/* What is asked of the program, not of a command. 0: nothing of that. */
static int answer_program(int argc, char **argv, FILE *out, FILE *err)
{
	static const char completion[] = "--completion";
	const char *name = argv[1];
	size_t n = strlen(completion);

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help_program(out), OPTIONS_LEAVE;
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		return fputs("whystuck " WHYSTUCK_VERSION "\n", out), OPTIONS_LEAVE;
	if (strncmp(name, completion, n) == 0 && name[n] == '=')
		return answer_completion(name + n + 1, out, err);
	if (strcmp(name, completion) == 0)
		return answer_completion(argc > 2 ? argv[2] : NULL, out, err);
	return 0;
}

static const struct command *command_default(void)
{
	const struct command *c = command_table;

	while (!c->default_)
		c++;
	return c;
}

int options_parse(struct options *o, int argc, char **argv, FILE *out, FILE *err)
{
	struct parser p = {
		.o = o, .argc = argc, .argv = argv, .first = 2, .out = out, .err = err
	};
	const char *name = argc > 1 ? argv[1] : NULL;
	int ret;

	options_init(o);
	if (!name) {
		help_usage(err);
		return EXIT_USAGE;
	}
	ret = answer_program(argc, argv, out, err);
	if (ret)
		return ret;
	p.command = command_find(name);
	if (!p.command && (isdigit((unsigned char)*name) || *name == '-')) {
		p.command = command_default();
		p.first = 1;
	}
	if (!p.command)
		return unknown_command(name, err);
	p.i = p.first;
	begin(o, p.command);
	ret = parse_command(&p);
	if (ret)
		options_free(o);
	return ret;
}

/* ===== The recording's lines ===== */

static const char *rule_name(char kind)
{
	for (const struct option *opt = option_table; opt->name; opt++)
		if (opt->rule == kind)
			return opt->name;
	return NULL;
}

void options_each(const struct options *o, void (*emit)(void *ctx, const char *line), void *ctx)
{
	/* endpoints and sources of turns have limits below it */
	char value[VALUE_MAX], line[VALUE_MAX + 64];

	for (const struct option *opt = option_table; opt->name; opt++) {
		if (!opt->print || !opt->print(o, opt, value, sizeof(value)))
			continue;
		snprintf(line, sizeof(line), "%s=%s", opt->name, value);
		emit(ctx, line);
	}
	for (int i = 0; i < o->nrules; i++) {
		snprintf(line, sizeof(line), "%s=%s", rule_name(o->rules[i].kind),
		         o->rules[i].spec);
		emit(ctx, line);
	}
	for (int i = 0; i < o->nendpoints; i++) {
		snprintf(line, sizeof(line), "endpoints=%s", o->endpoints[i]);
		emit(ctx, line);
	}
}

/* What was given of --turns and --profile wins over the recording, whichever of the two that has. */
static bool turns_given(const struct options *o, const struct option *opt)
{
	bool either = GIVEN(o, turns) || GIVEN(o, profile);

	return either && (opt->parse == value_turns || opt->parse == value_profile);
}

/* Both would be a contradiction that no whystuck records. */
static bool turns_clash(const struct options *o, const struct option *opt, const char *value)
{
	if (opt->parse == value_turns)
		return o->profile && strcmp(value, TURNS_DEFAULT) != 0;
	return opt->parse == value_profile && strcmp(o->turns, TURNS_DEFAULT) != 0;
}

int options_apply(struct options *o, const char *line)
{
	size_t n = strcspn(line, "=");
	const struct option *opt = option_find(line, n);

	if (!opt || !opt->result || line[n] != '=')
		return -EINVAL;
	if ((o->given & option_bit(opt)) || turns_given(o, opt))
		return 0;
	if (turns_clash(o, opt, line + n + 1))
		return -EINVAL;
	return (opt->apply ? opt->apply : opt->parse)(o, opt, line + n + 1) ? -EINVAL : 0;
}
