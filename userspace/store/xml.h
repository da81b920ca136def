/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the XML of S3 tells of errors (docs.aws.amazon.com/AmazonS3, Error Responses): <Error> as the root, which may follow
 * status 200, or inside <DeleteResult>; in it <Code>. Takes any split; a hole ends it.
 */
#ifndef STORE_XML_H
#define STORE_XML_H
#include "store/rule.h"

#define XML_NAME_MAX 32

struct xml {
	bool bad; /* no XML, or a hole went through it */
	bool result; /* the root is one that a request is answered with when it, or some of it, went well */
	bool done; /* the root element is closed */
	/* the rest is the reader's own */
	uint8_t state;
	unsigned depth;       /* elements open */
	unsigned error_depth; /* where <Error> is open, 0 none */
	bool deleting;        /* the root is <DeleteResult> */
	bool in_code, closing, empty;
	size_t nname, ncode;
	char name[XML_NAME_MAX];
	char code[VERDICT_KIND_MAX];
};

void xml_feed(struct xml *x, struct bytes b, struct verdict *v);
void xml_gap(struct xml *x);
#endif
