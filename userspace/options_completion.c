/* SPDX-License-Identifier: BSD-2-Clause */
/* Completion scripts: what bash, zsh and fish offer where a command, an option, a value or an operand is typed. */
#include <errno.h>
#include <string.h>

#include "options_doc.h"
#include "options_table.h"

/* ===== What all shells share ===== */

/* Length of what one line of a menu holds: up to the first clause that can be left out. */
static size_t brief(const char *s)
{
	static const char *const ends[] = { "; ", " (", ". " };
	size_t n = strlen(s);

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		const char *end = strstr(s, ends[i]);

		if (end && (size_t)(end - s) < n)
			n = (size_t)(end - s);
	}
	return n > 0 && s[n - 1] == '.' ? n - 1 : n;
}

/* Inside '...' of a shell where quote stands for a quote; what is special gets a backslash. */
static void put_quoted(FILE *out, const char *s, size_t n, const char *special, const char *quote)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\'') {
			fputs(quote, out);
			continue;
		}
		if (strchr(special, s[i]))
			fputc('\\', out);
		fputc(s[i], out);
	}
}

static void put_commands(FILE *out, const char *between)
{
	for (const struct command *c = command_table; c->name; c++)
		fprintf(out, "%s%s", c == command_table ? "" : between, c->name);
}

static void put_shells(FILE *out)
{
	for (size_t i = 0; options_shell(i); i++)
		fprintf(out, "%s%s", i ? " " : "", options_shell(i));
}

/* Needs more behind it: no blank follows. */
static bool is_open(const char *choice)
{
	return choice[strlen(choice) - 1] == ':';
}

static void put_choices(FILE *out, const struct option *opt, const char *special)
{
	for (size_t i = 0; opt->choice(i); i++) {
		if (i)
			fputc(' ', out);
		put_quoted(out, opt->choice(i), strlen(opt->choice(i)), special, "'\\''");
	}
}

static const char *default_command(void)
{
	const struct command *c = command_table;

	while (!c->default_)
		c++;
	return c->name;
}

/* ===== bash ===== */

/* "-o | --output" */
static void bash_pattern(FILE *out, const struct option *opt)
{
	if (opt->letter)
		fprintf(out, "-%c | ", opt->letter);
	fprintf(out, "--%s", opt->name);
}

static void bash_value(FILE *out, const struct option *opt)
{
	static const char *const files[] = {
		[COMPLETES_FILE] = "-f", [COMPLETES_DIRECTORY] = "-d"
	};

	fputs("    ", out);
	bash_pattern(out, opt);
	fputs(") ", out);
	if (opt->choice) {
		fputs("_whystuck_words \"$2\" ", out);
		put_choices(out, opt, "");
	} else if (opt->completes == COMPLETES_COMMAND) {
		fputs("mapfile -t COMPREPLY < <(compgen -c -- \"$2\")", out);
	} else {
		fprintf(out, "_whystuck_files %s \"$2\"", files[opt->completes]);
	}
	fputs(" ;;\n", out);
}

/* Options whose value is the next word. */
static void bash_takes_next(FILE *out)
{
	const char *between = "";

	for (const struct option *opt = option_table; opt->name; opt++) {
		if (!opt->arg || opt->arg_optional)
			continue;
		fputs(between, out);
		bash_pattern(out, opt);
		between = " | ";
	}
}

static void bash_options(FILE *out, const struct command *c)
{
	fprintf(out, "    %s) options='", c->name);
	for (const struct option *opt = option_table; opt->name; opt++)
		if (opt->commands & c->bit)
			fprintf(out, "--%s ", opt->name);
	fputs("' ;;\n", out);
}

static void bash_operand(FILE *out, const struct command *c)
{
	if (c->operands == COMPLETES_PID)
		fprintf(out, "    %s) _whystuck_words \"$cur\" $(cd /proc && echo [0-9]*) ;;\n",
		        c->name);
	else if (c->operands == COMPLETES_FILE)
		fprintf(out, "    %s) _whystuck_files -f \"$cur\" ;;\n", c->name);
}

static const char bash_head[] =
	"# bash completion for whystuck, written by: whystuck --completion bash\n"
	"\n"
	"# One of the words behind the first argument, which is what was typed.\n"
	"_whystuck_words()\n"
	"{\n"
	"    local typed=$1\n"
	"    shift\n"
	"    [[ $typed == *:* ]] || mapfile -t COMPREPLY < <(compgen -W \"$*\" -- \"$typed\")\n"
	"    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *: ]] || compopt -o nospace "
	"2>/dev/null\n"
	"}\n"
	"\n"
	"_whystuck_files()\n"
	"{\n"
	"    compopt -o filenames 2>/dev/null\n"
	"    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$2\")\n"
	"}\n"
	"\n"
	"# The value of an option.\n"
	"_whystuck_value()\n"
	"{\n"
	"    case $1 in\n";

static const char bash_takes[] = "    esac\n"
				 "}\n"
				 "\n"
				 "# Whether the next word is the option's value.\n"
				 "_whystuck_takes_next()\n"
				 "{\n"
				 "    case $1 in\n"
				 "    ";

static const char bash_words[] =
	") return 0 ;;\n"
	"    esac\n"
	"    return 1\n"
	"}\n"
	"\n"
	"_whystuck()\n"
	"{\n"
	"    local command=%s options='' cur word i first=1 ended='' program=0\n"
	"    local -a words=(\"${COMP_WORDS[0]}\")\n"
	"    COMPREPLY=()\n"
	"    # bash breaks words at = and :, here they are whole again; at[] is where each begins\n"
	"    local -a at=(0)\n"
	"    for ((i = 1; i <= COMP_CWORD; i++)); do\n"
	"        word=${COMP_WORDS[i]}\n"
	"        if [[ $i != 1 && ($word == [=:]* || ${words[-1]} == *[=:]) ]]; then\n"
	"            words[-1]+=$word\n"
	"        else\n"
	"            words+=(\"$word\")\n"
	"            at+=(\"$i\")\n"
	"        fi\n"
	"    done\n"
	"    cur=${words[-1]}\n"
	"    if [[ ${#words[@]} == 2 && $cur != -* ]]; then\n"
	"        _whystuck_words \"$cur\" ";

static const char bash_command[] =
	" $(cd /proc && echo [0-9]*)\n"
	"        return\n"
	"    fi\n"
	"    if [[ ${#words[@]} == 3 && ${words[1]} == --completion ]]; then\n"
	"        _whystuck_words \"$cur\" ";

static const char bash_loop[] =
	") [[ ${#words[@]} == 2 ]] || { command=${words[1]} && first=2; } ;;\n"
	"    esac\n"
	"    for ((i = first; i < ${#words[@]} - 1; i++)); do\n"
	"        word=${words[i]}\n"
	"        if [[ ! $ended && $word == -- ]]; then\n"
	"            ended=1\n"
	"        elif [[ ! $ended ]] && _whystuck_takes_next \"$word\"; then\n"
	"            ((++i == ${#words[@]} - 1)) && { _whystuck_value \"$word\" \"$cur\"; return; "
	"}\n"
	"        elif [[ $command == run && ($ended || $word != -*) ]]; then\n"
	"            program=$i\n"
	"            break\n"
	"        fi\n"
	"    done\n"
	"    # of run, all from the program on is the program's\n"
	"    if [[ $command == run && ($program != 0 || $ended || $cur != -*) ]]; then\n"
	"        if declare -F _command_offset >/dev/null; then\n"
	"            ((program)) || program=$((${#words[@]} - 1))\n"
	"            _command_offset \"${at[program]}\"\n"
	"        elif ((program)); then\n"
	"            _whystuck_files -f \"$cur\"\n"
	"        else\n"
	"            mapfile -t COMPREPLY < <(compgen -c -- \"$cur\")\n"
	"        fi\n"
	"        return\n"
	"    fi\n"
	"    if [[ ! $ended && $cur == --*=* ]]; then\n"
	"        _whystuck_value \"${cur%%=*}\" \"${cur#*=}\"\n"
	"        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=(\"${COMPREPLY[@]/#/${cur%%=*}=}\")\n"
	"        return\n"
	"    fi\n"
	"    case $command in\n";

static const char bash_end[] =
	"    esac\n"
	"    if [[ ! $ended && $cur == -* ]]; then\n"
	"        [[ ${#words[@]} != 2 ]] || options+=--completion\n"
	"        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
	"        return\n"
	"    fi\n"
	"    case $command in\n";

static void write_bash(FILE *out)
{
	fputs(bash_head, out);
	for (const struct option *opt = option_table; opt->name; opt++)
		if (opt->choice || opt->completes != COMPLETES_NOTHING)
			bash_value(out, opt);
	fputs(bash_takes, out);
	bash_takes_next(out);
	fprintf(out, bash_words, default_command());
	put_commands(out, " ");
	fputs(bash_command, out);
	put_shells(out);
	fputs("\n        return\n    fi\n    case ${words[1]} in\n    ", out);
	put_commands(out, " | ");
	fputs(bash_loop, out);
	for (const struct command *c = command_table; c->name; c++)
		bash_options(out, c);
	fputs(bash_end, out);
	for (const struct command *c = command_table; c->name; c++)
		bash_operand(out, c);
	fputs("    esac\n}\ncomplete -F _whystuck whystuck\n", out);
}

/* ===== zsh ===== */

#define ZSH_QUOTE "'\\''"

/* Plain words, then those behind which no blank belongs. */
static void zsh_choices(FILE *out, const struct option *opt)
{
	const char *closed = "{compadd --", *open = "; compadd -S \"\" --";

	for (int pass = 0; pass < 2; pass++) {
		const char *before = pass ? open : closed;

		for (size_t i = 0; opt->choice(i); i++) {
			const char *choice = opt->choice(i);

			if (is_open(choice) != pass)
				continue;
			fprintf(out, "%s ", before);
			put_quoted(out, choice, strlen(choice), ":", ZSH_QUOTE);
			before = "";
		}
	}
	fputc('}', out);
}

static void zsh_action(FILE *out, const struct option *opt)
{
	static const char *const actions[] = {
		[COMPLETES_NOTHING] = "",
		[COMPLETES_FILE] = "_files",
		[COMPLETES_DIRECTORY] = "_files -/",
		[COMPLETES_COMMAND] = "_cmdstring",
		[COMPLETES_PID] = "_pids",
	};

	if (opt->choice)
		zsh_choices(out, opt);
	else
		fputs(actions[opt->completes], out);
}

static void zsh_option(FILE *out, const struct option *opt)
{
	const char *value = !opt->arg ? "" : opt->arg_optional ? "=-" : "=";

	fputs("    '", out);
	if (opt->rule)
		fputc('*', out);
	if (opt->letter)
		fprintf(out, "(-%c --%s)'{-%c%s,--%s%s}'", opt->letter, opt->name, opt->letter,
		        opt->arg ? "+" : "", opt->name, value);
	else
		fprintf(out, "--%s%s", opt->name, value);
	fputc('[', out);
	put_quoted(out, opt->help, brief(opt->help), "[]\\:", ZSH_QUOTE);
	fputc(']', out);
	if (opt->arg) {
		fputs(opt->arg_optional ? "::" : ":", out);
		put_quoted(out, opt->arg, strlen(opt->arg), "\\:", ZSH_QUOTE);
		fputc(':', out);
		zsh_action(out, opt);
	}
	fputs("'\n", out);
}

/* A program, then what its own completion says. */
#define ZSH_PROGRAM "    '(-)1:CMD:_command_names -e'\n    '*::ARG:_normal'\n"

static void zsh_command(FILE *out, const struct command *c)
{
	static const char *const operands[] = {
		[COMPLETES_FILE] = "    '1:FILE:_files'\n",
		[COMPLETES_COMMAND] = ZSH_PROGRAM,
		[COMPLETES_PID] = "    '*:PID:_pids'\n",
	};

	fprintf(out, "  %s) specs=(\n", c->name);
	for (const struct option *opt = option_table; opt->name; opt++)
		if (opt->commands & c->bit)
			zsh_option(out, opt);
	fprintf(out, "%s    ) ;;\n", operands[c->operands]);
}

static void write_zsh(FILE *out)
{
	fprintf(out,
	        "#compdef whystuck\n"
	        "# zsh completion for whystuck, written by: whystuck --completion zsh\n"
	        "\n"
	        "_whystuck() {\n"
	        "  local command=%s\n"
	        "  local -a commands specs\n"
	        "  commands=(\n",
	        default_command());
	for (const struct command *c = command_table; c->name; c++) {
		fprintf(out, "    '%s:", c->name);
		put_quoted(out, c->about, brief(c->about), "\\:", ZSH_QUOTE);
		fputs("'\n", out);
	}
	fputs("  )\n"
	      "  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
	      "    _describe -t commands command commands\n"
	      "    _pids\n"
	      "    return\n"
	      "  fi\n"
	      "  if (( CURRENT == 3 )) && [[ $words[2] == --completion ]]; then\n"
	      "    compadd -- ",
	      out);
	put_shells(out);
	fputs("\n    return\n  fi\n  case $words[2] in\n  ", out);
	put_commands(out, "|");
	fputs(") command=$words[2]; shift words; (( CURRENT-- )) ;;\n"
	      "  esac\n"
	      "  case $command in\n",
	      out);
	for (const struct command *c = command_table; c->name; c++)
		zsh_command(out, c);
	fputs("  esac\n"
	      "  _arguments -s -S : $specs\n"
	      "}\n"
	      "\n"
	      "if [[ $funcstack[1] == _whystuck ]]; then\n"
	      "  _whystuck \"$@\"\n"
	      "else\n"
	      "  compdef _whystuck whystuck\n"
	      "fi\n",
	      out);
}

/* ===== fish ===== */

#define FISH_QUOTE "\\'"

static void fish_option(FILE *out, const struct option *opt)
{
	static const char *const values[] = {
		[COMPLETES_NOTHING] = " -x",
		[COMPLETES_FILE] = " -r -F",
		[COMPLETES_DIRECTORY] = " -x -a '(__fish_complete_directories)'",
		[COMPLETES_COMMAND] = " -x -a '(__fish_complete_command)'",
		[COMPLETES_PID] = " -x -a '(__fish_complete_pids)'",
	};

	fputs("complete -c whystuck -n '__whystuck_is", out);
	for (const struct command *c = command_table; c->name; c++)
		if (opt->commands & c->bit)
			fprintf(out, " %s", c->name);
	fputc('\'', out);
	if (opt->letter)
		fprintf(out, " -s %c", opt->letter);
	fprintf(out, " -l %s", opt->name);
	if (opt->choice) {
		fputs(opt->arg_optional ? " -f -a '" : " -x -a '", out);
		put_choices(out, opt, "\\");
		fputc('\'', out);
	} else if (opt->arg && !opt->arg_optional) {
		fputs(values[opt->completes], out);
	}
	fputs(" -d '", out);
	put_quoted(out, opt->help, brief(opt->help), "\\", FISH_QUOTE);
	fputs("'\n", out);
}

static void fish_operand(FILE *out, const struct command *c)
{
	static const char *const operands[] = {
		[COMPLETES_FILE] = "-F",
		[COMPLETES_COMMAND] = "-x -a '(__fish_complete_subcommand --fcs-skip=2)'",
		[COMPLETES_PID] = "-x -a '(__fish_complete_pids)'",
	};

	fprintf(out, "complete -c whystuck -n '__whystuck_is %s' %s\n", c->name,
	        operands[c->operands]);
}

static void write_fish(FILE *out)
{
	fprintf(out,
	        "# fish completion for whystuck, written by: whystuck --completion fish\n"
	        "\n"
	        "# Whether the command that is typed is one of those given.\n"
	        "function __whystuck_is\n"
	        "    set -l words (commandline -opc)\n"
	        "    set -l command %s\n"
	        "    if set -q words[2]; and contains -- $words[2] ",
	        default_command());
	put_commands(out, " ");
	fputs("\n"
	      "        set command $words[2]\n"
	      "    end\n"
	      "    contains -- $command $argv\n"
	      "end\n"
	      "\n"
	      "function __whystuck_is_first\n"
	      "    test (count (commandline -opc)) -eq 1\n"
	      "end\n"
	      "\n"
	      "complete -c whystuck -f\n",
	      out);
	for (const struct command *c = command_table; c->name; c++) {
		fprintf(out, "complete -c whystuck -n __whystuck_is_first -a %s -d '", c->name);
		put_quoted(out, c->about, brief(c->about), "\\", FISH_QUOTE);
		fputs("'\n", out);
	}
	fputs("complete -c whystuck -n 'test (count (commandline -opc)) -le 2' -l completion -x -a "
	      "'",
	      out);
	put_shells(out);
	fputs("' -d 'write a completion script for this shell'\n", out);
	for (const struct option *opt = option_table; opt->name; opt++)
		fish_option(out, opt);
	for (const struct command *c = command_table; c->name; c++)
		fish_operand(out, c);
}

/* ===== All of them ===== */

static const struct {
	const char *name;
	void (*write)(FILE *out);
} shells[] = {
	{ "bash", write_bash },
	{ "zsh", write_zsh },
	{ "fish", write_fish },
};
#define SHELLS_N (sizeof(shells) / sizeof(shells[0]))

const char *options_shell(size_t i)
{
	return i < SHELLS_N ? shells[i].name : NULL;
}

int options_completion(FILE *out, const char *shell)
{
	for (size_t i = 0; i < SHELLS_N; i++)
		if (strcmp(shells[i].name, shell) == 0)
			return shells[i].write(out), 0;
	return -EINVAL;
}
