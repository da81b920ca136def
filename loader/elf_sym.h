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

#endif
