/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words for rows of the evidence, the same on the screen and in run_error.json. What comes from the target is not
 * cleaned here: whoever shows it does that.
 */
#ifndef OUT_DESCRIBE_H
#define OUT_DESCRIBE_H
#include "diagnosis.h"

#define DESCRIBE_TEXT_MAX 256

/* "10.0.0.5:443", "[::1]:80" or a unix socket's path of one end of a socket; "" unknown. Returns buf. */
const char *describe_address(const struct ev_socket *s, bool remote,
                             char buf[static DESCRIBE_TEXT_MAX]);
/* What people call the other end of a socket, else its address; "" unknown. Returns buf. */
const char *describe_endpoint(const struct look *l, uint64_t sock,
                              char buf[static DESCRIBE_TEXT_MAX]);
/* "POST /v1/messages to api.anthropic.com (LLM)". Returns buf. */
const char *describe_call(const struct call_view *v, char buf[static DESCRIBE_TEXT_MAX]);
/* "sent, no byte of the reply": how far an open call is, of one from before we came as far as was looked at. */
const char *describe_progress(const struct call *c);
/* "python3": the name of a process's first thread; "?" unknown. Returns buf. */
#define DESCRIBE_NAME_MAX 32
const char *describe_process(const struct evidence *e, uint32_t pid,
                             char buf[static DESCRIBE_NAME_MAX]);
/* "sleeping", "running", "zombie" of a state letter of /proc/PID/stat; "?" unknown. */
const char *describe_state(uint8_t state);

/* "209 B written in 4 calls"; "" where there is nothing to say. buf is returned. */
#define FACT_TEXT_MAX 120
const char *fact_text(const struct ev_fact *f, char buf[static FACT_TEXT_MAX]);
/* "162.4 MiB" */
const char *size_text(uint64_t bytes, char buf[static 32]);
/* Of enum tcp_timer, lock_kind: a word, as run_error.json has it. NULL: no such. */
const char *tcp_timer_name(uint32_t timer);
const char *lock_name(uint32_t kind);
/* PID in the evidence that has the socket open, and its descriptor; false: nobody has. */
bool evidence_owner(const struct evidence *e, uint64_t sock, uint32_t *pid, int *fd);
#endif
