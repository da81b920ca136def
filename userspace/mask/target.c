/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masks the target of a request (RFC 9112, 3.2): the path stays, an authority without what stands before its '@', and of the
 * query the parameters by which operations are told (store/route.c, store/s3.c).
 */
#include "mask/head.h"

enum url_at {
	URL_START,
	URL_SCHEME,
	URL_AUTHORITY,
	URL_PATH,
	URL_NAME,
	URL_VALUE,
	URL_FRAGMENT,
	URL_DONE
};

static void name_start(struct mask_target *t)
{
	t->at = URL_NAME;
	word_start(t->word, t->key, WORD_TRY);
}

/* Parameters of stores whose names tell the operation. */
static const char *const parameters[] = {
	"uploads",
	"uploadid",
	"partnumber",
	"delete",
	"tagging",
	"acl",
	"versions",
	"location",
	"versioning",
	"policy",
	"lifecycle",
	"attributes",
	"select",
	"restore",
	"object-lock",
	"events",
	"wait_for_status",
	"wait_for_nodes",
	"wait_for_active_shards",
	"wait_for_no_relocating_shards",
	NULL,
};

/* The name of a query parameter is complete, or its value, whichever it was. */
static void parameter_end(struct mask_target *t)
{
	char buf[MASK_WORD_MAX];

	if (t->at == URL_NAME)
		word_end(t->word, mask_listed(parameters, word_text(t->word, buf)));
	else
		word_end(t->word, t->keep);
}

static void value_start(struct mask_target *t)
{
	/* store/route.c, store/s3.c: by these operations are told */
	static const char *const kept[] = { "alt",       "api-version",         "action",
		                            "list-type", "wait_for_completion", NULL };
	char buf[MASK_WORD_MAX];
	struct bytes name = word_text(t->word, buf);

	t->keep = mask_listed(kept, name);
	word_end(t->word, t->keep || mask_listed(parameters, name));
	word_start(t->word, t->key, t->keep ? WORD_TRY : WORD_MASK);
	t->at = URL_VALUE;
}

static void authority_start(struct mask_target *t)
{
	t->at = URL_AUTHORITY;
	word_start(t->word, t->key, WORD_TRY);
}

static void fragment_start(struct mask_target *t)
{
	t->at = URL_FRAGMENT;
	word_start(t->word, t->key, WORD_MASK);
}

static void url_start(struct mask_target *t, char c)
{
	if (t->connect)
		authority_start(t);
	else
		t->at = c == '/' || c == '*' ? URL_PATH : URL_SCHEME;
}

void mask_target_start(struct mask_target *t, const uint8_t *key, struct mask_word *word,
                       bool connect)
{
	*t = (struct mask_target){ .key = key, .word = word, .connect = connect };
}

void mask_target_byte(struct mask_target *t, char *p)
{
	bool query = t->at == URL_NAME || t->at == URL_VALUE;

	if (t->at == URL_START)
		url_start(t, *p);
	if (t->at == URL_SCHEME) {
		t->slashes += *p == '/';
		if (t->slashes == 2)
			authority_start(t);
	} else if (t->at == URL_FRAGMENT) {
		word_byte(t->word, p);
	} else if (t->at == URL_AUTHORITY && *p == '@') {
		word_end(t->word, false); /* that was a user and a password */
		authority_start(t);
	} else if (t->at == URL_AUTHORITY && *p != '/' && *p != '?' && *p != '#') {
		word_byte(t->word, p);
	} else if (*p == '#') {
		word_end(t->word, t->at == URL_AUTHORITY || (t->at == URL_VALUE && t->keep));
		fragment_start(t);
	} else if (!query) {
		if (t->at == URL_AUTHORITY)
			word_end(t->word, true);
		t->at = URL_PATH;
		if (*p == '?')
			name_start(t);
	} else if (*p == '&') {
		parameter_end(t);
		name_start(t);
	} else if (*p == '=' && t->at == URL_NAME) {
		value_start(t);
	} else {
		word_byte(t->word, p);
	}
}

void mask_target_end(struct mask_target *t)
{
	if (t->at == URL_DONE)
		return;
	if (t->at == URL_NAME)
		parameter_end(t);
	word_end(t->word, t->at == URL_AUTHORITY || (t->at == URL_VALUE && t->keep));
	t->at = URL_DONE;
}
