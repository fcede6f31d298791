/* Whose memory and whose work it is: views and readings in, pods out. */
#include "kftest.h"

#include <stdio.h>
#include <string.h>

#include "metrics/sample.h"

#define A "aaaaaaaa-0000-4000-8000-000000000000"
#define B "bbbbbbbb-0000-4000-8000-000000000000"

/* One GPU; with `slices` it is cut: instance 7 (16 of 132 SMs), and 8 in two compute instances. */
static struct kf_view *a_view(int slices)
{
	struct kf_view *v = kf_view_new(1, 3, 8, 0);

	v->n_gpus = 1;
	v->gpu[0].sm = 132;
	v->gpu[0].mig = slices;
	v->n_slices = slices ? 3 : 0;
	v->slice[0] = (struct kf_view_slice){.gi = 7, .sm = 16, .n_cis = 1};
	v->slice[1] = (struct kf_view_slice){.gi = 8, .ci = 0, .sm = 16, .n_cis = 2};
	v->slice[2] = (struct kf_view_slice){.gi = 8, .ci = 1, .sm = 16, .n_cis = 2};
	return v;
}

static void hold(struct kf_view *v, const char *pod, const char *uid, unsigned slice)
{
	struct kf_view_pod *p = &v->pod[v->n_pods++];

	p->slice = slice;
	snprintf(p->pod_namespace, sizeof(p->pod_namespace), "ns");
	snprintf(p->name, sizeof(p->name), "%s", pod);
	snprintf(p->uid, sizeof(p->uid), "%s", uid);
}

static struct kf_reading *a_reading(const struct kf_view *v)
{
	struct kf_reading *r = kf_reading_new(2, 8, kf_sample_count_pods(v, 0));
	unsigned f;

	r->n_instances = v->n_slices ? 2 : 0;
	r->instance[0].gi = 7;
	r->instance[1].gi = 8;
	for (f = 0; f < KF_N_FIELDS; f++)
		r->board.of[f] = r->instance[0].values.of[f] = r->instance[1].values.of[f] = NAN;
	return r;
}

static struct kf_reading_process *process(struct kf_reading *r, const char *uid, unsigned gi,
					  uint64_t memory, double sm)
{
	struct kf_reading_process *p = &r->process[r->n_processes++];

	*p = (struct kf_reading_process){
		.pid = r->n_processes, .gi = gi, .ci = gi == KF_NONE ? KF_NONE : 0, .sm = sm};
	p->memory_bytes = memory;
	snprintf(p->pod_uid, sizeof(p->pod_uid), "%s", uid);
	return p;
}

static void is(const struct kf_reading_pod *p, double memory, double sm)
{
	assert_int_equal(isnan(p->memory_bytes), isnan(memory));
	assert_int_equal(isnan(p->sm), isnan(sm));
	if (!isnan(memory))
		assert_true(p->memory_bytes == memory);
	if (!isnan(sm))
		assert_true(fabs(p->sm - sm) < 1e-9);
	assert_int_equal(p->why_memory != KF_ABSENT_NOT, isnan(memory) != 0);
	assert_int_equal(p->why_sm != KF_ABSENT_NOT, isnan(sm) != 0);
}

static void time_sliced_pods_have_their_processes_work(void **state)
{
	struct kf_view *v = a_view(0);
	struct kf_reading *r;

	hold(v, "a", A, KF_NONE);
	hold(v, "b", B, KF_NONE);
	r = a_reading(v);
	process(r, A, KF_NONE, 100, .4);
	process(r, A, KF_NONE, 20, .1);
	process(r, B, KF_NONE, 3, .3);
	kf_sample_attribute(r, v, 0, NULL, 1);
	assert_int_equal(r->n_pods, 2);
	is(&r->pod[0], 120, .5);
	is(&r->pod[1], 3, .3);
	assert_int_equal(r->pod[0].n_processes, 2);
	kf_reading_free(r);
	kf_view_free(v);
}

static void a_pod_with_several_replicas_is_one(void **state)
{
	struct kf_view *v = a_view(0);
	struct kf_reading *r;

	hold(v, "a", A, KF_NONE);
	hold(v, "a", A, KF_NONE);
	hold(v, "", "", KF_NONE); /* allocated, and not named yet */
	r = a_reading(v);
	process(r, "", KF_NONE, 7, .2); /* whose it is does not matter: nobody else has the GPU */
	kf_sample_attribute(r, v, 0, NULL, 1);
	assert_int_equal(r->n_pods, 1);
	is(&r->pod[0], 7, .2);
	assert_int_equal(r->pod[0].n_processes, 1);
	kf_reading_free(r);
	kf_view_free(v);
}

static void mps_clients_have_memory_and_the_server_all_the_work(void **state)
{
	struct kf_view *v = a_view(0);
	struct kf_reading *r;

	hold(v, "a", A, KF_NONE);
	hold(v, "b", B, KF_NONE);
	r = a_reading(v);
	r->board.of[KF_FIELD_SM_ACTIVE] = .6;
	process(r, "", KF_NONE, 66, 1);
	process(r, A, KF_NONE, 144, 0)->mps = 1;
	process(r, B, KF_NONE, 274, 0)->mps = 1;
	kf_sample_attribute(r, v, 0, NULL, 1);
	is(&r->pod[0], 144, NAN);
	is(&r->pod[1], 274, NAN);
	assert_int_equal(r->pod[0].why_sm, KF_ABSENT_MPS);
	/* one of them has nothing on the GPU: then all is the other's */
	r->n_processes = 2;
	kf_sample_attribute(r, v, 0, NULL, 1);
	is(&r->pod[0], 144, .6);
	is(&r->pod[1], 0, 0);
	kf_reading_free(r);
	kf_view_free(v);
}

static void a_slice_of_its_own_is_the_instances(void **state)
{
	struct kf_view *v = a_view(1);
	struct kf_reading *r;

	hold(v, "a", "", 0);
	r = a_reading(v);
	r->instance[0].values.of[KF_FIELD_SM_ACTIVE] = .25;
	process(r, "", 7, 50, NAN);
	process(r, "", 8, 1000, NAN);
	kf_sample_attribute(r, v, 0, NULL, 1);
	is(&r->pod[0], 50, .25);
	kf_reading_free(r);
	kf_view_free(v);
}

static void compute_instances_of_one_instance_are_not_told_apart(void **state)
{
	struct kf_view *v = a_view(1);
	struct kf_reading *r;

	hold(v, "a", A, 1);
	hold(v, "b", B, 2);
	r = a_reading(v);
	r->instance[1].values.of[KF_FIELD_SM_ACTIVE] = .25;
	process(r, A, 8, 50, NAN);
	kf_sample_attribute(r, v, 0, NULL, 1);
	is(&r->pod[0], 50, NAN);
	is(&r->pod[1], 0, NAN);
	assert_int_equal(r->pod[1].why_sm, KF_ABSENT_SLICE);
	kf_reading_free(r);
	kf_view_free(v);
}

static void what_the_driver_does_not_tell_is_absent(void **state)
{
	struct kf_view *v = a_view(1);
	struct kf_reading *r;

	hold(v, "a", A, 0);
	r = a_reading(v); /* an A100's slice: no GPM */
	process(r, A, 7, UINT64_MAX, NAN);
	kf_sample_attribute(r, v, 0, NULL, 1);
	is(&r->pod[0], NAN, NAN);
	assert_int_equal(r->pod[0].why_memory, KF_ABSENT_DRIVER);
	assert_int_equal(r->pod[0].why_sm, KF_ABSENT_DRIVER);
	assert_int_equal(r->pod[0].has_gpu_seconds, 0);
	kf_reading_free(r);
	kf_view_free(v);
}

static void strangers_make_idle_sharers_unknown_and_not_zero(void **state)
{
	struct kf_view *v = a_view(0);
	struct kf_reading *r;

	hold(v, "a", A, KF_NONE);
	hold(v, "b", B, KF_NONE);
	r = a_reading(v);
	process(r, A, KF_NONE, 5, .1);
	process(r, "", KF_NONE, 100, .3);
	kf_sample_attribute(r, v, 0, NULL, 1);
	is(&r->pod[0], 5, .1);
	is(&r->pod[1], NAN, NAN);
	assert_int_equal(r->pod[1].why_sm, KF_ABSENT_PROCESSES);
	kf_reading_free(r);
	kf_view_free(v);
}

static void seconds_add_up_by_the_part_of_the_gpu_and_begin_anew_with_a_new_pod(void **state)
{
	struct kf_view *v = a_view(1);
	struct kf_reading *first, *second, *third;

	hold(v, "a", A, 0);
	first = a_reading(v);
	first->instance[0].values.of[KF_FIELD_SM_ACTIVE] = .5;
	kf_sample_attribute(first, v, 0, NULL, 10);
	assert_true(first->pod[0].gpu_seconds == 0 && first->pod[0].has_gpu_seconds);
	second = a_reading(v);
	second->instance[0].values.of[KF_FIELD_SM_ACTIVE] = .5;
	kf_sample_attribute(second, v, 0, first, 2);
	assert_true(fabs(second->pod[0].gpu_seconds - 2 * .5 * 16 / 132) < 1e-9);
	memcpy(v->pod[0].uid, B, sizeof(B));
	third = a_reading(v);
	third->instance[0].values.of[KF_FIELD_SM_ACTIVE] = .5;
	kf_sample_attribute(third, v, 0, second, 2);
	assert_true(third->pod[0].gpu_seconds == 0);
	kf_reading_free(first);
	kf_reading_free(second);
	kf_reading_free(third);
	kf_view_free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_sliced_pods_have_their_processes_work),
		cmocka_unit_test(a_pod_with_several_replicas_is_one),
		cmocka_unit_test(mps_clients_have_memory_and_the_server_all_the_work),
		cmocka_unit_test(a_slice_of_its_own_is_the_instances),
		cmocka_unit_test(compute_instances_of_one_instance_are_not_told_apart),
		cmocka_unit_test(what_the_driver_does_not_tell_is_absent),
		cmocka_unit_test(strangers_make_idle_sharers_unknown_and_not_zero),
		cmocka_unit_test(
			seconds_add_up_by_the_part_of_the_gpu_and_begin_anew_with_a_new_pod),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
