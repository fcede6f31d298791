/* Which devices a container should get. */
#include <stdio.h>
#include <string.h>

#include "kftest.h"

#include "agent/prefer.h"
#include "nodes.h"

/* Two GPUs with `replicas` each; `given` are away; what a container that asks for `size` gets. */
static const char *preferred(enum kf_share_policy policy, unsigned replicas, const char *given,
			     const char *must, unsigned size)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_offer all = {.resource = "nvidia.com/gpu"};
	struct kf_preference p = {.node = node, .policy = policy, .all = &all};
	const char *available[64], *out[64];
	static char text[400];
	unsigned g, k, i, n = 0;
	size_t len = 0;

	for (g = 0; g < 2; g++)
		for (k = 0; k < replicas; k++) {
			char id[32];

			snprintf(id, sizeof(id), "GPU-%u::%u", g, k);
			assert_int_equal(kf_offer_add(&all, id, 1, -1), 0);
		}
	for (i = 0; i < all.n; i++)
		if (!strstr(given, all.device[i].id))
			available[n++] = all.device[i].id;
	if (kf_prefer(&p, available, n, &must, must ? 1 : 0, size, out, NULL) < 0)
		size = 0;
	text[0] = '\0';
	for (i = 0; i < size; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "",
					out[i]);
	kf_offer_done(&all);
	return text;
}

static void distributed_goes_to_the_least_used_gpu(void **state)
{
	(void)state;
	assert_string_equal(preferred(KF_SHARE_DISTRIBUTED, 4, "GPU-0::0", NULL, 1), "GPU-1::0");
	assert_string_equal(preferred(KF_SHARE_DISTRIBUTED, 4, "", NULL, 2), "GPU-0::0 GPU-1::0");
	assert_string_equal(preferred(KF_SHARE_DISTRIBUTED, 4, "GPU-0::0 GPU-0::1", NULL, 3),
			    "GPU-1::0 GPU-1::1 GPU-0::2");
}

static void packed_fills_the_most_used_gpu(void **state)
{
	(void)state;
	assert_string_equal(preferred(KF_SHARE_PACKED, 4, "GPU-1::0", NULL, 3),
			    "GPU-1::1 GPU-1::2 GPU-1::3");
	assert_string_equal(preferred(KF_SHARE_PACKED, 2, "GPU-1::0", NULL, 2),
			    "GPU-1::1 GPU-0::0");
}

static void must_differ_takes_another_device_each_time(void **state)
{
	(void)state;
	assert_string_equal(preferred(KF_SHARE_MUST_DIFFER, 4, "GPU-1::0 GPU-1::1 GPU-1::2", NULL,
				      2),
			    "GPU-0::0 GPU-1::3");
	assert_string_equal(preferred(KF_SHARE_MUST_DIFFER, 4, "GPU-0::1 GPU-0::2", "GPU-1::2", 2),
			    "GPU-1::2 GPU-0::0");
}

static void what_must_be_in_comes_first_and_counts(void **state)
{
	(void)state;
	assert_string_equal(preferred(KF_SHARE_DISTRIBUTED, 4, "", "GPU-0::3", 2),
			    "GPU-0::3 GPU-1::0");
	assert_string_equal(preferred(KF_SHARE_PACKED, 4, "", "GPU-1::2", 2), "GPU-1::2 GPU-1::0");
}

/* Six whole GPUs in three pairs, the second of which is lost. */
static void whole_gpus_go_by_their_links_and_a_lost_one_takes_nothing(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(6);
	static const char *const available[] = {"GPU-0", "GPU-1", "GPU-2", "GPU-4", "GPU-5"};
	struct kf_preference p = {.node = node};
	const char *out[4], *must = "GPU-5";
	unsigned i, j;

	(void)state;
	for (i = 0; i < 6; i++)
		for (j = 0; j < 6; j++)
			node->gpu[i].link[j] = i == 3 || j == 3 ? 0 : i / 2 == j / 2 ? 50 : 10;
	node->gpu[3].state = KF_GPU_LOST;
	assert_int_equal(kf_prefer(&p, available, 5, NULL, 0, 2, out, NULL), 0);
	assert_string_equal(out[0], "GPU-0");
	assert_string_equal(out[1], "GPU-1");
	assert_int_equal(kf_prefer(&p, available, 5, &must, 1, 2, out, NULL), 0);
	assert_string_equal(out[0], "GPU-5");
	assert_string_equal(out[1], "GPU-4");
}

static void replicas_of_one_gpu_are_taken_by_number(void **state)
{
	(void)state;
	assert_string_equal(preferred(KF_SHARE_PACKED, 12, "GPU-0::0 GPU-0::1", NULL, 10),
			    "GPU-0::2 GPU-0::3 GPU-0::4 GPU-0::5 GPU-0::6 GPU-0::7 GPU-0::8 "
			    "GPU-0::9 GPU-0::10 GPU-0::11");
}

static void says_when_there_are_not_so_many(void **state)
{
	(void)state;
	assert_string_equal(preferred(KF_SHARE_DISTRIBUTED, 2, "", NULL, 5), "");
}

static int on_gpu_0(void *userdata, const char *id)
{
	(void)userdata;
	return !strncmp(id, "GPU-0", 5);
}

static void one_on_its_way_out_is_the_last_choice(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_preference p = {.node = node, .avoid = on_gpu_0};
	const char *available[] = {"GPU-0", "GPU-1"}, *out[2];

	(void)state;
	assert_int_equal(kf_prefer(&p, available, 2, NULL, 0, 2, out, NULL), 0);
	assert_string_equal(out[0], "GPU-1");
	assert_string_equal(out[1], "GPU-0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_gpus_go_by_their_links_and_a_lost_one_takes_nothing),
		cmocka_unit_test(distributed_goes_to_the_least_used_gpu),
		cmocka_unit_test(packed_fills_the_most_used_gpu),
		cmocka_unit_test(must_differ_takes_another_device_each_time),
		cmocka_unit_test(what_must_be_in_comes_first_and_counts),
		cmocka_unit_test(replicas_of_one_gpu_are_taken_by_number),
		cmocka_unit_test(says_when_there_are_not_so_many),
		cmocka_unit_test(one_on_its_way_out_is_the_last_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
