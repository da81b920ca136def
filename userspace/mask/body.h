/* SPDX-License-Identifier: BSD-2-Clause */
/* Bodies of HTTP, whatever is in them: JSON and lines (json.c), XML (xml.c), frames of Amazon's event stream (frames.c). */
#ifndef MASK_BODY_H
#define MASK_BODY_H
#include "mask/mask.h"

/* ---- xml.c: what store/xml.c reads stays: elements of S3's, and the codes of errors ---- */

struct mask_xml {
	const uint8_t *key;
	struct mask_word *word;
	uint8_t at;
	bool closing, empty, deleting, in_code;
	unsigned depth, error_depth;
	size_t nname;
	char name[64];
};

void mask_xml_start(struct mask_xml *x, const uint8_t *key, struct mask_word *word);
void mask_xml_feed(struct mask_xml *x, char *p, size_t n);
void mask_xml_gap(struct mask_xml *x);
void mask_xml_end(struct mask_xml *x);

/* ---- frames.c: what llm/frame.c reads stays ---- */

struct mask_frames {
	const uint8_t *key;
	struct mask_word *word;
	uint8_t part;
	bool lost;
	uint32_t left, headers, payload; /* of the part; of the frame */
	uint32_t n;                      /* bytes of the part so far */
	uint8_t prelude[12];
	uint8_t at; /* in a header */
	uint32_t need, name_size;
	bool keeps, type_follows, chunk, cut;
	size_t piled;
	struct mask_json json;
};

void mask_frames_start(struct mask_frames *f, const uint8_t *key, struct mask_word *word);
void mask_frames_feed(struct mask_frames *f, char *p, size_t n);
/* n bytes are missing. */
void mask_frames_gap(struct mask_frames *f, uint64_t n);
void mask_frames_end(struct mask_frames *f);

/* ---- body.c ---- */

struct mask_body {
	enum mask_form form;
	union {
		struct mask_json json;
		struct mask_xml xml;
		struct mask_frames frames;
	};
};

/* type: the content type, in lower case, "" if unknown; first: the first byte. foreign: no LLM's; rules: then, of enum
 * store_rule. key and word stay the caller's and must outlive b. */
void mask_body_start(struct mask_body *b, const uint8_t *key, struct mask_word *word,
                     struct bytes type, char first, bool foreign, unsigned rules);
void mask_body_feed(struct mask_body *b, char *p, size_t n);
/* n bytes are missing, UINT64_MAX: nobody knows how many. */
void mask_body_gap(struct mask_body *b, uint64_t n);
/* complete: the body's last byte was seen. */
void mask_body_end(struct mask_body *b, bool complete);
#endif
