/* Broken configuration files: each is refused with its line and a sentence that helps. */
#include "kftest.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "config/mig.h"
#include "config/plugin.h"
#include "config/settings.h"
#include "nodes.h"

/* Everything above the entry's own lines, so that those begin at 4. */
#define HEAD "version: v1\nmig-configs:\n  c:\n"
#define ON   HEAD "  - devices: all\n    mig-enabled: true\n    mig-devices:\n" /* next is 7 */

struct broken {
	const char *text;
	unsigned line;
	const char *fragment;
};

static const struct broken mig_files[] = {
	{"mig-configs: {}\n", 1, "version is missing"},
	{"version: v1\n", 1, "mig-configs is missing"},
	{"version: v2\nmig-configs: {}\n", 1, "version: 'v2' is unknown; this reads v1"},
	{"version: [v1]\nmig-configs: {}\n", 1, "version: wants a plain value, not a list"},
	{"- version: v1\n", 1, "wants a map, not a list"},
	{"just words\n", 1, "wants a map, not a plain value"},
	{"version: v1\nmig-config: {}\n", 2, "did you mean mig-configs?"},
	{"version: v1\nmig-configs: {}\n", 2, "mig-configs: holds no configuration"},
	{"version: v1\nmig-configs:\n", 2, "wants a map, not nothing"},
	{"version: v1\nmig-configs: []\n", 2, "wants a map, not a list"},
	{"version: v1\nmig-configs:\n  c: {}\n", 3, "c: wants a list, not a map"},
	{"version: v1\nmig-configs:\n  c: []\n", 3, "c: holds no entry"},
	{"version: v1\nversion: v1\n", 2, "given twice, first in line 1"},
	{HEAD "  - devices: all\n    mig-enabled: false\n  c:\n  - devices: all\n", 6,
	 "c: given twice, first in line 3"},
	{HEAD "  - all\n", 4, "wants a map, not a plain value"},
	{HEAD "  - mig-enabled: false\n", 4, "devices is missing"},
	{HEAD "  - devices: all\n", 4, "mig-enabled is missing"},
	{HEAD "  - devices: all\n    mig-enabled: true\n", 4, "mig-devices is missing"},
	{HEAD "  - devices: all\n    mig-enabled: true\n    mig-devices:\n", 6,
	 "wants a map, not nothing"},
	{HEAD "  - devices: all\n    mig-enabled: true\n    mig-device: {}\n", 6,
	 "did you mean mig-devices?"},
	{HEAD "  - devices: all\n    mig-enabled: maybe\n", 5, "wants true or false, not 'maybe'"},
	{HEAD "  - devices: all\n    mig-enabled: \"true\"\n", 5, "leave the quotes out"},
	{HEAD "  - devices: all\n    mig-enabled: 1\n", 5, "wants true or false"},
	{HEAD "  - devices: some\n    mig-enabled: false\n", 4, "wants `all` or a list"},
	{HEAD "  - devices: 0\n    mig-enabled: false\n", 4, "wants `all` or a list"},
	{HEAD "  - devices: []\n    mig-enabled: false\n", 4, "wants `all` or a list"},
	{HEAD "  - mig-enabled: false\n    devices:\n    - 0\n    - -1\n", 7, "-1 is negative"},
	{HEAD "  - mig-enabled: false\n    devices: [all]\n", 5, "wants a whole number, not 'all'"},
	{HEAD "  - mig-enabled: false\n    devices: [99999]\n", 5, "is more than 1023"},
	{HEAD "  - mig-enabled: false\n    devices: [\"0\"]\n", 5, "leave the quotes out"},
	{HEAD "  - devices: all\n    mig-enabled: false\n    mig-devices: {1g.5gb: 7}\n", 6,
	 "must be empty where mig-enabled is false"},
	{ON "      1g.5gb: -1\n", 7, "1g.5gb: -1 is negative"},
	{ON "      1g.5gb: 4294967297\n", 7, "is more than 120"},
	{ON "      1g.5gb: 99999999999999999999999999\n", 7, "is more than 120"},
	{ON "      1g.5gb: 1.5\n", 7, "wants a whole number"},
	{ON "      1g.5gb: seven\n", 7, "wants a whole number, not 'seven'"},
	{ON "      1g.5gb: \"7\"\n", 7, "leave the quotes out"},
	{ON "      1g.5gb:\n", 7, "wants a plain value, not nothing"},
	{ON "      1g.5gb: 0\n      2g.10gb: 0\n", 6, "every count is 0"},
	{ON "      1g5gb: 7\n", 7, "1g5gb: this is no MIG profile"},
	{ON "      0g.5gb: 7\n", 7, "this is no MIG profile"},
	{ON "      1g.5gb+xx: 7\n", 7, "this is no MIG profile"},
	{ON "      0c.1g.5gb: 7\n", 7, "this is no MIG profile"},
	{ON "      4c.3g.20gb: 1\n", 7, "4c does not fit into 3g"},
	{ON "      1g.5gb: 3\n      1g.5gb: 4\n", 8, "given twice, first in line 7"},
	{ON "    - 1g.5gb\n", 6, "mig-devices: wants a map, not a list"},
	{HEAD "  - device-filter: 0x20B0\n    devices: all\n    mig-enabled: false\n", 4,
	 "its low half is the vendor"},
	{HEAD "  - device-filter: A100\n    devices: all\n    mig-enabled: false\n", 4,
	 "'A100' is no device filter"},
	{HEAD "  - devices: all\n    mig-enabled: false\n    device-filter:\n"
	      "    - 0x20B010DE\n    - 0x20B210DG\n",
	 8, "'0x20B210DG' is no device filter"},
	{HEAD "  - device-filter: {0x20B010DE: 1}\n    devices: all\n    mig-enabled: false\n", 4,
	 "device-filter: wants a plain value, not a map"},
	{HEAD "  - device-filter: \"0x20B010DE:14\"\n    devices: all\n    mig-enabled: false\n", 4,
	 "is no device filter"},
	{HEAD "  - device-filter: 0x10DE20B0\n    devices: all\n    mig-enabled: false\n", 4,
	 "for NVIDIA is 10DE"},
	{HEAD "  - device-filter: []\n    devices: all\n    mig-enabled: false\n", 4,
	 "an empty list matches nothing"},
	{"version: v1\nmig-configs:\n"
	 "  a-name-that-is-longer-than-what-a-label-can-hold-which-is-63-characters: []\n",
	 3, "the name is too long"},
	{HEAD "\t- devices: all\n", 4, "a tab indents this line"},
	{"{\"version\": \"v1\",\n \"mig-configs\": {\"c\": [}}\n", 0, "not YAML"},
};

static const struct broken node_files[] = {
	{ON "      1g.5gb: 8\n", 7, "gpu 0 (a100-40) holds at most 7"},
	{ON "      1g.5gb+me: 2\n", 7, "holds at most 1"},
	{ON "      2g.10gb: 1\n      3g.20gb: 3\n", 8, "holds at most 2"},
	{ON "      1g.10gb: 1\n      1g.12gb: 1\n", 8,
	 "has no such profile; it has 1g.5gb, 2g.10gb, 3g.20gb, 4g.20gb, 7g.40gb"},
	{ON "      1g.5gb+gfx: 1\n", 7, "has no such profile"},
	{ON "      3c.4g.20gb: 1\n", 7, "cuts a 4g.20gb into 1c, 2c, 4c, not 3c"},
	{ON "      1c.3g.20gb: 7\n", 7, "holds at most 2"},
	{HEAD "  - devices: [1]\n    mig-enabled: true\n    mig-devices: {}\n", 4,
	 "devices: gpu 1 (t4) cannot do MIG"},
	{HEAD "  - devices: [7]\n    mig-enabled: true\n    mig-devices: {}\n", 3,
	 "c: matches none of the 2 GPUs"},
	{HEAD "  - device-filter: 0x233010DE\n    devices: all\n    mig-enabled: true\n"
	      "    mig-devices: {}\n",
	 3, "c: matches none"},
};

static const struct broken plugin_files[] = {
	{"version: v2\n", 1, "'v2' is unknown"},
	{"sharing:\n  timeSlicing: {}\n", 2, "resources is missing"},
	{"flags:\n  migStrategy: both\n", 2, "migStrategy: 'both' is none of: none single mixed"},
	{"migStrategy: single\nflags:\n  migStrategy: mixed\n", 3, "given twice, first in line 1"},
	{"flags:\n  failOnInitError: perhaps\n", 2, "wants true or false, not 'perhaps'"},
	{"flags:\n  plugin:\n    deviceListStrategy: [envvar, magic]\n", 3, "'magic' is none of"},
	{"flags:\n  plugin:\n    deviceListStrategy: {}\n", 3, "wants a plain value, not a map"},
	{"flags: yes\n", 1, "flags: wants a map"},
	{"flags:\n  nvidiaDriverRoot: /a\n  plugin: []\n", 3, "plugin: wants a map"},
};

static void check(const struct broken *b, int r, const struct kf_error *err)
{
	char at[16];

	snprintf(at, sizeof(at), "f:%u: ", b->line);
	if (r != -1 || err->code != KF_E_INPUT)
		fail_msg("accepted, wants '%s':\n%s", b->fragment, b->text);
	if (b->line && strncmp(err->msg, at, strlen(at)) != 0)
		fail_msg("'%s' is not in line %u:\n%s", err->msg, b->line, b->text);
	if (!strstr(err->msg, b->fragment))
		fail_msg("'%s' does not say '%s':\n%s", err->msg, b->fragment, b->text);
}

static void refuses_broken_mig_files_by_line(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(mig_files) / sizeof(mig_files[0]); i++) {
		const struct broken *b = &mig_files[i];
		struct kf_mig_configs *c = NULL;
		struct kf_error err = {0};

		check(b, kf_mig_configs_parse(b->text, strlen(b->text), "f", &c, &err), &err);
		assert_null(c);
	}
}

static void refuses_what_the_gpus_cannot_do_by_line(void **state)
{
	kf_auto(kf_node_freep) struct kf_node *node = node_of("a100-40 t4");
	size_t i;

	for (i = 0; i < sizeof(node_files) / sizeof(node_files[0]); i++) {
		const struct broken *b = &node_files[i];
		kf_auto(kf_mig_configs_freep) struct kf_mig_configs *c = NULL;
		struct kf_target *t = NULL;
		struct kf_error err = {0};

		if (kf_mig_configs_parse(b->text, strlen(b->text), "f", &c, &err) < 0)
			fail_msg("%s", err.msg);
		check(b, kf_mig_configs_target(c, "c", node, &t, &err), &err);
		assert_null(t);
	}
}

static void refuses_broken_plugin_files_by_line(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(plugin_files) / sizeof(plugin_files[0]); i++) {
		const struct broken *b = &plugin_files[i];
		kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
		struct kf_error err = {0};

		assert_int_equal(kf_settings_new(&s, &err), 0);
		check(b, kf_plugin_config_parse(b->text, strlen(b->text), "f", s, &err), &err);
	}
}

/* NVIDIA's plugin does not look at them, so a file in use keeps working; but the slip is told. */
static void tells_unknown_keys_and_goes_on(void **state)
{
	static const char text[] = "version: v1\nflag: {}\nflags:\n  migStratgy: none\n"
				   "  migStrategy: mixed\n  plugin:\n    deviceIdStrategy: uuid\n";
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_settings_new(&s, &err), 0);
	if (kf_plugin_config_parse(text, strlen(text), "f", s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s->mig_strategy, KF_MIG_MIXED);
	assert_string_equal(s->notes,
			    "f:2: flag: unknown key; did you mean flags?\n"
			    "f:4: migStratgy: unknown key; did you mean migStrategy?\n"
			    "f:7: deviceIdStrategy: unknown key; did you mean deviceIDStrategy?\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_unknown_keys_and_goes_on),
		cmocka_unit_test(refuses_broken_mig_files_by_line),
		cmocka_unit_test(refuses_what_the_gpus_cannot_do_by_line),
		cmocka_unit_test(refuses_broken_plugin_files_by_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
