/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of endpoints: the table, the user's lines, what exchanges show, layers by variables. */
#include "test.h"

#include <errno.h>

#include "endpoint.h"
#include "options.h"

static struct endpoint_rules *rules;
static struct endpoint e;

static const struct endpoint *named(const char *host, const char *addr, const char *proto,
                                    const char *store)
{
	const char *colon = strrchr(addr, ':');

	memset(&e, 0, sizeof(e));
	snprintf(e.host, sizeof(e.host), "%s", host);
	snprintf(e.addr, sizeof(e.addr), "%s", addr);
	endpoint_name(rules, &e, colon ? (uint16_t)atoi(colon + 1) : 0, proto, store);
	return &e;
}

static bool is(const struct endpoint *x, enum call_class class, const char *label,
               const char *system)
{
	bool ok = x->class == class && strcmp(x->label, label) == 0 &&
	          strcmp(x->system, system) == 0;

	if (!ok)
		printf("# %s %s: %s '%s' '%s'\n", x->host, x->addr, call_class_name(x->class),
		       x->label, x->system);
	return ok;
}

static void begin(void)
{
	endpoint_rules_free(rules);
	rules = endpoint_rules_new();
}

static bool add(const char *line)
{
	const char *why = NULL;

	return endpoint_rules_add_fact(rules, line, &why) == 0;
}

static void test_built_in(const char *table)
{
	size_t n, at = 0;
	const struct endpoint_fact *built = endpoint_facts(&n);
	FILE *f = fopen(table, "r");
	char line[1024];
	bool same = f != NULL;

	TEST("the table that is built in reads as the user's would");
	while (f && fgets(line, sizeof(line), f)) {
		struct endpoint_fact fact;
		const char *why = "";
		int ret;

		line[strcspn(line, "\n")] = '\0';
		ret = endpoint_fact_parse(bytes_of(line), &fact, &why);
		if (ret < 0)
			printf("# %s: %s\n", line, why);
		same = same && ret >= 0;
		if (ret <= 0)
			continue;
		same = same && at < n && fact.kind == built[at].kind &&
		       strcmp(fact.host, built[at].host) == 0 && fact.port == built[at].port &&
		       strcmp(fact.name, built[at].name) == 0 &&
		       strcmp(fact.label, built[at].label) == 0 &&
		       strcmp(fact.path, built[at].path) == 0;
		at++;
	}
	if (f)
		fclose(f);
	CHECK(same && at == n && n > 60);

	TEST("hosts and ports of the built-in table");
	begin();
	CHECK(is(named("", "10.0.0.1:6333", "http", ""), CALL_STORAGE, "qdrant", "qdrant"));
	CHECK(is(named("api.openai.com", "1.2.3.4:443", "http", ""), CALL_LLM, "openai", ""));
	CHECK(is(named("B.s3.eu-1.amazonaws.com", "1.2.3.4:443", "", ""), CALL_STORAGE, "s3",
	         "s3"));
	CHECK(is(named("x.example.com", "1.2.3.4:8000", "http", ""), CALL_OTHER, "", ""));
	CHECK(is(named("", "[::1]:7000", "redis", ""), CALL_STORAGE, "redis", "redis"));
}

static void test_lines(void)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
		{ "lmm a b", "begins with" },
		{ "llm", "the host is missing" },
		{ "llm a", "its provider" },
		{ "llm a b c", "more on the line" },
		{ "llm a:0 b", "the port is" },
		{ "llm a:99999 b", "the port is" },
		{ "llm a:8x b", "the port is" },
		{ "llm a: b", "the port is" },
		{ "llm a/b c", "letters, digits" },
		{ "llm *a*b*c*d*e x", "four *" },
		{ "storage a", "its system" },
		{ "storage a b c d", "more on the line" },
		{ "storage a b/c", "its system" },
		{ "storage a a-name-that-is-too-long", "its system" },
		{ "storage a b l=1", "a label" },
		{ "heartbeat a", "its path" },
		{ "heartbeat a b", "its path" },
		{ "heartbeat a /b c", "more on the line" },
		{ "storage [::1 x", "IPv6" },
	};
	struct endpoint_fact fact;
	const char *why;
	char line[ENDPOINT_LINE_MAX + 20];

	TEST("a line that is none says why");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *p = guarded(bad[i].line, strlen(bad[i].line));

		why = "";
		CHECK(endpoint_fact_parse((struct bytes){ p, strlen(bad[i].line) }, &fact, &why) ==
		      -EINVAL);
		if (!strstr(why, bad[i].why))
			printf("# %s: %s\n", bad[i].line, why);
		CHECK(strstr(why, bad[i].why));
		guarded_free(p, strlen(bad[i].line));
	}
	memset(line, 'a', sizeof(line));
	CHECK(endpoint_fact_parse((struct bytes){ line, sizeof(line) }, &fact, &why) == -EINVAL);

	TEST("blanks and comments are no lines");
	CHECK(endpoint_fact_parse(bytes_of(""), &fact, &why) == 0);
	CHECK(endpoint_fact_parse(bytes_of(" \t # llm a b"), &fact, &why) == 0);
	CHECK(endpoint_fact_parse(bytes_of("\r"), &fact, &why) == 0);
	CHECK(endpoint_fact_parse(bytes_of(" llm\ta:1\tb # c\r"), &fact, &why) == 1 &&
	      fact.port == 1);
	CHECK(endpoint_fact_parse(bytes_of("storage [fe80::1]:7 x L1"), &fact, &why) == 1 &&
	      strcmp(fact.host, "fe80::1") == 0 && fact.port == 7 && strcmp(fact.label, "L1") == 0);
}

static void test_users(void)
{
	struct call *c = call_new();
	const char *why;

	TEST("the user's lines win over the table, in their order, and options over them");
	begin();
	CHECK(add("llm gpu-*:8000 vllm") && add("storage *.internal:9000 clickhouse L4"));
	CHECK(add("storage 10.0.0.7 qdrant") && add("llm 10.0.0.7:6333 tgi"));
	CHECK(add("heartbeat *.internal /up") && add("# nothing"));
	CHECK(is(named("gpu-3", "10.0.0.3:8000", "http", ""), CALL_LLM, "vllm", ""));
	CHECK(is(named("gpu-3", "10.0.0.3:8001", "http", ""), CALL_OTHER, "", ""));
	CHECK(is(named("a.internal", "10.0.0.4:9000", "http", ""), CALL_STORAGE, "L4",
	         "clickhouse"));
	CHECK(is(named("", "10.0.0.7:6333", "http", ""), CALL_STORAGE, "qdrant", "qdrant"));
	CHECK(is(named("", "10.0.0.7:1", "http", ""), CALL_STORAGE, "qdrant", "qdrant"));
	CHECK(endpoint_rules_add_storage(rules, "L9=10.0.0.7:6333", &why) == 0);
	CHECK(is(named("", "10.0.0.7:6333", "http", ""), CALL_STORAGE, "L9", "qdrant"));

	TEST("what an exchange shows names the store, also under a label");
	CHECK(is(named("", "10.0.0.8:7000", "http", "weaviate"), CALL_STORAGE, "weaviate",
	         "weaviate"));
	CHECK(endpoint_rules_add_storage(rules, "L8=10.0.0.8:7000", &why) == 0);
	CHECK(is(named("", "10.0.0.8:7000", "http", "weaviate"), CALL_STORAGE, "L8", "weaviate"));
	CHECK(is(named("", "10.0.0.9:9200", "http", "opensearch"), CALL_STORAGE, "opensearch",
	         "opensearch"));

	TEST("a path of the user's is a health check, also where an operation has a name of its "
	     "own");
	c->proto = "http";
	snprintf(c->op, sizeof(c->op), "get index");
	snprintf(c->request, sizeof(c->request), "GET /up");
	endpoint_classify(rules, named("a.internal", "10.0.0.4:9000", "http", ""), c);
	CHECK(c->class == CALL_HEARTBEAT);
	c->class = CALL_OTHER;
	snprintf(c->request, sizeof(c->request), "GET /upper");
	endpoint_classify(rules, &e, c);
	CHECK(c->class == CALL_STORAGE);
	call_free(c);
}

static void test_layers(void)
{
	TEST("a variable's name labels the store it names");
	begin();
	CHECK(endpoint_rules_add_variable(rules, "qdrant.local", "10.0.0.1", 6333,
	                                  "L3_QDRANT_URL"));
	CHECK(endpoint_rules_add_variable(rules, "127.0.0.1", "127.0.0.1", 6379,
	                                  "MEMORY_L1_REDIS_HOST"));
	CHECK(endpoint_rules_add_variable(rules, "localhost", "", 5432, "postgres_l2_url"));
	CHECK(!endpoint_rules_add_variable(rules, "127.0.0.1", "127.0.0.1", 6379, "REDIS_URL"));
	CHECK(!endpoint_rules_add_variable(rules, "a", "", 1, "XL3_URL"));
	CHECK(!endpoint_rules_add_variable(rules, "a", "", 1, "L33_URL"));
	CHECK(!endpoint_rules_add_variable(rules, "a", "", 1, "L3URL"));
	CHECK(!endpoint_rules_add_variable(rules, "a", "", 1, "L1_L2_URL"));
	CHECK(!endpoint_rules_add_variable(rules, "a", "", 1, "L"));
	CHECK(is(named("", "10.0.0.1:6333", "http", ""), CALL_STORAGE, "L3", "qdrant"));
	CHECK(is(named("QDRANT.local", "10.9.9.9:6333", "http", ""), CALL_STORAGE, "L3", "qdrant"));
	CHECK(is(named("", "127.0.0.1:6379", "redis", ""), CALL_STORAGE, "L1", "redis"));
	CHECK(is(named("", "[::1]:5432", "postgres", ""), CALL_STORAGE, "L2", "postgres"));
	CHECK(is(named("", "127.0.0.1:6380", "redis", ""), CALL_STORAGE, "redis", "redis"));

	TEST("what is no store gets no layer");
	CHECK(endpoint_rules_add_variable(rules, "10.0.0.6", "10.0.0.6", 8000, "L2_URL"));
	CHECK(is(named("", "10.0.0.6:8000", "http", ""), CALL_OTHER, "", ""));
	CHECK(is(named("", "10.0.0.6:8000", "http", "chroma"), CALL_STORAGE, "L2", "chroma"));

	TEST("two variables that disagree give none, and stay so");
	CHECK(endpoint_rules_add_variable(rules, "qdrant.local", "10.0.0.1", 6333, "L4_URL"));
	CHECK(!endpoint_rules_add_variable(rules, "qdrant.local", "10.0.0.1", 6333, "L3_URL"));
	CHECK(is(named("", "10.0.0.1:6333", "http", ""), CALL_STORAGE, "qdrant", "qdrant"));
}

struct said {
	char text[1024];
};

static void emit(void *ctx, const char *line)
{
	struct said *s = ctx;
	size_t n = strlen(s->text);

	if (strncmp(line, "endpoints=", 10) == 0)
		snprintf(s->text + n, sizeof(s->text) - n, "%s\n", line);
}

/* The message of a command line that is refused, "" when it is taken. */
static void parse(struct options *o, char *a, char *b, char *c, struct said *err)
{
	char *argv[] = { "whystuck", "watch", a, b, c, NULL };
	FILE *to = fmemopen(err->text, sizeof(err->text), "w");
	int ret = options_parse(o, 5, argv, to, to);

	fclose(to);
	if (ret == 0)
		err->text[0] = '\0';
}

static char *file_of(const char *text, char path[32])
{
	char option[] = "--endpoints=", *all = malloc(sizeof(option) + 32);
	int fd;

	strcpy(path, "endpoints.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
	sprintf(all, "%s%s", option, path);
	return all;
}

static void test_option(void)
{
	char one[32], two[32], *a, *b;
	struct said s = { "" };
	struct options o, replayed;

	TEST("--endpoints reads a file, more than one, and a recording has the lines");
	a = file_of("# mine\n\nllm gpu:1 vllm # here\r\n", one);
	b = file_of("storage x:2 qdrant L3\nheartbeat * /up", two);
	parse(&o, a, b, "1", &s);
	CHECK(!s.text[0] && o.nendpoints == 3);
	options_each(&o, emit, &s);
	CHECK(strcmp(s.text, "endpoints=llm gpu:1 vllm\nendpoints=storage x:2 qdrant L3\n"
	                     "endpoints=heartbeat * /up\n") == 0);
	options_init(&replayed);
	CHECK(options_apply(&replayed, "endpoints=llm gpu:1 vllm") == 0 &&
	      replayed.nendpoints == 1);
	CHECK(options_apply(&replayed, "endpoints=/etc/hostname") == -EINVAL);
	options_free(&replayed);
	CHECK(options_apply(&o, "endpoints=llm z zz") == 0 && o.nendpoints == 3);
	options_free(&o);
	unlink(one);
	free(a);

	TEST("a line that is none is told by its number, and nothing is taken");
	a = file_of("llm a b\n\nllm a\n", one);
	memset(&s, 0, sizeof(s));
	parse(&o, a, b, "1", &s);
	CHECK(strstr(s.text, "line 3: ") && strstr(s.text, "its provider"));
	unlink(one);
	unlink(two);
	free(a);
	free(b);

	TEST("a file that cannot be read, or is none, is refused");
	memset(&s, 0, sizeof(s));
	parse(&o, "--endpoints=/nonexistent", "--quiet", "1", &s);
	CHECK(strstr(s.text, "No such file"));
	memset(&s, 0, sizeof(s));
	parse(&o, "--endpoints=/dev/zero", "--quiet", "1", &s);
	CHECK(strstr(s.text, "it is no file"));
	memset(&s, 0, sizeof(s));
	parse(&o, "--endpoints=/", "--quiet", "1", &s);
	CHECK(strstr(s.text, "directory"));
}

int main(int argc, char **argv)
{
	test_built_in(argc > 1 ? argv[1] : TABLE);
	test_lines();
	test_users();
	test_layers();
	test_option();
	endpoint_rules_free(rules);
	return DONE();
}
