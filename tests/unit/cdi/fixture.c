/* A small host root; see fixture.h. */
#include "fixture.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

static void add_slice(struct kf_gpu *gpu, unsigned gi, const char *uuid)
{
	struct kf_instance *i = &gpu->instance[gpu->n_instances];

	i->id = gi;
	i->n_ci = 1;
	i->ci[0].mig_index = gpu->n_instances++;
	snprintf(i->ci[0].uuid, sizeof(i->ci[0].uuid), "%s", uuid);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	unsigned g, i, c;

	strcpy(f->root, "/tmp/kerf-cdi-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(f->node.driver_version, sizeof(f->node.driver_version), DRIVER);
	f->node.n_gpus = 2;
	f->node.gpu = f->gpu;
	strcpy(f->gpu[0].uuid, GPU_0);
	strcpy(f->gpu[1].uuid, GPU_1);
	f->gpu[1].index = f->gpu[1].minor = 1;
	add_slice(&f->gpu[0], 7, SLICE_A);
	add_slice(&f->gpu[0], 9, SLICE_B);
	for (g = 0; g < KF_CAPS_GPUS; g++)
		for (i = 0; i < KF_MAX_INSTANCES; i++) {
			f->caps.gi[g][i] = (uint16_t)(3 + 135 * g + 9 * i);
			for (c = 0; c < KF_MAX_CIS; c++)
				f->caps.ci[g][i][c] = (uint16_t)(f->caps.gi[g][i] + 1 + c);
		}
	f->caps.caps_major = 235;
	f->caps.uvm_major = 511;
	f->view = (struct kf_cdi_view){.root = f->root, .node = &f->node, .caps = &f->caps};
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->root);
	assert_int_equal(system(command), 0);
	kf_files_free(f->files);
	free(f);
	return 0;
}

static char *make_path(struct fixture *f, const char *path)
{
	char *full = kf_under(f->root, path), *slash = strrchr(full, '/');

	*slash = '\0';
	assert_int_equal(kf_make_dirs(full, 0755, NULL), 0);
	*slash = '/';
	return full;
}

void put(struct fixture *f, const char *path, const void *data, size_t n)
{
	char *full = make_path(f, path);

	assert_int_equal(kf_write_file(full, data, n, 0755, 0, NULL), 0);
	free(full);
}

void put_text(struct fixture *f, const char *path, const char *text)
{
	put(f, path, text, strlen(text));
}

void put_link(struct fixture *f, const char *path, const char *target)
{
	char *full = make_path(f, path);

	assert_int_equal(symlink(target, full), 0);
	free(full);
}

void put_device(struct fixture *f, const char *path)
{
	put_link(f, path, "/dev/null");
}

size_t make_elf(unsigned char *out, const char *soname)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segment[2];
		Elf64_Dyn dynamic[3];
		char strings[64];
	} elf = {0};
	const uint64_t base = 0x10000;

	memcpy(elf.head.e_ident, ELFMAG, SELFMAG);
	elf.head.e_ident[EI_CLASS] = ELFCLASS64;
	elf.head.e_ident[EI_DATA] = ELFDATA2LSB;
	elf.head.e_type = ET_DYN;
	elf.head.e_phoff = sizeof(elf.head);
	elf.head.e_phentsize = sizeof(Elf64_Phdr);
	elf.head.e_phnum = 2;
	elf.segment[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_vaddr = base, .p_filesz = sizeof(elf)};
	elf.segment[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
				      .p_offset = offsetof(__typeof__(elf), dynamic),
				      .p_filesz = sizeof(elf.dynamic)};
	elf.dynamic[0].d_tag = DT_STRTAB;
	elf.dynamic[0].d_un.d_ptr = base + offsetof(__typeof__(elf), strings);
	elf.dynamic[1].d_tag = soname ? DT_SONAME : DT_DEBUG;
	elf.dynamic[1].d_un.d_val = 1;
	if (soname)
		snprintf(elf.strings + 1, sizeof(elf.strings) - 1, "%s", soname);
	memcpy(out, &elf, sizeof(elf));
	return sizeof(elf);
}

void put_library(struct fixture *f, const char *path, const char *soname)
{
	unsigned char elf[512];

	put(f, path, elf, make_elf(elf, soname));
}

void put_devices(struct fixture *f)
{
	put_device(f, "/dev/nvidiactl");
	put_device(f, "/dev/nvidia-uvm");
	put_device(f, "/dev/nvidia-uvm-tools");
	put_device(f, "/dev/nvidia0");
	put_device(f, "/dev/nvidia1");
	put_device(f, "/dev/nvidia-caps/nvidia-cap66");
	put_device(f, "/dev/nvidia-caps/nvidia-cap67");
	put_device(f, "/dev/nvidia-caps/nvidia-cap84");
	put_device(f, "/dev/nvidia-caps/nvidia-cap85");
}

void read_files(struct fixture *f)
{
	assert_int_equal(kf_files_read(f->root, DRIVER, &f->files, NULL), 0);
	f->view.files = f->files;
}

char *slurp(const char *path)
{
	char *text = kf_read_file(path, 1 << 20, NULL, NULL);

	assert_non_null(text);
	return text;
}
