/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Go's crypto/tls: (*Conn).Read and Write by symbol, in stripped programs by the table of functions the program carries for
 * itself, at their first instruction and at each RET. Not at their return address, as of C functions: the runtime moves
 * stacks and walks them, and ends the program when it meets a return address that is not its own (golang/go#22008).
 */
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "go_body.h"
#include "go_table.h"
#include "state.h"
#include "tls_code.h"

#define TABLE_MAX (256u << 20) /* bytes; of the largest programs known it has 60 MB */
#define BODY_MAX (64u << 10)   /* bytes of a function; those we look at have 3,000 */
#define SCAN_CHUNK (1u << 20)
#define INFO_SCAN (64u << 10) /* where debug/buildinfo looks for its mark, too */
#define SECTIONS_MAX 4096
#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define RELATIVE R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define RELATIVE R_AARCH64_RELATIVE
#endif

static const char *const names[] = { "crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write",
	                             "crypto/tls.(*Conn).Close" };
static const enum tls_function functions[] = { TLS_READ, TLS_WRITE, TLS_FREE };
#define NAMES (sizeof(names) / sizeof(names[0]))

/* The mark of build information (debug/buildinfo). */
static const uint8_t info_mark[] = "\xff Go buildinf:";

struct program {
	int fd;
	Elf *elf;
	uint8_t *table; /* its bytes */
};

/* ---- segments and sections ---- */

static bool segment_get(const struct program *p, size_t i, GElf_Phdr *to)
{
	size_t n;

	return elf_getphdrnum(p->elf, &n) == 0 && i < n && gelf_getphdr(p->elf, (int)i, to);
}

/* File offset of a virtual address, and how many bytes of its segment follow there; 0 none. */
static uint64_t bytes_at(const struct program *p, uint64_t addr, uint64_t *offset)
{
	GElf_Phdr s;

	for (size_t i = 0; segment_get(p, i, &s); i++) {
		if (s.p_type != PT_LOAD || addr < s.p_vaddr || addr - s.p_vaddr >= s.p_filesz)
			continue;
		*offset = addr - s.p_vaddr + s.p_offset;
		return s.p_filesz - (addr - s.p_vaddr);
	}
	return 0;
}

/* The first section of such a name; its end is compared: ".data.rel.ro.gopclntab" is a ".gopclntab", too. */
static bool section_find(const struct program *p, const char *name, GElf_Shdr *to)
{
	size_t strings, len = strlen(name), seen = 0;
	Elf_Scn *scn = NULL;

	if (elf_getshdrstrndx(p->elf, &strings))
		return false;
	while (seen++ < SECTIONS_MAX && (scn = elf_nextscn(p->elf, scn)) && gelf_getshdr(scn, to)) {
		const char *have = elf_strptr(p->elf, strings, to->sh_name);
		size_t n = have ? strlen(have) : 0;

		if (n >= len && strcmp(have + n - len, name) == 0)
			return true;
	}
	return false;
}

/* ---- is it Go? ---- */

static bool has_info_mark(const struct program *p)
{
	uint8_t *room = malloc(INFO_SCAN);
	bool found = false;
	GElf_Phdr s;

	for (size_t i = 0; room && !found && segment_get(p, i, &s); i++) {
		ssize_t n;

		if (s.p_type != PT_LOAD || !(s.p_flags & PF_W))
			continue;
		n = pread(p->fd, room, s.p_filesz < INFO_SCAN ? s.p_filesz : INFO_SCAN,
		          (off_t)s.p_offset);
		found = n > 0 && memmem(room, (size_t)n, info_mark, sizeof(info_mark) - 1) != NULL;
	}
	free(room);
	return found;
}

static bool is_go(const struct program *p)
{
	static const char *const sections[] = { ".go.buildinfo", ".note.go.buildid", ".gopclntab" };
	GElf_Shdr section;

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (section_find(p, sections[i], &section))
			return true;
	return has_info_mark(p);
}

/* ---- functions by symbol ---- */

static size_t table_symbols(const struct program *p, Elf_Scn *scn, const GElf_Shdr *section,
                            struct go_function *to)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = data && section->sh_entsize ? data->d_size / section->sh_entsize : 0;
	size_t found = 0;
	GElf_Sym sym;

	for (size_t i = 0; i < count && gelf_getsym(data, (int)i, &sym); i++) {
		const char *name;

		if (GELF_ST_TYPE(sym.st_info) != STT_FUNC || !sym.st_value || !sym.st_size)
			continue;
		name = elf_strptr(p->elf, section->sh_link, sym.st_name);
		for (size_t k = 0; name && k < NAMES; k++) {
			if (to[k].end || strcmp(name, names[k]) != 0)
				continue;
			to[k] = (struct go_function){ sym.st_value, sym.st_value + sym.st_size };
			found++;
		}
	}
	return found;
}

static size_t symbols_find(const struct program *p, struct go_function *to)
{
	size_t found = 0, seen = 0;
	Elf_Scn *scn = NULL;
	GElf_Shdr section;

	while (seen++ < SECTIONS_MAX && (scn = elf_nextscn(p->elf, scn)) &&
	       gelf_getshdr(scn, &section))
		if (section.sh_type == SHT_SYMTAB)
			found += table_symbols(p, scn, &section, to);
	return found;
}

/* ---- functions by the program's own table ---- */

/* Reads the table that begins at offset and has n bytes at most. */
static int table_read(struct program *p, uint64_t offset, uint64_t n, struct go_table *to)
{
	ssize_t got;

	if (n > TABLE_MAX)
		n = TABLE_MAX;
	free(p->table);
	p->table = malloc(n + 1);
	if (!p->table)
		return -ENOMEM;
	got = pread(p->fd, p->table, n, (off_t)offset);
	return got < 0 ? -errno : go_table_open(to, p->table, (size_t)got);
}

/* In a segment whose sections say nothing: tables begin at multiples of 32 bytes. */
static int table_scan(struct program *p, const GElf_Phdr *s, struct go_table *to, uint64_t *addr)
{
	uint8_t *room = malloc(SCAN_CHUNK + GO_TABLE_HEADER);
	uint64_t skew = s->p_vaddr % 32 ? 32 - s->p_vaddr % 32 : 0;
	int err = -ENOENT;

	for (uint64_t at = skew; room && err && at < s->p_filesz; at += SCAN_CHUNK) {
		ssize_t got =
			pread(p->fd, room, SCAN_CHUNK + GO_TABLE_HEADER, (off_t)(s->p_offset + at));

		for (ssize_t k = 0; err && k < got && k < (ssize_t)SCAN_CHUNK; k += 32) {
			if (!go_table_begins(room + k, (size_t)(got - k)))
				continue;
			*addr = s->p_vaddr + at + (uint64_t)k;
			err = table_read(p, s->p_offset + at + (uint64_t)k,
			                 s->p_filesz - at - (uint64_t)k, to);
		}
		if (got <= 0)
			break;
	}
	free(room);
	return err;
}

static int table_open(struct program *p, struct go_table *to, uint64_t *addr)
{
	int err = -ENOENT;
	GElf_Shdr section;
	GElf_Phdr s;

	if (section_find(p, ".gopclntab", &section) && section.sh_type == SHT_PROGBITS) {
		*addr = section.sh_addr;
		err = table_read(p, section.sh_offset, section.sh_size, to);
	}
	for (size_t i = 0; err && segment_get(p, i, &s); i++)
		if (s.p_type == PT_LOAD && !(s.p_flags & PF_X))
			err = table_scan(p, &s, to, addr);
	return err;
}

/* What the loader of the program would write at an address (R_X86_64_RELATIVE and its like); 0 nothing. */
static uint64_t relocated(const struct program *p, uint64_t addr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr section;
	size_t seen = 0;

	while (seen++ < SECTIONS_MAX && (scn = elf_nextscn(p->elf, scn)) &&
	       gelf_getshdr(scn, &section)) {
		Elf_Data *data = section.sh_type == SHT_RELA ? elf_getdata(scn, NULL) : NULL;
		size_t n = data ? data->d_size / sizeof(Elf64_Rela) : 0;
		GElf_Rela rela;

		for (size_t i = 0; i < n && gelf_getrela(data, (int)i, &rela); i++)
			if (rela.r_offset == addr && GELF_R_TYPE(rela.r_info) == RELATIVE)
				return (uint64_t)rela.r_addend;
	}
	return 0;
}

/* Where code begins: as the table says, as relocations will have it say, else as the section does. */
static void text_find(const struct program *p, struct go_table *t, uint64_t addr)
{
	GElf_Shdr section;
	uint64_t text = t->text_at ? relocated(p, addr + t->text_at) : 0;

	if (!t->text_at || (t->text && !text))
		return;
	if (!text && section_find(p, ".text", &section))
		text = section.sh_addr;
	t->text = text;
}

/* How many were found, or -errno: there is no table that is understood. */
static int table_find(struct program *p, struct go_function *to)
{
	struct go_table t;
	uint64_t addr = 0;
	int err = table_open(p, &t, &addr);

	if (err)
		return err;
	text_find(p, &t, addr);
	return (int)go_table_find(&t, names, NAMES, to);
}

/* ---- places ---- */

static const char *body_failure(int err)
{
	switch (err) {
	case -ENOTSUP:
		return "this whystuck was built without Capstone, which finds where Go functions "
		       "return";
	case -E2BIG:
		return "its functions return in too many places";
	default:
		return "its functions could not be read to their end";
	}
}

static void place_add(struct tls_code *to, uint64_t offset, uint64_t cookie,
                      enum tls_program program)
{
	to->places[to->n++] = (struct tls_place){ offset, cookie, program };
}

/* Adds the places of one function; NULL, or why they are not to be had. */
static const char *function_add(const struct program *p, enum tls_function which,
                                const struct go_function *f, struct tls_code *to)
{
	uint64_t size = f->end - f->start, offset = 0, there = bytes_at(p, f->start, &offset);
	uint64_t cookie = which;
	struct go_body body;
	uint8_t *code;
	ssize_t got;
	int err;

	if (!size || size > BODY_MAX || there < size || !(code = malloc(size)))
		return body_failure(-EILSEQ);
	got = pread(p->fd, code, size, (off_t)offset);
	err = got == (ssize_t)size ? go_body_read(code, size, &body) : -EILSEQ;
	free(code);
	if (err)
		return body_failure(err);
	if (!body.registers)
		return "it is of before Go 1.17, where arguments are on the stack";
	if (body.kept)
		cookie |= TLS_KEPT;
	if (to->n + 1 + body.nrets > TLS_PLACES_MAX)
		return body_failure(-E2BIG);
	place_add(to, offset, cookie, GO_AT_ENTRY);
	for (size_t i = 0; which != TLS_FREE && i < body.nrets; i++)
		place_add(to, offset + body.rets[i], cookie, GO_AT_RET);
	return NULL;
}

/* The functions, by symbol or else by the table. False: it has none of them. */
static bool functions_find(struct program *p, struct go_function *to, const char **how)
{
	int found;

	*how = "symbols";
	if (symbols_find(p, to))
		return true;
	found = table_find(p, to);
	*how = found < 0 ? "its table of functions is of no kind that is understood"
	                 : "the program's own table of functions";
	return found != 0;
}

static void places_add(struct program *p, struct tls_code *to)
{
	struct go_function found[NAMES] = { 0 };
	const char *why = NULL;

	if (!functions_find(p, found, &to->how))
		return;
	to->family = "go";
	for (size_t k = 0; k < NAMES && !why; k++) {
		to->functions += found[k].end != 0;
		if (found[k].end)
			why = function_add(p, functions[k], &found[k], to);
	}
	if (!why)
		return;
	to->n = 0; /* half of a connection would be worse than none */
	to->how = why;
}

int tls_code_go(int fd, const char *name, struct tls_code *to)
{
	struct program p = { .fd = fd };
	GElf_Ehdr header;
	int err = -ENOEXEC;

	(void)name;
	memset(to, 0, sizeof(*to));
	if (elf_version(EV_CURRENT) == EV_NONE || !(p.elf = elf_begin(fd, ELF_C_READ, NULL)))
		return -ENOEXEC;
	if (elf_kind(p.elf) == ELF_K_ELF && gelf_getclass(p.elf) == ELFCLASS64 &&
	    gelf_getehdr(p.elf, &header) && header.e_machine == MACHINE) {
		err = 0;
		if (is_go(&p))
			places_add(&p, to);
	}
	elf_end(p.elf);
	free(p.table);
	return err;
}
