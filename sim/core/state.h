/*
 * The state of a simulated machine: one mapped file, DIR/state, that all programs on it share.
 *
 * It must stay sound whatever happens to any of them, kill -9 in the middle of a change included:
 *
 * - one robust, process-shared mutex guards everything;
 * - what changes on a GPU (MIG mode, instances) is one record, of which there are two copies: a
 *   change is made in the spare copy and becomes true by one store to `active`.  A program that
 *   dies before that store has changed nothing;
 * - entries of the tables (clients, processes) count only once their `used` is set, which is the
 *   last thing written.
 *
 * A client proves that it lives by a lock on a byte of the file (an open-file-description lock, so
 * the kernel releases it when the last holder is gone, in whatever pid namespace).  A second lock,
 * a process's own kind, tells who it is: the kernel answers F_GETLK with the holder's pid as the
 * asker's pid namespace has it, so that pids of containers read as the host's, as NVML's do.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "model/profile.h"

struct kf_error;

#define KF_SIM_MAGIC	 0x4B53494Du /* "MISK" */
#define KF_SIM_LAYOUT	 5	     /* raised when a struct below changes */
#define KF_SIM_GPUS	 32	     /* what mig-minors has room for */
#define KF_SIM_PRODUCTS	 8
#define KF_SIM_CLIENTS	 256
#define KF_SIM_PROCESSES 512
#define KF_SIM_EVENTS	 1024
#define KF_SIM_CALLS_MAX 640
#define KF_SIM_TEXT	 64
#define KF_SIM_UUID	 80

/* How one product is built: what its data sheet, its firmware and its driver say of it. */
struct kf_sim_product {
	char id[KF_SIM_TEXT];	/* "h100-sxm5-80gb" */
	char name[KF_SIM_TEXT]; /* "NVIDIA H100 80GB HBM3" */
	char part[32], vbios[32], inforom[32];
	uint32_t architecture, brand;
	int32_t cc_major, cc_minor;
	uint32_t pci_device, pci_subsystem; /* device << 16 | vendor */
	uint32_t memory_mib, reserved_kib, bar1_mib;
	uint32_t cores, bus_width, remap_rows;
	uint32_t clock_mhz[4], max_clock_mhz[4]; /* graphics, SM, memory, video */
	uint32_t idle_mw, limit_mw, least_mw, most_mw;
	uint32_t limit_c[4]; /* shutdown, slowdown, memory max, GPU max */
	uint32_t pcie_generation, pcie_width, nvlinks, nvlink_version;
	uint32_t fan;	       /* has one */
	uint32_t gpm;	       /* has performance metrics (Hopper and later) */
	uint32_t resetless;    /* changes MIG mode without a reset, and loses it on reload */
	uint32_t mig_off_info; /* lists profiles while MIG is off */
	uint32_t swap_halves;  /* size-4 instances: start 0 has id 2, start 4 id 1 */
	uint32_t retired;      /* retires pages (before Ampere) instead of remapping rows */
	struct kf_shape shape; /* n == 0: no MIG */
};

/* One GPU of the machine, what never changes of it. */
struct kf_sim_gpu {
	char uuid[KF_SIM_UUID];
	char serial[32];
	uint32_t product; /* index into machine.product */
	uint32_t minor;
	uint32_t domain, bus, device;
	int32_t numa; /* -1: unknown */
};

/* A machine as its file describes it; GPUs in order of PCI address, which is NVML's index. */
struct kf_sim_machine {
	char name[KF_SIM_TEXT];	  /* "p5.48xlarge": also the DMI product name */
	char vendor[KF_SIM_TEXT]; /* DMI: "Amazon EC2" */
	char driver[KF_SIM_TEXT]; /* "580.159.04" */
	uint32_t driver_major;
	uint32_t cuda; /* 13000 */
	uint32_t cpus, numa_nodes, threads_per_core;
	uint32_t nvswitch; /* every GPU reaches every other over NVLink */
	uint32_t caps_major, uvm_major;
	uint32_t n_products, n_gpus;
	struct kf_sim_product product[KF_SIM_PRODUCTS];
	struct kf_sim_gpu gpu[KF_SIM_GPUS];
};

struct kf_sim_ci {
	uint32_t used;
	uint32_t profile;     /* NVML_COMPUTE_INSTANCE_PROFILE_*, which is also its id */
	uint32_t start, size; /* compute slices */
	uint32_t index;	      /* of the MIG device */
	uint32_t generation;  /* tells it from one that had the same id before */
	char uuid[KF_SIM_UUID];
};

struct kf_sim_gi {
	uint32_t used;
	uint32_t profile; /* index into the product's shape */
	uint32_t start, size;
	uint32_t generation;
	struct kf_sim_ci ci[KF_MAX_CIS];
};

/* What changes of a GPU. */
struct kf_sim_now {
	uint32_t mig_current, mig_pending;
	uint32_t lost;
	uint32_t persistence, compute_mode;
	uint32_t timeslice; /* 0 to 3: default, short, medium, long */
	uint32_t power_limit_mw;
	uint32_t generation; /* of the last instance made */
	uint32_t xids;
	uint32_t recovery; /* NVML's recovery action */
	uint32_t remap;	   /* row remapping: bit 0 waits for a reset, bit 1 has failed */
	uint32_t fabric;   /* state of the fabric registration and 1; 0: as the product has it */
	struct kf_sim_gi gi[KF_MAX_INSTANCES];
	/* per cent * microseconds that ended processes ran, per instance; the last: off MIG */
	uint64_t sm_done[KF_MAX_INSTANCES + 1], dram_done[KF_MAX_INSTANCES + 1];
};

struct kf_sim_pair {
	uint32_t active; /* 0 or 1 */
	struct kf_sim_now now[2];
};

/* A program that has the driver open. */
struct kf_sim_client {
	uint32_t used;
	uint32_t pid;				      /* as it sees itself */
	uint8_t holds[KF_SIM_GPUS][KF_MAX_INSTANCES]; /* bit c: holds MIG device (gi, c) */
};

/* KF_SIM_MPS is a client of an MPS server, which is KF_SIM_MPS_SERVER. */
enum kf_sim_kind {
	KF_SIM_COMPUTE,
	KF_SIM_GRAPHICS,
	KF_SIM_MPS,
	KF_SIM_HOLDER,
	KF_SIM_MPS_SERVER,
	KF_SIM_KINDS
};

/* Work on a GPU: of programs (the simulated CUDA library), `kerf sim process`, `kerf sim busy`. */
struct kf_sim_process {
	uint32_t used;
	uint32_t pid;	      /* what kf_sim_process_pid says is the one to show */
	uint32_t gpu, gi, ci; /* gi, ci: KF_SIM_NONE off MIG */
	uint32_t kind;
	uint32_t client;	     /* ends with this client; KF_SIM_NONE: when it is removed */
	uint32_t memory_mib;	     /* device memory */
	uint32_t sm, dram, enc, dec; /* per cent */
	uint32_t busy;		     /* per cent of the time; more than sm where it has few SMs */
	uint64_t since_us;
	char name[KF_SIM_TEXT];
};

#define KF_SIM_NONE 0xFFFFFFFFu

struct kf_sim_event {
	uint64_t type, data;
	uint32_t gpu, gi, ci;
};

/* What `kerf sim fault` asked of a call. */
struct kf_sim_fault {
	uint32_t armed;
	int32_t code;	   /* nvmlReturn_t; 0: the call itself is not failed */
	uint32_t kill;	   /* SIGKILL the caller: 1 instead of the call, 2 behind it */
	uint32_t delay_ms; /* on every call in the range */
	uint64_t from;	   /* 1: the next call */
	uint64_t times;	   /* 0: for ever */
	uint64_t seen;	   /* calls since it was armed */
};

struct kf_sim_state {
	uint32_t magic, layout, size;
	uint32_t loaded;      /* 0: the kernel module is not */
	uint32_t epoch;	      /* driver loads so far: clients of an earlier one are cut off */
	uint32_t faults;      /* armed ones */
	uint32_t event;	      /* events so far; waiters sleep on it */
	uint32_t nodes_stale; /* changes whose files below DIR/root may not be made yet */
	uint32_t process_end; /* no process was ever in this slot of the table or behind it */
	uint32_t mps_clients; /* a server's most; 0: the driver's */
	uint64_t boot_us; /* CLOCK_MONOTONIC when the machine began */
	pthread_mutex_t lock;
	struct kf_sim_machine machine;
	struct kf_sim_pair gpu[KF_SIM_GPUS];
	struct kf_sim_client client[KF_SIM_CLIENTS];
	struct kf_sim_process process[KF_SIM_PROCESSES];
	struct kf_sim_event events[KF_SIM_EVENTS]; /* number n is at n % KF_SIM_EVENTS */
	struct kf_sim_fault fault[KF_SIM_CALLS_MAX];
	uint64_t calls[KF_SIM_CALLS_MAX]; /* made so far */
};

/* An open machine. */
struct kf_sim {
	char dir[4096];
	int fd;
	uint32_t client; /* slot; KF_SIM_NONE while it has none */
	int privileged;	 /* may change things: root, or the owner of the file */
	struct kf_sim_state *state;
};

/*
 * Make DIR/state for `machine`, replacing one that is there.  Programs that have the old one open
 * keep it.  Takes nothing over.  0 or -1.
 */
int kf_sim_state_create(const char *dir, const struct kf_sim_machine *machine,
			struct kf_error *err);

#define KF_SIM_NO_MACHINE 1 /* DIR has no state */
#define KF_SIM_FOREIGN	  2 /* it has one of another version of the simulator */

/* Map DIR/state.  0 and *sim; KF_SIM_NO_MACHINE, KF_SIM_FOREIGN; -1.  *err says it in all cases. */
int kf_sim_open(const char *dir, struct kf_sim *sim, struct kf_error *err);
/* Gives up the client's slot, too.  Copes with one that was not opened. */
void kf_sim_close(struct kf_sim *sim);

/* Not recursive.  Whoever died holding it left everything sound, so there is nothing to repair. */
void kf_sim_lock(struct kf_sim_state *s);
void kf_sim_unlock(struct kf_sim_state *s);

/* The rest wants the lock held. */

struct kf_sim_now *kf_sim_now(struct kf_sim_state *s, unsigned gpu);
/* A copy of the GPU's record to change; kf_sim_commit makes it true, not calling it drops it. */
struct kf_sim_now *kf_sim_begin(struct kf_sim_state *s, unsigned gpu);
void kf_sim_commit(struct kf_sim_state *s, unsigned gpu);

/* Take a slot in the table of clients; without one (the table is full) the program goes unseen. */
void kf_sim_client_add(struct kf_sim *sim);
void kf_sim_client_drop(struct kf_sim *sim);
/* Does the program in this slot live?  Clears the slot if not. */
int kf_sim_client_lives(struct kf_sim *sim, unsigned slot);
/* The pid of the program in this slot, as the caller's pid namespace has it. */
unsigned kf_sim_client_pid(struct kf_sim *sim, unsigned slot);
/* The pid of another program that has the driver open, or 0. */
unsigned kf_sim_other_client(struct kf_sim *sim);
/* The pid of another program that holds the MIG device, or 0. */
unsigned kf_sim_other_holder(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci);

/* The process in slot i, or NULL when there is none (any more). */
const struct kf_sim_process *kf_sim_process_at(struct kf_sim *sim, unsigned i);
/*
 * The pid of p, as the caller's pid namespace has it: a program in a container says its own, which
 * is of its own namespace.
 */
unsigned kf_sim_process_pid(struct kf_sim *sim, const struct kf_sim_process *p);
/* "compute", "graphics", "mps", "holder", "mps-server"; NULL past the last. */
const char *kf_sim_kind_name(unsigned kind);
/* 0, or -1: the table is full. */
int kf_sim_process_add(struct kf_sim *sim, const struct kf_sim_process *p);
void kf_sim_process_remove(struct kf_sim *sim, unsigned i);
/* The one in slot i works so much from now on: per cent, as in the struct. */
void kf_sim_process_load(struct kf_sim *sim, unsigned i, unsigned sm, unsigned busy);
/* One on this GPU, on this instance (gi or ci may be KF_SIM_NONE: any); its pid, or 0. */
unsigned kf_sim_process_on(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci);

/* Tell those who wait for events. */
void kf_sim_event_push(struct kf_sim_state *s, const struct kf_sim_event *e);

/* An XID error, on an instance if gi (and ci) are not KF_SIM_NONE. */
void kf_sim_xid_push(struct kf_sim_state *s, unsigned gpu, unsigned xid, unsigned gi, unsigned ci);

/* CLOCK_MONOTONIC and CLOCK_REALTIME in microseconds. */
uint64_t kf_sim_us(void);
uint64_t kf_sim_wall_us(void);
