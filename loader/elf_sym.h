/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds functions in ELF files: name to file offset, which is what uprobes want. */
#ifndef ELF_SYM_H
#define ELF_SYM_H
#include <stddef.h>
#include <stdint.h>

/* Looks names[n] up in the open file fd (.dynsym, then .symtab): offsets[i] is the file offset of names[i]'s first
 * instruction, 0 where it is not defined there. Returns how many were found, or -errno (-ENOEXEC: no ELF file of this
 * machine's kind). The file is not trusted: it may be cut, or lie. */
int elf_sym_offsets(int fd, const char *const *names, size_t n, uint64_t *offsets);

/* A variable: size is 0 where it is not defined. */
struct elf_object {
	uint64_t addr; /* from the start of the mapping asked for; may lie before it, modulo 2^64 */
	uint64_t size;
};

/* Looks names[n] up among the variables that fd exports (.dynsym). off: file offset of an executable mapping of it, which
 * tells where all the rest lies. Returns how many were found, or -errno as above; -ENOENT: no segment is mapped so. */
int elf_sym_objects(int fd, const char *const *names, size_t n, uint64_t off,
                    struct elf_object *objects);

/* The same for a section by its name. 0; -ENOENT: it has none, or as above. */
int elf_sym_section(int fd, const char *name, uint64_t off, struct elf_object *section);

#endif
