/* Events: sets that wait for what `kerf sim xid` and `kerf sim lose` make happen. */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "nvml/getters.h"

/* What the recorded Hopper boards support, which is everything but bits 5, 6 and 8. */
#define SUPPORTED 65439ull

#define MAGIC 0x4B455653u

struct nvmlEventSet_st {
	uint32_t magic;
	uint32_t next; /* first event not looked at yet */
	uint64_t types[KF_SIM_GPUS];
};

BOARD_LONG(nvmlDeviceGetSupportedEventTypes, SUPPORTED)

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
	struct nvmlEventSet_st *made;

	LOCKED(nvmlEventSetCreate);
	WANT(set);
	made = calloc(1, sizeof(*made));
	if (!made)
		return NVML_ERROR_MEMORY;
	made->magic = MAGIC;
	made->next = s->event;
	*set = made;
	return NVML_SUCCESS;
}

static nvmlReturn_t enter_free(void)
{
	UNLOCKED(nvmlEventSetFree);
	return NVML_SUCCESS;
}

/* The set is the library's own memory: it goes also where the driver is no more. */
nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
	nvmlReturn_t r = enter_free();

	if (r != NVML_SUCCESS && r != NVML_ERROR_UNKNOWN)
		return r;
	WANT(set && set->magic == MAGIC);
	set->magic = 0;
	free(set);
	return r;
}

/* Of GPUs only; events of a MIG device carry its ids and come to its GPU's sets. */
nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types,
				      nvmlEventSet_t set)
{
	struct spot at;

	LOCKED(nvmlDeviceRegisterEvents);
	WANT(set && set->magic == MAGIC);
	TRY(kf_sim_board(s, device, &at));
	if (types & ~SUPPORTED)
		return NVML_ERROR_NOT_SUPPORTED;
	set->types[at.index] |= types;
	return NVML_SUCCESS;
}

/* The next event that the set asked for.  Those that the ring has no more are gone. */
static int take(struct kf_sim_state *s, nvmlEventSet_t set, nvmlEventData_t *data)
{
	if (s->event - set->next > KF_SIM_EVENTS)
		set->next = s->event - KF_SIM_EVENTS;
	while (set->next != s->event) {
		const struct kf_sim_event *e = &s->events[set->next++ % KF_SIM_EVENTS];

		if (!(set->types[e->gpu] & e->type))
			continue;
		*data = (nvmlEventData_t){
			.device = kf_sim_device(e->gpu),
			.eventType = e->type,
			.eventData = e->data,
			.gpuInstanceId = e->gi,
			.computeInstanceId = e->ci,
		};
		return 1;
	}
	return 0;
}

static int lost(struct kf_sim_state *s, nvmlEventSet_t set)
{
	unsigned i;

	for (i = 0; i < s->machine.n_gpus; i++)
		if (set->types[i] && kf_sim_now(s, i)->lost)
			return 1;
	return 0;
}

/* Until the number of events is another than `seen`, or for `us`; may end early.  1 if a signal
 * ended it. */
static int sleep_on(uint32_t *event, uint32_t seen, uint64_t us)
{
	struct timespec limit = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};

	return syscall(SYS_futex, event, FUTEX_WAIT, seen, &limit, NULL, 0) < 0 && errno == EINTR;
}

/* One look: SUCCESS, GPU_IS_LOST, or TIMEOUT for nothing yet; *seen is how far it looked. */
static nvmlReturn_t look(nvmlEventSet_t set, nvmlEventData_t *data, uint32_t *seen, uint32_t epoch)
{
	kf_auto(kf_sim_leave) struct kf_sim_state *s = kf_sim_here.state;

	kf_sim_lock(s);
	*seen = s->event;
	if (s->epoch != epoch || !s->loaded)
		return NVML_ERROR_UNKNOWN;
	if (take(s, set, data))
		return NVML_SUCCESS;
	return lost(s, set) ? NVML_ERROR_GPU_IS_LOST : NVML_ERROR_TIMEOUT;
}

/* Answers TIMEOUT after the time asked, or at once when the thread handles a signal (as on an H100
 * with driver 580). */
nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout_ms)
{
	uint64_t end = kf_sim_us() + timeout_ms * 1000ull, now;
	uint32_t seen, epoch;

	UNLOCKED(nvmlEventSetWait_v2);
	WANT(set && set->magic == MAGIC && data);
	epoch = kf_sim_here.state->epoch;
	for (;;) {
		nvmlReturn_t r = look(set, data, &seen, epoch);

		if (r != NVML_ERROR_TIMEOUT)
			return r;
		now = kf_sim_us();
		if (now >= end)
			return NVML_ERROR_TIMEOUT;
		if (sleep_on(&kf_sim_here.state->event, seen, end - now))
			return NVML_ERROR_TIMEOUT;
	}
}

/* Before MIG: the struct ends behind eventData. */
nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout_ms)
{
	nvmlEventData_t full;

	WANT(data);
	TRY(nvmlEventSetWait_v2(set, &full, timeout_ms));
	data->device = full.device;
	data->eventType = full.eventType;
	data->eventData = full.eventData;
	return NVML_SUCCESS;
}
