/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a head of HTTP/1 or HTTP/2 stays: target.c, head.c. */
#ifndef MASK_HEAD_H
#define MASK_HEAD_H
#include "mask/mask.h"

struct mask_target {
	const uint8_t *key;
	struct mask_word *word;
	bool connect; /* the request is a CONNECT: its target is an authority */
	uint8_t at;
	int slashes;
	bool keep; /* the parameter's value stays */
};

/* key and word stay the caller's and must outlive t. */
void mask_target_start(struct mask_target *t, const uint8_t *key, struct mask_word *word,
                       bool connect);
void mask_target_byte(struct mask_target *t, char *p);
void mask_target_end(struct mask_target *t);

/* Is the value of a header field of this name, in lower case, kept? */
bool mask_header_kept(struct bytes name);
/* "AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, ...": whether it is S3's is told by the scope, from the '/'
 * to the ','. True: c, the next byte of the value, belongs to that, or to what stands before KEY. *at: 0 at its beginning. */
bool mask_signature_kept(size_t *at, char c);
#endif
