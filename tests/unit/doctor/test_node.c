/* Driver, device nodes, rights, directories and sockets, by the files of a host. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../cdi/fixture.h"
#include "base/error.h"
#include "base/text.h"
#include "doctor/doctor.h"

#define NVRM "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  "

static struct kf_checkup c;

static const struct kf_check *only(void)
{
	assert_int_equal(c.n, 1);
	return &c.check[0];
}

static void expect(enum kf_verdict verdict, const char *part)
{
	assert_int_equal(only()->verdict, verdict);
	if (!strstr(only()->what, part))
		fail_msg("'%s' is not in '%s'", part, only()->what);
	if (verdict != KF_VERDICT_OK)
		assert_true(only()->todo[0]);
	c.n = 0;
}

static void tells_the_version_of_the_kernel_module(void **state)
{
	struct fixture *f = *state;
	struct kf_doctor_driver_view v = {.root = f->root};

	kf_doctor_module(&c, &v);
	expect(KF_VERDICT_PROBLEM, "not loaded");
	put_text(f, "/proc/driver/nvidia/version", NVRM "580.159.04  Release Build\nGCC 12.2.0\n");
	kf_doctor_module(&c, &v);
	expect(KF_VERDICT_OK, "nvidia 580.159.04 is loaded");
	put_text(f, "/proc/driver/nvidia/version", "something else\n");
	kf_doctor_module(&c, &v);
	expect(KF_VERDICT_OK, "unknown version");
}

static void says_to_reload_a_module_of_another_release(void **state)
{
	struct kf_error err = {.code = KF_E_DRIVER, .detail = 18, .msg = "start the library: 18"};
	struct kf_doctor_driver_view v = {.state = KF_DOCTOR_DRIVER_FAILED, .err = &err};

	kf_doctor_library(&c, &v);
	assert_non_null(strstr(only()->todo, "reboot"));
	expect(KF_VERDICT_PROBLEM, "start the library: 18");
}

static void warns_of_a_driver_without_gpus(void **state)
{
	struct kf_node node = {.driver_version = DRIVER};
	struct kf_doctor_driver_view v = {.library = "/l", .node = &node};

	kf_doctor_library(&c, &v);
	expect(KF_VERDICT_WARNING, "sees 0 GPUs");
}

static void names_a_gpu_that_is_lost(void **state)
{
	struct fixture *f = *state;

	kf_doctor_gpus(&c, &f->node);
	expect(KF_VERDICT_OK, "every GPU answers");
	f->gpu[1].state = KF_GPU_LOST;
	kf_doctor_gpus(&c, &f->node);
	expect(KF_VERDICT_WARNING, "gpu 1");
}

static void names_the_device_node_that_is_missing(void **state)
{
	struct fixture *f = *state;
	char path[128];

	put_devices(f);
	kf_doctor_nodes(&c, f->root, &f->node);
	assert_int_equal(c.n, 2);
	assert_int_equal(kf_checkup_count(&c, KF_VERDICT_OK), 2);
	snprintf(path, sizeof(path), "%s/dev/nvidia-uvm", f->root);
	unlink(path);
	snprintf(path, sizeof(path), "%s/dev/nvidia-caps/nvidia-cap67", f->root);
	unlink(path);
	put_text(f, "/dev/nvidia-uvm", "a file\n");
	c.n = 0;
	kf_doctor_nodes(&c, f->root, &f->node);
	assert_int_equal(kf_checkup_count(&c, KF_VERDICT_PROBLEM), 2);
	assert_non_null(strstr(c.check[0].what, "/dev/nvidia-uvm (is no device)"));
	assert_non_null(strstr(c.check[1].what, "gpu 0, instance 7/0"));
}

static void does_not_ask_for_the_node_of_a_lost_gpu(void **state)
{
	struct fixture *f = *state;
	char path[128];

	put_devices(f);
	f->gpu[1].state = KF_GPU_LOST;
	snprintf(path, sizeof(path), "%s/dev/nvidia1", f->root);
	unlink(path);
	kf_doctor_nodes(&c, f->root, &f->node);
	assert_int_equal(kf_checkup_count(&c, KF_VERDICT_OK), 2);
}

static void asks_for_sys_admin_where_there_is_mig(void **state)
{
	const uint64_t admin = 1u << 21;
	struct fixture *f = *state;

	kf_doctor_rights(&c, 0, admin, &f->node, 0);
	expect(KF_VERDICT_OK, "CAP_SYS_ADMIN");
	kf_doctor_rights(&c, 0, ~admin, &f->node, 0);
	expect(KF_VERDICT_OK, "not needed");
	f->gpu[1].mig_capable = 1;
	kf_doctor_rights(&c, 0, ~admin, &f->node, 0);
	expect(KF_VERDICT_PROBLEM, "without CAP_SYS_ADMIN");
	kf_doctor_rights(&c, 1000, admin, &f->node, 0);
	expect(KF_VERDICT_PROBLEM, "user 1000");
	kf_doctor_rights(&c, 1000, 0, &f->node, 1);
	expect(KF_VERDICT_OK, "simulated");
}

static void tells_whether_a_directory_can_be_written_or_made(void **state)
{
	struct fixture *f = *state;
	char dir[128];

	kf_doctor_writable(&c, "state-dir", f->root);
	expect(KF_VERDICT_OK, "can be written");
	snprintf(dir, sizeof(dir), "%s/a/b/c", f->root);
	kf_doctor_writable(&c, "state-dir", dir);
	expect(KF_VERDICT_OK, "can be made");
	put_text(f, "/a", "a file where a directory should be\n");
	kf_doctor_writable(&c, "state-dir", dir);
	assert_non_null(strstr(only()->todo, "--state-dir"));
	expect(KF_VERDICT_PROBLEM, "Not a directory");
}

static int listen_at(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void tells_a_kubelet_from_the_socket_it_left(void **state)
{
	struct fixture *f = *state;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/kubelet.sock", f->root);
	kf_doctor_kubelet(&c, path);
	expect(KF_VERDICT_PROBLEM, "No such file");
	fd = listen_at(path);
	kf_doctor_kubelet(&c, path);
	expect(KF_VERDICT_OK, "listens");
	close(fd);
	kf_doctor_kubelet(&c, path);
	expect(KF_VERDICT_PROBLEM, "nobody listens");
	unlink(path);
	put_text(f, "/kubelet.sock", "no socket\n");
	kf_doctor_kubelet(&c, path);
	expect(KF_VERDICT_PROBLEM, "socket");
}

static void tells_another_plugin_from_what_it_left(void **state)
{
	struct fixture *f = *state;
	char path[128];
	int fd, ours;

	kf_doctor_plugins(&c, f->root);
	expect(KF_VERDICT_OK, "no other plugin");
	snprintf(path, sizeof(path), "%s/kerf-0-gpu.sock", f->root);
	ours = listen_at(path);
	snprintf(path, sizeof(path), "%s/nvidia-gpu.sock", f->root);
	fd = listen_at(path);
	kf_doctor_plugins(&c, f->root);
	expect(KF_VERDICT_PROBLEM, "serves nvidia-gpu.sock");
	close(fd);
	close(ours);
	kf_doctor_plugins(&c, f->root);
	expect(KF_VERDICT_WARNING, "nvidia-gpu.sock");
}

static int setup(void **state)
{
	memset(&c, 0, sizeof(c));
	return fixture_setup(state);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(tells_the_version_of_the_kernel_module),
		WITH(says_to_reload_a_module_of_another_release),
		WITH(warns_of_a_driver_without_gpus),
		WITH(names_a_gpu_that_is_lost),
		WITH(names_the_device_node_that_is_missing),
		WITH(does_not_ask_for_the_node_of_a_lost_gpu),
		WITH(asks_for_sys_admin_where_there_is_mig),
		WITH(tells_whether_a_directory_can_be_written_or_made),
		WITH(tells_a_kubelet_from_the_socket_it_left),
		WITH(tells_another_plugin_from_what_it_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
