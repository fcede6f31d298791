/*
 * MIG configurations: files of NVIDIA's mig-parted (version v1) and the built-in set, matched with
 * the GPUs of a node.  (Format and names: nvidia-stack.md 4.1, 4.5; where we differ on purpose:
 * docs/differences.md.)
 *
 * A file holds named configurations; each is a list of entries; an entry says of some GPUs whether
 * MIG is on and how many MIG devices of which profile they carry.  Entries apply in order, the
 * last that names a GPU wins; a GPU that none names is left alone.
 */
#pragma once

#include <stddef.h>

#include "base/own.h"
#include "model/node.h"
#include "model/target.h"

struct kf_error;
struct kf_mig_configs;

/*
 * Read a file ("-" is standard input; at most 1 MiB).  The whole file is checked, not only the
 * configuration that will be used: a file with a mistake anywhere is refused with its line.
 * 0 and *ret, the caller's to free; negative: *err says where and what.
 */
int kf_mig_configs_load(const char *path, struct kf_mig_configs **ret, struct kf_error *err);
/* The same for bytes in memory; `name` stands for the file in messages.  Keeps neither. */
int kf_mig_configs_parse(const char *bytes, size_t n, const char *name, struct kf_mig_configs **ret,
			 struct kf_error *err);
/*
 * The built-in set, for nodes without a file: all-disabled, all-enabled, all-balanced and
 * all-PROFILE for each profile that the driver lists, and every name of NVIDIA's default file.
 */
int kf_mig_configs_builtin(struct kf_mig_configs **ret, struct kf_error *err);
struct kf_mig_configs *kf_mig_configs_free(struct kf_mig_configs *c);
KF_DEFINE_AUTO(struct kf_mig_configs, kf_mig_configs_free)

/*
 * Put "FILE:LINE: " before a sentence of the planner, whose err->detail is a line of this file.
 * Does nothing for the built-in set, which nobody can look into.
 */
void kf_mig_configs_locate(const struct kf_mig_configs *c, struct kf_error *err);
/* The names, in the file's order.  They live as long as `c`; NULL past the end. */
size_t kf_mig_configs_count(const struct kf_mig_configs *c);
const char *kf_mig_configs_name(const struct kf_mig_configs *c, size_t i);
/* Is there a configuration of that name?  1 or 0.  (For the built-in set: on some hardware.) */
int kf_mig_configs_has(const struct kf_mig_configs *c, const char *name);

/*
 * What configuration `name` asks of `node`.  Keeps neither.  NULL for `name` means the only one.
 *
 * - `devices: all` passes over GPUs that cannot do MIG; one that is listed by index is an error.
 * - A GPU that is lost or unreadable is mentioned, with unknown_shape=1 if MIG is wanted: what it
 *   can do shows when it answers.  It does not count as a match for the last error below.
 * - A profile is found by slices, memory and attributes as well as by name (kf_shape_find).
 * - Where MIG is off and the driver does not list profiles yet (before Hopper), the GPU's target
 *   is mig=1, no wants, unknown_shape=1: turn MIG on, read again, ask again.
 * - Where a GPU already has the wanted MIG devices, however they share GPU instances, its target
 *   is what it has.
 *
 * 0          *ret, the caller's to free
 * negative   KF_E_INPUT: no such name, a profile or count that a GPU does not have, or the
 *            configuration turns MIG on and none of the GPUs here is meant; *err says which, with
 *            file and line
 */
int kf_mig_configs_target(const struct kf_mig_configs *c, const char *name,
			  const struct kf_node *node, struct kf_target **ret, struct kf_error *err);

/*
 * Is the node as `target` wants it?  1, or 0 and why ("gpu 3: has 2x 3g.20gb, wants 7x 1g.5gb").
 * GPUs that the target does not mention do not matter, nor does placement.
 */
int kf_target_matches(const struct kf_node *node, const struct kf_target *target, char *why,
		      unsigned size);
/* The same for the modes alone (mig-parted's --mode-only). */
int kf_target_modes_match(const struct kf_node *node, const struct kf_target *target, char *why,
			  unsigned size);

enum kf_mig_format { KF_MIG_YAML, KF_MIG_JSON };

/*
 * The node's present geometry as a configuration file with one configuration, `label`: GPUs that
 * carry the same become one entry, all of them `devices: all`.
 * 0 and *ret, a text, the caller's to free; negative: KF_E_NOMEM, or KF_E_STATE for a GPU instance
 * without compute instance, which the format cannot express.
 */
int kf_mig_export(const struct kf_node *node, const char *label, enum kf_mig_format format,
		  char **ret, struct kf_error *err);
