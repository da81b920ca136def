/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of endpoints by their names and ports alone: a table of lines, whose form endpoints.table tells. That file is
 * built in; users add lines of their own (--endpoints).
 */
#ifndef ENDPOINT_TABLE_H
#define ENDPOINT_TABLE_H
#include "base/bytes.h"

/* Longest line: two names of hosts, in fact. */
#define ENDPOINT_LINE_MAX 512
/* '*' in one pattern: more would make matching slow, and no name has so many parts that vary. */
#define ENDPOINT_STARS_MAX 4

enum endpoint_kind { ENDPOINT_LLM, ENDPOINT_STORAGE, ENDPOINT_HEARTBEAT };

struct endpoint_fact {
	enum endpoint_kind kind;
	char host[128]; /* pattern */
	uint16_t port;  /* 0 any */
	char name[16];  /* llm: provider, storage: system */
	char label[32]; /* storage: what the metrics call it, "" as the system */
	char path[128]; /* heartbeat */
};

/* 1: fact is filled. 0: nothing but blanks or a comment. -EINVAL with *why set to a static sentence. */
int endpoint_fact_parse(struct bytes line, struct endpoint_fact *fact, const char **why);

/* The first fact of that kind about this endpoint, NULL none. host: its name, addr: its address without the port; either may
 * be "". path: of heartbeats, else NULL. */
const struct endpoint_fact *endpoint_fact_find(const struct endpoint_fact *facts, size_t n,
                                               enum endpoint_kind kind, const char *host,
                                               const char *addr, uint16_t port, const char *path);

/* The built-in table. */
const struct endpoint_fact *endpoint_facts(size_t *n);

/* HOST, HOST:PORT, [V6]:PORT; the whole of n bytes. pattern: '*' and '?' are welcome. 0, or -EINVAL with *why set. */
int endpoint_host_parse(const char *spec, size_t n, bool pattern, char host[128], uint16_t *port,
                        const char **why);
#endif
