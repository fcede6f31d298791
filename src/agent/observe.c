/*
 * Observe: have the driver read, and find out who holds what.
 *
 * Gathering asks PodResources (a call that may take its time), reads the kubelet's checkpoint, and
 * where only an old checkpoint still names a device, has the kubelet write it anew by sending our
 * lists again; then the ledger is brought up to date and reconcile goes on.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/internal.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define STALE_TRY_MS 20
#define STALE_TRIES  25

void kf_agent_read(struct kf_agent *a)
{
	/* What the last job has read is decided on first, or events in a row would put that off for
	 * ever. */
	if (kf_agent_is_released(a))
		return; /* read when that is over */
	if (a->job || a->gathering || uv_is_active((uv_handle_t *)&a->soon))
		a->job_wanted = 1;
	else
		kf_agent_start_job(a, NULL, 0, 0);
}

static void log_driver(const struct kf_agent *a, const struct kf_job *job)
{
	if (job->driver_state == a->driver_state)
		return;
	if (job->driver_state == KF_DRIVER_OK && job->after)
		kf_log(KF_INFO, "nvml", "driver %s: %u GPUs", job->after->driver_version,
		       job->after->n_gpus);
	else
		kf_log_fail(KF_WARN, "nvml", &job->err,
			    "nothing is offered until it answers; looking again");
}

static void log_gpus(const struct kf_agent *a)
{
	unsigned g;

	for (g = 0; g < a->node->n_gpus; g++) {
		const struct kf_gpu *gpu = &a->node->gpu[g];

		if (gpu->state != KF_GPU_OK)
			kf_log(KF_WARN, "nvml", "gpu %u %s: %s; it is listed as Unhealthy", g,
			       gpu->uuid, gpu->trouble);
	}
}

static int gpus_changed_state(const struct kf_node *before, const struct kf_node *after)
{
	unsigned g;

	if (!before || before->n_gpus != after->n_gpus)
		return 1;
	for (g = 0; g < after->n_gpus; g++)
		if (before->gpu[g].state != after->gpu[g].state)
			return 1;
	return 0;
}

/* The driver as a whole does not answer: what it had stays listed, Unhealthy, until it does. */
static void all_silent(struct kf_agent *a)
{
	unsigned g;

	for (g = 0; a->node && g < a->node->n_gpus; g++) {
		a->node->gpu[g].state = KF_GPU_LOST;
		snprintf(a->node->gpu[g].trouble, sizeof(a->node->gpu[g].trouble), "%.159s",
			 a->driver_err.msg);
	}
}

void kf_agent_take_job(struct kf_agent *a, struct kf_job *job)
{
	unsigned i;
	int changed;

	log_driver(a, job);
	if (job->driver_state != a->driver_state)
		a->quick_looks = KF_QUICK_LOOKS;
	a->driver_state = job->driver_state;
	a->driver_err = job->err;
	kf_agent_take_hardware(a, job);
	for (i = 0; i < job->n_troubles; i++)
		kf_log_fail(KF_WARN, "agent", &job->trouble[i], "going on without");
	if (job->new_files) {
		kf_files_free(a->files);
		a->files = kf_take(job->new_files);
	}
	if (!job->after) {
		all_silent(a);
		kf_agent_probe(a);
		return;
	}
	changed = gpus_changed_state(a->node, job->after);
	if (changed || job->opened)
		kf_time_slices_ask_again(&a->time_slices);
	/* The plan speaks of GPUs by their place in the node that it was made for. */
	a->plan = kf_plan_free(a->plan);
	kf_node_free(a->node);
	a->node = kf_take(job->after);
	a->caps = job->caps;
	a->cdi_written = job->cdi_written;
	kf_agent_neighbours_read(a, job);
	kf_agent_take_made(a, &job->features);
	kf_agent_probe(a);
	if (!changed)
		return;
	a->quick_looks = KF_QUICK_LOOKS;
	log_gpus(a);
}

static void checkpoint_path(const struct kf_agent *a, char *out, size_t size)
{
	snprintf(out, size, "%s/" KF_CHECKPOINT_FILE, a->set->kubelet_dir);
}

/* Which writing of the checkpoint lies there; the kubelet renames a new file over the old one. */
static void checkpoint_stamp(const struct kf_agent *a, struct kf_stamp *ret)
{
	char path[512];
	struct stat st;

	*ret = (struct kf_stamp){0};
	checkpoint_path(a, path, sizeof(path));
	if (stat(path, &st) < 0)
		return;
	ret->inode = st.st_ino;
	ret->s = st.st_mtim.tv_sec;
	ret->ns = st.st_mtim.tv_nsec;
}

/* Has the kubelet written the checkpoint since we asked for it? */
static int checkpoint_is_fresh(const struct kf_agent *a)
{
	struct kf_stamp now;

	if (!a->stale)
		return 0;
	checkpoint_stamp(a, &now);
	return now.inode != a->stale_stamp.inode || now.s != a->stale_stamp.s ||
	       now.ns != a->stale_stamp.ns;
}

/* 0, KF_HOLDINGS_STALE or negative. */
static int update_holds(struct kf_agent *a)
{
	struct kf_checkpoint checkpoint = {0};
	struct kf_sources from = {.node = a->node};
	struct kf_error err = {0};
	char path[512];
	int32_t us;
	int answer;

	checkpoint_path(a, path, sizeof(path));
	from.checkpoint_fresh = checkpoint_is_fresh(a);
	/* A kubelet that has had a plugin has a checkpoint: a missing one says nothing of holders.
	 */
	if (access(path, F_OK) < 0)
		from.checkpoint = NULL;
	else if (kf_checkpoint_read(path, &checkpoint, &err) == 0)
		from.checkpoint = &checkpoint;
	else
		kf_log_fail(KF_WARN, "kubelet", &err, "what is held stays held");
	if (a->pods_known)
		from.pods = &a->pods;
	from.overtaken = a->counts.allocated != a->allocated_before;
	kf_wall(&from.now_s, &us);
	answer = kf_holdings_update(a->ledger, &from, &a->holds, &err);
	if (answer < 0) {
		kf_log_fail(KF_ERROR, "state", &err,
			    "what is held stays held, and nothing is changed");
		if (a->config[0])
			kf_agent_say(a, KF_STATE_PENDING, err.msg);
	}
	kf_checkpoint_done(&checkpoint);
	return answer;
}

/* `answer` is update_holds's.  Without knowing who holds what nothing is decided: the next reading
 * of the GPUs leads here again. */
static void finish(struct kf_agent *a, int answer)
{
	a->gathering = 0;
	a->stale_tries = 0;
	a->stale = 0;
	if (a->stopping)
		return;
	if (answer >= 0)
		kf_agent_reconcile(a);
	if (a->job_wanted && !a->job && !kf_agent_is_released(a))
		kf_agent_start_job(a, NULL, 0, 0);
}

/* Wait for the checkpoint that we asked for; without it the old one counts. */
static void on_stale_timer(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;

	if (!checkpoint_is_fresh(a) && ++a->stale_tries < STALE_TRIES) {
		uv_timer_start(&a->stale_timer, on_stale_timer, STALE_TRY_MS, 0);
		return;
	}
	finish(a, update_holds(a));
}

static void weigh(struct kf_agent *a)
{
	int answer = update_holds(a);

	if (answer != KF_HOLDINGS_STALE || a->n_listening == 0) {
		finish(a, answer);
		return;
	}
	a->stale = 1;
	checkpoint_stamp(a, &a->stale_stamp);
	kf_kubelet_resend(a->kubelet);
	uv_timer_start(&a->stale_timer, on_stale_timer, STALE_TRY_MS, 0);
}

static void on_list(void *ud, const struct kf_podresources_row *row, unsigned n,
		    const struct kf_error *err)
{
	struct kf_agent *a = ud;

	if (a->stopping)
		return;
	if (err && a->pods_known)
		kf_log_fail(KF_WARN, "kubelet", err, "nothing is withdrawn until it answers");
	if (err)
		kf_agent_count(a, KF_TALLY_PODRESOURCES_ERROR);
	a->pods_known = !err && kf_pod_rows_take(&a->pods, row, n) == 0;
	weigh(a);
}

void kf_agent_gather(struct kf_agent *a)
{
	struct kf_error err = {0};

	if (a->gathering) {
		a->dirty = 1;
		return;
	}
	a->gathering = 1;
	a->dirty = 0;
	a->allocated_before = a->counts.allocated;
	if (a->podresources && kf_podresources_list(a->podresources, on_list, a, &err) == 0)
		return;
	a->pods_known = 0;
	weigh(a);
}
