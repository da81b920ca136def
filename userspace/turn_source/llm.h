/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns by the requests themselves: a chat request whose last message is the user's opens a turn, its tool loop and
 * its retries belong to it. Conversations are told apart by the history that requests carry (product rules in
 * docs/metrics.md); sessions are named s1, s2, ... in order of appearance.
 */
#ifndef TURN_SOURCE_LLM_H
#define TURN_SOURCE_LLM_H
#include "turn_source/source.h"

extern const struct turn_source turn_source_llm;
#endif
