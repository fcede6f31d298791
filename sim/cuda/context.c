/* Contexts, and what the program has on a GPU, as the machine's table of processes shows it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cuda/library.h"

#define STACK 16

static __thread struct kf_cuda_context *stack[STACK];
static __thread unsigned depth;

/*
 * Measured on an H100 (measured.md): 518 MiB for a program by itself; under MPS 144 and 274 MiB for
 * 32 and 66 of its 132 SMs.  So most of it goes by SMs.
 */
static uint64_t context_mib(unsigned sm)
{
	return !kf_cuda.server ? (sm * 3924 + 500) / 1000 : 22 + sm * 3824 / 1000;
}

/* Blocks of 1 MiB and more have pages of their own, of 2 MiB; the others share some. */
static uint64_t blocks_mib(const struct device *d)
{
	return d->large / MIB + 2 * ((d->small + 2 * MIB - 1) / (2 * MIB));
}

/* MiB of device memory that the program has. */
static uint64_t used_mib(const struct device *d)
{
	return d->n_contexts * context_mib(kf_cuda_sm(d)) + blocks_mib(d);
}

/*
 * What of it a limit counts: measured on an H100, 123 MiB of a context of 26 SMs, 271 of 66, more
 * than 512 of 132; 510 where each context has a share of its own and this one all SMs.  They are
 * those of the server's share: a client that lowers its own stops no later for that (measured: 7.50
 * GiB of 8 with 50 % of the server's, whether the client has 20 % or 50).
 */
static uint64_t counted_mib(const struct device *d)
{
	unsigned share = d->sm * d->server_x10 / 1000 & ~1u;
	uint64_t each = kf_cuda.per_context ? 22 + d->sm * 37 / 10 : 27 + share * 37 / 10;

	return d->n_contexts * each + blocks_mib(d);
}

static unsigned row(const struct device *d)
{
	struct kf_sim_state *s = kf_cuda.sim.state;
	unsigned i;

	for (i = 0; i < s->process_end; i++)
		if (s->process[i].used && s->process[i].client == kf_cuda.sim.client &&
		    s->process[i].gpu == d->spot.gpu && s->process[i].gi == d->spot.gi &&
		    s->process[i].ci == d->spot.ci)
			return i;
	return KF_SIM_NONE;
}

static CUresult add_row(const struct device *d)
{
	struct kf_sim_process p = {
		.pid = (uint32_t)getpid(),
		.gpu = d->spot.gpu,
		.gi = d->spot.gi,
		.ci = d->spot.ci,
		.kind = kf_cuda.server ? KF_SIM_MPS : KF_SIM_COMPUTE,
		.client = kf_cuda.sim.client,
		.sm = kf_cuda.load * kf_cuda_sm(d) / d->sm,
		.busy = kf_cuda.load,
	};

	if (kf_cuda.sim.client == KF_SIM_NONE || kf_sim_process_add(&kf_cuda.sim, &p) < 0)
		return CUDA_ERROR_OUT_OF_MEMORY;
	return CUDA_SUCCESS;
}

/* A share of the SMs is a share of the work, however busy it keeps them. */
void kf_cuda_work(const struct device *d, unsigned busy)
{
	unsigned i;

	kf_sim_lock(kf_cuda.sim.state);
	i = row(d);
	if (i != KF_SIM_NONE)
		kf_sim_process_load(&kf_cuda.sim, i, busy * kf_cuda_sm(d) / d->sm, busy);
	kf_sim_unlock(kf_cuda.sim.state);
}

CUresult kf_cuda_tell(struct device *d)
{
	struct kf_sim_state *s = kf_cuda.sim.state;
	CUresult r = CUDA_SUCCESS;
	unsigned i;

	kf_sim_lock(s);
	i = row(d);
	if (i != KF_SIM_NONE && !d->n_contexts)
		kf_sim_process_remove(&kf_cuda.sim, i);
	if (i == KF_SIM_NONE && d->n_contexts) {
		r = add_row(d);
		i = row(d);
	}
	if (r == CUDA_SUCCESS && d->n_contexts)
		s->process[i].memory_mib = (uint32_t)used_mib(d);
	kf_sim_unlock(s);
	return r;
}

CUresult kf_cuda_room(struct device *d, uint64_t more)
{
	struct kf_sim_state *s = kf_cuda.sim.state;
	uint64_t free_mib;
	unsigned i;

	if (d->limit_bytes && (counted_mib(d) + more) * MIB > d->limit_bytes)
		return CUDA_ERROR_OUT_OF_MEMORY;
	kf_sim_lock(s);
	free_mib = kf_sim_spot_free_mib(&kf_cuda.sim, &d->spot);
	i = row(d);
	if (more <= free_mib && i != KF_SIM_NONE)
		s->process[i].memory_mib += (uint32_t)more;
	kf_sim_unlock(s);
	return more <= free_mib ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/*
 * EXCLUSIVE_PROCESS (3): one program, which may be an MPS server; its clients come through it.
 * PROHIBITED (2): nobody.
 */
static CUresult admitted(const struct device *d)
{
	struct kf_sim_state *s = kf_cuda.sim.state;
	CUresult r = CUDA_SUCCESS;
	unsigned i, mode;

	kf_sim_lock(s);
	mode = kf_sim_now(s, d->spot.gpu)->compute_mode;
	if (mode == 2)
		r = CUDA_ERROR_DEVICE_UNAVAILABLE;
	for (i = 0; mode == 3 && !kf_cuda.server && i < s->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(&kf_cuda.sim, i);

		if (p && p->gpu == d->spot.gpu && p->client != kf_cuda.sim.client &&
		    p->kind != KF_SIM_HOLDER)
			r = CUDA_ERROR_DEVICE_UNAVAILABLE;
	}
	kf_sim_unlock(s);
	return r;
}

static CUresult make(CUdevice number, int primary, struct kf_cuda_context **ret)
{
	struct kf_cuda_context *c;
	struct device *d;
	struct channel channel;
	CUresult r;

	if (number < 0 || number >= kf_cuda.n_devices)
		return CUDA_ERROR_INVALID_DEVICE;
	d = &kf_cuda.device[number];
	TRY(admitted(d));
	TRY(kf_cuda_room(d, context_mib(kf_cuda_sm(d))));
	TRY(kf_cuda_mps_context(number, &channel));
	c = calloc(1, sizeof(*c));
	d->n_contexts++;
	r = c ? kf_cuda_tell(d) : CUDA_ERROR_OUT_OF_MEMORY;
	if (r != CUDA_SUCCESS) {
		d->n_contexts--;
		free(c);
		kf_cuda_mps_close(&channel);
		return r;
	}
	*c = (struct kf_cuda_context){kf_cuda.contexts, number, 1, primary, channel};
	kf_cuda.contexts = *ret = c;
	return CUDA_SUCCESS;
}

static int known(const struct kf_cuda_context *context)
{
	struct kf_cuda_context *c;

	for (c = kf_cuda.contexts; c; c = c->next)
		if (c == context)
			return 1;
	return 0;
}

/* What was allocated in it goes with the program's last context of the device. */
static void drop(struct kf_cuda_context *context)
{
	struct device *d = &kf_cuda.device[context->device];
	struct kf_cuda_context **at;

	for (at = &kf_cuda.contexts; *at != context; at = &(*at)->next)
		;
	*at = context->next;
	if (d->primary == context)
		d->primary = NULL;
	if (--d->n_contexts == 0)
		kf_cuda_forget(context->device);
	kf_cuda_tell(d);
	kf_cuda_mps_close(&context->channel);
	free(context);
}

CUresult kf_cuda_current(struct device **ret)
{
	if (!depth || !known(stack[depth - 1]))
		return CUDA_ERROR_INVALID_CONTEXT;
	*ret = &kf_cuda.device[stack[depth - 1]->device];
	return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v2(CUcontext *context, unsigned flags, CUdevice number)
{
	ENTER();
	WANT(context);
	if (depth == STACK)
		return CUDA_ERROR_OUT_OF_MEMORY;
	TRY(make(number, 0, context));
	stack[depth++] = *context;
	return CUDA_SUCCESS;
}

CUresult cuCtxCreate_v4(CUcontext *context, void *params, unsigned flags, CUdevice number)
{
	return cuCtxCreate_v2(context, flags, number);
}

CUresult cuCtxDestroy_v2(CUcontext context)
{
	ENTER();
	if (!known(context) || context->primary)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (depth && stack[depth - 1] == context)
		depth--;
	drop(context);
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice number)
{
	struct kf_cuda_context *c;

	ENTER();
	WANT(context);
	if (number < 0 || number >= kf_cuda.n_devices)
		return CUDA_ERROR_INVALID_DEVICE;
	c = kf_cuda.device[number].primary;
	if (c)
		c->references++;
	else
		TRY(make(number, 1, &c));
	*context = kf_cuda.device[number].primary = c;
	return CUDA_SUCCESS;
}

static CUresult release(CUdevice number, int all)
{
	struct kf_cuda_context *c;

	ENTER();
	if (number < 0 || number >= kf_cuda.n_devices)
		return CUDA_ERROR_INVALID_DEVICE;
	c = kf_cuda.device[number].primary;
	if (!c)
		return all ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
	if (all || --c->references == 0)
		drop(c);
	return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice number)
{
	return release(number, 0);
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice number)
{
	return release(number, 1);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice number, unsigned *flags, int *active)
{
	ENTER();
	WANT(flags && active);
	if (number < 0 || number >= kf_cuda.n_devices)
		return CUDA_ERROR_INVALID_DEVICE;
	*flags = 0;
	*active = kf_cuda.device[number].primary != NULL;
	return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext context)
{
	ENTER();
	if (!known(context) || depth == STACK)
		return CUDA_ERROR_INVALID_CONTEXT;
	stack[depth++] = context;
	return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent_v2(CUcontext *context)
{
	ENTER();
	if (!depth)
		return CUDA_ERROR_INVALID_CONTEXT;
	depth--;
	if (context)
		*context = stack[depth];
	return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context)
{
	ENTER();
	if (context && !known(context))
		return CUDA_ERROR_INVALID_CONTEXT;
	if (depth)
		depth--;
	if (context)
		stack[depth++] = context;
	return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context)
{
	ENTER();
	WANT(context);
	*context = depth ? stack[depth - 1] : NULL;
	return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *number)
{
	struct device *d;

	ENTER();
	WANT(number);
	TRY(kf_cuda_current(&d));
	*number = (int)(d - kf_cuda.device);
	return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void)
{
	struct device *d;

	ENTER();
	TRY(kf_cuda_current(&d));
	return kf_cuda_finish();
}

/* Under a limit: what is left of that is free, but the total is the whole GPU's (measured). */
CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
	uint64_t left, used;
	struct device *d;

	ENTER();
	WANT(free_bytes && total);
	TRY(kf_cuda_current(&d));
	kf_sim_lock(kf_cuda.sim.state);
	*total = kf_sim_spot_mib(kf_cuda.sim.state, &d->spot) * MIB;
	*free_bytes = kf_sim_spot_free_mib(&kf_cuda.sim, &d->spot) * MIB;
	kf_sim_unlock(kf_cuda.sim.state);
	used = counted_mib(d) * MIB;
	left = d->limit_bytes > used ? d->limit_bytes - used : 0;
	if (d->limit_bytes && left < *free_bytes)
		*free_bytes = left;
	return CUDA_SUCCESS;
}
