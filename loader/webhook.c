/* SPDX-License-Identifier: BSD-2-Clause */
/* Posts a document. curl's own messages are not shown: they may hold the URL. */
#include "webhook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#ifdef HAVE_LIBCURL
#include <curl/curl.h>

#define TRIES 3
#define CONNECT_MS 5000L
#define TRY_MS 10000L
#define ORIGIN_MAX 128

/* "https://host:8443": without user, path and query */
static void origin_of(const char *url, char origin[static ORIGIN_MAX])
{
	const char *host = strstr(url, "://"), *end, *at;

	host = host ? host + 3 : url;
	end = host + strcspn(host, "/?#");
	at = memrchr(host, '@', (size_t)(end - host));
	snprintf(origin, ORIGIN_MAX, "%.*s%.*s", host == url ? 0 : (int)(host - url), url,
	         (int)(end - (at ? at + 1 : host)), at ? at + 1 : host);
}

static size_t ignore(char *p, size_t size, size_t n, void *ctx)
{
	(void)p;
	(void)ctx;
	return size * n;
}

/* What curl's reason is as an errno, and whether another try may help. */
static const struct reason {
	CURLcode code;
	int err;
	bool final;
} reasons[] = {
	{ CURLE_URL_MALFORMAT, EINVAL, true },
	{ CURLE_UNSUPPORTED_PROTOCOL, EPROTONOSUPPORT, true },
	{ CURLE_OUT_OF_MEMORY, ENOMEM, true },
	{ CURLE_PEER_FAILED_VERIFICATION, EKEYREJECTED, true },
	{ CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH, false },
	{ CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH, false },
	{ CURLE_COULDNT_CONNECT, ECONNREFUSED, false },
	{ CURLE_OPERATION_TIMEDOUT, ETIMEDOUT, false },
	{ CURLE_SSL_CONNECT_ERROR, EPROTO, false },
	{ CURLE_GOT_NOTHING, ECONNRESET, false },
	{ CURLE_RECV_ERROR, ECONNRESET, false },
	{ CURLE_SEND_ERROR, ECONNRESET, false },
};

static struct reason reason_of(CURL *curl, CURLcode code)
{
	struct reason r = { code, EIO, false };
	long err = 0;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].code == code)
			r = reasons[i];
	if (code == CURLE_COULDNT_CONNECT &&
	    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &err) == CURLE_OK && err)
		r.err = (int)err;
	return r;
}

static CURL *request(const char *url, const char *json, struct curl_slist *headers)
{
	CURL *curl = curl_easy_init();

	if (!curl)
		return NULL;
	curl_easy_setopt(curl, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, json);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(json));
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "whystuck/" WHYSTUCK_VERSION);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TRY_MS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	return curl;
}

/* HTTP status or -errno; *again: another try may help. */
static int try_once(CURL *curl, bool *again)
{
	CURLcode code = curl_easy_perform(curl);
	struct reason r;
	long status = 0;

	/* a status that came counts, whatever became of the rest of the reply */
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status) {
		*again = status == 429 || status >= 500;
		return (int)status;
	}
	r = reason_of(curl, code);
	*again = !r.final;
	return -r.err;
}

static void say(char *text, size_t n, const char *origin, int result, int tries)
{
	const char *times = tries == 1 ? "try" : "tries";

	if (result >= 200 && result < 300)
		snprintf(text, n, "run_error.json was posted to %s: HTTP %d, %d %s", origin, result,
		         tries, times);
	else if (result >= 300 && result < 400)
		snprintf(text, n,
		         "run_error.json was not taken by %s: HTTP %d, and redirects are not "
		         "followed",
		         origin, result);
	else if (result > 0)
		snprintf(text, n, "run_error.json was not taken by %s: HTTP %d, %d %s", origin,
		         result, tries, times);
	else
		snprintf(text, n, "run_error.json could not be posted to %s: %s, %d %s", origin,
		         strerror(-result), tries, times);
}

int webhook_post(const char *url, const char *json, char *text, size_t n)
{
	static const time_t pause_s[TRIES] = { 1, 4, 0 };
	struct curl_slist *headers;
	char origin[ORIGIN_MAX];
	int result = -ENOMEM, tries = 0;
	bool again = true;
	CURL *curl;

	origin_of(url, origin);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	headers = curl_slist_append(NULL, "Content-Type: application/json");
	/* else curl waits a second for a "100 Continue" that few servers send */
	if (headers)
		curl_slist_append(headers, "Expect:");
	curl = headers ? request(url, json, headers) : NULL;
	while (curl && again && tries < TRIES) {
		if (tries)
			nanosleep(&(struct timespec){ .tv_sec = pause_s[tries - 1] }, NULL);
		tries++;
		result = try_once(curl, &again);
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	curl_global_cleanup();
	say(text, n, origin, result, tries);
	return result;
}

bool webhook_available(void)
{
	return true;
}

#else

int webhook_post(const char *url, const char *json, char *text, size_t n)
{
	(void)url;
	(void)json;
	snprintf(text, n, "nothing was posted: whystuck was built without libcurl");
	return -ENOSYS;
}

bool webhook_available(void)
{
	return false;
}

#endif
