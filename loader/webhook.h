/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Posts a document to a URL, with libcurl where the build found it. Three tries: after network errors, 429
 * and 5xx, 1 s and 4 s apart; 5 s to connect, 10 s a try. http and https only; redirects are not followed,
 * for the document may be for nobody else. Of the URL only scheme and host are ever shown: path, query and
 * user may be secrets.
 */
#ifndef WEBHOOK_H
#define WEBHOOK_H
#include <stdbool.h>
#include <stddef.h>

/* Built with libcurl. */
bool webhook_available(void);
/*
 * Blocks for 35 s at most. The newest HTTP status, or -errno if there was none (-ENOSYS: built without
 * libcurl); text[n]: what was done, for people.
 */
int webhook_post(const char *url, const char *json, char *text, size_t n);
#endif
