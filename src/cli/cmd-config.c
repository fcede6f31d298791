/* kerf config: look at the device plugin's configuration without an agent. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "cli/local.h"
#include "config/findings.h"
#include "config/keys.h"
#include "config/plugin.h"
#include "model/share.h"

static int print_text(struct kf_text *text)
{
	kf_auto_mem char *s = kf_text_take(text);

	if (!s) {
		fprintf(stderr, "kerf: no memory for the answer\n");
		return KF_EXIT_FAILED;
	}
	fputs(s, stdout);
	return KF_EXIT_OK;
}

/* --- check --------------------------------------------------------------------------------- */

/* An unknown key is an error here: it is what a check is for. */
static int report(const struct kf_findings *found)
{
	static const char *const word[] = {"note", "error", "error"};
	int status = KF_EXIT_OK;
	unsigned i;

	for (i = 0; i < found->n; i++) {
		const struct kf_finding *f = &found->at[i];

		printf("%s: %s\n", word[f->kind], f->text);
		if (f->kind != KF_FINDING_NOTE)
			status = KF_EXIT_USAGE;
	}
	return status;
}

static int check_file(const char *path)
{
	kf_auto(kf_findings_done) struct kf_findings found = {0};
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	struct kf_error err = {0};

	if (kf_settings_new(&s, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	if (kf_plugin_config_check(path, s, &found, &err) < 0) {
		printf("error: %s\n", err.msg);
		return KF_EXIT_USAGE;
	}
	return report(&found);
}

static int check(int argc, char **argv)
{
	int i, status = KF_EXIT_OK;

	if (argc < 2) {
		fprintf(stderr, "kerf: config check wants a file\n");
		return KF_EXIT_USAGE;
	}
	for (i = 1; i < argc; i++)
		if (check_file(argv[i]) != KF_EXIT_OK)
			status = KF_EXIT_USAGE;
	return status;
}

/* --- show ---------------------------------------------------------------------------------- */

/* "FILE:LINE", "MIG_STRATEGY", "--mig-strategy" or "default". */
static void source_text(const struct kf_settings *s, enum kf_setting_index i, char *out,
			size_t size)
{
	const struct kf_setting *row = kf_setting_at(i);

	switch (s->from[i]) {
	case KF_FROM_DEFAULT:
		snprintf(out, size, "default");
		return;
	case KF_FROM_FILE:
		snprintf(out, size, "%s:%u", s->config_file, s->line[i]);
		return;
	case KF_FROM_ENV:
		snprintf(out, size, "environment %s", row->env);
		return;
	case KF_FROM_CLI:
		snprintf(out, size, "--%.*s", (int)strcspn(row->cli, " "), row->cli);
		return;
	}
}

static json_t *settings_json(const struct kf_settings *s)
{
	json_t *json = json_object();
	unsigned i;

	for (i = 0; i < KF_N_SETTINGS; i++) {
		const char *cli = kf_setting_at(i)->cli;
		struct kf_text value = {0};
		kf_auto_mem char *text = NULL;
		char name[64], from[600];

		kf_text_add(&value, "");
		kf_setting_text(s, i, &value);
		text = kf_text_take(&value);
		source_text(s, i, from, sizeof(from));
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(cli, " "), cli);
		json_object_set_new(json, name,
				    json_pack("{s:s,s:s}", "value", text ? text : "", "from",
					      from));
	}
	return json;
}

static json_t *picks_json(const struct kf_share_rule *rule)
{
	json_t *list = json_array();
	char text[32];
	unsigned i;

	if (rule->first || !rule->n_picks) {
		json_decref(list);
		return rule->first ? json_integer(rule->first) : json_string("all");
	}
	for (i = 0; i < rule->n_picks; i++) {
		const struct kf_share_pick *p = &rule->pick[i];

		snprintf(text, sizeof(text), p->by == KF_SHARE_BY_SLICE ? "%u:%u" : "%u", p->gpu,
			 p->slice);
		json_array_append_new(list,
				      json_string(p->by == KF_SHARE_BY_UUID ? p->uuid : text));
	}
	return list;
}

static json_t *sharing_json(const struct kf_settings *s)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; s->sharing && i < s->sharing->n; i++) {
		const struct kf_share_rule *rule = &s->sharing->rule[i];
		char from[600];

		snprintf(from, sizeof(from), "%s:%u%s", s->config_file, rule->line,
			 rule->assumed ? ", replicas by default" : "");
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:i,s:o,s:b,s:s}", "resource", rule->resource,
					"name", rule->name, "replicas", (int)rule->replicas,
					"devices", picks_json(rule), "failRequestsGreaterThanOne",
					s->sharing->fail_greater_than_one, "from", from));
	}
	return list;
}

static json_t *notes_json(const struct kf_settings *s)
{
	json_t *list = json_array();
	const char *line;
	size_t n;

	for (line = s->notes; *line; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		json_array_append_new(list, json_stringn(line, n));
	}
	return list;
}

static int show_text(json_t *json)
{
	struct kf_text out = {0};
	const char *name;
	json_t *one;
	size_t i;

	json_object_foreach(json_object_get(json, "settings"), name, one)
	{
		const char *value = json_string_value(json_object_get(one, "value"));

		kf_text_addf(&out, "%-34s %-32s %s\n", name, value[0] ? value : "-",
			     json_string_value(json_object_get(one, "from")));
	}
	json_array_foreach(json_object_get(json, "sharing"), i, one)
	{
		kf_auto_mem char *devices =
			json_dumps(json_object_get(one, "devices"), JSON_ENCODE_ANY);

		kf_text_addf(&out, "shared: %s, devices %s, %d replicas each, called %s  (%s)\n",
			     json_string_value(json_object_get(one, "resource")),
			     devices ? devices : "?",
			     (int)json_integer_value(json_object_get(one, "replicas")),
			     json_string_value(json_object_get(one, "name")),
			     json_string_value(json_object_get(one, "from")));
	}
	json_array_foreach(json_object_get(json, "notes"), i, one)
		kf_text_addf(&out, "note: %s\n", json_string_value(one));
	return print_text(&out);
}

static int show(int argc, char **argv)
{
	struct kf_local l = {.output = kf_cli_take_output(&argc, argv)};
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	kf_auto_mem char *text = NULL;
	struct kf_error err = {0};
	json_t *json;
	int status;

	if (l.output && strcmp(l.output, "json") != 0 && strcmp(l.output, "yaml") != 0) {
		kf_fail(&err, KF_E_INPUT, 0, "-o %s: json or yaml is expected", l.output);
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	}
	if (kf_settings_parse(argc, argv, &s, &err) < 0)
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	json = json_pack("{s:o,s:o,s:o}", "settings", settings_json(s), "sharing", sharing_json(s),
			 "notes", notes_json(s));
	if (!l.output) {
		status = show_text(json);
	} else {
		text = json_dumps(json, JSON_INDENT(2));
		status = text ? kf_local_print(&l, text) : KF_EXIT_FAILED;
	}
	json_decref(json);
	return status;
}

/* --- schema, docs -------------------------------------------------------------------------- */

static int schema(void)
{
	struct kf_text out = {0};

	kf_keys_schema(&out);
	return print_text(&out);
}

static int docs(void)
{
	struct kf_text out = {0};

	kf_settings_markdown(&out);
	kf_text_add(&out, "\n");
	kf_keys_markdown(&out);
	return print_text(&out);
}

static int run(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "check"))
		return check(argc - 1, argv + 1);
	if (!strcmp(what, "show"))
		return show(argc - 1, argv + 1);
	if (!strcmp(what, "schema") && argc == 2)
		return schema();
	if (!strcmp(what, "docs") && argc == 2)
		return docs();
	fprintf(stderr, "kerf: `kerf help config` says how this is used\n");
	return KF_EXIT_USAGE;
}

const struct kf_command kf_cmd_config = {
	.name = "config",
	.summary = "check and show the device plugin configuration; its JSON Schema",
	.usage = "usage: kerf config check FILE...\n"
		 "       kerf config show [-o json|yaml] [FLAG of the agent...]\n"
		 "       kerf config schema\n"
		 "       kerf config docs\n\n"
		 "check   every mistake with file and line; status 2 if there is one.  An unknown "
		 "key is a\n"
		 "        mistake here; the agent tells it and goes on.\n"
		 "show    every setting and where it comes from, with the flags, environment and "
		 "--config-file\n"
		 "        that the agent would be given.\n"
		 "schema  a JSON Schema of the file.\n"
		 "docs    the tables of docs/config.md.\n",
	.run = run,
};
