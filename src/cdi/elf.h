/*
 * The SONAME of a shared library, read with a handful of bounded reads.
 *
 * 64-bit little-endian ELF only: that is what the driver's libraries on x86-64 and aarch64 are.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Where the bytes are: a file, or memory when fd is negative. */
struct kf_elf_source {
	int fd;
	const uint8_t *data;
	size_t n;
};

/*
 * Write the NUL-terminated SONAME to `out`.
 * 0 is done; -1: no such ELF file, no SONAME, one with a '/' in it or longer than `size` - 1.
 */
int kf_elf_soname(const struct kf_elf_source *from, char *out, size_t size);
