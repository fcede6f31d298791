/* The driver's events on a thread of its own; see events.h. */
#include "agent/events.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "nvml/nvml.h"

/* One wait of the driver's; a thread that nobody stops wakes up that often. */
#define WAIT_MS 5000
/* The signal that ends a wait is sent again so often: the first may come before the wait begins. */
#define NUDGE_MS 5
#define NUDGE	 SIGURG /* ignored by default, and used by nobody else here */

#define TYPES                                                                                      \
	(NVML_EVENT_TYPE_XID | NVML_EVENT_TYPE_DOUBLE_BIT_ECC | NVML_EVENT_TYPE_GPU_UNAVAILABLE |  \
	 NVML_EVENT_TYPE_RECOVERY_ACTION)

struct kf_listener {
	const struct kf_listener_calls *calls;
	void *ud;
	char root[256];
	unsigned n;
	char gpu[KF_MAX_GPUS][KF_UUID];

	uv_thread_t thread;
	uv_async_t async;
	uv_timer_t nudge;
	unsigned n_open; /* of the two handles */
	atomic_int stop, over;

	/*
	 * One event at a time is handed over: the thread fills `event`, sets `full`, and waits for
	 * `taken`.  What comes meanwhile is kept by the driver.
	 */
	struct kf_gpu_event event;
	atomic_int full;
	uv_sem_t taken;

	/* the thread's, until `over` */
	struct kf_nvml *nv;
	nvmlEventSet_t set;
	nvmlDevice_t device[KF_MAX_GPUS];
	struct kf_error why;
};

/* --- the thread ---------------------------------------------------------------------------- */

static void hand_over(struct kf_listener *l)
{
	atomic_store(&l->full, 1);
	uv_async_send(&l->async);
	while (!atomic_load(&l->stop) && atomic_load(&l->full))
		uv_sem_wait(&l->taken);
}

/* 1 if the GPU is listened to, 0 if it cannot be had, -1 if it has no such events. */
static int listen_to(struct kf_listener *l, unsigned i)
{
	unsigned long long can = 0;
	nvmlReturn_t r = l->nv->nvmlDeviceGetHandleByUUID(l->gpu[i], &l->device[i]);

	if (r == NVML_SUCCESS)
		r = l->nv->nvmlDeviceGetSupportedEventTypes(l->device[i], &can);
	if (r == NVML_SUCCESS && (can & TYPES))
		r = l->nv->nvmlDeviceRegisterEvents(l->device[i], can & TYPES, l->set);
	else if (r == NVML_SUCCESS)
		return -1;
	if (r == NVML_SUCCESS)
		return 1;
	l->device[i] = NULL;
	kf_nvml_fail(&l->why, l->nv, r, "listen to the events of %s", l->gpu[i]);
	return r == NVML_ERROR_NOT_SUPPORTED || r == NVML_ERROR_FUNCTION_NOT_FOUND ? -1 : 0;
}

/* 0, or -1 and why. */
static int begin(struct kf_listener *l)
{
	unsigned i, n = 0, unable = 0;
	nvmlReturn_t r;

	if (kf_nvml_open(l->root[0] ? l->root : NULL, &l->nv, &l->why) != 0)
		return -1;
	r = l->nv->nvmlEventSetCreate(&l->set);
	if (r == NVML_ERROR_FUNCTION_NOT_FOUND || r == NVML_ERROR_NOT_SUPPORTED)
		return kf_fail(&l->why, KF_E_UNSUPPORTED, 0, "this driver has no events");
	if (r != NVML_SUCCESS)
		return kf_nvml_fail(&l->why, l->nv, r, "make a set of events");
	for (i = 0; i < l->n; i++) {
		int answer = listen_to(l, i);

		n += answer > 0;
		unable += answer < 0;
	}
	if (n)
		return 0;
	if (unable == l->n)
		return kf_fail(&l->why, KF_E_UNSUPPORTED, 0, "no GPU here has events");
	return -1;
}

/* The GPU of an event; empty if the driver names none of ours. */
static void name_gpu(const struct kf_listener *l, nvmlDevice_t device, char out[KF_UUID])
{
	unsigned i;

	for (i = 0; i < l->n; i++)
		if (device && l->device[i] == device) {
			memcpy(out, l->gpu[i], KF_UUID);
			return;
		}
	if (!device || l->nv->nvmlDeviceGetUUID(device, out, KF_UUID) != NVML_SUCCESS)
		out[0] = '\0';
}

static void take(struct kf_listener *l, const nvmlEventData_t *data)
{
	struct kf_gpu_event *e = &l->event;

	*e = (struct kf_gpu_event){.gi = data->gpuInstanceId, .ci = data->computeInstanceId};
	name_gpu(l, data->device, e->gpu);
	if (data->eventType & NVML_EVENT_TYPE_XID) {
		e->kind = KF_EVENT_XID;
		e->xid = (unsigned)data->eventData;
	} else if (data->eventType & NVML_EVENT_TYPE_DOUBLE_BIT_ECC) {
		e->kind = KF_EVENT_ECC;
	} else if (data->eventType & NVML_EVENT_TYPE_GPU_UNAVAILABLE) {
		e->kind = KF_EVENT_UNAVAILABLE;
	} else {
		e->kind = KF_EVENT_RECOVERY;
	}
	hand_over(l);
}

/* The wait alone may be disturbed by the signal that ends it, and no other call of the driver's. */
static nvmlReturn_t wait_for(struct kf_listener *l, nvmlEventData_t *data)
{
	sigset_t nudge;
	nvmlReturn_t r;

	sigemptyset(&nudge);
	sigaddset(&nudge, NUDGE);
	pthread_sigmask(SIG_UNBLOCK, &nudge, NULL);
	r = l->nv->nvmlEventSetWait_v2(l->set, data, WAIT_MS);
	pthread_sigmask(SIG_BLOCK, &nudge, NULL);
	return r;
}

static void heed(struct kf_listener *l)
{
	while (!atomic_load(&l->stop)) {
		nvmlEventData_t data = {0};
		nvmlReturn_t r = wait_for(l, &data);

		if (r == NVML_SUCCESS) {
			take(l, &data);
		} else if (r != NVML_ERROR_TIMEOUT) {
			/* A lost GPU answers so for ever, a reloaded driver as well: begin anew. */
			kf_nvml_fail(&l->why, l->nv, r, "wait for the driver's events");
			return;
		}
	}
}

static void on_nudge(int signum)
{
	(void)signum;
}

static void on_thread(void *arg)
{
	struct kf_listener *l = arg;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	if (begin(l) == 0)
		heed(l);
	if (l->set)
		l->nv->nvmlEventSetFree(l->set);
	l->nv = kf_nvml_close(l->nv);
	atomic_store(&l->over, 1);
	uv_async_send(&l->async);
}

/* --- the loop ------------------------------------------------------------------------------ */

static void on_closed(uv_handle_t *handle)
{
	struct kf_listener *l = handle->data;

	if (--l->n_open)
		return;
	l->calls->ended(l->ud, atomic_load(&l->stop) ? NULL : &l->why);
	uv_sem_destroy(&l->taken);
	free(l);
}

static void close_handles(struct kf_listener *l)
{
	uv_close((uv_handle_t *)&l->async, on_closed);
	uv_close((uv_handle_t *)&l->nudge, on_closed);
}

static void on_async(uv_async_t *async)
{
	struct kf_listener *l = async->data;

	if (atomic_load(&l->full)) {
		struct kf_gpu_event event = l->event;

		atomic_store(&l->full, 0);
		uv_sem_post(&l->taken);
		if (!atomic_load(&l->stop))
			l->calls->event(l->ud, &event);
	}
	if (!atomic_load(&l->over) || uv_is_closing((uv_handle_t *)async))
		return;
	uv_thread_join(&l->thread);
	close_handles(l);
}

static void on_nudge_timer(uv_timer_t *timer)
{
	struct kf_listener *l = timer->data;

	if (!atomic_load(&l->over))
		pthread_kill(l->thread, NUDGE);
}

/* A handler that does nothing, and does not have system calls taken up again. */
static void take_signal(void)
{
	struct sigaction action = {.sa_handler = on_nudge};

	sigemptyset(&action.sa_mask);
	sigaction(NUDGE, &action, NULL);
}

static int init_handles(uv_loop_t *loop, struct kf_listener *l, struct kf_error *err)
{
	int r = uv_sem_init(&l->taken, 0);

	if (r == 0)
		r = uv_async_init(loop, &l->async, on_async);
	if (r < 0)
		return kf_fail(err, KF_E_SYSTEM, -r, "listen to the driver's events: %s",
			       uv_strerror(r));
	uv_timer_init(loop, &l->nudge);
	l->async.data = l->nudge.data = l;
	l->n_open = 2;
	return 0;
}

/* Memory of one that never ran. */
static void on_unused(uv_handle_t *handle)
{
	struct kf_listener *l = handle->data;

	if (--l->n_open)
		return;
	uv_sem_destroy(&l->taken);
	free(l);
}

int kf_listener_start(uv_loop_t *loop, const char *root, const char (*gpus)[KF_UUID], unsigned n,
		      const struct kf_listener_calls *calls, void *ud, struct kf_listener **ret,
		      struct kf_error *err)
{
	struct kf_listener *l = kf_calloc(1, sizeof(*l));
	int r;

	if (!l)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to listen to the driver's events");
	l->calls = calls;
	l->ud = ud;
	l->n = n < KF_MAX_GPUS ? n : KF_MAX_GPUS;
	memcpy(l->gpu, gpus, l->n * sizeof(*gpus));
	snprintf(l->root, sizeof(l->root), "%s", root ? root : "");
	if (init_handles(loop, l, err) < 0) {
		free(l);
		return -1;
	}
	take_signal();
	r = uv_thread_create(&l->thread, on_thread, l);
	if (r < 0) {
		uv_close((uv_handle_t *)&l->async, on_unused);
		uv_close((uv_handle_t *)&l->nudge, on_unused);
		return kf_fail(err, KF_E_SYSTEM, -r, "start a thread for the driver's events: %s",
			       uv_strerror(r));
	}
	*ret = l;
	return 0;
}

void kf_listener_stop(struct kf_listener *l)
{
	if (atomic_exchange(&l->stop, 1))
		return;
	uv_sem_post(&l->taken);
	uv_timer_start(&l->nudge, on_nudge_timer, 0, NUDGE_MS);
}
