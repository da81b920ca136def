/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds what looks like a secret: by the name before it (--api-key X, PASSWORD=X, "token": "X",
 * Authorization: Bearer X), by its own looks (known prefixes, long random strings), by its place
 * in a URL (password, query values).
 */
#include "secrets.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "base/bytes.h"

#define MASK "***"
#define NAME_MAX_LEN 128 /* a longer run of name characters is no option's name */
#define RANDOM_MIN 32    /* shortest string that is taken for a key by its looks alone */

/* ---- A growing line ---- */

struct line {
	char *p;
	size_t n, room;
	bool failed;
};

static void line_add(struct line *l, const char *p, size_t n)
{
	if (l->failed)
		return;
	if (l->n + n > l->room) {
		size_t room = 2 * (l->n + n) + 64;
		char *grown = realloc(l->p, room);

		if (!grown) {
			l->failed = true;
			return;
		}
		l->p = grown;
		l->room = room;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void line_mask(struct line *l)
{
	line_add(l, MASK, strlen(MASK));
}

/* ---- What a name says ---- */

static bool contains(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* Is word one of name's parts between - _ and . ? */
static bool has_part(const char *name, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = name; (p = strstr(p, word)); p++)
		if ((p == name || strchr("-_.", p[-1])) && strchr("-_.", p[n]))
			return true;
	return false;
}

/* Lower case, without leading dashes. False: too long for a name. */
static bool name_normal(struct bytes name, char out[NAME_MAX_LEN])
{
	while (name.n && *name.p == '-')
		name = bytes_from(name, 1);
	if (name.n == 0 || name.n >= NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < name.n; i++)
		out[i] = (char)tolower((unsigned char)name.p[i]);
	out[name.n] = '\0';
	return true;
}

static bool name_is_secret(struct bytes given)
{
	static const char *const harmless[] = { "tokenizer", "tokenize", "keyboard", "keyword",
		                                "keyspace",  "hotkey",   "monkey" };
	static const char *const telling[] = { "key",        "token",      "secret",   "passw",
		                               "credential", "passphrase", "authoriz", "bearer" };
	static const char *const parts[] = { "pass", "pwd", "pw", "auth", "cookie", "jwt" };
	char name[NAME_MAX_LEN];

	if (!name_normal(given, name))
		return false;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
		if (contains(name, harmless[i]))
			return false;
	for (size_t i = 0; i < sizeof(telling) / sizeof(*telling); i++)
		if (contains(name, telling[i]))
			return true;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (has_part(name, parts[i]))
			return true;
	return false;
}

/*
 * --max-tokens 4096 counts tokens, it is none: "tokens" in the name and a small number behind it.
 */
static bool name_counts(struct bytes given, struct bytes value)
{
	char name[NAME_MAX_LEN];
	size_t digits = 0;

	while (digits < value.n && isdigit((unsigned char)value.p[digits]))
		digits++;
	return digits > 0 && digits < 10 && digits == value.n && name_normal(given, name) &&
	       contains(name, "tokens");
}

/* ---- What a string looks like ---- */

/*
 * Keys that announce themselves; least is how much must follow before it is more than a name
 * ("hf_transfer").
 */
static const struct {
	const char *prefix;
	size_t least;
} key_prefixes[] = {
	{ "sk-", 8 },    { "sk_", 8 },    { "rk_", 8 },     { "pk_", 16 },        { "AIza", 8 },
	{ "gsk_", 8 },   { "ghp_", 8 },   { "gho_", 8 },    { "ghu_", 8 },        { "ghs_", 8 },
	{ "ghr_", 8 },   { "xoxb-", 8 },  { "xoxp-", 8 },   { "xoxa-", 8 },       { "xoxr-", 8 },
	{ "xoxs-", 8 },  { "hf_", 16 },   { "eyJ", 16 },    { "AKIA", 12 },       { "ASIA", 12 },
	{ "glpat-", 8 }, { "pplx-", 32 }, { "nvapi-", 16 }, { "r8_", 24 },        { "xai-", 24 },
	{ "tvly-", 16 }, { "lsv2_", 16 }, { "ya29.", 16 },  { "github_pat_", 8 },
};

struct looks {
	size_t upper, lower, digit, other; /* other: - _ . + / = */
	size_t changes;                    /* neighbours of different kinds, other not counted */
	bool hex;
};

static int char_kind(char c)
{
	if (c >= 'A' && c <= 'Z')
		return 'A';
	if (c >= 'a' && c <= 'z')
		return 'a';
	return c >= '0' && c <= '9' ? '0' : 0;
}

static struct looks looks_of(struct bytes s)
{
	struct looks l = { .hex = true };
	int last = 0;

	for (size_t i = 0; i < s.n; i++) {
		int kind = char_kind(s.p[i]);

		l.upper += kind == 'A';
		l.lower += kind == 'a';
		l.digit += kind == '0';
		l.other += kind == 0;
		l.changes += kind && last && kind != last;
		l.hex = l.hex && isxdigit((unsigned char)s.p[i]);
		last = kind;
	}
	return l;
}

static bool has_key_prefix(struct bytes s)
{
	for (size_t i = 0; i < sizeof(key_prefixes) / sizeof(*key_prefixes); i++) {
		size_t n = strlen(key_prefixes[i].prefix);

		if (bytes_start(s, key_prefixes[i].prefix) && s.n - n >= key_prefixes[i].least) {
			struct looks l = looks_of(bytes_from(s, n));

			/* a key has digits or both cases; sk-learn-contrib has neither */
			return l.digit || (l.upper && l.lower);
		}
	}
	return false;
}

/*
 * Random characters change between upper case, lower case and digits about twice in three; words,
 * paths and model names about once in five. One unbroken string of letters and digits needs less.
 */
static bool is_random(struct bytes s)
{
	struct looks l = looks_of(s);

	if (s.n < RANDOM_MIN)
		return false;
	if (l.other == 0)
		return (l.hex && l.changes >= 4) || (l.digit >= 4 && l.changes >= 6) ||
		       (l.upper && l.lower && 5 * l.changes >= 2 * s.n);
	return l.upper && l.lower && l.digit && 5 * l.changes >= 2 * s.n;
}

/* ---- One argument ---- */

struct scan {
	struct line *out;
	struct bytes s;
	size_t i;
	bool in_url;
};

static char at(const struct scan *c, size_t i)
{
	return i < c->s.n ? c->s.p[i] : '\0';
}

static bool is_name_char(char c)
{
	return char_kind(c) || c == '-' || c == '_' || c == '.';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void copy_to(struct scan *c, size_t end)
{
	line_add(c->out, c->s.p + c->i, end - c->i);
	c->i = end;
}

/*
 * Does another name=value or name: value start behind the separator at i? Else it belongs to the
 * value.
 */
static bool field_follows(const struct scan *c, size_t i)
{
	size_t from;

	for (i++; at(c, i) == '"' || at(c, i) == '\'';)
		i++;
	for (from = i; is_name_char(at(c, i));)
		i++;
	if (at(c, i) == '"' || at(c, i) == '\'')
		i++;
	return i > from && (at(c, i) == '=' || at(c, i) == ':');
}

/* End of the value at i: a quoted one at its quote, else at one of stop. */
static size_t value_end(const struct scan *c, size_t i, const char *stop)
{
	char quote = at(c, i);

	if (quote == '"' || quote == '\'') {
		for (i++; i < c->s.n && c->s.p[i] != quote; i++)
			if (c->s.p[i] == '\\' && i + 1 < c->s.n)
				i++;
		return i < c->s.n ? i + 1 : i;
	}
	while (i < c->s.n && !strchr(stop, c->s.p[i]) &&
	       !(strchr(";,&", c->s.p[i]) && field_follows(c, i)))
		i++;
	return i;
}

static bool is_scheme_word(struct bytes w)
{
	static const char *const words[] = { "bearer", "basic", "token", "apikey", "digest" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (w.n == strlen(words[i]) && strncasecmp(w.p, words[i], w.n) == 0)
			return true;
	return false;
}

/*
 * Masks the value that starts at i, after spaces and "Bearer" and its like. whole: to the end of
 * the argument.
 */
static void mask_value(struct scan *c, struct bytes name, bool whole)
{
	static const char stop[] = " \t\r\n\"'";
	size_t i = c->i, end;

	while (is_space(at(c, i)))
		i++;
	end = value_end(c, i, stop);
	if (is_scheme_word((struct bytes){ c->s.p + i, end - i }) && is_space(at(c, end))) {
		for (i = end; is_space(at(c, i));)
			i++;
		end = value_end(c, i, stop);
	}
	if (whole)
		end = c->s.n;
	copy_to(c, i);
	if (end == i)
		return;
	if (name_counts(name, (struct bytes){ c->s.p + i, end - i })) {
		copy_to(c, end);
		return;
	}
	line_mask(c->out);
	c->i = end;
}

/* Behind "://": user:password@ and the values of the query. */
static void scan_authority(struct scan *c)
{
	size_t end = c->i, host = 0, colon = 0;

	while (end < c->s.n && !strchr("/?#\"' \t\r\n", c->s.p[end])) {
		if (c->s.p[end] == '@')
			host = end;
		end++;
	}
	for (size_t i = c->i; i < end && !colon; i++)
		if (c->s.p[i] == ':')
			colon = i;
	/* no port behind the colon: a password with an unescaped slash in it */
	for (size_t i = end; !host && colon && !isdigit((unsigned char)at(c, colon + 1)) &&
	                     i < c->s.n && !strchr("\"' \t\r\n", c->s.p[i]);
	     i++)
		if (c->s.p[i] == '@')
			host = i;
	if (host && colon && colon < host) {
		copy_to(c, colon + 1);
		line_mask(c->out);
		c->i = host;
	}
}

static void scan_query(struct scan *c)
{
	static const char stop[] = "&;# \t\r\n\"'";

	copy_to(c, c->i + 1);
	while (c->i < c->s.n) {
		size_t i = c->i;

		while (i < c->s.n && c->s.p[i] != '=' && !strchr(stop, c->s.p[i]))
			i++;
		if (at(c, i) != '=') { /* a value without a name */
			if (i > c->i)
				line_mask(c->out);
			c->i = i;
		} else {
			copy_to(c, i + 1);
			c->i = value_end(c, c->i, stop);
			line_mask(c->out);
		}
		if (at(c, c->i) != '&' && at(c, c->i) != ';')
			return;
		copy_to(c, c->i + 1);
	}
}

/* A run of base64 characters that starts here, a slash in it or not; paths start with one. */
static size_t random_run(const struct scan *c)
{
	size_t i = c->i;

	while (is_name_char(at(c, i)) || at(c, i) == '+' || at(c, i) == '=' ||
	       (at(c, i) == '/' && !c->in_url))
		i++;
	return is_random((struct bytes){ c->s.p + c->i, i - c->i }) ? i : c->i;
}

/* keydb:6379 and token-service:80 are hosts and their ports. */
static bool is_port(const struct scan *c, size_t i, struct bytes name)
{
	size_t from = i;
	char normal[NAME_MAX_LEN];

	while (isdigit((unsigned char)at(c, i)))
		i++;
	return i > from && i - from <= 5 && !is_name_char(at(c, i)) && name_normal(name, normal) &&
	       !contains(normal, "passw") && !contains(normal, "secret") &&
	       !contains(normal, "pwd");
}

/*
 * Where the value of a secret name ending at i starts: behind = or :, quotes and spaces before it;
 * 0: no such thing.
 */
static size_t value_of_name(const struct scan *c, size_t i, struct bytes name)
{
	if (c->in_url || !name_is_secret(name))
		return 0;
	if (at(c, i) == '"' || at(c, i) == '\'')
		i++;
	while (is_space(at(c, i)))
		i++;
	if (at(c, i) == ':' &&
	    (is_port(c, i + 1, name) || (at(c, i + 1) == '/' && at(c, i + 2) == '/')))
		return 0;
	return at(c, i) == '=' || at(c, i) == ':' ? i + 1 : 0;
}

/* One run of name characters at c->i. True: it was an option whose value is the next argument. */
static bool scan_word(struct scan *c, size_t start)
{
	size_t end = c->i, value, run;
	bool in_path = c->i > 0 && c->s.p[c->i - 1] == '/' && !c->in_url;
	struct bytes word;

	while (is_name_char(at(c, end)))
		end++;
	word = (struct bytes){ c->s.p + c->i, end - c->i };
	if (has_key_prefix(word) || (!in_path && is_random(word))) {
		line_mask(c->out);
		c->i = end;
		return false;
	}
	value = value_of_name(c, end, word);
	if (value) {
		copy_to(c, value);
		mask_value(c, word, start == 0 && at(c, value - 1) == '=' && at(c, end) == '=');
		return false;
	}
	if (*word.p == '-' && name_is_secret(word) && (end == c->s.n || is_space(at(c, end)))) {
		copy_to(c, end);
		if (end == c->s.n)
			return true;
		mask_value(c, word, false);
		return false;
	}
	if (word.n == 6 && strncasecmp(word.p, "bearer", 6) == 0 && is_space(at(c, end))) {
		copy_to(c, end);
		mask_value(c, word, false);
		return false;
	}
	run = in_path ? c->i : random_run(c);
	if (run > c->i) {
		line_mask(c->out);
		c->i = run;
	} else {
		copy_to(c, end);
	}
	return false;
}

/* The option whose secret value is the next argument, empty if none. */
static struct bytes mask_argument(struct line *out, struct bytes arg)
{
	struct scan c = { .out = out, .s = arg };

	while (c.i < arg.n) {
		char ch = arg.p[c.i];

		if (is_space(ch) || ch == '"' || ch == '\'')
			c.in_url = false;
		if (is_name_char(ch)) {
			size_t start = c.i;

			if (scan_word(&c, start))
				return bytes_from(arg, start);
		} else if (ch == ':' && at(&c, c.i + 1) == '/' && at(&c, c.i + 2) == '/') {
			copy_to(&c, c.i + 3);
			c.in_url = true;
			scan_authority(&c);
		} else if (ch == '?' && c.in_url) {
			scan_query(&c);
		} else {
			copy_to(&c, c.i + 1);
		}
	}
	return (struct bytes){ NULL, 0 };
}

/* ---- Printable text ---- */

/* Length of the character at p, 0 if it is not valid UTF-8 or not fit to be printed. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t code = p[0];

	if (len == 1)
		return code >= 0x20 && code != 0x7f;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
		return 0;
	code &= 0xffu >> (len + 1);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	/*
	 * C1 controls, line separators and direction overrides can make a line show what it is not
	 */
	if (code < 0xa0 || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
		return 0;
	return len;
}

/* Number of bytes of out used, never more than room; *cut: not all fitted. */
static size_t clean(const char *text, size_t n, char *out, size_t room, bool *cut)
{
	size_t used = 0;

	*cut = false;
	for (size_t i = 0; i < n;) {
		size_t len = utf8_length((const unsigned char *)text + i, n - i);
		size_t need = len ? len : 1;

		if (used + need > room) {
			*cut = true;
			return used;
		}
		if (len)
			memcpy(out + used, text + i, len);
		else
			out[used] = is_space(text[i]) ? ' ' : '?';
		used += need;
		i += need;
	}
	return used;
}

void secrets_clean(const char *text, size_t n, char *out, size_t room)
{
	bool cut;

	if (room)
		out[clean(text, n, out, room - 1, &cut)] = '\0';
}

char *command_mask(const char *text, size_t n)
{
	struct line masked = { 0 };
	struct bytes option = { NULL, 0 };
	bool cut;
	char *out;
	size_t used;

	while (n && text[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n;) {
		const char *nul = memchr(text + i, 0, n - i);
		struct bytes arg = { text + i, nul ? (size_t)(nul - text) - i : n - i };

		if (i)
			line_add(&masked, " ", 1);
		/* an option with a secret's name may be a mere switch: another option follows */
		if (!option.n || (arg.n > 2 && bytes_start(arg, "--") && char_kind(arg.p[2]))) {
			option = mask_argument(&masked, arg);
		} else {
			if (name_counts(option, arg))
				line_add(&masked, arg.p, arg.n);
			else
				line_mask(&masked);
			option.n = 0;
		}
		i += arg.n + 1;
	}
	out = masked.failed ? NULL : malloc(SECRETS_LINE_MAX);
	if (out) {
		used = clean(masked.p, masked.n, out, SECRETS_LINE_MAX - 4, &cut);
		memcpy(out + used, cut ? "..." : "", cut ? 4 : 1);
	}
	free(masked.p);
	return out;
}
