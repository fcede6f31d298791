/* From a node to its labels, rule by rule; whole tables are in tests/labels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kftest.h"
#include "labels/facts.h"
#include "labels/labels.h"

#define A100	"NVIDIA A100-SXM4-40GB"
#define RTX6000 "NVIDIA RTX PRO 6000 Blackwell Server Edition"

struct bench {
	struct kf_gpu gpu[4];
	struct kf_node node;
	struct kf_label_facts facts;
	struct kf_label_choices choices;
	struct kf_labels labels;
};

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->node.gpu = b->gpu;
	strcpy(b->node.driver_version, "580.126.20");
	b->node.cuda_major = 13;
	strcpy(b->facts.machine, "p4d.24xlarge");
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	kf_labels_done(&b->labels);
	free(b);
	return 0;
}

static struct kf_gpu *add_gpu(struct bench *b, const char *name)
{
	unsigned g = b->node.n_gpus++;
	struct kf_gpu *gpu = &b->gpu[g];

	gpu->index = g;
	snprintf(gpu->name, sizeof(gpu->name), "%s", name);
	gpu->memory_mib = 40960;
	gpu->cc_major = 8;
	b->facts.pci_class[g] = 0x030200;
	return gpu;
}

static struct kf_ci *add_slice(struct kf_gpu *gpu, const char *profile, unsigned index)
{
	struct kf_instance *in = &gpu->instance[gpu->n_instances++];
	struct kf_ci *ci = &in->ci[in->n_ci++];

	gpu->mig_capable = gpu->mig_current = 1;
	snprintf(ci->name, sizeof(ci->name), "%s", profile);
	ci->mig_index = index;
	ci->memory_mib = 4864;
	ci->sm = 14;
	ci->copy = 1;
	ci->gi_slices = ci->ci_slices = 1;
	return ci;
}

static void make(struct bench *b)
{
	struct kf_error err = {0};

	kf_labels_done(&b->labels);
	assert_int_equal(kf_labels_make(&b->node, &b->facts, &b->choices, &b->labels, &err), 0);
}

/* `name` without its domain; NULL: there shall be no such label. */
static void expect(const struct bench *b, const char *name, const char *value)
{
	char key[96];
	const char *is;

	snprintf(key, sizeof(key), "nvidia.com/%s", name);
	is = kf_labels_get(&b->labels, key);
	if (!value && is)
		fail_msg("%s is \"%s\", expected to be absent", name, is);
	else if (value && (!is || strcmp(is, value) != 0))
		fail_msg("%s is \"%s\", expected \"%s\"", name, is ? is : "absent", value);
}

static void takes_the_driver_version_apart(void **state)
{
	struct bench *b = *state;

	add_gpu(b, A100);
	make(b);
	expect(b, "cuda.driver-version.major", "580");
	expect(b, "cuda.driver-version.minor", "126");
	expect(b, "cuda.driver-version.revision", "20");
	expect(b, "cuda.driver-version.full", "580.126.20");
	expect(b, "cuda.driver.rev", "20");
	expect(b, "cuda.runtime-version.full", "13.0");
	strcpy(b->node.driver_version, "535.05");
	make(b);
	expect(b, "cuda.driver-version.minor", "05");
	expect(b, "cuda.driver-version.revision", "");
	strcpy(b->node.driver_version, "nightly build 7");
	make(b);
	expect(b, "cuda.driver-version.full", "nightly-build-7");
	expect(b, "cuda.driver-version.major", NULL);
}

static void knows_the_families(void **state)
{
	static const struct {
		int major, minor;
		const char *family;
	} rows[] = {
		{5, 2, "maxwell"},	{6, 0, "pascal"},     {7, 0, "volta"},
		{7, 5, "turing"},	{8, 0, "ampere"},     {8, 6, "ampere"},
		{8, 9, "ada-lovelace"}, {9, 0, "hopper"},     {10, 0, "blackwell"},
		{11, 0, "undefined"},	{12, 0, "blackwell"}, {13, 0, "rubin"},
		{0, 0, NULL},
	};
	struct bench *b = *state;
	struct kf_gpu *gpu = add_gpu(b, A100);
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		gpu->cc_major = rows[i].major;
		gpu->cc_minor = rows[i].minor;
		make(b);
		expect(b, "gpu.family", rows[i].family);
	}
	expect(b, "gpu.compute.major", NULL);
}

static void says_nothing_of_memory_that_is_not_known(void **state)
{
	struct bench *b = *state;

	add_gpu(b, A100)->memory_mib = 0;
	make(b);
	expect(b, "gpu.memory", NULL);
	expect(b, "gpu.count", "1");
}

static void cleans_machine_and_product(void **state)
{
	struct bench *b = *state;

	add_gpu(b, "  Tesla (TM)  T4\xc2\xae ");
	strcpy(b->facts.machine, "PowerEdge R750/xa, rev. ");
	make(b);
	expect(b, "gpu.product", "Tesla-TM-T4");
	expect(b, "gpu.machine", "PowerEdge-R750xa-rev");
	b->facts.machine[0] = '\0';
	make(b);
	expect(b, "gpu.machine", "unknown");
}

static void tells_graphics_from_compute(void **state)
{
	struct bench *b = *state;

	add_gpu(b, A100);
	add_gpu(b, A100);
	make(b);
	expect(b, "gpu.mode", "compute");
	b->facts.pci_class[1] = 0x030000;
	make(b);
	expect(b, "gpu.mode", "unknown");
	b->facts.pci_class[0] = 0x030000;
	make(b);
	expect(b, "gpu.mode", "graphics");
	b->facts.pci_class[0] = b->facts.pci_class[1] = 0;
	make(b);
	expect(b, "gpu.mode", "unknown");
}

static void names_a_clique_that_all_gpus_agree_on(void **state)
{
	struct bench *b = *state;
	unsigned g, i;

	for (g = 0; g < 3; g++) {
		struct kf_fabric *f = &add_gpu(b, A100)->fabric;

		f->attached = g < 2; /* one GPU beside the fabric does not matter */
		f->clique = 32766;
		for (i = 0; i < 16; i++)
			f->cluster[i] = (unsigned char)(i * 17);
	}
	make(b);
	expect(b, "gpu.clique", "00112233-4455-6677-8899-aabbccddeeff.32766");
	b->gpu[1].fabric.clique = 1;
	make(b);
	expect(b, "gpu.clique", NULL);
	b->gpu[1].fabric.clique = 32766;
	b->gpu[1].fabric.cluster[15] = 1;
	make(b);
	expect(b, "gpu.clique", NULL);
}

static void tells_a_virtual_gpu_and_its_host(void **state)
{
	struct bench *b = *state;

	b->facts.vgpu = 1;
	strcpy(b->facts.vgpu_version, "550.90");
	strcpy(b->facts.vgpu_branch, "r550_00");
	make(b);
	expect(b, "vgpu.present", "true");
	expect(b, "vgpu.host-driver-version", "550.90");
	expect(b, "vgpu.host-driver-branch", "r550_00");
	b->facts = (struct kf_label_facts){.vgpu = -1};
	make(b);
	expect(b, "vgpu.present", NULL);
}

static void has_two_labels_without_a_gpu(void **state)
{
	struct bench *b = *state;

	b->choices.timestamp = 1795593600;
	b->choices.strategy = KF_MIG_MIXED;
	make(b);
	assert_int_equal(b->labels.n, 2);
	expect(b, "gfd.timestamp", "1795593600");
	expect(b, "vgpu.present", "false");
	add_gpu(b, A100)->state = KF_GPU_LOST;
	make(b);
	assert_int_equal(b->labels.n, 2);
}

static void counts_no_gpu_that_fell_off_the_bus(void **state)
{
	struct bench *b = *state;

	add_gpu(b, A100)->state = KF_GPU_LOST;
	add_gpu(b, A100)->state = KF_GPU_UNREADABLE;
	add_gpu(b, A100);
	make(b);
	expect(b, "gpu.count", "2");
}

static void lets_the_first_model_win(void **state)
{
	struct bench *b = *state;

	add_slice(add_gpu(b, "H100"), "1g.10gb", 0);
	add_gpu(b, "Tesla T4");
	add_gpu(b, "L4");
	add_gpu(b, "Tesla T4");
	make(b);
	expect(b, "gpu.product", "Tesla-T4");
	expect(b, "gpu.count", "2");
	expect(b, "gpu.replicas", "1");
}

static void shares_under_the_strategy_that_is_chosen(void **state)
{
	static struct kf_share_rule rule = {
		.resource = "nvidia.com/gpu", .name = "nvidia.com/gpu", .replicas = 10};
	static const struct kf_sharing rules = {.n = 1, .rule = &rule};
	struct bench *b = *state;

	add_gpu(b, A100);
	b->choices.sharing = KF_SHARING_TIME_SLICING;
	b->choices.rules = &rules;
	make(b);
	expect(b, "gpu.product", "NVIDIA-A100-SXM4-40GB-SHARED");
	expect(b, "gpu.replicas", "10");
	expect(b, "gpu.sharing-strategy", "time-slicing");
	expect(b, "gpu.count", "1");
	expect(b, "mps.capable", "false");
	b->choices.sharing = KF_SHARING_NONE;
	make(b);
	expect(b, "gpu.replicas", "1");
	expect(b, "gpu.sharing-strategy", "none");
	b->choices.sharing = KF_SHARING_MPS;
	make(b);
	expect(b, "gpu.sharing-strategy", "mps");
	expect(b, "mps.capable", "true");
	b->gpu[0].mig_current = 1;
	make(b);
	expect(b, "mps.capable", "false");
}

static void does_not_say_shared_of_what_is_renamed(void **state)
{
	static struct kf_share_rule rule = {
		.resource = "nvidia.com/gpu", .name = "nvidia.com/gpu.shared", .replicas = 4};
	static const struct kf_sharing rules = {.n = 1, .rule = &rule};
	struct bench *b = *state;

	add_gpu(b, A100);
	b->choices.sharing = KF_SHARING_TIME_SLICING;
	b->choices.rules = &rules;
	make(b);
	expect(b, "gpu.product", "NVIDIA-A100-SXM4-40GB");
	expect(b, "gpu.replicas", "4");
	expect(b, "gpu.sharing-strategy", "time-slicing");
}

/* gpu.* is of the GPUs that are for sale whole: one with MIG on has no replicas, shared or not. */
static void shares_no_gpu_with_mig_on(void **state)
{
	static struct kf_share_rule rule = {
		.resource = "nvidia.com/gpu", .name = "nvidia.com/gpu", .replicas = 10};
	static const struct kf_sharing rules = {.n = 1, .rule = &rule};
	struct bench *b = *state;

	add_slice(add_gpu(b, A100), "1g.5gb", 0);
	b->choices.sharing = KF_SHARING_TIME_SLICING;
	b->choices.rules = &rules;
	make(b);
	expect(b, "mig.strategy", NULL);
	expect(b, "gpu.product", "NVIDIA-A100-SXM4-40GB");
	expect(b, "gpu.replicas", "0");
	expect(b, "gpu.sharing-strategy", "none");
	expect(b, "gpu.memory", "40960");
	add_gpu(b, A100); /* the same model, whole */
	make(b);
	expect(b, "gpu.product", "NVIDIA-A100-SXM4-40GB-SHARED");
	expect(b, "gpu.count", "2");
	expect(b, "gpu.replicas", "10");
}

static void sells_equal_slices_as_gpus_under_single(void **state)
{
	struct bench *b = *state;
	struct kf_gpu *gpu = add_gpu(b, A100);

	add_slice(gpu, "1g.5gb", 0);
	add_slice(gpu, "1g.5gb", 1);
	add_slice(add_gpu(b, A100), "1g.5gb", 0);
	b->choices.strategy = KF_MIG_SINGLE;
	make(b);
	expect(b, "mig.strategy", "single");
	expect(b, "gpu.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb");
	expect(b, "gpu.count", "3");
	expect(b, "gpu.replicas", "1");
	expect(b, "gpu.memory", "4864");
	expect(b, "gpu.multiprocessors", "14");
	expect(b, "gpu.engines.copy", "1");
	expect(b, "gpu.slices.gi", "1");
	expect(b, "gpu.family", "ampere"); /* the GPU's own labels show through */
}

static void expect_invalid(struct bench *b)
{
	b->choices.strategy = KF_MIG_SINGLE;
	make(b);
	expect(b, "mig.strategy", "single");
	expect(b, "gpu.product", "NVIDIA-A100-SXM4-40GB-MIG-INVALID");
	expect(b, "gpu.count", "0");
	expect(b, "gpu.replicas", "0");
	expect(b, "gpu.memory", "0");
	expect(b, "gpu.sharing-strategy", "");
	expect(b, "gpu.slices.gi", NULL);
}

static void is_invalid_under_single_with_an_empty_gpu(void **state)
{
	struct bench *b = *state;

	add_slice(add_gpu(b, A100), "1g.5gb", 0);
	add_gpu(b, A100)->mig_current = 1;
	expect_invalid(b);
}

static void is_invalid_under_single_with_a_gpu_without_mig(void **state)
{
	struct bench *b = *state;

	add_gpu(b, A100);
	add_slice(add_gpu(b, A100), "1g.5gb", 0);
	expect_invalid(b);
}

static void is_invalid_under_single_with_two_kinds(void **state)
{
	static struct kf_share_rule rule = {
		.resource = "nvidia.com/gpu", .name = "nvidia.com/gpu", .replicas = 10};
	static const struct kf_sharing rules = {.n = 1, .rule = &rule};
	struct bench *b = *state;
	struct kf_gpu *gpu = add_gpu(b, A100);

	add_slice(gpu, "1g.5gb", 0);
	add_slice(gpu, "2g.10gb", 1);
	expect_invalid(b);
	b->choices.sharing = KF_SHARING_TIME_SLICING;
	b->choices.rules = &rules;
	expect_invalid(b); /* what cannot be sold is not shared either */
}

static void labels_each_profile_under_mixed(void **state)
{
	static struct kf_share_rule rule = {.resource = "nvidia.com/mig-1g.5gb",
					    .name = "nvidia.com/mig-1g.5gb",
					    .replicas = 2};
	static const struct kf_sharing rules = {.n = 1, .rule = &rule};
	struct bench *b = *state;
	struct kf_gpu *gpu = add_gpu(b, A100);

	add_slice(gpu, "3g.20gb", 2)->sm = 42;
	add_slice(gpu, "1g.5gb+me", 1);
	add_slice(gpu, "1c.3g.20gb", 3);
	add_slice(add_gpu(b, A100), "1g.5gb", 0);
	add_slice(gpu, "3g.20gb", 0)->sm = 43; /* the first by index, not by birth */
	b->choices.strategy = KF_MIG_MIXED;
	b->choices.sharing = KF_SHARING_TIME_SLICING;
	b->choices.rules = &rules;
	make(b);
	expect(b, "mig.strategy", "mixed");
	expect(b, "gpu.count", "2");
	expect(b, "gpu.replicas", "0");
	expect(b, "mig-3g.20gb.count", "2");
	expect(b, "mig-3g.20gb.multiprocessors", "43");
	expect(b, "mig-3g.20gb.product", "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb");
	expect(b, "mig-3g.20gb.sharing-strategy", "none");
	expect(b, "mig-1g.5gb.me.count", "1");
	expect(b, "mig-1g.5gb.me.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb.me");
	expect(b, "mig-1c.3g.20gb.count", "1");
	expect(b, "mig-1g.5gb.replicas", "2");
	expect(b, "mig-1g.5gb.sharing-strategy", "time-slicing");
	expect(b, "mig-1g.5gb.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED");
}

static void leaves_out_attributes_that_the_driver_does_not_tell(void **state)
{
	struct bench *b = *state;
	struct kf_ci *ci = add_slice(add_gpu(b, A100), "1g.5gb", 0);

	ci->sm = 0;
	b->choices.strategy = KF_MIG_MIXED;
	make(b);
	expect(b, "mig-1g.5gb.count", "1");
	expect(b, "mig-1g.5gb.memory", NULL);
	expect(b, "mig-1g.5gb.engines.copy", NULL);
}

static void cuts_the_model_rather_than_the_profile(void **state)
{
	static struct kf_share_rule rule = {.resource = "nvidia.com/mig-1g.24gb.me.all",
					    .name = "nvidia.com/mig-1g.24gb.me.all",
					    .replicas = 2};
	static const struct kf_sharing rules = {.n = 1, .rule = &rule};
	struct bench *b = *state;

	add_slice(add_gpu(b, RTX6000), "1g.24gb+me.all", 0);
	b->choices.strategy = KF_MIG_MIXED;
	make(b);
	expect(b, "mig-1g.24gb.me.all.product", /* 63 bytes */
	       "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition-MIG-1g.24gb.me.all");
	b->choices.sharing = KF_SHARING_TIME_SLICING;
	b->choices.rules = &rules;
	make(b);
	expect(b, "mig-1g.24gb.me.all.product",
	       "NVIDIA-RTX-PRO-6000-Blackwell-Server-MIG-1g.24gb.me.all-SHARED");
}

static void owns_all_that_it_makes(void **state)
{
	struct bench *b = *state;
	struct kf_gpu *gpu = add_gpu(b, A100);
	unsigned i;

	add_slice(gpu, "1g.5gb+me", 0);
	add_slice(gpu, "1g.24gb-me", 1);
	add_slice(gpu, "1c.2g.10gb", 2);
	gpu->fabric.attached = b->facts.vgpu = 1;
	strcpy(b->facts.vgpu_version, "550.90");
	strcpy(b->facts.vgpu_branch, "r550_00");
	b->choices.timestamp = 1;
	for (i = 0; i < 3; i++) {
		unsigned j;

		b->choices.strategy = (enum kf_mig_strategy)i;
		make(b);
		for (j = 0; j < b->labels.n; j++)
			if (!kf_label_is_ours(b->labels.label[j].key))
				fail_msg("%s is not ours", b->labels.label[j].key);
	}
}

static void comes_through_each_failed_allocation(void **state)
{
	struct bench *b = *state;
	struct kf_error err = {0};

	add_slice(add_gpu(b, A100), "1g.5gb", 0);
	b->choices.strategy = KF_MIG_MIXED;
	KF_FOR_EACH_OOM
	{
		int r = kf_labels_make(&b->node, &b->facts, &b->choices, &b->labels, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		if (r < 0)
			assert_int_equal(b->labels.n, 0);
		kf_labels_done(&b->labels);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(takes_the_driver_version_apart),
		CASE(knows_the_families),
		CASE(says_nothing_of_memory_that_is_not_known),
		CASE(cleans_machine_and_product),
		CASE(tells_graphics_from_compute),
		CASE(names_a_clique_that_all_gpus_agree_on),
		CASE(tells_a_virtual_gpu_and_its_host),
		CASE(has_two_labels_without_a_gpu),
		CASE(counts_no_gpu_that_fell_off_the_bus),
		CASE(lets_the_first_model_win),
		CASE(shares_under_the_strategy_that_is_chosen),
		CASE(does_not_say_shared_of_what_is_renamed),
		CASE(shares_no_gpu_with_mig_on),
		CASE(sells_equal_slices_as_gpus_under_single),
		CASE(is_invalid_under_single_with_an_empty_gpu),
		CASE(is_invalid_under_single_with_a_gpu_without_mig),
		CASE(is_invalid_under_single_with_two_kinds),
		CASE(labels_each_profile_under_mixed),
		CASE(leaves_out_attributes_that_the_driver_does_not_tell),
		CASE(cuts_the_model_rather_than_the_profile),
		CASE(owns_all_that_it_makes),
		CASE(comes_through_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
