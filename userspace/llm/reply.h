/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The body of a reply, cut into its documents: one JSON value, the elements of one JSON array,
 * lines (NDJSON), events (SSE, https://html.spec.whatwg.org/multipage/server-sent-events.html)
 * or frames (Amazon's event stream). A document counts when it is whole: its content is dated by
 * the bytes that completed it. After a gap the next line, event or element is looked for.
 */
#ifndef LLM_REPLY_H
#define LLM_REPLY_H
#include "llm/facts.h"
#include "llm/tail.h"

enum reply_form {
	REPLY_OPAQUE, /* nothing we read */
	REPLY_SNIFF,  /* the first byte will tell */
	REPLY_JSON,
	REPLY_LINES,
	REPLY_EVENTS,
	REPLY_FRAMES,
};

/* Where in a line of an event stream the next byte lies. */
enum sse_place { SSE_FIELD, SSE_VALUE, SSE_DATA, SSE_SKIP, SSE_RAW };

#define SSE_NAME_MAX 8        /* "event", "data"; longer names are nobody's */
#define SSE_VALUE_MAX 8       /* "error", "[DONE]" */
#define FRAME_HEADER_MAX 1024 /* the real ones have three short headers */

struct sse {
	uint8_t place;
	bool cr;          /* the last byte was one: a line feed now belongs to it */
	bool space;       /* the value has not begun: one space is left out */
	bool has_data;    /* the event has a data line already */
	bool named_error; /* event: error */
	uint8_t name_n, value_n;
	char name[SSE_NAME_MAX], value[SSE_VALUE_MAX];
};

struct frame {
	uint8_t part;      /* of enum frame_part */
	uint32_t left;     /* bytes of the part to come */
	uint32_t payload;  /* bytes of the payload */
	uint32_t n;        /* bytes kept in buf */
	uint32_t size;     /* of the headers */
	bool last, failed; /* what the headers say */
	bool chunk;        /* its payload holds a document in base64 */
	char kind[FACTS_ID_MAX];
	uint8_t buf[FRAME_HEADER_MAX];
};

struct chunk {
	struct json_scan scan;
	uint32_t bits; /* the newest nbits of them are not passed on yet */
	unsigned nbits;
	bool ended;
};

struct reply {
	struct call *call;
	enum reply_form form, declared;
	bool elements;  /* if the body is an array, its elements are documents */
	bool array;     /* it is */
	bool lost;      /* a gap: of one JSON document only the tail is of use */
	bool trailing;  /* something follows the document in its line */
	bool committed; /* the event's document was whole and is taken over */
	uint64_t ts_ns; /* of the bytes being read */
	struct json_scan scan;
	struct facts doc, all;
	struct tail tail;
	struct sse sse;
	struct frame frame;
	struct chunk chunk;
};

/* elements: an array is a stream. lines: JSON without another word on it is one document a line. */
void reply_init(struct reply *r, struct call *call, bool elements);
void reply_free(struct reply *r);
void reply_head(struct reply *r, struct bytes content_type, bool lines);
/* Counts of the reply's header, -1 not told. */
void reply_metered(struct reply *r, int64_t in, int64_t out);
void reply_feed(struct reply *r, struct bytes b, uint64_t ts_ns);
void reply_gap(struct reply *r, uint64_t n);
void reply_end(struct reply *r, bool complete);

/* For the readers of the forms: a document begins, its bytes, it is whole (takes over what it
 * says). */
void reply_doc_begin(struct reply *r);
void reply_doc(struct reply *r, struct bytes b);
void reply_doc_commit(struct reply *r);

void sse_feed(struct reply *r, struct bytes b);
void sse_gap(struct reply *r);
void sse_end(struct reply *r);
void frame_feed(struct reply *r, struct bytes b);
/* False: the frames are lost. */
bool frame_gap(struct reply *r, uint64_t n);
void chunk_begin(struct reply *r);
void chunk_feed(struct reply *r, struct bytes b);
void chunk_gap(struct reply *r);
#endif
