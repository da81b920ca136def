/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects in the memory of a CPython process: types, dicts, instance attributes, tuples, texts, numbers. Nothing read is
 * believed: what is not of the kind asked for, or cannot be read, is "not found".
 */
#ifndef PYTHON_OBJECT_H
#define PYTHON_OBJECT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same in all versions read here. */
#define PYTHON_OB_TYPE 8
#define PYTHON_OB_SIZE 16
#define PYTHON_TYPE_NAME 24
#define PYTHON_STR_LENGTH 16
#define PYTHON_STR_STATE 32
#define PYTHON_BYTES_TEXT 32

/* How a version lays objects out. */
struct python_shape {
	uint8_t minor;          /* CPython 3.minor */
	uint8_t attributes;     /* where an instance keeps them, see python_object.c */
	bool log2;              /* dicts as from 3.11 on */
	uint8_t ascii, compact; /* in a str: its characters */
	uint8_t items;          /* in a tuple */
	uint16_t cached_keys;   /* in a type: names of its instances' attributes */
};

/* NULL: a version we do not know. */
const struct python_shape *python_shape(uint32_t minor);

/* One word of the target's memory; false if it cannot be read. */
bool python_word(uint32_t pid, uint64_t addr, uint64_t *to);

/* Name of an object's type without its module ("Future"), cut to n bytes with the NUL; false: unreadable. */
bool python_type_name(uint32_t pid, uint64_t object, char *to, size_t n);
/* Is the object of the type of that name (up to 31 characters, as tp_name has it)? */
bool python_is_a(uint32_t pid, uint64_t object, const char *type);

/* The value of a str key in a dict. */
bool python_dict_find(uint32_t pid, const struct python_shape *s, uint64_t dict, const char *name,
                      uint64_t *value);
/* An attribute of the instance itself; those of its class, and slots, are not found. */
bool python_attribute(uint32_t pid, const struct python_shape *s, uint64_t object, const char *name,
                      uint64_t *value);

/* Number of items, or -1: no tuple. */
int64_t python_tuple_size(uint32_t pid, uint64_t tuple);
bool python_tuple_item(uint32_t pid, const struct python_shape *s, uint64_t tuple, uint64_t i,
                       uint64_t *item);

/* An int below 2^30; false: no such. */
bool python_int(uint32_t pid, const struct python_shape *s, uint64_t object, uint32_t *value);

/* Most characters of a text that are read as UTF-8, and what they take at most, with the mark of a cut. */
#define PYTHON_CHARACTERS_MAX 256
#define PYTHON_UTF8_MAX (PYTHON_CHARACTERS_MAX * 4 + 4)
/*
 * A str, as UTF-8, not terminated: bytes written, -1 unreadable. Of a long one its beginning, or its end (tail), and
 * "..." for the rest. What would break lines, or is no character, becomes '?'.
 */
int python_text(uint32_t pid, const struct python_shape *s, uint64_t str, bool tail,
                char to[static PYTHON_UTF8_MAX]);

#define PYTHON_ASCII_MAX 2048
/*
 * The first PYTHON_ASCII_MAX characters of a str or bytes, one byte each, '?' what is not printable ASCII, not terminated:
 * their number, -1 neither of the two. *cut: there are more.
 */
int python_ascii(uint32_t pid, const struct python_shape *s, uint64_t object,
                 char to[static PYTHON_ASCII_MAX], bool *cut);

/* Calls fn for what the weak references in a WeakSet, or the members of a set, point to; false: unreadable, or no such. */
bool python_set_each(uint32_t pid, const struct python_shape *s, uint64_t set,
                     void (*fn)(void *ctx, uint64_t object), void *ctx);

#endif
