/* Device memory by all the ways that lead to it: all count alike (measured.md, "Caps"). */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cuda/library.h"

#define GRANULE (2 * MIB)

static uint64_t rounded(uint64_t bytes)
{
	return (bytes + GRANULE - 1) / GRANULE * GRANULE;
}

static int is_large(uint64_t bytes)
{
	return bytes >= MIB;
}

/* Take device memory for `bytes`, or (size negative) give it back. */
static void count(struct device *d, uint64_t bytes, int sign)
{
	if (is_large(bytes))
		d->large += sign * (int64_t)rounded(bytes);
	else
		d->small += sign * (int64_t)bytes;
	kf_cuda_tell(d);
}

static CUresult take(struct device *d, uint64_t bytes)
{
	uint64_t page = d->small % GRANULE, more = is_large(bytes) ? rounded(bytes) / MIB : 0;

	if (!is_large(bytes) && (page == 0 || page + bytes > GRANULE))
		more = GRANULE / MIB;
	TRY(kf_cuda_room(d, more));
	count(d, bytes, 1);
	return CUDA_SUCCESS;
}

static CUresult map(size_t bytes, char **ret)
{
	*ret = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return *ret == MAP_FAILED ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

/* A block of the thread's device, in the list; `what` has its flags. */
static CUresult make(size_t bytes, int mapped, struct block what, struct block **ret)
{
	struct block *b;
	struct device *d;
	CUresult r;

	WANT(bytes > 0 && bytes < 1ull << 46);
	TRY(kf_cuda_current(&d));
	b = malloc(sizeof(*b));
	if (!b)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*b = what;
	b->bytes = bytes;
	b->device = (int)(d - kf_cuda.device);
	r = b->counts ? take(d, bytes) : CUDA_SUCCESS;
	if (r == CUDA_SUCCESS && mapped) {
		r = map(bytes, &b->at);
		if (r != CUDA_SUCCESS && b->counts)
			count(d, bytes, -1);
	}
	if (r != CUDA_SUCCESS) {
		free(b);
		return r;
	}
	b->next = kf_cuda.blocks;
	kf_cuda.blocks = *ret = b;
	return CUDA_SUCCESS;
}

static struct block **find(const struct block *wanted)
{
	struct block **at = &kf_cuda.blocks;

	while (*at && *at != wanted)
		at = &(*at)->next;
	return at;
}

static void drop(struct block *b)
{
	struct device *d = &kf_cuda.device[b->device];

	*find(b) = b->next;
	if (b->counts && d->n_contexts)
		count(d, b->bytes, -1);
	if (b->at)
		munmap(b->at, b->bytes);
	free(b);
}

void kf_cuda_forget(int device)
{
	struct block *b, *next;

	for (b = kf_cuda.blocks; b; b = next) {
		next = b->next;
		if (b->device == device)
			drop(b);
	}
	kf_cuda.device[device].large = kf_cuda.device[device].small = 0;
}

struct block *kf_cuda_block(CUdeviceptr address, size_t bytes)
{
	struct block *b;

	for (b = kf_cuda.blocks; b; b = b->next) {
		CUdeviceptr from = (CUdeviceptr)(uintptr_t)b->at;

		if (b->at && address >= from && address - from <= b->bytes &&
		    bytes <= b->bytes - (address - from))
			return b;
	}
	return NULL;
}

static CUresult allocate(CUdeviceptr *address, size_t bytes)
{
	struct block *b;

	WANT(address);
	TRY(make(bytes, 1, (struct block){.counts = 1}, &b));
	*address = (CUdeviceptr)(uintptr_t)b->at;
	return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes)
{
	ENTER();
	return allocate(address, bytes);
}

CUresult cuMemAllocPitch_v2(CUdeviceptr *address, size_t *pitch, size_t width, size_t height,
			    unsigned element)
{
	ENTER();
	WANT(pitch && width && height && (element == 4 || element == 8 || element == 16));
	*pitch = (width + 511) / 512 * 512;
	return allocate(address, *pitch * height);
}

/* Measured: under MPS managed memory stops at the limit as well. */
CUresult cuMemAllocManaged(CUdeviceptr *address, size_t bytes, unsigned flags)
{
	ENTER();
	return allocate(address, bytes);
}

static CUresult release(CUdeviceptr address)
{
	struct block *b;

	if (!address)
		return CUDA_SUCCESS;
	b = kf_cuda_block(address, 1);
	if (!b || (CUdeviceptr)(uintptr_t)b->at != address || !b->counts)
		return CUDA_ERROR_INVALID_VALUE;
	drop(b);
	return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr address)
{
	ENTER();
	TRY(kf_cuda_finish());
	return release(address);
}

CUresult cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream stream)
{
	ENTER();
	return allocate(address, bytes);
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream)
{
	ENTER();
	return release(address);
}

/* Pools hold nothing back, so they are no more than a name. */

CUresult cuMemPoolCreate(CUmemoryPool *pool, const KfCudaMemoryProp *prop)
{
	ENTER();
	WANT(pool && prop);
	*pool = malloc(1);
	return *pool ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
	ENTER();
	if ((char *)pool < (char *)kf_cuda.device ||
	    (char *)pool >= (char *)&kf_cuda.device[KF_SIM_SPOTS])
		free(pool);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, int attribute, void *value)
{
	ENTER();
	WANT(pool && value);
	return CUDA_SUCCESS;
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
	ENTER();
	WANT(pool);
	return CUDA_SUCCESS;
}

static CUresult default_pool(CUmemoryPool *pool, CUdevice number)
{
	ENTER();
	WANT(pool);
	if (number < 0 || number >= kf_cuda.n_devices)
		return CUDA_ERROR_INVALID_DEVICE;
	*pool = (CUmemoryPool)&kf_cuda.device[number];
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice number)
{
	return default_pool(pool, number);
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice number)
{
	return default_pool(pool, number);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *address, size_t bytes, CUmemoryPool pool,
				 CUstream stream)
{
	ENTER();
	WANT(pool);
	return allocate(address, bytes);
}

/* Virtual memory: the handle counts; the address space it is mapped into does not. */

CUresult cuMemGetAllocationGranularity(size_t *bytes, const KfCudaMemoryProp *prop, int option)
{
	ENTER();
	WANT(bytes && prop);
	*bytes = GRANULE;
	return CUDA_SUCCESS;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes,
		     const KfCudaMemoryProp *prop, unsigned long long flags)
{
	struct block *b;

	ENTER();
	WANT(handle && prop && bytes % GRANULE == 0);
	TRY(make(bytes, 0, (struct block){.counts = 1, .handle = 1}, &b));
	*handle = (CUmemGenericAllocationHandle)(uintptr_t)b;
	return CUDA_SUCCESS;
}

static struct block *by_handle(CUmemGenericAllocationHandle handle)
{
	struct block *b = *find((struct block *)(uintptr_t)handle);

	return b && b->handle ? b : NULL;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
	struct block *b;

	ENTER();
	b = by_handle(handle);
	WANT(b);
	drop(b);
	return CUDA_SUCCESS;
}

CUresult cuMemAddressReserve(CUdeviceptr *address, size_t bytes, size_t alignment, CUdeviceptr wish,
			     unsigned long long flags)
{
	struct block *b;

	ENTER();
	WANT(address && bytes % GRANULE == 0);
	TRY(make(bytes, 1, (struct block){.counts = 0}, &b));
	*address = (CUdeviceptr)(uintptr_t)b->at;
	return CUDA_SUCCESS;
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t bytes)
{
	struct block *b;

	ENTER();
	b = kf_cuda_block(address, bytes);
	WANT(b && !b->counts && b->bytes == bytes);
	drop(b);
	return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset,
		  CUmemGenericAllocationHandle handle, unsigned long long flags)
{
	const struct block *b;

	ENTER();
	b = by_handle(handle);
	WANT(b && offset == 0 && bytes <= b->bytes && kf_cuda_block(address, bytes));
	return CUDA_SUCCESS;
}

CUresult cuMemUnmap(CUdeviceptr address, size_t bytes)
{
	ENTER();
	WANT(kf_cuda_block(address, bytes));
	return CUDA_SUCCESS;
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t bytes, const void *access, size_t n)
{
	ENTER();
	WANT(access && n && kf_cuda_block(address, bytes));
	return CUDA_SUCCESS;
}

/* Arrays */

/* CUarray_format: 8, 16 or 32 bits an element */
static size_t element_bytes(int format)
{
	switch (format) {
	case 0x01:
	case 0x08:
		return 1;
	case 0x02:
	case 0x09:
	case 0x10:
		return 2;
	default:
		return 4;
	}
}

static CUresult make_array(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *what, unsigned levels)
{
	size_t w, h, depth, bytes = 0;
	struct block *b;

	WANT(array && what && what->Width && levels > 0);
	w = what->Width;
	h = what->Height ? what->Height : 1;
	depth = what->Depth ? what->Depth : 1;
	for (; levels > 0; levels--) {
		bytes += w * h * depth * element_bytes(what->Format) * what->NumChannels;
		w = w > 1 ? w / 2 : 1;
		h = h > 1 ? h / 2 : 1;
		depth = depth > 1 ? depth / 2 : 1;
	}
	TRY(make(bytes, 0, (struct block){.counts = 1, .arrayness = 1}, &b));
	*array = (CUarray)b;
	return CUDA_SUCCESS;
}

CUresult cuArrayCreate_v2(CUarray *array, const CUDA_ARRAY_DESCRIPTOR *what)
{
	CUDA_ARRAY3D_DESCRIPTOR flat = {0};

	ENTER();
	WANT(what);
	flat.Width = what->Width;
	flat.Height = what->Height;
	flat.Format = what->Format;
	flat.NumChannels = what->NumChannels;
	return make_array(array, &flat, 1);
}

CUresult cuArray3DCreate_v2(CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *what)
{
	ENTER();
	return make_array(array, what, 1);
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *what,
				unsigned levels)
{
	ENTER();
	return make_array(array, what, levels);
}

static CUresult drop_array(CUarray array)
{
	struct block *b;

	ENTER();
	b = *find((struct block *)array);
	if (!b || !b->arrayness)
		return CUDA_ERROR_INVALID_HANDLE;
	drop(b);
	return CUDA_SUCCESS;
}

CUresult cuArrayDestroy(CUarray array)
{
	return drop_array(array);
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
	return drop_array(array);
}

/* The host's own */

CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned flags)
{
	ENTER();
	WANT(memory && bytes);
	*memory = calloc(1, bytes);
	return *memory ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemAllocHost_v2(void **memory, size_t bytes)
{
	return cuMemHostAlloc(memory, bytes, 0);
}

CUresult cuMemFreeHost(void *memory)
{
	ENTER();
	WANT(memory);
	free(memory);
	return CUDA_SUCCESS;
}
