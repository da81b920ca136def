/* SPDX-License-Identifier: BSD-2-Clause */
/* What command_mask hides, and what it must leave readable. */
#include <stdbool.h>

#include "secrets.h"
#include "test.h"

/* Arguments are separated by | in the table, by NUL in life. */
static char *mask(const char *line)
{
	size_t n = strlen(line);
	char *text = guarded(line, n), *masked;

	for (size_t i = 0; i < n; i++)
		if (text[i] == '|')
			text[i] = '\0';
	masked = command_mask(text, n);
	guarded_free(text, n);
	return masked;
}

struct row {
	const char *line, *shown;
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *shown = mask(rows[i].line);

		if (!shown || strcmp(shown, rows[i].shown))
			printf("# %s\n#  gives %s\n#  not   %s\n", rows[i].line,
			       shown ? shown : "nothing", rows[i].shown);
		CHECK(shown && strcmp(shown, rows[i].shown) == 0);
		free(shown);
	}
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(*(rows)))
#define HEX40 "0e9e39f249a16976918f6564b8830bc894c89659"

static void secrets_are_masked(void)
{
	static const struct row rows[] = {
		{ "run|--api-key|abc|--fast", "run --api-key *** --fast" },
		{ "run|--api-key=abc|--fast", "run --api-key=*** --fast" },
		{ "run|--openai_api_key=a b c", "run --openai_api_key=***" },
		{ "run|--password|my pass phrase|x", "run --password *** x" },
		{ "run|--password|-dash", "run --password ***" },
		{ "run|--db-password=a,b;c&d", "run --db-password=***" },
		{ "run|--client-secret|x|--auth-token|y",
		  "run --client-secret *** --auth-token ***" },
		{ "run|-token|abc", "run -token ***" },
		{ "env|OPENAI_API_KEY=abc|PGPASSWORD=x y|run",
		  "env OPENAI_API_KEY=*** PGPASSWORD=*** run" },
		{ "docker|run|--env=DB_PASSWORD=a,b|img", "docker run --env=DB_PASSWORD=*** img" },
		{ "psql|host=db password=hunter2 dbname=x", "psql host=db password=*** dbname=x" },
		{ "x|Server=db;Password=a;b;User=u", "x Server=db;Password=***;User=u" },
		{ "sh|-c|cd /x && TOKEN=abc ./run --key k1 --n 3",
		  "sh -c cd /x && TOKEN=*** ./run --key *** --n 3" },
		{ "curl|-H|Authorization: Bearer abc.def|http://h/",
		  "curl -H Authorization: Bearer *** http://h/" },
		{ "curl|-H|x-api-key:abc", "curl -H x-api-key:***" },
		{ "sh|-c|curl -H 'Authorization: Basic dXNlcjpwYXNz' h",
		  "sh -c curl -H 'Authorization: Basic ***' h" },
		{ "run|--config|{\"api_key\": \"a\\\"b\", \"n\": 3}",
		  "run --config {\"api_key\": ***, \"n\": 3}" },
		{ "run|sk-abcdefgh1234", "run ***" },
		{ "run|sk-proj-AbCdEfGhIjKl", "run ***" },
		{ "run|x=AIzaSyD12345678", "run x=***" },
		{ "run|gsk_abcdEFGH1234", "run ***" },
		{ "run|ghp_abcdEFGH1234", "run ***" },
		{ "run|xoxb-123456789-abc", "run ***" },
		{ "run|hf_AbCdEfGhIjKlMnOpQrStUvWxYz", "run ***" },
		{ "run|eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123", "run ***" },
		{ "run|" HEX40, "run ***" },
		{ "run|--x|aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF", "run --x ***" },
		{ "run|wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE0kEy9", "run ***" },
		{ "run|redis://:hunter2@db:6379/0", "run redis://:***@db:6379/0" },
		{ "run|postgresql://user:pa@ss@db/x", "run postgresql://user:***@db/x" },
		{ "run|redis://user:pa/ss@db/0", "run redis://user:***@db/0" },
		{ "run|https://ghp_abcdEFGH1234@github.com/a/b", "run https://***@github.com/a/b" },
		{ "run|https://h/p?key=1&q=tell me", "run https://h/p?key=***&q=*** me" },
		{ "run|--url=https://h/p?a=1;b=2#top", "run --url=https://h/p?a=***;b=***#top" },
		{ "run|https://h/p?abc", "run https://h/p?***" },
		{ "run|https://hooks.x.com/services/T00/aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF",
		  "run https://hooks.x.com/services/T00/***" },
	};
	TEST("secrets in a command line are masked, by name, by looks and by place in a URL");
	CHECK_ROWS(rows);
}

static void the_rest_stays(void)
{
	static const struct row rows[] = {
		{ "/usr/bin/python3|-m|runner.main|--model|gpt-4o-mini",
		  "/usr/bin/python3 -m runner.main --model gpt-4o-mini" },
		{ "run|--max-tokens|4096|--max_new_tokens=512",
		  "run --max-tokens 4096 --max_new_tokens=512" },
		{ "run|--tokenizer|meta-llama/Llama-3.1-70B-Instruct",
		  "run --tokenizer meta-llama/Llama-3.1-70B-Instruct" },
		{ "run|meta-llama-3.1-70b-instruct-q4_K_M-Imatrix.gguf",
		  "run meta-llama-3.1-70b-instruct-q4_K_M-Imatrix.gguf" },
		{ "run|Qwen2.5-Coder-32B-Instruct-GPTQ-Int4",
		  "run Qwen2.5-Coder-32B-Instruct-GPTQ-Int4" },
		{ "run|deepseek-r1-distill-qwen-32b-2024-11-20",
		  "run deepseek-r1-distill-qwen-32b-2024-11-20" },
		{ "run|/cache/models--x/snapshots/" HEX40 "/model.bin",
		  "run /cache/models--x/snapshots/" HEX40 "/model.bin" },
		{ "run|/home/Bob/Projects/LongTermMemory/Results2024/Run3/out.jsonl",
		  "run /home/Bob/Projects/LongTermMemory/Results2024/Run3/out.jsonl" },
		{ "run|Projects/LongTermMemory/Results2024/Run3/out.jsonl",
		  "run Projects/LongTermMemory/Results2024/Run3/out.jsonl" },
		{ "python3|-m|keyring.cli|hf_hub_download_parallel",
		  "python3 -m keyring.cli hf_hub_download_parallel" },
		{ "run|http://keycloak:8080/x|keydb:6379",
		  "run http://keycloak:8080/x keydb:6379" },
		{ "run|https://registry.org:443/@scope/pkg",
		  "run https://registry.org:443/@scope/pkg" },
		{ "run|AbstractSingletonProxyFactoryBeanImplementation",
		  "run AbstractSingletonProxyFactoryBeanImplementation" },
		{ "run|--use-token|--verbose", "run --use-token --verbose" },
		{ "run||x", "run  x" },
		{ "run|--token", "run --token" },
	};
	TEST("paths, module names, models, hosts and numbers of tokens stay readable");
	CHECK_ROWS(rows);
}

static void only_text_comes_out(void)
{
	char *shown, *big;

	TEST("control characters, direction overrides and broken UTF-8 do not come through");
	shown = mask("a\nb\x1b[31m\x7f|\xc3\xa9|\xff\xc3|\xc0\xaf|\xe2\x80\xae"
	             "x|\xc2\x9b");
	CHECK(shown && !strcmp(shown, "a b?[31m? \xc3\xa9 ?? ?? ???x ??"));
	free(shown);

	TEST("no text at all gives an empty line");
	shown = command_mask("", 0);
	CHECK(shown && *shown == '\0');
	free(shown);

	TEST("a long line is cut at a character, ends in dots and hides what a cut would have "
	     "bared");
	big = malloc(60000);
	memset(big, 'x', 60000);
	for (size_t i = 1; i + 2 < 60000; i += 2)
		memcpy(big + i, "\xc3\xa9", 2);
	shown = command_mask(big, 60000);
	CHECK(shown && strlen(shown) < SECRETS_LINE_MAX);
	CHECK(shown && !strcmp(shown + strlen(shown) - 5, "\xc3\xa9..."));
	free(shown);
	free(big);
}

/* Whatever the bytes: no crash, no over-read, printable. */
static void noise(void)
{
	static const char alphabet[] = "ab1K=:/?@&;,'\" \\-_.\0\xc3\xa9\x01kteyosnpwd#";
	unsigned seed = 1;
	bool printable = true;

	TEST("any bytes are masked without reading past their end");
	for (int round = 0; round < 20000; round++) {
		char text[64], *copy, *shown;
		size_t n = (seed = seed * 1103515245 + 12345) >> 16 & 63;

		for (size_t i = 0; i < n; i++)
			text[i] = alphabet[((seed = seed * 1103515245 + 12345) >> 16) %
			                   (sizeof(alphabet) - 1)];
		copy = guarded(text, n);
		shown = command_mask(copy, n);
		for (char *p = shown; p && *p; p++)
			printable = printable && ((unsigned char)*p >= 0x20 && *p != 0x7f);
		free(shown);
		guarded_free(copy, n);
	}
	CHECK(printable);
}

int main(void)
{
	secrets_are_masked();
	the_rest_stays();
	only_text_comes_out();
	noise();
	return DONE();
}
