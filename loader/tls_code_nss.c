/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NSS. Programs call PR_Read and PR_Write of NSPR, which serve plain files and sockets as well. Only a descriptor with an SSL layer
 * leads to NSS, and there through one of two tables of functions (struct sslSocketOpsStr, lib/ssl/sslimpl.h): ssl_secure_ops, whose
 * functions are called for nothing but TLS, and ssl_default_ops for what is no TLS yet or ever. They are found by their shape, and told
 * apart by that read leads to recv in the first alone (lib/ssl/sslsecur.c, ssldef.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf_image.h"
#include "elf_sym.h"
#include "tls_code.h"

/* Places in a table; there is none in ACCEPT. */
enum {
	CONNECT,
	ACCEPT,
	BIND,
	LISTEN,
	SHUTDOWN,
	CLOSE,
	RECV,
	SEND,
	READ,
	WRITE,
	PEER,
	NAME,
	PLACES
};

#define TABLES_MAX 16          /* of that shape; libssl3 has two */
#define POINTERS_MAX (1 << 16) /* to code, that are looked at; libssl3 has about 500 */

struct pointer {
	uint64_t at, addr;
};

struct pointers {
	struct pointer *p;
	size_t n;
};

static bool pointer_take(void *ctx, uint64_t at, uint64_t addr)
{
	struct pointers *l = ctx;

	l->p[l->n++] = (struct pointer){ at, addr };
	return l->n < POINTERS_MAX;
}

static int pointer_compare(const void *a, const void *b)
{
	const struct pointer *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* Does a table begin with this pointer? to: its functions. */
static bool table_read(const struct pointers *l, size_t i, uint64_t *to)
{
	if (l->n - i < PLACES - 1)
		return false;
	for (size_t k = 0; k < PLACES; k++) {
		/* ACCEPT's is missing in the list */
		const struct pointer *p = &l->p[k > ACCEPT ? i + k - 1 : i + k];

		to[k] = 0;
		if (k == ACCEPT)
			continue;
		if (p->at != l->p[i].at + 8 * k)
			return false;
		to[k] = p->addr;
	}
	return true;
}

/* What both tables have in common. */
static bool related(const uint64_t *a, const uint64_t *b)
{
	return a[BIND] == b[BIND] && a[LISTEN] == b[LISTEN] && a[PEER] == b[PEER] &&
	       a[NAME] == b[NAME] && a[RECV] != b[RECV] && a[SEND] != b[SEND];
}

static bool secure(struct elf_image *im, const uint64_t *t)
{
	return elf_image_leads(im, t[READ], t[RECV]) && elf_image_leads(im, t[WRITE], t[SEND]);
}

static const uint64_t *table_choose(struct elf_image *im, uint64_t (*tables)[PLACES], size_t n)
{
	const uint64_t *found = NULL;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			if (!related(tables[i], tables[k]) || !secure(im, tables[i]) ||
			    secure(im, tables[k]))
				continue;
			if (found && found != tables[i])
				return NULL;
			found = tables[i];
		}
	return found;
}

static void table_hook(struct elf_image *im, struct pointers *l, struct tls_code *to)
{
	uint64_t tables[TABLES_MAX][PLACES];
	const uint64_t *t;
	size_t n = 0;

	elf_image_code_pointers(im, pointer_take, l);
	qsort(l->p, l->n, sizeof(*l->p), pointer_compare);
	for (size_t i = 0; i < l->n && n < TABLES_MAX; i++)
		n += table_read(l, i, tables[n]);
	t = table_choose(im, tables, n);
	to->family = "nss";
	to->how = "the table of functions of its SSL layer";
	if (!t) {
		to->how = "which functions its SSL layer reads and writes with could not be proven";
		return;
	}
	/* its read and write end in recv and send */
	tls_code_add(to, elf_image_offset(im, t[RECV]), TLS_READ_FLAGS);
	tls_code_add(to, elf_image_offset(im, t[SEND]), TLS_WRITE);
	tls_code_add(to, elf_image_offset(im, t[CLOSE]), TLS_FREE);
}

int tls_code_nss_tables(struct elf_image *im, struct tls_code *to)
{
	struct pointers l = { .p = calloc(POINTERS_MAX, sizeof(*l.p)) };

	if (!l.p)
		return -ENOMEM;
	table_hook(im, &l, to);
	free(l.p);
	return 0;
}

int tls_code_nss(int fd, const char *name, struct tls_code *to)
{
	static const char *const exports[] = { "SSL_ImportFD" };
	struct elf_image im;
	uint64_t offset;
	int err = elf_sym_offsets(fd, exports, 1, &offset);

	(void)name;
	if (err <= 0)
		return err;
	err = elf_image_open(&im, fd);
	if (err)
		return err;
	err = tls_code_nss_tables(&im, to);
	elf_image_close(&im);
	return err;
}
