/* kerf doctor: is this node as kerf needs it, and what is to be done? */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/job.h"
#include "base/alloc.h"
#include "base/error.h"
#include "cdi/runtime.h"
#include "cli/doctor-ask.h"
#include "cli/local.h"

/* The effective capabilities of this process; 0 where they cannot be read. */
static uint64_t effective_capabilities(void)
{
	kf_auto_mem char *text = kf_read_file("/proc/self/status", 1 << 16, NULL, NULL);
	const char *line = text ? strstr(text, "\nCapEff:") : NULL;

	return line ? strtoull(line + strlen("\nCapEff:"), NULL, 16) : 0;
}

static void check_agent(struct kf_checkup *c, const struct kf_settings *set)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/agent.sock", set->state_dir);
	if (kf_doctor_try_socket(path, NULL) == KF_DOCTOR_SOCKET_SERVED)
		kf_checkup_add(c, KF_VERDICT_OK, "agent", "the agent is running (%s)", path);
	else
		kf_checkup_add(c, KF_VERDICT_OK, "agent", "no agent is running on %s",
			       set->state_dir);
}

static void check_kubelet(struct kf_checkup *c, const struct kf_settings *set)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/kubelet.sock", set->kubelet_dir);
	kf_doctor_kubelet(c, set->kubelet_socket[0] ? set->kubelet_socket : path);
	kf_doctor_ask_podresources(c, set);
}

static enum kf_doctor_cdi cdi_names(const struct kf_settings *set)
{
	const unsigned cdi = KF_LIST_CDI_ANNOTATIONS | KF_LIST_CDI_CRI;

	if (set->device_list_strategy)
		return set->device_list_strategy & cdi ? KF_DOCTOR_CDI_ALWAYS : KF_DOCTOR_CDI_NEVER;
	return set->cdi == KF_CDI_CDI	    ? KF_DOCTOR_CDI_ALWAYS
	       : set->cdi == KF_CDI_DEVICES ? KF_DOCTOR_CDI_NEVER
					    : KF_DOCTOR_CDI_AUTO;
}

static void check_all(struct kf_checkup *c, struct kf_settings *set)
{
	kf_auto(kf_node_freep) struct kf_node *node = NULL;
	const char *root = kf_job_root(set);
	struct kf_runtime runtime;

	kf_checkup_add(c, KF_VERDICT_OK, "version", "kerf %s (%s)", KERF_VERSION, KERF_COMMIT);
	kf_doctor_ask_config(c, set);
	kf_doctor_ask_driver(c, set, &node);
	kf_doctor_rights(c, geteuid(), effective_capabilities(), node, kf_doctor_simulated(root));
	kf_runtime_read(root, &runtime);
	kf_doctor_runtime(c, &runtime, cdi_names(set));
	kf_doctor_toolkit(c, root);
	check_kubelet(c, set);
	kf_doctor_plugins(c, set->kubelet_dir);
	kf_doctor_daemons(c, root);
	kf_doctor_writable(c, "state-dir", set->state_dir);
	kf_doctor_writable(c, "cdi-dir", set->cdi_dir);
	check_agent(c, set);
	kf_doctor_ask_api(c, set);
}

/* --- printing -------------------------------------------------------------------------------- */

/* A sentence below its heading: broken at blanks where the line would pass column 100. */
static void print_wrapped(const char *s, int indent)
{
	int column = indent;

	while (*s) {
		size_t n = strcspn(s, " ");

		if (column > indent && column + (int)n + 1 > 100) {
			printf("\n%*s", indent, "");
			column = indent;
		}
		column += printf("%s%.*s", column > indent ? " " : "", (int)n, s);
		s += n;
		s += strspn(s, " ");
	}
	putchar('\n');
}

static void print_text(const struct kf_checkup *c)
{
	static const char *const colour[] = {"\033[32m", "\033[33m", "\033[31m"};
	int colours = kf_cli_colours(stdout);
	unsigned i;

	for (i = 0; i < c->n; i++) {
		const struct kf_check *check = &c->check[i];

		printf("%s%-8s%s %-14s ", colours ? colour[check->verdict] : "",
		       kf_verdict_text(check->verdict), colours ? "\033[0m" : "", check->name);
		print_wrapped(check->what, 24);
		if (check->todo[0]) {
			printf("%24s-> ", "");
			print_wrapped(check->todo, 27);
		}
	}
	printf("\n%u checks: %u ok, %u warning%s, %u problem%s\n", c->n,
	       kf_checkup_count(c, KF_VERDICT_OK), kf_checkup_count(c, KF_VERDICT_WARNING),
	       kf_checkup_count(c, KF_VERDICT_WARNING) == 1 ? "" : "s",
	       kf_checkup_count(c, KF_VERDICT_PROBLEM),
	       kf_checkup_count(c, KF_VERDICT_PROBLEM) == 1 ? "" : "s");
}

static int print_json(const struct kf_checkup *c, const char *output)
{
	struct kf_local l = {.output = output};
	json_auto_t *json = NULL;
	kf_auto_mem char *text = NULL;
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < c->n; i++) {
		char what[sizeof(c->check[i].what)], todo[sizeof(c->check[i].todo)];

		snprintf(what, sizeof(what), "%s", c->check[i].what);
		snprintf(todo, sizeof(todo), "%s", c->check[i].todo);
		kf_mend_utf8(what);
		kf_mend_utf8(todo);
		json_array_append_new(list,
				      json_pack("{s:s,s:s,s:s,s:s}", "name", c->check[i].name,
						"verdict", kf_verdict_text(c->check[i].verdict),
						"what", what, "todo", todo));
	}
	json = json_pack("{s:o,s:i,s:i}", "checks", list, "warnings",
			 (int)kf_checkup_count(c, KF_VERDICT_WARNING), "problems",
			 (int)kf_checkup_count(c, KF_VERDICT_PROBLEM));
	text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	return text ? kf_local_print(&l, text) : KF_EXIT_FAILED;
}

/* --- the command ----------------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
	kf_auto(kf_settings_freep) struct kf_settings *set = NULL;
	kf_auto_mem struct kf_checkup *c = kf_calloc(1, sizeof(*c));
	const char *output = kf_cli_take_output(&argc, argv);
	struct kf_error err = {0};
	int status = KF_EXIT_OK;

	if (!c)
		return KF_EXIT_FAILED;
	if (output && strcmp(output, "json") != 0 && strcmp(output, "yaml") != 0) {
		kf_fail(&err, KF_E_INPUT, 0, "-o %s: json or yaml is expected", output);
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	}
	if (kf_settings_flags(argc, argv, &set, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	check_all(c, set);
	if (output)
		status = print_json(c, output);
	else
		print_text(c);
	if (status == KF_EXIT_OK && kf_checkup_count(c, KF_VERDICT_PROBLEM))
		status = KF_EXIT_FAILED;
	return status;
}

const struct kf_command kf_cmd_doctor = {
	.name = "doctor",
	.summary = "is this node as kerf needs it, and what is to be done?",
	.usage = "usage: kerf doctor [-o json|yaml] [FLAG of the agent...]\n\n"
		 "Looks, and changes nothing: driver, device nodes, rights, container runtime and "
		 "toolkit,\n"
		 "kubelet, other programs that do kerf's work, configuration files, API server.  "
		 "Give it\n"
		 "the flags and the environment of the agent.\n\n"
		 "Exit status 1 if there is a problem, which keeps kerf from its work; warnings "
		 "are none.\n",
	.run = run,
};
