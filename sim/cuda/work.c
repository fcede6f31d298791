/*
 * What a GPU does: kernels, copies, streams.
 *
 * Nothing runs PTX here.  A kernel is known by its name, and does by hand what programs of that
 * name in tests/gpu do; one that is not known is refused.  What is launched takes its time, one
 * thing behind the other, and a program waits for it where it would on a GPU.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cuda/library.h"

struct launch {
	const struct device *device;
	unsigned threads; /* in all */
	void **params;
};

struct kf_cuda_function {
	const char *name;
	CUresult (*run)(const struct launch *l);
};

struct kf_cuda_module {
	char *text; /* its PTX */
};

struct kf_cuda_stream {
	int unused;
};

struct kf_cuda_event {
	uint64_t us; /* when it is reached; 0: it was not recorded */
};

static CUdeviceptr pointer(const struct launch *l, unsigned i)
{
	CUdeviceptr p;

	memcpy(&p, l->params[i], sizeof(p));
	return p;
}

/* Device memory as the program sees it; a place that is nobody's is a fault of the GPU. */
static CUresult at(CUdeviceptr address, size_t bytes, void **ret)
{
	if (!kf_cuda_block(address, bytes))
		return CUDA_ERROR_ILLEGAL_ADDRESS;
	*ret = (void *)(uintptr_t)address;
	return CUDA_SUCCESS;
}

/* fill(out): out[i] = 3 * i + 7 */
static CUresult fill(const struct launch *l)
{
	unsigned i, *out;
	void *memory;

	TRY(at(pointer(l, 0), l->threads * sizeof(*out), &memory));
	out = memory;
	for (i = 0; i < l->threads; i++)
		out[i] = 3 * i + 7;
	return CUDA_SUCCESS;
}

/* spin(cycles): works for so many of the SM's clock */
static CUresult spin(const struct launch *l)
{
	uint64_t now = kf_sim_us();
	const struct kf_sim_product *p = kf_sim_spot_product(kf_cuda.sim.state, &l->device->spot);

	if (kf_cuda.idle_us < now)
		kf_cuda.idle_us = now;
	kf_cuda.idle_us += pointer(l, 0) / (p->max_clock_mhz[1] ? p->max_clock_mhz[1] : 1000);
	return CUDA_SUCCESS;
}

/* bad(): writes to address 16, which is nobody's */
static CUresult bad(const struct launch *l)
{
	void *memory;

	return at(16, 4, &memory);
}

static struct kf_cuda_function kernels[] = {
	{"fill", fill},
	{"spin", spin},
	{"bad", bad},
};

CUresult cuModuleLoadData(CUmodule *module, const void *image)
{
	struct device *d;

	ENTER();
	WANT(module && image);
	TRY(kf_cuda_current(&d));
	if (!strstr(image, ".version") || !strstr(image, ".target"))
		return CUDA_ERROR_INVALID_IMAGE;
	*module = malloc(sizeof(**module));
	if (!*module)
		return CUDA_ERROR_OUT_OF_MEMORY;
	(*module)->text = strdup(image);
	return (*module)->text ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, int *options,
			    void **values)
{
	return cuModuleLoadData(module, image);
}

CUresult cuModuleUnload(CUmodule module)
{
	ENTER();
	WANT(module);
	free(module->text);
	free(module);
	return CUDA_SUCCESS;
}

/* Is there a ".entry NAME" in the text? */
static int has_entry(const char *text, const char *name)
{
	const char *p = text;

	while ((p = strstr(p, ".entry"))) {
		p += 6;
		p += strspn(p, " \t\n");
		if (!strncmp(p, name, strlen(name)) && strchr(" \t\n({", p[strlen(name)]))
			return 1;
	}
	return 0;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
	size_t i;

	ENTER();
	WANT(function && module && name);
	if (!has_entry(module->text, name))
		return CUDA_ERROR_NOT_FOUND;
	for (i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
		if (!strcmp(kernels[i].name, name)) {
			*function = &kernels[i];
			return CUDA_SUCCESS;
		}
	return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
			unsigned by, unsigned bz, unsigned shared, CUstream stream, void **params,
			void **extra)
{
	struct launch l = {NULL, gx * gy * gz * bx * by * bz, params};
	struct device *d;
	CUresult r;

	ENTER();
	TRY(kf_cuda_current(&d));
	WANT(function && l.threads && (params || function->run == bad));
	l.device = d;
	r = function->run(&l);
	if (r == CUDA_ERROR_ILLEGAL_ADDRESS) { /* found out when somebody waits for it */
		kf_cuda_fault();
		return CUDA_SUCCESS;
	}
	TRY(r);
	if (kf_cuda.idle_us)
		kf_cuda_work(d, 100);
	return CUDA_SUCCESS;
}

CUresult kf_cuda_fault(void)
{
	struct device *d;

	TRY(kf_cuda_current(&d));
	kf_cuda.broken = CUDA_ERROR_ILLEGAL_ADDRESS;
	if (kf_cuda.server) {
		kf_cuda_mps_fault((unsigned)(d - kf_cuda.device));
		return kf_cuda.broken;
	}
	kf_sim_lock(kf_cuda.sim.state);
	kf_sim_xid_push(kf_cuda.sim.state, d->spot.gpu, 31, d->spot.gi, d->spot.ci);
	kf_sim_unlock(kf_cuda.sim.state);
	return kf_cuda.broken;
}

static void nap(uint64_t us)
{
	struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

	nanosleep(&t, NULL);
}

CUresult kf_cuda_finish(void)
{
	struct device *d;
	uint64_t now;

	while (!kf_cuda.broken && kf_cuda.idle_us > (now = kf_sim_us())) {
		uint64_t left = kf_cuda.idle_us - now;

		pthread_mutex_unlock(&kf_cuda.lock);
		if (kf_cuda.server && left >= 1000)
			kf_cuda_mps_wait((int)(left / 1000));
		else
			nap(left);
		pthread_mutex_lock(&kf_cuda.lock);
		kf_cuda_mps_listen();
	}
	if (kf_cuda.idle_us && kf_cuda.idle_us <= kf_sim_us()) {
		kf_cuda.idle_us = 0;
		if (kf_cuda_current(&d) == CUDA_SUCCESS)
			kf_cuda_work(d, kf_cuda.load);
	}
	return kf_cuda.broken;
}

/* Copies wait for what was launched before them, as on the default stream. */
static CUresult copy(CUdeviceptr to, CUdeviceptr from, size_t bytes, int to_device, int from_device)
{
	TRY(kf_cuda_finish());
	WANT(!bytes || ((!to_device || kf_cuda_block(to, bytes)) &&
			(!from_device || kf_cuda_block(from, bytes))));
	memmove((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
	return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
	ENTER();
	return copy(to, (CUdeviceptr)(uintptr_t)from, bytes, 1, 0);
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
	ENTER();
	return copy((CUdeviceptr)(uintptr_t)to, from, bytes, 0, 1);
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
	ENTER();
	return copy(to, from, bytes, 1, 1);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
	return cuMemcpyHtoD_v2(to, from, bytes);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	return cuMemcpyDtoH_v2(to, from, bytes);
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n)
{
	ENTER();
	TRY(kf_cuda_finish());
	WANT(kf_cuda_block(to, n));
	memset((void *)(uintptr_t)to, value, n);
	return CUDA_SUCCESS;
}

CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n)
{
	size_t i;

	ENTER();
	TRY(kf_cuda_finish());
	WANT(kf_cuda_block(to, 4 * n));
	for (i = 0; i < n; i++)
		((unsigned *)(uintptr_t)to)[i] = value;
	return CUDA_SUCCESS;
}

/* One queue for all streams. */

CUresult cuStreamCreate(CUstream *stream, unsigned flags)
{
	ENTER();
	WANT(stream);
	*stream = calloc(1, sizeof(**stream));
	return *stream ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
	ENTER();
	WANT(stream);
	free(stream);
	return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream)
{
	ENTER();
	return kf_cuda_finish();
}

static CUresult reached(uint64_t us)
{
	return us > kf_sim_us() ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream stream)
{
	ENTER();
	return reached(kf_cuda.idle_us);
}

CUresult cuEventCreate(CUevent *event, unsigned flags)
{
	ENTER();
	WANT(event);
	*event = calloc(1, sizeof(**event));
	return *event ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuEventDestroy_v2(CUevent event)
{
	ENTER();
	WANT(event);
	free(event);
	return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
	uint64_t now = kf_sim_us();

	ENTER();
	WANT(event);
	event->us = kf_cuda.idle_us > now ? kf_cuda.idle_us : now;
	return CUDA_SUCCESS;
}

/* Waits for all that was launched, what came behind the event too. */
CUresult cuEventSynchronize(CUevent event)
{
	ENTER();
	WANT(event);
	return kf_cuda_finish();
}

CUresult cuEventQuery(CUevent event)
{
	ENTER();
	WANT(event);
	return reached(event->us);
}

CUresult cuEventElapsedTime(float *ms, CUevent from, CUevent to)
{
	ENTER();
	WANT(ms && from && to && from->us && to->us);
	TRY(reached(to->us));
	*ms = (float)((double)(to->us - from->us) / 1000);
	return CUDA_SUCCESS;
}
