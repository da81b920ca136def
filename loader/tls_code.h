/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS code in a file: which instructions are probed to see its plaintext. One finder per family of libraries, a table of
 * them in tls_code.c; what a finder needs to know of a kernel program is its place in enum tls_program.
 */
#ifndef TLS_CODE_H
#define TLS_CODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "event.h"
#include "state.h"

struct elf_image;

/* The kernel programs that TLS code can run into. */
enum tls_program {
	TLS_AT_ENTRY,  /* tls_enter: at a C function's first instruction */
	TLS_AT_RETURN, /* tls_exit: at a C function's return (uretprobe) */
	GO_AT_ENTRY,   /* go_enter: at a Go function's first instruction */
	GO_AT_RET,     /* go_exit: on a Go function's RET instruction, never a uretprobe */
	TLS_PROGRAMS
};

struct tls_place {
	uint64_t offset; /* in the file, of the instruction */
	uint64_t cookie; /* enum tls_function */
	enum tls_program program;
};

/* Go functions have many RET instructions; the largest seen had 30. */
#define TLS_PLACES_MAX 256

struct tls_code {
	const char *
		family; /* "openssl", "boringssl", "gnutls", "nss", "go", "rustls", ...; NULL: no TLS code */
	const char *
		how; /* static: what told the places ("symbols", "names its code refers to", ...), or why n is 0 */
	unsigned functions; /* found */
	size_t n;
	struct tls_place places[TLS_PLACES_MAX];
};

bool tls_function_reads(enum tls_function function);
bool tls_function_writes(enum tls_function function);
/* Adds a C function: its entry, its return, or both, as it needs. offset 0: nothing is added. */
void tls_code_add(struct tls_code *to, uint64_t offset, enum tls_function function);

/* Looks at the open file fd; name: its path, a hint only. 0, or -errno: the file cannot be read or is no ELF file of this
 * machine's kind. The file is not trusted: it may be cut, or lie. */
int tls_code_find(int fd, const char *name, struct tls_code *to);

/* The finders: 0 whether or not anything was found (to->family NULL: not this family), or -errno. */
int tls_code_symbols(int fd, const char *name, struct tls_code *to);
int tls_code_nss(int fd, const char *name, struct tls_code *to);
int tls_code_opaque(int fd, const char *name, struct tls_code *to);
int tls_code_go(int fd, const char *name, struct tls_code *to);

/* Part of tls_code_opaque(): OpenSSL without symbols. Fills in `to` only what can be proven. */
void tls_code_static(struct elf_image *im, struct tls_code *to);
/* The same for BoringSSL and AWS-LC. */
void tls_code_boring(struct elf_image *im, struct tls_code *to);
/* Part of tls_code_nss(): the tables of functions. 0 or -ENOMEM. */
int tls_code_nss_tables(struct elf_image *im, struct tls_code *to);

#endif
