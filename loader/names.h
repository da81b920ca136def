/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The servers a process's environment and arguments name (EV_NAME): by them an address gets the name its user knows. Of a
 * value only scheme, host and port are ever taken, of a variable only its name: no user, password, path or query, and nothing at
 * all where it is not clear which part is the host.
 */
#ifndef NAMES_H
#define NAMES_H
#include <stdbool.h>
#include <stddef.h>
#include "source.h"

#define NAMES_MAX 64 /* told of a process */

/* Reads the process's memory and its root's /etc/hosts, either of which may hang (see apart.h). No name is looked up anywhere
 * else. EV_MISSING when there are more than NAMES_MAX. */
void names_take(uint32_t pid, event_fn emit, void *ctx);

/* ---- parsers ---- */

struct server_name {
	char scheme[16]; /* "" unknown */
	char host[256];
	char variable[64]; /* "" of an argument, or a name not fit to be shown */
	uint16_t port;
};

/* The first URL of a known scheme in a text, with a port that it says or its scheme has. Bytes used up to its authority's end,
 * 0: there is none. */
size_t names_url(const char *text, size_t n, struct server_name *to);

/*
 * All that a block of strings, separated by NUL, names. environment: they are NAME=value, and NAME_HOST goes with
 * NAME_PORT; else arguments. At most max, the same server once, unless variables tell other layers of it (base/layer.h). Returns how many there are, which may be more than max.
 */
size_t names_block(const char *text, size_t n, bool environment, struct server_name *to,
                   size_t max);

/* The address of a host by itself or by the text of a hosts(5) file: AF_INET, AF_INET6, or 0. */
int names_address(const char *host, const char *hosts, size_t n, uint8_t addr[16]);

#endif
