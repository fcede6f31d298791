/*
 * What is shown of a node at one instant: /metrics, the page and `kerf top` read nothing else.
 *
 * Three kinds of values meet in it, each made by one thread, never changed, and replaced whole:
 *
 *	view      the agent's: GPUs, slices, who holds which, what was decided and counted
 *	reading   the sampler's, one for each GPU: what the driver measured, and of which pod
 *	counts    the sampler's about itself
 *
 * The hub has the latest of each; kf_hub_take is a few pointers under a lock that nobody holds
 * longer than that, so that no reader waits for the driver and none for another reader.
 */
#pragma once

#include <math.h>
#include <stdint.h>

#include "base/cgroup.h"
#include "metrics/fields.h"
#include "model/node.h"

struct kf_error;

/* More than a node's pods; what is over is counted and not shown. */
#define KF_VIEW_PODS 1024
#define KF_VIEW_XIDS 16 /* different ones of a GPU that are counted; the rest together, as 999 */

enum kf_view_health { KF_VIEW_WELL, KF_VIEW_UNWELL, KF_VIEW_FLAPPING };

#define KF_VIEW_WAITS  32 /* of the steps that wait; what is over is counted in steps_blocked */
#define KF_VIEW_EVENTS 40 /* the latest */

/* How a device is sold. */
enum kf_view_sharing { KF_VIEW_WHOLE, KF_VIEW_TIME_SLICED, KF_VIEW_MPS };

struct kf_view_gpu {
	unsigned index, minor;
	char uuid[KF_UUID], name[KF_UUID], bus_id[32];
	int answers; /* the driver reads it */
	int mig;
	unsigned sm;	/* of the largest slice; 0: not known */
	unsigned units; /* placement units; 0: it cannot be cut */
	uint64_t memory_mib;
	enum kf_view_sharing sharing;
	enum kf_view_health health;
	char ailment[160]; /* why; empty when well */
	unsigned last_xid; /* 0: none since the agent's start */
	unsigned n_xids;
	struct {
		unsigned xid;
		unsigned long n;
	} xid[KF_VIEW_XIDS];
};

/* A MIG device. */
struct kf_view_slice {
	unsigned gpu; /* place in view->gpu */
	unsigned gi, ci;
	char uuid[KF_UUID];
	char profile[KF_PROFILE_NAME]; /* of the GPU instance: "3g.20gb" */
	char name[KF_PROFILE_NAME];    /* of the MIG device: "1c.3g.20gb" where it is a part */
	unsigned start, size;	       /* placement units of the GPU instance */
	unsigned sm;
	uint64_t memory_mib;
	unsigned n_cis; /* of its GPU instance: 1 unless that is divided */
	enum kf_view_sharing sharing;
	enum kf_view_health health;
	int withdrawn; /* on its way out */
};

/* A pod's hold of one device, or of one replica. */
struct kf_view_pod {
	unsigned gpu;	/* place in view->gpu */
	unsigned slice; /* place in view->slice; KF_NONE: the whole GPU */
	char pod_namespace[64], name[256], uid[64], container[64];
	char resource[64];
	char sold[104]; /* the id that it was given */
};

/* What does not go on, and why: a sentence. */
struct kf_view_wait {
	unsigned gpu; /* place in view->gpu; KF_NONE: of the node */
	char text[384];
};

/* What has happened: a sentence. */
struct kf_view_event {
	int64_t wall_ms; /* since 1970 */
	int warning;
	char text[224];
};

#define KF_VIEW_BUCKETS 8
/* Upper bounds of how long changes of geometry take, in milliseconds; the last is without bound. */
extern const unsigned kf_view_bucket_ms[KF_VIEW_BUCKETS - 1];

/* What the agent counts. */
struct kf_view_counts {
	unsigned long allocated, refused, refused_withdrawn, refused_unknown, refused_other;
	unsigned long cancelled, changes, failed_changes, created, destroyed, evicted;
	unsigned long bucket[KF_VIEW_BUCKETS]; /* changes by how long they took */
	double change_s;		       /* all of them together */
	unsigned long plans_settled, plans_made, plans_impossible;
	unsigned long api_errors, kubelet_errors, podresources_errors;
	unsigned long mps_faults;
	unsigned long pods_dropped; /* holds that were not shown, KF_VIEW_PODS being too few */
};

struct kf_view_resource {
	char name[64];
	unsigned healthy, unhealthy;
};

struct kf_view {
	int refs; /* the hub's */
	uint64_t made_ms;
	unsigned epoch; /* another one: instances may have been made or destroyed */
	char hostname[256];
	char driver_version[80];
	int driver_up, ready;
	char config[64], state[16], reason[256]; /* of the MIG configuration */
	unsigned steps_blocked, steps_open;	 /* of the plan that is being carried out */
	struct kf_view_counts counts;
	unsigned n_gpus, n_slices, n_pods, n_resources;
	struct kf_view_gpu *gpu;
	struct kf_view_slice *slice; /* by GPU, then by start */
	struct kf_view_pod *pod;     /* by GPU */
	struct kf_view_resource *resource;
	unsigned n_waits, n_events;
	struct kf_view_wait *wait;   /* NULL: none */
	struct kf_view_event *event; /* the oldest first; NULL: none */
};

/* Room for so many of each, all zero.  NULL: no memory.  The caller's until kf_hub_show. */
struct kf_view *kf_view_new(unsigned n_gpus, unsigned n_slices, unsigned n_pods,
			    unsigned n_resources);
struct kf_view *kf_view_free(struct kf_view *v); /* takes back one reference */
KF_DEFINE_AUTO(struct kf_view, kf_view_free)

/* --- what the driver measured -------------------------------------------------------------- */

/* NAN is "there is none". */
struct kf_values {
	double of[KF_N_FIELDS];
};

struct kf_reading_process {
	unsigned pid, gi, ci;	     /* gi, ci: KF_NONE off MIG */
	uint64_t memory_bytes;	     /* UINT64_MAX: the driver cannot tell */
	double sm;		     /* 0 to 1; NAN: the driver cannot tell */
	int mps;		     /* a client of an MPS server */
	char pod_uid[KF_CGROUP_UID]; /* empty: of no pod, or not known */
};

/* Why a pod has no value of its own. */
enum kf_absent {
	KF_ABSENT_NOT,	     /* it has one */
	KF_ABSENT_MPS,	     /* the driver credits the MPS server with all that its clients do */
	KF_ABSENT_SLICE,     /* with MIG on the driver does not tell processes of a slice apart */
	KF_ABSENT_DRIVER,    /* neither this driver nor this GPU tells it */
	KF_ABSENT_PROCESSES, /* which processes are the pod's is not known (no hostPID, no UID) */
	KF_N_ABSENT
};
/* "mps", "slice", "driver", "processes". */
const char *kf_absent_text(enum kf_absent why);

/* A pod on a device. */
struct kf_reading_pod {
	char pod_namespace[64], name[256], uid[64];
	unsigned gi, ci; /* KF_NONE: the whole GPU */
	unsigned n_processes;
	double memory_bytes; /* NAN: see why_memory */
	double sm;	     /* 0 to 1, of its device; NAN: see why_sm */
	double gpu_seconds;  /* of a whole GPU's SMs, since the pod was first seen */
	int has_gpu_seconds; /* it was measured at least once */
	enum kf_absent why_memory, why_sm;
};

struct kf_reading_instance {
	unsigned gi;
	struct kf_values values;
};

struct kf_reading {
	int refs;	  /* the hub's */
	uint64_t at_ms;	  /* kf_now_ms when it was over */
	int64_t wall_ms;  /* the same since 1970 */
	unsigned took_us; /* how long the driver's calls took */
	char uuid[KF_UUID];
	char label[KF_N_LABEL_FIELDS][96]; /* text fields; empty: none */
	struct kf_values board;
	unsigned n_instances, n_processes, n_pods;
	struct kf_reading_instance *instance;
	struct kf_reading_process *process;
	struct kf_reading_pod *pod;
};

struct kf_reading *kf_reading_new(unsigned n_instances, unsigned n_processes, unsigned n_pods);
struct kf_reading *kf_reading_free(struct kf_reading *r); /* takes back one reference */
KF_DEFINE_AUTO(struct kf_reading, kf_reading_free)

/* The values of this GPU instance, or NULL. */
const struct kf_values *kf_reading_instance(const struct kf_reading *r, unsigned gi);

/* --- the hub ------------------------------------------------------------------------------- */

struct kf_sampler_counts {
	unsigned long reads;	    /* of a GPU, that came to an end */
	unsigned long failed_reads; /* of them: the GPU did not answer */
	unsigned long hung_calls; /* that took longer than KF_HUNG_MS, whether or not they ended */
	unsigned long scrapes, refused_scrapes;
};

struct kf_snapshot {
	struct kf_view *view;			 /* NULL: nothing is known yet */
	struct kf_reading *reading[KF_MAX_GPUS]; /* by the place in view->gpu; NULL: none yet */
	int stale[KF_MAX_GPUS]; /* the reading is older than it should be, or there is none */
	struct kf_sampler_counts counts;
	unsigned interval_ms; /* between readings, at present */
};

struct kf_hub;
struct kf_hub *kf_hub_new(void); /* NULL: no memory */
struct kf_hub *kf_hub_free(struct kf_hub *hub);
KF_DEFINE_AUTO(struct kf_hub, kf_hub_free)

/* Takes the view.  What readers have of the one before stays theirs. */
void kf_hub_show(struct kf_hub *hub, struct kf_view *view);
/* Takes the reading, in the place of the one before of the same GPU. */
void kf_hub_tell(struct kf_hub *hub, struct kf_reading *reading);
/* The latest view, or NULL; the caller's to kf_view_free. */
struct kf_view *kf_hub_view(struct kf_hub *hub);
/* The latest reading of this GPU, or NULL; the caller's to kf_reading_free. */
struct kf_reading *kf_hub_reading(struct kf_hub *hub, const char *uuid);
/* All of it, the caller's to kf_snapshot_done. */
void kf_hub_take(struct kf_hub *hub, struct kf_snapshot *ret);
void kf_snapshot_done(struct kf_snapshot *snap);

/* Somebody looks: readings come at the quick interval for a while. */
void kf_hub_looked(struct kf_hub *hub);
/* Milliseconds since somebody looked; UINT64_MAX: never. */
uint64_t kf_hub_idle_ms(struct kf_hub *hub);
void kf_hub_set_interval(struct kf_hub *hub, unsigned ms);
/* Add to the counts. */
void kf_hub_count(struct kf_hub *hub, const struct kf_sampler_counts *more);
