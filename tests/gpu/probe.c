/*
 * A CUDA program for containers that have glibc and what the agent gave them, and nothing else: it
 * is linked with libc alone and opens libcuda.so.1 as any program would.
 *
 * It runs a kernel from PTX (which takes the driver's compiler as well) on every GPU that it sees,
 * prints "gpu UUID NAME" for each, where libcuda came from, and "ready"; then it waits for the end
 * of its input, so that others can look at a process on the GPU.  For each line of it, it runs the
 * kernel for a second more on the last GPU and prints "computed N", how often.  Status 0, or 1 with
 * a sentence.
 */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N 256

typedef int result; /* CUresult; 0 is success */

/* The driver API, by the names that the library has them under. */
#define CUDA(X)                                                                                    \
	X(cuInit, (unsigned flags))                                                                \
	X(cuDeviceGetCount, (int *n))                                                              \
	X(cuDeviceGet, (int *device, int ordinal))                                                 \
	X(cuDeviceGetName, (char *name, int size, int device))                                     \
	X(cuDeviceGetUuid_v2, (unsigned char uuid[16], int device))                                \
	X(cuCtxCreate_v2, (void **context, unsigned flags, int device))                            \
	X(cuMemAlloc_v2, (unsigned long long *pointer, size_t bytes))                              \
	X(cuMemcpyDtoH_v2, (void *to, unsigned long long from, size_t bytes))                      \
	X(cuModuleLoadData, (void **module, const void *image))                                    \
	X(cuModuleGetFunction, (void **function, void *module, const char *name))                  \
	X(cuLaunchKernel,                                                                          \
	  (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,        \
	   unsigned bz, unsigned shared, void *stream, void **params, void **extra))

#define X(name, parameters) static result(*name) parameters;
CUDA(X)
#undef X

/* out[i] = 3 * i + 7 */
static const char ptx[] = ".version 6.0\n.target sm_50\n.address_size 64\n"
			  ".visible .entry fill(.param .u64 out)\n{\n"
			  "  .reg .b32 %r<3>;\n  .reg .b64 %rd<4>;\n"
			  "  ld.param.u64 %rd1, [out];\n"
			  "  cvta.to.global.u64 %rd1, %rd1;\n"
			  "  mov.u32 %r1, %tid.x;\n"
			  "  mul.wide.u32 %rd2, %r1, 4;\n"
			  "  add.s64 %rd3, %rd1, %rd2;\n"
			  "  mad.lo.u32 %r2, %r1, 3, 7;\n"
			  "  st.global.u32 [%rd3], %r2;\n"
			  "  ret;\n}\n";

static void must(result r, const char *what)
{
	if (r == 0)
		return;
	fprintf(stderr, "probe: %s: CUDA error %d\n", what, r);
	exit(1);
}

static void load(void)
{
	void *library = dlopen("libcuda.so.1", RTLD_NOW);
	void *symbol;

	if (!library) {
		fprintf(stderr, "probe: %s\n", dlerror());
		exit(1);
	}
#define X(name, parameters)                                                                        \
	symbol = dlsym(library, #name);                                                            \
	must(symbol ? 0 : -1, "find " #name);                                                      \
	memcpy(&name, &symbol, sizeof(symbol));
	CUDA(X)
#undef X
}

static void print_origin(void)
{
	Dl_info info;
	void *symbol;

	memcpy(&symbol, &cuInit, sizeof(symbol));
	if (dladdr(symbol, &info))
		printf("libcuda %s\n", info.dli_fname);
}

static unsigned long long out; /* device memory, and a kernel for it, of the last GPU */
static void *function;

static void prepare(void)
{
	void *module;

	must(cuMemAlloc_v2(&out, N * sizeof(unsigned)), "allocate memory");
	must(cuModuleLoadData(&module, ptx), "compile a kernel");
	must(cuModuleGetFunction(&function, module, "fill"), "find the kernel");
}

static void compute(void)
{
	unsigned host[N] = {0}, i;
	void *params[] = {&out};

	must(cuLaunchKernel(function, 1, 1, 1, N, 1, 1, 0, NULL, params, NULL), "launch it");
	must(cuMemcpyDtoH_v2(host, out, sizeof(host)), "copy its result");
	for (i = 0; i < N; i++)
		must(host[i] == 3 * i + 7 ? 0 : -1, "compute");
}

static void compute_for_a_second(void)
{
	struct timespec begin, now;
	unsigned n = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		compute();
		n++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 <
		 1000);
	printf("computed %u\n", n);
	fflush(stdout);
}

static void print_gpu(int device)
{
	unsigned char u[16] = {0};
	char name[128] = "";
	unsigned i;

	must(cuDeviceGetUuid_v2(u, device), "read the UUID");
	must(cuDeviceGetName(name, sizeof(name), device), "read the name");
	printf("gpu GPU-");
	for (i = 0; i < 16; i++)
		printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	printf(" %s\n", name);
}

int main(void)
{
	int n = 0, i, device, c;
	void *context;

	load();
	print_origin();
	must(cuInit(0), "cuInit");
	must(cuDeviceGetCount(&n), "count the GPUs");
	for (i = 0; i < n; i++) {
		must(cuDeviceGet(&device, i), "open a GPU");
		print_gpu(device);
		must(cuCtxCreate_v2(&context, 0, device), "create a context");
		prepare();
		compute();
	}
	printf("ready\n");
	fflush(stdout);
	while ((c = getchar()) != EOF)
		if (c == '\n')
			compute_for_a_second();
	return 0;
}
