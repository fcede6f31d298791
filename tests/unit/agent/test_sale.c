/* One way of selling a device at a time. */
#include <stdio.h>
#include <string.h>

#include "kftest.h"

#include "agent/sale.h"
#include "nodes.h"

#define GPU    "nvidia.com/gpu"
#define SHARED "nvidia.com/gpu.shared"

/* What is offered, from text: "RESOURCE ID ID ...", lines apart by ';'. */
static struct kf_offers offers_of(const char *text)
{
	struct kf_offers o = {0};
	char copy[2000], *line, *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (line = strtok_r(copy, ";", &save); line; line = strtok_r(NULL, ";", &save)) {
		char *more = NULL, *id, *resource = strtok_r(line, " ", &more);
		struct kf_offer *offer = kf_offers_need(&o, resource);

		while ((id = strtok_r(NULL, " ", &more)))
			assert_int_equal(kf_offer_add(offer, id, 1, -1), 0);
	}
	return o;
}

/* What is listed, as text; Unhealthy ids in brackets. */
static const char *listed(const struct kf_sale *s)
{
	static char out[2000];
	size_t n = 0;
	unsigned o, d;

	out[0] = '\0';
	for (o = 0; o < s->listed.n; o++) {
		const struct kf_offer *offer = &s->listed.offer[o];

		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s", n ? ";" : "",
				      offer->resource);
		for (d = 0; d < offer->n; d++)
			n += (size_t)snprintf(out + n, sizeof(out) - n,
					      offer->device[d].healthy ? " %s" : " (%s)",
					      offer->device[d].id);
	}
	return out;
}

struct world {
	struct kf_node *node;
	struct kf_sale sale;
	struct kf_holds holds;
};

static struct world world_of(unsigned n_gpus)
{
	struct world w = {.node = node_of_a100s(n_gpus)};
	unsigned g;

	for (g = 0; g < n_gpus; g++)
		w.node->gpu[g].mig_current = 0;
	return w;
}

static void end(struct world *w)
{
	kf_sale_done(&w->sale);
	kf_holds_done(&w->holds);
	kf_node_free(w->node);
}

static void want(struct world *w, const char *text)
{
	struct kf_offers wanted = offers_of(text);

	assert_int_equal(kf_sale_make(&w->sale, &wanted, w->node, &w->holds, NULL), 0);
	kf_offers_done(&wanted);
}

static void hold(struct world *w, const char *resource, const char *sold, const char *id)
{
	struct kf_hold h = {.by = KF_HOLD_POD};

	snprintf(h.resource, sizeof(h.resource), "%s", resource);
	snprintf(h.sold, sizeof(h.sold), "%s", sold);
	snprintf(h.id, sizeof(h.id), "%s", id);
	assert_int_equal(kf_holds_add(&w->holds, &h), 0);
}

static int answer(struct world *w, const char *still)
{
	struct kf_podresources_row row = {GPU, still, "", "", ""};

	return kf_sale_clear(&w->sale, &row, still ? 1 : 0, w->sale.listing);
}

static void a_new_way_waits_until_the_kubelet_has_let_go_of_the_old(void **state)
{
	struct world w = world_of(2);

	(void)state;
	want(&w, GPU " GPU-0 GPU-1");
	assert_string_equal(listed(&w.sale), GPU " GPU-0 GPU-1");
	want(&w, GPU " GPU-0::0 GPU-0::1 GPU-1");
	assert_string_equal(listed(&w.sale), GPU " GPU-1 (GPU-0)");
	assert_int_equal(kf_sale_waiting(&w.sale), 1);
	assert_int_equal(answer(&w, "GPU-0"), 0);
	want(&w, GPU " GPU-0::0 GPU-0::1 GPU-1");
	assert_string_equal(listed(&w.sale), GPU " GPU-1 (GPU-0)");
	assert_int_equal(answer(&w, NULL), 1);
	want(&w, GPU " GPU-0::0 GPU-0::1 GPU-1");
	assert_string_equal(listed(&w.sale), GPU " GPU-0::0 GPU-0::1 GPU-1");
	assert_int_equal(kf_sale_waiting(&w.sale), 0);
	end(&w);
}

static void a_held_id_stays_until_its_pod_ends_and_nothing_is_resold(void **state)
{
	struct world w = world_of(1);

	(void)state;
	want(&w, GPU " GPU-0::0 GPU-0::1 GPU-0::2");
	hold(&w, GPU, "GPU-0::1", "GPU-0");
	want(&w, SHARED " GPU-0::0 GPU-0::1");
	assert_string_equal(listed(&w.sale), GPU " (GPU-0::0) (GPU-0::1) (GPU-0::2)");
	assert_int_equal(answer(&w, NULL), 1);
	want(&w, SHARED " GPU-0::0 GPU-0::1");
	assert_string_equal(listed(&w.sale), GPU " (GPU-0::1)");
	assert_int_equal(kf_sale_held(&w.sale), 1);
	assert_int_equal(kf_sale_waiting(&w.sale), 0);
	w.holds.n = 0;
	answer(&w, NULL);
	want(&w, SHARED " GPU-0::0 GPU-0::1");
	assert_string_equal(listed(&w.sale), SHARED " GPU-0::0 GPU-0::1");
	end(&w);
}

static void more_replicas_come_at_once_fewer_wait_for_those_above(void **state)
{
	struct world w = world_of(1);

	(void)state;
	want(&w, GPU " GPU-0::0 GPU-0::1");
	hold(&w, GPU, "GPU-0::1", "GPU-0");
	want(&w, GPU " GPU-0::0 GPU-0::1 GPU-0::2");
	assert_string_equal(listed(&w.sale), GPU " GPU-0::0 GPU-0::1 GPU-0::2");
	want(&w, GPU " GPU-0::0 GPU-0::1");
	assert_string_equal(listed(&w.sale), GPU " (GPU-0::0) (GPU-0::1) (GPU-0::2)");
	assert_int_equal(answer(&w, NULL), 1);
	want(&w, GPU " GPU-0::0 GPU-0::1");
	assert_string_equal(listed(&w.sale), GPU " GPU-0::0 GPU-0::1");
	end(&w);
}

static void a_start_with_another_way_lists_what_pods_hold_and_sells_nothing_of_it(void **state)
{
	struct world w = world_of(2);

	(void)state;
	hold(&w, GPU, "GPU-0", "GPU-0");
	want(&w, GPU " GPU-0::0 GPU-0::1 GPU-1::0 GPU-1::1");
	assert_string_equal(listed(&w.sale), GPU " GPU-1::0 GPU-1::1 (GPU-0)");
	end(&w);
}

static void a_gpu_waits_for_its_slices_and_they_for_it(void **state)
{
	struct world w = world_of(1);

	(void)state;
	w.node->gpu[0].mig_current = 1;
	node_add(w.node, 0, "3g.20gb", 0);
	node_add(w.node, 0, "3g.20gb", 4);
	want(&w, "nvidia.com/mig-3g.20gb MIG-0-0 MIG-0-4");
	hold(&w, "nvidia.com/mig-3g.20gb", "MIG-0-4", "MIG-0-4");
	want(&w, GPU " GPU-0");
	answer(&w, NULL);
	want(&w, GPU " GPU-0");
	assert_string_equal(listed(&w.sale), "nvidia.com/mig-3g.20gb (MIG-0-4)");
	w.holds.n = 0;
	answer(&w, NULL);
	want(&w, GPU " GPU-0");
	assert_string_equal(listed(&w.sale), GPU " GPU-0");
	want(&w, "nvidia.com/mig-3g.20gb MIG-0-0 MIG-0-4");
	assert_string_equal(listed(&w.sale), GPU " (GPU-0)");
	end(&w);
}

static void what_the_driver_took_apart_leaves_at_once(void **state)
{
	struct world w = world_of(1);

	(void)state;
	want(&w, GPU " GPU-0");
	w.node->gpu[0].mig_current = 1;
	node_add(w.node, 0, "7g.40gb", 0);
	want(&w, "nvidia.com/mig-7g.40gb MIG-0-0");
	assert_string_equal(listed(&w.sale), "nvidia.com/mig-7g.40gb MIG-0-0");
	w.node->gpu[0].n_instances = 0;
	w.node->gpu[0].mig_current = 0;
	want(&w, GPU " GPU-0");
	assert_string_equal(listed(&w.sale), GPU " GPU-0");
	end(&w);
}

static void an_answer_from_before_an_id_was_on_sale_again_does_not_count(void **state)
{
	struct world w = world_of(1);
	unsigned asked;

	(void)state;
	want(&w, GPU " GPU-0");
	want(&w, GPU " GPU-0::0");
	asked = w.sale.listing;
	want(&w, GPU " GPU-0");
	want(&w, GPU " GPU-0::0");
	assert_int_equal(kf_sale_clear(&w.sale, NULL, 0, asked), 0);
	assert_int_equal(kf_sale_clear(&w.sale, NULL, 0, w.sale.listing), 1);
	end(&w);
}

static void keeps_the_old_list_when_memory_runs_out(void **state)
{
	struct world w = world_of(2);
	struct kf_offers wanted = offers_of(GPU " GPU-0::0 GPU-1");

	(void)state;
	want(&w, GPU " GPU-0 GPU-1");
	KF_FOR_EACH_OOM
	{
		struct kf_error err = {0};
		int r = kf_sale_make(&w.sale, &wanted, w.node, &w.holds, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		if (r < 0)
			assert_string_equal(listed(&w.sale), GPU " GPU-0 GPU-1");
	}
	kf_offers_done(&wanted);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_way_waits_until_the_kubelet_has_let_go_of_the_old),
		cmocka_unit_test(a_held_id_stays_until_its_pod_ends_and_nothing_is_resold),
		cmocka_unit_test(more_replicas_come_at_once_fewer_wait_for_those_above),
		cmocka_unit_test(
			a_start_with_another_way_lists_what_pods_hold_and_sells_nothing_of_it),
		cmocka_unit_test(a_gpu_waits_for_its_slices_and_they_for_it),
		cmocka_unit_test(what_the_driver_took_apart_leaves_at_once),
		cmocka_unit_test(an_answer_from_before_an_id_was_on_sale_again_does_not_count),
		cmocka_unit_test(keeps_the_old_list_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
