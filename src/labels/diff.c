/* Which labels of a Node are ours, and what has to change there; see labels.h. */
#include <string.h>

#include "base/error.h"
#include "labels/labels.h"

/* Of the node as a whole, after "nvidia.com/". */
static const char *const of_node[] = {
	"cuda.driver-version.full",
	"cuda.driver-version.major",
	"cuda.driver-version.minor",
	"cuda.driver-version.revision",
	"cuda.driver.major",
	"cuda.driver.minor",
	"cuda.driver.rev",
	"cuda.runtime-version.full",
	"cuda.runtime-version.major",
	"cuda.runtime-version.minor",
	"cuda.runtime.major",
	"cuda.runtime.minor",
	"gfd.timestamp",
	"gpu.clique",
	"gpu.compute.major",
	"gpu.compute.minor",
	"gpu.family",
	"gpu.machine",
	"gpu.mode",
	"mig.capable",
	"mig.strategy",
	"mps.capable",
	"vgpu.host-driver-branch",
	"vgpu.host-driver-version",
	"vgpu.present",
};

/* Of a resource, after "nvidia.com/gpu" or "nvidia.com/mig-PROFILE". */
static const char *const of_resource[] = {
	".count",	 ".engines.copy", ".engines.decoder",  ".engines.encoder",
	".engines.jpeg", ".engines.ofa",  ".memory",	       ".multiprocessors",
	".product",	 ".replicas",	  ".sharing-strategy", ".slices.ci",
	".slices.gi",
};

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* Where the resource's name ends: the start of one of the suffixes above, or NULL. */
static const char *suffix_of(const char *key)
{
	size_t i, n = strlen(key);

	for (i = 0; i < LENGTH(of_resource); i++) {
		size_t m = strlen(of_resource[i]);

		if (n > m && !strcmp(key + n - m, of_resource[i]))
			return key + n - m;
	}
	return NULL;
}

static int is_profile(const char *s, size_t n)
{
	struct kf_profile_name ignored;
	char name[KF_PROFILE_NAME];

	if (n >= sizeof(name))
		return 0;
	memcpy(name, s, n);
	name[n] = '\0';
	return kf_profile_name_parse(name, &ignored) == 0;
}

int kf_label_is_ours(const char *key)
{
	static const char domain[] = "nvidia.com/";
	const char *suffix;
	size_t i;

	if (!strncmp(key, "kerf.dev/", 9))
		return !strcmp(key + 9, "mode") ||
		       (!strncmp(key + 9, "mig-", 4) && is_profile(key + 13, strlen(key + 13)));
	if (strncmp(key, domain, sizeof(domain) - 1) != 0)
		return 0;
	key += sizeof(domain) - 1;
	for (i = 0; i < LENGTH(of_node); i++)
		if (!strcmp(key, of_node[i]))
			return 1;
	suffix = suffix_of(key);
	if (!suffix)
		return 0;
	if (!strncmp(key, "mig-", 4))
		return is_profile(key + 4, (size_t)(suffix - key - 4));
	return suffix - key == 3 && !strncmp(key, "gpu", 3);
}

int kf_labels_diff(const struct kf_labels *have, const struct kf_labels *want,
		   struct kf_labels *set, struct kf_labels *drop, struct kf_error *err)
{
	unsigned i;

	*set = *drop = (struct kf_labels){0};
	for (i = 0; i < want->n; i++) {
		const char *value = kf_labels_get(have, want->label[i].key);

		if (!value || strcmp(value, want->label[i].value) != 0)
			kf_labels_set(set, want->label[i].key, want->label[i].value);
	}
	for (i = 0; i < have->n; i++)
		if (kf_label_is_ours(have->label[i].key) &&
		    !kf_labels_get(want, have->label[i].key))
			kf_labels_set(drop, have->label[i].key, have->label[i].value);
	if (!set->failed && !drop->failed)
		return 0;
	kf_labels_done(set);
	kf_labels_done(drop);
	return kf_fail(err, KF_E_NOMEM, 0, "no memory to compare labels");
}
