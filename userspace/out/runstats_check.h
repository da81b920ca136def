/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a text one JSON object, as far as its structure tells? Numbers and UTF-8 are not looked at. */
#ifndef OUT_RUNSTATS_CHECK_H
#define OUT_RUNSTATS_CHECK_H
#include <stddef.h>

/* NULL, or a static reason why not. */
const char *runstats_check(const char *text, size_t n);
#endif
