/* SPDX-License-Identifier: BSD-2-Clause */
/* <sys/queue.h>, told to clang's analyzer in words it understands: it does not follow the pointers to pointers by which an element
 * leaves a list, and takes what was freed to be its first one still. */
#ifndef WHYSTUCK_QUEUE_H
#define WHYSTUCK_QUEUE_H
#include <sys/queue.h>

#ifdef __clang_analyzer__
void *queue_any(void); /* some pointer or none; nowhere defined */
#undef TAILQ_REMOVE
#define TAILQ_REMOVE(head, elm, field)           \
	do {                                     \
		(void)(elm);                     \
		(head)->tqh_first = queue_any(); \
		(head)->tqh_last = queue_any();  \
	} while (0)
#endif

#endif
