/* What is read of a machine beside its driver, and the file that is written. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "kftest.h"
#include "labels/facts.h"
#include "labels/file.h"

struct place {
	char root[64];
	struct kf_gpu gpu[2];
	struct kf_node node;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->root, "/tmp/kerf-labels-XXXXXX");
	assert_non_null(mkdtemp(p->root));
	p->node.gpu = p->gpu;
	p->node.n_gpus = 2;
	strcpy(p->gpu[0].bus_id, "00000000:10:1C.0");
	strcpy(p->gpu[1].bus_id, "00000001:C8:00.0");
	*state = p;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct place *p = *state;

	nftw(p->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static void put(struct place *p, const char *path, const void *data, size_t n)
{
	kf_auto_mem char *full = kf_asprintf("%s%s", p->root, path);
	char *slash = strrchr(full, '/');

	*slash = '\0';
	assert_int_equal(kf_make_dirs(full, 0755, NULL), 0);
	*slash = '/';
	assert_int_equal(kf_write_file(full, data, n, 0644, 0, NULL), 0);
}

static void put_text(struct place *p, const char *path, const char *text)
{
	put(p, path, text, strlen(text));
}

/* A configuration space whose second capability, at 0xd0, is a vendor's of `n` bytes. */
static void space(uint8_t out[256], const void *vendor, size_t n)
{
	memset(out, 0, 256);
	out[0x06] = 0x10;
	out[0x34] = 0x60;
	out[0x60] = 0x01;
	out[0x61] = 0xd0;
	memcpy(out + 0xd0, vendor, n);
}

/* Length 27: signature, no other record before that of the host's driver. */
#define VF                                                                                         \
	"\x09\x00\x1b"                                                                             \
	"VF"                                                                                       \
	"\x00\x16"                                                                                 \
	"550.90\0\0\0\0"                                                                           \
	"r550_00\0\0"

static void finds_the_driver_of_a_virtual_gpus_host(void **state)
{
	struct kf_label_facts f = {0};
	uint8_t config[256];

	space(config, VF, sizeof(VF));
	assert_int_equal(kf_vgpu_parse(config, 256, &f), 1);
	assert_string_equal(f.vgpu_version, "550.90");
	assert_string_equal(f.vgpu_branch, "r550_00");
}

static void skips_records_before_the_host_drivers(void **state)
{
	static const char cap[] = "\x09\x00\x1e"
				  "VF"
				  "\x01\x03\xff"
				  "\x00\x16"
				  "460.16\0\0\0\0"
				  "r460_00\0\0";
	struct kf_label_facts f = {0};
	uint8_t config[256];

	space(config, cap, sizeof(cap));
	assert_int_equal(kf_vgpu_parse(config, 256, &f), 1);
	assert_string_equal(f.vgpu_version, "460.16");
}

static void is_not_led_astray_by_records(void **state)
{
	static const char *const tails[] = {
		"\x01\x00", "\x01\x01", "\x01\xff", "\x00\x02", "\x01",
	};
	uint8_t config[256];
	size_t i;

	for (i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		struct kf_label_facts f = {0};

		space(config, VF, sizeof(VF));
		memcpy(config + 0xd0 + 5, tails[i], 2);
		assert_int_equal(kf_vgpu_parse(config, 256, &f), 1);
		assert_string_equal(f.vgpu_version, "");
	}
}

static void tells_a_real_gpu_by_its_capabilities(void **state)
{
	struct kf_label_facts f = {0};
	uint8_t config[256];

	space(config, "\x09\x00\x14\x01\x00", 5); /* a vendor capability without the signature */
	assert_int_equal(kf_vgpu_parse(config, 256, &f), 0);
	space(config, "\x10\x60\x00", 3); /* the list bites its tail */
	assert_int_equal(kf_vgpu_parse(config, 256, &f), 0);
	space(config, VF, sizeof(VF));
	config[0x06] = 0; /* there is no list */
	assert_int_equal(kf_vgpu_parse(config, 256, &f), 0);
	config[0x06] = 0x10;
	assert_int_equal(kf_vgpu_parse(config, 64, &f), -1);
	assert_int_equal(kf_vgpu_parse(config, 0xd0 + 20, &f), -1);
	assert_int_equal(kf_vgpu_parse(config, 20, &f), -1);
}

static void reads_what_sysfs_tells(void **state)
{
	struct place *p = *state;
	struct kf_label_facts f;
	uint8_t config[256];

	put_text(p, "/sys/class/dmi/id/product_name", "Super Server\n");
	put_text(p, "/sys/bus/pci/devices/0000:10:1c.0/class", "0x030200\n");
	put_text(p, "/sys/bus/pci/devices/0001:c8:00.0/class", "0x030000\n");
	space(config, "", 0);
	put(p, "/sys/bus/pci/devices/0000:10:1c.0/config", config, 256);
	space(config, VF, sizeof(VF));
	put(p, "/sys/bus/pci/devices/0001:c8:00.0/config", config, 256);
	kf_label_facts_read(p->root, NULL, &p->node, &f);
	assert_string_equal(f.machine, "Super Server");
	assert_int_equal(f.pci_class[0], 0x030200);
	assert_int_equal(f.pci_class[1], 0x030000);
	assert_int_equal(f.vgpu, 1);
	assert_string_equal(f.vgpu_version, "550.90");
	put_text(p, "/else/where", "DGX\n");
	kf_label_facts_read(p->root, "/else/where", &p->node, &f);
	assert_string_equal(f.machine, "DGX");
}

static void does_not_know_what_it_cannot_read(void **state)
{
	struct place *p = *state;
	struct kf_label_facts f;

	kf_label_facts_read(p->root, NULL, &p->node, &f);
	assert_string_equal(f.machine, "");
	assert_int_equal(f.pci_class[0], 0);
	assert_int_equal(f.vgpu, -1);
	p->node.n_gpus = 0;
	kf_label_facts_read(p->root, NULL, &p->node, &f);
	assert_int_equal(f.vgpu, 0);
}

static void writes_a_file_for_node_feature_discovery(void **state)
{
	struct place *p = *state;
	kf_auto_mem char *path = kf_asprintf("%s/nfd/features.d/gfd", p->root), *text = NULL;
	struct kf_labels l = {0};
	struct kf_error err = {0};
	struct stat first, second;

	kf_labels_set(&l, "nvidia.com/gpu.count", "8");
	kf_labels_set(&l, "nvidia.com/cuda.driver.rev", "");
	assert_int_equal(kf_labels_write(&l, path, &err), 0);
	text = kf_read_file(path, 4096, NULL, NULL);
	assert_string_equal(text, "nvidia.com/cuda.driver.rev=\nnvidia.com/gpu.count=8\n");
	assert_int_equal(stat(path, &first), 0);
	assert_int_equal(first.st_mode & 07777, 0644);
	assert_int_equal(kf_labels_write(&l, path, &err), 0); /* the same: not touched */
	assert_int_equal(stat(path, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_int_equal(kf_labels_remove(path, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(kf_labels_remove(path, &err), 0);
	kf_labels_done(&l);
}

static void says_which_file_cannot_be_written(void **state)
{
	struct place *p = *state;
	kf_auto_mem char *path = kf_asprintf("%s/file/gfd", p->root);
	struct kf_labels l = {0};
	struct kf_error err = {0};

	put_text(p, "/file", "in the way");
	assert_int_equal(kf_labels_write(&l, path, &err), -1);
	assert_non_null(strstr(err.msg, "/file"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_driver_of_a_virtual_gpus_host),
		cmocka_unit_test(skips_records_before_the_host_drivers),
		cmocka_unit_test(is_not_led_astray_by_records),
		cmocka_unit_test(tells_a_real_gpu_by_its_capabilities),
		CASE(reads_what_sysfs_tells),
		CASE(does_not_know_what_it_cannot_read),
		CASE(writes_a_file_for_node_feature_discovery),
		CASE(says_which_file_cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
