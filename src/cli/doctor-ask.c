/* What `kerf doctor` has to ask others; see doctor-ask.h. */
#include "cli/doctor-ask.h"

#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "agent/job.h"
#include "base/error.h"
#include "cli/cli.h"
#include "config/findings.h"
#include "config/mig.h"
#include "config/plugin.h"
#include "kube/http.h"
#include "kubelet/podresources.h"
#include "nvml/nvml.h"
#include "nvml/read.h"

#define API_MS 5000 /* for one answer of the API server */

/* --- the driver ------------------------------------------------------------------------------ */

static enum kf_doctor_driver state_of(int answer)
{
	switch (answer) {
	case 0:
		return KF_DOCTOR_DRIVER_OPEN;
	case KF_NVML_ABSENT:
		return KF_DOCTOR_DRIVER_ABSENT;
	case KF_NVML_NO_DRIVER:
		return KF_DOCTOR_DRIVER_NOT_LOADED;
	default:
		return KF_DOCTOR_DRIVER_FAILED;
	}
}

void kf_doctor_ask_driver(struct kf_checkup *c, const struct kf_settings *set, struct kf_node **ret)
{
	kf_auto(kf_nvml_closep) struct kf_nvml *nv = NULL;
	const char *root = kf_job_root(set);
	struct kf_doctor_driver_view view = {.root = root, .library = ""};
	struct kf_error err = {0};

	kf_cli_progress("reading the GPUs");
	view.err = &err;
	view.state = state_of(kf_nvml_open(root[0] ? root : NULL, &nv, &err));
	if (view.state == KF_DOCTOR_DRIVER_OPEN) {
		view.library = nv->path;
		if (kf_nvml_read(nv, root, NULL, ret, &err) < 0)
			*ret = NULL;
	}
	kf_cli_progress(NULL);
	view.node = *ret;
	kf_doctor_module(c, &view);
	kf_doctor_library(c, &view);
	kf_doctor_gpus(c, *ret);
	kf_doctor_nodes(c, root, *ret);
}

/* --- configuration files --------------------------------------------------------------------- */

/* 1: good; 0: a problem or warning was added. */
static int check_plugin_file(struct kf_checkup *c, const char *path)
{
	kf_auto(kf_findings_done) struct kf_findings found = {0};
	kf_auto(kf_settings_freep) struct kf_settings *scratch = NULL;
	const struct kf_finding *first;
	struct kf_error err = {0};

	if (kf_settings_new(&scratch, &err) < 0 ||
	    kf_plugin_config_check(path, scratch, &found, &err) < 0) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "config", "%s", err.msg);
	} else if ((first = kf_findings_first(&found, KF_FINDING_ERROR))) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "config", "%s", first->text);
	} else if ((first = kf_findings_first(&found, KF_FINDING_UNKNOWN))) {
		kf_checkup_add(c, KF_VERDICT_WARNING, "config", "%s", first->text);
	} else {
		return 1;
	}
	kf_checkup_advise(c, "`kerf config check %s` tells everything there is to mend", path);
	return 0;
}

static int is_config(const struct dirent *entry)
{
	return entry->d_name[0] != '.'; /* a ConfigMap's ..data and the like */
}

/* All files of --config-dir; the first three that are not good are told. */
static void check_directory(struct kf_checkup *c, const char *dir)
{
	struct dirent **entry = NULL;
	int n = scandir(dir, &entry, is_config, alphasort), i, n_bad = 0;

	for (i = 0; i < n; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", dir, entry[i]->d_name);
		if (n_bad < 3)
			n_bad += !check_plugin_file(c, path);
		free(entry[i]);
	}
	free(entry);
	if (n < 0) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "config", "the directory %s cannot be read",
			       dir);
		kf_checkup_advise(c, "mount the ConfigMap of named configurations there");
	} else if (!n) {
		kf_checkup_add(c, KF_VERDICT_WARNING, "config", "there is no configuration in %s",
			       dir);
		kf_checkup_advise(c, "a label that names one will be refused: put files there, or "
				     "leave --config-dir away");
	} else if (!n_bad) {
		kf_checkup_add(c, KF_VERDICT_OK, "config", "%s: %d configurations, all good", dir,
			       n);
	}
}

static void check_mig_file(struct kf_checkup *c, const char *path)
{
	struct kf_mig_configs *configs = NULL;
	struct kf_error err = {0};

	if (kf_mig_configs_load(path, &configs, &err) < 0) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "config", "%s", err.msg);
		kf_checkup_advise(c, "mend that line: until then no MIG configuration can be "
				     "chosen");
		return;
	}
	kf_mig_configs_free(configs);
	kf_checkup_add(c, KF_VERDICT_OK, "config", "%s is good", path);
}

void kf_doctor_ask_config(struct kf_checkup *c, struct kf_settings *set)
{
	if (set->config_file[0] && check_plugin_file(c, set->config_file)) {
		kf_plugin_config_load(set->config_file, set, NULL);
		kf_checkup_add(c, KF_VERDICT_OK, "config", "%s is good", set->config_file);
	}
	if (set->config_dir[0])
		check_directory(c, set->config_dir);
	if (set->mig_config[0])
		check_mig_file(c, set->mig_config);
	if (!set->config_file[0] && !set->config_dir[0] && !set->mig_config[0])
		kf_checkup_add(c, KF_VERDICT_OK, "config",
			       "no file is named: defaults and the built-in MIG configurations");
}

/* --- PodResources ---------------------------------------------------------------------------- */

struct listing {
	struct kf_podresources *client;
	unsigned n;
	int answered;
	struct kf_error err;
};

static void on_allocatable(void *ud, const struct kf_podresources_row *row, unsigned n,
			   const struct kf_error *err)
{
	struct listing *l = ud;

	(void)row;
	l->n = n;
	l->answered = !err;
	if (err)
		l->err = *err;
	kf_podresources_stop(l->client, NULL, NULL);
}

static void list(const char *path, struct listing *l)
{
	uv_loop_t loop;
	int r = uv_loop_init(&loop);

	if (r < 0) {
		kf_fail(&l->err, KF_E_SYSTEM, -r, "make an event loop: %s", uv_strerror(r));
		return;
	}
	if (kf_podresources_start(&loop, path, &l->client, &l->err) == 0 &&
	    kf_podresources_allocatable(l->client, on_allocatable, l, &l->err) < 0)
		kf_podresources_stop(l->client, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
}

void kf_doctor_ask_podresources(struct kf_checkup *c, const struct kf_settings *set)
{
	struct listing l = {0};
	char beside[PATH_MAX];
	const char *path = set->pod_resources;

	if (!strcmp(path, "none")) {
		kf_checkup_add(c, KF_VERDICT_WARNING, "pod-resources",
			       "switched off by --pod-resources=none");
		kf_checkup_advise(c, "slices in use are then known from the kubelet's checkpoint "
				     "alone: leave the flag away where there is a kubelet");
		return;
	}
	if (!path[0]) {
		snprintf(beside, sizeof(beside), "%s/../pod-resources/kubelet.sock",
			 set->kubelet_dir);
		path = beside;
	}
	list(path, &l);
	if (l.answered) {
		kf_checkup_add(c, KF_VERDICT_OK, "pod-resources",
			       "the kubelet answers on %s: %u devices can be handed out", path,
			       l.n);
		return;
	}
	kf_checkup_add(c, KF_VERDICT_PROBLEM, "pod-resources",
		       "the kubelet does not tell who holds what: %s", l.err.msg);
	kf_checkup_advise(c, "mount /var/lib/kubelet/pod-resources into the agent's container, or "
			     "name the socket by --pod-resources");
}

/* --- the API server -------------------------------------------------------------------------- */

struct asked {
	int answered; /* 0: the answer is good, in `version` if it has one */
	struct kf_error err;
	char version[64];
};

static void on_answer(void *ud, const struct kf_kube_answer *answer)
{
	struct asked *a = ud;
	json_t *json;
	const char *version;

	a->answered = kf_kube_check(answer, &a->err);
	json = a->answered == 0 ? json_loadb(answer->body, answer->n, 0, NULL) : NULL;
	version = json_string_value(json_object_get(json, "gitVersion"));
	if (version)
		snprintf(a->version, sizeof(a->version), "%s", version);
	json_decref(json);
}

/* Both questions in one go: they are answered in order. */
static int ask_both(struct kf_kube_config *config, const char *node, struct asked *version,
		    struct asked *about_node)
{
	kf_auto(kf_text_done) struct kf_text path = {0};
	struct kf_kube *kube = NULL;
	uv_loop_t loop;
	int r = uv_loop_init(&loop);

	if (r < 0)
		return kf_fail(&version->err, KF_E_SYSTEM, -r, "make an event loop: %s",
			       uv_strerror(r));
	config->times.connect_ms = config->times.request_ms = API_MS;
	r = kf_kube_open(&loop, config, &kube, &version->err);
	if (r == 0)
		r = kf_kube_request(kube, "GET", "/version", NULL, NULL, on_answer, version,
				    &version->err);
	kf_text_add(&path, "/api/v1/nodes/");
	if (r == 0 && node && kf_kube_segment(&path, node, &about_node->err) == 0 && path.s)
		r = kf_kube_request(kube, "GET", path.s, NULL, NULL, on_answer, about_node,
				    &version->err);
	while (r == 0 && kf_kube_pending(kube) && uv_run(&loop, UV_RUN_ONCE))
		;
	if (kube)
		kf_kube_close(kube, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return r;
}

static void tell_api(struct kf_checkup *c, const struct kf_kube_config *config, const char *node,
		     const struct asked *version, const struct asked *about_node)
{
	if (version->answered != 0) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "api-server", "%s (%s): %s", config->server,
			       config->source, version->err.msg);
		kf_checkup_advise(c, "see that the address is right and reachable from this node; "
				     "the agent serves pods without it, but sees no labels");
		return;
	}
	kf_checkup_add(c, KF_VERDICT_OK, "api-server", "%s answers: Kubernetes %s (%s)",
		       config->server, version->version[0] ? version->version : "?",
		       config->source);
	if (!node)
		return;
	if (about_node->answered == 0) {
		kf_checkup_add(c, KF_VERDICT_OK, "node", "the Node %s is there and readable", node);
		return;
	}
	kf_checkup_add(c, KF_VERDICT_PROBLEM, "node", "%s", about_node->err.msg);
	kf_checkup_advise(c,
			  "see that --node-name is the Node's name, and that our service account "
			  "may get, watch and patch it");
}

void kf_doctor_ask_api(struct kf_checkup *c, const struct kf_settings *set)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *config = NULL;
	struct asked version = {.answered = -1}, about_node = {.answered = -1};
	const char *node = set->node_name[0] ? set->node_name : NULL;
	struct kf_error err = {0};
	int r = kf_kube_config_load(set->kubeconfig, NULL, &config, &err);

	if (r == KF_KUBE_NOWHERE) {
		kf_checkup_add(c, KF_VERDICT_WARNING, "api-server",
			       "nothing says where an API server is");
		kf_checkup_advise(c, "in a pod it is found by itself; else give --kubeconfig and "
				     "--node-name, or do without labels and use `kerf apply`");
	} else if (r < 0) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "api-server", "%s", err.msg);
		kf_checkup_advise(c, "mend the kubeconfig, or name another by --kubeconfig");
	} else {
		ask_both(config, node, &version, &about_node);
		tell_api(c, config, node, &version, &about_node);
	}
}
