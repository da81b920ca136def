/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BoringSSL and AWS-LC linked into a stripped file. Where they note an error they call ERR_put_error(16, 0, reason, ".../ssl_lib.cc",
 * line) (OPENSSL_PUT_ERROR, include/openssl/err.h): no function's name, but its reasons, and lines that rise in the order in which the
 * source has its functions (ssl/ssl_lib.cc, the same from 2019 to 2026):
 *
 *   ssl_read_impl  a loop that may have to shake hands first: UNINITIALIZED, then SSL_HANDSHAKE_FAILURE
 *   SSL_read       SSL_peek, and what that gave is taken out of what is pending
 *   SSL_peek       ERR_R_SHOULD_NOT_HAVE_BEEN_CALLED with QUIC, else ssl_read_impl, and copies from what is pending
 *   SSL_write      the same refusal, and then a loop as the first
 *
 * So these lines must be there in this order, and no others of the kind. SSL_read and SSL_peek, which may have been inlined, are told
 * apart by what they do: the one writes both words of the span that is pending, pointer and length, the other only reads them.
 */
#include <elf.h>
#include <string.h>

#include "elf_image.h"
#include "tls_code.h"

#define SOURCE "ssl_lib.cc"
#define SOURCE_COPIES_MAX 8 /* strings that end so */
#define NOTES_MAX 256       /* of the wanted reasons; ssl_lib.cc has about 30 */
#define FUNCTIONS_MAX 512   /* that refer to the source; it has about 60 errors to note */
#define REFERENCES_MAX (1 << 12)
#define FUNCTION_BYTES_MAX (64 << 10)
#define LOOP_LINES 100  /* from a loop's first error to its second; 14 to 33 were seen */
#define CONSTANTS 8     /* instructions around a reference, each of which makes a constant */
#define CALLERS_MAX 64  /* of SSL_peek that are looked at */
#define NEAR (16 << 10) /* of functions of one source that note errors are those that do not */
/* Where the span that is pending may be in struct SSL3_STATE; 0x80 was seen. */
#define PENDING_MIN 0x20
#define PENDING_MAX 0x400

#define LIBRARY 16 /* ERR_LIB_SSL */

/* include/openssl/ssl.h, err.h */
enum reason {
	NOT_CALLED = 66, /* ERR_R_SHOULD_NOT_HAVE_BEEN_CALLED */
	NULL_SSL_CTX = 185,
	HANDSHAKE_FAILURE = 215,
	UNINITIALIZED = 226,
};

struct note {
	struct elf_function f;
	uint32_t reason, line;
};

/* Both words of what is pending: bit k is the one at 8 * k. */
#define WORDS (PENDING_MAX / 8 + 2)

struct words {
	bool read[WORDS], written[WORDS];
};

struct search {
	struct elf_image *im;
	struct note notes[NOTES_MAX];
	size_t n, references;
	uint64_t low, high;           /* of the functions that refer to the source */
	uint32_t read_line, read_end; /* of the first loop */
	uint32_t loop_line;           /* of the second loop */
	uint32_t write_line;          /* of the first refusal in SSL_write */
	struct elf_function write;    /* start 0: none */
	struct elf_function callers[CALLERS_MAX];
	size_t ncallers;
	bool lost; /* more callers than that */
};

static int32_t le32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

enum { RCX = 1, RDX = 2, RDI = 7, R8 = 8 };

struct constant {
	unsigned reg;
	uint32_t value;
};

/* The length of the instruction at p[n] if it makes a constant in a register; 0: it is another. */
static size_t constant_read(const uint8_t *p, size_t n, struct constant *c)
{
	bool rex = n && (p[0] & 0xf0) == 0x40;
	unsigned high = rex && (p[0] & 1) ? 8 : 0;
	size_t at = rex;

	*c = (struct constant){ 0 };
	/* mov r32, imm32 */
	if (n >= at + 5 && (p[at] & 0xf8) == 0xb8 && !(rex && p[0] & 8)) {
		*c = (struct constant){ high + (p[at] & 7), (uint32_t)le32(p + at + 1) };
		return at + 5;
	}
	/* xor r, r of one register with itself */
	if (n >= at + 2 && p[at] == 0x31 && p[at + 1] >= 0xc0 &&
	    (p[at + 1] & 7) == (p[at + 1] >> 3 & 7)) {
		c->reg = high + (p[at + 1] & 7);
		return at + 2;
	}
	/* lea r64, [rip + disp32] */
	if (n >= 7 && (p[0] & 0xfb) == 0x48 && p[1] == 0x8d && (p[2] & 0xc7) == 5) {
		c->reg = (p[0] & 4 ? 8 : 0) + (p[2] >> 3 & 7);
		return 7;
	}
	return 0;
}

/* The constants around the reference at p[at], of a function p[n], which may come before and after: what ERR_put_error is given. */
static bool note_read(const uint8_t *p, size_t n, size_t at, uint32_t *reason, uint32_t *line)
{
	static const size_t lengths[] = { 7, 6, 5, 3, 2 };
	struct constant c;
	size_t begin = at, length;
	uint32_t library = LIBRARY;

	*reason = *line = 0;
	for (size_t k = 0, i = 0; k < CONSTANTS && i < sizeof(lengths) / sizeof(lengths[0]); i++)
		if (begin >= lengths[i] &&
		    constant_read(p + begin - lengths[i], lengths[i], &c) == lengths[i]) {
			begin -= lengths[i];
			i = (size_t)-1;
			k++;
		}
	for (; (length = constant_read(p + begin, n - begin, &c)); begin += length) {
		if (begin == at && c.reg != RCX)
			return false;
		if (c.reg == RDX)
			*reason = c.value;
		else if (c.reg == RDI)
			library = c.value;
		else if (c.reg == R8)
			*line = c.value;
	}
	return begin > at && library == LIBRARY && *line > 0 && *line <= UINT16_MAX;
}

struct begin {
	uint64_t at;
	bool found;
};

static bool pointer_take(void *ctx, uint64_t at, uint64_t addr)
{
	struct begin *b = ctx;

	(void)at;
	b->found = addr == b->at;
	return !b->found;
}

/* Is it called as what begins there, also by a pointer to it, as Rust does? A part that was split off is only jumped to. */
static bool begins(struct elf_image *im, const struct elf_function *f)
{
	struct begin b = { .at = f->start };

	if (elf_image_called(im, f))
		return true;
	elf_image_code_pointers(im, pointer_take, &b);
	return b.found;
}

static bool reference_take(void *ctx, uint64_t at, size_t which)
{
	struct search *s = ctx;
	struct note note;
	const uint8_t *p;

	(void)which;
	if (++s->references > REFERENCES_MAX || s->n == NOTES_MAX)
		return false;
	if (!elf_image_function(s->im, at, &note.f) ||
	    note.f.end - note.f.start > FUNCTION_BYTES_MAX)
		return true;
	p = elf_image_at(s->im, note.f.start, note.f.end - note.f.start);
	if (!p ||
	    !note_read(p, note.f.end - note.f.start, at - note.f.start, &note.reason, &note.line))
		return true;
	if (!s->low || note.f.start < s->low)
		s->low = note.f.start;
	if (note.f.end > s->high)
		s->high = note.f.end;
	s->notes[s->n++] = note;
	return true;
}

static bool same(const struct elf_function *a, const struct elf_function *b)
{
	return a->start == b->start;
}

/* The line of the second error of the loop whose first is this note; 0: it is no loop's. */
static uint32_t loop_end(const struct search *s, const struct note *first)
{
	uint32_t end = 0;

	for (size_t i = 0; first->reason == UNINITIALIZED && i < s->n; i++) {
		const struct note *k = &s->notes[i];

		if (same(&k->f, &first->f) && k->reason == HANDSHAKE_FAILURE &&
		    k->line > first->line && k->line - first->line <= LOOP_LINES &&
		    (!end || k->line < end))
			end = k->line;
	}
	return end;
}

/* The two loops: there must be two, no less and no more. */
static bool loops_find(struct search *s)
{
	for (size_t i = 0; i < s->n; i++) {
		uint32_t line = s->notes[i].line;

		if (!loop_end(s, &s->notes[i]) || line == s->read_line || line == s->loop_line)
			continue;
		if (s->loop_line)
			return false;
		s->loop_line = s->read_line;
		s->read_line = line;
	}
	if (s->read_line > s->loop_line) {
		uint32_t later = s->read_line;

		s->read_line = s->loop_line;
		s->loop_line = later;
	}
	for (size_t i = 0; i < s->n; i++)
		if (s->notes[i].line == s->read_line)
			s->read_end = loop_end(s, &s->notes[i]);
	return s->read_line > 0 && s->read_end < s->loop_line;
}

/* Is it a refusal between the loops, where SSL_read, SSL_peek and SSL_write have theirs? */
static bool refusal(const struct search *s, const struct note *k)
{
	return k->reason == NOT_CALLED && k->line > s->read_end && k->line < s->loop_line;
}

/* The one function that has the second loop, and a refusal before it. */
static bool write_find(struct search *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct note *k = &s->notes[i];

		if (k->line != s->loop_line || !loop_end(s, k))
			continue;
		if (s->write.start && !same(&s->write, &k->f))
			return false;
		s->write = k->f;
	}
	for (size_t i = 0; i < s->n; i++)
		if (same(&s->notes[i].f, &s->write) && refusal(s, &s->notes[i]) &&
		    (!s->write_line || s->notes[i].line < s->write_line))
			s->write_line = s->notes[i].line;
	return s->write_line && begins(s->im, &s->write);
}

/* Memory that the instruction p[n] reads or writes 64 bits of by a register and a distance: adds it to w. */
static void word_read(const uint8_t *p, size_t n, struct words *w)
{
	bool wide = (p[0] & 0xf0) == 0x40, own, vector;
	size_t at = wide;
	uint8_t op, modrm;
	int32_t to;

	if (n < 12)
		return;
	/* movups, movaps: both words at once */
	vector = p[at] == 0x0f && (p[at + 1] == 0x11 || p[at + 1] == 0x29);
	wide = wide && (p[0] & 8);
	op = p[at];
	at += 1 + vector;
	modrm = p[at++];
	if (!vector && (!wide || (op != 0x8b && op != 0x3b && op != 0x39 && op != 0x89 &&
	                          op != 0x01 && op != 0x29)))
		return;
	/* a distance of 8 or 32 bits, from no stack pointer (r12 has the same number, and says so by REX.B) */
	own = (modrm & 7) != 4 || ((p[0] & 0xf1) == 0x41 && p[at] == 0x24);
	if ((modrm >> 6 != 1 && modrm >> 6 != 2) || !own)
		return;
	at += (modrm & 7) == 4;
	to = modrm >> 6 == 1 ? (int8_t)p[at] : le32(p + at);
	if (to < PENDING_MIN || to > PENDING_MAX || to % 8)
		return;
	if (op == 0x8b || op == 0x3b || op == 0x39)
		w->read[to / 8] = true;
	else
		w->written[to / 8] = true;
	if (vector)
		w->written[to / 8 + 1] = true;
}

static void words_read(struct search *s, const struct elf_function *f, struct words *w)
{
	const uint8_t *p = elf_image_at(s->im, f->start, f->end - f->start);

	memset(w, 0, sizeof(*w));
	for (uint64_t i = 0; p && i < f->end - f->start; i++)
		word_read(p + i, f->end - f->start - i, w);
}

/* Does f write both words of a span that `reader` reads? */
static bool consumes(struct search *s, const struct elf_function *f,
                     const struct elf_function *reader)
{
	struct words own, other;

	words_read(s, f, &own);
	words_read(s, reader, &other);
	for (size_t i = 0; i + 1 < WORDS; i++)
		if (own.written[i] && own.written[i + 1] && other.read[i] && other.read[i + 1])
			return true;
	return false;
}

/* Is the first loop in the function, or in one that it calls? */
static bool loop_reached(struct search *s, const struct elf_function *f)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->notes[i].line == s->read_line && loop_end(s, &s->notes[i]) &&
		    (same(&s->notes[i].f, f) ||
		     elf_image_leads(s->im, f->start, s->notes[i].f.start)))
			return true;
	return false;
}

static bool caller_take(void *ctx, uint64_t at)
{
	struct search *s = ctx;
	struct elf_function f;

	/* of the same source, whose functions are together */
	if (at + NEAR < s->low || at >= s->high + NEAR || !elf_image_function(s->im, at, &f) ||
	    f.end - f.start > FUNCTION_BYTES_MAX)
		return true;
	if (s->ncallers == CALLERS_MAX)
		return !(s->lost = true);
	s->callers[s->ncallers++] = f;
	return true;
}

/* The functions that take out of what is pending: one with SSL_peek in it, or one that calls that. */
static size_t readers_find(struct search *s, const struct elf_function *peek,
                           struct elf_function *to)
{
	size_t found = 0;

	s->ncallers = 0;
	s->callers[s->ncallers++] = *peek;
	elf_image_calls(s->im, peek->start, caller_take, s);
	for (size_t i = 0; i < s->ncallers; i++)
		if (!same(&s->callers[i], to) && consumes(s, &s->callers[i], peek)) {
			*to = s->callers[i];
			found++;
		}
	return found;
}

static bool read_find(struct search *s, struct elf_function *to)
{
	size_t found = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct note *k = &s->notes[i];

		if (!refusal(s, k) || same(&k->f, &s->write) || !loop_reached(s, &k->f))
			continue;
		/* not in the source's order: something else than we take it for */
		if (k->line > s->write_line)
			return false;
		found += readers_find(s, &k->f, to);
	}
	return found == 1 && !s->lost && begins(s->im, to);
}

static bool new_find(struct search *s, struct elf_function *to)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->notes[i].reason != NULL_SSL_CTX)
			continue;
		if (to->start && !same(to, &s->notes[i].f))
			return false;
		*to = s->notes[i].f;
	}
	return to->start && begins(s->im, to);
}

void tls_code_boring(struct elf_image *im, struct tls_code *to)
{
	struct elf_function read = { 0 }, create = { 0 };
	uint64_t sources[SOURCE_COPIES_MAX];
	struct search s = { .im = im };
	size_t n;

	if (im->machine != EM_X86_64)
		return;
	n = elf_image_find_ending(im, SOURCE, sizeof(SOURCE), sources, SOURCE_COPIES_MAX);
	if (n)
		elf_image_references(im, sources, n, reference_take, &s);
	if (!loops_find(&s) || !write_find(&s) || !read_find(&s, &read))
		return;
	to->how = "the errors its code notes, and what its code does";
	tls_code_add(to, elf_image_offset(im, read.start), TLS_READ);
	tls_code_add(to, elf_image_offset(im, s.write.start), TLS_WRITE);
	/* a new object may have a dead one's address; SSL_free notes no error by which to find it */
	if (new_find(&s, &create))
		tls_code_add(to, elf_image_offset(im, create.start), TLS_NEW);
}
