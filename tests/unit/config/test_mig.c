/* MIG configurations matched with nodes, asserted and exported. */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/mig-file.h"
#include "config/mig.h"
#include "nodes.h"
#include "plan/plan.h"
#include "shapes.h"

static struct kf_mig_configs *configs(const char *text)
{
	struct kf_mig_configs *c = NULL;
	struct kf_error err = {0};

	if (kf_mig_configs_parse(text, strlen(text), "f", &c, &err) < 0)
		fail_msg("%s", err.msg);
	return c;
}

static struct kf_mig_configs *builtin(void)
{
	struct kf_mig_configs *c = NULL;
	struct kf_error err = {0};

	if (kf_mig_configs_builtin(&c, &err) < 0)
		fail_msg("%s", err.msg);
	return c;
}

static struct kf_target *target_of(const struct kf_mig_configs *c, const char *name,
				   const struct kf_node *node)
{
	struct kf_target *t = NULL;
	struct kf_error err = {0};

	if (kf_mig_configs_target(c, name, node, &t, &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

static void refuses(const struct kf_mig_configs *c, const char *name, const struct kf_node *node,
		    const char *fragment)
{
	struct kf_target *t = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_mig_configs_target(c, name, node, &t, &err), -1);
	assert_null(t);
	if (!strstr(err.msg, fragment))
		fail_msg("'%s' does not say '%s'", err.msg, fragment);
}

/* What a GPU's target asks for, in words. */
static const char *wants(const struct kf_node *node, const struct kf_target *t, unsigned gpu)
{
	static char text[256];
	struct kf_mig_devices d;

	kf_mig_devices_of_target(&node->gpu[gpu].shape, &t->gpu[gpu], &d);
	kf_mig_devices_text(&node->gpu[gpu].shape, &d, text, sizeof(text));
	return text;
}

static void the_last_entry_that_names_a_gpu_wins(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c = configs(
		"version: v1\nmig-configs:\n  c:\n"
		"  - devices: all\n    mig-enabled: true\n    mig-devices: {1g.5gb: 7}\n"
		"  - devices: [1, 2]\n    mig-enabled: true\n    mig-devices: {3g.20gb: 2}\n"
		"  - devices: [2]\n    mig-enabled: false\n");
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 a100-40 a100-40 t4");
	kf_auto(kf_target_freep) struct kf_target *t = target_of(c, "c", node);

	assert_string_equal(t->name, "c");
	assert_string_equal(wants(node, t, 0), "7x 1g.5gb");
	assert_int_equal(t->gpu[0].line, 4);
	assert_string_equal(wants(node, t, 1), "2x 3g.20gb");
	assert_int_equal(t->gpu[2].mig, 0);
	assert_int_equal(t->gpu[2].mentioned, 1);
	assert_int_equal(t->gpu[3].mentioned, 0);
}

static void filters_by_device_and_by_subsystem(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c = configs(
		"version: v1\nmig-configs:\n  c:\n"
		"  - device-filter: [\"0x233010DE\", 0x20b010de:0x134F10DE]\n    devices: all\n"
		"    mig-enabled: true\n    mig-devices: {}\n");
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 a100-40 h100-80 a30");
	kf_auto(kf_target_freep) struct kf_target *t = NULL;

	node->gpu[1].pci_subsystem = 0x134F10DE;
	t = target_of(c, NULL, node);
	assert_int_equal(t->gpu[0].mentioned, 0);
	assert_int_equal(t->gpu[1].mentioned, 1);
	assert_int_equal(t->gpu[2].mentioned, 1);
	assert_int_equal(t->gpu[3].mentioned, 0);
}

static void finds_profiles_that_firmware_spells_otherwise(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c =
		configs("version: v1\nmig-configs:\n  c:\n  - devices: all\n    mig-enabled: true\n"
			"    mig-devices: {1g.24gb: 4, 1g.23gb.me: 1}\n");
	kf_auto(kf_node_freep) struct kf_node *node = node_of("b200");
	kf_auto(kf_target_freep) struct kf_target *t = target_of(c, "c", node);

	assert_string_equal(wants(node, t, 0), "1x 1g.23gb+me, 4x 1g.23gb");
}

static void parts_share_a_gpu_instance_while_they_fit(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c =
		configs("version: v1\nmig-configs:\n  c:\n  - devices: all\n    mig-enabled: true\n"
			"    mig-devices: {1c.3g.20gb: 4, 2c.3g.20gb: 1, 1g.5gb: 1}\n");
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40");
	kf_auto(kf_target_freep) struct kf_target *t = target_of(c, "c", node);
	const struct kf_gpu_target *g = &t->gpu[0];
	const struct kf_profile *p = &node->gpu[0].shape.profile[g->want[0].profile];

	assert_int_equal(g->n, 3);
	assert_string_equal(p->name, "3g.20gb");
	assert_int_equal(g->want[0].n_ci, 2);
	assert_int_equal(p->ci[g->want[0].ci[0]].slices, 2);
	assert_int_equal(p->ci[g->want[0].ci[1]].slices, 1);
	assert_int_equal(g->want[1].n_ci, 3);
	assert_int_equal(g->want[2].n_ci, 0);
	assert_int_equal(g->want[2].count, 1);
}

static void keeps_devices_that_share_instances_in_another_way(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c =
		configs("version: v1\nmig-configs:\n  c:\n  - devices: all\n    mig-enabled: true\n"
			"    mig-devices: {1c.3g.20gb: 4}\n");
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40");
	kf_auto(kf_target_freep) struct kf_target *t = NULL;
	char why[200] = "";

	node_add(&node->gpu[0], "3g.20gb", "1 1");
	node_add(&node->gpu[0], "3g.20gb", "1 1");
	t = target_of(c, "c", node);
	assert_int_equal(t->gpu[0].n, 1);
	assert_int_equal(t->gpu[0].want[0].count, 2);
	assert_int_equal(t->gpu[0].want[0].n_ci, 2);
	assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 1);
}

static void turns_mig_on_first_where_profiles_are_not_listed(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c = builtin();
	kf_auto(kf_node_freep) struct kf_node *node = node_of("?a100-40 ?a30");
	kf_auto(kf_target_freep) struct kf_target *five = target_of(c, "all-1g.5gb", node);
	kf_auto(kf_target_freep) struct kf_target *balanced = target_of(c, "all-balanced", node);
	char why[200];

	assert_int_equal(five->gpu[0].mig, 1);
	assert_int_equal(five->gpu[0].unknown_shape, 1);
	assert_int_equal(five->gpu[0].n, 0);
	assert_int_equal(five->gpu[1].mentioned, 0);
	assert_int_equal(balanced->gpu[1].unknown_shape, 1);
	assert_int_equal(kf_target_matches(node, five, why, sizeof(why)), 0);
	assert_string_equal(why, "gpu 0: MIG is off, wanted on");
	refuses(c, "all-1g.18gb", node, "matches no GPU of this node");
}

static void an_unknown_name_is_refused_with_the_one_meant(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c =
		configs("version: v1\nmig-configs:\n"
			"  small: [{devices: all, mig-enabled: false}]\n"
			"  large: [{devices: all, mig-enabled: false}]\n");
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *b = builtin();
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40");

	refuses(c, "smal", node, "f: no configuration is called 'smal'; did you mean 'small'?");
	refuses(c, "all-balanced", node, "f: no configuration is called 'all-balanced'");
	refuses(c, NULL, node, "f: holds 2 configurations; say which one is meant");
	refuses(b, "all-2g.11gb", node,
		"built-in configuration 'all-2g.11gb' does not exist on "
		"this node; there are all-disabled, all-enabled");
	refuses(b, "all-1g.18gb", node, "matches no GPU of this node");
	refuses(b, "../../etc/passwd", node, "does not exist");
	refuses(b, "", node, "does not exist");
	assert_int_equal(kf_mig_configs_has(c, "small"), 1);
	assert_int_equal(kf_mig_configs_has(c, "all-1g.5gb"), 0);
	assert_int_equal(kf_mig_configs_has(b, "all-3g.95gb"), 1);
	assert_int_equal(kf_mig_configs_has(b, "all-nothing"), 0);
}

static void a_node_without_mig_can_be_told_to_have_none(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *b = builtin();
	kf_auto(kf_node_freep) struct kf_node *node = node_of("t4 t4");
	kf_auto(kf_target_freep) struct kf_target *t = target_of(b, "all-disabled", node);
	char why[200];

	assert_int_equal(t->gpu[0].mentioned, 0);
	assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 1);
	refuses(b, "all-enabled", node, "matches no GPU");
	refuses(b, "all-balanced", node, "matches no GPU");
}

/* Does some layout of the GPU have these instances? */
static int can_be_had(const struct kf_gpu *gpu, const struct kf_gpu_target *t)
{
	uint8_t want[KF_MAX_PROFILES] = {0};
	struct kf_geometry empty = {0}, goal;
	uint32_t keep;
	unsigned i;

	for (i = 0; i < t->n; i++)
		want[t->want[i].profile] = (uint8_t)(want[t->want[i].profile] + t->want[i].count);
	return kf_plan_layout(&gpu->shape, &empty, 0, want, &goal, &keep) == 0;
}

/* The default file's entry for this GPU agrees with what is made from the driver's list. */
static void check_name(const struct kf_mig_configs *b, const struct kf_mig_config *config,
		       const struct kf_node *node, unsigned *matched)
{
	const struct kf_gpu *gpu = &node->gpu[0];
	kf_auto(kf_target_freep) struct kf_target *t = NULL;
	struct kf_gpu_target by_file = {0};
	struct kf_mig_devices a, f;
	struct kf_error err = {0};
	unsigned i;

	for (i = 0; i < config->n_entries; i++)
		if (kf_mig_entry_matches(&config->entry[i], gpu) &&
		    kf_mig_entry_resolve("f", &config->entry[i], gpu, &by_file, &err) < 0)
			fail_msg("%s: %s", config->name, err.msg);
	if (!by_file.mentioned) {
		if (kf_mig_configs_target(b, config->name, node, &t, &err) < 0)
			assert_non_null(strstr(err.msg, "matches no GPU of this node"));
		return;
	}
	t = target_of(b, config->name, node);
	assert_int_equal(t->gpu[0].mig, by_file.mig);
	kf_mig_devices_of_target(&gpu->shape, &t->gpu[0], &a);
	kf_mig_devices_of_target(&gpu->shape, &by_file, &f);
	if (!kf_mig_devices_equal(&a, &f) || !can_be_had(gpu, &t->gpu[0]))
		fail_msg("%s on %s: %s", config->name, gpu->name, wants(node, t, 0));
	(*matched)++;
}

static void every_name_of_the_default_file_fits_its_hardware(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *b = builtin();
	unsigned i, p, matched = 0;

	for (p = 0; shape_at(p); p++) {
		kf_auto(kf_node_freep) struct kf_node *node = node_of(shape_at(p)->product);

		for (i = 0; i < b->n; i++)
			check_name(b, &b->config[i], node, &matched);
	}
	/* three names for all of 8 products, 5 to 11 of their own */
	assert_true(matched >= 8 * (3 + 5));
}

static void every_listed_profile_has_a_name_of_its_own(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *b = builtin();
	unsigned p, i;

	for (p = 0; shape_at(p); p++) {
		kf_auto(kf_node_freep) struct kf_node *node = node_of(shape_at(p)->product);
		const struct kf_shape *shape = &node->gpu[0].shape;

		for (i = 0; i < shape->n; i++) {
			kf_auto(kf_target_freep) struct kf_target *t = NULL;
			char resource[64], name[64];

			kf_profile_resource(shape->profile[i].name, resource, sizeof(resource));
			snprintf(name, sizeof(name), "all-%.50s", resource + strlen("mig-"));
			t = target_of(b, name, node);
			assert_int_equal(t->gpu[0].n, 1);
			assert_int_equal(t->gpu[0].want[0].profile, i);
			assert_int_equal(t->gpu[0].want[0].count, shape->profile[i].max);
		}
	}
}

static void a_mixed_node_takes_what_each_gpu_knows(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *b = builtin();
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 a100-80 a30 t4");
	kf_auto(kf_target_freep) struct kf_target *ten = target_of(b, "all-1g.10gb", node);
	kf_auto(kf_target_freep) struct kf_target *balanced = target_of(b, "all-balanced", node);

	assert_string_equal(wants(node, ten, 0), "4x 1g.10gb");
	assert_string_equal(wants(node, ten, 1), "7x 1g.10gb");
	assert_int_equal(ten->gpu[2].mentioned, 0);
	assert_string_equal(wants(node, balanced, 0), "1x 3g.20gb, 1x 2g.10gb, 2x 1g.5gb");
	assert_string_equal(wants(node, balanced, 2), "1x 2g.12gb, 2x 1g.6gb");
	assert_int_equal(balanced->gpu[3].mentioned, 0);
}

static void asks_a_silent_gpu_again_when_it_answers(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *b = builtin();
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c =
		configs("version: v1\nmig-configs:\n  c:\n  - device-filter: 0x20B010DE\n"
			"    devices: all\n    mig-enabled: true\n    mig-devices: {1g.5gb: 7}\n");
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 a100-40 t4");
	const struct kf_mig_configs *both[] = {b, c};
	const char *const names[] = {"all-1g.5gb", "c"};
	char why[200];
	int i;

	node->gpu[1].state = node->gpu[2].state = KF_GPU_LOST;
	snprintf(node->gpu[1].trouble, sizeof(node->gpu[1].trouble), "GPU is lost");
	for (i = 0; i < 2; i++) {
		kf_auto(kf_target_freep) struct kf_target *t = target_of(both[i], names[i], node);

		assert_int_equal(t->gpu[0].n, 1);
		assert_int_equal(t->gpu[1].mentioned, 1);
		assert_int_equal(t->gpu[1].unknown_shape, 1);
		assert_int_equal(t->gpu[1].n, 0);
		assert_int_equal(t->gpu[2].mentioned, 0);
		t->gpu[0].mentioned = 0;
		assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 0);
		assert_string_equal(why, "gpu 1 does not answer: GPU is lost");
	}
	refuses(b, "all-1g.18gb", node, "matches no GPU");
}

static void a_gpu_that_never_answered_may_be_anything(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *b = builtin();
	kf_auto(kf_node_freep) struct kf_node *node = node_of("t4 t4");
	kf_auto(kf_target_freep) struct kf_target *t = NULL;

	node->gpu[1] = (struct kf_gpu){.index = 1, .state = KF_GPU_UNREADABLE};
	t = target_of(b, "all-enabled", node);
	assert_int_equal(t->gpu[0].mentioned, 0);
	assert_int_equal(t->gpu[1].mentioned, 1);
}

static void asserts_what_is_there_and_says_what_differs(void **state)
{
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c =
		configs("version: v1\nmig-configs:\n  c:\n  - devices: all\n    mig-enabled: true\n"
			"    mig-devices: {3g.20gb: 2, 1g.5gb: 0}\n");
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 t4");
	kf_auto(kf_target_freep) struct kf_target *t = target_of(c, "c", node);
	char why[200] = "";

	node->gpu[0].mig_pending = 1;
	assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 0);
	assert_string_equal(why, "gpu 0: MIG is off, wanted on; a change is pending");
	node_add(&node->gpu[0], "3g.20gb", "3");
	assert_int_equal(kf_target_modes_match(node, t, why, sizeof(why)), 1);
	assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 0);
	assert_string_equal(why, "gpu 0: has 1x 3g.20gb, wants 2x 3g.20gb");
	node_add(&node->gpu[0], "3g.20gb", "3");
	assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 1);
	node->gpu[0].mig_pending = 0;
	assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 0);
	assert_string_equal(why, "gpu 0: MIG is on, wanted on; a change is pending");
	node_add(&node->gpu[0], "1g.5gb", "");
	assert_int_equal(kf_target_matches(node, t, why, sizeof(why)), 0);
}

static char *exported(const struct kf_node *node, enum kf_mig_format format)
{
	struct kf_error err = {0};
	char *text = NULL;

	if (kf_mig_export(node, "current", format, &text, &err) < 0)
		fail_msg("%s", err.msg);
	return text;
}

static void exports_equal_gpus_as_one_entry(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 a100-40 t4 a100-40");
	kf_auto(kf_node_freep) struct kf_node *plain = node_of("a100-40 t4");
	kf_auto_mem char *yaml = NULL, *json = NULL, *off = NULL;

	node_add(&node->gpu[0], "3g.20gb", "1 2");
	node_add(&node->gpu[0], "1g.5gb", "1");
	node_add(&node->gpu[3], "1g.5gb", "1");
	node_add(&node->gpu[3], "3g.20gb", "2 1");
	yaml = exported(node, KF_MIG_YAML);
	assert_string_equal(yaml, "version: v1\nmig-configs:\n  \"current\":\n"
				  "    - devices: [0, 3]\n      mig-enabled: true\n"
				  "      mig-devices:\n        \"1g.5gb\": 1\n"
				  "        \"2c.3g.20gb\": 1\n        \"1c.3g.20gb\": 1\n"
				  "    - devices: [1, 2]\n      mig-enabled: false\n"
				  "      mig-devices: {}\n");
	json = exported(node, KF_MIG_JSON);
	assert_non_null(strstr(json, "{\"devices\":[0, 3],\"mig-enabled\":true,\"mig-devices\":"
				     "{\"1g.5gb\":1,\"2c.3g.20gb\":1,\"1c.3g.20gb\":1}}"));
	off = exported(plain, KF_MIG_YAML);
	assert_non_null(strstr(off, "- devices: all\n      mig-enabled: false"));
}

static void what_is_exported_asserts_true(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 rtx6000 t4");
	enum kf_mig_format format;

	node_add(&node->gpu[0], "4g.20gb", "4");
	node_add(&node->gpu[0], "3g.20gb", "1 1 1");
	node_add(&node->gpu[1], "1g.24gb-me", "1");
	node_add(&node->gpu[1], "1g.24gb+me.all", "1");
	for (format = KF_MIG_YAML; format <= KF_MIG_JSON; format++) {
		kf_auto_mem char *text = exported(node, format);
		kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c = configs(text);
		kf_auto(kf_target_freep) struct kf_target *t = target_of(c, "current", node);
		char why[200];

		if (!kf_target_matches(node, t, why, sizeof(why)))
			fail_msg("%s\n%s", why, text);
		assert_int_equal(t->gpu[1].mentioned, 1);
	}
}

static void exports_nothing_that_would_be_untrue(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40");
	struct kf_error err = {0};
	char *text = NULL;

	assert_int_equal(kf_mig_export(node, "a\"b", KF_MIG_YAML, &text, &err), -1);
	node_add(&node->gpu[0], "1g.5gb", "");
	assert_int_equal(kf_mig_export(node, "x", KF_MIG_YAML, &text, &err), -1);
	assert_int_equal(err.code, KF_E_STATE);
	assert_string_equal(err.msg, "gpu 0: GPU instance 0 (1g.5gb) has no compute instance; no "
				     "configuration can say so");
	assert_null(text);
}

/* One whole use: read, match, export. */
static int use_all(const struct kf_node *node, struct kf_error *err)
{
	static const char text[] = "version: v1\nmig-configs:\n  c:\n"
				   "  - device-filter: 0x20B010DE\n    devices: [0]\n"
				   "    mig-enabled: true\n    mig-devices: {1g.5gb: 2}\n";
	kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c = NULL;
	kf_auto(kf_target_freep) struct kf_target *t = NULL;
	kf_auto_mem char *out = NULL;

	if (kf_mig_configs_parse(text, strlen(text), "f", &c, err) < 0 ||
	    kf_mig_configs_target(c, "c", node, &t, err) < 0)
		return -1;
	return kf_mig_export(node, "x", KF_MIG_YAML, &out, err);
}

static void says_so_when_memory_runs_out(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40");

	KF_FOR_EACH_OOM
	{
		struct kf_error err = {0};
		int r = use_all(node, &err);

		assert_int_equal(r, kf_alloc_failed() ? -1 : 0);
		assert_int_equal(err.code, kf_alloc_failed() ? KF_E_NOMEM : KF_E_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_entry_that_names_a_gpu_wins),
		cmocka_unit_test(filters_by_device_and_by_subsystem),
		cmocka_unit_test(finds_profiles_that_firmware_spells_otherwise),
		cmocka_unit_test(parts_share_a_gpu_instance_while_they_fit),
		cmocka_unit_test(keeps_devices_that_share_instances_in_another_way),
		cmocka_unit_test(turns_mig_on_first_where_profiles_are_not_listed),
		cmocka_unit_test(an_unknown_name_is_refused_with_the_one_meant),
		cmocka_unit_test(a_node_without_mig_can_be_told_to_have_none),
		cmocka_unit_test(every_name_of_the_default_file_fits_its_hardware),
		cmocka_unit_test(every_listed_profile_has_a_name_of_its_own),
		cmocka_unit_test(a_mixed_node_takes_what_each_gpu_knows),
		cmocka_unit_test(asks_a_silent_gpu_again_when_it_answers),
		cmocka_unit_test(a_gpu_that_never_answered_may_be_anything),
		cmocka_unit_test(asserts_what_is_there_and_says_what_differs),
		cmocka_unit_test(exports_equal_gpus_as_one_entry),
		cmocka_unit_test(what_is_exported_asserts_true),
		cmocka_unit_test(exports_nothing_that_would_be_untrue),
		cmocka_unit_test(says_so_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
