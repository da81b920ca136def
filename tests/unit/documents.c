/* SPDX-License-Identifier: BSD-2-Clause */
/* Documents made of the table: the man page has every row once, its template is checked; scripts name every row. */
#include "test.h"

#include <errno.h>

#include "options_doc.h"
#include "options_table.h"

static char page[1 << 17];

static int man(const char *template, unsigned *line, const char **why)
{
	FILE *out = fmemopen(page, sizeof(page), "w");
	size_t n = strlen(template);
	char *bytes = guarded(template, n);
	int ret = options_man(out, bytes, n, line, why);

	fclose(out);
	guarded_free(bytes, n);
	return ret;
}

static int count(const char *what)
{
	int n = 0;

	for (const char *s = page; (s = strstr(s, what)) != NULL; s++)
		n++;
	return n;
}

static const struct {
	const char *template;
	unsigned line;
	const char *why;
} errors[] = {
	{ "a\n@nothing\n", 2, "no such directive" },
	{ "@options x\n", 1, "no such directive" },
	{ "@end\n", 1, "@end without @more" },
	{ "@more why\nx", 2, "@more without @end" },
	{ "@more why\n@more run\n@end\n", 2, "before the last one's @end" },
	{ "@options\n@more --nothing\nx\n@end\n", 2, "nothing in the table has this name" },
	{ "@commands\n@more --all\nx\n@end\n", 2, "nothing in the table has this name" },
};

static void test_man(void)
{
	unsigned line;
	const char *why;

	TEST("the page has each command, option and variable once");
	CHECK(man(".Dd x\n@synopsis\n@commands\n@options\n@environment\n.Sh END", &line, &why) ==
	      0);
	CHECK(strncmp(page, ".Dd x\n.Nm\n", 10) == 0 && strstr(page, ".El\n.Sh END\n"));
	for (const struct option *opt = option_table; opt->name; opt++) {
		char item[64], letter[16] = "";

		if (opt->letter)
			snprintf(letter, sizeof(letter), "Fl %c , ", opt->letter);
		snprintf(item, sizeof(item), "\n.It %sFl -%s%s", letter, opt->name,
		         !opt->arg           ? "\n"
		         : opt->arg_optional ? " Ns Op = Ns Ar"
		                             : " Ar");
		CHECK(count(item) == 1);
	}
	for (const struct option *var = option_environment; var->name; var++) {
		char item[64];

		snprintf(item, sizeof(item), ".It Ev %s\n", var->name);
		CHECK(count(item) == 1);
	}
	CHECK(count(".Nm\n.") == 5 && strstr(page, ".Oo Cm why Oc Op Ar options\n.Ar PID\n"));
	CHECK(strstr(page, ".It Cm run Fl - Ar CMD Oo Ar ARG ... Oc\n"));
	CHECK(count(".Ss watch, run and replay\n") == 1 && count(".Ss All commands\n") == 1);
	TEST("no line of it is taken for a request by accident");
	for (char *s = strtok(page, "\n"); s; s = strtok(NULL, "\n"))
		CHECK(*s != '\'' && (*s != '.' || (s[1] >= 'A' && s[1] <= 'Z')));
	TEST("prose of the template stands behind what the table says");
	CHECK(man("@more --total\nMore of it.\n@end\n@options\n", &line, &why) == 0);
	CHECK(strstr(page, "and the time left.\nMore of it.\n.It Fl -calls\n"));
	CHECK(strncmp(page, ".Ss why\n", 8) == 0);
	TEST("what is wrong in a template is told with its line");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		int ret = man(errors[i].template, &line, &why);

		if (ret != -EINVAL || line != errors[i].line)
			printf("# %s: %d %u\n", errors[i].template, ret, line);
		CHECK(ret == -EINVAL && line == errors[i].line && strstr(why, errors[i].why));
	}
}

static void test_completion(void)
{
	TEST("each script names each command, option and choice");
	for (size_t i = 0; options_shell(i); i++) {
		FILE *out = fmemopen(page, sizeof(page), "w");

		CHECK(options_completion(out, options_shell(i)) == 0);
		fclose(out);
		for (const struct command *c = command_table; c->name; c++)
			CHECK(count(c->name) > 0);
		for (const struct option *opt = option_table; opt->name; opt++) {
			bool ok = count(opt->name) > 0;

			for (size_t k = 0; opt->choice && opt->choice(k); k++)
				ok &= count(opt->choice(k)) > 0 || strchr(opt->choice(k), ':');
			CHECK(ok);
		}
	}
	CHECK(options_completion(stdout, "ksh") == -EINVAL && options_completion(stdout, "") < 0);
}

int main(void)
{
	test_man();
	test_completion();
	return DONE();
}
