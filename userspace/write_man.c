/* SPDX-License-Identifier: BSD-2-Clause */
/* Part of the build: writes docs/whystuck.1 on standard output, from the options' table and docs/whystuck.1.in. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "options_doc.h"

#define TEMPLATE_MAX (1 << 20)

int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
	static char template[TEMPLATE_MAX];
	const char *why;
	unsigned line;
	size_t n;

	if (!f) {
		fprintf(stderr, "write_man: cannot read %s: %s\n", argc == 2 ? argv[1] : "nothing",
		        argc == 2 ? strerror(errno) : "use write_man TEMPLATE >PAGE");
		return EXIT_FAILURE;
	}
	n = fread(template, 1, sizeof(template), f);
	fclose(f);
	if (options_man(stdout, template, n, &line, &why)) {
		fprintf(stderr, "write_man: %s:%u: %s\n", argv[1], line, why);
		return EXIT_FAILURE;
	}
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
