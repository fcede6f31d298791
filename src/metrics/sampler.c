/* The thread that measures; see sampler.h. */
#include "metrics/sampler.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "nvml/nvml.h"

#define STACK	     (256u << 10) /* the driver library is no small eater */
#define STOP_WAIT_MS 3000	  /* for threads in a call that may hang */

/*
 * A thread.  One of them works; the others, if there are any, hang in a call, each with a GPU that
 * nobody else touches until the call is back.
 */
struct lane {
	struct kf_sampler *s;
	pthread_t thread;
	_Atomic uint64_t call_began_ms;
	unsigned gpu;  /* place in s->state of the one that it reads; KF_MAX_GPUS: none */
	int abandoned; /* another lane does the work */
	int counted;   /* its present call is among the hung ones */
};

struct kf_sampler {
	struct kf_hub *hub;
	struct kf_sampler_options opt;
	char root[256];
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int stop, pause, close, rested;
	int hurry; /* somebody looks who has not for long */
	unsigned n_lanes;
	struct lane *working;
	struct kf_sample state[KF_MAX_GPUS];
	int taken[KF_MAX_GPUS]; /* by an abandoned lane */
};

static void *on_thread(void *arg);

/* Locked.  0 or an errno. */
static int start_lane(struct kf_sampler *s)
{
	struct lane *lane = kf_calloc(1, sizeof(*lane));
	pthread_attr_t attr;
	int r;

	if (!lane)
		return ENOMEM;
	lane->s = s;
	lane->gpu = KF_MAX_GPUS;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&lane->thread, &attr, on_thread, lane);
	pthread_attr_destroy(&attr);
	if (r != 0) {
		free(lane);
		return r;
	}
	s->working = lane;
	s->n_lanes++;
	return 0;
}

/* --- what a lane does ---------------------------------------------------------------------- */

static unsigned interval_ms(const struct kf_sampler *s)
{
	return kf_hub_idle_ms(s->hub) < KF_LOOKED_MS ? s->opt.quick_ms : s->opt.slow_ms;
}

/* The place of this GPU's state: its own, or a free one. */
static unsigned find_state(struct kf_sampler *s, const char *uuid)
{
	unsigned i, unused = KF_MAX_GPUS;

	for (i = 0; i < KF_MAX_GPUS; i++) {
		if (!strcmp(s->state[i].uuid, uuid))
			return i;
		if (!s->state[i].uuid[0] && !s->taken[i] && unused == KF_MAX_GPUS)
			unused = i;
	}
	return unused;
}

/* Which state to use for GPU g, now this lane's; KF_MAX_GPUS: it is not to be read. */
static unsigned claim(struct lane *lane, const struct kf_view *view, unsigned g)
{
	struct kf_sampler *s = lane->s;
	unsigned i = KF_MAX_GPUS;

	pthread_mutex_lock(&s->lock);
	if (!s->stop && !s->pause && !lane->abandoned && view->gpu[g].answers) {
		i = find_state(s, view->gpu[g].uuid);
		if (i < KF_MAX_GPUS && s->taken[i])
			i = KF_MAX_GPUS;
		lane->gpu = i;
	}
	pthread_mutex_unlock(&s->lock);
	return i;
}

static void release(struct lane *lane)
{
	struct kf_sampler *s = lane->s;

	pthread_mutex_lock(&s->lock);
	if (lane->gpu < KF_MAX_GPUS)
		s->taken[lane->gpu] = 0;
	lane->gpu = KF_MAX_GPUS;
	lane->counted = 0;
	pthread_mutex_unlock(&s->lock);
}

/* 1 if the GPU answered, -1 if it did not, 0 if it was not asked. */
static int read_one(struct lane *lane, const struct kf_nvml *nv, const struct kf_view *view,
		    unsigned g)
{
	struct kf_sampler *s = lane->s;
	struct kf_sample_options opt = {.counters = &s->opt.counters,
					.root = s->root,
					.call_began_ms = &lane->call_began_ms};
	kf_auto(kf_reading_freep) struct kf_reading *before = NULL;
	struct kf_reading *r = NULL;
	struct kf_error err = {0};
	unsigned i = claim(lane, view, g);
	int answer;

	if (i == KF_MAX_GPUS)
		return 0;
	before = kf_hub_reading(s->hub, view->gpu[g].uuid);
	answer = kf_sample_gpu(nv, &s->state[i], view, g, before, &opt, &r, &err);
	release(lane);
	if (answer == 0)
		kf_hub_tell(s->hub, r);
	kf_hub_count(s->hub, &(struct kf_sampler_counts){.reads = 1, .failed_reads = answer < 0});
	return answer < 0 ? -1 : 1;
}

/* What the library holds for GPUs goes with the session. */
static void close_session(struct lane *lane, struct kf_nvml **nv)
{
	struct kf_sampler *s = lane->s;
	unsigned i;

	pthread_mutex_lock(&s->lock);
	for (i = 0; *nv && i < KF_MAX_GPUS; i++)
		if (!s->taken[i])
			kf_sample_done(*nv, &s->state[i]);
	pthread_mutex_unlock(&s->lock);
	*nv = kf_nvml_close(*nv);
}

/* One reading of each GPU.  A session in which nothing answers is dead, as after a reload. */
static void go_round(struct lane *lane, struct kf_nvml **nv)
{
	kf_auto(kf_view_freep) struct kf_view *view = kf_hub_view(lane->s->hub);
	const char *root = lane->s->root[0] ? lane->s->root : NULL;
	unsigned g, n_well = 0, n_ill = 0;

	if (!view || view->n_gpus == 0 || !view->driver_up)
		return;
	if (!*nv && kf_nvml_open(root, nv, NULL) != 0)
		return;
	for (g = 0; g < view->n_gpus && g < KF_MAX_GPUS; g++) {
		int answer = read_one(lane, *nv, view, g);

		n_well += answer > 0;
		n_ill += answer < 0;
	}
	if (n_ill && !n_well)
		close_session(lane, nv);
}

static void wait_until(struct kf_sampler *s, uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	pthread_cond_timedwait(&s->wake, &s->lock, &t);
}

/* Locked.  Rests while it is asked to. */
static void rest(struct lane *lane, struct kf_nvml **nv)
{
	struct kf_sampler *s = lane->s;

	while (s->pause && !s->stop && !lane->abandoned) {
		if (s->close && *nv) {
			pthread_mutex_unlock(&s->lock);
			close_session(lane, nv);
			pthread_mutex_lock(&s->lock);
			continue;
		}
		/* one that hangs has the driver open as well */
		if (!s->rested && (!s->close || s->n_lanes == 1)) {
			s->rested = 1;
			if (s->opt.rested)
				s->opt.rested(s->opt.ud);
		}
		pthread_cond_wait(&s->wake, &s->lock);
	}
}

/* Until it is time for a round; 0: the lane ends. */
static int wait_for_turn(struct lane *lane, uint64_t began, struct kf_nvml **nv)
{
	struct kf_sampler *s = lane->s;
	int go;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		uint64_t due = began + interval_ms(s);

		rest(lane, nv);
		if (s->stop || lane->abandoned || s->hurry || began == 0 || kf_now_ms() >= due)
			break;
		wait_until(s, due);
	}
	s->hurry = 0;
	go = !s->stop && !lane->abandoned;
	pthread_mutex_unlock(&s->lock);
	return go;
}

static void end_lane(struct lane *lane)
{
	struct kf_sampler *s = lane->s;

	pthread_mutex_lock(&s->lock);
	s->n_lanes--;
	if (s->working == lane)
		s->working = NULL;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
	free(lane);
}

static void *on_thread(void *arg)
{
	struct lane *lane = arg;
	struct kf_nvml *nv = NULL;
	uint64_t began = 0;
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while (wait_for_turn(lane, began, &nv)) {
		uint64_t took;
		unsigned ms;

		began = kf_now_ms();
		go_round(lane, &nv);
		took = kf_now_ms() - began;
		ms = interval_ms(lane->s);
		kf_hub_set_interval(lane->s->hub, took > ms ? (unsigned)took : ms);
	}
	if (lane->abandoned)
		kf_nvml_close(nv);
	else
		close_session(lane, &nv);
	end_lane(lane);
	return NULL;
}

/* --- from other threads -------------------------------------------------------------------- */

int kf_sampler_start(struct kf_hub *hub, const struct kf_sampler_options *opt,
		     struct kf_sampler **ret, struct kf_error *err)
{
	struct kf_sampler *s = kf_calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int r;

	if (!s)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to measure GPUs");
	s->hub = hub;
	s->opt = *opt;
	snprintf(s->root, sizeof(s->root), "%s", opt->root ? opt->root : "");
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	kf_hub_set_interval(hub, opt->slow_ms);
	r = start_lane(s);
	if (r != 0) {
		free(s);
		return kf_fail_errno(err, r, "start a thread that measures GPUs");
	}
	*ret = s;
	return 0;
}

void kf_sampler_pause(struct kf_sampler *s, int close)
{
	pthread_mutex_lock(&s->lock);
	s->pause = 1;
	s->close = close;
	s->rested = 0;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void kf_sampler_resume(struct kf_sampler *s)
{
	pthread_mutex_lock(&s->lock);
	s->pause = s->close = 0;
	s->hurry = 1;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

/* Locked.  A lane whose call hangs keeps its GPU; another goes on with the others. */
static void replace_hung(struct kf_sampler *s)
{
	struct lane *lane = s->working;
	uint64_t began = lane ? atomic_load(&lane->call_began_ms) : 0;

	if (!began || kf_now_ms() < began + KF_HUNG_MS || lane->gpu >= KF_MAX_GPUS)
		return;
	if (!lane->counted)
		kf_hub_count(s->hub, &(struct kf_sampler_counts){.hung_calls = 1});
	lane->counted = 1;
	if (s->n_lanes > KF_MAX_GPUS)
		return;
	s->taken[lane->gpu] = 1;
	lane->abandoned = 1;
	if (start_lane(s) != 0) { /* then this one is all there is */
		lane->abandoned = 0;
		s->taken[lane->gpu] = 0;
	}
}

void kf_sampler_poke(struct kf_sampler *s)
{
	/* one who has it may be in a call of the driver's; the next look will do */
	if (pthread_mutex_trylock(&s->lock) != 0) {
		kf_hub_looked(s->hub);
		return;
	}
	if (kf_hub_idle_ms(s->hub) > KF_LOOKED_MS) {
		s->hurry = 1;
		pthread_cond_broadcast(&s->wake);
	}
	kf_hub_looked(s->hub);
	replace_hung(s);
	pthread_mutex_unlock(&s->lock);
}

int kf_sampler_stop(struct kf_sampler *s)
{
	uint64_t end = kf_now_ms() + STOP_WAIT_MS;
	unsigned left;

	pthread_mutex_lock(&s->lock);
	s->stop = 1;
	pthread_cond_broadcast(&s->wake);
	while (s->n_lanes && kf_now_ms() < end)
		wait_until(s, end);
	left = s->n_lanes;
	pthread_mutex_unlock(&s->lock);
	if (left)
		return 1;
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	free(s);
	return 0;
}
