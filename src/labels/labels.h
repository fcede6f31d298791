/*
 * A node as labels: GPU Feature Discovery's names and values (nvidia-stack.md 3.2).
 *
 * Pure: a node, what was read of the machine besides (facts.h) and a few choices go in, a sorted
 * list comes out.  What is ours on a Node and what is somebody else's is said here too.
 */
#pragma once

#include <stdint.h>

#include "base/own.h"
#include "config/settings.h"
#include "model/node.h"
#include "model/share.h"

struct kf_error;
struct kf_label_facts;

struct kf_label {
	char key[80];	/* "nvidia.com/gpu.count" */
	char value[64]; /* what a label may hold: 63 bytes; may be empty */
};

/* Sorted by key, each once.  Zeroed is empty. */
struct kf_labels {
	unsigned n;
	struct kf_label *label;
	size_t capacity;
	int failed; /* no memory on the way; ask once, at the end */
};

void kf_labels_done(struct kf_labels *l);
/* Set one, over what the key had.  A longer key or value is cut. */
void kf_labels_set(struct kf_labels *l, const char *key, const char *value);
/* The value, or NULL. */
const char *kf_labels_get(const struct kf_labels *l, const char *key);

/* --- from the node ------------------------------------------------------------------------- */

enum kf_label_sharing { KF_SHARING_NONE, KF_SHARING_TIME_SLICING, KF_SHARING_MPS };

struct kf_label_choices {
	enum kf_mig_strategy strategy;
	enum kf_label_sharing sharing; /* how the rules share; with KF_SHARING_NONE they do not */
	/*
	 * May be NULL.  The first rule of a resource counts, for all its devices: there is one
	 * label for them, and NVIDIA's program knows no `devices` either.
	 */
	const struct kf_sharing *rules;
	int64_t timestamp; /* seconds since 1970 at which the program started; 0: no such label */
};

/*
 * Every label of the node.  GPUs that fell off the bus do not count; without any other only the
 * timestamp and vgpu.present are there.
 *
 * Where several models are on one node, those of the first GPU without MIG win, else those of the
 * first with MIG (NVIDIA's program picks one at random).  Where model and profile together make a
 * product of more than 63 bytes, the model is cut, so that "-MIG-..." and "-SHARED" stay.
 *
 * 0 and *ret (zeroed before), the caller's to kf_labels_done; negative: KF_E_NOMEM.
 */
int kf_labels_make(const struct kf_node *node, const struct kf_label_facts *facts,
		   const struct kf_label_choices *choices, struct kf_labels *ret,
		   struct kf_error *err);

#define KF_LABEL_PRESENT "nvidia.com/gpu.present"

/*
 * Labels of kerf's own that a nodeSelector can use, added to *ret: `which` are KF_NODE_*.  A node
 * without GPUs gets none.  0, or negative: KF_E_NOMEM, and *ret is empty.
 */
int kf_labels_add_own(const struct kf_node *node, const struct kf_label_choices *choices,
		      unsigned which, struct kf_labels *ret, struct kf_error *err);

/* --- on the Node ------------------------------------------------------------------------------ */

/*
 * Does kerf own this label of a Node?  1 for the names that kf_labels_make may give (those of any
 * MIG profile, present or not); 0 for all else, as gpu.present, gpu.deploy.*, gpu.workload.config,
 * mig.config, mig.config.state and device-plugin.config, which are others' to write.
 */
int kf_label_is_ours(const char *key);

/*
 * From what the Node has to what it shall have: `set` are the labels to write, `drop` those of ours
 * to remove (with the values they had).  `have` may hold foreign labels; they are in neither.  An
 * empty `want` removes all that is ours.
 *
 * 0 (nothing to do if both are empty; both the caller's to kf_labels_done); negative: KF_E_NOMEM.
 */
int kf_labels_diff(const struct kf_labels *have, const struct kf_labels *want,
		   struct kf_labels *set, struct kf_labels *drop, struct kf_error *err);
