/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loadable part of an ELF file of x86-64 or arm64, as the finders of TLS code look at it: strings, what refers to them, and
 * where functions begin. No section headers and no symbols are needed. The file is not trusted: it may be cut, or lie.
 */
#ifndef ELF_IMAGE_H
#define ELF_IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_SEGMENTS_MAX 16 /* linkers make at most 5 that are loaded */
/* The most of a file that is searched: node's is 60 MiB, a browser's 200 MiB. */
#define ELF_BYTES_MAX (512ull << 20)

struct elf_function {
	uint64_t start, end;
};

struct elf_text {
	const char *p;
	size_t n; /* at most 64 */
};

struct elf_segment {
	uint64_t addr, offset, n; /* n: bytes of it in the file */
	bool exec, write;
	uint8_t *data; /* once loaded */
};

struct elf_image {
	int fd;
	uint16_t machine;
	bool fixed; /* linked for one address (ET_EXEC): its code may hold addresses as they are */
	bool cut;   /* ELF_BYTES_MAX was reached: not all of it can be searched */
	struct elf_segment segments[ELF_SEGMENTS_MAX];
	size_t n;
	uint64_t frames;                /* address of .eh_frame_hdr, 0 none */
	uint64_t dynamic;               /* address of the dynamic section, 0 none */
	uint64_t unwind, unwind_n;      /* .eh_frame, looked for where there is no .eh_frame_hdr */
	struct elf_function *functions; /* of .eh_frame, by address, once asked for */
	size_t nfunctions;
};

/* 0 or -errno: -ENOEXEC no ELF file of 64 bits. fd must outlive the image. */
int elf_image_open(struct elf_image *im, int fd);
void elf_image_close(struct elf_image *im);
/* The bytes of a segment, s->n of them, which may have become less; NULL: not to be had. */
const uint8_t *elf_image_load(struct elf_image *im, struct elf_segment *s);
/* n bytes at an address; NULL: they are not in the file. */
const uint8_t *elf_image_at(struct elf_image *im, uint64_t addr, size_t n);
/* File offset of an address in an executable segment; 0 it is in none. */
uint64_t elf_image_offset(const struct elf_image *im, uint64_t addr);
/* Which of n texts are in what is neither code nor written to; false: none. Reads the file, keeps nothing of it. */
bool elf_image_search(const struct elf_image *im, const struct elf_text *texts, size_t n,
                      bool *has);
/* Address of the next text after the address `after` (0: the first) in what is neither code nor written to; 0 none. */
uint64_t elf_image_find(struct elf_image *im, const char *text, size_t n, uint64_t after);
/* Addresses of at most max strings that end in the text (n bytes with the NUL behind it): where they begin. Returns how many. */
size_t elf_image_find_ending(struct elf_image *im, const char *text, size_t n, uint64_t *to,
                             size_t max);
/* The function that has the address, by .eh_frame_hdr or .eh_frame, which strip(1) leaves. */
bool elf_image_function(struct elf_image *im, uint64_t addr, struct elf_function *f);
/*
 * x86-64: calls fn for each instruction that makes one of the n addresses in a register (lea relative to rip; in a file linked for
 * one address also mov), until it returns false. at: address of the instruction's first byte.
 */
void elf_image_references(struct elf_image *im, const uint64_t *addrs, size_t n,
                          bool (*fn)(void *ctx, uint64_t at, size_t which), void *ctx);
/* x86-64: calls fn with the address of each call (call rel32) of what begins at `to`, until it returns false. */
void elf_image_calls(struct elf_image *im, uint64_t to, bool (*fn)(void *ctx, uint64_t at),
                     void *ctx);
/* x86-64: does a call from outside of it lead to the function's first instruction? A part of a function that was split off is only
 * jumped to. */
bool elf_image_called(struct elf_image *im, const struct elf_function *f);
/* x86-64: does the function that begins at `from` call `to`, or end by jumping to it? */
bool elf_image_leads(struct elf_image *im, uint64_t from, uint64_t to);
/* Calls fn for each place in the file's data that the dynamic linker puts an address of its code to (DT_RELA), until it returns
 * false. */
void elf_image_code_pointers(struct elf_image *im,
                             bool (*fn)(void *ctx, uint64_t at, uint64_t addr), void *ctx);

#endif
