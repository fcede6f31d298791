/*
 * The device plugin's configuration file: read at the start, and again when it changes.
 *
 * Flags and environment stay; what the file says beside them is taken over whole or not at all.  A
 * file that cannot be used changes nothing: the last good one stays in force, across restarts too,
 * since a copy of it lies in the state directory.  With none yet nothing is offered, and the Node
 * says why.
 *
 * With --config-dir there are several, as a ConfigMap's volume has them, and the Node's label
 * chooses by name (NVIDIA's config-manager, nvidia-stack.md 1.2).  A name that is not there changes
 * nothing.
 *
 * The file's folder is watched rather than the file, since a ConfigMap's volume changes by a link
 * beside it (`..data`) being renamed.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/internal.h"
#include "base/log.h"
#include "config/plugin.h"
#include "config/yaml.h"
#include "labels/file.h"

/* An editor's two writes, or kubelet's renames, are over by then. */
#define SETTLE_MS 10
#define AGAIN_MS  20 /* while a driver job has borrowed the settings */

static void good_path(const struct kf_agent *a, char *out, size_t size)
{
	snprintf(out, size, "%s/config.good", a->set->state_dir);
}

/* Said once for each reading, loudly. */
static void log_notes(const struct kf_settings *set)
{
	const char *line;
	size_t n;

	for (line = set->notes; *line; line += n + (line[n] == '\n')) {
		n = strcspn(line, "\n");
		kf_log(KF_WARN, "config", "%.*s", (int)n, line);
	}
}

/* The settings with what is in `bytes`; 0, or negative. */
static int make(const struct kf_agent *a, const char *bytes, size_t n, const char *name,
		struct kf_settings **ret, struct kf_error *err)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;

	if (kf_settings_flags(a->set->argc, a->set->argv, &s, err) < 0 ||
	    kf_plugin_config_parse(bytes, n, name, s, err) < 0)
		return -1;
	*ret = kf_take(s);
	return 0;
}

/* Where labels go to a file, and now to another one: the old one is ours to remove. */
static void leave_features_file(const struct kf_agent *a, const struct kf_settings *after)
{
	kf_auto_mem char *old = kf_features_path(a->set), *new = kf_features_path(after);
	struct kf_error err = {0};

	if (a->features.n && a->set->labels == KF_LABELS_FILE && old &&
	    new &&strcmp(old, new) != 0 && kf_labels_remove(old, &err) < 0)
		kf_log_fail(KF_WARN, "labels", &err, "its labels stay with Node Feature Discovery");
}

static void take(struct kf_agent *a, struct kf_settings *s)
{
	leave_features_file(a, s);
	a->set = s;
	kf_settings_free(a->own_set);
	a->own_set = s;
	a->withheld = 0;
	a->cdi_written = 0; /* the next job makes CDI file and labels anew */
	log_notes(s);
}

static void keep_copy(const struct kf_agent *a, const char *bytes, size_t n)
{
	struct kf_error err = {0};
	char path[512];

	good_path(a, path, sizeof(path));
	if (kf_write_file(path, bytes, n, 0600, 0, &err) < 0)
		kf_log_fail(KF_WARN, "config", &err, "a restart with a broken file has no copy");
}

/* --- which file ---------------------------------------------------------------------------- */

/* A file of --config-dir, as a ConfigMap has them: none of the kubelet's own `..data`. */
int kf_agent_is_config_name(const char *name)
{
	return name[0] && strncmp(name, "..", 2) != 0 && strcmp(name, ".") != 0 &&
	       !strchr(name, '/');
}

/* 1 and the path, or 0: there is no such file. */
static int find_named(const struct kf_agent *a, const char *name, char *out, size_t size)
{
	int n = kf_agent_is_config_name(name) ? snprintf(out, size, "%s/%s", a->config_folder, name)
					      : -1;

	return n > 0 && (size_t)n < size && access(out, R_OK) == 0;
}

/* The names that there are, for a sentence; answers how many. */
static unsigned list_names(const struct kf_agent *a, char *out, size_t size)
{
	DIR *dir = opendir(a->config_folder);
	struct dirent *entry;
	unsigned n = 0;
	size_t len = 0;

	out[0] = '\0';
	while (dir && (entry = readdir(dir)) && len + 1 < size) {
		if (!kf_agent_is_config_name(entry->d_name))
			continue;
		snprintf(out + len, size - len, "%s%s", n++ ? ", " : "", entry->d_name);
		len = strlen(out);
	}
	if (dir)
		closedir(dir);
	return n;
}

static int no_such_name(const struct kf_agent *a, const char *by, const char *name,
			struct kf_error *err)
{
	char names[300];
	unsigned n = list_names(a, names, sizeof(names));

	return kf_fail(err, KF_E_INPUT, 0, "%s: no configuration is called '%.100s' in %s: %s%s",
		       by, name, a->set->config_map[0] ? a->set->config_map : a->config_folder,
		       n ? "there are " : "there are none", names);
}

/* Where no name is chosen: NVIDIA's fallbacks, then --config-file. */
static int fall_back(const struct kf_agent *a, char *out, size_t size)
{
	unsigned ways = a->set->fallback_strategies;
	char names[300];

	if (ways & KF_FALL_NAMED && find_named(a, "default", out, size))
		return 0;
	if (ways & KF_FALL_SINGLE && list_names(a, names, sizeof(names)) == 1 &&
	    find_named(a, names, out, size))
		return 0;
	snprintf(out, size, "%s", ways & KF_FALL_EMPTY ? "" : a->set->config_file);
	return 0;
}

/* The path of the file that counts, "" for none; or negative: its name is wrong. */
static int choose_path(const struct kf_agent *a, char *out, size_t size, struct kf_error *err)
{
	if (!a->config_folder[0]) {
		snprintf(out, size, "%s", a->set->config_file);
		return 0;
	}
	if (a->config_label[0])
		return find_named(a, a->config_label, out, size)
			       ? 0
			       : no_such_name(a, "label " KF_LABEL_PLUGIN, a->config_label, err);
	if (a->set->default_config[0])
		return find_named(a, a->set->default_config, out, size)
			       ? 0
			       : no_such_name(a, "--default-config", a->set->default_config, err);
	return fall_back(a, out, size);
}

/* No file counts: what flags and environment say. */
static int take_flags(struct kf_agent *a, struct kf_error *err)
{
	struct kf_settings *s = NULL;

	if (kf_settings_flags(a->set->argc, a->set->argv, &s, err) < 0)
		return -1;
	take(a, s);
	return 0;
}

/* What a file is called in messages: that of a ConfigMap NAMESPACE/NAME/KEY. */
static void show_path(const struct kf_agent *a, const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (a->set->config_map[0] && slash)
		snprintf(out, size, "%s%s", a->set->config_map, slash);
	else
		snprintf(out, size, "%s", path);
}

/* 0: read and in force; 1: as it was; negative: *err. */
static int read_file(struct kf_agent *a, struct kf_error *err)
{
	struct kf_settings *s = NULL;
	kf_auto_mem char *bytes = NULL;
	char path[sizeof(a->config_path)], shown[sizeof(a->config_path)];
	int moved;
	size_t n;

	if (a->map_err.code) {
		*err = a->map_err;
		return -1;
	}
	if (choose_path(a, path, sizeof(path), err) < 0)
		return -1;
	moved = strcmp(path, a->config_path) != 0;
	if (!path[0]) {
		a->config_path[0] = '\0';
		return moved || a->withheld ? take_flags(a, err) : 1;
	}
	bytes = kf_read_file(path, KF_YAML_BYTES, &n, err);
	if (!bytes)
		return -1;
	if (!moved && a->config_bytes && n == a->n_config && !memcmp(bytes, a->config_bytes, n))
		return 1;
	snprintf(a->config_path, sizeof(a->config_path), "%s", path);
	free(a->config_bytes);
	a->config_bytes = kf_take(bytes);
	a->n_config = n;
	show_path(a, path, shown, sizeof(shown));
	if (make(a, a->config_bytes, n, shown, &s, err) < 0) {
		free(kf_take(a->config_bytes)); /* not in force, so it is looked at anew */
		return -1;
	}
	take(a, s);
	keep_copy(a, a->config_bytes, n);
	return 0;
}

/* The copy of the last good file, for a start with a broken one. */
static int read_copy(struct kf_agent *a)
{
	struct kf_settings *s = NULL;
	struct kf_error err = {0};
	kf_auto_mem char *bytes = NULL;
	char path[512];
	size_t n;

	good_path(a, path, sizeof(path));
	bytes = kf_read_file(path, KF_YAML_BYTES, &n, &err);
	if (!bytes || make(a, bytes, n, path, &s, &err) < 0)
		return -1;
	take(a, s);
	return 0;
}

/* --- telling ------------------------------------------------------------------------------- */

static void on_patched(void *ud, int result, const struct kf_kube_node *node,
		       const struct kf_error *err)
{
	struct kf_agent *a = ud;

	(void)node;
	a->config_patching = 0;
	if (result < 0) {
		kf_log_fail(KF_WARN, "kube", err, "telling the Node again when it changes");
		a->told_config[0] = '\0';
	} else if (strcmp(a->told_config, a->config_err.msg) != 0) {
		kf_agent_config_tell(a);
	}
}

static void tell_event(struct kf_agent *a)
{
	struct kf_error err = {0};
	int bad = a->config_err.code != KF_E_NONE;

	if (!a->config_news || !a->events)
		return;
	a->config_news = 0;
	kf_agent_news(a, bad ? KF_EVENT_WARNING : KF_EVENT_NORMAL,
		      bad ? a->config_err.msg : "the configuration file is in force again");
	if (kf_events_tell(a->events, bad ? KF_EVENT_WARNING : KF_EVENT_NORMAL,
			   bad ? "ConfigRefused" : "ConfigLoaded", "Configure",
			   bad ? a->config_err.msg : "the configuration file is in force again",
			   &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "the Event is dropped");
}

void kf_agent_config_tell(struct kf_agent *a)
{
	struct kf_kube_edit edit = {KF_KUBE_ANNOTATION, KF_ANNOTATION_CONFIG,
				    a->config_err.code ? a->config_err.msg : NULL};
	struct kf_error err = {0};

	if (!a->kube || !a->label_known || a->stopping || a->leaving)
		return;
	tell_event(a);
	if (a->config_patching || !strcmp(a->told_config, a->config_err.msg))
		return;
	if (kf_kube_node_patch(a->kube, a->set->node_name, &edit, 1, NULL, on_patched, a, &err) <
	    0) {
		kf_log_fail(KF_WARN, "kube", &err, "the Node is not told");
		return;
	}
	a->config_patching = 1;
	snprintf(a->told_config, sizeof(a->told_config), "%s", a->config_err.msg);
}

static void set_trouble(struct kf_agent *a, const struct kf_error *err)
{
	if (!strcmp(a->config_err.msg, err->msg))
		return;
	a->config_err = *err;
	a->config_news = 1;
}

/* --- reading again ------------------------------------------------------------------------- */

static void reload(struct kf_agent *a)
{
	struct kf_error err = {0};
	char shown[sizeof(a->config_path)];
	int answer;

	if (a->job) {
		uv_timer_start(&a->config_timer, kf_agent_on_config_timer, AGAIN_MS, 0);
		return;
	}
	answer = read_file(a, &err);
	show_path(a, a->config_path, shown, sizeof(shown));
	if (answer < 0 && strcmp(a->config_err.msg, err.msg) != 0)
		kf_log_fail(KF_ERROR, "config", &err,
			    a->withheld ? "nothing is offered until it is mended"
					: "the configuration in force stays");
	else if (answer == 0)
		kf_log(KF_INFO, "config", "%s: in force",
		       a->config_path[0] ? shown : "no configuration file");
	set_trouble(a, &err);
	kf_agent_config_tell(a);
	if (answer == 0) {
		kf_agent_health_rules(a);
		kf_agent_publish(a);
		kf_agent_read(a);
	}
}

void kf_agent_on_config_timer(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;

	if (!a->stopping)
		reload(a);
}

static int has_file(const struct kf_agent *a)
{
	return a->set->config_file[0] || a->config_folder[0];
}

void kf_agent_config_reload(struct kf_agent *a)
{
	if (has_file(a))
		reload(a);
}

void kf_agent_config_label(struct kf_agent *a, const char *label)
{
	if (!a->config_folder[0] || (!label && a->kube && !a->withheld))
		return;
	if (label && a->label_told && !strcmp(label, a->config_label))
		return;
	a->label_told = label != NULL;
	snprintf(a->config_label, sizeof(a->config_label), "%s", label ? label : "");
	if (a->map_known || !a->set->config_map[0])
		reload(a);
}

static void on_change(uv_fs_event_t *watch, const char *name, int events, int status)
{
	struct kf_agent *a = watch->data;

	(void)name, (void)events, (void)status;
	if (!a->stopping)
		uv_timer_start(&a->config_timer, kf_agent_on_config_timer, SETTLE_MS, 0);
}

static void watch_folder(struct kf_agent *a)
{
	char folder[512], *slash = NULL;
	int r;

	if (a->set->config_map[0])
		return; /* it says so itself */
	snprintf(folder, sizeof(folder), "%s/", a->set->config_dir);
	if (!a->set->config_dir[0])
		snprintf(folder, sizeof(folder), "%s", a->set->config_file);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	r = uv_fs_event_start(&a->config_watch, on_change, slash ? folder : ".", 0);
	if (r < 0)
		kf_log(KF_WARN, "config",
		       "watch %s: %s; changes of the configuration file count after SIGHUP only",
		       folder, uv_strerror(r));
}

void kf_agent_config_start(struct kf_agent *a)
{
	struct kf_error err = {0};

	uv_timer_init(&a->loop, &a->config_timer);
	uv_fs_event_init(&a->loop, &a->config_watch);
	a->config_timer.data = a->config_watch.data = a;
	if (a->set->config_map[0])
		snprintf(a->config_folder, sizeof(a->config_folder), "%s/config-map",
			 a->set->state_dir);
	else
		snprintf(a->config_folder, sizeof(a->config_folder), "%s", a->set->config_dir);
	if (!has_file(a)) {
		log_notes(a->set);
		return;
	}
	watch_folder(a);
	if (a->config_folder[0]) { /* the label is awaited, with what was in force before */
		a->withheld = read_copy(a) < 0;
		snprintf(a->config_path, sizeof(a->config_path), "?");
		return;
	}
	if (read_file(a, &err) >= 0)
		return;
	set_trouble(a, &err);
	if (read_copy(a) == 0) {
		kf_log_fail(KF_ERROR, "config", &err, "the last good configuration is in force");
		return;
	}
	a->withheld = 1;
	kf_log_fail(KF_ERROR, "config", &err, "nothing is offered until it is mended");
}

void kf_agent_config_done(struct kf_agent *a)
{
	kf_settings_free(a->own_set);
	free(a->config_bytes);
}
