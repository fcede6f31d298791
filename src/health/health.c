/* The state machine of each GPU and slice; see health.h. */
#include "health/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* What a fault comes to. */
struct fault {
	const char *gpu;
	unsigned gi, ci;
	enum kf_fault_class fault;
	char reason[128];
};

void kf_health_done(struct kf_health *h)
{
	free(h->at);
	h->at = NULL;
	h->n = 0;
	h->capacity = 0;
}

static struct kf_ailment *find(struct kf_health *h, const char *gpu, unsigned gi, unsigned ci)
{
	unsigned i;

	for (i = 0; i < h->n; i++)
		if (h->at[i].gi == gi && h->at[i].ci == ci && !strcmp(h->at[i].gpu, gpu))
			return &h->at[i];
	return NULL;
}

static struct kf_ailment *need(struct kf_health *h, const struct fault *f)
{
	struct kf_ailment *a = find(h, f->gpu, f->gi, f->ci);

	if (a)
		return a;
	if (kf_grow(&h->at, &h->capacity, h->n + 1u, sizeof(*h->at)) < 0)
		return NULL;
	a = &h->at[h->n++];
	*a = (struct kf_ailment){.gi = f->gi, .ci = f->ci};
	snprintf(a->gpu, sizeof(a->gpu), "%s", f->gpu);
	return a;
}

/* Too often?  The oldest of the last FALLS falls is still within the window. */
static int flaps(struct kf_ailment *a, uint64_t now_ms)
{
	uint64_t *oldest = &a->fall_ms[a->n_falls % KF_HEALTH_FALLS];
	int often = a->n_falls >= KF_HEALTH_FALLS && now_ms - *oldest < KF_HEALTH_WINDOW_MS;

	*oldest = now_ms;
	a->n_falls++;
	return often;
}

/* A worse fault on top of another sets the reason; a milder one only the time. */
static int fall(struct kf_health *h, const struct fault *f, uint64_t now_ms)
{
	struct kf_ailment *a = need(h, f);
	int was_well;

	if (!a)
		return -1;
	was_well = a->state == KF_HEALTH_WELL;
	a->since_ms = now_ms;
	a->n_clean = 0;
	if (was_well || f->fault > a->fault) {
		a->fault = f->fault;
		snprintf(a->reason, sizeof(a->reason), "%s", f->reason);
	}
	if (!was_well)
		return 0;
	a->state = flaps(a, now_ms) ? KF_HEALTH_FLAPPING : KF_HEALTH_UNWELL;
	return KF_HEALTH_CHANGED;
}

static void describe(const struct kf_report *r, struct fault *f)
{
	const char *text = kf_xid_text(r->xid);

	switch (r->kind) {
	case KF_REPORT_XID:
		f->fault = kf_xid_class(r->xid);
		snprintf(f->reason, sizeof(f->reason), "XID %u%s%s%s", r->xid, *text ? " (" : "",
			 text, *text ? ")" : "");
		return;
	case KF_REPORT_ECC:
		f->fault = KF_FAULT_HARDWARE;
		snprintf(f->reason, sizeof(f->reason), "double bit ECC error");
		return;
	case KF_REPORT_UNAVAILABLE:
	default:
		f->fault = KF_FAULT_HARDWARE;
		snprintf(f->reason, sizeof(f->reason), "NVML says that the GPU is unavailable");
		return;
	}
}

int kf_health_report(struct kf_health *h, const struct kf_report *r, uint64_t now_ms)
{
	struct fault f = {.gpu = r->gpu, .gi = r->gi, .ci = r->gi == KF_NONE ? KF_NONE : r->ci};

	if (r->kind == KF_REPORT_XID ? kf_health_ignores(&h->rules, r->xid) : h->rules.checks_off)
		return 0;
	describe(r, &f);
	return fall(h, &f, now_ms);
}

/* --- probes -------------------------------------------------------------------------------- */

/* NVML's nvmlDeviceGpuRecoveryAction, in the order of its values. */
static const char *action_text(unsigned action)
{
	static const char *const text[] = {"none", "reset of the GPU", "reboot of the node",
					   "draining of peer traffic",
					   "draining, then a reset of the GPU"};

	return action < sizeof(text) / sizeof(text[0]) ? text[action]
						       : "an action that kerf has no name for";
}

/* CUDA does not start on it until the fabric manager is through; MIG does without NVLink. */
static void fabric_fault(struct fault *f)
{
	f->fault = KF_FAULT_DRIVER;
	snprintf(f->reason, sizeof(f->reason), "its NVLink fabric is not ready");
}

/* What NVML says of its health. */
static int is_sick(const struct kf_condition *now, struct fault *f)
{
	if (now->recovery && now->recovery != KF_NONE)
		snprintf(f->reason, sizeof(f->reason), "NVML asks for %s",
			 action_text(now->recovery));
	else if (now->remap_failed)
		snprintf(f->reason, sizeof(f->reason), "a row remapping has failed");
	else if (now->remap_pending)
		snprintf(f->reason, sizeof(f->reason),
			 "a row remapping waits for a reset of the GPU");
	else
		return 0;
	return 1;
}

/* What a reading finds wrong with a GPU as a whole: 1 and *f, or 0. */
static int is_bad(const struct kf_health *h, const struct kf_gpu *gpu, struct fault *f)
{
	*f = (struct fault){.gpu = gpu->uuid, .gi = KF_NONE, .ci = KF_NONE};
	f->fault = KF_FAULT_HARDWARE;
	if (gpu->state == KF_GPU_LOST) {
		snprintf(f->reason, sizeof(f->reason), "the GPU is lost");
		return 1;
	}
	if (gpu->state != KF_GPU_OK)
		return 0;
	if (gpu->fabric.waiting && !gpu->mig_current) {
		fabric_fault(f);
		return 1;
	}
	return !h->rules.checks_off && is_sick(&gpu->condition, f);
}

static int has_slice(const struct kf_gpu *gpu, unsigned gi, unsigned ci)
{
	unsigned i, c;

	for (i = 0; i < gpu->n_instances; i++) {
		const struct kf_instance *in = &gpu->instance[i];

		if (in->id != gi)
			continue;
		if (ci == KF_NONE)
			return 1;
		for (c = 0; c < in->n_ci; c++)
			if (in->ci[c].id == ci)
				return 1;
	}
	return 0;
}

/* Is the ailment's GPU or slice gone, or have its falls no weight any more? */
static int is_past(const struct kf_ailment *a, const struct kf_gpu *gpu, uint64_t now_ms)
{
	if (!gpu)
		return 1;
	if (gpu->state == KF_GPU_OK && a->gi != KF_NONE && !has_slice(gpu, a->gi, a->ci))
		return 1;
	return a->state == KF_HEALTH_WELL && a->told == KF_HEALTH_WELL &&
	       now_ms - a->since_ms >= KF_HEALTH_WINDOW_MS;
}

/* A clean probe.  1 if the device is well by it. */
static int mend(struct kf_ailment *a, uint64_t began_ms)
{
	uint64_t last = a->n_clean ? a->probed_ms : a->since_ms;

	if (a->state != KF_HEALTH_UNWELL || began_ms < last + KF_HEALTH_PROBE_MS)
		return 0;
	a->probed_ms = began_ms;
	a->n_clean++;
	if (a->fault == KF_FAULT_HARDWARE && a->n_clean < KF_HEALTH_CLEAN)
		return 0;
	a->state = KF_HEALTH_WELL;
	return 1;
}

/* New ailments.  0, 1 or -1. */
static int examine(struct kf_health *h, const struct kf_node *node, uint64_t began_ms)
{
	int changed = 0;
	struct fault f;
	unsigned g;

	for (g = 0; g < node->n_gpus; g++) {
		int r;

		if (!node->gpu[g].uuid[0] || !is_bad(h, &node->gpu[g], &f))
			continue;
		r = fall(h, &f, began_ms);
		if (r < 0)
			return -1;
		changed |= r;
	}
	return changed;
}

int kf_health_probe(struct kf_health *h, const struct kf_node *node, uint64_t began_ms)
{
	int changed = examine(h, node, began_ms);
	unsigned i, kept = 0;
	struct fault f;

	for (i = 0; i < h->n; i++) {
		struct kf_ailment *a = &h->at[i];
		const struct kf_gpu *gpu = kf_node_find_gpu(node, a->gpu);

		if (is_past(a, gpu, began_ms))
			continue;
		if (gpu->state != KF_GPU_OK || is_bad(h, gpu, &f))
			a->n_clean = 0;
		else if (mend(a, began_ms) && changed >= 0)
			changed = KF_HEALTH_CHANGED;
		h->at[kept++] = *a;
	}
	h->n = kept;
	return changed;
}

int kf_health_forget(struct kf_health *h)
{
	int changed = 0;
	unsigned i;

	for (i = 0; i < h->n; i++)
		changed |= h->at[i].state != KF_HEALTH_WELL;
	kf_health_done(h);
	return changed ? KF_HEALTH_CHANGED : 0;
}

/* --- questions ----------------------------------------------------------------------------- */

static int concerns(const struct kf_ailment *a, unsigned gi, unsigned ci)
{
	return gi == KF_NONE || a->gi == KF_NONE ||
	       (a->gi == gi && (a->ci == KF_NONE || a->ci == ci));
}

const struct kf_ailment *kf_health_of(const struct kf_health *h, const char *gpu, unsigned gi,
				      unsigned ci)
{
	const struct kf_ailment *found = NULL;
	unsigned i;

	for (i = 0; i < h->n; i++) {
		const struct kf_ailment *a = &h->at[i];

		if (a->state == KF_HEALTH_WELL || !concerns(a, gi, ci) || strcmp(a->gpu, gpu) != 0)
			continue;
		if (a->gi == KF_NONE)
			return a;
		found = found ? found : a;
	}
	return found;
}

int kf_health_is_urgent(const struct kf_health *h, uint64_t now_ms)
{
	unsigned i;

	for (i = 0; i < h->n; i++) {
		const struct kf_ailment *a = &h->at[i];
		uint64_t fell_ms = a->fall_ms[(a->n_falls - 1) % KF_HEALTH_FALLS];

		if (a->state == KF_HEALTH_UNWELL &&
		    (a->n_clean || now_ms - fell_ms < KF_HEALTH_FRESH_MS))
			return 1;
	}
	return 0;
}

void kf_ailment_text(const struct kf_ailment *a, char *out, unsigned size)
{
	if (a->state == KF_HEALTH_FLAPPING)
		snprintf(
			out, size,
			"%s; it has been so more than %d times within an hour and stays down until "
			"kerf is told to look again (SIGHUP or a restart)",
			a->reason, KF_HEALTH_FALLS);
	else if (a->state == KF_HEALTH_UNWELL && a->fault == KF_FAULT_HARDWARE)
		snprintf(out, size, "%s; back after %d clean probes in a row", a->reason,
			 KF_HEALTH_CLEAN);
	else if (a->state == KF_HEALTH_UNWELL)
		snprintf(out, size, "%s; back after a clean probe", a->reason);
	else
		snprintf(out, size, "%s: over", a->reason);
}
