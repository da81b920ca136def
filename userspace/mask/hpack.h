/* SPDX-License-Identifier: BSD-2-Clause */
/* Masks header blocks of HTTP/2 (RFC 7541) in place: the fields stay as they are coded, the values of most are replaced. */
#ifndef MASK_HPACK_H
#define MASK_HPACK_H
#include "mask/mask.h"
#include "proto/hpack.h"

/* p: one whole block. h: decodes this direction; it is fed the block as it was. seen is shown each field as it was. False: that is
 * no header block, or one with too many fields; what it holds is for the caller to wipe. */
bool mask_headers(struct hpack *h, const uint8_t *key, char *p, size_t n, hpack_field *seen,
                  void *ctx);
#endif
