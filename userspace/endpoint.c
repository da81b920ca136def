/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Naming order: the user's options, the user's lines of the table, the LLM providers' host names, then what the exchange
 * shows, protocol, and what the built-in table (endpoints.table) knows of host and port.
 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/layer.h"
#include "event.h"
#include "evidence.h"
#include "llm/llm.h"

#define LAYERS_MAX 64 /* servers that variables give a layer; more go without */
#define RULES_MAX 64  /* options of each kind; more are refused */

struct rule {
	char label[32]; /* storage only */
	char host[128];
	char path[128]; /* heartbeat only */
	uint16_t port;  /* 0 any */
};

struct rules {
	struct rule rule[RULES_MAX];
	size_t n;
};

/* A server that a variable of the target gives a layer. */
struct layer {
	char label[3]; /* "L3"; "": variables disagree */
	char host[128];
	char addr[64]; /* "" not known */
	uint16_t port;
};

struct endpoint_rules {
	struct rules llm, storage, heartbeat;
	struct layer layers[LAYERS_MAX];
	size_t nlayers;
	struct endpoint_fact *facts; /* the user's, nfacts */
	size_t nfacts;
};

struct endpoint_rules *endpoint_rules_new(void)
{
	return calloc(1, sizeof(struct endpoint_rules));
}

void endpoint_rules_free(struct endpoint_rules *r)
{
	if (r)
		free(r->facts);
	free(r);
}

static int host_parse(const char *spec, size_t n, struct rule *r, const char **why)
{
	return endpoint_host_parse(spec, n, false, r->host, &r->port, why);
}

static int rule_add(struct rules *rs, const struct rule *r, const char **why)
{
	if (rs->n == RULES_MAX) {
		*why = "more than 64 endpoints of this kind";
		return -EINVAL;
	}
	rs->rule[rs->n++] = *r;
	return 0;
}

int endpoint_rules_add_llm(struct endpoint_rules *r, const char *spec, const char **why)
{
	struct rule rule = { 0 };
	int err = host_parse(spec, strlen(spec), &rule, why);

	return err ? err : rule_add(&r->llm, &rule, why);
}

int endpoint_rules_add_storage(struct endpoint_rules *r, const char *spec, const char **why)
{
	const char *eq = strchr(spec, '=');
	struct rule rule = { 0 };
	int err;

	if (!eq || eq == spec || (size_t)(eq - spec) >= sizeof(rule.label)) {
		*why = "it is written NAME=HOST or NAME=HOST:PORT, for example L1=127.0.0.1:6379";
		return -EINVAL;
	}
	for (const char *p = spec; p < eq; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p)) {
			*why = "NAME has letters, digits, dots, hyphens and underscores only";
			return -EINVAL;
		}
	}
	memcpy(rule.label, spec, (size_t)(eq - spec));
	err = host_parse(eq + 1, strlen(eq + 1), &rule, why);
	return err ? err : rule_add(&r->storage, &rule, why);
}

int endpoint_rules_add_heartbeat(struct endpoint_rules *r, const char *spec, const char **why)
{
	const char *slash = strchr(spec, '/');
	struct rule rule = { 0 };
	int err;

	if (!slash || strlen(slash) >= sizeof(rule.path)) {
		*why = "it is written HOST/PATH, for example 127.0.0.1:8000/health";
		return -EINVAL;
	}
	snprintf(rule.path, sizeof(rule.path), "%s", slash);
	err = host_parse(spec, (size_t)(slash - spec), &rule, why);
	return err ? err : rule_add(&r->heartbeat, &rule, why);
}

int endpoint_rules_add_fact(struct endpoint_rules *r, const char *line, const char **why)
{
	struct endpoint_fact fact, *more;
	int err = endpoint_fact_parse(bytes_of(line), &fact, why);

	if (err <= 0)
		return err;
	if (r->nfacts == ENDPOINT_FACTS_MAX) {
		*why = "more than 512 lines";
		return -EINVAL;
	}
	more = realloc(r->facts, (r->nfacts + 1) * sizeof(*more));
	if (!more) {
		*why = "out of memory";
		return -ENOMEM;
	}
	more[r->nfacts++] = fact;
	r->facts = more;
	return 0;
}

static bool same_server(const struct layer *l, const char *host, const char *addr, uint16_t port)
{
	return l->port == port &&
	       (strcasecmp(l->host, host) == 0 || (*addr && strcmp(l->addr, addr) == 0));
}

bool endpoint_rules_add_variable(struct endpoint_rules *r, const char *host, const char *addr,
                                 uint16_t port, const char *variable)
{
	char layer = layer_of(bytes_of(variable));
	struct layer new = { .label = { 'L', layer, '\0' }, .port = port };

	if (!layer)
		return false;
	for (size_t i = 0; i < r->nlayers; i++) {
		struct layer *l = &r->layers[i];

		if (!same_server(l, host, addr, port))
			continue;
		if (!l->label[0] || strcmp(l->label, new.label) == 0)
			return false;
		l->label[0] = '\0';
		return true;
	}
	if (r->nlayers == LAYERS_MAX)
		return false;
	snprintf(new.host, sizeof(new.host), "%s", host);
	snprintf(new.addr, sizeof(new.addr), "%s", addr);
	r->layers[r->nlayers++] = new;
	return true;
}

bool endpoint_rules_add_name(struct endpoint_rules *r, const struct ev_name *name)
{
	struct name_text text = name_text(name);
	char addr[INET6_ADDRSTRLEN] = "", host[128], variable[80];

	if (name->family == AF_INET || name->family == AF_INET6)
		inet_ntop(name->family, name->addr, addr, sizeof(addr));
	snprintf(host, sizeof(host), "%.*s", (int)(text.host.n < 127 ? text.host.n : 127),
	         text.host.p);
	snprintf(variable, sizeof(variable), "%.*s",
	         (int)(text.variable.n < 79 ? text.variable.n : 79), text.variable.p);
	return endpoint_rules_add_variable(r, host, addr, name->port, variable);
}

size_t endpoint_rules_each_layer(const struct endpoint_rules *r,
                                 void (*fn)(void *ctx, const char *host, uint16_t port,
                                            const char *label),
                                 void *ctx)
{
	for (size_t i = 0; i < r->nlayers; i++)
		fn(ctx, r->layers[i].host, r->layers[i].port, r->layers[i].label);
	return r->nlayers;
}

/* The address without its port; "[::1]:80" gives "::1". */
static void addr_host(const char *addr, char *to, size_t n)
{
	const char *end = strrchr(addr, ':');

	if (*addr == '[')
		addr++;
	if (end && end > addr && end[-1] == ']')
		end--;
	snprintf(to, n, "%.*s", end ? (int)(end - addr) : (int)strlen(addr), addr);
}

static bool is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
	       strcasecmp(host, "localhost") == 0;
}

static bool rule_matches(const struct rule *r, const struct endpoint *e, uint16_t port)
{
	char addr[128];

	if (r->port && r->port != port)
		return false;
	addr_host(e->addr, addr, sizeof(addr));
	if (strcasecmp(r->host, e->host) == 0 || strcmp(r->host, addr) == 0)
		return true;
	return strcasecmp(r->host, "localhost") == 0 && is_loopback(addr);
}

static const struct rule *rule_find(const struct rules *rs, const struct endpoint *e, uint16_t port)
{
	for (size_t i = 0; i < rs->n; i++)
		if (rule_matches(&rs->rule[i], e, port))
			return &rs->rule[i];
	return NULL;
}

/* Of the user's lines, then of those built in. */
static const struct endpoint_fact *fact_find(const struct endpoint_rules *r, bool users,
                                             enum endpoint_kind kind, const struct endpoint *e,
                                             uint16_t port, const char *path)
{
	const struct endpoint_fact *facts = r->facts;
	size_t n = r->nfacts;
	char addr[128];

	if (!users)
		facts = endpoint_facts(&n);
	addr_host(e->addr, addr, sizeof(addr));
	return endpoint_fact_find(facts, n, kind, e->host, addr, port, path);
}

/* Stores by the protocol they speak. */
static const struct {
	const char *proto, *system;
} store_protocols[] = {
	{ "redis", "redis" },     { "postgres", "postgres" }, { "mysql", "mysql" },
	{ "mongodb", "mongodb" }, { "bolt", "neo4j" },        { "memcached", "memcached" },
};

/* What the bytes show goes before what the name and the port let expect. */
static const char *store_system(const struct endpoint_rules *r, const struct endpoint *e,
                                uint16_t port, const char *proto, const char *store)
{
	const struct endpoint_fact *fact;

	if (*store)
		return store;
	for (size_t i = 0; i < sizeof(store_protocols) / sizeof(store_protocols[0]); i++)
		if (strcmp(store_protocols[i].proto, proto) == 0)
			return store_protocols[i].system;
	fact = fact_find(r, true, ENDPOINT_STORAGE, e, port, NULL);
	if (!fact)
		fact = fact_find(r, false, ENDPOINT_STORAGE, e, port, NULL);
	return fact ? fact->name : NULL;
}

/* What the target's variables call the store, "" nothing. */
static const char *layer_label(const struct endpoint_rules *r, const struct endpoint *e,
                               uint16_t port)
{
	char addr[128];

	addr_host(e->addr, addr, sizeof(addr));
	for (size_t i = 0; i < r->nlayers; i++) {
		const struct layer *l = &r->layers[i];

		if (l->port != port)
			continue;
		if ((*e->host && strcasecmp(l->host, e->host) == 0) || strcmp(l->host, addr) == 0 ||
		    (*l->addr && strcmp(l->addr, addr) == 0) ||
		    (strcasecmp(l->host, "localhost") == 0 && is_loopback(addr)))
			return l->label;
	}
	return "";
}

static void set_name(struct endpoint *e, uint16_t port)
{
	if (!e->host[0])
		snprintf(e->name, sizeof(e->name), "%s", e->addr);
	else if (port == 443 || port == 80 || port == 0)
		snprintf(e->name, sizeof(e->name), "%s", e->host);
	else
		snprintf(e->name, sizeof(e->name), "%s:%u", e->host, port);
}

static void set_storage(struct endpoint *e, const char *label, const char *system)
{
	e->class = CALL_STORAGE;
	snprintf(e->label, sizeof(e->label), "%s", *label ? label : system);
	snprintf(e->system, sizeof(e->system), "%s", system);
}

static void set_llm(struct endpoint *e, const char *provider)
{
	e->class = CALL_LLM;
	snprintf(e->label, sizeof(e->label), "%s", provider ? provider : "");
}

void endpoint_name(const struct endpoint_rules *r, struct endpoint *e, uint16_t port,
                   const char *proto, const char *store)
{
	const struct endpoint_fact *llm = fact_find(r, true, ENDPOINT_LLM, e, port, NULL),
				   *storage = fact_find(r, true, ENDPOINT_STORAGE, e, port, NULL);
	const char *system = store_system(r, e, port, proto, store);
	const char *provider = llm ? llm->name : llm_provider_of_host(bytes_of(e->host));
	const struct rule *rule;

	set_name(e, port);
	e->class = CALL_OTHER;
	e->label[0] = e->system[0] = '\0';
	if ((rule = rule_find(&r->storage, e, port)))
		set_storage(e, rule->label, system ? system : *proto ? proto : "unknown");
	else if (rule_find(&r->llm, e, port))
		set_llm(e, provider);
	else if (storage && (!llm || storage < llm))
		set_storage(e, storage->label[0] ? storage->label : layer_label(r, e, port),
		            system);
	else if (provider)
		set_llm(e, provider);
	else if (system)
		set_storage(e, layer_label(r, e, port), system);
}

const char *endpoint_provider(const struct endpoint_rules *r, const struct endpoint *e,
                              uint16_t port)
{
	const struct endpoint_fact *fact = fact_find(r, true, ENDPOINT_LLM, e, port, NULL);

	return fact ? fact->name : NULL;
}

static bool is_heartbeat(const struct endpoint_rules *r, const struct endpoint *e, uint16_t port,
                         const char *path)
{
	for (size_t i = 0; i < r->heartbeat.n; i++)
		if (rule_matches(&r->heartbeat.rule[i], e, port) &&
		    strcmp(r->heartbeat.rule[i].path, path) == 0)
			return true;
	return fact_find(r, true, ENDPOINT_HEARTBEAT, e, port, path) ||
	       fact_find(r, false, ENDPOINT_HEARTBEAT, e, port, path);
}

/* The user says of this very endpoint that it is an LLM's. */
static bool is_users_llm(const struct endpoint_rules *r, const struct endpoint *e, uint16_t port)
{
	return rule_find(&r->llm, e, port) || endpoint_provider(r, e, port);
}

void endpoint_classify(const struct endpoint_rules *r, const struct endpoint *e, struct call *c)
{
	const char *path = strchr(*c->request ? c->request : c->op, '/'),
		   *colon = strrchr(e->addr, ':');
	bool http = call_over_http(c);
	uint16_t port = colon ? (uint16_t)atoi(colon + 1) : 0;

	if (c->class == CALL_HEARTBEAT)
		return;
	if (c->llm)
		c->class = CALL_LLM;
	else if (http && path && is_heartbeat(r, e, port, path))
		c->class = CALL_HEARTBEAT;
	else if (e->class == CALL_STORAGE)
		c->class = CALL_STORAGE;
	else if (e->class == CALL_LLM && (!http || !c->op_known || is_users_llm(r, e, port)))
		c->class = CALL_LLM;
}
