/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts turn_metrics_summary into a JSON file that belongs to the run, every other byte kept. A file that is not
 * what it should be is never touched: the summary then goes beside it.
 */
#ifndef OUT_RUNSTATS_H
#define OUT_RUNSTATS_H
#include <jansson.h>
#include <stddef.h>

#define RUNSTATS_KEY "turn_metrics_summary"
/* Largest file that is merged into: it is held in memory twice, and a runner's statistics are far smaller. */
#define RUNSTATS_MAX (256u << 20)
/* What the summary is put beside a file in: FILE.whystuck.json */
#define RUNSTATS_BESIDE ".whystuck.json"

/*
 * text[n] with the key set to summary (JSON text) in its outermost object: in place of the value it has there, of
 * several the last, which is the one readers take; else as its last member, laid out as the file's own are. NULL, and
 * *out (free() it) has *out_n bytes and a NUL; or a static reason why not.
 */
const char *runstats_merge(const char *text, size_t n, const char *summary, char **out,
                           size_t *out_n);

enum runstats_result {
	RUNSTATS_MERGED,
	RUNSTATS_BESIDE_IT, /* why says why not in it */
	RUNSTATS_NOWHERE,   /* why says why neither */
};

/* Merges into the file at path, through symbolic links; never creates it. Of a file that cannot be merged into the
 * summary is written beside it. */
enum runstats_result runstats_file(const char *path, json_t *summary, char *why, size_t why_n);
#endif
