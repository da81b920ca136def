/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments are read whole when they are first needed, with pread: a mapping would kill us with SIGBUS if the target cut its file.
 * Layouts are those of elf.h; of .eh_frame_hdr and .eh_frame: Linux Standard Base Core 5.0, 10.6 "Exception Frames".
 */
#include "elf_image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PHDRS_MAX 64            /* that are looked at */
#define SECTIONS_MAX 256        /* ... usual are 40 */
#define FUNCTIONS_MAX (1 << 20) /* of .eh_frame; a browser has 600,000 */
#define DYNAMICS_MAX 256 /* entries of the dynamic section that are looked at; usual are 30 */

/* Constants are searched in pieces of this size, each with what a text that begins in it may have in the next. */
#define PIECE (256 << 10)
#define TEXT_MAX 64

/* DWARF's pointer encodings, those that linkers use: all else is refused. */
#define ENCODED_UDATA4 0x03
#define ENCODED_PCREL_SDATA4 0x1b
#define ENCODED_DATAREL_SDATA4 0x3b

/* Bytes read, less than n only at the file's end. */
static size_t read_at(int fd, void *to, size_t n, uint64_t offset)
{
	size_t got = 0;

	while (got < n && offset + got <= INT64_MAX) {
		ssize_t r = pread(fd, (uint8_t *)to + got, n - got, (off_t)(offset + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		got += (size_t)r;
	}
	return got;
}

/* A header of the file's program: what of it there is in a file of size bytes is added. */
static void segment_add(struct elf_image *im, const Elf64_Phdr *p, uint64_t size)
{
	struct elf_segment *s = &im->segments[im->n];
	uint64_t room = ELF_BYTES_MAX;

	for (size_t i = 0; i < im->n; i++)
		room -= im->segments[i].n;
	if (im->n == ELF_SEGMENTS_MAX || p->p_offset >= size || !p->p_filesz ||
	    p->p_vaddr > UINT64_MAX / 2)
		return;
	*s = (struct elf_segment){
		.addr = p->p_vaddr,
		.offset = p->p_offset,
		.n = p->p_filesz < size - p->p_offset ? p->p_filesz : size - p->p_offset,
		.exec = p->p_flags & PF_X,
		.write = p->p_flags & PF_W,
	};
	if (s->n > room) {
		s->n = room;
		im->cut = true;
	}
	im->n++;
}

/* .eh_frame by its name: an executable without a dynamic linker has no .eh_frame_hdr, but strip(1) leaves section headers. */
static void sections_look(struct elf_image *im, const Elf64_Ehdr *h)
{
	Elf64_Shdr names, sh;
	char name[sizeof(".eh_frame")];

	if (h->e_shentsize != sizeof(sh) ||
	    read_at(im->fd, &names, sizeof(names), h->e_shoff + h->e_shstrndx * sizeof(sh)) !=
	            sizeof(names))
		return;
	for (size_t i = 0; i < h->e_shnum && i < SECTIONS_MAX; i++) {
		if (read_at(im->fd, &sh, sizeof(sh), h->e_shoff + i * sizeof(sh)) != sizeof(sh))
			return;
		if (sh.sh_name < names.sh_size &&
		    read_at(im->fd, name, sizeof(name), names.sh_offset + sh.sh_name) ==
		            sizeof(name) &&
		    memcmp(name, ".eh_frame", sizeof(name)) == 0) {
			im->unwind = sh.sh_addr;
			im->unwind_n = sh.sh_size;
		}
	}
}

int elf_image_open(struct elf_image *im, int fd)
{
	struct stat st;
	Elf64_Ehdr h;

	memset(im, 0, sizeof(*im));
	im->fd = fd;
	if (fstat(fd, &st))
		return -errno;
	if (read_at(fd, &h, sizeof(h), 0) != sizeof(h) || memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 ||
	    h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
	    (h.e_type != ET_EXEC && h.e_type != ET_DYN) || h.e_phentsize != sizeof(Elf64_Phdr) ||
	    h.e_phoff > (uint64_t)st.st_size)
		return -ENOEXEC;
	im->machine = h.e_machine;
	im->fixed = h.e_type == ET_EXEC;
	for (size_t i = 0; i < h.e_phnum && i < PHDRS_MAX; i++) {
		Elf64_Phdr p;

		if (read_at(fd, &p, sizeof(p), h.e_phoff + i * sizeof(p)) != sizeof(p))
			break;
		if (p.p_type == PT_LOAD)
			segment_add(im, &p, (uint64_t)st.st_size);
		else if (p.p_type == PT_GNU_EH_FRAME)
			im->frames = p.p_vaddr;
		else if (p.p_type == PT_DYNAMIC)
			im->dynamic = p.p_vaddr;
	}
	if (!im->frames)
		sections_look(im, &h);
	return 0;
}

void elf_image_close(struct elf_image *im)
{
	for (size_t i = 0; i < im->n; i++)
		free(im->segments[i].data);
	im->n = 0;
	free(im->functions);
	im->functions = NULL;
}

const uint8_t *elf_image_load(struct elf_image *im, struct elf_segment *s)
{
	if (s->data || !s->n)
		return s->data;
	s->data = malloc(s->n);
	s->n = s->data ? read_at(im->fd, s->data, s->n, s->offset) : 0;
	return s->n ? s->data : NULL;
}

static bool inside(const struct elf_segment *s, uint64_t addr, size_t n)
{
	return addr >= s->addr && addr - s->addr < s->n && n <= s->n - (addr - s->addr);
}

const uint8_t *elf_image_at(struct elf_image *im, uint64_t addr, size_t n)
{
	for (size_t i = 0; i < im->n; i++) {
		struct elf_segment *s = &im->segments[i];

		if (inside(s, addr, n) && elf_image_load(im, s) && inside(s, addr, n))
			return s->data + (addr - s->addr);
	}
	return NULL;
}

uint64_t elf_image_offset(const struct elf_image *im, uint64_t addr)
{
	for (size_t i = 0; i < im->n; i++)
		if (im->segments[i].exec && inside(&im->segments[i], addr, 1))
			return addr - im->segments[i].addr + im->segments[i].offset;
	return 0;
}

/* Constants lie in a segment of their own, or, as older linkers have it, in that of the code. */
static bool constants(const struct elf_image *im, const struct elf_segment *s)
{
	if (s->write)
		return false;
	for (size_t i = 0; s->exec && i < im->n; i++)
		if (!im->segments[i].exec && !im->segments[i].write)
			return false;
	return true;
}

/* A segment in pieces, into one room: most files have nothing we look for, and are not worth the memory. */
static void segment_search(const struct elf_image *im, const struct elf_segment *s,
                           const struct elf_text *texts, size_t n, uint8_t *room, bool *has)
{
	for (uint64_t at = 0; at < s->n; at += PIECE) {
		uint64_t want = s->n - at < PIECE + TEXT_MAX ? s->n - at : PIECE + TEXT_MAX;
		size_t got = read_at(im->fd, room, want, s->offset + at);

		for (size_t i = 0; i < n; i++)
			has[i] = has[i] || memmem(room, got, texts[i].p, texts[i].n);
		if (got < want)
			return;
	}
}

bool elf_image_search(const struct elf_image *im, const struct elf_text *texts, size_t n, bool *has)
{
	uint8_t *room = malloc(PIECE + TEXT_MAX);
	bool any = false;

	memset(has, 0, n * sizeof(*has));
	for (size_t i = 0; room && i < im->n; i++)
		if (constants(im, &im->segments[i]))
			segment_search(im, &im->segments[i], texts, n, room, has);
	free(room);
	for (size_t i = 0; i < n; i++)
		any |= has[i];
	return any;
}

uint64_t elf_image_find(struct elf_image *im, const char *text, size_t n, uint64_t after)
{
	for (size_t i = 0; i < im->n; i++) {
		struct elf_segment *s = &im->segments[i];
		const uint8_t *data, *found;
		uint64_t skip;

		if (!constants(im, s) || (after && after >= s->addr + s->n))
			continue;
		data = elf_image_load(im, s);
		skip = after && after >= s->addr ? after - s->addr + 1 : 0;
		if (!data || skip >= s->n)
			continue;
		found = memmem(data + skip, s->n - skip, text, n);
		if (found)
			return s->addr + (uint64_t)(found - data);
	}
	return 0;
}

size_t elf_image_find_ending(struct elf_image *im, const char *text, size_t n, uint64_t *to,
                             size_t max)
{
	uint64_t at = 0;
	size_t found = 0;

	while (found < max && (at = elf_image_find(im, text, n, at))) {
		uint64_t begin = at;
		const uint8_t *p;

		while ((p = elf_image_at(im, begin - 1, 1)) && *p >= ' ' && *p < 0x7f)
			begin--;
		to[found++] = begin;
	}
	return found;
}

static int32_t le32(const uint8_t *p)
{
	int32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The length of the function from the entry of .eh_frame that tells it; 0: the entry is another's, or cannot be read. */
static uint32_t frame_length(struct elf_image *im, uint64_t entry, uint64_t start)
{
	const uint8_t *p = elf_image_at(im, entry, 16);

	/* length, its CIE, begin, length: in an encoding that gives the very start, or we read it wrongly */
	if (!p || entry + 8 + (uint64_t)(int64_t)le32(p + 8) != start)
		return 0;
	return (uint32_t)le32(p + 12);
}

static int function_compare(const void *a, const void *b)
{
	const struct elf_function *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Each entry of .eh_frame that tells a function in the encoding linkers use. */
static void functions_read(struct elf_image *im)
{
	const uint8_t *p = elf_image_at(im, im->unwind, im->unwind_n);
	uint64_t at = 0, length;

	im->functions = p ? calloc(im->unwind_n / 16 + 1, sizeof(*im->functions)) : NULL;
	if (!im->functions)
		return;
	for (; at + 16 <= im->unwind_n && im->nfunctions < FUNCTIONS_MAX; at += 4 + length) {
		uint64_t start = im->unwind + at + 8 + (uint64_t)(int64_t)le32(p + at + 8);

		length = (uint32_t)le32(p + at);
		if (length < 4 || length == UINT32_MAX)
			break;
		/* a CIE is marked by 0 */
		if (length >= 12 && le32(p + at + 4) && elf_image_offset(im, start))
			im->functions[im->nfunctions++] =
				(struct elf_function){ start, start + (uint32_t)le32(p + at + 12) };
	}
	qsort(im->functions, im->nfunctions, sizeof(*im->functions), function_compare);
}

/* The same by .eh_frame itself. */
static bool function_search(struct elf_image *im, uint64_t addr, struct elf_function *f)
{
	size_t low = 0;

	if (!im->functions && im->unwind_n)
		functions_read(im);
	if (!im->functions || !im->nfunctions)
		return false;
	for (size_t high = im->nfunctions; high - low > 1;) {
		size_t middle = low + (high - low) / 2;

		if (im->functions[middle].start <= addr)
			low = middle;
		else
			high = middle;
	}
	*f = im->functions[low];
	return addr >= f->start && addr < f->end;
}

bool elf_image_function(struct elf_image *im, uint64_t addr, struct elf_function *f)
{
	const uint8_t *h = im->frames ? elf_image_at(im, im->frames, 12) : NULL;
	const uint8_t *table;
	uint32_t n, low = 0, high;
	uint64_t start;

	if (!im->frames)
		return function_search(im, addr, f);
	if (!h || h[0] != 1 || h[1] != ENCODED_PCREL_SDATA4 || h[2] != ENCODED_UDATA4 ||
	    h[3] != ENCODED_DATAREL_SDATA4)
		return false;
	n = (uint32_t)le32(h + 8);
	table = elf_image_at(im, im->frames + 12, (size_t)n * 8);
	if (!table || !n)
		return false;
	/* the last that begins at or before addr; order is not taken for granted, only looked for */
	for (high = n; high - low > 1;) {
		uint32_t middle = low + (high - low) / 2;

		if (im->frames + (uint64_t)(int64_t)le32(table + (size_t)middle * 8) <= addr)
			low = middle;
		else
			high = middle;
	}
	start = im->frames + (uint64_t)(int64_t)le32(table + (size_t)low * 8);
	f->start = start;
	f->end = start +
	         frame_length(im, im->frames + (uint64_t)(int64_t)le32(table + (size_t)low * 8 + 4),
	                      start);
	return addr >= f->start && addr < f->end;
}

static bool refers(const struct elf_image *im, const uint8_t *p, uint64_t addr, uint64_t *to)
{
	/* lea r64, [rip + disp32]: REX.W (48, or 4c for r8-r15), 8d, ModRM of mod 0 and rm 5 */
	if (p[1] == 0x8d && (p[0] & 0xfb) == 0x48 && (p[2] & 0xc7) == 0x05) {
		*to = addr + 7 + (uint64_t)(int64_t)le32(p + 3);
		return true;
	}
	/* mov r32, imm32 */
	if (im->fixed && (p[0] & 0xf8) == 0xb8) {
		*to = (uint32_t)le32(p + 1);
		return true;
	}
	return false;
}

void elf_image_references(struct elf_image *im, const uint64_t *addrs, size_t n,
                          bool (*fn)(void *ctx, uint64_t at, size_t which), void *ctx)
{
	for (size_t i = 0; i < im->n; i++) {
		struct elf_segment *s = &im->segments[i];
		const uint8_t *data = s->exec ? elf_image_load(im, s) : NULL;

		for (uint64_t k = 0; data && k + 7 <= s->n; k++) {
			uint64_t to;

			if (!refers(im, data + k, s->addr + k, &to))
				continue;
			for (size_t w = 0; w < n; w++)
				if (addrs[w] == to && !fn(ctx, s->addr + k, w))
					return;
		}
	}
}

void elf_image_calls(struct elf_image *im, uint64_t to, bool (*fn)(void *ctx, uint64_t at),
                     void *ctx)
{
	for (size_t i = 0; i < im->n; i++) {
		struct elf_segment *s = &im->segments[i];
		const uint8_t *data = s->exec ? elf_image_load(im, s) : NULL;

		/* call rel32 */
		for (uint64_t k = 0; data && k + 5 <= s->n; k++)
			if (data[k] == 0xe8 &&
			    s->addr + k + 5 + (uint64_t)(int64_t)le32(data + k + 1) == to &&
			    !fn(ctx, s->addr + k))
				return;
	}
}

struct outside {
	const struct elf_function *f;
	bool called;
};

static bool outside_take(void *ctx, uint64_t at)
{
	struct outside *o = ctx;

	o->called = at < o->f->start || at >= o->f->end;
	return !o->called;
}

bool elf_image_called(struct elf_image *im, const struct elf_function *f)
{
	struct outside o = { .f = f };

	elf_image_calls(im, f->start, outside_take, &o);
	return o.called;
}

bool elf_image_leads(struct elf_image *im, uint64_t from, uint64_t to)
{
	const uint8_t *p = NULL;
	struct elf_function f;

	if (elf_image_function(im, from, &f) && f.start == from)
		p = elf_image_at(im, f.start, f.end - f.start);
	for (uint64_t i = 0; p && i + 5 <= f.end - f.start; i++)
		if ((p[i] == 0xe8 || p[i] == 0xe9) &&
		    f.start + i + 5 + (uint64_t)(int64_t)le32(p + i + 1) == to)
			return true;
	return false;
}

/* The n relocations at r: each that puts an address of the file's own code somewhere. */
static bool relocations_walk(struct elf_image *im, const uint8_t *r, size_t n,
                             bool (*fn)(void *ctx, uint64_t at, uint64_t addr), void *ctx)
{
	uint32_t relative = im->machine == EM_X86_64 ? R_X86_64_RELATIVE : R_AARCH64_RELATIVE;

	for (size_t i = 0; i < n; i++) {
		Elf64_Rela a;

		memcpy(&a, r + i * sizeof(a), sizeof(a));
		if (ELF64_R_TYPE(a.r_info) == relative &&
		    elf_image_offset(im, (uint64_t)a.r_addend) &&
		    !fn(ctx, a.r_offset, (uint64_t)a.r_addend))
			return false;
	}
	return true;
}

void elf_image_code_pointers(struct elf_image *im,
                             bool (*fn)(void *ctx, uint64_t at, uint64_t addr), void *ctx)
{
	uint64_t table = 0, size = 0;
	const uint8_t *p;

	for (size_t i = 0; im->dynamic && i < DYNAMICS_MAX; i++) {
		Elf64_Dyn d;

		p = elf_image_at(im, im->dynamic + i * sizeof(d), sizeof(d));
		if (!p)
			break;
		memcpy(&d, p, sizeof(d));
		if (d.d_tag == DT_NULL)
			break;
		if (d.d_tag == DT_RELA)
			table = d.d_un.d_ptr;
		else if (d.d_tag == DT_RELASZ)
			size = d.d_un.d_val;
	}
	p = table ? elf_image_at(im, table, size) : NULL;
	if (p)
		relocations_walk(im, p, size / sizeof(Elf64_Rela), fn, ctx);
}
