/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a record of a type is at least: for whoever reads records it did not write. In the library that loader and
 * userspace share. */
#ifndef BASE_EVENT_LEAST_H
#define BASE_EVENT_LEAST_H
#include <stddef.h>

/* Bytes before the variable part; 0: no such type. */
size_t event_least(unsigned type);

#endif
