/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Endpoints: which class a connection's calls have and what people call its other end. From the user's options, then
 * the host name (Host header, SNI), then the protocol and port. Knows no sockets, only names and numbers.
 */
#ifndef ENDPOINT_H
#define ENDPOINT_H
#include "call.h"
#include "endpoint_table.h"

/* The user's lines of the table; more are refused. */
#define ENDPOINT_FACTS_MAX 512

struct endpoint {
	enum call_class class;
	char label[32]; /* storage: adapter label, else the system's name; llm: provider; "" none */
	char system[16]; /* storage: "redis", "postgres", ...; else "" */
	char host[128];  /* best name known, "" none */
	char addr[128];  /* address:port or path of a unix socket */
	char name
		[140]; /* host:port (port left out for 443 and 80), else addr: what people are shown */
	const char *how; /* static sentence: what told it where its address did not; else NULL */
	bool unsure;     /* how: no fact, but the one thing that fits */
};

struct endpoint_rules;

struct endpoint_rules *endpoint_rules_new(void);
void endpoint_rules_free(struct endpoint_rules *r);

/* "HOST[:PORT]", "NAME=HOST[:PORT]", "HOST/PATH". 0, or -EINVAL with *why set to a static sentence. */
int endpoint_rules_add_llm(struct endpoint_rules *r, const char *spec, const char **why);
int endpoint_rules_add_storage(struct endpoint_rules *r, const char *spec, const char **why);
int endpoint_rules_add_heartbeat(struct endpoint_rules *r, const char *spec, const char **why);
/* A variable of the target names a server: host is what it says, addr its address ("" not known). The layer that the variable's
 * name tells (base/layer.h) labels the store there, unless another variable tells another one. True: names changed. */
bool endpoint_rules_add_variable(struct endpoint_rules *r, const char *host, const char *addr,
                                 uint16_t port, const char *variable);
struct ev_name;
/* The same of an event. */
bool endpoint_rules_add_name(struct endpoint_rules *r, const struct ev_name *name);
/* What variables said, for people: calls fn for each server that they give a layer, and returns how many those are; label is
 * "" where they disagree. */
size_t endpoint_rules_each_layer(const struct endpoint_rules *r,
                                 void (*fn)(void *ctx, const char *host, uint16_t port,
                                            const char *label),
                                 void *ctx);
/* A line of the table, as endpoint_table.h reads it. */
int endpoint_rules_add_fact(struct endpoint_rules *r, const char *line, const char **why);

/* Fills e's class, label, system and name from what is known: e->host and e->addr are set by the caller, port and proto
 * ("http", "redis", ..., "" unknown) tell the rest, and store, the system that an exchange showed ("" none did). */
void endpoint_name(const struct endpoint_rules *r, struct endpoint *e, uint16_t port,
                   const char *proto, const char *store);
/* What the user calls the provider there, NULL nothing. */
const char *endpoint_provider(const struct endpoint_rules *r, const struct endpoint *e,
                              uint16_t port);

/* The class of one call at e: LLM paths on unknown hosts are LLM calls, health checks are heartbeats. Sets c->class. */
void endpoint_classify(const struct endpoint_rules *r, const struct endpoint *e, struct call *c);
#endif
