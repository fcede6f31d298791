/* Looking things up in a node and in the list of holds. */
#include <string.h>

#include "kftest.h"
#include "model/holds.h"
#include "model/node.h"

static struct kf_node *two_gpus(void)
{
	struct kf_node *node = kf_calloc(1, sizeof(*node));

	assert_non_null(node);
	node->n_gpus = 2;
	node->gpu = kf_calloc(2, sizeof(*node->gpu));
	assert_non_null(node->gpu);
	strcpy(node->gpu[0].uuid, "GPU-a");
	strcpy(node->gpu[1].uuid, "GPU-b");
	return node;
}

static void add(struct kf_gpu *gpu, unsigned profile, unsigned start, const char *uuid)
{
	struct kf_instance *in = &gpu->instance[gpu->n_instances++];

	in->profile = profile;
	in->start = start;
	in->n_ci = 1;
	strcpy(in->ci[0].uuid, uuid);
}

static void names_the_folder_that_sysfs_has(void **state)
{
	char out[32];

	assert_int_equal(kf_pci_address("00000000:10:1C.0", out), 0);
	assert_string_equal(out, "0000:10:1c.0");
	assert_int_equal(kf_pci_address("00010000:C8:00.0", out), 0);
	assert_string_equal(out, "10000:c8:00.0");
	assert_int_equal(kf_pci_address("0001:C8:00.0", out), 0);
	assert_string_equal(out, "0001:c8:00.0");
	assert_int_equal(kf_pci_address("", out), -1);
	assert_int_equal(kf_pci_address("0000000000000000000000000:10:1C.0", out), -1);
}

static void finds_a_slice_and_its_gpu(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = two_gpus();
	struct kf_slice_ref ref;

	add(&node->gpu[0], 0, 3, "MIG-1");
	add(&node->gpu[1], 1, 2, "MIG-2");
	assert_int_equal(kf_node_find_slice(node, "MIG-2", &ref), 1);
	assert_ptr_equal(ref.gpu, &node->gpu[1]);
	assert_ptr_equal(ref.instance, &node->gpu[1].instance[0]);
	assert_string_equal(ref.ci->uuid, "MIG-2");
	assert_int_equal(kf_node_find_slice(node, "MIG-3", &ref), 0);
	assert_ptr_equal(kf_node_find_gpu(node, "GPU-b"), &node->gpu[1]);
	assert_null(kf_node_find_gpu(node, "GPU-c"));
}

static void sorts_a_geometry_and_leaves_out_the_unknown(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = two_gpus();
	struct kf_geometry g;

	add(&node->gpu[0], 2, 4, "MIG-1");
	add(&node->gpu[0], KF_NONE, 2, "MIG-2");
	add(&node->gpu[0], 0, 0, "MIG-3");
	kf_gpu_geometry(&node->gpu[0], &g);
	assert_int_equal(g.n, 2);
	assert_int_equal(g.at[0].start, 0);
	assert_int_equal(g.at[0].profile, 0);
	assert_int_equal(g.at[1].start, 4);
	assert_int_equal(g.at[1].profile, 2);
}

static void finds_a_hold_and_says_whose(void **state)
{
	struct kf_hold pod = {.id = "MIG-1", .pod_namespace = "ml", .pod_name = "train"};
	struct kf_hold process = {.id = "MIG-2", .by = KF_HOLD_PROCESS, .pid = 4121};
	struct kf_hold unnamed = {.id = "MIG-3"};
	struct kf_holds holds = {0};
	char text[64];

	assert_int_equal(kf_holds_add(&holds, &pod), 0);
	assert_int_equal(kf_holds_add(&holds, &process), 0);
	assert_null(kf_holds_find(&holds, "MIG-"));
	kf_hold_text(kf_holds_find(&holds, "MIG-1"), text, sizeof(text));
	assert_string_equal(text, "pod ml/train");
	kf_hold_text(kf_holds_find(&holds, "MIG-2"), text, sizeof(text));
	assert_string_equal(text, "process 4121");
	kf_hold_text(&unnamed, text, sizeof(text));
	assert_string_equal(text, "a pod that the kubelet does not name yet");
	kf_holds_done(&holds);
	assert_int_equal(holds.n, 0);
}

static void says_when_there_is_no_memory_for_a_hold(void **state)
{
	KF_FOR_EACH_OOM
	{
		struct kf_holds holds = {0};
		int r = kf_holds_add(&holds, &(struct kf_hold){.id = "MIG-1"});

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		assert_int_equal(holds.n, kf_alloc_failed() ? 0 : 1);
		kf_holds_done(&holds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_folder_that_sysfs_has),
		cmocka_unit_test(finds_a_slice_and_its_gpu),
		cmocka_unit_test(sorts_a_geometry_and_leaves_out_the_unknown),
		cmocka_unit_test(finds_a_hold_and_says_whose),
		cmocka_unit_test(says_when_there_is_no_memory_for_a_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
