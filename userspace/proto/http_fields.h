/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an HTTP request to the target says of the turn it asks for: struct turn_fields, from its headers and its JSON
 * body. Fed by the HTTP parser with decoded bodies. Query strings, forms and multipart bodies are not read. The rules:
 *
 * - session: a string or number under session_id, sessionId, conversation_id, conversationId, thread_id, threadId, chat_id,
 *   user_session_id or session, of the root or of an object in it; the first of this list that is there counts, and the
 *   root's before an inner one's. Else of the headers X-Session-Id, X-Conversation-Id, X-Thread-Id, Session-Id.
 * - turn index: likewise a whole number under turn_number, turn_index, turn_id, turn or step; else of the headers
 *   X-Turn-Number, X-Turn-Index.
 * - message: what is under current_message, new_message, message, query, question, prompt, text or input of the root (or
 *   of its object "input"), as a string, or under the first three as an object or a list of parts. It is the user's
 *   unless its own role or the root's "role" is another. Else the last element of a list of messages (messages,
 *   conversation, conversation_history, chat_history, history, contents, input), if that is the user's: what ends in an
 *   assistant's or a tool's brings none.
 * - of a body that is cut or has a hole: what was seen before, and what its end still proves (llm/tail.h). A message
 *   whose text was not seen whole is one, without a hash.
 *
 * Texts are hashed and forgotten.
 */
#ifndef PROTO_HTTP_FIELDS_H
#define PROTO_HTTP_FIELDS_H
#include "call.h"

struct http_fields;

/* NULL when out of memory. */
struct http_fields *http_fields_new(void);
void http_fields_free(struct http_fields *f);

/* A header begins; its value may come in pieces. */
void http_fields_header(struct http_fields *f, struct bytes name);
void http_fields_value(struct http_fields *f, struct bytes b);
void http_fields_body(struct http_fields *f, struct bytes b);
void http_fields_gap(struct http_fields *f);
/* The request is complete, or as complete as it will get (cut): what it told, the caller's to free(). NULL when out of
 * memory. */
struct turn_fields *http_fields_end(struct http_fields *f, bool cut);
#endif
