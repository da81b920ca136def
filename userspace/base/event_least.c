/* SPDX-License-Identifier: BSD-2-Clause */
/* One row an event type. */
#include "base/event_least.h"

#include "event.h"

size_t event_least(unsigned type)
{
	static const size_t least[EV_TYPES] = {
		[EV_HELLO] = sizeof(struct ev_hello),
		[EV_OPTION] = sizeof(struct ev_text),
		[EV_PROCESS] = sizeof(struct ev_process),
		[EV_FORK] = sizeof(struct ev_fork),
		[EV_EXEC] = sizeof(struct ev_text),
		[EV_EXIT] = sizeof(struct ev_exit),
		[EV_SOCKET] = sizeof(struct ev_socket),
		[EV_CONNECT] = sizeof(struct ev_socket),
		[EV_ACCEPT] = sizeof(struct ev_socket),
		[EV_CLOSE] = sizeof(struct ev_close),
		[EV_DATA] = sizeof(struct ev_data),
		[EV_TLS] = sizeof(struct ev_data),
		[EV_TLS_FREE] = sizeof(struct ev_close),
		[EV_MAPPED] = sizeof(struct ev_mapped),
		[EV_ACTIVITY] = sizeof(struct ev_activity),
		[EV_THREAD] = sizeof(struct ev_thread),
		[EV_FD] = sizeof(struct ev_fd),
		[EV_SNAPSHOT] = sizeof(struct event),
		[EV_TLS_LIB] = sizeof(struct ev_tls_lib),
		[EV_LOST] = sizeof(struct ev_lost),
		[EV_ACTION] = sizeof(struct ev_action),
		[EV_BODY] = sizeof(struct ev_body),
		[EV_TICK] = sizeof(struct event),
		[EV_END] = sizeof(struct ev_end),
		[EV_FRAMES] = sizeof(struct ev_frames),
		[EV_TASK] = sizeof(struct ev_task),
		[EV_REQUEST] = sizeof(struct ev_request),
		[EV_TIMERS] = sizeof(struct ev_timers),
		[EV_HOLDER] = sizeof(struct ev_holder),
		[EV_LOCK] = sizeof(struct ev_lock),
		[EV_FACT] = sizeof(struct ev_fact),
		[EV_NAME] = sizeof(struct ev_name),
		[EV_MISSING] = sizeof(struct ev_missing),
		[EV_FILE] = sizeof(struct ev_file),
		[EV_WRITE] = sizeof(struct ev_data),
		[EV_TLS_NAME] = sizeof(struct ev_tls_name),
	};

	return type < EV_TYPES ? least[type] : 0;
}
