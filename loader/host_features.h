/* SPDX-License-Identifier: BSD-2-Clause */
/* What kernel and privileges allow: a table of features, each tried, not concluded from a version. */
#ifndef HOST_FEATURES_H
#define HOST_FEATURES_H
#include <stdbool.h>
#include <stddef.h>

struct host_feature {
	const char *name;                   /* "kernel type information (BTF)" */
	const char *gives;                  /* what works with it */
	const char *without;                /* what happens without */
	bool (*probe)(char *why, size_t n); /* why: of a no, or a remark on a yes; "" none */
};

/* In the order they depend on each other; NULL name at the end. */
extern const struct host_feature host_features[];

#endif
