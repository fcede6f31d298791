/* NVIDIA's daemons, its toolkit and the container runtime, by the files of a host. */
#include <stdio.h>
#include <string.h>

#include "../cdi/fixture.h"
#include "cdi/runtime.h"
#include "doctor/doctor.h"

#define TOOLKIT "/etc/nvidia-container-runtime/config.toml"
#define KEY	"accept-nvidia-visible-devices-envvar-when-unprivileged"

static struct kf_checkup c;

static enum kf_verdict verdict_of(const char *part)
{
	unsigned i;

	for (i = 0; i < c.n; i++)
		if (strstr(c.check[i].what, part))
			return c.check[i].verdict;
	fail_msg("no check says '%s'", part);
	return KF_VERDICT_OK;
}

static void process(struct fixture *f, unsigned pid, const char *argv0)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
	put(f, path, argv0, strlen(argv0) + 1);
}

static void finds_nvidias_daemons_by_their_program(void **state)
{
	struct fixture *f = *state;

	process(f, 1, "/sbin/init");
	process(f, 40, "nvidia-device-plugin");
	process(f, 41, "nvidia-device-plugin");
	process(f, 50, "/usr/bin/dcgm-exporter");
	process(f, 60, "not-nvidia-mig-manager");
	kf_doctor_daemons(&c, f->root);
	assert_int_equal(c.n, 2);
	assert_int_equal(verdict_of("nvidia-device-plugin is running"), KF_VERDICT_PROBLEM);
	assert_int_equal(verdict_of("dcgm-exporter is running (pid 50)"), KF_VERDICT_WARNING);
	assert_true(c.check[0].todo[0] && c.check[1].todo[0]);
}

static void says_how_many_processes_it_saw(void **state)
{
	struct fixture *f = *state;

	kf_doctor_daemons(&c, f->root);
	assert_int_equal(verdict_of("no processes"), KF_VERDICT_OK);
	process(f, 7, "kubelet");
	process(f, 8, ""); /* a kernel thread */
	c.n = 0;
	kf_doctor_daemons(&c, f->root);
	assert_int_equal(verdict_of("among the 2 processes"), KF_VERDICT_OK);
}

static enum kf_verdict toolkit(struct fixture *f)
{
	c.n = 0;
	kf_doctor_toolkit(&c, f->root);
	assert_int_equal(c.n, 1);
	return c.check[0].verdict;
}

static void is_content_without_the_toolkit(void **state)
{
	assert_int_equal(toolkit(*state), KF_VERDICT_OK);
}

static void warns_of_the_toolkits_default(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/usr/bin/nvidia-container-runtime", "");
	assert_int_equal(toolkit(f), KF_VERDICT_WARNING);
	put_text(f, TOOLKIT, "#" KEY " = false\n[nvidia-container-cli]\n" KEY " = false\n");
	assert_int_equal(toolkit(f), KF_VERDICT_WARNING);
	assert_non_null(strstr(c.check[0].todo, KEY " = false in " TOOLKIT));
	put_text(f, TOOLKIT, KEY "-not = false\n" KEY " = true\n");
	assert_int_equal(toolkit(f), KF_VERDICT_WARNING);
}

static void is_content_when_the_door_is_closed(void **state)
{
	struct fixture *f = *state;

	put_text(f, TOOLKIT, "disable-require = false\n" KEY "=false # closed\n[x]\n");
	assert_int_equal(toolkit(f), KF_VERDICT_OK);
	put_text(f, "/usr/local/nvidia/toolkit/.config/nvidia-container-runtime/config.toml",
		 "\"" KEY "\" = true\n");
	assert_int_equal(toolkit(f), KF_VERDICT_WARNING);
}

static enum kf_verdict runtime(enum kf_cdi_support cdi, enum kf_doctor_cdi names)
{
	struct kf_runtime r = {.cdi = cdi, .reason = "a file says so"};

	c.n = 0;
	kf_doctor_runtime(&c, &r, names);
	assert_int_equal(c.n, 1);
	return c.check[0].verdict;
}

static void takes_a_runtime_without_cdi_for_a_problem_only_where_names_are_wanted(void **state)
{
	assert_int_equal(runtime(KF_CDI_ON, KF_DOCTOR_CDI_ALWAYS), KF_VERDICT_OK);
	assert_int_equal(runtime(KF_CDI_OFF, KF_DOCTOR_CDI_ALWAYS), KF_VERDICT_PROBLEM);
	assert_int_equal(runtime(KF_CDI_OFF, KF_DOCTOR_CDI_AUTO), KF_VERDICT_WARNING);
	assert_int_equal(runtime(KF_CDI_OFF, KF_DOCTOR_CDI_NEVER), KF_VERDICT_OK);
	assert_int_equal(runtime(KF_CDI_UNKNOWN, KF_DOCTOR_CDI_AUTO), KF_VERDICT_WARNING);
}

static void keeps_a_list_that_is_full_within_its_bounds(void **state)
{
	unsigned i;

	for (i = 0; i < KF_CHECKS_MAX + 5; i++)
		kf_checkup_add(&c, KF_VERDICT_OK, "n", "number %u", i);
	assert_int_equal(c.n, KF_CHECKS_MAX);
	assert_string_equal(c.check[KF_CHECKS_MAX - 1].what, "number 68");
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
		WITH(finds_nvidias_daemons_by_their_program),
		WITH(says_how_many_processes_it_saw),
		WITH(is_content_without_the_toolkit),
		WITH(warns_of_the_toolkits_default),
		WITH(is_content_when_the_door_is_closed),
		WITH(takes_a_runtime_without_cdi_for_a_problem_only_where_names_are_wanted),
		WITH(keeps_a_list_that_is_full_within_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
