/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Naming order: the user's options, the user's lines of the table, the LLM providers' host names, then what the exchange
 * shows, protocol, and what the built-in table (endpoints.table) knows of host and port.
 */
#include "endpoint.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "llm/llm.h"

#define RULES_MAX 64 /* options of each kind; more are refused */

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

struct endpoint_rules {
	struct rules llm, storage, heartbeat;
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

/* What the bytes show goes before what the name and the port let expect. */
static const char *store_system(const struct endpoint_rules *r, const struct endpoint *e,
                                uint16_t port, const char *proto, const char *store)
{
	const struct endpoint_fact *fact;

	if (*store)
		return store;
	if (strcmp(proto, "redis") == 0 || strcmp(proto, "postgres") == 0)
		return proto;
	fact = fact_find(r, true, ENDPOINT_STORAGE, e, port, NULL);
	if (!fact)
		fact = fact_find(r, false, ENDPOINT_STORAGE, e, port, NULL);
	return fact ? fact->name : NULL;
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
		set_storage(e, storage->label, system);
	else if (provider)
		set_llm(e, provider);
	else if (system)
		set_storage(e, "", system);
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
	bool http = c->proto && strcmp(c->proto, "http") == 0;
	uint16_t port = colon ? (uint16_t)atoi(colon + 1) : 0;

	if (c->class == CALL_HEARTBEAT)
		return;
	if (c->llm)
		c->class = CALL_LLM;
	else if (http && path && is_heartbeat(r, e, port, path))
		c->class = CALL_HEARTBEAT;
	else if (e->class == CALL_STORAGE)
		c->class = CALL_STORAGE;
	else if (e->class == CALL_LLM && (!http || is_users_llm(r, e, port)))
		c->class = CALL_LLM;
}
