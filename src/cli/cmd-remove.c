/*
 * kerf remove: have the agents take back what they have written on the Nodes, before the chart
 * goes.
 *
 * Each Node that carries something of kerf's gets the annotation kerf.dev/remove; its agent cleans
 * up and takes it away (agent/leave.c).  What is left after --wait has no agent: the annotations
 * and the condition that can be nobody else's are removed from here.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/cli.h"
#include "config/duration.h"
#include "kube/config.h"
#include "kube/http.h"
#include "kube/node.h"
#include "kube/page.h"
#include "kube/status.h"
#include "labels/labels.h"

#define REMOVE	  "kerf.dev/remove"
#define CONDITION "GPUHealthy"
#define PAGE	  100 /* Nodes; each takes some 10 to 50 KiB */
#define LOOK_MS	  500

struct removal {
	uv_loop_t loop;
	struct kf_kube_config *config;
	struct kf_kube *kube;
	const char *only; /* this Node; NULL: all */
	uint64_t wait_ms;

	int answered; /* 0 done, negative: err */
	struct kf_error err;
	char *body;
	size_t n_body;

	void (*see)(struct removal *r, const char *name, json_t *node);
	unsigned n_asked, n_left, n_failed;
};

/* --- one request at a time ----------------------------------------------------------------- */

static void on_answer(void *ud, const struct kf_kube_answer *answer)
{
	struct removal *r = ud;

	r->answered = kf_kube_check(answer, &r->err);
	free(kf_take(r->body));
	if (r->answered != 0)
		return;
	r->body = kf_strndup(answer->body, answer->n);
	r->n_body = answer->n;
	if (!r->body)
		r->answered = kf_fail(&r->err, KF_E_NOMEM, 0, "no memory for an answer");
}

static void on_changed(void *ud, int result, const struct kf_kube_node *node,
		       const struct kf_error *err)
{
	struct removal *r = ud;

	(void)node;
	r->answered = result < 0 ? -1 : 0; /* a Node that has gone meanwhile is well */
	if (result < 0)
		r->err = *err;
}

static void on_condition(void *ud, int result, const struct kf_error *err)
{
	on_changed(ud, result, NULL, err);
}

/* `asked` is what the request answered: until its own answer is there. */
static int finish(struct removal *r, int asked)
{
	if (asked < 0)
		return -1;
	while (kf_kube_pending(r->kube) && uv_run(&r->loop, UV_RUN_ONCE))
		;
	return r->answered;
}

static int change(struct removal *r, const char *node, const struct kf_kube_edit *edits, unsigned n)
{
	return finish(r, kf_kube_node_patch(r->kube, node, edits, n, NULL, on_changed, r, &r->err));
}

/* --- Nodes --------------------------------------------------------------------------------- */

static int see_node(void *ud, json_t *node)
{
	struct removal *r = ud;
	const char *name =
		json_string_value(json_object_get(json_object_get(node, "metadata"), "name"));

	if (name && (!r->only || !strcmp(r->only, name)))
		r->see(r, name, node);
	return 0;
}

/* `see` for each Node; it may ask, as the page has been read by then. */
static int each_node(struct removal *r, void (*see)(struct removal *r, const char *name, json_t *))
{
	kf_auto_mem char *more = NULL;

	r->see = see;
	do {
		kf_auto(kf_text_done) struct kf_text path = {0};
		kf_auto_mem char *page = NULL;
		struct kf_page read = {0};
		int answer;

		kf_text_addf(&path, "/api/v1/nodes?limit=%d", PAGE);
		if (more) {
			kf_text_add(&path, "&continue=");
			kf_kube_query(&path, more);
		}
		if (!path.s)
			return kf_fail(&r->err, KF_E_NOMEM, 0, "no memory for a path");
		if (finish(r, kf_kube_request(r->kube, "GET", path.s, NULL, NULL, on_answer, r,
					      &r->err)) < 0)
			return -1;
		page = kf_take(r->body);
		answer = kf_page_read(page, r->n_body, see_node, r, &read, &r->err);
		free(read.version);
		free(more);
		more = read.more;
		if (answer < 0)
			return -1;
	} while (more);
	return 0;
}

static json_t *annotations_of(json_t *node)
{
	return json_object_get(json_object_get(node, "metadata"), "annotations");
}

static int has_condition(json_t *node)
{
	json_t *list = json_object_get(json_object_get(node, "status"), "conditions"), *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		const char *type = json_string_value(json_object_get(one, "type"));

		if (type && !strcmp(type, CONDITION))
			return 1;
	}
	return 0;
}

/* Has kerf written on it?  Labels may be GPU Feature Discovery's as well: its agent will know. */
static int is_marked(json_t *node)
{
	const char *key;
	json_t *value;

	json_object_foreach(annotations_of(node), key, value)
	{
		if (!strncmp(key, "kerf.dev/", 9))
			return 1;
	}
	json_object_foreach(json_object_get(json_object_get(node, "metadata"), "labels"), key,
			    value)
	{
		if (kf_label_is_ours(key))
			return 1;
	}
	return has_condition(node);
}

static void complain(struct removal *r, const char *name)
{
	fprintf(stderr, "kerf: node %s: %s\n", name, r->err.msg);
	r->n_failed++;
}

static void ask_node(struct removal *r, const char *name, json_t *node)
{
	struct kf_kube_edit edit = {KF_KUBE_ANNOTATION, REMOVE, "true"};

	if (!is_marked(node))
		return;
	if (change(r, name, &edit, 1) < 0)
		complain(r, name);
	else
		r->n_asked++;
}

static void count_left(struct removal *r, const char *name, json_t *node)
{
	(void)name;
	r->n_left += json_object_get(annotations_of(node), REMOVE) != NULL;
}

/* Nobody answers: what is kerf's for sure. */
static void clean_node(struct removal *r, const char *name, json_t *node)
{
	static const struct kf_condition_told gone = {.type = CONDITION};
	json_t *annotations = annotations_of(node), *value;
	struct kf_kube_edit edit[16];
	const char *key;
	unsigned n = 0;

	if (!json_object_get(annotations, REMOVE))
		return;
	json_object_foreach(annotations, key, value)
	{
		if (!strncmp(key, "kerf.dev/", 9) && n < sizeof(edit) / sizeof(edit[0]))
			edit[n++] = (struct kf_kube_edit){KF_KUBE_ANNOTATION, key, NULL};
	}
	if (change(r, name, edit, n) < 0 ||
	    (has_condition(node) &&
	     finish(r, kf_status_condition(r->kube, name, &gone, on_condition, r, &r->err)) < 0)) {
		complain(r, name);
		return;
	}
	printf("node %s: no agent answers; annotations and condition of kerf are removed, feature "
	       "labels stay, since they may be GPU Feature Discovery's\n",
	       name);
}

/* Until no Node has the annotation any more, or the time is up. */
static int wait_for_agents(struct removal *r)
{
	uint64_t end = kf_now_ms() + r->wait_ms;

	for (;;) {
		r->n_left = 0;
		if (each_node(r, count_left) < 0)
			return -1;
		if (r->n_left == 0 || kf_now_ms() >= end)
			return 0;
		usleep(LOOK_MS * 1000);
	}
}

static int remove_all(struct removal *r)
{
	kf_cli_progress("waiting for the agents");
	if (each_node(r, ask_node) < 0 || wait_for_agents(r) < 0)
		return kf_cli_fail(&r->err, KF_EXIT_FAILED);
	kf_cli_progress(NULL);
	printf("%u of %u nodes: the agent has taken back what it wrote\n", r->n_asked - r->n_left,
	       r->n_asked);
	if (r->n_left && each_node(r, clean_node) < 0)
		return kf_cli_fail(&r->err, KF_EXIT_FAILED);
	return r->n_failed ? KF_EXIT_FAILED : KF_EXIT_OK;
}

/* --- the command --------------------------------------------------------------------------- */

static int connect_and_remove(struct removal *r, const char *kubeconfig)
{
	int status, answer = kf_kube_config_load(kubeconfig, NULL, &r->config, &r->err);

	if (answer == KF_KUBE_NOWHERE)
		kf_fail(&r->err, KF_E_INPUT, 0,
			"nothing says where the API server is; give --kubeconfig");
	if (answer != 0 || uv_loop_init(&r->loop) < 0)
		return kf_cli_fail(&r->err, KF_EXIT_USAGE);
	if (kf_kube_open(&r->loop, r->config, &r->kube, &r->err) < 0) {
		status = kf_cli_fail(&r->err, KF_EXIT_FAILED);
	} else {
		status = remove_all(r);
		kf_kube_close(r->kube, NULL, NULL);
	}
	uv_run(&r->loop, UV_RUN_DEFAULT);
	uv_loop_close(&r->loop);
	return status;
}

static int run(int argc, char **argv)
{
	static const struct option known[] = {{"kubeconfig", required_argument, NULL, 'k'},
					      {"node-name", required_argument, NULL, 'n'},
					      {"wait", required_argument, NULL, 'w'},
					      {NULL, 0, NULL, 0}};
	struct removal r = {.wait_ms = 60000};
	const char *kubeconfig = getenv("KUBECONFIG");
	int c, status = KF_EXIT_OK;

	optind = 1;
	while (status == KF_EXIT_OK && (c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'k')
			kubeconfig = optarg;
		else if (c == 'n')
			r.only = optarg;
		else if (c != 'w')
			status = KF_EXIT_USAGE; /* getopt has said what is wrong */
		else if (kf_duration_parse(optarg, &r.wait_ms) < 0 || r.wait_ms > 86400000) {
			kf_fail(&r.err, KF_E_INPUT, 0,
				"--wait %.60s: a duration up to 24h is expected, as 60s", optarg);
			status = kf_cli_fail(&r.err, KF_EXIT_USAGE);
		}
	}
	if (status == KF_EXIT_OK && optind < argc) {
		kf_fail(&r.err, KF_E_INPUT, 0,
			"'%s' is not expected here; `kerf help %s` says more", argv[optind],
			argv[0]);
		status = kf_cli_fail(&r.err, KF_EXIT_USAGE);
	}
	if (status == KF_EXIT_OK)
		status = connect_and_remove(&r, kubeconfig ? kubeconfig : "");
	free(r.body);
	kf_kube_config_free(r.config);
	return status;
}

const struct kf_command kf_cmd_remove = {
	.name = "remove",
	.summary = "before an uninstall: the agents take back what they wrote on Nodes",
	.usage = "usage: kerf remove [--kubeconfig FILE] [--node-name NODE] [--wait DURATION]\n\n"
		 "Asks the agents, by the annotation kerf.dev/remove on the Nodes, to take back\n"
		 "labels, annotations, condition and taint, and CDI entries that no pod holds.\n"
		 "Slices stay, and pods with devices go on.  An agent that is started anew begins "
		 "anew.\n\n"
		 "      --kubeconfig FILE  access to the API server; not given: in-cluster\n"
		 "      --node-name NODE   this one only; not given: all\n"
		 "      --wait DURATION    how long the agents have (default 60s); Nodes without "
		 "one\n"
		 "                         then lose what is kerf's alone\n",
	.run = run,
};
