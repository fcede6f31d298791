/* What is done off the loop; see job.h. */
#include "agent/job.h"
#include "agent/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/own.h"
#include "base/text.h"
#include "cdi/spec.h"
#include "labels/facts.h"
#include "labels/file.h"
#include "mig/mig.h"
#include "nvml/nvml.h"
#include "nvml/read.h"
#include "nvml/smi.h"
#include "state/intent.h"
#include "state/saved.h"

const char *kf_job_root(const struct kf_settings *set)
{
	if (strcmp(set->root, "/") != 0)
		return set->root;
	return strcmp(set->driver_root, "/") ? set->driver_root : "";
}

/*
 * In a container the host's root is mounted somewhere (--root) and the runtime sees it elsewhere:
 * --nvidia-driver-root is a path of the host, as NVIDIA's is.
 */
const char *kf_job_host_root(const struct kf_settings *set)
{
	if (set->from[KF_SET_driver_root] == KF_FROM_DEFAULT || !strcmp(set->root, "/"))
		return NULL;
	return strcmp(set->driver_root, "/") ? set->driver_root : "";
}

struct kf_job *kf_job_new(const struct kf_step *steps, unsigned n, const struct kf_holds *holds)
{
	kf_auto(kf_job_freep) struct kf_job *job = kf_calloc(1, sizeof(*job));
	unsigned i;

	if (!job)
		return NULL;
	job->steps = kf_calloc(n, sizeof(*job->steps));
	job->outcome = kf_calloc(n, sizeof(*job->outcome));
	if (!job->steps || !job->outcome)
		return NULL;
	if (n)
		memcpy(job->steps, steps, n * sizeof(*steps));
	job->n_steps = n;
	for (i = 0; i < n; i++)
		job->outcome[i].answer = KF_OUTCOME_SKIPPED;
	for (i = 0; holds && i < holds->n; i++)
		if (kf_holds_add(&job->holds, &holds->hold[i]) < 0)
			return NULL;
	return kf_take(job);
}

struct kf_job *kf_job_free(struct kf_job *job)
{
	if (job) {
		free(job->steps);
		free(job->outcome);
		free(job->length);
		kf_holds_done(&job->holds);
		kf_node_free(job->after);
		kf_files_free(job->new_files);
		kf_labels_done(&job->features);
		free(job);
	}
	return NULL;
}

static void trouble(struct kf_job *job, const struct kf_error *err)
{
	if (job->n_troubles < sizeof(job->trouble) / sizeof(job->trouble[0]))
		job->trouble[job->n_troubles++] = *err;
}

static int open_driver(struct kf_job *job)
{
	const char *root = kf_job_root(job->set);
	int answer;

	job->driver_state = KF_DRIVER_OK;
	if (*job->driver)
		return 0;
	answer = kf_nvml_open(root[0] ? root : NULL, job->driver, &job->err);
	if (answer == 0) {
		job->opened = 1;
		return 0;
	}
	job->driver_state = answer == KF_NVML_ABSENT	  ? KF_DRIVER_ABSENT
			    : answer == KF_NVML_NO_DRIVER ? KF_DRIVER_NOT_LOADED
							  : KF_DRIVER_FAILED;
	return -1;
}

/* Before the first step the disk knows what is about to happen. */
static int write_intent(struct kf_job *job, struct kf_error *err)
{
	kf_auto(kf_intent_freep) struct kf_intent *intent = NULL;
	char text[160];
	int32_t us;
	int64_t s;
	unsigned i;

	kf_wall(&s, &us);
	intent = kf_intent_new(job->config, "", s);
	for (i = 0; intent && i < job->n_steps; i++) {
		kf_step_text(job->before, &job->steps[i], text, sizeof(text));
		if (kf_intent_add(intent, job->before->gpu[job->steps[i].gpu].uuid, text) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory for the intent");
	}
	if (!intent)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the intent");
	return kf_intent_begin(job->set->state_dir, intent, err);
}

/* One GPU's trouble ends its own steps; the others go on. */
static void run_steps(struct kf_job *job)
{
	uint32_t stopped = 0;
	unsigned i;

	for (i = 0; i < job->n_steps; i++) {
		const struct kf_step *step = &job->steps[i];
		struct kf_outcome *out = &job->outcome[i];
		uint64_t begin = uv_hrtime();

		if (stopped >> step->gpu & 1)
			continue;
		out->answer = kf_mig_step(*job->driver, job->before, step, &out->err);
		out->us = (unsigned)((uv_hrtime() - begin) / 1000);
		if (out->answer != 0)
			stopped |= 1u << step->gpu;
	}
}

/* Nothing is changed on any GPU, which the first step of each is told. */
static void refuse_all(struct kf_job *job, const struct kf_error *err)
{
	uint32_t told = 0;
	unsigned i;

	for (i = 0; i < job->n_steps; i++) {
		unsigned gpu = job->steps[i].gpu;

		if (told >> gpu & 1)
			continue;
		told |= 1u << gpu;
		job->outcome[i].answer = -1;
		job->outcome[i].err = *err;
	}
}

static void carry_out(struct kf_job *job)
{
	struct kf_error err = {0};

	if (job->n_steps == 0)
		return;
	if (write_intent(job, &err) < 0) {
		kf_prefix(&err, "nothing is changed, since the intent cannot be written");
		refuse_all(job, &err);
		return;
	}
	run_steps(job);
}

/* Every GPU silent: the session is dead, as after a driver reload. */
static int session_is_dead(const struct kf_node *node)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (node->gpu[g].state == KF_GPU_OK)
			return 0;
	return node->n_gpus > 0;
}

static void read_node(struct kf_job *job)
{
	const struct kf_node *before = job->before;
	int again;

	for (again = 0; again < 2; again++) {
		if (open_driver(job) < 0)
			return;
		if (kf_nvml_read(*job->driver, kf_job_root(job->set), before, &job->after,
				 &job->err) == 0 &&
		    !session_is_dead(job->after))
			return;
		/* Look once more with a session of its own before giving up. */
		*job->driver = kf_nvml_close(*job->driver);
		if (again == 0)
			job->after = kf_node_free(job->after);
	}
	job->driver_state = job->after ? KF_DRIVER_OK : KF_DRIVER_FAILED;
}

static void make_device_nodes(struct kf_job *job)
{
	const char *root = kf_job_root(job->set);
	struct kf_error err = {0};
	unsigned g, i, c;

	if (kf_caps_ensure_base(&job->caps, root, job->after, KF_CAPS_ASK, &err) < 0)
		trouble(job, &err);
	for (g = 0; g < job->after->n_gpus; g++) {
		const struct kf_gpu *gpu = &job->after->gpu[g];

		for (i = 0; i < gpu->n_instances; i++)
			for (c = 0; c < gpu->instance[i].n_ci; c++)
				if (kf_caps_ensure(&job->caps, root, gpu->minor,
						   gpu->instance[i].id, gpu->instance[i].ci[c].id,
						   KF_CAPS_ASK, &err) < 0)
					trouble(job, &err);
	}
}

static int same_slices(const struct kf_instance *a, const struct kf_instance *b)
{
	unsigned c;

	if (a->id != b->id || a->start != b->start || a->n_ci != b->n_ci)
		return 0;
	for (c = 0; c < a->n_ci; c++)
		if (a->ci[c].id != b->ci[c].id || strcmp(a->ci[c].uuid, b->ci[c].uuid) != 0)
			return 0;
	return 1;
}

static int same_devices(const struct kf_node *a, const struct kf_node *b)
{
	unsigned g, i;

	if (a->n_gpus != b->n_gpus || strcmp(a->driver_version, b->driver_version) != 0)
		return 0;
	for (g = 0; g < a->n_gpus; g++) {
		const struct kf_gpu *x = &a->gpu[g], *y = &b->gpu[g];

		if (x->state != y->state || x->minor != y->minor || strcmp(x->uuid, y->uuid) != 0 ||
		    x->n_instances != y->n_instances)
			return 0;
		for (i = 0; i < x->n_instances; i++)
			if (!same_slices(&x->instance[i], &y->instance[i]))
				return 0;
	}
	return 1;
}

/*
 * A poll that finds what was there before writes nothing: file and labels for eight GPUs take
 * milliseconds to make.  What is held does not matter then, since no device has gone.
 */
static int nothing_new(const struct kf_job *job)
{
	char path[512];

	if (!job->cdi_written || job->opened || job->new_files || job->n_steps || !job->before ||
	    !same_devices(job->before, job->after))
		return 0;
	snprintf(path, sizeof(path), "%s/" KF_SPEC_FILE, job->set->cdi_dir);
	return access(path, F_OK) == 0;
}

/* What pods hold stays in the CDI file, so that their containers can restart. */
static void take_back(struct kf_job *job)
{
	static const struct kf_node none;
	struct kf_cdi_view view = {.root = kf_job_root(job->set),
				   .host_root = kf_job_host_root(job->set),
				   .node = &none,
				   .files = job->new_files ? job->new_files : job->files,
				   .caps = &job->caps};
	kf_auto_mem char *features = kf_features_path(job->set);
	struct kf_error err = {0};

	if (job->set->labels == KF_LABELS_FILE && features && kf_labels_remove(features, &err) < 0)
		trouble(job, &err);
	if (job->set->cdi_dir[0] && !job->leave_cdi &&
	    kf_spec_write(job->set->cdi_dir, &view, &job->holds, NULL, &err) < 0)
		trouble(job, &err);
}

/* Device nodes and the CDI file, for what the node has now. */
static void bring_up_to_date(struct kf_job *job)
{
	const char *root = kf_job_root(job->set);
	struct kf_cdi_view view = {.root = root,
				   .host_root = kf_job_host_root(job->set),
				   .node = job->after,
				   .caps = &job->caps};
	struct kf_spec_options opt = {.index_names = job->set->device_id_strategy == KF_ID_INDEX};
	struct kf_error err = {0};
	int answer, labelled = 0;

	/* 4,322 lines that the driver makes anew at each reading: 3.5 ms on an H100 */
	if ((job->opened || !job->caps.listed) && kf_caps_read(root, &job->caps, &err) < 0)
		trouble(job, &err);
	make_device_nodes(job);
	if (!job->files || !job->files->n ||
	    strcmp(job->files->version, job->after->driver_version) != 0)
		if (kf_files_read(root, job->after->driver_version, &job->new_files, &err) < 0)
			trouble(job, &err);
	view.files = job->new_files ? job->new_files : job->files;
	if (job->leaving || nothing_new(job))
		return;
	if (job->set->labels != KF_LABELS_OFF)
		labelled = kf_features_make(job->set, job->after, job->started_s, &job->features,
					    &err);
	if (labelled < 0)
		trouble(job, &err);
	if (!job->set->cdi_dir[0])
		return;
	if (job->leave_cdi) {
		job->cdi_written = labelled >= 0;
		return;
	}
	answer = kf_spec_write(job->set->cdi_dir, &view, &job->holds, &opt, &err);
	job->cdi_written = labelled >= 0 && answer >= 0 && answer != KF_SPEC_PARTIAL;
	if (answer < 0 || answer == KF_SPEC_REPLACED || answer == KF_SPEC_PARTIAL)
		trouble(job, &err);
}

static const char *nvidia_smi(const struct kf_job *job)
{
	const struct kf_files *files = job->new_files ? job->new_files : job->files;
	const char *name;
	unsigned i;

	for (i = 0; files && i < files->n; i++) {
		name = strrchr(files->file[i].from, '/');
		if (name && !strcmp(name, "/nvidia-smi"))
			return files->file[i].from;
	}
	return NULL;
}

static int set_length(const struct kf_job *job, struct kf_job_length *one)
{
	const char *smi = nvidia_smi(job), *root = kf_job_root(job->set);
	kf_auto_mem char *program = smi ? kf_under(root, smi) : NULL;

	if (!job->after || !*job->driver)
		return kf_fail(&one->err, KF_E_UNSUPPORTED, 0, "the driver does not answer");
	if (!program)
		return kf_fail(&one->err, KF_E_UNSUPPORTED, 0,
			       "there is no nvidia-smi below %s, which alone can set it",
			       root[0] ? root : "/");
	return kf_smi_set_time_slice(*job->driver, program, one->uuid, one->length, &one->err);
}

/* Before the replicas are offered that they are for. */
static void set_lengths(struct kf_job *job)
{
	unsigned i;

	for (i = 0; i < job->n_lengths; i++) {
		job->length[i].answer = set_length(job, &job->length[i]);
		if (job->length[i].answer < 0)
			kf_prefix(&job->length[i].err, "gpu %s", job->length[i].uuid);
	}
}

static void save(struct kf_job *job)
{
	kf_auto(kf_saved_freep) struct kf_saved *saved = NULL;
	struct kf_error err = {0};

	if (kf_saved_make(job->after, job->config, "", &saved, &err) < 0 ||
	    kf_saved_write(job->set->state_dir, saved, &err) < 0)
		trouble(job, &err);
}

/* Neither driver nor GPU: labels of before are of something that is gone. */
static void look_for_hardware(struct kf_job *job)
{
	kf_auto_mem char *features = kf_features_path(job->set);
	const char *root = kf_job_root(job->set);
	struct kf_error err = {0};

	job->no_hardware = job->driver_state == KF_DRIVER_ABSENT && kf_gpus_on_bus(root) == 0;
	if (job->no_hardware && job->set->labels == KF_LABELS_FILE && features &&
	    kf_labels_remove(features, &err) < 0)
		trouble(job, &err);
}

static void run(struct kf_job *job)
{
	struct kf_error err = {0};

	if (open_driver(job) < 0) {
		look_for_hardware(job);
		return;
	}
	carry_out(job);
	read_node(job);
	if (!job->after)
		return;
	bring_up_to_date(job);
	if (job->save)
		save(job);
	if ((job->n_steps || job->save) && kf_intent_end(job->set->state_dir, &err) < 0)
		trouble(job, &err);
}

void kf_job_run(struct kf_job *job)
{
	if (job->close) {
		*job->driver = kf_nvml_close(*job->driver);
		return;
	}
	run(job);
	set_lengths(job);
	if (job->leaving)
		take_back(job);
}

static void on_work(uv_work_t *work)
{
	kf_job_run(work->data);
}

static void on_after(uv_work_t *work, int status)
{
	struct kf_job *job = work->data;

	(void)status;
	job->done(job);
}

int kf_job_start(uv_loop_t *loop, struct kf_job *job, struct kf_error *err)
{
	int r;

	job->work.data = job;
	r = uv_queue_work(loop, &job->work, on_work, on_after);
	if (r < 0)
		return kf_fail(err, KF_E_SYSTEM, -r, "start a driver job: %s", uv_strerror(r));
	return 0;
}
