/* Into a call: which machine, may it, how often; and initialisation. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "core/caps.h"
#include "core/find.h"
#include "nvml/library.h"

struct kf_sim kf_sim_here = {.fd = -1, .client = KF_SIM_NONE};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned references;
static uint32_t epoch;	  /* the load of the driver that this process opened */
static __thread int dies; /* behind the present call */
static int forked;	  /* in the child of a process that had it open */

/*
 * A child inherits the parent's descriptor, and with it the lock that proves the parent's life.  It
 * must have its own; it gets that with its next call, so that fork and exec cost nothing.
 */
static void in_child(void)
{
	pthread_mutex_init(&lock, NULL);
	forked = kf_sim_here.fd >= 0;
	kf_sim_here.client = KF_SIM_NONE;
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

/* With dlclose; the slot goes by itself when the descriptor does. */
__attribute__((destructor)) static void unload(void)
{
	if (kf_sim_here.fd >= 0)
		close(kf_sim_here.fd);
	if (kf_sim_here.state)
		munmap(kf_sim_here.state, sizeof(*kf_sim_here.state));
}

static int state_path(const char *dir, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s/state", dir) < size ? 0 : -1;
}

/* Wants `lock`. */
static void settle_child(void)
{
	char path[PATH_MAX];

	if (!forked)
		return;
	forked = 0;
	close(kf_sim_here.fd);
	kf_sim_here.fd = -1;
	if (state_path(kf_sim_here.dir, path, sizeof(path)) == 0)
		kf_sim_here.fd = open(path, O_RDWR | O_CLOEXEC);
	if (kf_sim_here.fd < 0 || references == 0)
		return;
	kf_sim_lock(kf_sim_here.state);
	kf_sim_client_add(&kf_sim_here);
	kf_sim_unlock(kf_sim_here.state);
}

static int find_dir(char *out, size_t size)
{
	Dl_info info;

	return kf_sim_find(dladdr((void *)find_dir, &info) ? info.dli_fname : NULL, out, size);
}

/* The mapping of a machine that is still the one at that place is kept over shutdowns. */
static int still_there(const char *dir)
{
	char path[PATH_MAX];
	struct stat ours, theirs;

	return kf_sim_here.state && !strcmp(kf_sim_here.dir, dir) &&
	       state_path(dir, path, sizeof(path)) == 0 && fstat(kf_sim_here.fd, &ours) == 0 &&
	       stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

static nvmlReturn_t open_machine(void)
{
	struct kf_error err = {0};
	struct kf_sim sim;
	char dir[sizeof(sim.dir)];

	if (find_dir(dir, sizeof(dir)) < 0)
		return NVML_ERROR_DRIVER_NOT_LOADED;
	if (!still_there(dir)) {
		switch (kf_sim_open(dir, &sim, &err)) {
		case 0:
			break;
		case KF_SIM_NO_MACHINE:
			return NVML_ERROR_DRIVER_NOT_LOADED;
		case KF_SIM_FOREIGN:
			return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
		default:
			return NVML_ERROR_NO_PERMISSION;
		}
		/* another thread may still be inside the old mapping, so that stays */
		if (kf_sim_here.fd >= 0)
			close(kf_sim_here.fd);
		kf_sim_here = sim;
	}
	return kf_sim_here.state->loaded ? NVML_SUCCESS : NVML_ERROR_DRIVER_NOT_LOADED;
}

static void register_here(void)
{
	struct kf_sim_state *s = kf_sim_here.state;

	kf_sim_lock(s);
	kf_sim_client_add(&kf_sim_here);
	epoch = s->epoch;
	if (s->nodes_stale)
		kf_sim_caps_sync(kf_sim_here.dir, s);
	kf_sim_unlock(s);
}

/* Sleep through signals. */
static void nap(unsigned ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int hit(struct kf_sim_state *s, struct kf_sim_fault *f)
{
	if (!f->armed || ++f->seen < f->from)
		return 0;
	if (f->times && f->seen + 1 >= f->from + f->times) {
		f->armed = 0;
		s->faults--;
	}
	return 1;
}

static nvmlReturn_t fault(struct kf_sim_state *s, enum kf_sim_call call)
{
	const enum kf_sim_call asked[2] = {KF_CALL_all, call};
	unsigned i, delay = 0, death = 0;
	int32_t code = 0;

	kf_sim_lock(s);
	for (i = 0; i < 2; i++) {
		struct kf_sim_fault *f = &s->fault[asked[i]];

		if (!hit(s, f))
			continue;
		code = f->code ? f->code : code;
		delay += f->delay_ms;
		death |= f->kill;
	}
	kf_sim_unlock(s);
	if (delay)
		nap(delay);
	if (death & 1)
		kill(getpid(), SIGKILL);
	dies = death != 0;
	return (nvmlReturn_t)code;
}

/* At the end of a call that is to be its program's last. */
static void die_if_asked(void)
{
	if (dies)
		kill(getpid(), SIGKILL);
}

static void count(struct kf_sim_state *s, enum kf_sim_call call)
{
	__atomic_fetch_add(&s->calls[call], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&s->calls[KF_CALL_all], 1, __ATOMIC_RELAXED);
}

nvmlReturn_t kf_sim_enter(enum kf_sim_call call, int locked, struct kf_sim_state **state)
{
	struct kf_sim_state *s;

	if (__atomic_load_n(&references, __ATOMIC_ACQUIRE) == 0)
		return NVML_ERROR_UNINITIALIZED;
	if (forked) {
		pthread_mutex_lock(&lock);
		settle_child();
		pthread_mutex_unlock(&lock);
	}
	s = kf_sim_here.state;
	count(s, call);
	if (__atomic_load_n(&s->faults, __ATOMIC_RELAXED))
		TRY(fault(s, call));
	if (s->epoch != epoch || !s->loaded)
		return NVML_ERROR_UNKNOWN; /* the driver that this session was with is gone */
	if (!locked) {
		die_if_asked(); /* such calls change nothing, so this is as good as their end */
		return NVML_SUCCESS;
	}
	kf_sim_lock(s);
	*state = s;
	return NVML_SUCCESS;
}

void kf_sim_leave(struct kf_sim_state **state)
{
	if (!*state)
		return;
	kf_sim_unlock(*state);
	die_if_asked();
}

static nvmlReturn_t init(enum kf_sim_call call)
{
	nvmlReturn_t r = NVML_SUCCESS;

	pthread_mutex_lock(&lock);
	settle_child();
	if (references == 0)
		r = open_machine();
	if (r == NVML_SUCCESS) {
		count(kf_sim_here.state, call);
		if (kf_sim_here.state->faults)
			r = fault(kf_sim_here.state, call);
	}
	if (r == NVML_SUCCESS && references == 0)
		register_here();
	if (r == NVML_SUCCESS)
		__atomic_store_n(&references, references + 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	die_if_asked();
	return r;
}

nvmlReturn_t nvmlInit_v2(void)
{
	return init(KF_CALL_nvmlInit_v2);
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
	return init(KF_CALL_nvmlInitWithFlags);
}

nvmlReturn_t nvmlShutdown(void)
{
	nvmlReturn_t r = NVML_SUCCESS;

	pthread_mutex_lock(&lock);
	if (references == 0) {
		r = NVML_ERROR_UNINITIALIZED;
	} else {
		count(kf_sim_here.state, KF_CALL_nvmlShutdown);
		if (kf_sim_here.state->faults)
			r = fault(kf_sim_here.state, KF_CALL_nvmlShutdown);
	}
	if (r == NVML_SUCCESS && references == 1) {
		kf_sim_lock(kf_sim_here.state);
		kf_sim_client_drop(&kf_sim_here);
		kf_sim_unlock(kf_sim_here.state);
	}
	if (r == NVML_SUCCESS)
		__atomic_store_n(&references, references - 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	die_if_asked();
	return r;
}
