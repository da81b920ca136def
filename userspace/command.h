/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands, one file each: cmd_<name>.c. All return the exit status of the program and have said everything. */
#ifndef COMMAND_H
#define COMMAND_H
#include "options.h"

int cmd_why(struct options *o);
int cmd_watch(struct options *o);
int cmd_run(struct options *o);
int cmd_replay(struct options *o);
int cmd_check(struct options *o);

#endif
