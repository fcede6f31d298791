/*
 * One reading of one GPU: what the driver measures, and of which pod.
 *
 * Every call may block for as long as the driver likes, so this is done on the sampler's thread
 * and nowhere else.  Averages (GPM, processes) are over the time since the reading before.
 */
#pragma once

#include <stdatomic.h>

#include "metrics/snapshot.h"
#include "nvml/abi.h"

struct kf_nvml;

/* What is kept of a GPU between two readings of one session.  Zeroed is new. */
struct kf_sample {
	char uuid[KF_UUID];
	unsigned epoch; /* of the view; another one: instances may not be what they were */
	int has_gpm;	/* 0: not asked yet, 1, or -1: it has none */
	struct kf_sample_gpm {
		unsigned gi; /* KF_NONE: the whole GPU */
		nvmlGpmSample_t before, now;
		int full; /* `before` is a sample */
	} gpm[KF_MAX_INSTANCES];
	unsigned n_gpm;
	unsigned long long seen_us; /* the newest sample of a process */
	uint64_t at_us;		    /* of the reading before; 0: there is none */
};

struct kf_sample_options {
	const struct kf_counters *counters; /* fields that nobody asks for are not read */
	const char *root;		    /* where /proc of the host is found; NULL: here */
	/* When the call now under way began (kf_now_ms), 0 between calls.  May be NULL. */
	_Atomic uint64_t *call_began_ms;
};

/*
 * Read GPU `g` of the view.  `before` (may be NULL) is the reading before, whose GPU-seconds are
 * added to.  0 and *ret, the caller's to free; negative: the GPU does not answer, or no memory.
 */
int kf_sample_gpu(const struct kf_nvml *nv, struct kf_sample *st, const struct kf_view *view,
		  unsigned g, const struct kf_reading *before, const struct kf_sample_options *opt,
		  struct kf_reading **ret, struct kf_error *err);
/* Give back what the driver library holds for it; zeroed afterwards. */
void kf_sample_done(const struct kf_nvml *nv, struct kf_sample *st);

/* --- attribution, a function of values ----------------------------------------------------- */

/*
 * Fill r->pod from the view's holds of GPU `g` and from r's values and processes.  `seconds` is the
 * time since `before`.
 *
 * Memory is the sum over the pod's processes, or over all of the device where one pod alone holds
 * it.  SM utilisation: of a slice, and of MPS clients, where the driver tells it of the device
 * only, it is the device's if that pod alone has processes there; of time-sliced processes it is
 * the driver's.  What cannot be attributed is NAN, with a reason.
 */
void kf_sample_attribute(struct kf_reading *r, const struct kf_view *view, unsigned g,
			 const struct kf_reading *before, double seconds);
/* How many pods of the view are on GPU g: for kf_reading_new.  One that holds several replicas of a
 * device counts once. */
unsigned kf_sample_count_pods(const struct kf_view *view, unsigned g);
