/*
 * Nodes and targets from one line of text, and a model of the driver that carries steps out.
 *
 * What a GPU has: "3g.20gb@4 1g.5gb@0!ml/train 1g.5gb@1!4121 3g.20gb@0/1c!ml/a+2c 2g.10gb@2/-":
 * profile, start; after '/' its compute instances, one of all slices if there is no '/', none if
 * there is '-'; after '!' who holds the MIG device: a pod, or a process by its number.  "?@3" has a
 * profile that the driver does not list.
 *
 * What is wanted: "7x1g.5gb", "1x3g.20gb/1c+2c 1x4g.20gb"; "" is MIG without instances, "off" is
 * MIG off, "-" says nothing of the GPU.
 *
 * A word that makes no sense fails the running test.
 */
#pragma once

#include "model/holds.h"
#include "model/node.h"
#include "model/target.h"
#include "plan/plan.h"

struct kit {
	struct kf_node node;
	struct kf_target target;
	struct kf_holds holds;
	struct kf_gpu gpu[KF_MAX_GPUS];
	struct kf_gpu_target gpu_target[KF_MAX_GPUS];
	unsigned serial; /* of the last MIG device */
};

struct kit *kit_new(void);
struct kit *kit_free(struct kit *kit);
KF_DEFINE_AUTO(struct kit, kit_free)

/* One more GPU of this product (shapes.h), MIG on; `now` and `want` as above. */
struct kf_gpu *kit_add(struct kit *kit, const char *product, const char *now, const char *want);
void kit_want(struct kit *kit, unsigned gpu, const char *want);
/* The same without text: a GPU emptied; one instance with the compute instance that fills it. */
void kit_clear(struct kit *kit, unsigned gpu);
struct kf_instance *kit_place(struct kit *kit, unsigned gpu, unsigned profile, unsigned start);
/* A pod takes this compute instance. */
void kit_hold(struct kit *kit, const struct kf_ci *ci);
/* One more compute instance, of a kind in the profile's ci[]: 1, or 0 if there is no room. */
int kit_cut(struct kit *kit, unsigned gpu, struct kf_instance *in, unsigned ci_profile);
/* Everything that held something ends. */
void kit_release(struct kit *kit);

/*
 * Carry out one step as the driver would.  1; 0 when the driver refuses (then *why says so): no
 * such place, no room, no such instance, no compute slices left; or when a held thing would go.
 */
int kit_apply(struct kit *kit, const struct kf_step *step, const char **why);
/* Carry out all steps but the blocked; fails the test at the first that is refused. */
void kit_apply_all(struct kit *kit, const struct kf_plan *plan);
/* Plan; fails the test if the target cannot be had.  NULL: settled. */
struct kf_plan *kit_plan(const struct kit *kit);
/* Fails the test if a plan has any step but waiting ones. */
void kit_expect_waiting(const struct kit *kit);
/* Plan and carry out until it is settled; fails the test if that takes more than a few rounds. */
void kit_settle(struct kit *kit);

/* "1g.5gb@0 3g.20gb@4/1c+2c": what the GPU has, by start, in a buffer that the next call reuses. */
const char *kit_now(const struct kit *kit, unsigned gpu);
