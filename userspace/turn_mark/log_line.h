/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line of a JSON log, read as its bytes go by, at any length: what its own members say of a turn. Texts of messages
 * are never kept. Only what stands in the object itself counts, not what lies deeper.
 */
#ifndef TURN_MARK_LOG_LINE_H
#define TURN_MARK_LOG_LINE_H
#include "base/id_text.h"
#include "base/json_scan.h"
#include "call.h"

enum log_shape {
	LOG_BLANK,  /* nothing but spaces */
	LOG_OTHER,  /* no JSON object, or something beside one */
	LOG_OBJECT, /* one, whole */
};

struct log_line {
	/* What it says. Each from the first name in the list that has a value, wherever it stands. */
	struct id_text
		session; /* session_id, conversation_id, thread_id, test_id, chat_id, dialogue_id, session: a
				 * string or a number */
	int64_t turn_index; /* turn_index, turn_number, turn, step: a whole number; -1 not told */
	enum llm_role role; /* role */
	/* For profiles whose logs are known by their shape. */
	int64_t type;                              /* "type": a whole number; -1 none */
	bool has_timestamp, has_test_id, has_data; /* a number, a string, an object */
	struct id_text test_id;
	/* the rest is the reader's own */
	struct json_scan scan;
	bool begun, object, other;
	uint8_t session_rank, index_rank;
	uint8_t value_is, rank; /* of the value being read */
	struct id_text value;
};

void log_line_begin(struct log_line *l);
/* Bytes of it, without the line's end. */
void log_line_feed(struct log_line *l, struct bytes b);
enum log_shape log_line_end(struct log_line *l);
#endif
