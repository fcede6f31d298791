/* Carry out a step; see mig.h. */
#include "mig/mig.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "nvml/nvml.h"

struct work {
	const struct kf_nvml *nv;
	const struct kf_gpu *gpu;
	const struct kf_step *step;
	nvmlDevice_t device;
	struct kf_error *err;
};

/* "pid 4121 (and 2 more)" of the processes on a device, or "" if the driver lists none. */
static void name_users(const struct kf_nvml *nv, nvmlDevice_t device, char *out, size_t size)
{
	nvmlProcessInfo_t info[64];
	unsigned n = sizeof(info) / sizeof(info[0]);
	nvmlReturn_t r = nv->nvmlDeviceGetComputeRunningProcesses_v3(device, &n, info);

	out[0] = '\0';
	if (r == NVML_ERROR_INSUFFICIENT_SIZE)
		snprintf(out, size, "%u processes", n); /* more than fit: not none */
	if (r != NVML_SUCCESS || n == 0)
		return;
	if (n == 1)
		snprintf(out, size, "pid %u", info[0].pid);
	else
		snprintf(out, size, "pid %u and %u more", info[0].pid, n - 1);
}

static int refused(struct work *w, nvmlReturn_t r, const char *what)
{
	char users[64];

	kf_nvml_fail(w->err, w->nv, r, "%s", what);
	if (r == NVML_ERROR_GPU_IS_LOST || r == NVML_ERROR_NOT_FOUND)
		return r == NVML_ERROR_NOT_FOUND ? KF_MIG_STALE : -1;
	if (r != NVML_ERROR_IN_USE)
		return -1;
	name_users(w->nv, w->device, users, sizeof(users));
	if (users[0]) {
		size_t n = strlen(w->err->msg);

		snprintf(w->err->msg + n, sizeof(w->err->msg) - n, ": %s has it open", users);
	}
	w->err->code = KF_E_BUSY;
	return KF_MIG_BUSY;
}

static int stale(struct work *w, const char *what)
{
	kf_fail(w->err, KF_E_STATE, 0, "%s has changed since the plan was made", what);
	return KF_MIG_STALE;
}

/* The id under which this instance creates compute instances of so many slices. */
static int ci_profile_id(struct work *w, nvmlGpuInstance_t gi, unsigned slices, unsigned *id)
{
	unsigned constant;

	for (constant = 0; constant < KF_MAX_CI_PROFILES; constant++) {
		nvmlComputeInstanceProfileInfo_t info = {0};
		nvmlReturn_t r;

		r = w->nv->nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, constant, 0, &info);
		if (r != NVML_SUCCESS || info.sliceCount != slices)
			continue;
		*id = info.id;
		return 0;
	}
	return kf_fail(w->err, KF_E_UNSUPPORTED, 0,
		       "the driver offers no compute instance of %u slices there", slices);
}

static int create_ci(struct work *w, nvmlGpuInstance_t gi, unsigned slices)
{
	nvmlComputeInstance_t ci;
	unsigned id = 0;
	nvmlReturn_t r;

	if (ci_profile_id(w, gi, slices, &id) < 0)
		return -1;
	r = w->nv->nvmlGpuInstanceCreateComputeInstance(gi, id, &ci);
	return r == NVML_SUCCESS ? 0 : refused(w, r, "create the compute instance");
}

/* Destroy the compute instances of one profile; a busy one ends it. */
static int destroy_cis_of(struct work *w, nvmlGpuInstance_t gi, unsigned id)
{
	nvmlComputeInstance_t ci[KF_MAX_CIS];
	unsigned n = KF_MAX_CIS, i;
	nvmlReturn_t r = w->nv->nvmlGpuInstanceGetComputeInstances(gi, id, ci, &n);

	if (r == NVML_ERROR_NOT_SUPPORTED)
		return 0;
	if (r != NVML_SUCCESS)
		return refused(w, r, "list the compute instances");
	for (i = 0; i < n; i++) {
		r = w->nv->nvmlComputeInstanceDestroy(ci[i]);
		if (r != NVML_SUCCESS && r != NVML_ERROR_NOT_FOUND)
			return refused(w, r, "destroy a compute instance");
	}
	return 0;
}

static int destroy_cis(struct work *w, nvmlGpuInstance_t gi)
{
	unsigned constant;

	for (constant = 0; constant < KF_MAX_CI_PROFILES; constant++) {
		nvmlComputeInstanceProfileInfo_t info = {0};
		nvmlReturn_t r;
		int answer;

		r = w->nv->nvmlGpuInstanceGetComputeInstanceProfileInfo(gi, constant, 0, &info);
		if (r != NVML_SUCCESS)
			continue;
		answer = destroy_cis_of(w, gi, info.id);
		if (answer != 0)
			return answer;
	}
	return 0;
}

/*
 * The GPU instance of the step.  Ids are handed out again, so profile and place must agree too:
 * otherwise it is another instance than the planner saw.
 */
static int open_instance(struct work *w, nvmlGpuInstance_t *gi)
{
	const struct kf_profile *profile = &w->gpu->shape.profile[w->step->profile];
	nvmlGpuInstanceInfo_t info = {0};
	nvmlReturn_t r;

	r = w->nv->nvmlDeviceGetGpuInstanceById(w->device, w->step->gi, gi);
	if (r == NVML_SUCCESS)
		r = w->nv->nvmlGpuInstanceGetInfo(*gi, &info);
	if (r != NVML_SUCCESS)
		return refused(w, r, "find the GPU instance");
	if (info.profileId != profile->id || info.placement.start != w->step->start)
		return stale(w, "the GPU instance");
	return 0;
}

/* A process on any MIG device of the instance makes it busy, before anything is taken away. */
static int check_idle(struct work *w)
{
	unsigned i, n = 0, gi = 0;

	if (w->nv->nvmlDeviceGetMaxMigDeviceCount(w->device, &n) != NVML_SUCCESS)
		return 0;
	for (i = 0; i < n; i++) {
		char users[64];
		nvmlDevice_t mig;

		if (w->nv->nvmlDeviceGetMigDeviceHandleByIndex(w->device, i, &mig) != NVML_SUCCESS)
			continue;
		if (w->nv->nvmlDeviceGetGpuInstanceId(mig, &gi) != NVML_SUCCESS ||
		    gi != w->step->gi)
			continue;
		name_users(w->nv, mig, users, sizeof(users));
		if (!users[0])
			continue;
		kf_fail(w->err, KF_E_BUSY, 0, "destroy GPU instance %u: %s runs on it", gi, users);
		return KF_MIG_BUSY;
	}
	return 0;
}

static int do_destroy(struct work *w)
{
	nvmlGpuInstance_t gi;
	nvmlReturn_t r;
	int answer = open_instance(w, &gi);

	if (answer == 0)
		answer = check_idle(w);
	if (answer == 0)
		answer = destroy_cis(w, gi);
	if (answer != 0)
		return answer;
	r = w->nv->nvmlGpuInstanceDestroy(gi);
	return r == NVML_SUCCESS ? 0 : refused(w, r, "destroy the GPU instance");
}

/* How wide the i-th compute instance of a CREATE is; none named means one that fills it. */
static unsigned ci_slices(const struct kf_profile *profile, const struct kf_step *step, unsigned i)
{
	return step->n_ci ? profile->ci[step->cis[i]].slices : profile->slices;
}

static int do_create(struct work *w)
{
	const struct kf_profile *profile = &w->gpu->shape.profile[w->step->profile];
	nvmlGpuInstancePlacement_t at = {.start = w->step->start, .size = profile->size};
	nvmlGpuInstance_t gi;
	unsigned i;
	nvmlReturn_t r;

	r = w->nv->nvmlDeviceCreateGpuInstanceWithPlacement(w->device, profile->id, &at, &gi);
	if (r != NVML_SUCCESS)
		return refused(w, r, "create the GPU instance");
	for (i = 0; i < (w->step->n_ci ? w->step->n_ci : 1); i++) {
		int answer = create_ci(w, gi, ci_slices(profile, w->step, i));

		if (answer == 0)
			continue;
		/* half an instance serves nobody: take back what this step made */
		destroy_cis(&(struct work){.nv = w->nv, .device = w->device}, gi);
		w->nv->nvmlGpuInstanceDestroy(gi);
		return answer;
	}
	return 0;
}

static int do_create_ci(struct work *w)
{
	const struct kf_profile *profile = &w->gpu->shape.profile[w->step->profile];
	nvmlGpuInstance_t gi;
	int answer = open_instance(w, &gi);

	if (answer != 0)
		return answer;
	return create_ci(
		w, gi, w->step->ci == KF_NONE ? profile->slices : profile->ci[w->step->ci].slices);
}

static int do_destroy_ci(struct work *w)
{
	nvmlComputeInstance_t ci;
	nvmlGpuInstance_t gi;
	nvmlReturn_t r;
	int answer = open_instance(w, &gi);

	if (answer == 0)
		answer = check_idle(w);
	if (answer != 0)
		return answer;
	r = w->nv->nvmlGpuInstanceGetComputeInstanceById(gi, w->step->ci, &ci);
	if (r == NVML_SUCCESS)
		r = w->nv->nvmlComputeInstanceDestroy(ci);
	return r == NVML_SUCCESS ? 0 : refused(w, r, "destroy the compute instance");
}

/* The mode is stored but not in force: say what holds it up. */
static int mode_pending(struct work *w, nvmlReturn_t activation)
{
	char users[64];

	name_users(w->nv, w->device, users, sizeof(users));
	if (activation == NVML_ERROR_RESET_REQUIRED)
		kf_fail(w->err, KF_E_BUSY, (int)activation,
			"the MIG mode change is stored, but the GPU must be reset or the machine "
			"rebooted for it (%s)",
			w->nv->nvmlErrorString(activation));
	else
		kf_fail(w->err, KF_E_BUSY, (int)activation,
			"the MIG mode change is stored, but the driver could not reset the GPU "
			"(%s): "
			"%s has it open",
			w->nv->nvmlErrorString(activation),
			users[0] ? users : "some client that the driver does not list");
	return KF_MIG_PENDING;
}

static int do_mode(struct work *w, unsigned mode)
{
	nvmlReturn_t activation = NVML_SUCCESS;
	unsigned current = 0, pending = 0;
	nvmlReturn_t r = w->nv->nvmlDeviceSetMigMode(w->device, mode, &activation);

	if (r != NVML_SUCCESS)
		return refused(w, r, mode ? "turn on MIG" : "turn off MIG");
	r = w->nv->nvmlDeviceGetMigMode(w->device, &current, &pending);
	if (r != NVML_SUCCESS)
		return refused(w, r, "read the MIG mode");
	return current == mode ? 0 : mode_pending(w, activation);
}

static int dispatch(struct work *w)
{
	switch (w->step->kind) {
	case KF_STEP_CREATE:
		return do_create(w);
	case KF_STEP_DESTROY:
		return do_destroy(w);
	case KF_STEP_CREATE_CI:
		return do_create_ci(w);
	case KF_STEP_DESTROY_CI:
		return do_destroy_ci(w);
	case KF_STEP_MODE_ON:
		return do_mode(w, NVML_DEVICE_MIG_ENABLE);
	case KF_STEP_MODE_OFF:
		return do_mode(w, NVML_DEVICE_MIG_DISABLE);
	}
	return kf_fail(w->err, KF_E_STATE, 0, "a step of kind %d, which nobody knows",
		       (int)w->step->kind);
}

int kf_mig_step(const struct kf_nvml *nv, const struct kf_node *node, const struct kf_step *step,
		struct kf_error *err)
{
	struct work w = {.nv = nv, .gpu = &node->gpu[step->gpu], .step = step, .err = err};
	char text[160];
	nvmlReturn_t r;
	int answer;

	/* by UUID: indices and minors may change when a GPU is reset */
	r = nv->nvmlDeviceGetHandleByUUID(w.gpu->uuid, &w.device);
	answer = r == NVML_SUCCESS ? dispatch(&w) : kf_nvml_fail(err, nv, r, "open the GPU");
	if (answer != 0) {
		kf_step_text(node, step, text, sizeof(text));
		kf_prefix(err, "%s", text);
	}
	return answer;
}
