/* SPDX-License-Identifier: BSD-2-Clause */
/* A scanner of tags, no more: S3 sends no comments, sections or doctypes with tags in them, and what has some is bad. */
#include "store/xml.h"

enum state {
	STATE_START, /* before the first '<': blanks, which S3 sends while it works */
	STATE_TEXT,
	STATE_OPEN,  /* behind '<' */
	STATE_NAME,  /* in an element's name */
	STATE_REST,  /* behind it, before '>' */
	STATE_QUOTE, /* in an attribute's value, "..." */
	STATE_APOSTROPHE,
	STATE_DECLARATION, /* <?...?> */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool named(const struct xml *x, const char *name)
{
	return bytes_equal((struct bytes){ x->name, x->nname }, name);
}

static void root(struct xml *x)
{
	x->deleting = named(x, "DeleteResult");
	x->result = x->deleting || named(x, "CompleteMultipartUploadResult") ||
	            named(x, "CopyObjectResult") || named(x, "CopyPartResult");
}

static void opened(struct xml *x, struct verdict *v)
{
	x->depth++;
	if (x->depth == 1)
		root(x);
	if (named(x, "Error") && (x->depth == 1 || (x->depth == 2 && x->deleting))) {
		x->error_depth = x->depth;
		verdict_error(v, "error");
	}
	x->in_code = x->error_depth && x->depth == x->error_depth + 1 && named(x, "Code");
	x->ncode = 0;
}

static void closed(struct xml *x, struct verdict *v)
{
	if (x->in_code)
		verdict_kind(v, (struct bytes){ x->code, x->ncode });
	x->in_code = false;
	if (!x->depth) {
		x->bad = true;
		return;
	}
	if (x->depth == x->error_depth)
		x->error_depth = 0;
	x->done = --x->depth == 0;
}

/* '>' */
static void tag_end(struct xml *x, struct verdict *v)
{
	x->state = STATE_TEXT;
	if (!x->nname) {
		x->bad = true;
		return;
	}
	if (!x->closing)
		opened(x, v);
	if (x->closing || x->empty)
		closed(x, v);
}

static void text(struct xml *x, char c)
{
	if (x->in_code && x->ncode < sizeof(x->code))
		x->code[x->ncode++] = c;
}

static void tag_begin(struct xml *x)
{
	x->state = STATE_OPEN;
	x->closing = x->empty = false;
	x->nname = 0;
}

/* In a tag, outside quotes. A name that is too long is nobody's. */
static void tag(struct xml *x, char c, struct verdict *v)
{
	if (c == '<') {
		x->bad = true;
	} else if (c == '>') {
		tag_end(x, v);
	} else if (c == '"' || c == '\'') {
		x->state = c == '"' ? STATE_QUOTE : STATE_APOSTROPHE;
	} else if (x->state == STATE_NAME && !is_blank(c) && c != '/') {
		if (x->nname < sizeof(x->name))
			x->name[x->nname++] = c;
	} else {
		x->empty = c == '/';
		x->state = STATE_REST;
	}
}

static void feed(struct xml *x, char c, struct verdict *v)
{
	switch ((enum state)x->state) {
	case STATE_START:
		if (c == '<')
			tag_begin(x);
		else if (!is_blank(c) && !(c & 0x80)) /* a byte order mark */
			x->bad = true;
		break;
	case STATE_TEXT:
		if (c == '<')
			tag_begin(x);
		else
			text(x, c);
		break;
	case STATE_OPEN:
		x->state = c == '?' ? STATE_DECLARATION : STATE_NAME;
		x->closing = c == '/';
		x->bad |= c == '!';
		if (c != '?' && c != '/')
			tag(x, c, v);
		break;
	case STATE_NAME:
	case STATE_REST:
		tag(x, c, v);
		break;
	case STATE_QUOTE:
		x->state = c == '"' ? STATE_REST : STATE_QUOTE;
		break;
	case STATE_APOSTROPHE:
		x->state = c == '\'' ? STATE_REST : STATE_APOSTROPHE;
		break;
	case STATE_DECLARATION:
		x->state = c == '>' ? STATE_TEXT : STATE_DECLARATION;
		break;
	}
}

void xml_feed(struct xml *x, struct bytes b, struct verdict *v)
{
	for (size_t i = 0; i < b.n && !x->bad && !x->done; i++)
		feed(x, b.p[i], v);
}

void xml_gap(struct xml *x)
{
	if (!x->done)
		x->bad = true;
}
