/* `kerf sim apiserver`: a stand-in API server, until it is interrupted. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apiserver/apiserver.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/sim.h"

static const char usage[] =
	"usage: kerf sim apiserver [--port PORT] [--tls] [--token TOKEN] [--node NAME]...\n"
	"                          [--kubeconfig FILE]\n"
	"\n"
	"A stand-in for the Kubernetes API server on 127.0.0.1: Nodes, Pods and Events, with "
	"watches,\n"
	"patches and eviction. The kubeconfig that leads to it goes to FILE, or to standard "
	"output;\n"
	"once it is there, the server serves. POST /sim/fault makes things go wrong.\n";

struct settings {
	struct kf_sim_api_options options;
	const char *kubeconfig;
	const char *nodes[64];
	unsigned n_nodes;
};

static int parse_port(struct settings *s, const char *text, struct kf_error *err)
{
	uint64_t port;

	if (kf_parse_uint(text, 65535, &port) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "--port: '%s' is no port", text);
	s->options.port = (unsigned short)port;
	return 0;
}

static int take_option(struct settings *s, int option, const char *value, struct kf_error *err)
{
	switch (option) {
	case 'p':
		return parse_port(s, value, err);
	case 't':
		s->options.tls = 1;
		return 0;
	case 'k':
		s->options.token = value;
		return 0;
	case 'f':
		s->kubeconfig = value;
		return 0;
	case 'n':
		if (s->n_nodes == sizeof(s->nodes) / sizeof(s->nodes[0]))
			return kf_fail(err, KF_E_INPUT, 0, "--node: over %u nodes", s->n_nodes);
		s->nodes[s->n_nodes++] = value;
		return 0;
	default:
		return kf_fail(err, KF_E_INPUT, 0,
			       "sim apiserver: see `kerf sim apiserver --help`");
	}
}

static int parse(int argc, char **argv, struct settings *s, struct kf_error *err)
{
	static const struct option options[] = {
		{"port", required_argument, NULL, 'p'},
		{"tls", no_argument, NULL, 't'},
		{"token", required_argument, NULL, 'k'},
		{"node", required_argument, NULL, 'n'},
		{"kubeconfig", required_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	int option;

	optind = 0; /* glibc: scan this argv from its start */
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1)
		if (take_option(s, option, optarg, err) < 0)
			return -1;
	if (optind < argc)
		return kf_fail(err, KF_E_INPUT, 0, "sim apiserver: '%s' is too much", argv[optind]);
	return 0;
}

static int hand_out(const struct kf_sim_api *api, const struct settings *s, struct kf_error *err)
{
	kf_auto_mem char *text = kf_sim_api_kubeconfig(api);

	if (!text)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a kubeconfig");
	if (s->kubeconfig)
		return kf_write_file(s->kubeconfig, text, strlen(text), 0600, 0, err);
	fputs(text, stdout);
	return fflush(stdout) ? kf_fail(err, KF_E_SYSTEM, 0, "cannot print") : 0;
}

static int serve(const struct settings *s, const sigset_t *signals, struct kf_error *err)
{
	kf_auto(kf_sim_api_stopp) struct kf_sim_api *api = NULL;
	unsigned i;
	int which;

	if (kf_sim_api_start(&s->options, &api, err) < 0)
		return -1;
	for (i = 0; i < s->n_nodes; i++)
		if (kf_sim_api_add_node(api, s->nodes[i], err) < 0)
			return -1;
	if (hand_out(api, s, err) < 0)
		return -1;
	sigwait(signals, &which);
	return 0;
}

int kf_sim_apiserver(int argc, char **argv)
{
	struct settings s = {0};
	struct kf_error err = {0};
	sigset_t signals;

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return KF_EXIT_OK;
	}
	if (parse(argc, argv, &s, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	/* blocked in all threads to come, so that only sigwait sees them */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	return serve(&s, &signals, &err) < 0 ? kf_cli_fail(&err, KF_EXIT_FAILED) : KF_EXIT_OK;
}
