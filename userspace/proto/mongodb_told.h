/* SPDX-License-Identifier: BSD-2-Clause */
/* What a document of MongoDB's tells: the command's name and what it does, how the reply says it went. Nothing of its data. */
#ifndef PROTO_MONGODB_TOLD_H
#define PROTO_MONGODB_TOLD_H
#include "proto/bson.h"

enum mongodb_command_flag {
	MONGODB_READ = 1,
	MONGODB_BEAT = 2,
	MONGODB_LOGIN = 4,
	MONGODB_UNSURE = 8,  /* whether it writes is not known from the name */
	MONGODB_STAGES = 16, /* one of its stages may write */
};

/* What one document told. */
struct mongodb_told {
	bool any;      /* its first element was seen */
	bool awaits;   /* maxAwaitTimeMS, or getMore with maxTimeMS */
	bool tailable; /* makes a cursor that waits */
	bool writes;   /* $out or $merge */
	bool has_ok, ok, write_failed;
	bool in_errors, in_concern, in_cursor, in_pipeline; /* where we are */
	int64_t cursor;                                     /* getMore: of which */
	int64_t made;                                       /* the reply's */
	int64_t code;
	char name[BSON_KEPT], code_name[BSON_KEPT];
};

/* Takes one element, for bson_start(); ctx: a struct mongodb_told, all 0 at first. */
void mongodb_told(void *ctx, const struct bson *b);
/* Whether there is such a command; *flags (enum mongodb_command_flag) is left alone if not. */
bool mongodb_command(const char *name, unsigned *flags);
#endif
