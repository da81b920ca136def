/* SPDX-License-Identifier: BSD-2-Clause */
/* whystuck: parses the command line and hands over to the command. */
#include <locale.h>
#include <string.h>

#include "command.h"

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct options *o);
	} commands[] = {
		{ "why", cmd_why },       { "watch", cmd_watch }, { "run", cmd_run },
		{ "replay", cmd_replay }, { "check", cmd_check },
	};
	struct options o;
	int status;

	setlocale(LC_CTYPE, "");
	status = options_parse(&o, argc, argv, stdout, stderr);
	if (status == OPTIONS_LEAVE)
		status = EXIT_OK;
	else if (status == 0)
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			if (strcmp(o.command, commands[i].name) == 0)
				status = commands[i].run(&o);
	options_free(&o);
	return status;
}
