/*
 * A CUDA client that does what its words say, in their order, and tells each: a line
 * "MICROSECONDS PID WORD RESULT", the time being that of CLOCK_REALTIME.
 *
 * For checks of MPS: what limits a client has, what reaches it of another's fault, how it may try
 * to get around a limit.  Linked with libc alone; it opens libcuda.so.1 as any program would.
 * Managed memory is touched: never ask for more of it than the GPU has free.
 *
 *   init ctx primary ctxdestroy    cuInit, cuCtxCreate, the primary context, cuCtxDestroy
 *   sm mem kernel                  number of SMs; cuMemGetInfo; a kernel whose result is checked
 *   take:PATH:STEP:CAP             allocates STEP MiB by PATH until it fails or CAP MiB are reached
 *   spin:MS fault                  kernels on all SMs for so long; a kernel that writes to address
 * 16 ipcget:FILE ipcopen:FILE       the handle of the last allocation to a file; open that of a
 * file sleep:MS wait exit             wait: until the end of the input setenv:K=V unsetenv:K uid:N
 *   fork                           what follows is done by a child; the parent waits for it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N	256
#define MIB	(1ULL << 20)
#define SM_ATTR 16 /* CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT */

typedef int result; /* CUresult; 0 is success */
typedef unsigned long long pointer;

struct ipc_handle {
	char bytes[64];
};

struct array_shape {
	size_t width, height;
	int format;
	unsigned channels;
};

struct mipmap_shape {
	size_t width, height, depth;
	int format;
	unsigned channels, flags;
};

struct memory_kind { /* CUmemAllocationProp */
	int type, handles, location, device;
	void *security;
	unsigned char flags[8];
};

struct pool_kind { /* CUmemPoolProps */
	int type, handles, location, device;
	void *security;
	size_t max;
	unsigned char rest[64];
};

struct access {
	int location, device, flags;
};

/* The driver API, by the names that the library has them under. */
#define CUDA(X)                                                                                    \
	X(cuInit, (unsigned flags))                                                                \
	X(cuDeviceGetAttribute, (int *value, int attribute, int device))                           \
	X(cuDevicePrimaryCtxRetain, (void **context, int device))                                  \
	X(cuCtxSetCurrent, (void *context))                                                        \
	X(cuCtxCreate_v2, (void **context, unsigned flags, int device))                            \
	X(cuCtxDestroy_v2, (void *context))                                                        \
	X(cuCtxSynchronize, (void))                                                                \
	X(cuMemGetInfo_v2, (size_t * free, size_t * total))                                        \
	X(cuMemAlloc_v2, (pointer * p, size_t bytes))                                              \
	X(cuMemAllocPitch_v2,                                                                      \
	  (pointer * p, size_t * pitch, size_t width, size_t height, unsigned element))            \
	X(cuMemAllocManaged, (pointer * p, size_t bytes, unsigned flags))                          \
	X(cuMemAllocAsync, (pointer * p, size_t bytes, void *stream))                              \
	X(cuMemPoolCreate, (void **pool, const struct pool_kind *kind))                            \
	X(cuMemAllocFromPoolAsync, (pointer * p, size_t bytes, void *pool, void *stream))          \
	X(cuMemCreate,                                                                             \
	  (pointer * handle, size_t bytes, const struct memory_kind *kind, pointer flags))         \
	X(cuMemAddressReserve,                                                                     \
	  (pointer * p, size_t bytes, size_t alignment, pointer where, pointer flags))             \
	X(cuMemMap, (pointer p, size_t bytes, size_t offset, pointer handle, pointer flags))       \
	X(cuMemSetAccess, (pointer p, size_t bytes, const struct access *a, size_t count))         \
	X(cuArrayCreate_v2, (void **array, const struct array_shape *shape))                       \
	X(cuMipmappedArrayCreate,                                                                  \
	  (void **array, const struct mipmap_shape *shape, unsigned levels))                       \
	X(cuIpcGetMemHandle, (struct ipc_handle * handle, pointer p))                              \
	X(cuIpcOpenMemHandle_v2, (pointer * p, struct ipc_handle handle, unsigned flags))          \
	X(cuMemsetD8_v2, (pointer p, unsigned char value, size_t bytes))                           \
	X(cuMemcpyDtoH_v2, (void *to, pointer from, size_t bytes))                                 \
	X(cuModuleLoadData, (void **module, const void *image))                                    \
	X(cuModuleGetFunction, (void **function, void *module, const char *name))                  \
	X(cuLaunchKernel,                                                                          \
	  (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,        \
	   unsigned bz, unsigned shared, void *stream, void **params, void **extra))

#define X(name, parameters) static result(*name) parameters;
CUDA(X)
#undef X

/* fill: out[i] = 3 * i + 7.  spin: n cycles.  bad: a write where nothing is. */
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
			  "  ret;\n}\n"
			  ".visible .entry spin(.param .u64 n)\n{\n"
			  "  .reg .b64 %rd<4>;\n  .reg .pred %p;\n"
			  "  ld.param.u64 %rd1, [n];\n"
			  "  mov.u64 %rd2, %clock64;\n"
			  "again:\n"
			  "  mov.u64 %rd3, %clock64;\n"
			  "  sub.s64 %rd3, %rd3, %rd2;\n"
			  "  setp.lt.s64 %p, %rd3, %rd1;\n"
			  "  @%p bra again;\n"
			  "  ret;\n}\n"
			  ".visible .entry bad()\n{\n"
			  "  .reg .b64 %rd<2>;\n  .reg .b32 %r<2>;\n"
			  "  mov.u64 %rd1, 16;\n"
			  "  mov.u32 %r1, 1;\n"
			  "  st.global.u32 [%rd1], %r1;\n"
			  "  ret;\n}\n";

static void *context, *module;
static pointer last; /* of take, for ipcget */

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

__attribute__((format(printf, 2, 3))) static void say(const char *word, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("%lld %d %s ", now_us(), getpid(), word);
	vprintf(format, arguments);
	printf("\n");
	fflush(stdout);
	va_end(arguments);
}

/* A function that the library lacks stays NULL: only IPC may be missing, in the simulator's. */
static int load(void)
{
	void *library = dlopen("libcuda.so.1", RTLD_NOW);
	void *symbol;

	if (!library) {
		say("load", "%s", dlerror());
		return -1;
	}
#define X(name, parameters)                                                                        \
	symbol = dlsym(library, #name);                                                            \
	memcpy(&name, &symbol, sizeof(symbol));
	CUDA(X)
#undef X
	return 0;
}

/* --- memory, by every path ------------------------------------------------------------------ */

static result take_alloc(size_t bytes)
{
	return cuMemAlloc_v2(&last, bytes);
}

static result take_pitch(size_t bytes)
{
	size_t pitch;

	return cuMemAllocPitch_v2(&last, &pitch, MIB, bytes / MIB, 4);
}

static result take_managed(size_t bytes)
{
	result r = cuMemAllocManaged(&last, bytes, 1);

	if (!r)
		r = cuMemsetD8_v2(last, 1, bytes);
	return r ? r : cuCtxSynchronize();
}

static result take_async(size_t bytes)
{
	result r = cuMemAllocAsync(&last, bytes, NULL);

	return r ? r : cuCtxSynchronize();
}

static result take_pool(size_t bytes)
{
	static const struct pool_kind kind = {.type = 1, .location = 1};
	static void *pool;
	result r = pool ? 0 : cuMemPoolCreate(&pool, &kind);

	if (!r)
		r = cuMemAllocFromPoolAsync(&last, bytes, pool, NULL);
	return r ? r : cuCtxSynchronize();
}

static result take_vmm(size_t bytes)
{
	static const struct memory_kind kind = {.type = 1, .location = 1};
	static const struct access all = {.location = 1, .flags = 3};
	pointer handle, where;
	result r = cuMemCreate(&handle, bytes, &kind, 0);

	if (!r)
		r = cuMemAddressReserve(&where, bytes, 0, 0, 0);
	if (!r)
		r = cuMemMap(where, bytes, 0, handle, 0);
	return r ? r : cuMemSetAccess(where, bytes, &all, 1);
}

#define FLOAT 0x20
#define WIDE  8192

static result take_array(size_t bytes)
{
	struct array_shape shape = {WIDE, bytes / WIDE / 4, FLOAT, 1};
	void *array;

	return cuArrayCreate_v2(&array, &shape);
}

static result take_mipmap(size_t bytes)
{
	struct mipmap_shape shape = {WIDE, bytes / WIDE / 4, 0, FLOAT, 1, 0};
	void *array;

	return cuMipmappedArrayCreate(&array, &shape, 1);
}

static const struct path {
	const char *name;
	result (*take)(size_t bytes);
} paths[] = {
	{"alloc", take_alloc}, {"pitch", take_pitch},	{"managed", take_managed},
	{"async", take_async}, {"pool", take_pool},	{"vmm", take_vmm},
	{"array", take_array}, {"mipmap", take_mipmap},
};

static void do_take(const char *argument)
{
	char name[16] = "";
	size_t step = 0, cap = 0, got = 0, i;
	result r = -1;

	if (sscanf(argument, "%15[^:]:%zu:%zu", name, &step, &cap) != 3 || !step)
		return say("take", "takes PATH:STEP:CAP, not %s", argument);
	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (!strcmp(paths[i].name, name))
			while (got < cap && !(r = paths[i].take(step * MIB)))
				got += step;
	say("take", "%s %zu MiB code %d", name, got, r);
}

/* --- work ------------------------------------------------------------------------------------ */

static result launch(const char *name, unsigned blocks, unsigned threads, void **params)
{
	void *function;
	result r = module ? 0 : cuModuleLoadData(&module, ptx);

	if (!r)
		r = cuModuleGetFunction(&function, module, name);
	return r ? r : cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, NULL, params, NULL);
}

static void do_kernel(const char *argument)
{
	unsigned host[N] = {0}, i, right = 0;
	pointer out = 0;
	void *params[] = {&out};
	result r = cuMemAlloc_v2(&out, sizeof(host));

	(void)argument;
	if (!r)
		r = launch("fill", 1, N, params);
	if (!r)
		r = cuMemcpyDtoH_v2(host, out, sizeof(host));
	for (i = 0; i < N; i++)
		right += host[i] == 3 * i + 7;
	say("kernel", "code %d %s", r, right == N ? "computed" : "wrong");
}

static void do_spin(const char *argument)
{
	long long end = now_us() + atol(argument) * 1000, begin, took, longest = 0;
	pointer cycles = 400000; /* a quarter of a millisecond on an H100 */
	void *params[] = {&cycles};
	unsigned n;
	result r = 0;

	for (n = 0; !r && now_us() < end; n++) {
		begin = now_us();
		r = launch("spin", 264, N, params);
		if (!r)
			r = cuCtxSynchronize();
		took = now_us() - begin;
		if (took > longest)
			longest = took;
	}
	say("spin", "code %d kernels %u longest_us %lld", r, n, longest);
}

static void do_fault(const char *argument)
{
	(void)argument;
	say("fault", "launched %d", launch("bad", 1, 1, NULL));
	say("fault", "code %d", cuCtxSynchronize());
}

/* --- the others ------------------------------------------------------------------------------ */

static void do_init(const char *argument)
{
	(void)argument;
	say("init", "code %d", cuInit(0));
}

static void do_ctx(const char *argument)
{
	(void)argument;
	module = NULL;
	say("ctx", "code %d", cuCtxCreate_v2(&context, 0, 0));
}

static void do_primary(const char *argument)
{
	result r = cuDevicePrimaryCtxRetain(&context, 0);

	(void)argument;
	module = NULL;
	say("primary", "code %d", r ? r : cuCtxSetCurrent(context));
}

static void do_ctxdestroy(const char *argument)
{
	(void)argument;
	module = NULL;
	say("ctxdestroy", "code %d", cuCtxDestroy_v2(context));
}

static void do_sm(const char *argument)
{
	int n = -1;
	result r = cuDeviceGetAttribute(&n, SM_ATTR, 0);

	(void)argument;
	say("sm", "%d code %d", n, r);
}

static void do_mem(const char *argument)
{
	size_t free_bytes = 0, total = 0;
	result r = cuMemGetInfo_v2(&free_bytes, &total);

	(void)argument;
	say("mem", "free %zu total %zu MiB code %d", (size_t)(free_bytes / MIB),
	    (size_t)(total / MIB), r);
}

static void do_ipcget(const char *argument)
{
	struct ipc_handle handle;
	FILE *f = fopen(argument, "w");
	result r = cuIpcGetMemHandle ? cuIpcGetMemHandle(&handle, last) : -1;
	size_t written = f ? fwrite(&handle, sizeof(handle), 1, f) : 0;

	if (f)
		fclose(f);
	say("ipcget", "code %d", written ? r : -1);
}

static void do_ipcopen(const char *argument)
{
	struct ipc_handle handle;
	FILE *f = fopen(argument, "r");
	size_t got = f ? fread(&handle, sizeof(handle), 1, f) : 0;
	pointer where = 0;

	if (f)
		fclose(f);
	got = cuIpcOpenMemHandle_v2 ? got : 0;
	say("ipcopen", "code %d", got ? cuIpcOpenMemHandle_v2(&where, handle, 1) : -1);
}

static void do_sleep(const char *argument)
{
	usleep((useconds_t)atol(argument) * 1000);
	say("sleep", "%s", argument);
}

static void do_wait(const char *argument)
{
	char c;

	(void)argument;
	say("wait", "ready");
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

static void do_exit(const char *argument)
{
	(void)argument;
	_exit(0);
}

static void do_setenv(const char *argument)
{
	putenv((char *)argument); /* of argv, which lives as long as we do */
	say("setenv", "%s", argument);
}

static void do_unsetenv(const char *argument)
{
	unsetenv(argument);
	say("unsetenv", "%s", argument);
}

static void do_uid(const char *argument)
{
	unsigned id = (unsigned)atoi(argument);
	int failed = setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id);

	say("uid", "%s", failed ? "refused" : argument);
}

static void do_fork(const char *argument)
{
	pid_t pid = fork();
	int status = 1;

	(void)argument;
	if (pid > 0) {
		waitpid(pid, &status, 0);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
}

static const struct word {
	const char *name;
	void (*act)(const char *argument);
} words[] = {
	{"init", do_init},
	{"ctx", do_ctx},
	{"primary", do_primary},
	{"ctxdestroy", do_ctxdestroy},
	{"sm", do_sm},
	{"mem", do_mem},
	{"kernel", do_kernel},
	{"take", do_take},
	{"spin", do_spin},
	{"fault", do_fault},
	{"ipcget", do_ipcget},
	{"ipcopen", do_ipcopen},
	{"sleep", do_sleep},
	{"wait", do_wait},
	{"exit", do_exit},
	{"setenv", do_setenv},
	{"unsetenv", do_unsetenv},
	{"uid", do_uid},
	{"fork", do_fork},
};

static int act(char *text)
{
	char *colon = strchr(text, ':');
	size_t i;

	if (colon)
		*colon = '\0';
	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(words[i].name, text)) {
			words[i].act(colon ? colon + 1 : "");
			return 0;
		}
	fprintf(stderr, "client: %s is none of its words\n", text);
	return -1;
}

int main(int argc, char **argv)
{
	int i;

	say("start", "uid %d", (int)getuid());
	if (load() < 0)
		return 1;
	for (i = 1; i < argc; i++)
		if (act(argv[i]) < 0)
			return 2;
	say("end", "of its words");
	return 0;
}
