/* How long time slices are; see timeslice.h. */
#include "config/timeslice.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/findings.h"
#include "config/settings.h"
#include "config/sharing.h"
#include "config/yaml.h"
#include "model/share.h"

struct reader {
	const struct kf_yaml *y;
	struct kf_sharing *sharing;
	struct kf_findings *out;
};

static void refuse(struct reader *r, const struct kf_yaml_node *node, const char *why)
{
	kf_findings_note(r->out, KF_FINDING_ERROR, r->y, node, "%s", why);
}

/* A word that plugin.c has looked at; 0, or -1: it is not there, or was refused. */
static int read_length(const struct kf_yaml_node *node, enum kf_time_slice *ret)
{
	int i;

	if (!node || node->kind != KF_YAML_SCALAR)
		return -1;
	for (i = KF_SLICE_DEFAULT; i <= KF_SLICE_LONG; i++)
		if (!strcmp(node->text, kf_time_slice_text((enum kf_time_slice)i))) {
			*ret = (enum kf_time_slice)i;
			return 0;
		}
	return -1;
}

static void add(struct reader *r, const struct kf_share_rule *named, enum kf_time_slice length)
{
	unsigned i;

	for (i = 0; i < named->n_picks; i++) {
		struct kf_share_timing *timing = kf_sharing_add_timing(r->sharing);

		if (!timing) {
			r->out->no_memory = 1;
			return;
		}
		timing->gpu = named->pick[i];
		timing->length = length;
	}
}

static int are_gpus(const struct kf_share_rule *named)
{
	unsigned i;

	for (i = 0; i < named->n_picks; i++)
		if (named->pick[i].by == KF_SHARE_BY_SLICE ||
		    (named->pick[i].by == KF_SHARE_BY_UUID &&
		     strncmp(named->pick[i].uuid, "GPU-", 4) != 0))
			return 0;
	return 1;
}

static void read_entry(struct reader *r, const struct kf_yaml_node *entry)
{
	const struct kf_yaml_node *devices = kf_yaml_get(entry, "devices");
	struct kf_share_rule named = {0};
	enum kf_time_slice length;

	if (!devices || devices->kind == KF_YAML_NULL ||
	    read_length(kf_yaml_get(entry, "length"), &length) < 0)
		return;
	if (kf_sharing_devices(r->y, devices, &named, r->out) == 0) {
		if (!named.n_picks)
			refuse(r, devices, "wants a list of GPUs; for all of them write timeSlice");
		else if (!are_gpus(&named))
			refuse(r, devices, "names a slice; a time slice's length is a GPU's");
		else
			add(r, &named, length);
	}
	free(named.pick);
}

void kf_time_slice_read(const struct kf_yaml *y, struct kf_settings *s, struct kf_findings *out)
{
	struct reader r = {.y = y, .sharing = s->sharing, .out = out};
	const struct kf_yaml_node *kerf = kf_yaml_get(y->root, "kerf");
	const struct kf_yaml_node *list = kf_yaml_get(kerf, "timeSlices");

	read_length(kf_yaml_get(kerf, "timeSlice"), &s->sharing->time_slice);
	if (list && list->kind == KF_YAML_LIST)
		for (kf_yaml_each(entry, list))
			read_entry(&r, entry);
}
