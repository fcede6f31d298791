/*
 * Timing: have the driver use the time-slice lengths that the configuration asks for
 * (timeslice.h).  The list with a GPU's first replicas is held back until its length is set.
 */
#include "agent/internal.h"
#include "base/alloc.h"
#include "base/log.h"

/* Is this GPU among them as replicas? */
static int is_shared(const struct kf_offers *offers, const char *uuid)
{
	unsigned o, d;

	for (o = 0; o < offers->n; o++)
		for (d = 0; d < offers->offer[o].n; d++) {
			const char *id = offers->offer[o].device[d].id;

			if (kf_share_replica(id) >= 0 && kf_share_same_device(id, uuid))
				return 1;
		}
	return 0;
}

/* A GPU that does not answer stays as it is; its slices, where it is cut, have no length. */
static void want(struct kf_agent *a, const struct kf_offers *offers, const struct kf_gpu *gpu)
{
	enum kf_time_slice length = kf_share_time_slice(a->set->sharing, gpu->index, gpu->uuid);

	if (gpu->state != KF_GPU_OK || !gpu->uuid[0])
		return;
	if (a->leaving || (length != KF_SLICE_DEFAULT && !is_shared(offers, gpu->uuid) &&
			   !is_shared(&a->sale.listed, gpu->uuid)))
		length = KF_SLICE_DEFAULT;
	if (kf_time_slices_want(&a->time_slices, gpu->uuid, length) < 0)
		kf_log(KF_WARN, "agent", "gpu %s: no memory for the length of its time slices",
		       gpu->uuid);
}

int kf_agent_time_slices(struct kf_agent *a, const struct kf_offers *offers)
{
	unsigned g, set;

	if (!a->time_slices.n &&
	    (!a->set->sharing || (!a->set->sharing->time_slice && !a->set->sharing->n_timings)))
		return 0;
	for (g = 0; g < a->node->n_gpus; g++)
		want(a, offers, &a->node->gpu[g]);
	if (!kf_time_slices_due(&a->time_slices, &set))
		return 0;
	/* a job at work leads here again when it is over */
	if (!a->job && !kf_agent_is_released(a) && kf_agent_start_job(a, NULL, 0, 0) < 0)
		return 0;
	return set > 0;
}

void kf_agent_time_slices_ask(struct kf_agent *a, struct kf_job *job)
{
	struct kf_time_slices *t = &a->time_slices;
	struct kf_error err = {0};
	unsigned i, set;

	if (!kf_time_slices_due(t, &set))
		return;
	job->length = kf_calloc(t->n, sizeof(*job->length));
	if (!job->length)
		return;
	if (kf_time_slices_write(t, a->set->state_dir, &err) < 0)
		kf_log_fail(KF_WARN, "state", &err,
			    "an agent that comes later will not put the time slices back");
	for (i = 0; i < t->n; i++) {
		struct kf_job_length *one = &job->length[job->n_lengths];

		if (!t->gpu[i].is_due)
			continue;
		snprintf(one->uuid, sizeof(one->uuid), "%s", t->gpu[i].uuid);
		one->length = t->gpu[i].want;
		job->n_lengths++;
	}
}

void kf_agent_time_slices_take(struct kf_agent *a, const struct kf_job *job)
{
	struct kf_error err = {0};
	unsigned i;

	for (i = 0; i < job->n_lengths; i++) {
		const struct kf_job_length *one = &job->length[i];
		const struct kf_time_sliced *gpu = kf_time_slices_find(&a->time_slices, one->uuid);
		int is_news = gpu && (gpu->asked != one->length || gpu->err.code != KF_E_NONE);

		if (one->answer == 0 && is_news)
			kf_log(KF_INFO, "nvml", "gpu %s: time slices are %s", one->uuid,
			       kf_time_slice_text(one->length));
		else if (one->answer < 0)
			kf_log_fail(KF_WARN, "nvml", &one->err,
				    "time slices stay as long as they are");
		kf_time_slices_take(&a->time_slices, one->uuid, one->length,
				    one->answer < 0 ? &one->err : NULL);
	}
	if (job->n_lengths && kf_time_slices_write(&a->time_slices, a->set->state_dir, &err) < 0)
		kf_log_fail(KF_WARN, "state", &err, "going on without");
}
