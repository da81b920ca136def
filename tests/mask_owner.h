/* SPDX-License-Identifier: BSD-2-Clause */
/* Who owns a masker in a test: a key, and no recording beneath. */
#ifndef MASK_OWNER_H
#define MASK_OWNER_H
#include "mask/mask.h"

static inline int mask_not_recorded(struct mask_owner *o, int dir, struct bytes *b)
{
	(void)o, (void)dir, (void)b;
	return -1;
}

static inline char *mask_no_block(struct mask_owner *o, int dir, struct bytes b, bool more)
{
	(void)o, (void)dir, (void)b, (void)more;
	return NULL;
}

static inline void mask_no_cut(struct mask_owner *o, const char *p)
{
	(void)o, (void)p;
}

static struct mask_owner mask_owner = { "0123456789abcde", mask_not_recorded, mask_no_block,
	                                mask_no_cut };
#endif
