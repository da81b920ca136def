/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of MongoDB's commands, and the elements of documents that matter. */
#include "proto/mongodb_told.h"

#include <ctype.h>
#include <stdio.h>

/* What is not listed is not known to write or not. */
static const struct {
	const char *name;
	unsigned flags;
} commands[] = {
	{ "find", MONGODB_READ },
	{ "aggregate", MONGODB_READ | MONGODB_STAGES }, /* writes if one of them does */
	{ "getMore", MONGODB_READ },
	{ "count", MONGODB_READ },
	{ "distinct", MONGODB_READ },
	{ "explain", MONGODB_READ },
	{ "insert", 0 },
	{ "update", 0 },
	{ "delete", 0 },
	{ "findAndModify", 0 },
	{ "findandmodify", 0 },
	{ "bulkWrite", 0 },
	{ "mapReduce", 0 },
	{ "create", 0 },
	{ "createIndexes", 0 },
	{ "createSearchIndexes", 0 },
	{ "drop", 0 },
	{ "dropDatabase", 0 },
	{ "dropIndexes", 0 },
	{ "renameCollection", 0 },
	{ "collMod", 0 },
	/* on whatever connection: whether its transaction wrote, nobody knows here */
	{ "commitTransaction", MONGODB_UNSURE },
	{ "abortTransaction", MONGODB_READ },
	{ "killCursors", MONGODB_READ },
	{ "listCollections", MONGODB_READ },
	{ "listDatabases", MONGODB_READ },
	{ "listIndexes", MONGODB_READ },
	{ "listSearchIndexes", MONGODB_READ },
	{ "collStats", MONGODB_READ },
	{ "dbStats", MONGODB_READ },
	{ "dataSize", MONGODB_READ },
	{ "validate", MONGODB_READ },
	{ "hello", MONGODB_READ | MONGODB_BEAT | MONGODB_LOGIN },
	{ "isMaster", MONGODB_READ | MONGODB_BEAT | MONGODB_LOGIN },
	{ "ismaster", MONGODB_READ | MONGODB_BEAT | MONGODB_LOGIN },
	{ "saslStart", MONGODB_READ | MONGODB_LOGIN },
	{ "saslContinue", MONGODB_READ | MONGODB_LOGIN },
	{ "authenticate", MONGODB_READ | MONGODB_LOGIN },
	{ "logout", MONGODB_READ | MONGODB_LOGIN },
	{ "ping", MONGODB_READ | MONGODB_BEAT },
	{ "endSessions", MONGODB_READ | MONGODB_BEAT },
	{ "refreshSessions", MONGODB_READ | MONGODB_BEAT },
	{ "startSession", MONGODB_READ | MONGODB_BEAT },
	{ "buildInfo", MONGODB_READ | MONGODB_BEAT },
	{ "buildinfo", MONGODB_READ | MONGODB_BEAT },
	{ "connectionStatus", MONGODB_READ | MONGODB_BEAT },
	{ "serverStatus", MONGODB_READ | MONGODB_BEAT },
	{ "getParameter", MONGODB_READ | MONGODB_BEAT },
	{ "replSetGetStatus", MONGODB_READ | MONGODB_BEAT },
	{ "whatsmyuri", MONGODB_READ | MONGODB_BEAT },
};

bool mongodb_command(const char *name, unsigned *flags)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			*flags = commands[i].flags;
			return true;
		}
	}
	return false;
}

/* Names only: no text of a target's. */
static void copy(char to[BSON_KEPT], const char *text)
{
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			return;
	snprintf(to, BSON_KEPT, "%s", text);
}

static bool named(const struct bson *b, const char *name)
{
	return strcmp(b->name, name) == 0;
}

static void top_element(struct mongodb_told *t, const struct bson *b)
{
	if (b->index == 0) {
		t->any = true;
		copy(t->name, b->name);
		t->cursor = named(b, "getMore") ? b->number : 0;
	}
	t->in_errors = named(b, "writeErrors");
	t->in_concern = named(b, "writeConcernError");
	t->in_cursor = named(b, "cursor");
	t->in_pipeline = named(b, "pipeline");
	t->write_failed |= t->in_concern || (named(b, "nErrors") && b->number > 0);
	if (named(b, "ok")) {
		t->has_ok = true;
		t->ok = b->number != 0;
	} else if (named(b, "code")) {
		t->code = b->number;
	} else if (named(b, "codeName")) {
		copy(t->code_name, b->text);
	} else if (named(b, "maxAwaitTimeMS") ||
	           (named(b, "maxTimeMS") && strcmp(t->name, "getMore") == 0)) {
		t->awaits = true; /* of getMore it is the time to wait for more */
	} else if (named(b, "awaitData") && b->number) {
		t->tailable = true;
	}
}

void mongodb_told(void *ctx, const struct bson *b)
{
	struct mongodb_told *t = ctx;

	if (b->depth == 1) {
		top_element(t, b);
	} else if (t->in_cursor && b->depth == 2 && named(b, "id")) {
		t->made = b->number;
	} else if (t->in_pipeline && b->depth == 3) {
		t->writes |= named(b, "$out") || named(b, "$merge");
		t->tailable |= named(b, "$changeStream");
	} else if (t->in_errors && b->depth == 2) {
		t->write_failed = true;
	} else if ((t->in_errors && b->depth == 3) || (t->in_concern && b->depth == 2)) {
		if (named(b, "code") && !t->code)
			t->code = b->number;
		else if (named(b, "codeName") && !t->code_name[0])
			copy(t->code_name, b->text);
	}
}
