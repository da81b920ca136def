/* SPDX-License-Identifier: BSD-2-Clause */
/* An ELF file with code that a stack leads through: what its functions are called, and how their frames are undone. The
 * file is not trusted: it may be cut, or lie. */
#ifndef NATIVE_FILE_H
#define NATIVE_FILE_H
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct native_file;

/* Takes fd, also when it fails: NULL with errno set (ENOEXEC: no ELF file of this machine's kind). */
struct native_file *native_file_new(int fd);
void native_file_free(struct native_file *f);

/* Address, as the file numbers them, of what stands at an offset in it and is mapped executable. */
bool native_file_address(const struct native_file *f, uint64_t off, uint64_t *addr);

/* Rules for its frames; NULL: it has none. Owned by f. */
Dwarf_CFI *native_file_rules(struct native_file *f);

/* Name of the function that addr lies in, NULL not known. Where it has several the one that people call. Owned by f. */
const char *native_file_function(struct native_file *f, uint64_t addr);

#endif
