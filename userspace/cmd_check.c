/* SPDX-License-Identifier: BSD-2-Clause */
/* whystuck check [PID]: what this host and these privileges allow, and what of a process could be hooked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "command.h"
#include "file_store.h"
#include "host_features.h"
#include "procfs.h"
#include "source.h"
#include "tls_probes.h"
#include "turn_source/spec.h"
#include "webhook.h"

static bool check_features(void)
{
	bool all = true;

	for (const struct host_feature *f = host_features; f->name; f++) {
		char why[256] = "";
		bool ok = f->probe(why, sizeof(why));

		all &= ok;
		printf("%-28s %-4s %s\n", f->name, ok ? "yes" : "NO", ok ? f->gives : f->without);
		if (why[0])
			printf("%-28s      %s\n", "", why);
	}
	return all;
}

struct tally {
	unsigned found, usable;
};

static void report(void *ctx, const struct tls_found *found)
{
	struct tally *t = ctx;
	char name[512];

	text_clean(name, sizeof(name), found->path, false);
	t->found++;
	if (found->state == LIB_OPAQUE) {
		printf("  %s: %s, %s; its plaintext is not seen, times are\n", name, found->family,
		       found->how);
	} else if (found->state == LIB_FAILED) {
		printf("  %s: cannot be read: %s; its plaintext is not seen, times are\n", name,
		       strerror(found->err));
	} else {
		t->usable++;
		printf("  %s: %s, %u functions to hook, found by %s\n", name, found->family,
		       found->functions, found->how);
	}
}

/* Looks, attaches nothing: the hooks' places are found as watch does it. */
static int check_process(uint32_t pid)
{
	struct tally t = { 0 };
	struct proc_stat st;
	int err = procfs_stat(pid, &st);

	if (err) {
		fprintf(stderr, "whystuck: cannot look at %u: %s\n", pid,
		        err == -ENOENT ? "no such process" : strerror(-err));
		return EXIT_ERROR;
	}
	printf("\nTLS code in process %u:\n", pid);
	err = tls_probes_list(pid, report, &t);
	if (err) {
		fprintf(stderr, "whystuck: cannot look at %u's memory map: %s; run it with sudo\n",
		        pid, strerror(-err));
		return EXIT_ERROR;
	}
	if (!t.found)
		printf("  none that we know, in any file it has mapped so far: if it "
		       "uses TLS, calls have times "
		       "and host names, no tokens\n");
	return EXIT_OK;
}

/* What one look at the process tells. */
struct told {
	struct turns_hints hints;
	struct endpoint_rules *rules;
	bool files; /* databases in files were said */
};

/* A database that the process itself has open has no connection that could be timed. */
static void say_file(struct told *told, const struct ev_fd *e)
{
	struct bytes open = { e->text, e->h.size - sizeof(*e) }, path = file_store_path(open);
	char text[256], name[512];

	/* its companions are open beside it */
	if (path.n != open.n || path.n >= sizeof(text))
		return;
	if (!told->files)
		printf("\nDatabases in files, not timed (their time is the program's own):\n");
	told->files = true;
	memcpy(text, path.p, path.n);
	text[path.n] = '\0';
	text_clean(name, sizeof(name), text, false);
	printf("  %s\n", name);
}

static void hint(void *ctx, const struct event *e)
{
	struct told *told = ctx;

	turns_hint(&told->hints, e);
	if (e->type == EV_NAME && told->rules)
		endpoint_rules_add_name(told->rules, (const void *)e);
	if (e->type == EV_FD)
		say_file(told, (const void *)e);
}

static void say_layer(void *ctx, const char *host, uint16_t port, const char *label)
{
	char name[256];

	(void)ctx;
	text_clean(name, sizeof(name), host, false);
	if (label[0])
		printf("  %s is %s:%u\n", label, name, port);
	else
		printf("  %s:%u: variables give it different layers, so it has none; name it with "
		       "--storage\n",
		       name, port);
}

static void say_layers(const struct endpoint_rules *rules)
{
	printf("\nLayers of storage that its variables name:\n");
	if (!endpoint_rules_each_layer(rules, say_layer, NULL))
		printf("  none: no variable such as L3_QDRANT_URL or L1_REDIS_HOST\n");
}

/* By what a watch would tell turns: from what shows before the process has done anything. */
static void check_turns(uint32_t pid)
{
	struct turns_spec spec = { .kind = TURNS_AUTO };
	struct told told = { .rules = endpoint_rules_new() };
	char why[256], text[TURNS_REASON_MAX];
	struct source_config c = { .pid = pid, .on_event = hint, .ctx = &told };
	struct source *source = source_proc_open(&c, why, sizeof(why));

	if (source)
		source->close(source);
	printf("\nA watch of process %u would tell turns %s\n", pid,
	       turns_reason(&spec, &told.hints, text));
	if (told.rules)
		say_layers(told.rules);
	endpoint_rules_free(told.rules);
}

int cmd_check(struct options *o)
{
	bool all = check_features();

	/* no need of the host's, so no failure */
	if (!webhook_available())
		printf("%-28s NO   --webhook posts nothing: whystuck was built without libcurl\n",
		       "webhook (libcurl)");
	else
		printf("%-28s yes  --webhook posts the report of a stall\n", "webhook (libcurl)");
	if (o->pid && check_process(o->pid) != EXIT_OK)
		return EXIT_ERROR;
	if (o->pid)
		check_turns(o->pid);
	return all ? EXIT_OK : EXIT_ERROR;
}
