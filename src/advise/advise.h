/*
 * Right-sizing: which smaller slice, or share of a GPU's memory, would have been enough for a pod.
 *
 * Values only: the node as the driver has it, and what was measured over a window, give a verdict
 * for each pod.  How much of an H100 a smaller slice is, is measured as what is left for others: of
 * compute slices and placement units, that of which less is left (a 3g of 7 slices that takes 4 of
 * 8 units is half a GPU).
 */
#pragma once

#include <stddef.h>

#include "base/own.h"
#include "model/node.h"

struct kf_error;

#define KF_ADVISE_NAME 254 /* of a namespace or pod, NUL included */

/* A pod on one device, as measured.  NAN: not known. */
struct kf_usage {
	char name_space[KF_ADVISE_NAME], pod[KF_ADVISE_NAME];
	char uuid[KF_UUID]; /* of the GPU, not of the MIG device */
	unsigned gi;	    /* its GPU instance; KF_NONE: the whole GPU */
	int alone;	    /* nobody else is given that device */
	double memory;	    /* the most that it used, in bytes */
	double memory_has;  /* what its device has, in bytes */
	double sm;	    /* 0 to 1: at most this for all but 1 % of the time */
	double covered;	    /* 0 to 1: for how much of the window there is a measurement */
	char absent[32];    /* why sm or memory is not known, as kerf_pod_metric_absent has it */
};

struct kf_usages {
	struct kf_usage *usage;
	size_t n, capacity;
};

void kf_usages_done(struct kf_usages *u);

/* What series.c is given: one answer of Prometheus' HTTP API for each. */
enum kf_series {
	KF_SERIES_DEVICE, /* the pods: kerf_pod_memory_device_bytes; comes first */
	KF_SERIES_MEMORY,
	KF_SERIES_SM,
	KF_SERIES_COVERED, /* how many of KF_ADVISE_POINTS points have a value */
	KF_SERIES_ABSENT,
	KF_N_SERIES
};
#define KF_ADVISE_POINTS 100

/* The query of a series over a window, in `out`. */
void kf_series_query(enum kf_series which, unsigned long window_s, char *out, size_t n);

/*
 * Take what Prometheus answered (`n` bytes of JSON) into *u.  KF_SERIES_DEVICE adds pods, the
 * others fill in those that are there.  Labels that do not fit, and values that are no numbers, are
 * passed over.  0, or negative: KF_E_PROTOCOL where this is no answer, KF_E_REMOTE with Prometheus'
 * own sentence, KF_E_NOMEM.
 */
int kf_series_read(enum kf_series which, const char *text, size_t n, struct kf_usages *u,
		   struct kf_error *err);

enum kf_verdict_of_size {
	KF_SIZE_SMALLER,    /* a smaller slice would do: `to` */
	KF_SIZE_SHARE,	    /* of a GPU that cannot be cut: gib of its memory would do */
	KF_SIZE_FITS,	    /* nothing smaller would do */
	KF_SIZE_NOT_ENOUGH, /* data */
	KF_SIZE_SHARED,	    /* shares its device already; its share is not measured */
	KF_SIZE_ELSEWHERE,  /* not on a GPU of this node */
};

struct kf_advice {
	enum kf_verdict_of_size verdict;
	char from[KF_PROFILE_NAME];    /* "3g.40gb", "GPU"; "" where it is elsewhere */
	unsigned gpu;		       /* its index */
	char to[KF_PROFILE_NAME];      /* a profile's name */
	unsigned gib;		       /* of nvidia.com/gpu-memory */
	double memory_spare, sm_spare; /* parts of `to` that would have been left at the peak */
	double frees;		       /* of one GPU */
	char why[96];		       /* KF_SIZE_NOT_ENOUGH */
};

struct kf_advise_options {
	double margin;	/* .2: a fifth more than was measured has to fit */
	double covered; /* the least part of the window that counts as enough */
};

/* Judge one pod. */
void kf_advise(const struct kf_node *node, const struct kf_usage *u,
	       const struct kf_advise_options *opt, struct kf_advice *ret);

/*
 * US dollars for one GPU of an EC2 instance and an hour, on demand in us-east-1; `type` as the
 * machine's firmware names it, "p4d.24xlarge".  0: not in the table.
 */
double kf_price_of_gpu(const char *type);
