/* Into a call: which machine, may it; initialisation; errors by name. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/find.h"
#include "cuda/library.h"

struct library kf_cuda = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.sim = {.fd = -1, .client = KF_SIM_NONE},
	.process = {-1, {-1, -1, -1, -1}},
};

/*
 * A child has nothing of the driver's (as with CUDA), and must not keep the parent's locks and
 * connections alive: who looks whether the parent lives would be deceived.
 */
static void in_child(void)
{
	struct kf_cuda_context *c;

	pthread_mutex_init(&kf_cuda.lock, NULL);
	if (kf_cuda.sim.fd >= 0)
		close(kf_cuda.sim.fd);
	kf_cuda_mps_close(&kf_cuda.process);
	for (c = kf_cuda.contexts; c; c = c->next)
		kf_cuda_mps_close(&c->channel);
	kf_cuda.sim.fd = -1;
	kf_cuda.server = 0;
	kf_cuda.forked = kf_cuda.initialised;
}

__attribute__((constructor)) static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

CUresult kf_cuda_enter(void)
{
	CUresult r;

	pthread_mutex_lock(&kf_cuda.lock);
	if (!kf_cuda.initialised || kf_cuda.forked) {
		r = CUDA_ERROR_NOT_INITIALIZED;
	} else {
		kf_cuda_mps_listen();
		r = kf_cuda.broken;
	}
	if (r != CUDA_SUCCESS)
		pthread_mutex_unlock(&kf_cuda.lock);
	return r;
}

void kf_cuda_leave(int *entered)
{
	if (*entered)
		pthread_mutex_unlock(&kf_cuda.lock);
}

static CUresult open_machine(void)
{
	char dir[sizeof(kf_cuda.sim.dir)];
	struct kf_error err = {0};
	Dl_info info;

	if (kf_cuda.sim.state)
		return CUDA_SUCCESS;
	if (kf_sim_find(dladdr((void *)open_machine, &info) ? info.dli_fname : NULL, dir,
			sizeof(dir)) < 0)
		return CUDA_ERROR_NO_DEVICE;
	switch (kf_sim_open(dir, &kf_cuda.sim, &err)) {
	case 0:
		break;
	case KF_SIM_FOREIGN:
		return CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
	default:
		return CUDA_ERROR_NO_DEVICE;
	}
	if (kf_cuda.sim.state->loaded)
		return CUDA_SUCCESS;
	kf_sim_close(&kf_cuda.sim);
	return CUDA_ERROR_NO_DEVICE;
}

/* In the table of clients before the handshake: the server is told where. */
static void register_here(void)
{
	kf_sim_lock(kf_cuda.sim.state);
	if (kf_cuda.sim.client == KF_SIM_NONE)
		kf_sim_client_add(&kf_cuda.sim);
	kf_sim_unlock(kf_cuda.sim.state);
}

/* `base`: the server's devices, with their limits in kf_cuda.device; n 0: without MPS. */
static CUresult find_devices(const struct kf_sim_spots *base, const struct device *limits)
{
	struct kf_sim_state *s = kf_cuda.sim.state;
	struct kf_sim_spots seen;
	char dev[sizeof(kf_cuda.sim.dir) + 16];
	unsigned i, k;
	int r;

	kf_sim_dev_dir(kf_cuda.sim.dir, dev, sizeof(dev));
	kf_sim_lock(s);
	r = kf_sim_spots_see(s, dev, getenv("CUDA_VISIBLE_DEVICES"), base, &seen);
	for (i = 0; r == 0 && i < seen.n; i++) {
		struct device *d = &kf_cuda.device[i];

		*d = (struct device){.spot = seen.at[i], .percent_x10 = 1000, .server_x10 = 1000};
		d->sm = kf_sim_spot_sm(s, &d->spot);
		for (k = 0; base && k < base->n; k++)
			if (!memcmp(&base->at[k], &d->spot, sizeof(d->spot))) {
				d->percent_x10 = d->server_x10 = limits[k].percent_x10;
				d->limit_bytes = limits[k].limit_bytes;
			}
	}
	kf_sim_unlock(s);
	if (r < 0)
		return CUDA_ERROR_INVALID_DEVICE;
	kf_cuda.n_devices = (int)seen.n;
	return seen.n ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

static CUresult init(void)
{
	static struct device limits[KF_SIM_SPOTS];
	struct kf_sim_spots base = {0};
	const char *load = getenv("KERF_SIM_LOAD");

	TRY(open_machine());
	register_here();
	TRY(kf_cuda_mps_connect(&base, limits));
	TRY(find_devices(kf_cuda.server ? &base : NULL, limits));
	if (kf_cuda.server)
		kf_cuda_mps_environment();
	if (load)
		kf_cuda.load = (unsigned)strtoul(load, NULL, 10) % 101;
	return CUDA_SUCCESS;
}

CUresult cuInit(unsigned flags)
{
	CUresult r = CUDA_SUCCESS;

	WANT(flags == 0);
	pthread_mutex_lock(&kf_cuda.lock);
	if (kf_cuda.forked)
		r = CUDA_ERROR_NOT_INITIALIZED;
	else if (!kf_cuda.initialised)
		r = init();
	if (r == CUDA_SUCCESS)
		kf_cuda.initialised = 1;
	pthread_mutex_unlock(&kf_cuda.lock);
	return r;
}

CUresult cuDriverGetVersion(int *version)
{
	CUresult r;

	WANT(version);
	pthread_mutex_lock(&kf_cuda.lock);
	r = open_machine();
	if (r == CUDA_SUCCESS)
		*version = (int)kf_cuda.sim.state->machine.cuda;
	pthread_mutex_unlock(&kf_cuda.lock);
	return r;
}

static const struct {
	CUresult number;
	const char *name, *text;
} results[] = {
#define X(name, number, text) {CUDA_##name, "CUDA_" #name, text},
	KF_CUDA_RESULTS(X)
#undef X
};

static CUresult describe(CUresult error, int name, const char **ret)
{
	size_t i;

	WANT(ret);
	*ret = NULL;
	for (i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (results[i].number == error)
			*ret = name ? results[i].name : results[i].text;
	return *ret ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult error, const char **name)
{
	return describe(error, 1, name);
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
	return describe(error, 0, text);
}
