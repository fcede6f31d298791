/* The SONAME reader, on libraries made by hand. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cdi/elf.h"
#include "fixture.h"

static int read_memory(const unsigned char *data, size_t n, char *out, size_t size)
{
	struct kf_elf_source source = {.fd = -1, .data = data, .n = n};

	return kf_elf_soname(&source, out, size);
}

static void reads_the_soname(void **state)
{
	unsigned char elf[512];
	char name[64];

	assert_int_equal(read_memory(elf, make_elf(elf, "libcuda.so.1"), name, sizeof(name)), 0);
	assert_string_equal(name, "libcuda.so.1");
}

static void reads_the_soname_of_a_real_library(void **state)
{
	/* the one that this program runs on */
	static const char *const paths[] = {"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6",
					    "/lib/aarch64-linux-gnu/libc.so.6"};
	struct fixture *f = *state;
	char name[64];
	size_t i;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (access(paths[i], R_OK) == 0)
			break;
	if (i == sizeof(paths) / sizeof(paths[0]))
		skip();
	put_link(f, "/usr/lib64/libreal.so." DRIVER, paths[i]);
	read_files(f);
	assert_int_equal(f->files->n, 1);
	snprintf(name, sizeof(name), "%s", f->files->file[0].name[1]);
	assert_string_equal(name, "libc.so.6");
}

static void answers_nothing_for_a_library_without_one(void **state)
{
	unsigned char elf[512];
	char name[64];

	assert_int_equal(read_memory(elf, make_elf(elf, NULL), name, sizeof(name)), -1);
	assert_int_equal(read_memory(elf, make_elf(elf, ""), name, sizeof(name)), -1);
}

static void refuses_a_name_that_leads_elsewhere(void **state)
{
	unsigned char elf[512];
	char name[64];

	assert_int_equal(read_memory(elf, make_elf(elf, "../../etc/passwd"), name, sizeof(name)),
			 -1);
	assert_int_equal(read_memory(elf, make_elf(elf, "a b"), name, sizeof(name)), -1);
}

static void refuses_a_name_that_does_not_fit(void **state)
{
	unsigned char elf[512];
	char name[12];

	assert_int_equal(read_memory(elf, make_elf(elf, "libcuda.so.1"), name, sizeof(name)), -1);
	assert_int_equal(read_memory(elf, make_elf(elf, "libcuda.so."), name, sizeof(name)), 0);
}

static void refuses_a_file_cut_anywhere(void **state)
{
	unsigned char elf[512];
	size_t n = make_elf(elf, "libcuda.so.1"), cut;
	const char *end = memmem(elf, n, "libcuda.so.1", 13);
	size_t needed = (size_t)(end - (char *)elf) + 13;
	char name[64];

	for (cut = 0; cut < needed; cut++) {
		/* exactly so large, so that a sanitizer sees one byte too far */
		unsigned char *exact = malloc(cut ? cut : 1);

		memcpy(exact, elf, cut);
		assert_int_equal(read_memory(exact, cut, name, sizeof(name)), -1);
		free(exact);
	}
}

static void survives_any_single_byte_changed(void **state)
{
	unsigned char elf[512];
	size_t n = make_elf(elf, "libcuda.so.1"), i;
	char name[64];

	for (i = 0; i < n; i++) {
		unsigned char was = elf[i];
		static const unsigned char with[] = {0, 1, 0x7f, 0x80, 0xff};
		size_t w;

		for (w = 0; w < sizeof(with); w++) {
			elf[i] = with[w];
			if (read_memory(elf, n, name, sizeof(name)) == 0)
				assert_null(strchr(name, '/'));
		}
		elf[i] = was;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_soname),
		cmocka_unit_test_setup_teardown(reads_the_soname_of_a_real_library, fixture_setup,
						fixture_teardown),
		cmocka_unit_test(answers_nothing_for_a_library_without_one),
		cmocka_unit_test(refuses_a_name_that_leads_elsewhere),
		cmocka_unit_test(refuses_a_name_that_does_not_fit),
		cmocka_unit_test(refuses_a_file_cut_anywhere),
		cmocka_unit_test(survives_any_single_byte_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
