/* The node without the agent; see local.h. */
#include "cli/local.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/holdings.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "config/yaml.h"
#include "nvml/nvml.h"
#include "nvml/read.h"

enum { OPT_ROOT = 256, OPT_STATE, OPT_KUBELET, OPT_CDI, OPT_STRATEGY };

static const struct option options[] = {
	{"config-file", required_argument, NULL, 'f'},
	{"selected-config", required_argument, NULL, 'c'},
	{"output", required_argument, NULL, 'o'},
	{"label", required_argument, NULL, 'l'},
	{"mode-only", no_argument, NULL, 'm'},
	{"valid-config", no_argument, NULL, 'a'},
	{"root", required_argument, NULL, OPT_ROOT},
	{"state-dir", required_argument, NULL, OPT_STATE},
	{"kubelet-dir", required_argument, NULL, OPT_KUBELET},
	{"cdi-dir", required_argument, NULL, OPT_CDI},
	{"mig-strategy", required_argument, NULL, OPT_STRATEGY},
	{NULL, 0, NULL, 0},
};

static int set(struct kf_local *l, enum kf_setting_index i, const char *value)
{
	struct kf_error err = {0};

	if (kf_settings_set(l->set, i, value, KF_FROM_CLI, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	return KF_EXIT_OK;
}

static int take_option(struct kf_local *l, int c)
{
	switch (c) {
	case 'f':
		return set(l, KF_SET_mig_config, optarg);
	case 'c':
		l->config = optarg;
		return KF_EXIT_OK;
	case 'o':
		l->output = optarg;
		return KF_EXIT_OK;
	case 'l':
		l->label = optarg;
		return KF_EXIT_OK;
	case 'm':
		l->mode_only = 1;
		return KF_EXIT_OK;
	case 'a':
		l->valid_only = 1;
		return KF_EXIT_OK;
	case OPT_ROOT:
		return set(l, KF_SET_root, optarg);
	case OPT_STATE:
		return set(l, KF_SET_state_dir, optarg);
	case OPT_KUBELET:
		return set(l, KF_SET_kubelet_dir, optarg);
	case OPT_CDI:
		return set(l, KF_SET_cdi_dir, optarg);
	case OPT_STRATEGY:
		return set(l, KF_SET_mig_strategy, optarg);
	default: /* getopt has said what is wrong */
		return KF_EXIT_USAGE;
	}
}

static int check_output(const struct kf_local *l)
{
	static const char *const known[] = {"json", "yaml", "wide", "text"};
	struct kf_error err = {0};
	size_t i;

	for (i = 0; l->output && i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(l->output, known[i]))
			return KF_EXIT_OK;
	if (!l->output)
		return KF_EXIT_OK;
	kf_fail(&err, KF_E_INPUT, 0, "-o %s: json, yaml, wide or text is expected", l->output);
	return kf_cli_fail(&err, KF_EXIT_USAGE);
}

int kf_local_args(struct kf_local *l, int argc, char **argv)
{
	const char *file = getenv("MIG_PARTED_CONFIG_FILE");
	struct kf_error err = {0};
	int c, status = KF_EXIT_OK;

	if (kf_settings_new(&l->set, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	l->config = getenv("MIG_PARTED_SELECTED_CONFIG");
	if (file && file[0])
		kf_settings_set(l->set, KF_SET_mig_config, file, KF_FROM_ENV, NULL);
	optind = 1;
	while (status == KF_EXIT_OK &&
	       (c = getopt_long(argc, argv, "f:c:o:l:ma", options, NULL)) != -1)
		status = take_option(l, c);
	if (status != KF_EXIT_OK)
		return status;
	if (optind < argc) {
		kf_fail(&err, KF_E_INPUT, 0, "'%s' is not expected here; `kerf help %s` says more",
			argv[optind], argv[0]);
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	}
	return check_output(l);
}

int kf_local_read(struct kf_local *l)
{
	struct kf_error err = {0};
	const char *root = kf_job_root(l->set);
	int answer = 0;

	l->node = kf_node_free(l->node);
	kf_cli_progress("reading the GPUs");
	if (!l->driver)
		answer = kf_nvml_open(root[0] ? root : NULL, &l->driver, &err);
	if (answer == 0)
		answer = kf_nvml_read(l->driver, root, NULL, &l->node, &err);
	kf_cli_progress(NULL);
	return answer == 0 ? KF_EXIT_OK : kf_cli_fail(&err, KF_EXIT_FAILED);
}

/* --- who holds what ------------------------------------------------------------------------ */

struct listing {
	struct kf_pod_rows rows;
	int answered;
	struct kf_podresources *client;
};

static void on_list(void *ud, const struct kf_podresources_row *row, unsigned n,
		    const struct kf_error *err)
{
	struct listing *l = ud;

	l->answered = !err && kf_pod_rows_take(&l->rows, row, n) == 0;
	kf_podresources_stop(l->client, NULL, NULL);
}

/* Ask the kubelet, if there is one; a silent one leaves the checkpoint to speak. */
static void list_pods(const struct kf_local *l, struct listing *ret)
{
	char path[512];
	uv_loop_t loop;

	snprintf(path, sizeof(path), "%s/../pod-resources/kubelet.sock", l->set->kubelet_dir);
	if (uv_loop_init(&loop) < 0)
		return;
	if (kf_podresources_start(&loop, path, &ret->client, NULL) == 0 &&
	    kf_podresources_list(ret->client, on_list, ret, NULL) < 0)
		kf_podresources_stop(ret->client, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
}

static int open_ledger(struct kf_local *l, int lock, struct kf_error *err)
{
	int answer;

	if (!lock)
		return kf_ledger_peek(l->set->state_dir, &l->ledger, err);
	answer = kf_ledger_open(l->set->state_dir, &l->ledger, err);
	if (answer < 0 && err->code == KF_E_BUSY)
		return kf_prefix(err, "an agent runs here; label the Node instead of `kerf apply`");
	return answer;
}

int kf_local_holds(struct kf_local *l, int lock)
{
	struct kf_checkpoint checkpoint = {0};
	struct kf_sources from = {.node = l->node};
	struct listing listing = {0};
	struct kf_error err = {0};
	char path[512];
	int32_t us;
	int answer;

	if (!l->ledger && open_ledger(l, lock, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	snprintf(path, sizeof(path), "%s/" KF_CHECKPOINT_FILE, l->set->kubelet_dir);
	if (kf_checkpoint_read(path, &checkpoint, &err) == 0)
		from.checkpoint = &checkpoint;
	list_pods(l, &listing);
	if (listing.answered)
		from.pods = &listing.rows;
	kf_wall(&from.now_s, &us);
	answer = kf_holdings_update(l->ledger, &from, &l->holds, &err);
	kf_checkpoint_done(&checkpoint);
	kf_pod_rows_done(&listing.rows);
	return answer < 0 ? kf_cli_fail(&err, KF_EXIT_FAILED) : KF_EXIT_OK;
}

int kf_local_target(struct kf_local *l)
{
	struct kf_error err = {0};
	int r = 0;

	if (!l->configs && l->set->mig_config[0])
		r = kf_mig_configs_load(l->set->mig_config, &l->configs, &err);
	else if (!l->configs)
		r = kf_mig_configs_builtin(&l->configs, &err);
	if (r < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	if (l->valid_only && l->config)
		return KF_EXIT_OK;
	l->target = kf_target_free(l->target);
	if (kf_mig_configs_target(l->configs, l->config, l->node, &l->target, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	return KF_EXIT_OK;
}

char *kf_local_ask(const struct kf_settings *set, const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	kf_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct kf_text text = {0};
	char buf[4096];
	ssize_t n;
	int r = snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", set->state_dir, name);

	if (fd < 0 || r < 0 || (size_t)r >= sizeof(to.sun_path) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return NULL;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		kf_text_addn(&text, buf, (size_t)n);
	return kf_text_take(&text);
}

void kf_local_done(struct kf_local *l)
{
	kf_target_free(l->target);
	kf_mig_configs_free(l->configs);
	kf_holds_done(&l->holds);
	kf_ledger_close(l->ledger);
	kf_files_free(l->files);
	kf_node_free(l->node);
	kf_nvml_close(l->driver);
	kf_settings_free(l->set);
}

int kf_local_print(const struct kf_local *l, const char *json)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *tree = NULL;
	kf_auto(kf_text_done) struct kf_text yaml = {0};
	struct kf_error err = {0};

	if (!l->output || strcmp(l->output, "yaml") != 0) {
		printf("%s\n", json);
		return KF_EXIT_OK;
	}
	if (kf_yaml_parse(json, strlen(json), "output", &tree, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	kf_yaml_write(tree->root, &yaml);
	if (!yaml.s)
		return KF_EXIT_FAILED;
	fputs(yaml.s, stdout);
	return KF_EXIT_OK;
}
