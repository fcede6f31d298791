/* GPUs sold by their memory; see memory.h. */
#include "config/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "config/findings.h"
#include "config/settings.h"
#include "config/sharing.h"
#include "config/yaml.h"
#include "model/share.h"

#define PREFIX	 "nvidia.com/"
#define NAME	 PREFIX "gpu-memory"
#define KEEP_MIB 128 /* an MPS server takes 60 to 66 MiB of a GPU (measured.md, R580) */
#define UNIT_MAX (64u << 10)

struct reader {
	const struct kf_yaml *y;
	struct kf_findings *out;
	const struct kf_yaml_node *block;
	struct kf_share_rule *rule;
};

#define refuse(r, node, ...) kf_findings_note((r)->out, KF_FINDING_ERROR, (r)->y, node, __VA_ARGS__)

/* The text of a key, or NULL: it is not there, or of a kind that plugin.c has refused. */
static const char *text_of(const struct reader *r, const char *key,
			   const struct kf_yaml_node **node)
{
	*node = kf_yaml_get(r->block, key);
	return *node && (*node)->kind == KF_YAML_SCALAR && (*node)->text[0] ? (*node)->text : NULL;
}

/* "512Mi", "2Gi" or, in MiB, "512". */
static int parse_mib(const char *s, uint64_t *ret)
{
	char digits[12];
	size_t n = strspn(s, "0123456789");
	uint64_t times = 1;

	if (n == 0 || n >= sizeof(digits))
		return -1;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (!strcmp(s + n, "Gi"))
		times = 1024;
	else if (s[n] && strcmp(s + n, "Mi") != 0)
		return -1;
	if (kf_parse_uint(digits, UINT32_MAX, ret) < 0)
		return -1;
	*ret *= times;
	return 0;
}

static int read_size(struct reader *r, const char *key, unsigned standard, unsigned least,
		     unsigned *ret)
{
	const struct kf_yaml_node *node;
	const char *s = text_of(r, key, &node);
	uint64_t mib;

	*ret = standard;
	if (!s)
		return 0;
	if (parse_mib(s, &mib) < 0)
		return refuse(r, node, "'%.60s' is no size: 1Gi and 512Mi are", s);
	if (mib < least || mib > UNIT_MAX)
		return refuse(r, node, "%.60s is out of range: from %uMi to %uMi", s, least,
			      UNIT_MAX);
	*ret = (unsigned)mib;
	return 0;
}

/* A unit of its own has a name of its own, since pods elsewhere count in GiB. */
static void standard_name(struct kf_share_rule *rule)
{
	unsigned mib = rule->units.mib;

	if (mib == 1024)
		strcpy(rule->name, NAME);
	else if (mib % 1024 == 0)
		snprintf(rule->name, sizeof(rule->name), NAME "-%ugi", mib / 1024);
	else
		snprintf(rule->name, sizeof(rule->name), NAME "-%umi", mib);
}

static int read_name(struct reader *r)
{
	const struct kf_yaml_node *node;
	char name[KF_SHARE_NAME];

	standard_name(r->rule);
	if (!text_of(r, "name", &node))
		return 0;
	if (kf_sharing_name(r->y, node, name, r->out) < 0)
		return -1;
	if (!strcmp(name, NAME) && r->rule->units.mib != 1024)
		return refuse(r, node,
			      "stays for units of 1Gi, which pods of other nodes count in; leave "
			      "the name out to have %s",
			      r->rule->name);
	strcpy(r->rule->name, name);
	return 0;
}

static void read_fit(struct reader *r)
{
	const struct kf_yaml_node *node;
	const char *s = text_of(r, "fit", &node);

	r->rule->units.fit = s && !strcmp(s, "total") ? KF_SHARE_TOTAL : KF_SHARE_EXACT;
}

static int read_compute(struct reader *r)
{
	const struct kf_yaml_node *node;
	const char *s = text_of(r, "compute", &node);
	uint64_t n;

	r->rule->units.sms = KF_SHARE_SMS_BY_MEMORY;
	if (!s || !strcmp(s, "proportional"))
		return 0;
	if (!strcmp(s, "none")) {
		r->rule->units.sms = 0;
		return 0;
	}
	if (kf_parse_uint(s, 100, &n) < 0 || n == 0)
		return refuse(r, node,
			      "'%.60s' is none of: proportional, none, or a percentage from 1 to "
			      "100",
			      s);
	r->rule->units.sms = (int)n;
	return 0;
}

/* What is sold by the replica, all of it, is not there to be sold by the unit. */
static void check_others(struct reader *r, const struct kf_sharing *sharing)
{
	unsigned i;

	for (i = 0; i + 1 < sharing->n; i++) {
		const struct kf_share_rule *other = &sharing->rule[i];

		if (!strcmp(other->resource, r->rule->resource) && !other->first && !other->n_picks)
			refuse(r, r->block,
			       "all GPUs are shared as replicas already, by the entry in "
			       "line %u; name the devices of either",
			       other->line);
	}
}

void kf_memory_read(const struct kf_yaml *y, struct kf_settings *s, struct kf_findings *out)
{
	struct reader r = {.y = y,
			   .out = out,
			   .block = kf_yaml_get(kf_yaml_get(y->root, "kerf"), "gpuMemory")};
	const struct kf_yaml_node *devices;

	if (!r.block || r.block->kind != KF_YAML_MAP)
		return;
	r.rule = kf_sharing_add(s->sharing);
	if (!r.rule) {
		out->no_memory = 1;
		return;
	}
	strcpy(r.rule->resource, PREFIX "gpu");
	r.rule->mps = s->mps_dir[0] != '\0';
	r.rule->line = r.block->line;
	if (read_size(&r, "unit", 1024, 64, &r.rule->units.mib) < 0 ||
	    read_size(&r, "keep", KEEP_MIB, 0, &r.rule->units.keep_mib) < 0 || read_name(&r) < 0 ||
	    read_compute(&r) < 0)
		return;
	read_fit(&r);
	devices = kf_yaml_get(r.block, "devices");
	if (devices && devices->kind != KF_YAML_NULL)
		kf_sharing_devices(y, devices, r.rule, out);
	check_others(&r, s->sharing);
}
