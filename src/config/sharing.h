/*
 * The parts of the device plugin's file that say how devices are shared and named: `sharing`,
 * `resources` and `kerf.honour` (nvidia-stack.md 1.1).
 *
 * What NVIDIA's plugin reads and then drops (`rename`, `devices`, `resources`) counts only where
 * kerf.honour lists it, since names and numbers would change under running clusters; elsewhere it
 * is noted.
 */
#pragma once

#include "model/share.h"

struct kf_findings;
struct kf_settings;
struct kf_share_rule;
struct kf_yaml;
struct kf_yaml_node;

/*
 * Into s->sharing and s->mps; what is wrong or surprising goes to `out`.  Wrong types are passed
 * over: plugin.c finds those.  0, or -1: no memory.
 */
int kf_sharing_read(const struct kf_yaml *y, struct kf_settings *s, struct kf_findings *out);

/* A resource's name, whole, from one that may lack "nvidia.com/": 0, or -1 and what is wrong is in
 * `findings`; a value that is no text is plugin.c's to refuse. */
int kf_sharing_name(const struct kf_yaml *y, const struct kf_yaml_node *node,
		    char out[KF_SHARE_NAME], struct kf_findings *findings);
/* A list of devices, as `devices` has it, into the rule: 0, or -1 and what is wrong is in `out`. */
int kf_sharing_devices(const struct kf_yaml *y, const struct kf_yaml_node *node,
		       struct kf_share_rule *rule, struct kf_findings *out);
