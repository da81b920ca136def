/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims: what a thread, a task or the configuration says about the server at the other end of some
 * connection, in one form, so that they can be joined and compared. Which connection is identify.c's
 * question.
 */
#ifndef CLAIM_H
#define CLAIM_H
#include "call.h"
#include "evidence.h"

/* What one source says; all zero: nothing. */
struct claim {
	enum call_class class;
	const char *provider, *system; /* static; NULL unknown */
	char host[128];
	uint16_t port; /* 0: says nothing of the address */
	bool numeric, loopback;
	uint8_t addr[16]; /* numeric: as IPv6 */
	char op[CALL_OP_MAX];
	bool http, write, blocks;
	bool torn; /* two sources contradict each other */
};

/* IPv4 as IPv6 has it (RFC 4291, 2.5.5.2), so that both compare. False: no such family. */
bool address_make(uint16_t family, const uint8_t *from, uint8_t to[static 16]);
bool address_loops(const uint8_t addr[static 16]);

/* What a thread (its tid) or a task (its address) asked its HTTP client for, and the client library in its Python frames. */
struct claim claim_of(const struct evidence *e, uint32_t pid, uint64_t tid_or_task,
                      struct bytes python);
/* Scheme first: it is what is spoken; a variable's name is a habit. */
struct claim claim_of_name(const struct ev_name *name);

/* Another source about the same server: what it knows is added. name: static; NULL unknown. */
void claim_add(struct claim *c, enum call_class class, const char *name);
void claim_add_library(struct claim *c, struct bytes python);
void claim_add_native(struct claim *c, struct bytes native);
void claim_add_port(struct claim *c, uint16_t port);
/* Either of them: what both say stays. */
void claim_meet(struct claim *c, const struct claim *o);
bool claim_empty(const struct claim *c);

/* A task with these frames waits for bytes of a reply; uses the network, for whomever. */
bool frames_read_reply(struct bytes frames);
bool frames_use_network(struct bytes frames);
/* Which part of a reply an HTTP client with these frames waits for. */
enum reply_part { AWAITS_UNTOLD, AWAITS_HEAD, AWAITS_BODY };
enum reply_part frames_reply_part(struct bytes frames);
#endif
