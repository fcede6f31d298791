/* How devices are shared and named; see sharing.h. */
#include "config/sharing.h"

#include <stdio.h>
#include <string.h>

#include "config/findings.h"
#include "config/keys.h"
#include "config/memory.h"
#include "config/settings.h"
#include "config/timeslice.h"
#include "config/yaml.h"
#include "model/profile.h"
#include "model/share.h"

#define PREFIX "nvidia.com/"
#define SHARED ".shared"

enum { HONOUR_RENAME = 1, HONOUR_DEVICES = 2, HONOUR_RESOURCES = 4 };

struct reader {
	const struct kf_yaml *y;
	struct kf_settings *s;
	struct kf_findings *out;
	unsigned honour;
	struct kf_sharing *sharing; /* what is being filled in */
	const struct kf_yaml_node *block;
	int renamed, mps;
};

#define find(r, kind, node, ...) kf_findings_note((r)->out, kind, (r)->y, node, __VA_ARGS__)

/* The text of a scalar, or NULL: it is none. */
static const char *text_of(const struct kf_yaml_node *node)
{
	return node && node->kind == KF_YAML_SCALAR ? node->text : NULL;
}

static int is_true(const struct kf_yaml *y, const struct kf_yaml_node *node)
{
	struct kf_error ignored;
	int on = 0;

	return node && kf_yaml_bool(y, node, &on, &ignored) == 0 && on;
}

static unsigned honour_word(const char *word)
{
	if (!strcmp(word, "rename"))
		return HONOUR_RENAME;
	if (!strcmp(word, "devices"))
		return HONOUR_DEVICES;
	return !strcmp(word, "resources") ? HONOUR_RESOURCES : 0;
}

static unsigned read_honour(const struct kf_yaml *y)
{
	const struct kf_yaml_node *list = kf_yaml_get(kf_yaml_get(y->root, "kerf"), "honour");
	unsigned bits = 0;

	if (text_of(list))
		return honour_word(list->text);
	for (kf_yaml_each(word, list))
		if (text_of(word))
			bits |= honour_word(word->text);
	return bits;
}

/* --- names --------------------------------------------------------------------------------- */

/* Labels of a-z, 0-9 and -, apart by dots, each beginning and ending in a letter or digit. */
static int is_subdomain(const char *s)
{
	static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

	for (;;) {
		size_t n = strspn(s, inner);

		if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
			return 0;
		if (!s[n])
			return 1;
		if (s[n] != '.')
			return 0;
		s += n + 1;
	}
}

/* A resource's name, whole, from one that may lack "nvidia.com/".  0, or -1 and the finding. */
static int read_name(struct reader *r, const struct kf_yaml_node *node, char out[KF_SHARE_NAME])
{
	const char *s = text_of(node), *tail;

	if (!s)
		return -1;
	tail = strncmp(s, PREFIX, sizeof(PREFIX) - 1) ? s : s + sizeof(PREFIX) - 1;
	if (strchr(tail, '/')) {
		find(r, KF_FINDING_ERROR, node,
		     "'%.80s' is of another vendor; kerf offers nvidia.com/...", s);
		return -1;
	}
	if (!is_subdomain(tail)) {
		find(r, KF_FINDING_ERROR, node,
		     "'%.80s' cannot be a resource: a-z, 0-9, '-' and '.' may stand in it", s);
		return -1;
	}
	if (strlen(tail) + sizeof(PREFIX) > KF_SHARE_NAME) {
		find(r, KF_FINDING_ERROR, node, "'%s%.80s' is longer than 63 characters", PREFIX,
		     tail);
		return -1;
	}
	snprintf(out, KF_SHARE_NAME, PREFIX "%.52s", tail);
	return 0;
}

int kf_sharing_name(const struct kf_yaml *y, const struct kf_yaml_node *node,
		    char out[KF_SHARE_NAME], struct kf_findings *findings)
{
	struct reader r = {.y = y, .out = findings};

	return read_name(&r, node, out);
}

static int is_named_in_file(const struct reader *r, const char *resource)
{
	unsigned i;

	for (i = 0; i < r->s->sharing->n_namings; i++)
		if (!strcmp(r->s->sharing->naming[i].name, resource))
			return 1;
	return 0;
}

/* A name that no device of NVIDIA's has is shared by nobody: a slip, but nothing to refuse. */
static void check_resource(struct reader *r, const struct kf_yaml_node *node, const char *resource)
{
	const char *tail = resource + sizeof(PREFIX) - 1;
	struct kf_profile_name ignored;

	if (!strcmp(tail, "gpu") || is_named_in_file(r, resource))
		return;
	if (!strncmp(tail, "mig-", 4) && kf_profile_name_parse(tail + 4, &ignored) == 0)
		return;
	if (!strcmp(tail, "gpu.shared"))
		find(r, KF_FINDING_UNKNOWN, node,
		     "%s is what replicas are called; the resource that is shared is "
		     "nvidia.com/gpu",
		     resource);
	else
		find(r, KF_FINDING_UNKNOWN, node,
		     "no device is called %s: nvidia.com/gpu and nvidia.com/mig-1g.5gb are names "
		     "that are",
		     resource);
}

/* --- one entry of `resources` -------------------------------------------------------------- */

static int has_unknown_key(const struct kf_yaml_node *entry)
{
	char path[160];
	struct kf_key key;

	for (kf_yaml_each(node, entry)) {
		snprintf(path, sizeof(path), "sharing.timeSlicing.resources[].%.80s", node->key);
		if (kf_key_find(path, &key) != KF_KEY_IS)
			return 1;
	}
	return 0;
}

static int is_given(const struct kf_yaml_node *node)
{
	return node && node->kind != KF_YAML_NULL;
}

/* The article's form has no replicas; a slip such as `replica: 4` must not become ten of them. */
static int assume_replicas(struct reader *r, const struct kf_yaml_node *entry,
			   struct kf_share_rule *rule)
{
	if (r->mps || has_unknown_key(entry)) {
		find(r, KF_FINDING_ERROR, entry, "replicas is missing: how many of each device%s",
		     r->mps ? "" : "; is one of the keys a slip of it?");
		return -1;
	}
	rule->replicas = KF_SHARE_ARTICLE;
	rule->assumed = 1;
	find(r, KF_FINDING_NOTE, entry,
	     "%s has no replicas: 10 of each device are offered; write `replicas: 10` to say so",
	     rule->resource);
	return 0;
}

static int read_replicas(struct reader *r, const struct kf_yaml_node *entry,
			 struct kf_share_rule *rule)
{
	const struct kf_yaml_node *node = kf_yaml_get(entry, "replicas");
	struct kf_error ignored;
	uint64_t n;

	if (!is_given(node))
		return assume_replicas(r, entry, rule);
	if (kf_yaml_uint(r->y, node, KF_SHARE_REPLICAS, &n, &ignored) < 0 || n < 2)
		return -1;
	rule->replicas = (unsigned)n;
	return 0;
}

static int read_rename(struct reader *r, const struct kf_yaml_node *entry,
		       struct kf_share_rule *rule)
{
	const struct kf_yaml_node *node = kf_yaml_get(entry, "rename");
	char name[KF_SHARE_NAME];

	snprintf(rule->name, sizeof(rule->name), "%s", rule->resource);
	if (r->renamed) {
		if (strlen(rule->resource) + sizeof(SHARED) > sizeof(rule->name)) {
			find(r, KF_FINDING_ERROR, entry,
			     "%s" SHARED " is longer than 63 characters", rule->resource);
			return -1;
		}
		strcat(rule->name, SHARED);
	}
	if (!is_given(node) || (text_of(node) && !node->text[0]))
		return 0;
	if (read_name(r, node, name) < 0)
		return -1;
	if (r->honour & HONOUR_RENAME)
		strcpy(rule->name, name);
	else if (strcmp(name, rule->name) != 0)
		find(r, KF_FINDING_NOTE, node,
		     "dropped, as NVIDIA's plugin does: the replicas are called %s; write `kerf: "
		     "{honour: [rename]}` to have it",
		     rule->name);
	return 0;
}

static int read_pick(struct reader *r, const struct kf_yaml_node *node, struct kf_share_rule *rule)
{
	struct kf_share_pick parsed, *pick;
	const char *s = text_of(node);

	if (!s || kf_share_pick_parse(s, &parsed) < 0) {
		find(r, KF_FINDING_ERROR, node,
		     "'%.100s' is no device: 0 (a GPU), \"0:1\" (a slice), GPU-... or MIG-... is "
		     "expected",
		     s ? s : "");
		return -1;
	}
	pick = kf_share_rule_add(rule);
	if (!pick) {
		r->out->no_memory = 1;
		return -1;
	}
	*pick = parsed;
	return 0;
}

/* `devices` into the rule: 0, or -1 with the finding. */
static int parse_devices(struct reader *r, const struct kf_yaml_node *node,
			 struct kf_share_rule *rule)
{
	struct kf_error err = {0};
	uint64_t n;

	if (node->kind == KF_YAML_LIST) {
		if (!node->n)
			find(r, KF_FINDING_ERROR, node, "names none; leave it out for all devices");
		for (kf_yaml_each(one, node))
			if (read_pick(r, one, rule) < 0)
				return -1;
		return node->n ? 0 : -1;
	}
	if (text_of(node) && !strcmp(node->text, "all"))
		return 0;
	if (node->kind != KF_YAML_SCALAR || node->text[0] < '0' || node->text[0] > '9') {
		find(r, KF_FINDING_ERROR, node,
		     "wants all, a number of devices, or a list of them");
		return -1;
	}
	if (kf_yaml_uint(r->y, node, 100000, &n, &err) < 0) {
		kf_findings_add(r->out, KF_FINDING_ERROR, node->line, &err);
		return -1;
	}
	if (n == 0) {
		find(r, KF_FINDING_ERROR, node, "0 devices: leave the entry out instead");
		return -1;
	}
	rule->first = (unsigned)n;
	return 0;
}

int kf_sharing_devices(const struct kf_yaml *y, const struct kf_yaml_node *node,
		       struct kf_share_rule *rule, struct kf_findings *out)
{
	struct reader r = {.y = y, .out = out};

	return parse_devices(&r, node, rule);
}

static int read_devices(struct reader *r, const struct kf_yaml_node *entry,
			struct kf_share_rule *rule)
{
	const struct kf_yaml_node *node = kf_yaml_get(entry, "devices");

	if (!is_given(node))
		return 0;
	if (parse_devices(r, node, rule) < 0)
		return -1;
	if (r->honour & HONOUR_DEVICES || (!rule->first && !rule->n_picks))
		return 0;
	rule->first = rule->n_picks = 0;
	find(r, KF_FINDING_NOTE, node,
	     "dropped, as NVIDIA's plugin does: all devices are shared; write `kerf: {honour: "
	     "[devices]}` to have it");
	return 0;
}

/* An entry that speaks of all devices leaves nothing for a second one of the same name. */
static void check_twice(struct reader *r, const struct kf_yaml_node *entry, unsigned at)
{
	const struct kf_share_rule *rule = &r->sharing->rule[at];
	unsigned i;

	for (i = 0; i < at; i++) {
		const struct kf_share_rule *before = &r->sharing->rule[i];

		if (strcmp(before->resource, rule->resource) != 0 || before->first ||
		    before->n_picks)
			continue;
		find(r, KF_FINDING_ERROR, entry,
		     "all of %s are shared already, by the entry in line %u", rule->resource,
		     before->line);
		return;
	}
}

static void read_entry(struct reader *r, const struct kf_yaml_node *entry)
{
	const struct kf_yaml_node *name = kf_yaml_get(entry, "name");
	struct kf_share_rule *rule;
	int bad = 0;

	if (entry->kind != KF_YAML_MAP)
		return;
	rule = kf_sharing_add(r->sharing);
	if (!rule) {
		r->out->no_memory = 1;
		return;
	}
	rule->line = entry->line;
	rule->mps = r->mps;
	if (read_name(r, name, rule->resource) < 0)
		bad = 1;
	else
		check_resource(r, name, rule->resource);
	bad |= read_replicas(r, entry, rule) < 0;
	bad |= read_rename(r, entry, rule) < 0;
	bad |= read_devices(r, entry, rule) < 0;
	if (!bad)
		check_twice(r, entry, r->sharing->n - 1);
}

/* --- blocks -------------------------------------------------------------------------------- */

static void read_namings(struct reader *r, const struct kf_yaml_node *list, int mig)
{
	for (kf_yaml_each(entry, list)) {
		const struct kf_yaml_node *pattern = kf_yaml_get(entry, "pattern");
		const struct kf_yaml_node *name = kf_yaml_get(entry, "name");
		struct kf_share_naming naming = {.mig = mig}, *at;

		if (!text_of(pattern) || !text_of(name) || read_name(r, name, naming.name) < 0)
			continue;
		if (strlen(pattern->text) >= sizeof(naming.pattern)) {
			find(r, KF_FINDING_ERROR, pattern, "is longer than any product's name");
			continue;
		}
		strcpy(naming.pattern, pattern->text);
		at = r->honour & HONOUR_RESOURCES ? kf_sharing_add_naming(r->sharing) : NULL;
		if (at)
			*at = naming;
		else if (r->honour & HONOUR_RESOURCES)
			r->out->no_memory = 1;
	}
}

static void read_resources(struct reader *r)
{
	const struct kf_yaml_node *node = kf_yaml_get(r->y->root, "resources");
	const struct kf_yaml_node *gpus = kf_yaml_get(node, "gpus");
	const struct kf_yaml_node *mig = kf_yaml_get(node, "mig");

	read_namings(r, gpus, 0);
	read_namings(r, mig, 1);
	if (r->honour & HONOUR_RESOURCES || !((gpus && gpus->n) || (mig && mig->n)))
		return;
	find(r, KF_FINDING_NOTE, node,
	     "dropped, as NVIDIA's plugin does: the usual names are offered; write `kerf: {honour: "
	     "[resources]}` to have it");
}

static void read_block(struct reader *r, const struct kf_yaml_node *block, int mps,
		       struct kf_sharing *into)
{
	const struct kf_yaml_node *list = kf_yaml_get(block, "resources");
	const struct kf_yaml_node *fail = kf_yaml_get(block, "failRequestsGreaterThanOne");

	r->sharing = into;
	r->mps = mps;
	r->renamed = is_true(r->y, kf_yaml_get(block, "renameByDefault"));
	into->fail_greater_than_one = is_given(fail) ? is_true(r->y, fail) : mps;
	if (!is_given(list))
		find(r, KF_FINDING_ERROR, block,
		     "resources is missing: name what is shared, or leave the block out");
	else if (list->kind == KF_YAML_LIST && !list->n)
		find(r, KF_FINDING_ERROR, list,
		     "is empty: name what is shared, or leave the block out");
	if (list && list->kind == KF_YAML_LIST)
		for (kf_yaml_each(entry, list))
			read_entry(r, entry);
}

static void check_mps(struct reader *r, const struct kf_yaml_node *mps,
		      const struct kf_yaml_node *slicing)
{
	if (is_given(slicing))
		find(r, KF_FINDING_ERROR, mps,
		     "stands beside timeSlicing in line %u, which NVIDIA's plugin would then "
		     "ignore; leave one of them out",
		     slicing->line);
	if (r->s->mig_strategy == KF_MIG_MIXED)
		find(r, KF_FINDING_ERROR, mps,
		     "does not go together with migStrategy mixed; none and single do");
	if (!r->s->mps_dir[0])
		find(r, KF_FINDING_NOTE, mps,
		     "not served without --mps-dir, where `kerf mps` has its daemons: devices are "
		     "sold whole");
}

int kf_sharing_read(const struct kf_yaml *y, struct kf_settings *s, struct kf_findings *out)
{
	struct reader r = {.y = y, .s = s, .out = out, .honour = read_honour(y)};
	const struct kf_yaml_node *sharing = kf_yaml_get(y->root, "sharing");
	const struct kf_yaml_node *slicing = kf_yaml_get(sharing, "timeSlicing");
	const struct kf_yaml_node *mps = kf_yaml_get(sharing, "mps");

	kf_sharing_free(s->sharing);
	kf_sharing_free(s->mps);
	s->mps = NULL;
	s->sharing = r.sharing = kf_sharing_new();
	if (!s->sharing)
		return -1;
	read_resources(&r);
	if (slicing && slicing->kind == KF_YAML_MAP)
		read_block(&r, slicing, 0, s->sharing);
	if (mps && mps->kind == KF_YAML_MAP) {
		s->mps = kf_sharing_new();
		if (!s->mps)
			return -1;
		read_block(&r, mps, 1, s->mps_dir[0] ? s->sharing : s->mps);
		check_mps(&r, mps, slicing);
	}
	kf_memory_read(y, s, out);
	kf_time_slice_read(y, s, out);
	return out->no_memory ? -1 : 0;
}
