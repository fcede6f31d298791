/* kerf webhook: nvidia.com/gpu-memory: 4Gi for clusters without MutatingAdmissionPolicy. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/own.h"
#include "base/text.h"
#include "cli/cli.h"
#include "config/duration.h"
#include "webhook/admission.h"
#include "webhook/webhook.h"

#define LEAST_VALID_MS 3000
#define POD_BYTES      (4u << 20)

struct options {
	struct kf_webhook_options run;
	const char *pod; /* --try */
	int json;
};

static int wrong(const char *why, const char *value)
{
	fprintf(stderr, "kerf: webhook: %s%s%s; `kerf help webhook` says how\n", why,
		value ? ": " : "", value ? value : "");
	return KF_EXIT_USAGE;
}

static int take(int c, struct options *o)
{
	switch (c) {
	case 'l':
		o->run.listen = optarg;
		return 0;
	case 'k':
		o->run.kubeconfig = optarg;
		return 0;
	case 'n':
		o->run.namespace = optarg;
		return 0;
	case 's':
		o->run.secret = optarg;
		return 0;
	case 'v':
		o->run.service = optarg;
		return 0;
	case 'd':
		o->run.more_names = optarg;
		return 0;
	case 'c':
		o->run.configuration = optarg;
		return 0;
	case 't':
		o->pod = optarg;
		return 0;
	case 'j':
		o->json = 1;
		return 0;
	case 'a':
		if (kf_duration_parse(optarg, &o->run.valid_ms) == 0 &&
		    o->run.valid_ms >= LEAST_VALID_MS && o->run.valid_ms < UINT64_MAX)
			return 0;
		return wrong("--valid wants a length of time, as 2160h", optarg);
	default:
		return KF_EXIT_USAGE; /* getopt has said what is wrong */
	}
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
					      {"kubeconfig", required_argument, NULL, 'k'},
					      {"namespace", required_argument, NULL, 'n'},
					      {"secret", required_argument, NULL, 's'},
					      {"service", required_argument, NULL, 'v'},
					      {"dns", required_argument, NULL, 'd'},
					      {"configuration", required_argument, NULL, 'c'},
					      {"valid", required_argument, NULL, 'a'},
					      {"try", required_argument, NULL, 't'},
					      {"json-log", no_argument, NULL, 'j'},
					      {NULL, 0, NULL, 0}};
	int c, status = 0;

	optind = 1;
	while (status == 0 && (c = getopt_long(argc, argv, "", known, NULL)) != -1)
		status = take(c, o);
	if (status == 0 && optind < argc)
		return wrong("what is that", argv[optind]);
	return status;
}

/* What would become of a pod: its patch, or why it is refused. */
static int try_pod(const char *path)
{
	json_auto_t *pod = NULL, *patch = NULL;
	kf_auto_mem char *bytes = NULL, *text = NULL;
	struct kf_error err = {0};
	json_error_t why;
	size_t n;

	bytes = kf_read_file(strcmp(path, "-") ? path : "/dev/stdin", POD_BYTES, &n, &err);
	if (!bytes)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	pod = json_loadb(bytes, n, 0, &why);
	if (!pod) {
		fprintf(stderr, "kerf: webhook: %s:%d: %s\n", path, why.line, why.text);
		return KF_EXIT_USAGE;
	}
	if (kf_admission_rewrite(pod, &patch, &err) != 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	text = json_dumps(patch, JSON_INDENT(2));
	if (text)
		puts(text);
	return text ? KF_EXIT_OK : KF_EXIT_FAILED;
}

static int run(int argc, char **argv)
{
	struct options o = {.run = {.listen = ":8443",
				    .secret = "kerf-webhook",
				    .service = "kerf-webhook",
				    .more_names = "",
				    .configuration = "kerf-gpu-memory",
				    .valid_ms = 90ull * 24 * 3600 * 1000}};
	struct kf_error err = {0};
	int status = parse(argc, argv, &o);

	if (status != 0)
		return status;
	if (o.pod)
		return try_pod(o.pod);
	kf_log_setup(KF_INFO, o.json ? KF_LOG_JSON : KF_LOG_LOGFMT);
	return kf_webhook_run(&o.run, &err) < 0 ? kf_cli_fail(&err, KF_EXIT_FAILED) : KF_EXIT_OK;
}

const struct kf_command kf_cmd_webhook = {
	.name = "webhook",
	.summary = "pods that ask for nvidia.com/gpu-memory: 4Gi, before Kubernetes 1.36",
	.usage =
		"usage: kerf webhook [--listen HOST:PORT] [--namespace NS] [--service NAME]\n"
		"                    [--secret NAME] [--configuration NAME] [--dns NAME,...]\n"
		"                    [--valid TIME] [--kubeconfig FILE] [--json-log]\n"
		"       kerf webhook --try FILE\n\n"
		"Turns sizes into units of 1 GiB as pods are created: a mutating admission "
		"webhook, "
		"which\nthe chart installs with gpuMemory.admission=webhook.  From 1.36 on an "
		"admission policy does\nthe same without a server.  Its certificate, for "
		"SERVICE.NS.svc and the names of --dns, is\nmade anew when a third of --valid "
		"[2160h] "
		"is left, kept in the Secret, and trusted by the\nMutatingWebhookConfiguration.\n\n"
		"--try prints the JSON patch for a pod in a file (JSON; - is standard input), or "
		"why "
		"it is\nrefused.\n",
	.run = run,
};
