/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files without symbols that a string in them gives away: a row a family. What can be read is found by the row's function; else the
 * file is known for what it is, and why its plaintext is not seen.
 */
#include "elf_image.h"
#include "tls_code.h"

#define TEXT(s)                  \
	{                        \
		s, sizeof(s) - 1 \
	}
#define STRING(s)            \
	{                    \
		s, sizeof(s) \
	} /* with the NUL behind it */

#define RUSTLS_WHY "its functions have no C interface and are built into their callers"

static const struct row {
	const char *family;
	struct elf_text text;
	void (*find)(struct elf_image *im, struct tls_code *to); /* NULL: nothing can be found */
	const char *why;
} rows[] = {
	/* the end of a file's name that OpenSSL's errors carry (ERR_raise, include/openssl/err.h) */
	{ "openssl", STRING("ssl_lib.c"), tls_code_static,
	  "it has no symbols, and which of its functions read and write could not be proven" },
	/* the same of BoringSSL and AWS-LC (OPENSSL_PUT_ERROR, include/openssl/err.h) */
	{ "boringssl", STRING("ssl_lib.cc"), tls_code_boring,
	  "it has no symbols, and which of its functions read and write could not be proven" },
	/* file names in Rust's panics: .../rustls-0.23.12/src/conn.rs; .../rustls/src/conn.rs of a copy, or of a git checkout */
	{ "rustls", TEXT("/rustls-0."), NULL, RUSTLS_WHY },
	{ "rustls", TEXT("/rustls/src/"), NULL, RUSTLS_WHY },
	/* what every libjvm.so exports (JNI invocation API) */
	{ "java", STRING("JNI_GetCreatedJavaVMs"), NULL,
	  "JSSE is Java code, compiled while it runs, that no symbol tells" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void row_take(const struct row *r, struct elf_image *im, struct tls_code *to)
{
	to->family = r->family;
	to->how = r->why;
	if (r->find)
		r->find(im, to);
}

int tls_code_opaque(int fd, const char *name, struct tls_code *to)
{
	struct elf_text texts[ROWS];
	struct elf_image im;
	bool has[ROWS];
	int err = elf_image_open(&im, fd);

	(void)name;
	if (err)
		return err;
	for (size_t i = 0; i < ROWS; i++)
		texts[i] = rows[i].text;
	elf_image_search(&im, texts, ROWS, has);
	/* the first that can be read, else the first */
	for (size_t i = 0; i < ROWS && !to->n; i++)
		if (has[i] && (!to->family || rows[i].find))
			row_take(&rows[i], &im, to);
	if (!to->family && im.cut) {
		to->family = "unknown";
		to->how = "it is too large to be searched for TLS code (more than 512 MiB)";
	}
	elf_image_close(&im);
	return 0;
}
