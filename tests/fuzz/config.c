/* SPDX-License-Identifier: BSD-2-Clause */
/* A --config file of any bytes: read or refused in one line of printable text, and no secret of it is shown. */
#include <stdlib.h>
#include <string.h>

#include "options_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool is_about_webhook(const char *said)
{
	const char *s = strstr(said, "f:");

	if (!s)
		return false;
	s += 2 + strspn(s + 2, "0123456789");
	return strncmp(s, ": webhook:", 10) == 0 || strncmp(s, ": webhook ", 10) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char said[4096];

	for (const struct command *c = command_table; c->name; c++) {
		FILE *err = fmemopen(said, sizeof(said), "w");
		struct options o;
		struct config config = { .o = &o, .command = c, .path = "f", .err = err };
		int ret;

		if (!err)
			return 0;
		memset(said, 0, sizeof(said));
		options_init(&o);
		ret = config_text(&config, (const char *)data, n);
		fclose(err);
		if ((ret == 0) != (said[0] == '\0'))
			abort();
		if (ret && strchr(said, '\n') != said + strlen(said) - 1)
			abort();
		if (is_about_webhook(said) && strstr(said, "SECRET"))
			abort();
		if (o.config || o.pid || o.argv || o.file)
			abort();
		options_free(&o);
	}
	return 0;
}
