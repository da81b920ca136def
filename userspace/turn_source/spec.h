/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the user says of turns: --turns SOURCE and --profile NAME, read and checked. A profile is a row: a source, the
 * files it is told by, and what makes `auto` think of it.
 */
#ifndef TURN_SOURCE_SPEC_H
#define TURN_SOURCE_SPEC_H
#include <stdbool.h>
#include <stdint.h>

#include "event.h"

#define TURNS_ARG_MAX 512
/* A gap longer than this is no gap between turns but the end of a run. */
#define TURNS_IDLE_MS_MAX 86400000

enum turns_kind { TURNS_AUTO, TURNS_LLM, TURNS_HTTP, TURNS_JSONL, TURNS_STDOUT, TURNS_IDLE };

struct turns_profile {
	const char *name, *about;
	enum turns_kind kind;
	const char *program; /* the base name of one of its arguments, where that tells */
	const char *glob;    /* jsonl: the log's path ends like this (fnmatch(3), from a '/' on) */
};

/* Rows, the last one's name is NULL. */
extern const struct turns_profile turns_profiles[];
/* NULL: no such profile. */
const struct turns_profile *turns_profile_find(const char *name);

struct turns_spec {
	enum turns_kind kind;
	char arg[TURNS_ARG_MAX]; /* jsonl: path pattern (fnmatch(3)); stdout: extended regular expression; else "" */
	uint64_t idle_ns;                    /* idle: the quiet gap */
	const struct turns_profile *profile; /* whose log it is, NULL nobody's in particular */
};

/* Reads "auto", "llm", "http", "jsonl:PATH-GLOB", "stdout:REGEX" or "idle:MS". NULL and *s is filled; or a static
 * sentence why not, and *s is unchanged. */
const char *turns_spec_parse(const char *text, struct turns_spec *s);
/* What --turns and --profile (NULL none) say together; both were checked before. */
void turns_spec_make(const char *turns, const char *profile, struct turns_spec *s);

/* What a target shows before it has done anything. */
struct turns_hints {
	uint16_t port;                       /* it listens on, 0 none */
	const struct turns_profile *profile; /* its command is that runner's; NULL none known */
};
/* Takes what an event tells of it. */
void turns_hint(struct turns_hints *h, const struct event *e);
/* One line for people: by what turns are told, and why. Returns text. */
#define TURNS_REASON_MAX 768
char *turns_reason(const struct turns_spec *s, const struct turns_hints *h,
                   char text[static TURNS_REASON_MAX]);
const char *turns_kind_name(enum turns_kind k);
#endif
