/* Nodes and Pods out of JSON that anybody may have written. */
#include "kftest.h"

#include <string.h>

#include "base/error.h"
#include "kube/codec.h"
#include "kube/evict.h"

static void reads_a_node(void **state)
{
	json_auto_t *json = json_loads(
		"{\"metadata\":{\"name\":\"n1\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"labels\":"
		"{"
		"\"nvidia.com/mig.config\":\"all-1g.5gb\",\"odd\":5},\"annotations\":{\"kerf.dev/"
		"x\":\"y\"}}}",
		0, NULL);
	kf_auto(kf_kube_node_freep) struct kf_kube_node *n = NULL;

	assert_int_equal(kf_kube_node_read(json, &n, NULL), 0);
	assert_string_equal(n->name, "n1");
	assert_string_equal(n->uid, "u");
	assert_string_equal(n->version, "7");
	assert_string_equal(kf_kube_node_label(n, "nvidia.com/mig.config"), "all-1g.5gb");
	assert_null(kf_kube_node_label(n, "odd"));
	assert_null(kf_kube_node_label(n, "kerf.dev/x"));
	assert_string_equal(kf_kube_node_annotation(n, "kerf.dev/x"), "y");
	assert_int_equal(n->n_labels, 1);
}

static void refuses_a_node_without_a_name(void **state)
{
	static const char *const texts[] = {"{}", "[]", "{\"metadata\":5}",
					    "{\"metadata\":{\"name\":\"\"}}",
					    "{\"metadata\":{\"name\":[\"n\"]}}"};
	unsigned i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_auto_t *json = json_loads(texts[i], 0, NULL);
		struct kf_kube_node *n = NULL;
		struct kf_error err = {0};

		assert_int_equal(kf_kube_node_read(json, &n, &err), -1);
		assert_int_equal(err.code, KF_E_PROTOCOL);
		assert_null(n);
	}
}

static struct kf_kube_pod *pod(const char *text)
{
	json_auto_t *json = json_loads(text, 0, NULL);
	struct kf_kube_pod *p = NULL;

	assert_non_null(json);
	assert_int_equal(kf_kube_pod_read(json, &p, NULL), 0);
	return p;
}

static void reads_a_pod_and_who_controls_it(void **state)
{
	kf_auto(kf_kube_pod_freep) struct kf_kube_pod *p =
		pod("{\"metadata\":{\"namespace\":\"d\",\"name\":\"p\",\"uid\":\"u\","
		    "\"ownerReferences\":[{\"kind\":\"Other\"},{\"kind\":\"DaemonSet\","
		    "\"controller\":true}]},\"spec\":{\"nodeName\":\"n\"},\"status\":{\"phase\":"
		    "\"Running\"}}");

	assert_string_equal(p->namespace, "d");
	assert_string_equal(p->node, "n");
	assert_string_equal(p->phase, "Running");
	assert_string_equal(p->owner, "DaemonSet");
	assert_int_equal(p->deleting, 0);
	assert_int_equal(p->mirror, 0);
}

static void says_which_pods_are_not_to_be_evicted(void **state)
{
	static const struct {
		const char *text;
		enum kf_evict_skip skip;
	} cases[] = {
		{"{\"metadata\":{\"namespace\":\"d\",\"name\":\"p\"}}", KF_EVICT_CAN},
		{"{\"metadata\":{\"namespace\":\"d\",\"name\":\"p\",\"annotations\":{"
		 "\"kubernetes.io/config.mirror\":\"x\"}}}",
		 KF_EVICT_MIRROR},
		{"{\"metadata\":{\"namespace\":\"d\",\"name\":\"p\",\"ownerReferences\":[{\"kind\":"
		 "\"DaemonSet\",\"controller\":true}]}}",
		 KF_EVICT_DAEMONSET},
		{"{\"metadata\":{\"namespace\":\"d\",\"name\":\"p\"},\"status\":{\"phase\":"
		 "\"Succeeded\"}}",
		 KF_EVICT_FINISHED},
		{"{\"metadata\":{\"namespace\":\"d\",\"name\":\"p\",\"deletionTimestamp\":"
		 "\"2026-01-01T00:00:00Z\"}}",
		 KF_EVICT_LEAVING},
	};
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		kf_auto(kf_kube_pod_freep) struct kf_kube_pod *p = pod(cases[i].text);

		assert_int_equal(kf_evict_skip(p), cases[i].skip);
		assert_int_equal(*kf_evict_skip_text(cases[i].skip) != '\0',
				 cases[i].skip != KF_EVICT_CAN);
	}
}

static void leaves_nothing_behind_when_one_pod_of_a_list_is_broken(void **state)
{
	static const char text[] =
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"metadata\":{\"namespace\":"
		"\"d\",\"name\":\"p\"}},{\"metadata\":{}}]}";
	struct kf_kube_pod **pods = NULL;
	struct kf_error err = {0};
	unsigned n = 0;

	assert_int_equal(kf_kube_pods_read(text, strlen(text), &pods, &n, &err), -1);
	assert_non_null(strstr(err.msg, "without a name"));
	assert_null(pods);
}

static void survives_any_allocation_that_fails(void **state)
{
	static const char text[] =
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"metadata\":{\"namespace\":"
		"\"d\",\"name\":\"p\"}},{\"metadata\":{\"namespace\":\"d\",\"name\":\"q\"}}]}";
	json_auto_t *node = json_loads(
		"{\"metadata\":{\"name\":\"n\",\"labels\":{\"a\":\"b\",\"c\":\"d\"}}}", 0, NULL);

	KF_FOR_EACH_OOM
	{
		struct kf_kube_pod **pods = NULL;
		struct kf_kube_node *n = NULL;
		struct kf_error err = {0};
		unsigned n_pods = 0;

		if (kf_kube_pods_read(text, strlen(text), &pods, &n_pods, &err) == 0)
			assert_int_equal(n_pods, 2);
		else
			assert_int_equal(err.code, KF_E_NOMEM);
		kf_kube_pods_free(pods, n_pods);
		if (kf_kube_node_read(node, &n, &err) < 0)
			assert_int_equal(err.code, KF_E_NOMEM);
		kf_kube_node_free(n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_node),
		cmocka_unit_test(refuses_a_node_without_a_name),
		cmocka_unit_test(reads_a_pod_and_who_controls_it),
		cmocka_unit_test(says_which_pods_are_not_to_be_evicted),
		cmocka_unit_test(leaves_nothing_behind_when_one_pod_of_a_list_is_broken),
		cmocka_unit_test(survives_any_allocation_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
