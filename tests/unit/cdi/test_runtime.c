/* Whether the container runtime acts on CDI names, by the files of a host. */
#include <string.h>

#include "cdi/runtime.h"
#include "fixture.h"

static enum kf_cdi_support judge(struct fixture *f)
{
	struct kf_runtime r;

	kf_runtime_read(f->root, &r);
	assert_true(strlen(r.reason) > 0);
	return r.cdi;
}

static void does_not_know_without_a_runtime(void **state)
{
	assert_int_equal(judge(*state), KF_CDI_UNKNOWN);
}

static void believes_enable_cdi(void **state)
{
	struct fixture *f = *state;
	struct kf_runtime r;

	put_text(f, "/etc/containerd/config.toml",
		 "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  enable_cdi = true\n");
	assert_int_equal(judge(f), KF_CDI_ON);
	put_text(f, "/etc/containerd/config.toml",
		 "version = 3\n[plugins.'io.containerd.cri.v1.runtime']\n\tenable_cdi=false # "
		 "off\n");
	assert_int_equal(judge(f), KF_CDI_OFF);
	kf_runtime_read(f->root, &r);
	assert_non_null(strstr(r.reason, "/etc/containerd/config.toml"));
}

static void ignores_what_is_commented_out(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/etc/containerd/config.toml", "version = 3\n  # enable_cdi = false\n");
	assert_int_equal(judge(f), KF_CDI_ON);
}

static void lets_a_drop_in_have_the_last_word(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/etc/containerd/config.toml", "version = 2\nenable_cdi = false\n");
	put_text(f, "/etc/containerd/conf.d/99-nvidia.toml", "version = 2\nenable_cdi = true\n");
	assert_int_equal(judge(f), KF_CDI_ON);
}

static void takes_the_default_of_the_major_version(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/etc/containerd/config.toml", "version = 2\n");
	assert_int_equal(judge(f), KF_CDI_UNKNOWN);
	put_text(f, "/usr/bin/containerd", "ELF github.com/containerd/containerd/cmd/containerd");
	assert_int_equal(judge(f), KF_CDI_OFF);
	put_text(f, "/usr/bin/containerd",
		 "ELF github.com/containerd/containerd/v2/cmd/containerd");
	assert_int_equal(judge(f), KF_CDI_ON);
}

static void finds_the_version_across_reads(void **state)
{
	enum { AT = (1 << 18) - 20, SIZE = 1 << 19 };
	static char binary[SIZE];
	struct fixture *f = *state;

	strcpy(binary + AT, "github.com/containerd/containerd/v2");
	put(f, "/usr/local/bin/containerd", binary, SIZE);
	assert_int_equal(judge(f), KF_CDI_ON);
	binary[AT + 34] = '1';
	put(f, "/usr/local/bin/containerd", binary, SIZE);
	assert_int_equal(judge(f), KF_CDI_OFF);
}

static void knows_that_crio_has_it_on(void **state)
{
	struct fixture *f = *state;

	put_text(f, "/run/crio/crio.sock", "");
	assert_int_equal(judge(f), KF_CDI_ON);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(does_not_know_without_a_runtime),
		WITH_ROOT(believes_enable_cdi),
		WITH_ROOT(ignores_what_is_commented_out),
		WITH_ROOT(lets_a_drop_in_have_the_last_word),
		WITH_ROOT(takes_the_default_of_the_major_version),
		WITH_ROOT(finds_the_version_across_reads),
		WITH_ROOT(knows_that_crio_has_it_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
