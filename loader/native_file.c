/* SPDX-License-Identifier: BSD-2-Clause */
/* libelf and libdw on a file. Sections are read, not mapped: a file that is cut while mapped would kill its reader. */
#include "native_file.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS_MAX 8         /* executable ones of a file; linkers make one, BOLT two */
#define SYMBOLS_MAX (1u << 21) /* of a file, 24 bytes each; Chromium has half as many */

#if defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_X86_64
#endif

struct segment {
	uint64_t off, size, addr;
};

struct symbol {
	uint64_t addr;
	uint32_t size;
	uint32_t rank; /* of several for one function the lowest is shown */
	const char *name;
};

struct native_file {
	int fd;
	Elf *elf;
	Dwarf_CFI *rules;
	bool rules_sought, symbols_sought;
	struct segment segments[SEGMENTS_MAX];
	unsigned nsegments;
	struct symbol *symbols; /* sorted by address and rank */
	size_t nsymbols;
};

static int open_elf(struct native_file *f)
{
	GElf_Ehdr eh;
	size_t n;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOEXEC;
	f->elf = elf_begin(f->fd, ELF_C_READ, NULL);
	if (!f->elf || elf_kind(f->elf) != ELF_K_ELF || !gelf_getehdr(f->elf, &eh) ||
	    gelf_getclass(f->elf) != ELFCLASS64 || eh.e_machine != MACHINE ||
	    elf_getphdrnum(f->elf, &n))
		return -ENOEXEC;
	for (size_t i = 0; i < n && f->nsegments < SEGMENTS_MAX; i++) {
		GElf_Phdr p;

		if (gelf_getphdr(f->elf, (int)i, &p) && p.p_type == PT_LOAD && p.p_flags & PF_X)
			f->segments[f->nsegments++] =
				(struct segment){ p.p_offset, p.p_filesz, p.p_vaddr };
	}
	return 0;
}

struct native_file *native_file_new(int fd)
{
	struct native_file *f = calloc(1, sizeof(*f));
	int err;

	if (!f) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	f->fd = fd;
	err = open_elf(f);
	if (!err)
		return f;
	native_file_free(f);
	errno = -err;
	return NULL;
}

void native_file_free(struct native_file *f)
{
	if (!f)
		return;
	free(f->symbols);
	if (f->rules)
		dwarf_cfi_end(f->rules);
	elf_end(f->elf);
	close(f->fd);
	free(f);
}

bool native_file_address(const struct native_file *f, uint64_t off, uint64_t *addr)
{
	for (unsigned i = 0; i < f->nsegments; i++) {
		const struct segment *s = &f->segments[i];

		if (off < s->off || off - s->off >= s->size)
			continue;
		*addr = s->addr + (off - s->off);
		return true;
	}
	return false;
}

Dwarf_CFI *native_file_rules(struct native_file *f)
{
	if (!f->rules_sought)
		f->rules = dwarf_getcfi_elf(f->elf);
	f->rules_sought = true;
	return f->rules;
}

/* recv before __libc_recv, what others see before what they do not. */
static uint32_t rank_of(const char *name, const GElf_Sym *sym)
{
	uint32_t underscores = (uint32_t)strspn(name, "_");
	uint32_t hidden = GELF_ST_BIND(sym->st_info) == STB_LOCAL;

	return (underscores < 255 ? underscores : 255) << 1 | hidden;
}

static size_t table_count(Elf_Data *data, const GElf_Shdr *sh)
{
	return data && sh->sh_entsize ? data->d_size / sh->sh_entsize : 0;
}

static bool symbols_room(struct native_file *f, size_t count)
{
	size_t room = f->nsymbols + count < SYMBOLS_MAX ? f->nsymbols + count : SYMBOLS_MAX;
	struct symbol *more = realloc(f->symbols, (room + 1) * sizeof(*more));

	if (more)
		f->symbols = more;
	return more;
}

static void table_add(struct native_file *f, Elf_Scn *scn, const GElf_Shdr *sh)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = table_count(data, sh);

	if (!count || !symbols_room(f, count))
		return;
	for (size_t i = 0; i < count && f->nsymbols < SYMBOLS_MAX; i++) {
		const char *name;
		GElf_Sym sym;
		int type;

		if (!gelf_getsym(data, (int)i, &sym))
			break;
		type = GELF_ST_TYPE(sym.st_info);
		if ((type != STT_FUNC && type != STT_GNU_IFUNC) || sym.st_shndx == SHN_UNDEF ||
		    sym.st_size == 0 || sym.st_size > UINT32_MAX)
			continue;
		name = elf_strptr(f->elf, sh->sh_link, sym.st_name);
		if (name && *name)
			f->symbols[f->nsymbols++] = (struct symbol){ sym.st_value,
				                                     (uint32_t)sym.st_size,
				                                     rank_of(name, &sym), name };
	}
}

static int symbol_order(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void symbols_read(struct native_file *f)
{
	Elf_Scn *scn = NULL;

	f->symbols_sought = true;
	while ((scn = elf_nextscn(f->elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) &&
		    (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM))
			table_add(f, scn, &sh);
	}
	if (f->nsymbols)
		qsort(f->symbols, f->nsymbols, sizeof(*f->symbols), symbol_order);
}

const char *native_file_function(struct native_file *f, uint64_t addr)
{
	size_t lo = 0, hi;

	if (!f->symbols_sought)
		symbols_read(f);
	hi = f->nsymbols;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (f->symbols[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	hi = lo -
	     1; /* the last that begins at or before addr: of those at the same place the first reaches as far */
	while (hi && f->symbols[hi - 1].addr == f->symbols[hi].addr)
		hi--;
	for (; hi < lo; hi++)
		if (addr - f->symbols[hi].addr < f->symbols[hi].size)
			return f->symbols[hi].name;
	return NULL;
}
