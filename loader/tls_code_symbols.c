/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS libraries in C whose functions can be found by name: a row a function, of one family together. Their read and write functions
 * are called as enum tls_function says. Not hooked is what shows bytes that come again (SSL_peek) or takes them from a file.
 */
#include <string.h>

#include "elf_sym.h"
#include "tls_code.h"

static const struct row {
	const char *family;
	const char *name;
	enum tls_function function;
} rows[] = {
	/* OpenSSL, LibreSSL, BoringSSL, AWS-LC: include/openssl/ssl.h */
	{ "openssl", "SSL_read", TLS_READ },
	{ "openssl", "SSL_read_ex", TLS_READ_EX },
	{ "openssl", "SSL_write", TLS_WRITE },
	{ "openssl", "SSL_write_ex", TLS_WRITE_EX },
	{ "openssl", "SSL_write_ex2", TLS_WRITE_EX2 },
	{ "openssl", "SSL_free", TLS_FREE },
	{ "openssl", "SSL_ctrl", TLS_HOST_CTRL }, /* SSL_set_tlsext_host_name() is a macro */
	/* GnuTLS: gnutls/gnutls.h. ssize_t, which no TLS record makes larger than int; errors are negative. */
	{ "gnutls", "gnutls_record_recv", TLS_READ },
	{ "gnutls", "gnutls_record_send", TLS_WRITE },
	{ "gnutls", "gnutls_record_send2", TLS_WRITE },
	{ "gnutls", "gnutls_deinit", TLS_FREE },
	{ "gnutls", "gnutls_server_name_set", TLS_HOST },
	/* wolfSSL: wolfssl/ssl.h */
	{ "wolfssl", "wolfSSL_read", TLS_READ },
	{ "wolfssl", "wolfSSL_write", TLS_WRITE },
	{ "wolfssl", "wolfSSL_free", TLS_FREE },
	{ "wolfssl", "wolfSSL_UseSNI", TLS_HOST },
	/* Mbed TLS: mbedtls/ssl.h */
	{ "mbedtls", "mbedtls_ssl_read", TLS_READ },
	{ "mbedtls", "mbedtls_ssl_write", TLS_WRITE },
	{ "mbedtls", "mbedtls_ssl_session_reset", TLS_FREE },
	{ "mbedtls", "mbedtls_ssl_free", TLS_FREE },
	/* s2n-tls: api/s2n.h */
	{ "s2n", "s2n_recv", TLS_READ },
	{ "s2n", "s2n_send", TLS_WRITE },
	{ "s2n", "s2n_connection_wipe", TLS_FREE },
	{ "s2n", "s2n_connection_free", TLS_FREE },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* The family of which most is there; NULL: none that both reads and writes. */
static const char *family_choose(const uint64_t *offsets)
{
	const char *best = NULL;
	unsigned most = 0;

	for (size_t i = 0; i < ROWS;) {
		const char *family = rows[i].family;
		bool reads = false, writes = false;
		unsigned n = 0;

		for (; i < ROWS && strcmp(rows[i].family, family) == 0; i++) {
			if (!offsets[i])
				continue;
			n++;
			reads |= tls_function_reads(rows[i].function);
			writes |= tls_function_writes(rows[i].function);
		}
		if (reads && writes && n > most) {
			most = n;
			best = family;
		}
	}
	return best;
}

int tls_code_symbols(int fd, const char *name, struct tls_code *to)
{
	const char *names[ROWS];
	uint64_t offsets[ROWS];
	int found;

	(void)name;
	for (size_t i = 0; i < ROWS; i++)
		names[i] = rows[i].name;
	found = elf_sym_offsets(fd, names, ROWS, offsets);
	if (found <= 0)
		return found;
	to->family = family_choose(offsets);
	to->how = "symbols";
	/* all that is there: a file may hold several libraries */
	for (size_t i = 0; i < ROWS && to->family; i++)
		if (offsets[i])
			tls_code_add(to, offsets[i], rows[i].function);
	return 0;
}
