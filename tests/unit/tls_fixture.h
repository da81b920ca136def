/* SPDX-License-Identifier: BSD-2-Clause */
/* A small ELF file with code in it as OpenSSL's is without symbols, and tables as NSS's are, made to order. */
#ifndef TLS_FIXTURE_H
#define TLS_FIXTURE_H
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SAMPLE_SIZE 0x1200
#define STRINGS 0x240 /* offsets in the file, and addresses of what is not code */
#define FRAMES_HDR 0x300
#define FRAMES 0x400
#define SECTIONS 0x600
#define DYNAMIC 0x700
#define RELOCATIONS 0x780
#define TABLES 0xb00
#define CODE 0xd00
#define CODE_ADDR (0x10000 + CODE)
#define FUNCTION_SIZE 64

enum sample_function {
	F_READ_INTERNAL,
	F_WRITE_INTERNAL,
	F_READ,
	F_WRITE,
	F_NEW,
	F_CALLER,
	F_SEND,
	F_RECV,
	F_FUNCTIONS
};

/* BoringSSL in place of OpenSSL: ssl_read_impl is F_READ_INTERNAL, SSL_peek F_WRITE_INTERNAL. */
enum sample_boring {
	BORING_NONE,
	BORING_INLINED,    /* SSL_read has SSL_peek's code in it */
	BORING_CALLS,      /* SSL_read calls SSL_peek */
	BORING_WITHOUT,    /* as the first, and SSL_peek itself was left out */
	BORING_POINTED,    /* as the first, called by pointers alone (tables) */
	BORING_BOTH_TAKE,  /* SSL_peek takes out of what is pending, too */
	BORING_NONE_TAKES, /* nor does SSL_read */
	BORING_ORDER,      /* SSL_peek comes behind SSL_write in the source */
	BORING_THREE,      /* a third loop */
	BORING_LIBRARY,    /* the errors are another library's */
};

struct sample {
	const char *source;
	enum sample_boring boring;
	const char *names[5]; /* that the first five functions refer to; NULL none */
	uint32_t numbers[5];  /* that they note instead, 0 none */
	uint8_t result
		[5]; /* instruction that makes the result's address in SSL_write, before it calls */
	uint8_t nresult;
	bool uncalled;     /* nobody calls the functions */
	bool copied;       /* SSL_read has a copy of ssl_read_internal in it */
	bool sections;     /* .eh_frame is told by section headers alone */
	bool tables;       /* NSS's */
	bool tables_alike; /* ... of which both could be the secure one */
};

static inline void put32(uint8_t *p, uint64_t v)
{
	uint32_t w = (uint32_t)v;

	memcpy(p, &w, 4);
}

static inline uint64_t function_addr(unsigned f)
{
	return CODE_ADDR + (uint64_t)f * FUNCTION_SIZE;
}

struct writer {
	uint8_t *file;
	uint64_t at; /* offset */
};

static inline void emit_bytes(struct writer *w, const void *p, size_t n)
{
	memcpy(w->file + w->at, p, n);
	w->at += n;
}

/* An instruction of these bytes and a distance of four to an address. */
static inline void emit_to(struct writer *w, const char *op, size_t n, uint64_t to)
{
	emit_bytes(w, op, n);
	put32(w->file + w->at, to - (w->at + 4 + 0x10000));
	w->at += 4;
}

static inline void emit_number(struct writer *w, uint8_t op, uint32_t v)
{
	emit_bytes(w, &op, 1);
	put32(w->file + w->at, v);
	w->at += 4;
}

/* What ERR_put_error is given. */
static inline void emit_note(const struct sample *s, struct writer *w, uint64_t source,
                             uint32_t reason, uint32_t line)
{
	emit_bytes(w, "\x41", 1); /* mov r8d */
	emit_number(w, 0xb8, line);
	emit_to(w, "\x48\x8d\x0d", 3, source); /* lea rcx */
	emit_number(w, 0xba, reason);          /* mov edx */
	if (s->boring == BORING_LIBRARY && reason == 226)
		emit_number(w, 0xbf, 20); /* mov edi */
	emit_bytes(w, "\x90", 1);         /* in place of the call */
}

static inline void boring_function(const struct sample *s, uint8_t *file, unsigned f,
                                   uint64_t source)
{
	/* mov rcx, [rax + 0x80], mov rdx, [rax + 0x88], and the other way */
	static const char reads[] = "\x48\x8b\x88\x80\0\0\0\x48\x8b\x90\x88\0\0\0";
	static const char writes[] = "\x48\x89\x88\x80\0\0\0\x48\x89\x90\x88\0\0\0";
	struct writer w = { file, CODE + (uint64_t)f * FUNCTION_SIZE };
	bool calls = s->boring == BORING_CALLS,
	     peek = f == F_WRITE_INTERNAL && s->boring != BORING_WITHOUT;

	if (f == F_READ_INTERNAL || f == F_WRITE || (f == F_RECV && s->boring == BORING_THREE)) {
		uint32_t line = f == F_WRITE ? 1080 : f == F_RECV ? 1200 : 1000;

		emit_note(s, &w, source, 226, line);
		emit_note(s, &w, source, 215, line + 20);
	}
	if (f == F_WRITE)
		emit_note(s, &w, source, 66, 1075);
	if (f == F_NEW)
		emit_note(s, &w, source, 185, 600);
	if (peek || (f == F_READ && !calls)) {
		emit_note(s, &w, source, 66, s->boring == BORING_ORDER ? 1077 : 1050);
		emit_to(&w, "\xe8", 1, function_addr(F_READ_INTERNAL));
		emit_bytes(&w, reads, sizeof(reads) - 1);
	} else if (f == F_READ) {
		emit_to(&w, "\xe8", 1, function_addr(F_WRITE_INTERNAL));
	}
	if ((f == F_READ && s->boring != BORING_NONE_TAKES) ||
	    (peek && s->boring == BORING_BOTH_TAKE))
		emit_bytes(&w, writes, sizeof(writes) - 1);
	for (unsigned k = F_READ; f == F_CALLER && !s->uncalled && k <= F_NEW; k++)
		emit_to(&w, "\xe8", 1, function_addr(k));
	emit_bytes(&w, "\xc3", 1);
}

static inline void sample_function(const struct sample *s, uint8_t *file, unsigned f,
                                   const uint64_t *strings)
{
	struct writer w = { file, CODE + (uint64_t)f * FUNCTION_SIZE };

	if (f < 5 && (s->names[f] || s->numbers[f])) {
		emit_to(&w, "\x48\x8d\x3d", 3, strings[5]); /* lea rdi */
		if (s->names[f])
			emit_to(&w, "\x48\x8d\x15", 3, strings[f]); /* lea rdx */
		if (s->numbers[f]) {
			emit_number(&w, 0xbf, 20);
			emit_number(&w, 0xbe, s->numbers[f]);
		}
	}
	if (f == F_READ && s->copied)
		emit_to(&w, "\x4c\x8d\x05", 3, strings[F_READ_INTERNAL]); /* lea r8 */
	if (f == F_WRITE)
		emit_bytes(&w, s->result, s->nresult);
	if (f == F_READ && !s->uncalled)
		emit_to(&w, "\xe8", 1, function_addr(F_READ_INTERNAL));
	if (f == F_WRITE && !s->uncalled)
		emit_to(&w, "\xe8", 1, function_addr(F_WRITE_INTERNAL));
	for (unsigned k = F_READ; f == F_CALLER && !s->uncalled && k <= F_NEW; k++)
		emit_to(&w, "\xe8", 1, function_addr(k));
	emit_bytes(&w, "\xc3", 1);
}

static inline void sample_frames(uint8_t *file)
{
	memcpy(file + FRAMES_HDR, "\x01\x1b\x03\x3b", 4);
	put32(file + FRAMES_HDR + 4, FRAMES - (FRAMES_HDR + 4));
	put32(file + FRAMES_HDR + 8, F_FUNCTIONS);
	put32(file + FRAMES, 12); /* a CIE */
	for (unsigned f = 0; f < F_FUNCTIONS; f++) {
		uint64_t at = FRAMES + 16 + f * 20;

		put32(file + FRAMES_HDR + 12 + f * 8, function_addr(f) - FRAMES_HDR);
		put32(file + FRAMES_HDR + 16 + f * 8, at - FRAMES_HDR);
		put32(file + at, 16);
		put32(file + at + 4, at + 4 - FRAMES);
		put32(file + at + 8, function_addr(f) - (at + 8));
		put32(file + at + 12, FUNCTION_SIZE);
	}
}

static inline void sample_sections(uint8_t *file)
{
	static const char names[] = "\0.eh_frame";
	Elf64_Shdr sh[3] = {
		[1] = { .sh_name = 1,
		        .sh_type = SHT_PROGBITS,
		        .sh_addr = FRAMES,
		        .sh_offset = FRAMES,
		        .sh_size = 16 + F_FUNCTIONS * 20 },
		[2] = { .sh_type = SHT_STRTAB,
		        .sh_offset = SECTIONS + sizeof(sh),
		        .sh_size = sizeof(names) },
	};

	memcpy(file + SECTIONS, sh, sizeof(sh));
	memcpy(file + SECTIONS + sizeof(sh), names, sizeof(names));
}

/* sslSocketOps twice: of the first read and write (F_READ, F_WRITE) lead to recv and send (the internal ones). */
static inline size_t sample_tables(const struct sample *s, uint8_t *file)
{
	static const uint8_t secure[12] = { F_CALLER, 255,      F_NEW,           F_NEW,
		                            F_CALLER, F_CALLER, F_READ_INTERNAL, F_WRITE_INTERNAL,
		                            F_READ,   F_WRITE,  F_NEW,           F_CALLER };
	static const uint8_t plain[12] = { F_CALLER, 255,    F_NEW,  F_NEW,  F_CALLER, F_CALLER,
		                           F_RECV,   F_SEND, F_RECV, F_SEND, F_NEW,    F_CALLER };
	Elf64_Dyn dynamic[3] = { { .d_tag = DT_RELA, .d_un.d_ptr = RELOCATIONS },
		                 { .d_tag = DT_RELASZ } };
	size_t n = 0;

	for (unsigned i = 0; i < 24; i++) {
		unsigned f = i >= 12 && !s->tables_alike ? plain[i - 12] : secure[i % 12];
		Elf64_Rela r = { .r_offset = TABLES + i * 8, .r_info = R_X86_64_RELATIVE };

		/* alike: they differ in what tells the tables, and each leads from read to recv */
		if (i >= 12 && s->tables_alike && (f == F_READ_INTERNAL || f == F_WRITE_INTERNAL))
			f = f == F_READ_INTERNAL ? F_WRITE_INTERNAL : F_READ_INTERNAL;
		else if (i >= 12 && s->tables_alike && (f == F_READ || f == F_WRITE))
			f = f == F_READ ? F_WRITE : F_READ;
		if (f == 255)
			continue;
		r.r_addend = (Elf64_Sxword)function_addr(f);
		memcpy(file + RELOCATIONS + n++ * sizeof(r), &r, sizeof(r));
	}
	dynamic[1].d_un.d_val = n * sizeof(Elf64_Rela);
	memcpy(file + DYNAMIC, dynamic, sizeof(dynamic));
	return n;
}

/* file: SAMPLE_SIZE bytes. */
static inline void sample_make(const struct sample *s, uint8_t *file)
{
	Elf64_Ehdr h = { .e_type = ET_DYN,
		         .e_machine = EM_X86_64,
		         .e_version = EV_CURRENT,
		         .e_phoff = sizeof(h),
		         .e_ehsize = sizeof(h),
		         .e_phentsize = sizeof(Elf64_Phdr),
		         .e_phnum = 4,
		         .e_shentsize = sizeof(Elf64_Shdr) };
	Elf64_Phdr p[4] = {
		{ .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = CODE, .p_memsz = CODE },
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_X,
		  .p_offset = CODE,
		  .p_vaddr = CODE_ADDR,
		  .p_filesz = SAMPLE_SIZE - CODE,
		  .p_memsz = SAMPLE_SIZE - CODE },
		{ .p_type = PT_GNU_EH_FRAME, .p_offset = FRAMES_HDR, .p_vaddr = FRAMES_HDR },
		{ .p_type = PT_DYNAMIC, .p_offset = DYNAMIC, .p_vaddr = DYNAMIC },
	};
	uint64_t strings[6], at = STRINGS;

	memset(file, 0, SAMPLE_SIZE);
	memset(file + CODE, 0x90, SAMPLE_SIZE - CODE);
	for (unsigned i = 0; i < 6; i++) {
		const char *text = i == 5 ? s->source : s->names[i];

		strings[i] = at;
		if (text)
			memcpy(file + at, text, strlen(text));
		at += (text ? strlen(text) : 0) + 1;
	}
	for (unsigned f = 0; f < F_FUNCTIONS && !s->boring; f++)
		sample_function(s, file, f, strings);
	for (unsigned f = 0; f < F_FUNCTIONS && s->boring; f++)
		boring_function(s, file, f, strings[5]);
	sample_frames(file);
	if (s->sections) {
		sample_sections(file);
		p[2].p_type = PT_NULL;
		h.e_shoff = SECTIONS;
		h.e_shnum = 3;
		h.e_shstrndx = 2;
	}
	if (s->tables)
		sample_tables(s, file);
	else
		p[3].p_type = PT_NULL;
	memcpy(h.e_ident, ELFMAG "\x02\x01\x01", 7);
	memcpy(file, &h, sizeof(h));
	memcpy(file + sizeof(h), p, sizeof(p));
}

#define SOURCE_NAME "../ssl/ssl_lib.c"
#define OPENSSL_3              \
	.source = SOURCE_NAME, \
	.names = { "ssl_read_internal", "ssl_write_internal", "SSL_read", "SSL_write", "SSL_new" }
#define OPENSSL_11 .source = SOURCE_NAME, .numbers = { 523, 524, 223, 208, 186 }
#define RESULT_4 .result = "\x48\x8d\x4c\x24\x08", .nresult = 5 /* lea rcx, [rsp + 8] */
#define RESULT_4_MOV .result = "\x48\x89\xe1", .nresult = 3     /* mov rcx, rsp */
#define RESULT_5 .result = "\x4c\x8d\x44\x24\x08", .nresult = 5 /* lea r8, [rsp + 8] */

#endif
