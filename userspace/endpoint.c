/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Naming order: the user's options, the host name, then protocol and port. Ports name a store only when the port is
 * that store's own; nothing is concluded from 443, 80 or 8080.
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
};

/* Stores by the port registered or shipped as their default. */
static const struct {
	uint16_t port;
	const char *system;
} store_ports[] = {
	{ 6379, "redis" },       { 5432, "postgres" },  { 6432, "postgres" },
	{ 6333, "qdrant" },      { 6334, "qdrant" },    { 7687, "neo4j" },
	{ 7474, "neo4j" },       { 8108, "typesense" }, { 9200, "elasticsearch" },
	{ 7700, "meilisearch" }, { 3306, "mysql" },     { 27017, "mongodb" },
	{ 11211, "memcached" },  { 19530, "milvus" },
};

/* Paths that are health checks whatever the host. */
static const char *const health_paths[] = { "/health",
	                                    "/healthz",
	                                    "/livez",
	                                    "/readyz",
	                                    "/ping",
	                                    "/_cluster/health",
	                                    "/v1/.well-known/ready",
	                                    "/v1/.well-known/live",
	                                    "/api/v2/heartbeat" };

struct endpoint_rules *endpoint_rules_new(void)
{
	return calloc(1, sizeof(struct endpoint_rules));
}

void endpoint_rules_free(struct endpoint_rules *r)
{
	free(r);
}

/* HOST, HOST:PORT, [V6]:PORT; the whole of n bytes. */
static int host_parse(const char *spec, size_t n, struct rule *r, const char **why)
{
	const char *end = spec + n, *colon = NULL, *host_end = end;
	unsigned long port;
	char *stop;

	if (n && *spec == '[') {
		const char *close = memchr(spec, ']', n);

		if (!close || (close + 1 < end && close[1] != ':')) {
			*why = "an IPv6 address is written [ADDRESS] or [ADDRESS]:PORT";
			return -EINVAL;
		}
		host_end = close;
		spec++;
		colon = close + 1 < end ? close + 1 : NULL;
	} else {
		colon = memchr(spec, ':', n);
		if (colon)
			host_end = colon;
	}
	if (host_end == spec || (size_t)(host_end - spec) >= sizeof(r->host)) {
		*why = "the host is missing or too long";
		return -EINVAL;
	}
	for (const char *p = spec; p < host_end; p++) {
		if (!isalnum((unsigned char)*p) && !strchr(".-_:%", *p)) {
			*why = "a host name has letters, digits, dots and hyphens only";
			return -EINVAL;
		}
	}
	if (colon) {
		port = strtoul(colon + 1, &stop, 10);
		if (stop != end || !isdigit((unsigned char)colon[1]) || port == 0 || port > 65535) {
			*why = "the port is a number from 1 to 65535";
			return -EINVAL;
		}
		r->port = (uint16_t)port;
	}
	memcpy(r->host, spec, (size_t)(host_end - spec));
	return 0;
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

static const char *store_system(uint16_t port, const char *proto)
{
	if (strcmp(proto, "redis") == 0 || strcmp(proto, "postgres") == 0)
		return proto;
	for (size_t i = 0; i < sizeof(store_ports) / sizeof(store_ports[0]); i++)
		if (store_ports[i].port == port)
			return store_ports[i].system;
	return NULL;
}

void endpoint_name(const struct endpoint_rules *r, struct endpoint *e, uint16_t port,
                   const char *proto)
{
	const char *system = store_system(port, proto);
	const char *provider = llm_provider_of_host(bytes_of(e->host));
	const struct rule *rule;

	if (!e->host[0])
		snprintf(e->name, sizeof(e->name), "%s", e->addr);
	else if (port == 443 || port == 80 || port == 0)
		snprintf(e->name, sizeof(e->name), "%s", e->host);
	else
		snprintf(e->name, sizeof(e->name), "%s:%u", e->host, port);
	e->class = CALL_OTHER;
	e->label[0] = e->system[0] = '\0';
	if ((rule = rule_find(&r->storage, e, port))) {
		e->class = CALL_STORAGE;
		snprintf(e->label, sizeof(e->label), "%s", rule->label);
		snprintf(e->system, sizeof(e->system), "%s",
		         system   ? system
		         : *proto ? proto
		                  : "unknown");
	} else if (rule_find(&r->llm, e, port) || provider) {
		e->class = CALL_LLM;
		snprintf(e->label, sizeof(e->label), "%s", provider ? provider : "");
	} else if (system) {
		e->class = CALL_STORAGE;
		snprintf(e->label, sizeof(e->label), "%s", system);
		snprintf(e->system, sizeof(e->system), "%s", system);
	}
}

static bool is_heartbeat(const struct endpoint_rules *r, const struct endpoint *e, uint16_t port,
                         const char *path)
{
	for (size_t i = 0; i < r->heartbeat.n; i++)
		if (rule_matches(&r->heartbeat.rule[i], e, port) &&
		    strcmp(r->heartbeat.rule[i].path, path) == 0)
			return true;
	for (size_t i = 0; i < sizeof(health_paths) / sizeof(health_paths[0]); i++)
		if (strcmp(health_paths[i], path) == 0)
			return true;
	return false;
}

void endpoint_classify(const struct endpoint_rules *r, const struct endpoint *e, struct call *c)
{
	const char *path = strchr(c->op, '/'), *colon = strrchr(e->addr, ':');
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
	else if (e->class == CALL_LLM && (!http || !c->op_known || rule_find(&r->llm, e, port)))
		c->class = CALL_LLM;
}
