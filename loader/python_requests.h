/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a thread or a task asks its HTTP client (or Redis client) for: method and URL, out of the frames of functions of
 * known libraries, by a table. Read of their arguments are texts by name, and of client objects among them their method,
 * scheme, host, port and URL; nothing else. User names, queries and fragments are cut off here, where they were read.
 */
#ifndef PYTHON_REQUESTS_H
#define PYTHON_REQUESTS_H
#include "python_reader.h"

#define PYTHON_URL_HOST_MAX 256
#define PYTHON_URL_PATH_MAX 128 /* tells the API's function; what follows is names and numbers */

/* What of a URL may be shown. Each may be "", port 0. */
struct python_url {
	char scheme[16];
	char host[PYTHON_URL_HOST_MAX];
	uint32_t port;
	char path[PYTHON_URL_PATH_MAX + 1];
};

/* Of n characters of a URL, or of a path alone; cut: there were more. What is not clearly one is "". */
void python_url_split(const char *url, size_t n, bool cut, struct python_url *to);

/* Of one thread or task. */
struct python_request {
	char method[32];
	struct python_url url;
	bool begun; /* a frame of a client was met */
	bool whole; /* host and path are one frame's */
	bool over;  /* what is further out is not this request */
};

void python_request_begin(struct python_request *q);
/* To be called for each frame, the innermost first. */
void python_request_frame(struct python_reader *r, struct python_request *q,
                          const struct python_code *code, uint64_t frame);
/* EV_REQUEST, if there is one. */
void python_request_emit(struct python_reader *r, const struct python_request *q, uint32_t tid,
                         uint64_t task);

#endif
