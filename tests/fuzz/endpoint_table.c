/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of the table: read or refused with a reason; what was read matches hosts in no time. The second line is the host. */
#include <stdlib.h>

#include "endpoint_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes rest = { (const char *)data, n }, line = bytes_to(&rest, '\n');
	struct endpoint_fact fact;
	const char *why = NULL;
	char host[64];
	size_t len = rest.n < sizeof(host) - 1 ? rest.n : sizeof(host) - 1;
	int ret;

	if (n == 0)
		return 0;
	ret = endpoint_fact_parse(line, &fact, &why);
	if ((ret < 0) != (why != NULL))
		abort();
	if (ret != 1)
		return 0;
	if (!memchr(fact.host, '\0', sizeof(fact.host)) || !fact.host[0])
		abort();
	if (len)
		memcpy(host, rest.p, len);
	host[len] = '\0';
	endpoint_fact_find(&fact, 1, fact.kind, host, "10.0.0.1", fact.port, NULL);
	return 0;
}
