/*
 * Inside the simulated libcuda.so.1.
 *
 * A call locks the library, asks the MPS server (if there is one) whether something happened, does
 * its work on the machine's shared state, and goes.  Device memory is the program's own, mapped
 * without being reserved: what counts is the number in the machine's table of processes.
 */
#pragma once

#include <pthread.h>

#include "base/own.h"
#include "core/state.h"
#include "cuda/abi.h"
#include "cuda/spot.h"
#include "mps/wire.h"

#define EXPORT __attribute__((visibility("default")))

#define X(name, parameters) EXPORT CUresult name parameters;
KF_CUDA_CALLS(X)
#undef X

#define MIB (1ull << 20)

/* A block of device memory, or of address space, or a handle of either. */
struct block {
	struct block *next;
	char *at; /* where it is mapped; NULL: nowhere (arrays, handles) */
	size_t bytes;
	int device;
	int counts;    /* takes device memory */
	int handle;    /* cuMemCreate's: released by that, whatever maps it */
	int arrayness; /* of cuArray...: not to be freed as memory */
};

/* What ties a process or a context to the MPS server; all -1: nothing does. */
struct channel {
	int socket; /* open and silent: its end is ours */
	int pipe[KF_MPS_PIPES];
};

struct kf_cuda_context {
	struct kf_cuda_context *next;
	int device;
	unsigned references; /* of the primary one; others: 1 */
	int primary;
	struct channel channel;
};

struct device {
	struct kf_sim_spot spot;
	unsigned sm;	      /* of the device, before any share */
	unsigned percent_x10; /* the share, 1000 is all */
	unsigned server_x10;  /* what the server gave */
	uint64_t limit_bytes; /* 0: none */
	unsigned n_contexts;
	uint64_t large, small; /* bytes of blocks; the small ones share 2 MiB pages */
	struct kf_cuda_context *primary;
};

struct library {
	pthread_mutex_t lock;
	int initialised;
	int forked;	 /* in the child of a program that had it open: nothing works any more */
	CUresult broken; /* every call answers this; 0: it works */
	struct kf_sim sim;
	int n_devices;
	struct device device[KF_SIM_SPOTS];
	struct kf_cuda_context *contexts;
	struct block *blocks;
	int server; /* 1: a client of MPS */
	struct channel process;
	int per_context;  /* CUDA_MPS_ENABLE_PER_CTX_DEVICE_MULTIPROCESSOR_PARTITIONING */
	unsigned load;	  /* per cent, from KERF_SIM_LOAD */
	uint64_t idle_us; /* when what was launched will be over; 0: it is */
};

extern struct library kf_cuda;

/* Lock, and may the call go on? */
CUresult kf_cuda_enter(void);
void kf_cuda_leave(int *entered);

/* At the head of a call; unlocks at its end. */
#define ENTER()                                                                                    \
	kf_auto(kf_cuda_leave) int entered = 0;                                                    \
	do {                                                                                       \
		CUresult may = kf_cuda_enter();                                                    \
		if (may != CUDA_SUCCESS)                                                           \
			return may;                                                                \
		entered = 1;                                                                       \
	} while (0)

#define WANT(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return CUDA_ERROR_INVALID_VALUE;                                           \
	} while (0)

#define TRY(call)                                                                                  \
	do {                                                                                       \
		CUresult tried = (call);                                                           \
		if (tried != CUDA_SUCCESS)                                                         \
			return tried;                                                              \
	} while (0)

/* All below want the library's lock. */

/* SMs that the program can use of a device: its share, in whole pairs. */
unsigned kf_cuda_sm(const struct device *d);
/* The device of the thread's context, or INVALID_CONTEXT. */
CUresult kf_cuda_current(struct device **ret);
/* Write what the program uses into the machine's table: its row comes and goes with the contexts.
 */
CUresult kf_cuda_tell(struct device *d);
/* How busy it is from now on, in per cent of the time. */
void kf_cuda_work(const struct device *d, unsigned busy);
/*
 * Take `more` MiB, which kf_cuda_tell then counts as what they are for.  OUT_OF_MEMORY over a limit
 * or when the GPU is full.
 */
CUresult kf_cuda_room(struct device *d, uint64_t more);
/* The block that holds all of these bytes, or NULL. */
struct block *kf_cuda_block(CUdeviceptr address, size_t bytes);
/* All blocks of a device go. */
void kf_cuda_forget(int device);
/* Sleep until what was launched is over; unlocks meanwhile. */
CUresult kf_cuda_finish(void);
/* The program did something fatal on the device of the thread's context: everybody there is told.
 */
CUresult kf_cuda_fault(void);

/*
 * The MPS server's part: connect where CUDA_MPS_PIPE_DIRECTORY says.  Fills in the devices with
 * their limits.  0; or CUDA's answer.  Where nobody listens there is no MPS, and that is no error.
 */
CUresult kf_cuda_mps_connect(struct kf_sim_spots *ret, struct device *limits);
/* A channel for one more context on this device; without MPS there is none, and that is well. */
CUresult kf_cuda_mps_context(int device, struct channel *ret);
void kf_cuda_mps_close(struct channel *c);
/* Has the server told us something?  Sets `broken`. */
void kf_cuda_mps_listen(void);
/* Wait for a word of the server's, at most so long. */
void kf_cuda_mps_wait(int timeout_ms);
void kf_cuda_mps_fault(unsigned device);
/* What CUDA_MPS_... of the program's own environment makes of the server's limits. */
void kf_cuda_mps_environment(void);
