/* SPDX-License-Identifier: BSD-2-Clause */
/* What --turns and --profile say, what `auto` goes by, and the names of sessions. */
#include <stdlib.h>

#include "test.h"
#include "turn_sessions.h"
#include "turn_source/spec.h"

static void forms(void)
{
	static const char *const bad[] = { "",        "lll",           "llm:x",
		                           "http:",   "jsonl",         "jsonl:",
		                           "stdout:", "stdout:(",      "idle",
		                           "idle:",   "idle:0",        "idle:1s",
		                           "idle:-1", "idle:86400001", "idle:99999999999999999999",
		                           "auto:llm" };
	struct turns_spec s = { 0 };
	char longer[TURNS_ARG_MAX + 16] = "jsonl:";

	TEST("each form of a turn source is read");
	CHECK(!turns_spec_parse("auto", &s) && s.kind == TURNS_AUTO);
	CHECK(!turns_spec_parse("llm", &s) && s.kind == TURNS_LLM);
	CHECK(!turns_spec_parse("http", &s) && s.kind == TURNS_HTTP && !s.arg[0]);
	CHECK(!turns_spec_parse("jsonl:*/a:b.jsonl", &s) && s.kind == TURNS_JSONL);
	CHECK(strcmp(s.arg, "*/a:b.jsonl") == 0);
	CHECK(!turns_spec_parse("stdout:^turn ([0-9]+)", &s) && s.kind == TURNS_STDOUT);
	CHECK(!turns_spec_parse("idle:250", &s) && s.idle_ns == 250000000);

	TEST("what is no turn source is refused, and nothing is changed");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(turns_spec_parse(bad[i], &s) != NULL && s.idle_ns == 250000000);
	memset(longer + 6, 'x', TURNS_ARG_MAX);
	CHECK(turns_spec_parse(longer, &s) != NULL);

	TEST("a profile brings its source, an explicit source stays");
	turns_spec_make("auto", "goodai-ltm", &s);
	CHECK(s.kind == TURNS_JSONL && s.profile && strstr(s.arg, "master_log.jsonl"));
	turns_spec_make("http", "goodai-ltm", &s);
	CHECK(s.kind == TURNS_HTTP);
	turns_spec_make("auto", NULL, &s);
	CHECK(s.kind == TURNS_AUTO && !s.profile);
	CHECK(!turns_profile_find("goodai"));
}

static void hints(void)
{
	char text[TURNS_REASON_MAX];
	struct turns_spec s = { .kind = TURNS_AUTO };
	struct turns_hints h = { 0 };
	struct ev_socket listens = { .h = { .size = sizeof(listens),
		                            .type = EV_SOCKET,
		                            .flags = EVF_SEEDED | EVF_LISTEN },
		                     .local_port = 8000 };
	static const char command[] = "python3\0runner/run_benchmark.py\0-c\0x.yml";
	struct ev_process *p = calloc(1, sizeof(*p) + sizeof(command));

	TEST("auto says what it goes by and what would change its mind");
	CHECK(strstr(turns_reason(&s, &h, text), "requests to LLMs"));
	turns_hint(&h, &listens.h);
	CHECK(strstr(turns_reason(&s, &h, text), "port 8000"));
	p->h.type = EV_PROCESS;
	p->h.size = (uint32_t)(sizeof(*p) + sizeof(command) - 1);
	memcpy(p->text, command, sizeof(command));
	turns_hint(&h, &p->h);
	CHECK(strstr(turns_reason(&s, &h, text), "goodai-ltm"));

	TEST("what was asked for is said to be asked for");
	turns_spec_make("idle:250", NULL, &s);
	CHECK(strstr(turns_reason(&s, &h, text), "250 ms"));
	free(p);
}

static void sessions(void)
{
	struct sessions *s = sessions_new();
	char name[32];

	TEST("sessions without a name are numbered in order, behind those that others numbered");
	CHECK(strcmp(sessions_keyed(s, "c1", 0)->name, "s1") == 0);
	CHECK(strcmp(sessions_keyed(s, "c2", 0)->name, "s2") == 0);
	CHECK(strcmp(sessions_keyed(s, "c1", 7)->name, "s1") == 0);
	CHECK(strcmp(sessions_keyed(s, "c3", 7)->name, "s8") == 0);

	TEST("a named session keeps its count; beyond the limit the one not used for longest goes");
	sessions_named(s, "first")->closed = 3;
	CHECK(sessions_find(s, "first")->closed == 3 && !sessions_find(s, "other"));
	for (int i = 0; i < SESSIONS_MAX + 10; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		sessions_named(s, name)->closed = 1;
	}
	CHECK(!sessions_find(s, "first") && sessions_find(s, name));
	CHECK(sessions_seen(s) == SESSIONS_MAX + 11);
	sessions_free(s);
}

int main(void)
{
	forms();
	hints();
	sessions();
	return DONE();
}
