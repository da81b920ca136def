/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OpenSSL linked into a stripped file, by what its code refers to: where OpenSSL notes an error, it notes the source file and the
 * function. From 3.0 on that is ERR_set_debug("ssl/ssl_lib.c", line, "SSL_read") (include/openssl/err.h, ERR_raise), in 1.1.x
 * ERR_put_error(20, 223, reason, "ssl/ssl_lib.c", line) with numbers from include/openssl/sslerr.h. So the code that makes both is in
 * the function it names. How many arguments one takes shows where another of them calls it.
 */
#include <elf.h>
#include <string.h>

#include "elf_image.h"
#include "tls_code.h"

enum which { READ_INTERNAL, WRITE_INTERNAL, READ, WRITE, NEW, WANTED };

static const struct {
	const char *name;
	uint32_t number; /* SSL_F_... of 1.1.x */
} wanted[WANTED] = {
	[READ_INTERNAL] = { "ssl_read_internal", 523 },
	[WRITE_INTERNAL] = { "ssl_write_internal", 524 },
	[READ] = { "SSL_read", 223 },
	[WRITE] = { "SSL_write", 208 },
	[NEW] = { "SSL_new", 186 },
};

#define SOURCE "ssl_lib.c"  /* of OpenSSL: "ssl/ssl_lib.c" or what its build's folder makes of it */
#define SOURCE_COPIES_MAX 8 /* strings that end so */
#define NAME_COPIES_MAX \
	64 /* of one function's name that are tried; the first that is a string of its own counts */
#define FUNCTIONS_MAX \
	512 /* that refer to the source; ssl_lib.c has about 250 with errors to note */
#define ARGUMENTS_BYTES 64            /* before a call, in which its arguments are made */
#define FUNCTION_BYTES_MAX (64 << 10) /* one that is longer is none of those wanted */
#define REFERENCES_MAX (1 << 16)      /* that are looked at; an OpenSSL has some 2000 */

struct search {
	struct elf_image *im;
	size_t sources; /* the first addrs are those of the source file's name */
	struct elf_function with_source[FUNCTIONS_MAX];
	size_t n;
	struct elf_function found[WANTED]; /* start 0: not found */
	size_t references;
	bool several[WANTED]; /* named in more than one function: not to be told apart */
};

static bool function_known(const struct search *s, const struct elf_function *f)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->with_source[i].start == f->start)
			return true;
	return false;
}

static void found_add(struct search *s, size_t which, const struct elf_function *f)
{
	if (s->found[which].start && s->found[which].start != f->start)
		s->several[which] = true;
	s->found[which] = *f;
}

static bool reference_take(void *ctx, uint64_t at, size_t which)
{
	struct search *s = ctx;
	struct elf_function f;

	if (++s->references > REFERENCES_MAX)
		return false;
	if (!elf_image_function(s->im, at, &f) || f.end - f.start > FUNCTION_BYTES_MAX)
		return true;
	if (which >= s->sources)
		found_add(s, which - s->sources, &f);
	else if (s->n < FUNCTIONS_MAX && !function_known(s, &f))
		s->with_source[s->n++] = f;
	return true;
}

/* Address of the string that is text and no more, 0 none. */
static uint64_t string_find(struct elf_image *im, const char *text)
{
	uint64_t at = 0;

	for (int i = 0; i < NAME_COPIES_MAX; i++) {
		const uint8_t *before;

		at = elf_image_find(im, text, strlen(text) + 1, at);
		if (!at)
			return 0;
		before = elf_image_at(im, at - 1, 1);
		if (!before || !*before)
			return at;
	}
	return 0;
}

static uint32_t le32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* 1.1.x: the function notes errors of the library 20 (ERR_LIB_SSL) and of the function with this number: mov edi, mov esi. */
static bool notes(struct elf_image *im, const struct elf_function *f, uint32_t number)
{
	const uint8_t *p = elf_image_at(im, f->start, f->end - f->start);
	bool library = false, function = false;

	for (uint64_t i = 0; p && i + 5 <= f->end - f->start; i++) {
		library |= p[i] == 0xbf && le32(p + i + 1) == 20;
		function |= p[i] == 0xbe && le32(p + i + 1) == number;
	}
	return library && function;
}

/* Of the functions that refer to the source those that the names did not tell: by their numbers. */
static void numbers_find(struct search *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t w = 0; w < WANTED; w++)
			if (notes(s->im, &s->with_source[i], wanted[w].number))
				found_add(s, w, &s->with_source[i]);
}

/*
 * Which argument of the callee's is the address of a variable on the caller's stack, as the result's is: 4 (lea rcx) or 5 (lea r8), by
 * the last of them before the call; 0: neither is seen.
 */
static int result_argument(struct elf_image *im, const struct elf_function *caller,
                           const struct elf_function *callee)
{
	const uint8_t *p = elf_image_at(im, caller->start, caller->end - caller->start);
	uint64_t n = caller->end - caller->start;

	for (uint64_t i = 0; p && i + 5 <= n; i++) {
		if (p[i] != 0xe8 ||
		    caller->start + i + 5 + (uint64_t)(int64_t)(int32_t)le32(p + i + 1) !=
		            callee->start)
			continue;
		for (uint64_t k = i; k-- > (i > ARGUMENTS_BYTES ? i - ARGUMENTS_BYTES : 0);) {
			/* mov rcx, rsp and mov r8, rsp */
			if (p[k] == 0x48 && p[k + 1] == 0x89 && p[k + 2] == 0xe1)
				return 4;
			if (p[k] == 0x49 && p[k + 1] == 0x89 && p[k + 2] == 0xe0)
				return 5;
			/* lea to, [rsp + disp] or [rbp + disp]: REX.W 8d ModRM, mod 1 or 2 (or 0 with rsp) */
			uint8_t base = p[k + 2] & 7, mod = p[k + 2] >> 6;

			if (p[k + 1] != 0x8d || mod == 3 || (base != 4 && base != 5) ||
			    (base == 5 && mod == 0))
				continue;
			if (p[k] == 0x48 && (p[k + 2] >> 3 & 7) == 1)
				return 4;
			if (p[k] == 0x4c && (p[k + 2] >> 3 & 7) == 0)
				return 5;
		}
	}
	return 0;
}

static bool proven(struct search *s, size_t which)
{
	const struct elf_function *f = &s->found[which];

	return f->start && !s->several[which] && function_known(s, f) && elf_image_called(s->im, f);
}

static void function_add(struct search *s, size_t which, enum tls_function function,
                         struct tls_code *to)
{
	tls_code_add(to, elf_image_offset(s->im, s->found[which].start), function);
}

/* The internal functions serve the public ones of both kinds, SSL_read and SSL_read_ex; those alone would be half of it. */
static void functions_choose(struct search *s, struct tls_code *to)
{
	int argument = 0;

	if (proven(s, READ_INTERNAL) && proven(s, WRITE_INTERNAL) && s->found[WRITE].start)
		argument = result_argument(s->im, &s->found[WRITE], &s->found[WRITE_INTERNAL]);
	if (argument) {
		function_add(s, READ_INTERNAL, TLS_READ_EX, to);
		function_add(s, WRITE_INTERNAL, argument == 4 ? TLS_WRITE_EX : TLS_WRITE_EX2, to);
		to->how = "the names of functions and files its code refers to";
	} else if (proven(s, READ) && proven(s, WRITE)) {
		function_add(s, READ, TLS_READ, to);
		function_add(s, WRITE, TLS_WRITE, to);
		to->how = "the names of functions and files its code refers to; SSL_read_ex and "
			  "SSL_write_ex are not seen";
	} else {
		return;
	}
	/* a new object may have a dead one's address; SSL_free notes no error by which to find it */
	if (proven(s, NEW))
		function_add(s, NEW, TLS_NEW, to);
}

static void search_run(struct search *s, struct tls_code *to)
{
	uint64_t addrs[SOURCE_COPIES_MAX + WANTED];

	s->sources = elf_image_find_ending(s->im, SOURCE, sizeof(SOURCE), addrs, SOURCE_COPIES_MAX);
	if (!s->sources)
		return;
	/* no string has the address 1 */
	for (size_t i = 0; i < WANTED; i++) {
		uint64_t at = string_find(s->im, wanted[i].name);

		addrs[s->sources + i] = at ? at : 1;
	}
	elf_image_references(s->im, addrs, s->sources + WANTED, reference_take, s);
	if (!s->found[READ_INTERNAL].start && !s->found[READ].start)
		numbers_find(s);
	functions_choose(s, to);
}

void tls_code_static(struct elf_image *im, struct tls_code *to)
{
	struct search s = { .im = im };

	if (im->machine == EM_X86_64)
		search_run(&s, to);
}
