/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NSS. Programs call PR_Read and PR_Write of NSPR, which serve plain files and sockets as well; only a descriptor with an SSL layer
 * leads from there to NSS, through the layer's table of functions (struct PRIOMethods, nspr/prio.h). That table is in libssl3 as it was
 * compiled (ssl_methods, lib/ssl/sslsock.c), and its functions are called for nothing but TLS.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf_image.h"
#include "elf_sym.h"
#include "tls_code.h"

#define DESC_LAYERED 4 /* PR_DESC_LAYERED: the table's first field */
/* Places in the table, the type being 0; all up to the last one hold a function. */
enum { CLOSE = 1, READ, WRITE, RECV = 17, SEND, TABLE_LAST = SEND };

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

/* Does a table of functions begin with this pointer? Its type is in front. */
static bool table_at(struct elf_image *im, const struct pointers *l, size_t i)
{
	const uint8_t *type = elf_image_at(im, l->p[i].at - 8, 8);
	const uint8_t layered[8] = { DESC_LAYERED };

	if (!type || memcmp(type, layered, sizeof(layered)) != 0 || l->n - i < TABLE_LAST)
		return false;
	for (size_t k = 1; k < TABLE_LAST; k++)
		if (l->p[i + k].at != l->p[i].at + 8 * k)
			return false;
	return true;
}

static void table_find(struct elf_image *im, struct pointers *l, struct tls_code *to)
{
	const struct pointer *table = NULL; /* its places from CLOSE on */

	elf_image_code_pointers(im, pointer_take, l);
	qsort(l->p, l->n, sizeof(*l->p), pointer_compare);
	to->family = "nss";
	for (size_t i = 0; i < l->n; i++) {
		if (!table_at(im, l, i))
			continue;
		if (table) {
			to->how =
				"it has several tables of functions, and which is the SSL layer's "
				"is not known";
			return;
		}
		table = &l->p[i];
	}
	if (!table) {
		to->how = "the table of functions of its SSL layer was not found";
		return;
	}
	to->how = "the table of functions of its SSL layer";
	tls_code_add(to, elf_image_offset(im, table[READ - CLOSE].addr), TLS_READ);
	tls_code_add(to, elf_image_offset(im, table[WRITE - CLOSE].addr), TLS_WRITE);
	tls_code_add(to, elf_image_offset(im, table[RECV - CLOSE].addr), TLS_READ_FLAGS);
	tls_code_add(to, elf_image_offset(im, table[SEND - CLOSE].addr), TLS_WRITE);
	tls_code_add(to, elf_image_offset(im, table[CLOSE - CLOSE].addr), TLS_FREE);
}

int tls_code_nss(int fd, const char *name, struct tls_code *to)
{
	static const char *const exports[] = { "SSL_ImportFD" };
	struct pointers l = { 0 };
	struct elf_image im;
	uint64_t offset;
	int err = elf_sym_offsets(fd, exports, 1, &offset);

	(void)name;
	if (err <= 0)
		return err;
	err = elf_image_open(&im, fd);
	if (err)
		return err;
	l.p = calloc(POINTERS_MAX, sizeof(*l.p));
	if (l.p)
		table_find(&im, &l, to);
	else
		err = -ENOMEM;
	free(l.p);
	elf_image_close(&im);
	return err;
}
