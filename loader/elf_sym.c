/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbol lookup with libelf: one pass over each symbol table for all names wanted. */
#include "elf_sym.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* File offset of a virtual address: through the segment that maps it executable. 0 if none does. */
static uint64_t file_offset(Elf *elf, uint64_t addr)
{
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return 0;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr p;

		if (!gelf_getphdr(elf, (int)i, &p) || p.p_type != PT_LOAD || !(p.p_flags & PF_X))
			continue;
		if (addr >= p.p_vaddr && addr - p.p_vaddr < p.p_filesz)
			return addr - p.p_vaddr + p.p_offset;
	}
	return 0;
}

static int scan_table(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, const char *const *names,
                      size_t n, uint64_t *offsets)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = data && sh->sh_entsize ? data->d_size / sh->sh_entsize : 0;
	int found = 0;

	for (size_t i = 0; i < count; i++) {
		const char *name;
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym) || GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
		    sym.st_shndx == SHN_UNDEF || sym.st_value == 0)
			continue;
		name = elf_strptr(elf, sh->sh_link, sym.st_name);
		for (size_t k = 0; name && k < n; k++) {
			if (offsets[k] || strcmp(name, names[k]) != 0)
				continue;
			offsets[k] = file_offset(elf, sym.st_value);
			found += offsets[k] != 0;
		}
	}
	return found;
}

/* NULL: no ELF file of 64 bits. */
static Elf *elf_open(int fd)
{
	GElf_Ehdr eh;
	Elf *elf;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return NULL;
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return NULL;
	if (elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &eh) &&
	    gelf_getclass(elf) == ELFCLASS64)
		return elf;
	elf_end(elf);
	return NULL;
}

int elf_sym_offsets(int fd, const char *const *names, size_t n, uint64_t *offsets)
{
	static const GElf_Word tables[] = { SHT_DYNSYM, SHT_SYMTAB };
	int found = 0;
	Elf *elf;

	memset(offsets, 0, n * sizeof(*offsets));
	elf = elf_open(fd);
	if (!elf)
		return -ENOEXEC;
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]) && found < (int)n; t++) {
		Elf_Scn *scn = NULL;

		while ((scn = elf_nextscn(elf, scn))) {
			GElf_Shdr sh;

			if (gelf_getshdr(scn, &sh) && sh.sh_type == tables[t])
				found += scan_table(elf, scn, &sh, names, n, offsets);
		}
	}
	elf_end(elf);
	return found;
}

/* Virtual address at which the executable segment mapped from file offset off begins. */
static bool mapping_address(Elf *elf, uint64_t off, uint64_t *addr)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return false;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr p;

		if (!gelf_getphdr(elf, (int)i, &p) || p.p_type != PT_LOAD || !(p.p_flags & PF_X) ||
		    (p.p_offset & ~page) != off)
			continue;
		*addr = p.p_vaddr & ~page;
		return true;
	}
	return false;
}

static int scan_objects(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, const char *const *names,
                        size_t n, uint64_t base, struct elf_object *objects)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t count = data && sh->sh_entsize ? data->d_size / sh->sh_entsize : 0;
	int found = 0;

	for (size_t i = 0; i < count; i++) {
		const char *name;
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym) || GELF_ST_TYPE(sym.st_info) != STT_OBJECT ||
		    sym.st_shndx == SHN_UNDEF || sym.st_value == 0 || sym.st_size == 0)
			continue;
		name = elf_strptr(elf, sh->sh_link, sym.st_name);
		for (size_t k = 0; name && k < n; k++) {
			if (objects[k].size || strcmp(name, names[k]) != 0)
				continue;
			objects[k] = (struct elf_object){ sym.st_value - base, sym.st_size };
			found++;
		}
	}
	return found;
}

int elf_sym_objects(int fd, const char *const *names, size_t n, uint64_t off,
                    struct elf_object *objects)
{
	Elf_Scn *scn = NULL;
	uint64_t base;
	int found = 0;
	Elf *elf;

	memset(objects, 0, n * sizeof(*objects));
	elf = elf_open(fd);
	if (!elf)
		return -ENOEXEC;
	if (!mapping_address(elf, off, &base)) {
		elf_end(elf);
		return -ENOENT;
	}
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;

		if (gelf_getshdr(scn, &sh) && sh.sh_type == SHT_DYNSYM)
			found += scan_objects(elf, scn, &sh, names, n, base, objects);
	}
	elf_end(elf);
	return found;
}

int elf_sym_section(int fd, const char *name, uint64_t off, struct elf_object *section)
{
	Elf_Scn *scn = NULL;
	int err = -ENOENT;
	uint64_t base;
	size_t names;
	Elf *elf;

	memset(section, 0, sizeof(*section));
	elf = elf_open(fd);
	if (!elf)
		return -ENOEXEC;
	if (mapping_address(elf, off, &base) && elf_getshdrstrndx(elf, &names) == 0) {
		while (err && (scn = elf_nextscn(elf, scn))) {
			const char *have;
			GElf_Shdr sh;

			if (!gelf_getshdr(scn, &sh) || !(sh.sh_flags & SHF_ALLOC))
				continue;
			have = elf_strptr(elf, names, sh.sh_name);
			if (!have || strcmp(have, name) != 0)
				continue;
			*section = (struct elf_object){ sh.sh_addr - base, sh.sh_size };
			err = 0;
		}
	}
	elf_end(elf);
	return err;
}
