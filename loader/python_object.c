/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offsets were taken with offsetof() against each version's own headers (x86-64), and one layout holds for all releases of a
 * minor version. Free-threaded builds lay objects out otherwise and are not read.
 */
#include "python_object.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "event.h"
#include "procfs.h"
#include "state.h"

#define DICT_ENTRIES_MAX \
	65536 /* more modules than any program imports, more names than a module has */
#define DICT_ENTRIES_AT_ONCE 256
#define SET_SLOTS_MAX (1 << 20) /* of a set with some 200,000 members */
#define SET_SLOTS_AT_ONCE 256

#define MODULE_NAME_MAX 64

/* The same in all versions read here. */
#define TYPE_BASICSIZE 32
#define TYPE_FLAGS 168
#define TYPE_DICTOFFSET 288
#define SET_MASK 32 /* slots - 1, then the table's address */
#define WEAKREF_OBJECT 16
#define INT_DIGITS 24
#define INT_TAG 16 /* from 3.12 on; before it is the signed number of digits */
#define STR_COMPACT (1 << 5)
#define STR_ASCII (1 << 6)
#define STR_COMPACT_ASCII (STR_COMPACT | STR_ASCII)

/* Py_TPFLAGS_INLINE_VALUES (from 3.13 on), Py_TPFLAGS_MANAGED_DICT (3.11) */
#define FLAG_INLINE_VALUES (1 << 2)
#define FLAG_MANAGED_DICT (1 << 4)

enum attributes {
	IN_DICT,  /* a dict, whose address is tp_dictoffset behind the object */
	IN_FRONT, /* four words before it: its values' address; three: its dict's */
	TAGGED,   /* three words before it: one of the two, the lowest bit set: values, less one */
	INLINE,   /* behind it, unless its dict, three words before, has been given others */
};

static const struct python_shape shapes[] = {
	{ 8, IN_DICT, false, 48, 72, 24, 0 },  { 9, IN_DICT, false, 48, 72, 24, 0 },
	{ 10, IN_DICT, false, 48, 72, 24, 0 }, { 11, IN_FRONT, true, 48, 72, 24, 872 },
	{ 12, TAGGED, true, 40, 56, 24, 880 }, { 13, INLINE, true, 40, 56, 24, 880 },
	{ 14, INLINE, true, 40, 56, 32, 880 }, { 15, INLINE, true, 40, 56, 32, 888 },
};

const struct python_shape *python_shape(uint32_t minor)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (shapes[i].minor == minor)
			return &shapes[i];
	return NULL;
}

bool python_word(uint32_t pid, uint64_t addr, uint64_t *to)
{
	return addr && procfs_memory(pid, addr, to, sizeof(*to)) == 0;
}

/* ---- types ---- */

/* tp_name, cut to n bytes with the NUL. It may end where memory does. */
static bool type_name(uint32_t pid, uint64_t object, char *to, size_t n)
{
	uint64_t type, name;

	if (!python_word(pid, object + PYTHON_OB_TYPE, &type) ||
	    !python_word(pid, type + PYTHON_TYPE_NAME, &name) || !name)
		return false;
	if (procfs_memory(pid, name, to, n) == 0) {
		to[n - 1] = '\0';
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		if (procfs_memory(pid, name + i, to + i, 1))
			return false;
		if (!to[i])
			return true;
	}
	to[n - 1] = '\0';
	return true;
}

bool python_type_name(uint32_t pid, uint64_t object, char *to, size_t n)
{
	char name[MODULE_NAME_MAX * 2];
	const char *last;

	if (!object || !type_name(pid, object, name, sizeof(name)))
		return false;
	last = strrchr(name, '.');
	snprintf(to, n, "%s", last ? last + 1 : name);
	for (char *p = to; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
	return true;
}

bool python_is_a(uint32_t pid, uint64_t object, const char *type)
{
	uint64_t t, name;
	size_t n = strlen(type) + 1;
	char text[32];

	return object && n <= sizeof(text) && python_word(pid, object + PYTHON_OB_TYPE, &t) &&
	       python_word(pid, t + PYTHON_TYPE_NAME, &name) && name &&
	       procfs_memory(pid, name, text, n) == 0 && memcmp(text, type, n) == 0;
}

/* ---- dicts ---- */

/* The keys of a dict, and where its values are not kept elsewhere its values. */
struct keys {
	uint64_t entries; /* address */
	uint64_t n;
	size_t size; /* of an entry; its last two words are key and value */
};

static bool keys_open(uint32_t pid, const struct python_shape *s, uint64_t addr, struct keys *d)
{
	union {
		uint64_t words[5];
		uint8_t bytes[40];
	} k;
	uint64_t index;

	if (!addr || procfs_memory(pid, addr, &k, sizeof(k)))
		return false;
	if (s->log2) {
		if (k.bytes[9] > 31)
			return false;
		index = 32 + (1ull << k.bytes[9]);
		d->n = k.words[3];
		d->size = k.bytes[10] ? 16 : 24;
	} else {
		index = 40 + k.words[1] * (k.words[1] <= 0xff ? 1 : k.words[1] <= 0xffff ? 2 : 4);
		d->n = k.words[4];
		d->size = 24;
	}
	d->entries = addr + index;
	return d->n <= DICT_ENTRIES_MAX;
}

static bool is_text(uint32_t pid, const struct python_shape *s, uint64_t str, const char *text,
                    size_t n)
{
	uint32_t state;
	char have[64];

	return n <= sizeof(have) &&
	       procfs_memory(pid, str + PYTHON_STR_STATE, &state, sizeof(state)) == 0 &&
	       (state & STR_COMPACT_ASCII) == STR_COMPACT_ASCII &&
	       procfs_memory(pid, str + s->ascii, have, n) == 0 && memcmp(have, text, n) == 0;
}

/* Which of n entries at addr has that key, -1 none; the lengths of all their keys in one read. split: no value there. */
static int entries_search(uint32_t pid, const struct python_shape *s, uint64_t addr, size_t n,
                          size_t size, const char *name, bool split, uint64_t *value)
{
	uint64_t entries[DICT_ENTRIES_AT_ONCE * 3], lengths[DICT_ENTRIES_AT_ONCE];
	struct iovec local = { lengths, 0 }, keys[DICT_ENTRIES_AT_ONCE];
	size_t len = strlen(name), words = size / 8, used = 0;
	size_t at[DICT_ENTRIES_AT_ONCE];

	if (procfs_memory(pid, addr, entries, n * size))
		return -1;
	for (size_t i = 0; i < n; i++) {
		const uint64_t *pair = entries + i * words + words - 2;

		if (!pair[0] || (!pair[1] && !split)) /* deleted */
			continue;
		keys[used] = (struct iovec){ (void *)(uintptr_t)(pair[0] + PYTHON_STR_LENGTH), 8 };
		at[used++] = i;
	}
	local.iov_len = used * 8;
	if (process_vm_readv((pid_t)pid, &local, 1, keys, used, 0) != (ssize_t)local.iov_len)
		return -1;
	for (size_t i = 0; i < used; i++) {
		const uint64_t *pair = entries + at[i] * words + words - 2;

		if (lengths[i] == len && is_text(pid, s, pair[0], name, len)) {
			*value = pair[1];
			return (int)at[i];
		}
	}
	return -1;
}

/* Number of the entry with that key, -1 none. */
static int64_t keys_search(uint32_t pid, const struct python_shape *s, const struct keys *k,
                           const char *name, bool split, uint64_t *value)
{
	for (uint64_t i = 0; i < k->n; i += DICT_ENTRIES_AT_ONCE) {
		uint64_t n = k->n - i < DICT_ENTRIES_AT_ONCE ? k->n - i : DICT_ENTRIES_AT_ONCE;
		int at = entries_search(pid, s, k->entries + i * k->size, n, k->size, name, split,
		                        value);

		if (at >= 0)
			return (int64_t)i + at;
	}
	return -1;
}

/* The value of a name that stands in an array beside its keys. */
static bool split_find(uint32_t pid, const struct python_shape *s, uint64_t keys, uint64_t values,
                       const char *name, uint64_t *value)
{
	struct keys k;
	uint64_t none, found;
	int64_t i;

	if (!keys_open(pid, s, keys, &k))
		return false;
	i = keys_search(pid, s, &k, name, true, &none);
	if (i < 0 || !python_word(pid, values + (uint64_t)i * 8, &found) || !found)
		return false;
	*value = found;
	return true;
}

bool python_dict_find(uint32_t pid, const struct python_shape *s, uint64_t dict, const char *name,
                      uint64_t *value)
{
	uint64_t head[4]; /* used, version, keys, values */
	struct keys k;

	if (!python_is_a(pid, dict, "dict") ||
	    procfs_memory(pid, dict + PYTHON_DICT_USED, head, sizeof(head)))
		return false;
	if (head[3]) /* struct _dictvalues begins with four bytes of its own from 3.13 on */
		return split_find(pid, s, head[2], head[3] + (s->attributes == INLINE ? 8 : 0),
		                  name, value);
	return keys_open(pid, s, head[2], &k) && keys_search(pid, s, &k, name, false, value) >= 0;
}

/* ---- attributes ---- */

/* In which dict, or which array of values beside the type's names; the other is 0. */
static bool attributes_find(uint32_t pid, const struct python_shape *s, uint64_t object,
                            uint64_t type, uint64_t *dict, uint64_t *values)
{
	uint64_t front[2], flags, offset, size; /* front: the words -4 and -3 */
	uint8_t head[4];                        /* capacity, size, embedded, valid */

	*dict = *values = 0;
	if (!python_word(pid, type + TYPE_FLAGS, &flags))
		return false;
	if (s->attributes == IN_DICT || !(flags & FLAG_MANAGED_DICT))
		return python_word(pid, type + TYPE_DICTOFFSET, &offset) && (int64_t)offset > 0 &&
		       offset < 65536 && python_word(pid, object + offset, dict) && *dict;
	if (procfs_memory(pid, object - 32, front, sizeof(front)))
		return false;
	if (s->attributes == IN_FRONT) {
		*values = front[0];
		*dict = front[0] ? 0 : front[1];
	} else if (s->attributes == TAGGED) {
		*values = front[1] & 1 ? front[1] + 1 : 0;
		*dict = front[1] & 1 ? 0 : front[1];
	} else {
		*dict = front[1];
		if (!*dict && flags & FLAG_INLINE_VALUES &&
		    python_word(pid, type + TYPE_BASICSIZE, &size) && size < 65536 &&
		    procfs_memory(pid, object + size, head, sizeof(head)) == 0 && head[3])
			*values = object + size + 8;
	}
	return *dict || *values;
}

bool python_attribute(uint32_t pid, const struct python_shape *s, uint64_t object, const char *name,
                      uint64_t *value)
{
	uint64_t type, dict, values, keys;

	if (!python_word(pid, object + PYTHON_OB_TYPE, &type) ||
	    !attributes_find(pid, s, object, type, &dict, &values))
		return false;
	if (dict)
		return python_dict_find(pid, s, dict, name, value);
	return python_word(pid, type + s->cached_keys, &keys) &&
	       split_find(pid, s, keys, values, name, value);
}

/* ---- tuples, numbers ---- */

int64_t python_tuple_size(uint32_t pid, uint64_t tuple)
{
	uint64_t n;

	return python_is_a(pid, tuple, "tuple") && python_word(pid, tuple + PYTHON_OB_SIZE, &n) &&
	                       n <= INT32_MAX
	               ? (int64_t)n
	               : -1;
}

bool python_tuple_item(uint32_t pid, const struct python_shape *s, uint64_t tuple, uint64_t i,
                       uint64_t *item)
{
	return (int64_t)i < python_tuple_size(pid, tuple) &&
	       python_word(pid, tuple + s->items + i * 8, item);
}

bool python_int(uint32_t pid, const struct python_shape *s, uint64_t object, uint32_t *value)
{
	uint64_t size;
	uint32_t digit;

	if (!python_is_a(pid, object, "int") || !python_word(pid, object + INT_TAG, &size) ||
	    procfs_memory(pid, object + INT_DIGITS, &digit, sizeof(digit)))
		return false;
	/* from 3.12 on the sign is in the two lowest bits (0 positive, 1 zero), the third is a flag */
	if (s->minor >= 12 && (size & 3) > 1)
		return false;
	if (s->minor >= 12)
		size >>= 3;
	if (size > 1)
		return false;
	*value = size ? digit : 0;
	return true;
}

/* ---- texts ---- */

static size_t utf8_put(char *to, uint32_t c)
{
	if (c < ' ' || c == 0x7f || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = '?'; /* would break the lines of the record, or is no character */
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

static size_t dots_put(char *to)
{
	memcpy(to, "...", 3);
	return 3;
}

static uint32_t character(const uint8_t *data, size_t i, uint32_t width)
{
	uint16_t two;
	uint32_t four;

	if (width == 1)
		return data[i];
	if (width == 2) {
		memcpy(&two, data + i * 2, 2);
		return two;
	}
	memcpy(&four, data + i * 4, 4);
	return four;
}

/* Where the characters of a str are, how many, how wide; false: unreadable. */
static bool str_open(uint32_t pid, const struct python_shape *s, uint64_t str, uint64_t *from,
                     uint64_t *length, uint32_t *width)
{
	uint8_t head[PYTHON_STR_STATE + 4];
	uint32_t state;

	if (!str || procfs_memory(pid, str, head, sizeof(head)))
		return false;
	memcpy(length, head + PYTHON_STR_LENGTH, sizeof(*length));
	memcpy(&state, head + PYTHON_STR_STATE, sizeof(state));
	*width = state >> 2 & 7;
	*from = str + (state & STR_ASCII ? s->ascii : s->compact);
	/* compact: its characters lie behind it; all names are */
	return state & STR_COMPACT && (*width == 1 || *width == 2 || *width == 4) &&
	       *length <= INT32_MAX;
}

int python_text(uint32_t pid, const struct python_shape *s, uint64_t str, bool tail,
                char to[static PYTHON_UTF8_MAX])
{
	uint8_t data[PYTHON_CHARACTERS_MAX * 4];
	uint64_t length, from;
	uint32_t width;
	size_t n, at = 0;

	if (!str_open(pid, s, str, &from, &length, &width))
		return -1;
	n = length < PYTHON_CHARACTERS_MAX ? (size_t)length : PYTHON_CHARACTERS_MAX;
	if (n && procfs_memory(pid, from + (tail ? (length - n) * width : 0), data, n * width))
		return -1;
	if (tail && n < length)
		at += dots_put(to);
	for (size_t i = 0; i < n; i++)
		at += utf8_put(to + at, character(data, i, width));
	if (!tail && n < length)
		at += dots_put(to + at);
	return (int)at;
}

int python_ascii(uint32_t pid, const struct python_shape *s, uint64_t object,
                 char to[static PYTHON_ASCII_MAX], bool *cut)
{
	uint8_t data[PYTHON_ASCII_MAX * 4];
	uint64_t length, from = object + PYTHON_BYTES_TEXT;
	uint32_t width = 1;
	size_t n;

	if (python_is_a(pid, object, "str")) {
		if (!str_open(pid, s, object, &from, &length, &width))
			return -1;
	} else if (!python_is_a(pid, object, "bytes") ||
	           !python_word(pid, object + PYTHON_OB_SIZE, &length)) {
		return -1;
	}
	n = length < PYTHON_ASCII_MAX ? (size_t)length : PYTHON_ASCII_MAX;
	if (n && procfs_memory(pid, from, data, n * width))
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint32_t c = character(data, i, width);

		to[i] = (char)(c > ' ' && c < 0x7f ? c : '?');
	}
	*cut = n < length;
	return (int)n;
}

/* ---- sets ---- */

bool python_set_each(uint32_t pid, const struct python_shape *s, uint64_t set,
                     void (*fn)(void *ctx, uint64_t object), void *ctx)
{
	uint64_t slots[SET_SLOTS_AT_ONCE][2], head[2]; /* key and hash; mask and table */
	bool weak = python_is_a(pid, set, "WeakSet");

	if ((weak && !python_attribute(pid, s, set, "data", &set)) ||
	    !python_is_a(pid, set, "set") ||
	    procfs_memory(pid, set + SET_MASK, head, sizeof(head)) || head[0] >= SET_SLOTS_MAX)
		return false;
	for (uint64_t i = 0; i <= head[0]; i += SET_SLOTS_AT_ONCE) {
		uint64_t n = head[0] + 1 - i < SET_SLOTS_AT_ONCE ? head[0] + 1 - i
		                                                 : SET_SLOTS_AT_ONCE;

		if (procfs_memory(pid, head[1] + i * 16, slots, n * 16))
			return false;
		for (uint64_t k = 0; k < n; k++) {
			uint64_t object = slots[k][0];

			/* deleted ones have the hash -1 */
			if (object && slots[k][1] != UINT64_MAX &&
			    (!weak || python_word(pid, object + WEAKREF_OBJECT, &object)))
				fn(ctx, object);
		}
	}
	return true;
}
