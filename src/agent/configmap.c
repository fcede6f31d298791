/*
 * --config-map: the named configurations from the ConfigMap itself, through the API server, where a
 * volume would show an edit only after the kubelet's next sync (a minute and more).
 *
 * What it holds is written to a folder of the state directory, one file a name, and read from there
 * as --config-dir is; so the rules are the same, and a start without an API server has what was
 * there last.  A ConfigMap that is deleted leaves the folder as it is and is told.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/internal.h"
#include "base/log.h"

static int write_one(const struct kf_agent *a, const char *name, json_t *text, struct kf_error *err)
{
	char path[sizeof(a->config_folder) + 256];

	if (!kf_agent_is_config_name(name) || !json_is_string(text))
		return 0; /* the API server takes neither */
	snprintf(path, sizeof(path), "%s/%.255s", a->config_folder, name);
	return kf_write_file(path, json_string_value(text), json_string_length(text), 0600, 0, err);
}

/* Files of names that the ConfigMap has no more. */
static void remove_others(const struct kf_agent *a, json_t *data)
{
	DIR *dir = opendir(a->config_folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_REG && !json_object_get(data, entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

static int mirror(const struct kf_agent *a, json_t *data, struct kf_error *err)
{
	const char *name;
	json_t *text;

	if (mkdir(a->config_folder, 0700) < 0 && access(a->config_folder, W_OK) < 0)
		return kf_fail_errno(err, errno, "make %s", a->config_folder);
	json_object_foreach(data, name, text) if (write_one(a, name, text, err) < 0) return -1;
	remove_others(a, data);
	return 0;
}

static void missing(struct kf_agent *a)
{
	kf_fail(&a->map_err, KF_E_INPUT, 0, "ConfigMap %.200s: there is none", a->set->config_map);
}

static void on_listing(void *ud)
{
	struct kf_agent *a = ud;

	a->map_there = 0;
}

static void on_object(void *ud, enum kf_watch_type type, json_t *object)
{
	struct kf_agent *a = ud;
	struct kf_error err = {0};

	if (a->stopping)
		return;
	a->map_there = type != KF_WATCH_DELETED;
	if (!a->map_there)
		missing(a);
	else if (mirror(a, json_object_get(object, "data"), &err) < 0)
		a->map_err = err;
	else
		a->map_err = (struct kf_error){0};
	if (type != KF_WATCH_LISTED)
		kf_agent_config_reload(a);
}

static void on_synced(void *ud)
{
	struct kf_agent *a = ud;

	a->map_known = 1;
	if (!a->map_there)
		missing(a);
	if (!a->stopping && (a->label_known || a->map_err.code))
		kf_agent_config_reload(a);
}

static void on_trouble(void *ud, const struct kf_error *err)
{
	kf_agent_count(ud, KF_TALLY_API_ERROR);
	kf_log(KF_WARN, "config", "ConfigMap: %s", err->msg);
}

int kf_agent_configmap_start(struct kf_agent *a, struct kf_error *err)
{
	static const struct kf_watch_events events = {.listing = on_listing,
						      .object = on_object,
						      .synced = on_synced,
						      .trouble = on_trouble};
	kf_auto(kf_text_done) struct kf_text path = {0};
	const char *map = a->set->config_map;
	char namespace[254], selector[300];
	size_t n = strcspn(map, "/");

	if (!map[0])
		return 0;
	if (!a->kube)
		return kf_fail(err, KF_E_INPUT, 0,
			       "--config-map %.200s wants an API server and --node-name", map);
	snprintf(namespace, sizeof(namespace), "%.*s", (int)n, map);
	snprintf(selector, sizeof(selector), "metadata.name=%.253s", map + n + 1);
	kf_text_add(&path, "/api/v1/namespaces/");
	if (kf_kube_segment(&path, namespace, err) < 0)
		return -1;
	kf_text_add(&path, "/configmaps");
	if (!path.s)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the path of a ConfigMap");
	return kf_watch_start(a->kube, path.s, selector, 0, &events, a, &a->map_watch, err);
}
