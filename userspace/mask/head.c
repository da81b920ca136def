/* SPDX-License-Identifier: BSD-2-Clause */
/* Header fields whose values the parsers of HTTP read. */
#include "mask/head.h"

bool mask_header_kept(struct bytes name)
{
	static const char *const kept[] = {
		"content-length",
		"transfer-encoding",
		"content-encoding",
		"content-type",
		"connection",
		"host",
		"expect",
		"upgrade",
		"accept-encoding",
		"retry-after",
		"retry-after-ms",
		"x-should-retry",
		"x-server-timeout",
		"x-goog-api-client",
		"x-prompt-tokens",
		"x-generated-tokens",
		"x-amzn-errortype",
		"keep-alive",
		"date",
		"server",
		"x-elastic-product",
		NULL,
	};

	return mask_listed(kept, name) || bytes_start(name, "x-stainless-") ||
	       bytes_start(name, "x-ratelimit-") || bytes_start(name, "anthropic-ratelimit-") ||
	       bytes_start(name, "x-amzn-bedrock-");
}

bool mask_signature_kept(size_t *at, char c)
{
	static const char before[] = "AWS4-HMAC-SHA256 Credential=";
	enum { KEY = sizeof(before) - 1, SCOPE, BEHIND, OTHER };

	if (*at < KEY) {
		*at = c == before[*at] ? *at + 1 : OTHER;
		return *at != OTHER;
	}
	if (*at == KEY && c == '/')
		*at = SCOPE;
	else if (*at == SCOPE && c == ',')
		*at = BEHIND;
	return *at == SCOPE;
}
