/* kerf labels: what kerf writes on the Node about this machine. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "agent/job.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/local.h"
#include "config/plugin.h"
#include "labels/facts.h"
#include "labels/file.h"

struct options {
	struct kf_local local;
	int json, no_timestamp;
	enum kf_label_sharing sharing;
	struct kf_sharing *rules; /* of --replicas; else those of the file count */
};

enum { OPT_ROOT = 256, OPT_CONFIG, OPT_STRATEGY, OPT_SHARING, OPT_REPLICAS, OPT_NO_TIMESTAMP };

static const struct option known[] = {
	{"output", required_argument, NULL, 'o'},
	{"config-file", required_argument, NULL, OPT_CONFIG},
	{"root", required_argument, NULL, OPT_ROOT},
	{"mig-strategy", required_argument, NULL, OPT_STRATEGY},
	{"sharing", required_argument, NULL, OPT_SHARING},
	{"replicas", required_argument, NULL, OPT_REPLICAS},
	{"no-timestamp", no_argument, NULL, OPT_NO_TIMESTAMP},
	{NULL, 0, NULL, 0},
};

static int set(struct options *o, enum kf_setting_index i, const char *value)
{
	struct kf_error err = {0};

	if (kf_settings_set(o->local.set, i, value, KF_FROM_CLI, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	return KF_EXIT_OK;
}

static int take_output(struct options *o, const char *value)
{
	struct kf_error err = {0};

	o->json = !strcmp(value, "json");
	if (o->json || !strcmp(value, "nfd"))
		return KF_EXIT_OK;
	kf_fail(&err, KF_E_INPUT, 0, "-o %s: json or nfd is expected", value);
	return kf_cli_fail(&err, KF_EXIT_USAGE);
}

static int take_sharing(struct options *o, const char *value)
{
	static const char *const names[] = {"none", "time-slicing", "mps"};
	struct kf_error err = {0};
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(value, names[i])) {
			o->sharing = (enum kf_label_sharing)i;
			return KF_EXIT_OK;
		}
	kf_fail(&err, KF_E_INPUT, 0, "--sharing %s: none, time-slicing or mps is expected", value);
	return kf_cli_fail(&err, KF_EXIT_USAGE);
}

static int add_rule(struct options *o, const char *resource, unsigned replicas, int renamed)
{
	const char *domain = strchr(resource, '/') ? "" : "nvidia.com/";
	struct kf_share_rule *rule = NULL;
	struct kf_error err = {0};

	if (!o->rules)
		o->rules = kf_sharing_new();
	if (o->rules)
		rule = kf_sharing_add(o->rules);
	if (!rule) {
		kf_fail(&err, KF_E_NOMEM, 0, "no memory for --replicas");
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	}
	snprintf(rule->resource, sizeof(rule->resource), "%s%s", domain, resource);
	snprintf(rule->name, sizeof(rule->name), "%s%s%s", domain, resource,
		 renamed ? ".shared" : "");
	rule->replicas = replicas;
	return KF_EXIT_OK;
}

/* RESOURCE=N or RESOURCE=N:renamed */
static int take_replicas(struct options *o, const char *value)
{
	struct kf_error err = {0};
	char resource[45], number[16], word[16] = "";
	uint64_t n = 0;
	int got = sscanf(value, "%44[^=]=%15[0-9]:%15s", resource, number, word);

	if (got >= 2 && kf_parse_uint(number, KF_SHARE_REPLICAS, &n) == 0 && n >= 2 &&
	    (!word[0] || !strcmp(word, "renamed")))
		return add_rule(o, resource, (unsigned)n, word[0] != '\0');
	kf_fail(&err, KF_E_INPUT, 0,
		"--replicas %s: RESOURCE=N, N from 2 to %d, or RESOURCE=N:renamed is expected",
		value, KF_SHARE_REPLICAS);
	return kf_cli_fail(&err, KF_EXIT_USAGE);
}

/* As the agent takes it: its time-slicing is served, its MPS is not. */
static int take_config(struct options *o, const char *path)
{
	struct kf_error err = {0};

	if (kf_plugin_config_load(path, o->local.set, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	fputs(o->local.set->notes, stderr); /* a line each, or "" */
	return KF_EXIT_OK;
}

static int take_option(struct options *o, int c)
{
	switch (c) {
	case 'o':
		return take_output(o, optarg);
	case OPT_CONFIG:
		return take_config(o, optarg);
	case OPT_ROOT:
		return set(o, KF_SET_root, optarg);
	case OPT_STRATEGY:
		return set(o, KF_SET_mig_strategy, optarg);
	case OPT_SHARING:
		return take_sharing(o, optarg);
	case OPT_REPLICAS:
		return take_replicas(o, optarg);
	case OPT_NO_TIMESTAMP:
		o->no_timestamp = 1;
		return KF_EXIT_OK;
	default: /* getopt has said what is wrong */
		return KF_EXIT_USAGE;
	}
}

static int take_arguments(struct options *o, int argc, char **argv)
{
	struct kf_error err = {0};
	int c, status = KF_EXIT_OK;

	if (kf_settings_new(&o->local.set, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	optind = 1;
	while (status == KF_EXIT_OK && (c = getopt_long(argc, argv, "o:", known, NULL)) != -1)
		status = take_option(o, c);
	if (status == KF_EXIT_OK && optind < argc) {
		kf_fail(&err, KF_E_INPUT, 0, "'%s' is not expected here; `kerf help %s` says more",
			argv[optind], argv[0]);
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	}
	return status;
}

static int print(const struct kf_labels *labels, int as_json)
{
	kf_auto(kf_text_done) struct kf_text text = {0};
	json_auto_t *object = NULL;
	unsigned i;

	if (!as_json) {
		kf_labels_text(labels, &text);
		if (text.s)
			fputs(text.s, stdout);
		return text.failed ? KF_EXIT_FAILED : KF_EXIT_OK;
	}
	object = json_object();
	for (i = 0; i < labels->n; i++)
		json_object_set_new(object, labels->label[i].key,
				    json_string(labels->label[i].value));
	if (json_dumpf(object, stdout, JSON_INDENT(2)) < 0)
		return KF_EXIT_FAILED;
	putchar('\n');
	return KF_EXIT_OK;
}

static int show(struct options *o)
{
	struct kf_label_choices choices = {
		.strategy = (enum kf_mig_strategy)o->local.set->mig_strategy,
		.sharing = o->sharing,
		.rules = o->rules ? o->rules : o->local.set->sharing,
	};
	const char *machine = getenv("GFD_MACHINE_TYPE_FILE");
	struct kf_label_facts facts;
	struct kf_labels labels = {0};
	struct kf_error err = {0};
	int32_t us;
	int status;

	if (!o->no_timestamp && !o->local.set->gfd_no_timestamp)
		kf_wall(&choices.timestamp, &us);
	kf_label_facts_read(kf_job_root(o->local.set),
			    machine ? machine : o->local.set->gfd_machine_type_file, o->local.node,
			    &facts);
	if (kf_labels_make(o->local.node, &facts, &choices, &labels, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	status = print(&labels, o->json);
	kf_labels_done(&labels);
	return status;
}

static int run(int argc, char **argv)
{
	struct options *o = calloc(1, sizeof(*o));
	int status;

	if (!o)
		return KF_EXIT_FAILED;
	o->sharing = KF_SHARING_TIME_SLICING;
	status = take_arguments(o, argc, argv);
	if (status == KF_EXIT_OK)
		status = kf_local_read(&o->local);
	if (status == KF_EXIT_OK)
		status = show(o);
	kf_local_done(&o->local);
	kf_sharing_free(o->rules);
	free(o);
	return status;
}

const struct kf_command kf_cmd_labels = {
	.name = "labels",
	.summary = "the labels of this node, as GPU Feature Discovery gives them",
	.usage =
		"usage: kerf labels [-o nfd|json] [--root DIR] [--mig-strategy none|single|mixed]\n"
		"                   [--replicas RESOURCE=N[:renamed]]... [--sharing STRATEGY]\n"
		"                   [--no-timestamp]\n\n"
		"Reads the driver and prints; nothing is changed.\n\n"
		"  -o, --output FORMAT    nfd: KEY=VALUE lines, as for Node Feature Discovery's\n"
		"                         features.d (the default); or json\n"
		"      --root DIR         host root mounted elsewhere, or DIR/root of a simulated "
		"machine\n"
		"      --mig-strategy S   how MIG devices are named to Kubernetes (default none)\n"
		"      --replicas R=N     as if resource R were shared by N; its name is "
		"nvidia.com/gpu,\n"
		"                         nvidia.com/mig-1g.5gb, ...; `:renamed` if offered as "
		"R.shared\n"
		"      --sharing S        how: time-slicing (the default), mps, or none\n"
		"      --no-timestamp     without nvidia.com/gfd.timestamp\n",
	.run = run,
};
