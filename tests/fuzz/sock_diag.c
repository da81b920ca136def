/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of sock_diag; the first byte says which kind of dump they are of. */
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proc_rows.h"
#include "sock_diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct {
		int family, protocol;
	} kinds[] = { { AF_INET, IPPROTO_TCP }, { AF_INET6, IPPROTO_UDP }, { AF_UNIX, 0 } };
	struct diag_socket s;

	if (!n)
		return 0;
	if (sock_diag_parse(data + 1, n - 1, kinds[data[0] % 3].family, kinds[data[0] % 3].protocol,
	                    &s) &&
	    (s.path_n > DIAG_PATH_MAX || s.socket.h.size != sizeof(s.socket)))
		abort();
	return 0;
}
