/* Offers and answers as values, and as the bytes that a kubelet reads. */
#include "kftest.h"

#include <stdlib.h>
#include <string.h>

#include "deviceplugin.pb-c.h"
#include "kubelet/message.h"

static int make_offers(struct kf_offers *o)
{
	struct kf_offer *a = kf_offers_need(o, "nvidia.com/mig-1g.5gb");

	if (!a || kf_offer_add(a, "MIG-a", 1, 0) < 0 || kf_offer_add(a, "MIG-b", 0, -1) < 0)
		return -1;
	return kf_offers_need(o, "nvidia.com/gpu") ? 0 : -1;
}

static void copies_are_equal_until_something_differs(void **state)
{
	struct kf_offers a = {0}, b = {0};

	assert_int_equal(make_offers(&a), 0);
	assert_int_equal(kf_offers_copy(&a, &b), 0);
	assert_true(kf_offers_equal(&a, &b));
	b.offer[0].device[1].healthy = 2; /* any other yes */
	assert_false(kf_offers_equal(&a, &b));
	b.offer[0].device[1].healthy = 0;
	b.offer[0].device[0].numa = 1;
	assert_false(kf_offers_equal(&a, &b));
	b.offer[0].device[0].numa = 0;
	assert_true(kf_offers_equal(&a, &b));
	b.offer[0].n = 1;
	assert_false(kf_offer_equal(&a.offer[0], &b.offer[0]));
	kf_offers_done(&a);
	kf_offers_done(&b);
}

static void refuses_names_that_do_not_fit(void **state)
{
	struct kf_offers o = {0};
	char name[200];

	memset(name, 'x', sizeof(name));
	name[KF_RESOURCE_NAME] = '\0';
	assert_null(kf_offers_need(&o, name));
	assert_null(kf_offers_need(&o, ""));
	name[KF_RESOURCE_NAME - 1] = '\0';
	assert_non_null(kf_offers_need(&o, name));
	memset(name, 'x', sizeof(name));
	name[KF_DEVICE_ID] = '\0';
	assert_int_equal(kf_offer_add(&o.offer[0], name, 1, 0), -1);
	name[KF_DEVICE_ID - 1] = '\0';
	assert_int_equal(kf_offer_add(&o.offer[0], name, 1, 0), 0);
	assert_int_equal(o.n, 1);
	kf_offers_done(&o);
}

static int make_answer(struct kf_answer *a)
{
	if (kf_answer_add_env(a, "A", "1") < 0 || kf_answer_add_env(a, "B", "2") < 0 ||
	    kf_answer_add_env(a, "A", "3") < 0 || kf_answer_add_annotation(a, "k", "v") < 0 ||
	    kf_answer_add_mount(a, "/in", "/out", 1) < 0 ||
	    kf_answer_add_device(a, "/dev/x", "/dev/y", "rw") < 0 ||
	    kf_answer_add_cdi(a, "nvidia.com/gpu=MIG-a") < 0)
		return -1;
	return 0;
}

static void an_answer_comes_back_from_its_bytes(void **state)
{
	struct kf_answer a = {0};
	struct kf_message bytes = {0};
	V1beta1__AllocateResponse *m;
	V1beta1__ContainerAllocateResponse *c;

	assert_int_equal(make_answer(&a), 0);
	assert_string_equal(kf_answer_env(&a, "A"), "3");
	assert_null(kf_answer_env(&a, "C"));
	assert_int_equal(kf_message_answers(&a, 1, &bytes), 0);
	m = v1beta1__allocate_response__unpack(NULL, bytes.n, bytes.bytes);
	assert_non_null(m);
	assert_int_equal(m->n_container_responses, 1);
	c = m->container_responses[0];
	assert_int_equal(c->n_envs, 2);
	assert_string_equal(c->envs[0]->value, "3");
	assert_string_equal(c->annotations[0]->key, "k");
	assert_string_equal(c->mounts[0]->container_path, "/in");
	assert_string_equal(c->mounts[0]->host_path, "/out");
	assert_true(c->mounts[0]->read_only);
	assert_string_equal(c->devices[0]->host_path, "/dev/y");
	assert_string_equal(c->devices[0]->permissions, "rw");
	assert_string_equal(c->cdi_devices[0]->name, "nvidia.com/gpu=MIG-a");
	v1beta1__allocate_response__free_unpacked(m, NULL);
	kf_message_done(&bytes);
	assert_int_equal(kf_answer_add_env(&a, "A", "\xff"), -1); /* Go refuses that */
	assert_string_equal(kf_answer_env(&a, "A"), "3");
	kf_answer_done(&a);
}

/* Byte for byte what the field table says (kubernetes.md 1.2): 1:{1:"a" 2:"Healthy" 3:{1:{1:1}}} */
static void a_list_has_the_bytes_of_the_protocol(void **state)
{
	static const uint8_t expected[] = "\x0a\x12\x0a\x01"
					  "a\x12\x07"
					  "Healthy\x1a\x04\x0a\x02\x08\x01"
					  "\x0a\x0e\x0a\x01"
					  "b\x12\x09"
					  "Unhealthy";
	struct kf_message bytes = {0};
	struct kf_offer o = {.resource = "r/x"};

	assert_int_equal(kf_offer_add(&o, "a", 1, 1), 0);
	assert_int_equal(kf_offer_add(&o, "b", 0, -1), 0);
	assert_int_equal(kf_message_list(&o, &bytes), 0);
	assert_int_equal(bytes.n, sizeof(expected) - 1);
	assert_memory_equal(bytes.bytes, expected, bytes.n);
	kf_message_done(&bytes);
	kf_offer_done(&o);
}

static void survives_each_failed_allocation(void **state)
{
	KF_FOR_EACH_OOM
	{
		struct kf_offers o = {0}, copy = {0};
		struct kf_answer a = {0};
		struct kf_message list = {0}, answer = {0};
		int r = make_offers(&o) < 0 || kf_offers_copy(&o, &copy) < 0 ||
			make_answer(&a) < 0 || kf_message_list(&o.offer[0], &list) < 0 ||
			kf_message_answers(&a, 1, &answer) < 0;

		assert_int_equal(r, kf_alloc_failed());
		kf_message_done(&list);
		kf_message_done(&answer);
		kf_answer_done(&a);
		kf_offers_done(&o);
		kf_offers_done(&copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_equal_until_something_differs),
		cmocka_unit_test(refuses_names_that_do_not_fit),
		cmocka_unit_test(an_answer_comes_back_from_its_bytes),
		cmocka_unit_test(a_list_has_the_bytes_of_the_protocol),
		cmocka_unit_test(survives_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
