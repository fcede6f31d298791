/* What of the driver is found on a host, and under which names. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cdi/files.h"
#include "fixture.h"

static const struct kf_file *find(const struct fixture *f, const char *from)
{
	unsigned i;

	for (i = 0; i < f->files->n; i++)
		if (!strcmp(f->files->file[i].from, from))
			return &f->files->file[i];
	return NULL;
}

static void names_a_library_as_programs_look_for_it(void **state)
{
	struct fixture *f = *state;
	const struct kf_file *cuda;

	put_library(f, "/usr/lib/x86_64-linux-gnu/libcuda.so." DRIVER, "libcuda.so.1");
	read_files(f);
	cuda = find(f, "/usr/lib/x86_64-linux-gnu/libcuda.so." DRIVER);
	assert_non_null(cuda);
	assert_int_equal(cuda->kind, KF_FILE_LIBRARY);
	assert_int_equal(cuda->n_names, 3);
	assert_string_equal(cuda->name[0], "libcuda.so." DRIVER);
	assert_string_equal(cuda->name[1], "libcuda.so.1");
	assert_string_equal(cuda->name[2], "libcuda.so");
}

static void takes_the_soname_from_the_file_not_from_its_name(void **state)
{
	struct fixture *f = *state;

	put_library(f, "/usr/lib64/libnvidia-nvvm.so." DRIVER, "libnvidia-nvvm.so.4");
	read_files(f);
	assert_string_equal(f->files->file[0].name[1], "libnvidia-nvvm.so.4");
}

static void falls_back_on_a_link_where_the_file_is_no_elf(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/usr/lib64/libnvidia-ml.so." DRIVER, "not ELF");
	put_text(f, "/usr/lib64/libnvidia-cfg.so." DRIVER, "not ELF");
	put_link(f, "/usr/lib64/libnvidia-ml.so.1", "libnvidia-ml.so." DRIVER);
	read_files(f);
	assert_int_equal(find(f, "/usr/lib64/libnvidia-ml.so." DRIVER)->n_names, 2);
	assert_string_equal(find(f, "/usr/lib64/libnvidia-ml.so." DRIVER)->name[1],
			    "libnvidia-ml.so.1");
	assert_int_equal(find(f, "/usr/lib64/libnvidia-cfg.so." DRIVER)->n_names, 1);
}

static void leaves_other_versions_and_other_libraries_alone(void **state)
{
	struct fixture *f = *state;

	put_library(f, "/usr/lib64/libcuda.so.535.1.1", "libcuda.so.1");
	put_library(f, "/usr/lib64/libcudart.so.12", "libcudart.so.12");
	put_library(f, "/usr/lib64/xlibcuda.so." DRIVER, "x");
	put_library(f, "/usr/lib64/lib.so." DRIVER, "x");
	read_files(f);
	assert_int_equal(f->files->n, 0);
}

static void takes_a_library_from_the_first_directory_only(void **state)
{
	struct fixture *f = *state;

	put_library(f, "/run/nvidia/driver/usr/lib64/libcuda.so." DRIVER, "libcuda.so.1");
	put_library(f, "/usr/lib64/libcuda.so." DRIVER, "libcuda.so.1");
	put_library(f, "/usr/lib64/vdpau/libvdpau_nvidia.so." DRIVER, "libvdpau_nvidia.so.1");
	read_files(f);
	assert_int_equal(f->files->n, 2);
	assert_string_equal(f->files->file[0].from, "/usr/lib64/libcuda.so." DRIVER);
	assert_string_equal(f->files->file[1].to, "/vdpau");
}

static void skips_links_that_lead_nowhere(void **state)
{
	struct fixture *f = *state;

	put_link(f, "/usr/lib64/libcuda.so." DRIVER, "gone");
	read_files(f);
	assert_int_equal(f->files->n, 0);
}

static void finds_binaries_firmware_and_data(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/usr/bin/nvidia-smi", "#!/bin/sh\n");
	put_text(f, "/run/nvidia/driver/usr/bin/nvidia-debugdump", "#!/bin/sh\n");
	put_text(f, "/lib/firmware/nvidia/" DRIVER "/gsp_tu10x.bin", "b");
	put_text(f, "/lib/firmware/nvidia/" DRIVER "/gsp_ga10x.bin", "a");
	put_text(f, "/lib/firmware/nvidia/" DRIVER "/readme", "no");
	put_text(f, "/usr/share/glvnd/egl_vendor.d/10_nvidia.json", "{}");
	read_files(f);
	assert_int_equal(f->files->n, 5);
	assert_string_equal(find(f, "/run/nvidia/driver/usr/bin/nvidia-debugdump")->to,
			    "/usr/bin/nvidia-debugdump");
	assert_non_null(find(f, "/usr/bin/nvidia-smi"));
	/* in the order of their paths, whatever readdir said */
	assert_string_equal(f->files->file[0].from,
			    "/lib/firmware/nvidia/" DRIVER "/gsp_ga10x.bin");
	assert_string_equal(f->files->file[1].from,
			    "/lib/firmware/nvidia/" DRIVER "/gsp_tu10x.bin");
	assert_non_null(find(f, "/usr/share/glvnd/egl_vendor.d/10_nvidia.json"));
}

static void prefers_the_drivers_own_program_to_a_script_of_its_name(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/usr/bin/nvidia-smi", "#!/bin/sh\n");
	put_text(f, "/usr/local/nvidia/bin/nvidia-smi", "\177ELF and so on");
	put_text(f, "/usr/bin/nvidia-debugdump", "#!/bin/sh\n");
	put_text(f, "/usr/local/nvidia/bin/nvidia-debugdump", "#!/bin/sh\n");
	read_files(f);
	assert_int_equal(f->files->n, 2);
	assert_string_equal(find(f, "/usr/local/nvidia/bin/nvidia-smi")->to, "/usr/bin/nvidia-smi");
	assert_non_null(find(f, "/usr/bin/nvidia-debugdump"));
}

static void refuses_a_version_that_is_a_path(void **state)
{
	struct fixture *f = *state;
	struct kf_files *files = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_files_read(f->root, "../../etc", &files, &err), -1);
	assert_int_equal(err.code, KF_E_INPUT);
	assert_non_null(strstr(err.msg, "../../etc"));
	assert_int_equal(kf_files_read(f->root, "", &files, &err), -1);
}

static void says_so_when_memory_runs_out(void **state)
{
	struct fixture *f = *state;

	put_library(f, "/usr/lib64/libcuda.so." DRIVER, "libcuda.so.1");
	put_text(f, "/usr/bin/nvidia-smi", "#!/bin/sh\n");
	put_text(f, "/lib/firmware/nvidia/" DRIVER "/gsp_tu10x.bin", "b");
	KF_FOR_EACH_OOM
	{
		struct kf_files *files = NULL;
		struct kf_error err = {0};
		int r = kf_files_read(f->root, DRIVER, &files, &err);

		if (kf_alloc_failed()) {
			assert_int_equal(r, -1);
			assert_int_equal(err.code, KF_E_NOMEM);
			assert_null(files);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(files->n, 3);
		}
		kf_files_free(files);
	}
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(names_a_library_as_programs_look_for_it),
		WITH_ROOT(takes_the_soname_from_the_file_not_from_its_name),
		WITH_ROOT(falls_back_on_a_link_where_the_file_is_no_elf),
		WITH_ROOT(leaves_other_versions_and_other_libraries_alone),
		WITH_ROOT(takes_a_library_from_the_first_directory_only),
		WITH_ROOT(skips_links_that_lead_nowhere),
		WITH_ROOT(finds_binaries_firmware_and_data),
		WITH_ROOT(prefers_the_drivers_own_program_to_a_script_of_its_name),
		WITH_ROOT(refuses_a_version_that_is_a_path),
		WITH_ROOT(says_so_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
