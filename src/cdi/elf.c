/* The SONAME of a shared library; see elf.h. */
#include "cdi/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAX_SEGMENTS 64	  /* libcuda has 10 or so */
#define MAX_DYNAMIC  1024 /* entries; libcuda has some 40 */

static int read_at(const struct kf_elf_source *from, uint64_t offset, void *out, size_t n)
{
	ssize_t r;

	if (from->fd < 0) {
		if (offset > from->n || n > from->n - offset)
			return -1;
		memcpy(out, from->data + offset, n);
		return 0;
	}
	if (offset > INT64_MAX - n)
		return -1;
	do
		r = pread(from->fd, out, n, (off_t)offset);
	while (r < 0 && errno == EINTR);
	return r == (ssize_t)n ? 0 : -1;
}

static int is_our_kind(const Elf64_Ehdr *h)
{
	return !memcmp(h->e_ident, ELFMAG, SELFMAG) && h->e_ident[EI_CLASS] == ELFCLASS64 &&
	       h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_type == ET_DYN &&
	       h->e_phentsize == sizeof(Elf64_Phdr) && h->e_phnum <= MAX_SEGMENTS;
}

/* Where the byte that is loaded at `address` stands in the file: 0, or -1 if nowhere. */
static int find_offset(const Elf64_Phdr *segment, unsigned n, uint64_t address, uint64_t *ret)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		const Elf64_Phdr *s = &segment[i];

		if (s->p_type != PT_LOAD || address < s->p_vaddr ||
		    address - s->p_vaddr >= s->p_filesz)
			continue;
		if (s->p_offset > UINT64_MAX - (address - s->p_vaddr))
			return -1;
		*ret = s->p_offset + (address - s->p_vaddr);
		return 0;
	}
	return -1;
}

/* The string table's address and the SONAME's place in it, out of the dynamic segment. */
static int read_dynamic(const struct kf_elf_source *from, const Elf64_Phdr *dynamic,
			uint64_t *strings, uint64_t *soname)
{
	uint64_t i, n = dynamic->p_filesz / sizeof(Elf64_Dyn);
	int have = 0;

	for (i = 0; i < n && i < MAX_DYNAMIC && have != 3; i++) {
		Elf64_Dyn entry;

		if (dynamic->p_offset > UINT64_MAX - i * sizeof(entry) ||
		    read_at(from, dynamic->p_offset + i * sizeof(entry), &entry, sizeof(entry)) < 0)
			return -1;
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_STRTAB) {
			*strings = entry.d_un.d_ptr;
			have |= 1;
		} else if (entry.d_tag == DT_SONAME) {
			*soname = entry.d_un.d_val;
			have |= 2;
		}
	}
	return have == 3 ? 0 : -1;
}

/* Byte by byte, since the name may be the last thing in the file. */
static int read_name(const struct kf_elf_source *from, uint64_t offset, char *out, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (offset > UINT64_MAX - i || read_at(from, offset + i, &out[i], 1) < 0)
			return -1;
		if (out[i] == '\0')
			return i > 0 ? 0 : -1;
		if (out[i] == '/' || (unsigned char)out[i] <= ' ' || (unsigned char)out[i] >= 0x7f)
			return -1;
	}
	return -1;
}

int kf_elf_soname(const struct kf_elf_source *from, char *out, size_t size)
{
	Elf64_Phdr segment[MAX_SEGMENTS];
	const Elf64_Phdr *dynamic = NULL;
	uint64_t strings = 0, soname = 0, offset;
	char name[256];
	Elf64_Ehdr head;
	unsigned i;

	if (read_at(from, 0, &head, sizeof(head)) < 0 || !is_our_kind(&head) ||
	    read_at(from, head.e_phoff, segment, head.e_phnum * sizeof(*segment)) < 0)
		return -1;
	for (i = 0; i < head.e_phnum; i++)
		if (segment[i].p_type == PT_DYNAMIC)
			dynamic = &segment[i];
	if (!dynamic || read_dynamic(from, dynamic, &strings, &soname) < 0 ||
	    find_offset(segment, head.e_phnum, strings, &offset) < 0 ||
	    offset > UINT64_MAX - soname ||
	    read_name(from, offset + soname, name, sizeof(name)) < 0 || strlen(name) >= size)
		return -1;
	strcpy(out, name);
	return 0;
}
