/* SPDX-License-Identifier: BSD-2-Clause */
/* What of a URL may leave the place where it was read. */
#include "python_requests.h"
#include "test.h"

/* "scheme host port path", of a text that ends where memory does. */
static const char *split(const char *url, bool cut)
{
	static char text[512];
	size_t n = strlen(url);
	char *end = guarded(n ? url : "-", n ? n : 1);
	struct python_url u;

	python_url_split(end, n, cut, &u);
	guarded_free(end, n ? n : 1);
	snprintf(text, sizeof(text), "%s %s %u %s", u.scheme, u.host, (unsigned)u.port, u.path);
	return text;
}

#define IS(url, want) CHECK(strcmp(split(url, false), want) == 0)
#define IS_CUT(url, want) CHECK(strcmp(split(url, true), want) == 0)
#define NOTHING "  0 "

static void test_shown(void)
{
	TEST("scheme, host, port and path are shown");
	IS("https://api.openai.com/v1/chat/completions",
	   "https api.openai.com 0 /v1/chat/completions");
	IS("http://127.0.0.1:8080/x", "http 127.0.0.1 8080 /x");
	IS("http://[::1]:80/", "http ::1 80 /");
	IS("http://[fe80::1]", "http fe80::1 0 ");
	IS("HTTP://Host_1", "HTTP Host_1 0 ");
	IS("http://h:/p", "http h 0 /p");
	IS("//h:1/p", " h 1 /p");

	TEST("a path alone is one, with a slash before it or not");
	IS("/v1/messages", "  0 /v1/messages");
	IS("models/gemini-pro:generateContent", "  0 models/gemini-pro:generateContent");
	IS("/", "  0 /");
	IS("", NOTHING);
	IS("/publishers/anthropic/models/claude@2024:raw",
	   "  0 /publishers/anthropic/models/claude?2024:raw");
}

static void test_hidden(void)
{
	char longest[400] = "/";

	TEST("queries, fragments and parameters are cut off");
	IS("http://h/p?key=secret", "http h 0 /p");
	IS("http://h?key=secret@x", "http h 0 ");
	IS("http://h#secret", "http h 0 ");
	IS("/p;s=secret", "  0 /p");
	IS("?secret", NOTHING);

	TEST("user names and passwords are cut off, in whatever place they stand");
	IS("http://me:secret@h:1/p", "http h 1 /p");
	IS("http://me:se@cret@h/p", "http h 0 /p");
	IS("//me:secret@h/p", " h 0 /p");
	IS("me:secret@h/p", NOTHING);
	IS("me@h/p", NOTHING);
	IS("/me:secret@h/p", "  0 ");
	IS("/v1/me:secret@h/p", "  0 /v1");
	IS("http:///me:secret@h/p", NOTHING);
	IS("http:/me:secret@h/p", NOTHING);
	IS("https:me:secret@h", NOTHING);
	IS("http://h\\me:secret@x/", "http h 0 ");
	IS("http://me:secret%40h/p", NOTHING);

	TEST("what is no server's URL is not shown");
	IS("data:text/plain,secret", NOTHING);
	IS("mailto:me@h", NOTHING);
	IS("http://", NOTHING);
	IS("http://h:secret/p", NOTHING);
	IS("http://h:65536/p", NOTHING);
	IS("http://h h/p", NOTHING);
	IS("http://[::1/p", NOTHING);
	IS("a-scheme-that-is-too-long://h/p", NOTHING);

	TEST("of one that was cut, what may be half of something is not shown");
	IS_CUT("http://me:sec", NOTHING);
	IS_CUT("http://h/p/me:sec", "http h 0 /p");
	IS_CUT("/p/me:sec", "  0 /p");
	IS_CUT("sec", NOTHING);
	IS_CUT("http://h/p?q=sec", "http h 0 /p");

	TEST("long paths end, strange characters are '?'");
	memset(longest + 1, 'a', 300);
	CHECK(strlen(split(longest, false)) == 4 + PYTHON_URL_PATH_MAX);
	IS("/a\x01\"<b>\xff{}", "  0 /a??"
	                        "?b???"
	                        "?");
}

/* Whatever stands before, and wherever the text ends, of the secret nothing is left. */
static void test_every_cut(void)
{
	static const char *const urls[] = {
		"https://user:SECRET@host:1/path/more?x=SECRET#SECRET",
		"//user:SECRET@host/path;SECRET",
		"/path/user:SECRET@host/x",
		"user:SECRET@host/x",
	};
	char part[128];

	TEST("cut at any place, a URL never shows its secrets");
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		int shown = 0;

		for (size_t n = 0; n <= strlen(urls[i]); n++) {
			snprintf(part, sizeof(part), "%.*s", (int)n, urls[i]);
			shown += strstr(split(part, n < strlen(urls[i])), "SE") != NULL;
		}
		CHECK(shown == 0);
	}
}

int main(void)
{
	test_shown();
	test_hidden();
	test_every_cut();
	return DONE();
}
