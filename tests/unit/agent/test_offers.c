/* What the kubelet is offered. */
#include <string.h>

#include "kftest.h"

#include "agent/offers.h"
#include "nodes.h"

static void count(const struct kf_offers *o, const char *resource, unsigned *n, unsigned *healthy)
{
	const struct kf_offer *offer = kf_offers_find(o, resource);
	unsigned i;

	*n = *healthy = 0;
	for (i = 0; offer && i < offer->n; i++) {
		(*n)++;
		*healthy += offer->device[i].healthy;
	}
}

static void assert_offer(const struct kf_node *node, const struct kf_offer_rules *rules,
			 const char *resource, unsigned want_n, unsigned want_healthy)
{
	struct kf_offers o = {0};
	unsigned n, healthy;

	assert_int_equal(kf_offers_make(node, rules, &o, NULL), 0);
	count(&o, resource, &n, &healthy);
	kf_offers_done(&o);
	assert_int_equal(n, want_n);
	assert_int_equal(healthy, want_healthy);
}

static void mixed_names_slices_by_profile_and_whole_gpus_plainly(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(3);
	struct kf_offer_rules rules = {.strategy = KF_MIG_MIXED};

	(void)state;
	node_add_seven(node, 0);
	node_add(node, 1, "1g.5gb+me", 0);
	node->gpu[2].mig_current = 0;
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb", 7, 7);
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb.me", 1, 1);
	assert_offer(node, &rules, "nvidia.com/gpu", 1, 1);
}

static void none_offers_every_gpu_whatever_its_mode(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_offer_rules rules = {.strategy = KF_MIG_NONE};

	(void)state;
	node_add_seven(node, 0);
	assert_offer(node, &rules, "nvidia.com/gpu", 2, 2);
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb", 0, 0);
}

static void single_offers_slices_of_one_profile_as_gpus(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_offer_rules rules = {.strategy = KF_MIG_SINGLE};
	char trouble[256];

	(void)state;
	node_add_seven(node, 0);
	node_add_seven(node, 1);
	assert_offer(node, &rules, "nvidia.com/gpu", 14, 14);
	kf_offers_trouble(node, &rules, trouble, sizeof(trouble));
	assert_string_equal(trouble, "");
}

static void single_holds_back_a_node_of_several_profiles(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_offer_rules rules = {.strategy = KF_MIG_SINGLE};
	char trouble[256];

	(void)state;
	node_add(node, 0, "1g.5gb", 0);
	node_add(node, 0, "2g.10gb", 2);
	assert_offer(node, &rules, "nvidia.com/gpu", 2, 0);
	kf_offers_trouble(node, &rules, trouble, sizeof(trouble));
	assert_non_null(strstr(trouble, "slices of one profile"));
}

static void single_offers_what_the_target_wants_while_old_slices_wait(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_gpu_target wants = {.mentioned = 1, .mig = 1, .n = 1};
	struct kf_target target = {.n_gpus = 1, .gpu = &wants};
	struct kf_offer_rules rules = {.strategy = KF_MIG_SINGLE, .target = &target};

	(void)state;
	node_add(node, 0, "1g.5gb", 0);
	node_add(node, 0, "2g.10gb", 2);
	node_add(node, 0, "2g.10gb", 4);
	wants.want[0].profile = node->gpu[0].instance[1].profile;
	wants.want[0].count = 3;
	assert_offer(node, &rules, "nvidia.com/gpu", 3, 2);
}

static void single_without_any_mig_is_as_none(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_offer_rules rules = {.strategy = KF_MIG_SINGLE};

	(void)state;
	node->gpu[0].mig_current = node->gpu[1].mig_current = 0;
	assert_offer(node, &rules, "nvidia.com/gpu", 2, 2);
}

static void an_alias_taken_under_one_name_is_unhealthy_under_the_other(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_hold hold = {.id = "MIG-0-3", .by = KF_HOLD_POD, .resource = "nvidia.com/gpu"};
	struct kf_holds holds = {.n = 1, .hold = &hold};
	struct kf_offer_rules rules = {
		.strategy = KF_MIG_SINGLE, .single_alias = 1, .holds = &holds};

	(void)state;
	node_add_seven(node, 0);
	assert_offer(node, &rules, "nvidia.com/gpu", 7, 7);
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb", 7, 6);
}

static int third_is_withdrawn(const void *userdata, const char *id)
{
	(void)userdata;
	return !strcmp(id, "MIG-0-3");
}

static void a_withdrawn_slice_stays_listed_as_unhealthy(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_offer_rules rules = {.strategy = KF_MIG_MIXED, .withdrawn = third_is_withdrawn};

	(void)state;
	node_add_seven(node, 0);
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb", 7, 6);
}

static void an_ill_slice_stays_listed_as_unhealthy(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
	struct kf_offer_rules rules = {.strategy = KF_MIG_MIXED, .ill = third_is_withdrawn};

	(void)state;
	node_add_seven(node, 0);
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb", 7, 6);
}

static void a_lost_gpu_keeps_its_slices_listed_as_unhealthy(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_offer_rules rules = {.strategy = KF_MIG_MIXED};

	(void)state;
	node_add_seven(node, 0);
	node_add_seven(node, 1);
	node->gpu[1].state = KF_GPU_LOST;
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb", 14, 7);
}

static void a_failed_allocation_offers_nothing_rather_than_a_part(void **state)
{
	(void)state;
	KF_FOR_EACH_OOM
	{
		kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(1);
		struct kf_offer_rules rules = {.strategy = KF_MIG_MIXED};
		struct kf_offers o = {0};

		node_add_seven(node, 0);
		if (kf_offers_make(node, &rules, &o, NULL) == 0)
			assert_int_equal(kf_offers_find(&o, "nvidia.com/mig-1g.5gb")->n, 7);
		else
			assert_int_equal(o.n, 0);
		kf_offers_done(&o);
	}
}

/* GPU 0 whole, GPU 1 as four under another name, each slice of GPU 2 as two. */
static void one_node_sells_some_whole_some_shared_and_some_as_slices(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(3);
	struct kf_share_pick second = {.by = KF_SHARE_BY_GPU, .gpu = 1};
	struct kf_share_rule rule[] = {
		{.resource = "nvidia.com/gpu",
		 .name = "nvidia.com/gpu.shared",
		 .replicas = 4,
		 .n_picks = 1,
		 .pick = &second},
		{.resource = "nvidia.com/mig-1g.5gb",
		 .name = "nvidia.com/mig-1g.5gb",
		 .replicas = 2},
	};
	struct kf_sharing sharing = {.n = 2, .rule = rule};
	struct kf_offer_rules rules = {.strategy = KF_MIG_MIXED, .sharing = &sharing};
	struct kf_offers o = {0};

	(void)state;
	node->gpu[0].mig_current = node->gpu[1].mig_current = 0;
	node_add_seven(node, 2);
	assert_offer(node, &rules, "nvidia.com/gpu", 1, 1);
	assert_offer(node, &rules, "nvidia.com/gpu.shared", 4, 4);
	assert_offer(node, &rules, "nvidia.com/mig-1g.5gb", 14, 14);
	assert_int_equal(kf_offers_make(node, &rules, &o, NULL), 0);
	assert_non_null(kf_offer_find(kf_offers_find(&o, "nvidia.com/gpu.shared"), "GPU-1::3"));
	assert_non_null(kf_offer_find(kf_offers_find(&o, "nvidia.com/mig-1g.5gb"), "MIG-2-6::1"));
	kf_offers_done(&o);
}

static void a_lost_gpu_takes_all_of_its_replicas_with_it(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_share_rule rule = {
		.resource = "nvidia.com/gpu", .name = "nvidia.com/gpu", .replicas = 10};
	struct kf_sharing sharing = {.n = 1, .rule = &rule};
	struct kf_offer_rules rules = {.strategy = KF_MIG_NONE, .sharing = &sharing};

	(void)state;
	node->gpu[1].state = KF_GPU_LOST;
	assert_offer(node, &rules, "nvidia.com/gpu", 20, 10);
}

static void a_file_may_name_resources_by_product_and_profile(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of_a100s(2);
	struct kf_share_naming naming[] = {
		{.pattern = "*A100*", .name = "nvidia.com/a100"},
		{.mig = 1, .pattern = "1g.*", .name = "nvidia.com/small"},
	};
	struct kf_sharing sharing = {.n_namings = 2, .naming = naming};
	struct kf_offer_rules rules = {.strategy = KF_MIG_MIXED, .sharing = &sharing};

	(void)state;
	node->gpu[0].mig_current = 0;
	strcpy(node->gpu[0].name, "NVIDIA A100-SXM4-40GB");
	node_add_seven(node, 1);
	assert_offer(node, &rules, "nvidia.com/a100", 1, 1);
	assert_offer(node, &rules, "nvidia.com/small", 7, 7);
	assert_offer(node, &rules, "nvidia.com/gpu", 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_node_sells_some_whole_some_shared_and_some_as_slices),
		cmocka_unit_test(a_lost_gpu_takes_all_of_its_replicas_with_it),
		cmocka_unit_test(a_file_may_name_resources_by_product_and_profile),
		cmocka_unit_test(mixed_names_slices_by_profile_and_whole_gpus_plainly),
		cmocka_unit_test(none_offers_every_gpu_whatever_its_mode),
		cmocka_unit_test(single_offers_slices_of_one_profile_as_gpus),
		cmocka_unit_test(single_holds_back_a_node_of_several_profiles),
		cmocka_unit_test(single_offers_what_the_target_wants_while_old_slices_wait),
		cmocka_unit_test(single_without_any_mig_is_as_none),
		cmocka_unit_test(an_alias_taken_under_one_name_is_unhealthy_under_the_other),
		cmocka_unit_test(a_withdrawn_slice_stays_listed_as_unhealthy),
		cmocka_unit_test(an_ill_slice_stays_listed_as_unhealthy),
		cmocka_unit_test(a_lost_gpu_keeps_its_slices_listed_as_unhealthy),
		cmocka_unit_test(a_failed_allocation_offers_nothing_rather_than_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
