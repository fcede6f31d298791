/* What kubectl asks before it asks for anything: which kinds there are. */
#include <string.h>

#include "serve.h"

static json_t *resource(enum kf_sim_kind kind)
{
	const struct kf_sim_kind_words *w = &kf_sim_kinds[kind];

	return json_pack("{s:s, s:s, s:b, s:s, s:[s, s, s, s, s, s]}", "name", w->plural,
			 "singularName", "", "namespaced", w->namespaced, "kind", w->kind, "verbs",
			 "create", "delete", "get", "list", "patch", "watch");
}

static json_t *resources(void)
{
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < KF_SIM_KINDS; i++)
		json_array_append_new(all, resource((enum kf_sim_kind)i));
	return json_pack("{s:s, s:s, s:s, s:o}", "kind", "APIResourceList", "apiVersion", "v1",
			 "groupVersion", "v1", "resources", all);
}

json_t *kf_sim_discovery(const char *path)
{
	if (!strcmp(path, "/api"))
		return json_pack("{s:s, s:[s]}", "kind", "APIVersions", "versions", "v1");
	if (!strcmp(path, "/apis"))
		return json_pack("{s:s, s:s, s:[]}", "kind", "APIGroupList", "apiVersion", "v1",
				 "groups");
	if (!strcmp(path, "/api/v1"))
		return resources();
	if (!strcmp(path, "/version"))
		return json_pack("{s:s, s:s, s:s}", "major", "1", "minor", "36", "gitVersion",
				 "v1.36.0-kerf-stand-in");
	return NULL;
}
