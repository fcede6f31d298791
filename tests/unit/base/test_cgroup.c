/* Pods and containers by the text of /proc/PID/cgroup, as runtimes and drivers write it. */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/text.h"

#define UID "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
#define LOW "0a1b2c3d_4e5f_6789_abcd_ef0123456789"
#define ID  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void names(const char *text, const char *container)
{
	struct kf_cgroup g;

	assert_int_equal(kf_cgroup_parse(text, &g), 1);
	assert_string_equal(g.pod_uid, UID);
	assert_string_equal(g.container, container);
}

static void reads_v2_with_systemd_under_containerd_and_crio(void **state)
{
	names("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" LOW
	      ".slice/cri-containerd-" ID ".scope\n",
	      ID);
	names("0::/kubepods.slice/kubepods-pod" LOW ".slice/crio-" ID ".scope/container\n", ID);
	names("0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" LOW
	      ".slice/cri-containerd-" ID ".scope",
	      ID);
}

static void reads_v2_with_cgroupfs(void **state)
{
	names("0::/kubepods/besteffort/pod" UID "/" ID "\n", ID);
	names("0::/kubepods/pod" UID "/crio-" ID "\n", ID);
}

static void reads_v1_from_any_of_its_lines(void **state)
{
	names("12:pids:/system.slice/containerd.service\n"
	      "4:memory:/kubepods/burstable/pod" UID "/" ID "\n"
	      "1:name=systemd:/kubepods/burstable/pod" UID "/" ID "\n",
	      ID);
	names("4:cpu,cpuacct:/kubepods.slice/kubepods-pod" LOW ".slice:cri-containerd:" ID "\n",
	      "");
}

static void reads_a_path_seen_from_another_namespace(void **state)
{
	names("0::/../../kubepods-besteffort-pod" LOW ".slice/cri-containerd-" ID ".scope\n", ID);
	names("0::/../pod" UID "/" ID, ID);
}

static void the_outermost_pod_counts(void **state)
{
	names("0::/kubepods/pod" UID "/" ID "/kubepods/podffffffff-ffff-ffff-ffff-ffffffffffff/x\n",
	      ID);
}

static void a_static_pods_hash_is_its_uid(void **state)
{
	struct kf_cgroup g;

	assert_int_equal(kf_cgroup_parse("0::/kubepods/burstable/"
					 "pod0123456789abcdef0123456789abcdef/" ID,
					 &g),
			 1);
	assert_string_equal(g.pod_uid, "0123456789abcdef0123456789abcdef");
}

static void what_is_no_pod_is_none(void **state)
{
	static const char *const none[] = {
		"",
		"0::/\n",
		"0::/user.slice/user-0.slice/session-1.scope\n",
		("0::/kubepods/pod" UID "0/x\n"), /* too long */
		"0::/kubepods/pod0a1b2c3d-4e5f-6789-abcd/x\n",
		("0::/kubepods/apod" UID "/x\n"),
		"0::/pod",
		("pod" UID),
	};
	struct kf_cgroup g;
	unsigned i;

	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (kf_cgroup_parse(none[i], &g))
			fail_msg("'%s' is of pod %s", none[i], g.pod_uid);
}

static void reads_that_of_a_process_below_a_root(void **state)
{
	static const char text[] = "0::/kubepods/pod" UID "/" ID "\n";
	char root[] = "/tmp/kf-cgroup-XXXXXX", path[64];
	struct kf_cgroup g;

	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/proc/4294967295", root);
	assert_int_equal(kf_make_dirs(path, 0755, NULL), 0);
	snprintf(path, sizeof(path), "%s/proc/4294967295/cgroup", root);
	assert_int_equal(kf_write_file(path, text, sizeof(text) - 1, 0644, 0, NULL), 0);
	assert_int_equal(kf_cgroup_of(root, 4294967295u, &g), 1);
	assert_string_equal(g.pod_uid, UID);
	assert_int_equal(kf_cgroup_of(root, 4294967294u, &g), 0);
	unlink(path);
}

static void is_this_machines_own_where_the_root_has_none(void **state)
{
	struct kf_cgroup g;

	/* whatever it is, it is read and is no failure */
	kf_cgroup_of("/nonexistent", (unsigned)getpid(), &g);
	assert_int_equal(kf_cgroup_of("/nonexistent", 4294967295u, &g), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_v2_with_systemd_under_containerd_and_crio),
		cmocka_unit_test(reads_v2_with_cgroupfs),
		cmocka_unit_test(reads_v1_from_any_of_its_lines),
		cmocka_unit_test(reads_a_path_seen_from_another_namespace),
		cmocka_unit_test(the_outermost_pod_counts),
		cmocka_unit_test(a_static_pods_hash_is_its_uid),
		cmocka_unit_test(what_is_no_pod_is_none),
		cmocka_unit_test(reads_that_of_a_process_below_a_root),
		cmocka_unit_test(is_this_machines_own_where_the_root_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
