/*
 * Configuration files: MIG configurations, matched with a small node and exported again, and the
 * device plugin's.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "config/mig.h"
#include "config/plugin.h"
#include "config/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct kf_shape shape = {
	.units = 8,
	.slices = 7,
	.n = 3,
	.profile =
		{
			{.name = "1g.5gb",
			 .slices = 1,
			 .gb = 5,
			 .max = 7,
			 .size = 1,
			 .starts = 0x7f,
			 .memory_mib = 4864},
			{.name = "2g.10gb",
			 .slices = 2,
			 .gb = 10,
			 .max = 3,
			 .size = 2,
			 .starts = 0x15,
			 .memory_mib = 9856},
			{.name = "3g.20gb",
			 .slices = 3,
			 .gb = 20,
			 .max = 2,
			 .size = 4,
			 .starts = 0x11,
			 .memory_mib = 19968,
			 .n_ci = 2,
			 .ci = {{.slices = 1, .max = 3}, {.slices = 2, .max = 1}}},
		},
};

/* Three GPUs: one that lists its profiles, one that does not yet, one without MIG. */
static void match(const struct kf_mig_configs *c)
{
	static struct kf_gpu gpu[3];
	struct kf_node node = {.n_gpus = 3, .gpu = gpu};
	size_t i;

	gpu[0] = (struct kf_gpu){.pci_device = 0x20B010DE, .mig_capable = 1, .shape = shape};
	gpu[1] = (struct kf_gpu){.index = 1, .pci_device = 0x20B010DE, .mig_capable = 1};
	gpu[2] = (struct kf_gpu){.index = 2, .pci_device = 0x1EB810DE};
	for (i = 0; i < kf_mig_configs_count(c); i++) {
		const char *name = kf_mig_configs_name(c, i);
		struct kf_target *t = NULL;
		struct kf_error err = {0};
		char why[64], *text = NULL;

		if (kf_mig_configs_target(c, name, &node, &t, &err) == 0)
			kf_target_matches(&node, t, why, sizeof(why));
		kf_target_free(t);
		kf_mig_export(&node, name, KF_MIG_JSON, &text, &err);
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_mig_configs *c = NULL;
	struct kf_settings *s = NULL;
	struct kf_error err = {0};

	if (kf_mig_configs_parse((const char *)data, n, "fuzz", &c, &err) == 0)
		match(c);
	else if (!err.msg[0])
		abort(); /* a failure without its sentence */
	kf_mig_configs_free(c);
	if (kf_settings_new(&s, &err) == 0)
		kf_plugin_config_parse((const char *)data, n, "fuzz", s, &err);
	kf_settings_free(s);
	return 0;
}
