/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS code we know when we see it, but cannot read the plaintext of: a row a family, with a string it holds and why. */
#include <string.h>

#include "elf_image.h"
#include "tls_code.h"

static const struct {
	const char *family;
	const char *text; /* in its constants */
	const char *why;
} rows[] = {
	/* file names that BoringSSL's errors carry (OPENSSL_PUT_ERROR, include/openssl/err.h); they name no function */
	{ "boringssl", "ssl/ssl_lib.cc",
	  "it has no symbols, and its code names source files but no functions, so which of them "
	  "read "
	  "and write cannot be proven" },
	/* file names in Rust's panics: .../rustls-0.23.12/src/conn.rs */
	{ "rustls", "/rustls-0.",
	  "its functions have no C interface and are built into their callers" },
	/* what every libjvm.so exports (JNI invocation API) */
	{ "java", "JNI_GetCreatedJavaVMs",
	  "JSSE is Java code, compiled while it runs, that no symbol tells" },
};

int tls_code_opaque(int fd, const char *name, struct tls_code *to)
{
	struct elf_image im;
	int err = elf_image_open(&im, fd);

	(void)name;
	if (err)
		return err;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !to->family; i++) {
		if (!elf_image_find(&im, rows[i].text, strlen(rows[i].text), 0))
			continue;
		to->family = rows[i].family;
		to->how = rows[i].why;
	}
	if (!to->family && im.cut) {
		to->family = "unknown";
		to->how = "it is too large to be searched for TLS code (more than 512 MiB)";
	}
	elf_image_close(&im);
	return 0;
}
