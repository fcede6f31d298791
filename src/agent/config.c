/*
 * The device plugin's configuration file: read at the start, and again when it changes.
 *
 * Flags and environment stay; what the file says beside them is taken over whole or not at all.  A
 * file that cannot be used changes nothing: the last good one stays in force, across restarts too,
 * since a copy of it lies in the state directory.  With none yet nothing is offered, and the Node
 * says why.
 *
 * The file's folder is watched rather than the file, since a ConfigMap's volume changes by a link
 * beside it (`..data`) being renamed.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/log.h"
#include "config/plugin.h"
#include "config/yaml.h"

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

static void take(struct kf_agent *a, struct kf_settings *s)
{
	a->set = s;
	kf_settings_free(a->own_set);
	a->own_set = s;
	a->withheld = 0;
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

/* 0: read and in force; 1: as it was; negative: *err. */
static int read_file(struct kf_agent *a, struct kf_error *err)
{
	const char *path = a->set->config_file;
	struct kf_settings *s = NULL;
	kf_auto_mem char *bytes = NULL;
	size_t n;

	bytes = kf_read_file(path, KF_YAML_BYTES, &n, err);
	if (!bytes)
		return -1;
	if (a->config_bytes && n == a->n_config && !memcmp(bytes, a->config_bytes, n))
		return 1;
	free(a->config_bytes);
	a->config_bytes = kf_take(bytes);
	a->n_config = n;
	if (make(a, a->config_bytes, n, path, &s, err) < 0)
		return -1;
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

	if (!a->kube || !a->label_known || a->stopping)
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
	int answer;

	if (a->job) {
		uv_timer_start(&a->config_timer, kf_agent_on_config_timer, AGAIN_MS, 0);
		return;
	}
	answer = read_file(a, &err);
	if (answer > 0)
		return;
	if (answer < 0)
		kf_log_fail(KF_ERROR, "config", &err,
			    a->withheld ? "nothing is offered until it is mended"
					: "the configuration in force stays");
	else
		kf_log(KF_INFO, "config", "%s: in force", a->set->config_file);
	set_trouble(a, &err);
	kf_agent_config_tell(a);
	if (answer == 0) {
		kf_agent_publish(a);
		kf_agent_mark(a);
	}
}

void kf_agent_on_config_timer(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;

	if (!a->stopping)
		reload(a);
}

void kf_agent_config_reload(struct kf_agent *a)
{
	if (a->set->config_file[0])
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
	char folder[512], *slash;
	int r;

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
	if (!a->set->config_file[0]) {
		log_notes(a->set);
		return;
	}
	watch_folder(a);
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
