/* SPDX-License-Identifier: BSD-2-Clause */
/* The man page: what the table says, in mdoc(7), amid the prose of docs/whystuck.1.in. */
#include "options_doc.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "options_table.h"

/* Width of the lines written, as source. */
#define SOURCE_WIDTH 110
/* Prose for every row there may be. */
#define MORE_MAX 128

struct text {
	const char *s;
	size_t n;
};

struct more {
	struct text name, prose;
	unsigned line;
	bool used;
};

struct page {
	FILE *out;
	struct more more[MORE_MAX];
	size_t nmore;
	unsigned line;
	const char *why; /* the first thing wrong */
};

/* ===== Text of the table as mdoc ===== */

/* One paragraph on its way out. */
struct paragraph {
	FILE *out;
	size_t column;
	const char *args; /* what is called by these words is an argument: "HOST[:PORT]" */
};

static bool is_arg_char(char c)
{
	return isupper((unsigned char)c);
}

/* Whether the n letters at word are one of the names in args. */
static bool is_arg(const char *args, const char *word, size_t n)
{
	while (args && *args) {
		size_t len = 0;

		while (is_arg_char(args[len]))
			len++;
		if (len == n && n > 1 && memcmp(args, word, n) == 0)
			return true;
		args += len ? len : 1;
	}
	return false;
}

/* troff's own characters lose their meaning. */
static void put_escaped(FILE *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\')
			fputs("\\e", out);
		else
			fputc(s[i], out);
	}
}

static void line_end(struct paragraph *p)
{
	if (p->column)
		fputc('\n', p->out);
	p->column = 0;
}

/* What closes a word each becomes an argument of its own: mdoc sets them in plain type. */
static void put_closing(FILE *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, " %c", s[i]);
	fputc('\n', out);
}

/* "--stop=SIGNAL," on a line of its own. */
static void put_flag(struct paragraph *p, const char *word, size_t n)
{
	const char *equals = memchr(word, '=', n);
	size_t name = equals ? (size_t)(equals - word) : n, closing = 0;

	while (!equals && closing < name && strchr(",.;:)", word[name - 1 - closing]))
		closing++;
	line_end(p);
	fprintf(p->out, ".Fl %.*s", (int)(name - closing - 1), word + 1);
	if (equals)
		fprintf(p->out, " Ns = Ns Ar %.*s", (int)(n - name - 1), equals + 1);
	put_closing(p->out, word + name - closing, closing);
}

static void put_arg(struct paragraph *p, const char *word, size_t n, size_t name)
{
	line_end(p);
	fprintf(p->out, ".Ar %.*s", (int)name, word);
	if (name < n && word[name] == '\'')
		fprintf(p->out, " Ns %.*s\n", (int)(n - name), word + name);
	else
		put_closing(p->out, word + name, n - name);
}

static void put_plain(struct paragraph *p, const char *word, size_t n)
{
	if (p->column + 1 + n > SOURCE_WIDTH)
		line_end(p);
	if (p->column)
		fputc(' ', p->out);
	else if (*word == '.' || *word == '\'')
		fputs("\\&", p->out);
	put_escaped(p->out, word, n);
	p->column += n + 1;
	/* a new sentence, a new line */
	if (word[n - 1] == '.')
		line_end(p);
}

static void put_word(struct paragraph *p, const char *word, size_t n)
{
	size_t name = 0;

	while (name < n && is_arg_char(word[name]))
		name++;
	if (n > 2 && word[0] == '-' && word[1] == '-' && isalpha((unsigned char)word[2]))
		put_flag(p, word, n);
	else if (is_arg(p->args, word, name) && (name == n || strchr(",.;:)'", word[name])))
		put_arg(p, word, n, name);
	else
		put_plain(p, word, n);
}

/* A value stands as it is typed, also where a sentence begins with it. */
static bool is_choice(const struct option *opt, const char *s)
{
	size_t n = strcspn(s, " ,:");

	for (size_t i = 0; opt && opt->choice && opt->choice(i); i++)
		if (strncmp(opt->choice(i), s, n) == 0)
			return true;
	return false;
}

/* s as whole sentences. */
static void put_text(FILE *out, const char *s, const struct option *opt, const char *args)
{
	struct paragraph p = { .out = out, .args = args };
	char word[512];
	bool first = !is_choice(opt, s);

	while (*s) {
		size_t n = strcspn(s, " ");
		bool last = !s[n];

		snprintf(word, sizeof(word), "%.*s%s", n < 256 ? (int)n : 256, s,
		         last && s[n - 1] != '.' ? "." : "");
		if (first)
			*word = (char)toupper((unsigned char)*word);
		first = false;
		put_word(&p, word, strlen(word));
		s += n;
		s += strspn(s, " ");
	}
	line_end(&p);
}

/* "NAME=HOST[:PORT]" as arguments of a macro line. */
static void put_value_name(FILE *out, const char *arg)
{
	const char *between = "";

	while (*arg) {
		size_t n = strcspn(arg, "[]=:");

		if (n)
			fprintf(out, "%sAr %.*s", between, (int)n, arg);
		else if (*arg == '[')
			fprintf(out, "%sOo", between);
		else if (*arg == ']')
			fputs(" Oc", out);
		else
			fprintf(out, "%s\\&%c", between, *arg);
		between = " Ns ";
		arg += n ? n : 1;
	}
}

/* "watch [OPTIONS] [PID ...]" as arguments of a macro line; options: with that word. */
static void put_usage(FILE *out, const char *s, bool options)
{
	const char *between = "";

	while (*s) {
		size_t n = strcspn(s, " []");

		if (strncmp(s, "[OPTIONS]", 9) == 0) {
			if (options)
				fprintf(out, "%sOp Ar options", between);
			s += 9;
			/* Op takes all that stands on its line */
			between = options ? "\n." : between;
			continue;
		}
		if (*s == ' ') {
			s++;
			continue;
		}
		fputs(between, out);
		between = " ";
		if (*s == '[' || *s == ']')
			fputs(*s == '[' ? "Oo" : "Oc", out);
		else if (strncmp(s, "--", 2) == 0)
			fprintf(out, "Fl %.*s", (int)n - 1, s + 1);
		else if (isupper((unsigned char)*s))
			fprintf(out, "Ar %.*s", (int)n, s);
		else if (*s == '.')
			fprintf(out, "%.*s", (int)n, s);
		else
			fprintf(out, "Cm %.*s", (int)n, s);
		s += n ? n : 1;
	}
	fputc('\n', out);
}

/* ===== The sections ===== */

/* Prose of the template about a name, if there is any. */
static void put_more(struct page *p, const char *dashes, const char *name)
{
	char full[128];

	snprintf(full, sizeof(full), "%s%s", dashes, name);
	for (size_t i = 0; i < p->nmore; i++) {
		struct more *m = &p->more[i];

		if (m->name.n != strlen(full) || memcmp(m->name.s, full, m->name.n) != 0)
			continue;
		fwrite(m->prose.s, 1, m->prose.n, p->out);
		m->used = true;
	}
}

static void put_synopsis(struct page *p)
{
	for (const struct command *c = command_table; c->name; c++) {
		fputs(".Nm\n.", p->out);
		put_usage(p->out, c->usage, true);
	}
}

static void put_commands(struct page *p)
{
	fputs(".Bl -tag -width Ds\n", p->out);
	for (const struct command *c = command_table; c->name; c++) {
		fputs(".It ", p->out);
		put_usage(p->out, c->usage, false);
		put_text(p->out, c->about, NULL, c->usage);
		put_more(p, "", c->name);
	}
	fputs(".El\n", p->out);
}

static void put_option(struct page *p, const struct option *opt)
{
	fputs(".It ", p->out);
	if (opt->letter)
		fprintf(p->out, "Fl %c , ", opt->letter);
	fprintf(p->out, "Fl -%s", opt->name);
	if (opt->arg) {
		fputs(opt->arg_optional ? " Ns Op = Ns " : " ", p->out);
		put_value_name(p->out, opt->arg);
	}
	fputc('\n', p->out);
	put_text(p->out, opt->help, opt, opt->arg);
	put_more(p, "--", opt->name);
}

/* Those that the same commands take stand together, in the order of the table. */
static void put_options(struct page *p)
{
	char names[64];

	for (const struct option *first = option_table; first->name; first++) {
		const struct option *opt = option_table;

		while (opt->commands != first->commands)
			opt++;
		if (opt != first)
			continue; /* its group is written */
		command_names(first->commands, names, sizeof(names));
		fprintf(p->out, ".Ss %s\n.Bl -tag -width Ds\n",
		        first->commands == ALL ? "All commands" : names);
		for (; opt->name; opt++)
			if (opt->commands == first->commands)
				put_option(p, opt);
		fputs(".El\n", p->out);
	}
}

static void put_environment(struct page *p)
{
	fputs(".Bl -tag -width Ds\n", p->out);
	for (const struct option *var = option_environment; var->name; var++) {
		fprintf(p->out, ".It Ev %s\n", var->name);
		put_text(p->out, var->help, var, NULL);
		put_more(p, "", var->name);
	}
	fputs(".El\n", p->out);
}

/* ===== The template ===== */

static const struct {
	const char *name;
	void (*put)(struct page *p);
} sections[] = {
	{ "synopsis", put_synopsis },
	{ "commands", put_commands },
	{ "options", put_options },
	{ "environment", put_environment },
};

static bool next_line(struct text *rest, struct text *line)
{
	const char *newline = rest->n ? memchr(rest->s, '\n', rest->n) : NULL;

	if (!rest->n)
		return false;
	line->s = rest->s;
	line->n = newline ? (size_t)(newline - rest->s) : rest->n;
	rest->s += line->n + (newline != NULL);
	rest->n -= line->n + (newline != NULL);
	return true;
}

static bool is_line(const struct text *line, const char *s)
{
	return line->n == strlen(s) && memcmp(line->s, s, line->n) == 0;
}

static bool begins(const struct text *line, const char *s)
{
	return line->n >= strlen(s) && memcmp(line->s, s, strlen(s)) == 0;
}

static int wrong(struct page *p, const char *why)
{
	p->why = why;
	return -EINVAL;
}

/* First pass: the prose, by name. */
static int collect(struct page *p, struct text rest)
{
	struct more *open = NULL;
	struct text line;

	while (next_line(&rest, &line)) {
		p->line++;
		if (begins(&line, "@more ")) {
			if (open)
				return wrong(p, "@more before the last one's @end");
			if (p->nmore == MORE_MAX)
				return wrong(p, "more than 128 times @more");
			open = &p->more[p->nmore++];
			open->line = p->line;
			open->name = (struct text){ line.s + 6, line.n - 6 };
			open->prose = (struct text){ rest.s, 0 };
		} else if (is_line(&line, "@end")) {
			if (!open)
				return wrong(p, "@end without @more");
			open->prose.n = (size_t)(line.s - open->prose.s);
			open = NULL;
		}
	}
	return open ? wrong(p, "@more without @end") : 0;
}

static int put_section(struct page *p, const struct text *line)
{
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (strlen(sections[i].name) + 1 != line->n ||
		    memcmp(sections[i].name, line->s + 1, line->n - 1) != 0)
			continue;
		sections[i].put(p);
		return 0;
	}
	return wrong(p, "no such directive");
}

/* Second pass: everything in its place. */
static int write_page(struct page *p, struct text rest)
{
	bool inside = false;
	struct text line;
	int ret = 0;

	p->line = 0;
	while (!ret && next_line(&rest, &line)) {
		p->line++;
		if (begins(&line, "@more ") || is_line(&line, "@end"))
			inside = begins(&line, "@more ");
		else if (inside)
			continue;
		else if (begins(&line, "@"))
			ret = put_section(p, &line);
		else
			fprintf(p->out, "%.*s\n", (int)line.n, line.s);
	}
	return ret;
}

int options_man(FILE *out, const char *template, size_t n, unsigned *line, const char **why)
{
	struct page p = { .out = out };
	struct text all = { template, n };
	int ret = collect(&p, all);

	if (!ret)
		ret = write_page(&p, all);
	for (size_t i = 0; !ret && i < p.nmore; i++) {
		if (p.more[i].used)
			continue;
		p.line = p.more[i].line;
		ret = wrong(&p, "nothing in the table has this name");
	}
	*line = p.line;
	*why = p.why;
	return ret;
}
