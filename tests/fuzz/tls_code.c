/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that a target maps: whatever they are, no place outside of them is to be probed. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf_image.h"
#include "tls_code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct tls_code *c, size_t n)
{
	if (c->n > TLS_PLACES_MAX || (c->n && !c->family) || (c->family && !c->how))
		abort();
	for (size_t i = 0; i < c->n; i++)
		if (c->places[i].offset >= n || c->places[i].program >= TLS_PROGRAMS)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	struct tls_code c;
	struct elf_image im;

	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	if (tls_code_find(fd, "file", &c) == 0)
		check(&c, n);
	if (elf_image_open(&im, fd) == 0) {
		memset(&c, 0, sizeof(c));
		if (tls_code_nss_tables(&im, &c) == 0)
			check(&c, n);
		elf_image_close(&im);
	}
	close(fd);
	return 0;
}
