/* SPDX-License-Identifier: BSD-2-Clause */
/* Text for people: harmless to a terminal, and measured in its columns. */
#include "text.h"

/* Decodes one character (RFC 3629: no overlong forms, no surrogates). Returns its length, 0 when the bytes are none. */
static size_t decode(const char *s, uint32_t *cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s;
	size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 4;
	uint32_t c = n == 1 ? p[0] : p[0] & (0xff >> (n + 1));

	if (n == 4 && (p[0] & 0xf8) != 0xf0)
		return 0;
	/* a NUL ends the loop like any byte that cannot continue a character */
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*cp = c;
	return n;
}

bool text_is_utf8(const char *s)
{
	uint32_t c;

	for (size_t n; *s; s += n) {
		n = decode(s, &c);
		if (!n)
			return false;
	}
	return true;
}

/* Characters that drive a terminal or make text look like other text. */
static bool unsafe(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {
		{ 0x00, 0x1f },       { 0x7f, 0x9f }, /* C0, DEL and C1: 0x9b is CSI in one byte */
		{ 0xad, 0xad },       { 0x61c, 0x61c },   /* soft hyphen; a mark of direction */
		{ 0x180e, 0x180e },   { 0x200b, 0x200f }, /* no width; direction */
		{ 0x2028, 0x202e },   { 0x2060, 0x206f }, /* new lines; overrides and isolates */
		{ 0xfeff, 0xfeff },   { 0xfff0, 0xfffb }, /* byte order mark; annotations */
		{ 0xe0000, 0xe0fff },                     /* tags: invisible */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}

size_t text_clean(char *buf, size_t n, const char *s, bool ascii)
{
	size_t used = 0;

	while (*s) {
		uint32_t c = 0;
		size_t len = decode(s, &c);
		bool bad = len == 0 || unsafe(c) || (ascii && len > 1);
		size_t out = bad ? 1 : len;

		if (used + out >= n)
			break;
		if (bad)
			buf[used] = '?';
		else
			memmove(buf + used, s, len);
		used += out;
		s += len ? len : 1;
	}
	buf[used] = '\0';
	return used;
}

/* Everything beyond the alphabets of one column counts as two, except the punctuation and the block elements that
 * whystuck draws with: a table of all wide characters would be longer and out of date. */
static size_t columns_of(uint32_t c)
{
	bool narrow = c < 0x1100 || (c >= 0x2000 && c <= 0x206f) || (c >= 0x2500 && c <= 0x259f);

	return narrow ? 1 : 2;
}

/* Length of the longest beginning of s that takes at most max columns; *columns tells how many it does. */
static size_t prefix(const char *s, size_t max, size_t *columns)
{
	size_t off = 0;

	*columns = 0;
	while (s[off]) {
		uint32_t c = '?';
		size_t len = decode(s + off, &c);

		if (*columns + columns_of(c) > max)
			break;
		*columns += columns_of(c);
		off += len ? len : 1;
	}
	return off;
}

size_t text_columns(const char *s)
{
	size_t columns;

	prefix(s, SIZE_MAX, &columns);
	return columns;
}

void text_cut(char *s, size_t columns)
{
	size_t used;

	s[prefix(s, columns, &used)] = '\0';
}
