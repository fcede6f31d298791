/* The kubelet's checkpoint: what is read, and what is refused with its place. */
#include "kftest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "kubelet/checkpoint.h"

static const char whole[] =
	"{\"Data\":{\"PodDeviceEntries\":["
	"{\"PodUID\":\"u1\",\"ContainerName\":\"c1\",\"ResourceName\":\"nvidia.com/gpu\","
	"\"DeviceIDs\":{\"0\":[\"A\",\"B\"],\"-1\":[\"C\"]},\"AllocResp\":\"CgA=\"},"
	"{\"PodUID\":\"u2\",\"ContainerName\":\"c2\",\"ResourceName\":\"r/x\","
	"\"DeviceIDs\":[\"D\"],\"Later\":{\"x\":[1]}},"
	"{\"PodUID\":\"u3\",\"ContainerName\":\"c3\",\"ResourceName\":\"r/x\","
	"\"DeviceIDs\":null}],"
	"\"RegisteredDevices\":{\"nvidia.com/gpu\":[\"A\",\"B\",\"C\"],\"r/x\":null}},"
	"\"Checksum\":18446744073709551615,\"BootID\":\"b\"}";

static void reads_both_forms_of_device_ids(void **state)
{
	struct kf_checkpoint c = {0};
	struct kf_error err = {0};

	if (kf_checkpoint_parse(whole, strlen(whole), &c, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(c.n, 4);
	assert_string_equal(c.row[0].id, "A");
	assert_string_equal(c.row[2].id, "C");
	assert_string_equal(c.row[2].pod_uid, "u1");
	assert_string_equal(c.row[2].container, "c1");
	assert_string_equal(c.row[2].resource, "nvidia.com/gpu");
	assert_string_equal(c.row[3].id, "D");
	assert_string_equal(c.row[3].pod_uid, "u2");
	kf_checkpoint_done(&c);
}

static void a_node_without_pods_has_no_entries(void **state)
{
	static const char text[] = "{\"Data\":{\"PodDeviceEntries\":null,\"RegisteredDevices\":{}},"
				   "\"Checksum\":1}";
	struct kf_checkpoint c = {0};

	assert_int_equal(kf_checkpoint_parse(text, strlen(text), &c, NULL), 0);
	assert_int_equal(c.n, 0);
	kf_checkpoint_done(&c);
	assert_int_equal(kf_checkpoint_read("/nowhere/at/all", &c, NULL), 0);
	assert_int_equal(c.n, 0);
	kf_checkpoint_done(&c);
}

static void expect_refused(const char *text, const char *reason)
{
	struct kf_checkpoint c = {0};
	struct kf_error err = {0};

	assert_int_equal(kf_checkpoint_parse(text, strlen(text), &c, &err), -1);
	assert_int_equal(err.code, KF_E_INPUT);
	if (!strstr(err.msg, reason))
		fail_msg("'%s' does not say '%s'", err.msg, reason);
}

#define ENTRY(fields) "{\"Data\":{\"PodDeviceEntries\":[{" fields "}]}}"

static void refuses_nonsense_and_says_where(void **state)
{
	expect_refused("", "line 1");
	expect_refused("{\n\"Data\": nonsense", "line 2");
	expect_refused("[]", "no object Data");
	expect_refused("{}", "no object Data");
	expect_refused("{\"Data\":{\"PodDeviceEntries\":{}}}", "PodDeviceEntries is no list");
	expect_refused("{\"Data\":{\"PodDeviceEntries\":[1]}}", "PodDeviceEntries[0] is no object");
	expect_refused(ENTRY("\"PodUID\":1"), "[0].PodUID is no string");
	expect_refused(ENTRY("\"PodUID\":\"u\",\"ContainerName\":\"c\",\"ResourceName\":\"r\","
			     "\"DeviceIDs\":\"x\""),
		       "DeviceIDs holds no list");
	expect_refused(ENTRY("\"PodUID\":\"u\",\"ContainerName\":\"c\",\"ResourceName\":\"r\","
			     "\"DeviceIDs\":{\"0\":[\"a\",7]}"),
		       "id 1 is no string");
}

static void names_the_file(void **state)
{
	char path[] = "/tmp/kf-checkpoint-XXXXXX";
	struct kf_checkpoint c = {0};
	struct kf_error err = {0};

	assert_true(mkstemp(path) >= 0);
	assert_int_equal(kf_write_file(path, "{}", 2, 0600, 0, NULL), 0);
	assert_int_equal(kf_checkpoint_read(path, &c, &err), -1);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(kf_write_file(path, whole, strlen(whole), 0600, 0, NULL), 0);
	assert_int_equal(kf_checkpoint_read(path, &c, &err), 0);
	assert_int_equal(c.n, 4);
	kf_checkpoint_done(&c);
	unlink(path);
}

static void says_so_when_memory_runs_out(void **state)
{
	KF_FOR_EACH_OOM
	{
		struct kf_checkpoint c = {0};
		struct kf_error err = {0};
		int r = kf_checkpoint_parse(whole, strlen(whole), &c, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		assert_int_equal(err.code, kf_alloc_failed() ? KF_E_NOMEM : KF_E_NONE);
		kf_checkpoint_done(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_both_forms_of_device_ids),
		cmocka_unit_test(a_node_without_pods_has_no_entries),
		cmocka_unit_test(refuses_nonsense_and_says_where),
		cmocka_unit_test(names_the_file),
		cmocka_unit_test(says_so_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
