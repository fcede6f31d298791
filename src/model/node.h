/*
 * All GPUs of a node at one instant: a value, built once from the driver, replaced whole.
 */
#pragma once

#include <stdint.h>

#include "base/own.h"
#include "model/geometry.h"
#include "model/profile.h"

#define KF_MAX_GPUS 32
#define KF_UUID	    96 /* "GPU-" or "MIG-" and a UUID; NVML's v2 buffer size */

struct kf_process {
	unsigned pid;
	unsigned gi, ci;       /* KF_NONE off MIG */
	uint64_t memory_bytes; /* UINT64_MAX when the driver cannot tell */
};

#define KF_NONE 0xFFFFFFFFu

/* A compute instance.  With its GPU instance it is a MIG device, which is what pods get. */
struct kf_ci {
	unsigned id;
	unsigned profile; /* index into the GPU instance profile's ci[], KF_NONE if unknown */
	unsigned slices;
	unsigned start, size;	    /* compute slices inside the GPU instance */
	char uuid[KF_UUID];	    /* of the MIG device */
	char name[KF_PROFILE_NAME]; /* "3g.20gb", or "1c.3g.20gb" where it is a part */
	unsigned mig_index;	    /* NVML's index of the MIG device, KF_NONE if it has none */
	/* What the driver calls the attributes of the MIG device; all 0 where it tells none. */
	uint64_t memory_mib;
	unsigned sm, copy;
	unsigned engine[KF_N_ENGINES];
	unsigned gi_slices, ci_slices;
};

/* A GPU instance. */
struct kf_instance {
	unsigned id;
	unsigned profile; /* index into shape.profile, KF_NONE if the driver listed none */
	unsigned start;
	unsigned n_ci;
	struct kf_ci ci[KF_MAX_CIS];
	unsigned n_processes; /* running on any of its compute instances */
};

/* Where a GPU stands in an NVLink fabric. */
struct kf_fabric {
	int attached; /* registration is complete and went well, and the cluster has a UUID */
	int waiting;  /* there is a fabric, and registration is not complete or went wrong */
	unsigned char cluster[16];
	unsigned clique;
};

enum kf_gpu_state {
	KF_GPU_OK,
	KF_GPU_LOST,	   /* fell off the bus; NVML_ERROR_GPU_IS_LOST */
	KF_GPU_UNREADABLE, /* some call failed; trouble says which */
};

/* What the driver says of its health, as far as it answers; zeroed is well. */
struct kf_condition {
	unsigned
		recovery; /* nvmlDeviceGpuRecoveryAction, 0 none; KF_NONE: this driver tells none */
	int remap_pending; /* a row remapping waits for a reset */
	int remap_failed;
};

struct kf_gpu {
	unsigned index; /* NVML's: by PCI address */
	unsigned minor; /* /dev/nvidia<minor>; not the index */
	enum kf_gpu_state state;
	char trouble[160]; /* why not KF_GPU_OK */
	char uuid[KF_UUID];
	char name[KF_UUID];
	char bus_id[32];     /* "00000000:10:1C.0" */
	uint32_t pci_device; /* 0x20B010DE: device << 16 | vendor */
	uint32_t pci_subsystem;
	int numa;	       /* from sysfs; -1 when it has none */
	unsigned architecture; /* NVML_DEVICE_ARCH_* */
	int cc_major, cc_minor;
	uint64_t memory_mib;   /* total, MIG off or on */
	uint64_t reserved_mib; /* of it, by the driver, rounded up; 0 where it does not tell */
	struct kf_fabric fabric;
	struct kf_condition condition;
	int mig_capable;
	int mig_current, mig_pending; /* 0 or 1 */
	struct kf_shape shape;	      /* n == 0 when not capable, or when MIG is off and the driver
				       * answers only with MIG on (before Hopper) */
	unsigned n_instances;
	struct kf_instance instance[KF_MAX_INSTANCES];
	unsigned n_processes; /* on the whole GPU, every instance included */
	unsigned n_listed;    /* of them in process[] */
	struct kf_process process[64];
	uint16_t link[KF_MAX_GPUS]; /* to the node's other GPUs, by place; see nvml/links.h */
};

struct kf_node {
	char driver_version[80];
	unsigned cuda_major, cuda_minor;
	unsigned n_gpus;
	struct kf_gpu *gpu;
};

struct kf_node *kf_node_free(struct kf_node *node);
KF_DEFINE_AUTO(struct kf_node, kf_node_free)

/*
 * The name of its folder in /sys/bus/pci/devices: "0000:10:1c.0" for NVML's "00000000:10:1C.0".
 * 0, or -1: `bus_id` is no PCI address.
 */
int kf_pci_address(const char *bus_id, char out[32]);

/* The geometry of a GPU: its instances with a known profile, in order of start. */
void kf_gpu_geometry(const struct kf_gpu *gpu, struct kf_geometry *ret);

/* A MIG device of a node, found by its UUID. */
struct kf_slice_ref {
	const struct kf_gpu *gpu;
	const struct kf_instance *instance;
	const struct kf_ci *ci;
};
/* 1 and *ret, or 0. */
int kf_node_find_slice(const struct kf_node *node, const char *uuid, struct kf_slice_ref *ret);
const struct kf_gpu *kf_node_find_gpu(const struct kf_node *node, const char *uuid);
