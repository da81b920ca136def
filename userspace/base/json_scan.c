/* SPDX-License-Identifier: BSD-2-Clause */
/* The streaming JSON tokenizer: one step per byte outside strings, whole runs inside them. */
#include "base/json_scan.h"

enum step {
	STEP_VALUE,        /* a value must come */
	STEP_VALUE_OR_END, /* just after '[' */
	STEP_KEY_OR_END,   /* just after '{' */
	STEP_KEY,          /* after ',' in an object */
	STEP_COLON,
	STEP_NEXT, /* after a value: ',' or the end of the container */
	STEP_STRING,
	STEP_ESCAPE,
	STEP_HEX,
	STEP_NUMBER,
	STEP_LITERAL,
};

#define REPLACEMENT 0xfffd /* stands for a surrogate without its other half */

void json_init(struct json_scan *s, json_callback *token, void *ctx)
{
	s->state = JSON_OPEN;
	s->depth = 0;
	s->token = token;
	s->ctx = ctx;
	s->step = STEP_VALUE;
	s->in_key = s->first = s->key_long = false;
	s->high = 0;
}

void json_gap(struct json_scan *s)
{
	if (s->state == JSON_OPEN)
		s->state = JSON_CUT;
}

static bool in_object(const struct json_scan *s, unsigned level)
{
	return s->nest[level / 64] >> (level % 64) & 1;
}

static void emit(struct json_scan *s, enum json_kind kind, struct bytes text, bool last)
{
	struct json_token t = { kind, s->first, last, text };

	if (s->token)
		s->token(s->ctx, s, &t);
	s->first = false;
}

static void emit_whole(struct json_scan *s, enum json_kind kind, struct bytes text)
{
	s->first = true;
	emit(s, kind, text, true);
}

/* A value ended: what may follow. */
static void value_end(struct json_scan *s)
{
	if (s->depth == 0)
		s->state = JSON_DONE;
	else
		s->step = STEP_NEXT;
}

static void container_begin(struct json_scan *s, bool object)
{
	uint64_t bit = 1ull << (s->depth % 64);

	emit_whole(s, object ? JSON_OBJECT : JSON_ARRAY, (struct bytes){ "", 0 });
	if (s->depth == JSON_DEPTH_MAX) {
		s->state = JSON_BAD;
		return;
	}
	if (object)
		s->nest[s->depth / 64] |= bit;
	else
		s->nest[s->depth / 64] &= ~bit;
	if (s->depth < JSON_LEVELS_MAX)
		s->key_n[s->depth] = 0;
	s->depth++;
	s->step = object ? STEP_KEY_OR_END : STEP_VALUE_OR_END;
}

static void container_end(struct json_scan *s, bool object)
{
	if (s->depth == 0 || in_object(s, s->depth - 1) != object) {
		s->state = JSON_BAD;
		return;
	}
	s->depth--;
	emit_whole(s, object ? JSON_OBJECT_END : JSON_ARRAY_END, (struct bytes){ "", 0 });
	value_end(s);
}

static void string_begin(struct json_scan *s, bool key)
{
	s->in_key = key;
	s->first = true;
	s->key_long = false;
	s->high = 0;
	s->step = STEP_STRING;
	if (key && s->depth <= JSON_LEVELS_MAX)
		s->key_n[s->depth - 1] = 0;
}

static void key_text(struct json_scan *s, struct bytes b)
{
	unsigned level = s->depth - 1;

	if (level >= JSON_LEVELS_MAX)
		return;
	if (s->key_long || b.n > (size_t)(JSON_KEY_MAX - s->key_n[level])) {
		s->key_long = true;
		s->key_n[level] = 0;
		return;
	}
	if (b.n)
		memcpy(s->key[level] + s->key_n[level], b.p, b.n);
	s->key_n[level] += b.n;
}

static void string_text(struct json_scan *s, struct bytes b, bool last)
{
	if (s->in_key)
		key_text(s, b);
	else if (b.n || last)
		emit(s, JSON_STRING, b, last);
}

static void string_char(struct json_scan *s, uint32_t c)
{
	char u[4];
	size_t n = 0;

	if (c < 0x80) {
		u[n++] = c;
	} else if (c < 0x800) {
		u[n++] = 0xc0 | c >> 6;
		u[n++] = 0x80 | (c & 0x3f);
	} else if (c < 0x10000) {
		u[n++] = 0xe0 | c >> 12;
		u[n++] = 0x80 | (c >> 6 & 0x3f);
		u[n++] = 0x80 | (c & 0x3f);
	} else {
		u[n++] = 0xf0 | c >> 18;
		u[n++] = 0x80 | (c >> 12 & 0x3f);
		u[n++] = 0x80 | (c >> 6 & 0x3f);
		u[n++] = 0x80 | (c & 0x3f);
	}
	string_text(s, (struct bytes){ u, n }, false);
}

/* The second half of a surrogate pair did not come. */
static void string_lone(struct json_scan *s)
{
	if (s->high) {
		s->high = 0;
		string_char(s, REPLACEMENT);
	}
}

static void string_unicode(struct json_scan *s, uint32_t c)
{
	bool low = c >= 0xdc00 && c < 0xe000;

	if (s->high && low) {
		c = 0x10000 + ((s->high - 0xd800) << 10) + (c - 0xdc00);
		s->high = 0;
		string_char(s, c);
		return;
	}
	string_lone(s);
	if (c >= 0xd800 && c < 0xdc00)
		s->high = c;
	else
		string_char(s, low ? REPLACEMENT : c);
}

/* A run up to a quote, an escape or the end of b. Returns its length, what ended it included. */
static size_t string_run(struct json_scan *s, struct bytes b)
{
	size_t n = 0;

	/* a raw line end is no part of a string: this is where a scan that lost its way notices */
	while (n < b.n && b.p[n] != '"' && b.p[n] != '\\' && b.p[n] != '\n' && b.p[n] != '\r')
		n++;
	if (s->high && (n || (n < b.n && b.p[n] != '\\')))
		string_lone(s);
	if (n == b.n) {
		string_text(s, b, false);
		return n;
	}
	if (b.p[n] == '"') {
		string_text(s, (struct bytes){ b.p, n }, true);
		if (s->in_key)
			s->step = STEP_COLON;
		else
			value_end(s);
		return n + 1;
	}
	string_text(s, (struct bytes){ b.p, n }, false);
	if (b.p[n] == '\\')
		s->step = STEP_ESCAPE;
	else
		s->state = JSON_BAD;
	return n + 1;
}

static void escape(struct json_scan *s, char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *f = c ? strchr(from, c) : NULL;

	s->step = STEP_STRING;
	if (c == 'u') {
		s->hex = s->hex_n = 0;
		s->step = STEP_HEX;
	} else if (f) {
		string_lone(s);
		string_char(s, (uint8_t)to[f - from]);
	} else {
		s->state = JSON_BAD;
	}
}

static void hex_digit(struct json_scan *s, char c)
{
	uint32_t v;

	if (c >= '0' && c <= '9') {
		v = c - '0';
	} else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
		v = (c | 0x20) - 'a' + 10;
	} else {
		s->state = JSON_BAD;
		return;
	}
	s->hex = s->hex << 4 | v;
	if (++s->hex_n < 4)
		return;
	s->step = STEP_STRING;
	string_unicode(s, s->hex);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_number(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static void literal_begin(struct json_scan *s, const char *text, enum json_kind kind)
{
	s->literal = text;
	s->literal_kind = kind;
	s->literal_n = 1;
	s->step = STEP_LITERAL;
}

static void literal_char(struct json_scan *s, char c)
{
	if (s->literal[s->literal_n] != c) {
		s->state = JSON_BAD;
		return;
	}
	if (s->literal[++s->literal_n])
		return;
	emit_whole(s, s->literal_kind, (struct bytes){ "", 0 });
	value_end(s);
}

static void number_char(struct json_scan *s, char c)
{
	if (s->number_n < JSON_NUMBER_MAX)
		s->number[s->number_n] = c;
	if (s->number_n <= JSON_NUMBER_MAX)
		s->number_n++;
}

static void number_end(struct json_scan *s)
{
	size_t n = s->number_n <= JSON_NUMBER_MAX ? s->number_n : 0;

	s->number[n] = '\0';
	emit_whole(s, JSON_NUMBER, (struct bytes){ s->number, n });
	value_end(s);
}

static void value_begin(struct json_scan *s, char c)
{
	switch (c) {
	case '{':
	case '[':
		container_begin(s, c == '{');
		break;
	case '"':
		string_begin(s, false);
		break;
	case 't':
		literal_begin(s, "true", JSON_TRUE);
		break;
	case 'f':
		literal_begin(s, "false", JSON_FALSE);
		break;
	case 'n':
		literal_begin(s, "null", JSON_NULL);
		break;
	default:
		if (c != '-' && (c < '0' || c > '9')) {
			s->state = JSON_BAD;
			break;
		}
		s->number_n = 0;
		number_char(s, c);
		s->step = STEP_NUMBER;
	}
}

/* A byte between values. */
static void structure(struct json_scan *s, char c)
{
	bool object = s->depth && in_object(s, s->depth - 1);

	if (is_space(c))
		return;
	if (s->step == STEP_VALUE_OR_END && c == ']')
		container_end(s, false);
	else if (s->step == STEP_VALUE || s->step == STEP_VALUE_OR_END)
		value_begin(s, c);
	else if (s->step == STEP_KEY_OR_END && c == '}')
		container_end(s, true);
	else if ((s->step == STEP_KEY || s->step == STEP_KEY_OR_END) && c == '"')
		string_begin(s, true);
	else if (s->step == STEP_COLON && c == ':')
		s->step = STEP_VALUE;
	else if (s->step == STEP_NEXT && c == ',')
		s->step = object ? STEP_KEY : STEP_VALUE;
	else if (s->step == STEP_NEXT && (c == '}' || c == ']'))
		container_end(s, c == '}');
	else
		s->state = JSON_BAD;
}

size_t json_feed(struct json_scan *s, struct bytes b)
{
	size_t i = 0;

	while (i < b.n && s->state == JSON_OPEN) {
		char c = b.p[i];

		switch (s->step) {
		case STEP_STRING:
			i += string_run(s, bytes_from(b, i));
			break;
		case STEP_ESCAPE:
			escape(s, c);
			i++;
			break;
		case STEP_HEX:
			hex_digit(s, c);
			i++;
			break;
		case STEP_LITERAL:
			literal_char(s, c);
			i++;
			break;
		case STEP_NUMBER:
			/* the byte that ends a number is looked at again */
			if (is_number(c)) {
				number_char(s, c);
				i++;
			} else {
				number_end(s);
			}
			break;
		default:
			structure(s, c);
			i++;
		}
	}
	return i;
}

struct bytes json_key(const struct json_scan *s, unsigned level)
{
	if (level >= s->depth || level >= JSON_LEVELS_MAX || !in_object(s, level))
		return (struct bytes){ "", 0 };
	return (struct bytes){ s->key[level], s->key_n[level] };
}

bool json_in_array(const struct json_scan *s, unsigned level)
{
	return level < s->depth && !in_object(s, level);
}

bool json_under(const struct json_scan *s, unsigned base, const char *path, unsigned *ret_level)
{
	unsigned level = base;

	while (*path) {
		size_t n = strcspn(path, ".");
		struct bytes key;

		if (level >= s->depth || level >= JSON_LEVELS_MAX)
			return false;
		key = json_key(s, level);
		if (!in_object(s, level) ? n != 2 || memcmp(path, "[]", 2) != 0
		                         : key.n != n || memcmp(key.p, path, n) != 0)
			return false;
		path += n + (path[n] == '.');
		level++;
	}
	*ret_level = level;
	return true;
}

bool json_at(const struct json_scan *s, unsigned base, const char *path)
{
	unsigned level;

	return json_under(s, base, path, &level) && level == s->depth;
}

/* Where the string that ends at t.p[end] (a quote) begins; -1 when that lies before the tail. */
static long string_start(struct bytes t, size_t end)
{
	for (size_t i = end; i-- > 0;) {
		size_t n = 0;

		if (t.p[i] != '"')
			continue;
		while (n < i && t.p[i - 1 - n] == '\\')
			n++;
		/* up to the edge: whether the backslashes come in pairs was not seen */
		if (n == i)
			return -1;
		if (n % 2 == 0)
			return (long)i;
	}
	return -1;
}

long json_tail(struct bytes tail, char *open, unsigned max_open, unsigned *ret_open)
{
	char stack[JSON_DEPTH_MAX];
	unsigned depth = 0;
	long best = -1;

	for (long i = (long)tail.n - 1; i >= 0; i--) {
		char c = tail.p[i];

		if (is_space(c))
			continue;
		if (depth == 0 && c != '}' && c != ']')
			return -1;
		switch (c) {
		case '"':
			i = string_start(tail, (size_t)i);
			if (i < 0)
				return best;
			break;
		case '}':
		case ']':
			if (depth == JSON_DEPTH_MAX)
				return best;
			stack[depth++] = c == '}' ? '{' : '[';
			break;
		case '{':
		case '[':
			if (stack[--depth] != c)
				return -1;
			if (depth == 0) {
				*ret_open = 0;
				return i;
			}
			break;
		case ',':
			if (depth <= max_open) {
				best = i + 1;
				memcpy(open, stack, depth);
				*ret_open = depth;
			}
			break;
		default:
			break;
		}
	}
	return best;
}
