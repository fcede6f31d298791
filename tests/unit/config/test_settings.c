/* Settings: who wins, what is refused, what users come with. */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "config/keys.h"
#include "config/plugin.h"
#include "config/settings.h"
#include "model/share.h"

#define ARGV(...) ((char *[]){(char *)"agent", __VA_ARGS__, NULL})

static int parse(char **argv, struct kf_settings **ret, struct kf_error *err)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return kf_settings_parse(argc, argv, ret, err);
}

/* The path of a file of the source tree. */
static const char *source(const char *file)
{
	static char path[4][512];
	static unsigned next;
	const char *root = getenv("KERF_SOURCE");

	assert_non_null(root);
	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", root, file);
	return path[next];
}

static struct kf_settings *from_text(const char *text)
{
	struct kf_settings *s = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_settings_new(&s, &err), 0);
	if (kf_plugin_config_parse(text, strlen(text), "f", s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static int clean_environment(void **state)
{
	unsigned i;

	for (i = 0; i < KF_N_SETTINGS; i++)
		unsetenv(kf_setting_at(i)->env);
	return 0;
}

static void has_defaults_for_everything(void **state)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	struct kf_error err = {0};

	assert_int_equal(parse((char *[]){(char *)"agent", NULL}, &s, &err), 0);
	assert_int_equal(s->mig_strategy, KF_MIG_NONE);
	assert_int_equal(s->fail_on_init_error, 1);
	assert_int_equal(s->device_list_strategy, 0);
	assert_int_equal(s->when_blocked, KF_BLOCKED_WAIT);
	assert_int_equal(s->cdi, KF_CDI_AUTO);
	assert_string_equal(s->kubelet_dir, "/var/lib/kubelet/device-plugins");
	assert_string_equal(s->node_name, "");
	assert_int_equal(s->from[KF_SET_mig_strategy], KF_FROM_DEFAULT);
}

static void command_line_beats_environment_beats_file(void **state)
{
	char file[] = "/tmp/kerf-settings-XXXXXX";
	static const char text[] = "flags: {migStrategy: single, nvidiaDriverRoot: /file}\n";
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	struct kf_error err = {0};
	int fd = mkstemp(file);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	setenv("MIG_STRATEGY", "mixed", 1);
	setenv("NVIDIA_DRIVER_ROOT", "", 1);
	setenv("NODE_NAME", "env", 1);
	if (parse(ARGV((char *)"--config-file", file, (char *)"--node-name=cli"), &s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s->mig_strategy, KF_MIG_MIXED);
	assert_int_equal(s->from[KF_SET_mig_strategy], KF_FROM_ENV);
	assert_string_equal(s->driver_root, "/file");
	assert_string_equal(s->node_name, "cli");
	unlink(file);
}

static void takes_flags_in_every_form(void **state)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	struct kf_error err = {0};

	if (parse(ARGV((char *)"--single-alias", (char *)"--fail-on-init-error=false",
		       (char *)"--driver-root", (char *)"/run/nvidia/driver",
		       (char *)"--device-list-strategy", (char *)"envvar,cdi-cri",
		       (char *)"--device-list-strategy=volume-mounts", (char *)"--kubeconfig="),
		  &s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s->single_alias, 1);
	assert_int_equal(s->fail_on_init_error, 0);
	assert_string_equal(s->driver_root, "/run/nvidia/driver");
	assert_int_equal(s->device_list_strategy,
			 KF_LIST_ENVVAR | KF_LIST_CDI_CRI | KF_LIST_VOLUME_MOUNTS);
	assert_int_equal(s->from[KF_SET_kubeconfig], KF_FROM_CLI);
}

static void refuses_what_it_does_not_know(void **state)
{
	static const struct {
		const char *flag, *fragment;
	} bad[] = {
		{"--mig-stratgy=none", "agent knows no flag --mig-stratgy; did you mean "
				       "--mig-strategy?"},
		{"--xyzzy", "agent knows no flag --xyzzy"},
		{"--", "agent knows no flag --"},
		{"-v", "agent takes no argument '-v', only flags"},
		{"word", "agent takes no argument 'word'"},
		{"--mig-strategy=both", "--mig-strategy: 'both' is none of none|single|mixed"},
		{"--mig-strategy=", "--mig-strategy: '' is none of"},
		{"--mig-strategy", "--mig-strategy wants a value"},
		{"--with-reboot=si", "--with-reboot: wants true or false, not 'si'"},
		{"--device-list-strategy=envvar,,cdi-cri", "'' is none of envvar|volume-mounts"},
		{"--config-file=/nowhere", "read /nowhere: No such file"},
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kf_settings *s = NULL;
		struct kf_error err = {0};

		assert_int_equal(parse(ARGV((char *)bad[i].flag), &s, &err), -1);
		assert_null(s);
		if (!strstr(err.msg, bad[i].fragment))
			fail_msg("'%s' does not say '%s'", err.msg, bad[i].fragment);
	}
}

static void names_the_variable_that_is_wrong(void **state)
{
	struct kf_settings *s = NULL;
	struct kf_error err = {0};

	setenv("WITH_REBOOT", "perhaps", 1);
	assert_int_equal(parse((char *[]){(char *)"agent", NULL}, &s, &err), -1);
	assert_null(s);
	assert_string_equal(err.msg,
			    "environment: WITH_REBOOT: wants true or false, not 'perhaps'");
}

static void reads_the_plugin_file_of_nvidia(void **state)
{
	kf_auto(kf_settings_freep) struct kf_settings *s =
		from_text("version: v1\n"
			  "flags:\n"
			  "  migStrategy: mixed\n"
			  "  failOnInitError: false\n"
			  "  nvidiaDriverRoot: /run/nvidia/driver\n"
			  "  gdsEnabled: false\n"
			  "  mofedEnabled: true\n"
			  "  plugin:\n"
			  "    passDeviceSpecs: false\n"
			  "    deviceListStrategy: [cdi-cri, cdi-annotations]\n"
			  "    deviceIDStrategy: index\n"
			  "  gfd: {oneshot: true, noTimestamp: true, sleepInterval: 90s}\n"
			  "sharing:\n  timeSlicing:\n    resources: [{name: nvidia.com/gpu, "
			  "replicas: 10}]\n");

	assert_int_equal(s->mig_strategy, KF_MIG_MIXED);
	assert_int_equal(s->fail_on_init_error, 0);
	assert_int_equal(s->device_list_strategy, KF_LIST_CDI_CRI | KF_LIST_CDI_ANNOTATIONS);
	assert_int_equal(s->device_id_strategy, KF_ID_INDEX);
	assert_string_equal(s->notes,
			    "f:7: flags.mofedEnabled: not served by this version, passed over\n"
			    "f:12: flags.gfd.oneshot: not served by this version, passed over\n");
	assert_int_equal(s->gfd_no_timestamp, 1);
	assert_string_equal(s->gfd_sleep_interval, "90s");
	assert_int_equal(s->sharing->n, 1);
	assert_string_equal(s->sharing->rule[0].name, "nvidia.com/gpu");
	assert_int_equal(s->sharing->rule[0].replicas, 10);
}

/* A DaemonSet of NVIDIA's plugin, as it is. */
static void notes_what_nvidias_plugin_has_besides(void **state)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	struct kf_error err = {0};

	setenv("NVIDIA_CTK_PATH", "/usr/bin/nvidia-ctk", 1);
	setenv("GDS_ENABLED", "false", 1);
	if (parse(ARGV((char *)"--gdrcopy-enabled", (char *)"--mps-root", (char *)"/run/nvidia/mps",
		       (char *)"--mofed-enabled=false", (char *)"--cdi-feature-flags="),
		  &s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(s->notes,
			    "--gdrcopy-enabled: not served by this version, passed over\n"
			    "--mps-root: not served by this version, passed over\n"
			    "environment: NVIDIA_CTK_PATH: not served by this version, passed "
			    "over\n");
	unsetenv("NVIDIA_CTK_PATH");
	unsetenv("GDS_ENABLED");
}

static void reads_the_article_to_the_letter(void **state)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_settings_new(&s, &err), 0);
	if (kf_plugin_config_load(source("tests/config/article/mig-strategy.yaml"), s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s->mig_strategy, KF_MIG_SINGLE);
	if (kf_plugin_config_load(source("tests/config/article/time-slicing-2.yaml"), s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s->mig_strategy, KF_MIG_NONE);
	assert_int_equal(s->sharing->rule[0].replicas, 10);
	assert_non_null(strstr(s->notes, "time-slicing-2.yaml:5: resources: nvidia.com/gpu has no "
					 "replicas: 10 of each device are offered"));
	if (kf_plugin_config_load(source("tests/config/article/time-slicing-1.yaml"), s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s->sharing->n, 1);
}

static void shows_every_setting_in_its_documentation(void **state)
{
	kf_auto(kf_text_done) struct kf_text table = {0}, help = {0};
	struct kf_error err = {0};
	kf_auto_mem char *doc = kf_read_file(source("docs/config.md"), 1u << 20, NULL, &err);

	kf_settings_markdown(&table);
	kf_settings_help(&help);
	if (!doc || !table.s || !strstr(doc, table.s))
		fail_msg("docs/config.md does not show this table:\n%s", table.s);
	assert_non_null(strstr(help.s, "  --mig-strategy none|single|mixed\n"));
	kf_text_done(&table);
	kf_keys_markdown(&table);
	if (!doc || !table.s || !strstr(doc, table.s))
		fail_msg("docs/config.md does not show this table:\n%s", table.s);
}

static void says_so_when_memory_runs_out(void **state)
{
	setenv("NODE_NAME", "n", 1);
	KF_FOR_EACH_OOM
	{
		struct kf_error err = {0};
		kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
		int r = parse(ARGV((char *)"--config-file",
				   (char *)source("tests/config/article/time-slicing-2.yaml")),
			      &s, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		assert_int_equal(err.code, kf_alloc_failed() ? KF_E_NOMEM : KF_E_NONE);
	}
}

static void follows_the_socket_that_nvidias_flag_names(void **state)
{
	kf_auto(kf_settings_freep) struct kf_settings *one = NULL, *both = NULL, *bad = NULL;
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(parse(ARGV((char *)"--kubelet-socket", (char *)"/k/dp/kubelet.sock"), &one,
			       &err),
			 0);
	assert_string_equal(one->kubelet_dir, "/k/dp");
	assert_int_equal(parse(ARGV((char *)"--kubelet-socket=/k/dp/kubelet.sock",
				    (char *)"--kubelet-dir=/mine"),
			       &both, &err),
			 0);
	assert_string_equal(both->kubelet_dir, "/mine");
	assert_int_equal(parse(ARGV((char *)"--kubelet-socket", (char *)"/k/dp/other.sock"), &bad,
			       &err),
			 -1);
	assert_non_null(strstr(err.msg, "/kubelet.sock is expected"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, clean_environment)
	const struct CMUnitTest tests[] = {
		T(has_defaults_for_everything),
		T(command_line_beats_environment_beats_file),
		T(takes_flags_in_every_form),
		T(refuses_what_it_does_not_know),
		T(names_the_variable_that_is_wrong),
		T(reads_the_plugin_file_of_nvidia),
		T(notes_what_nvidias_plugin_has_besides),
		T(reads_the_article_to_the_letter),
		T(shows_every_setting_in_its_documentation),
		T(follows_the_socket_that_nvidias_flag_names),
		T(says_so_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
