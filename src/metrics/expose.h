/*
 * A snapshot as text for Prometheus: DCGM's metrics under their own names, and kerf's.
 *
 * A function of values; it asks nobody.  What has no value is left out, and a GPU whose reading is
 * stale as a whole: a number that is not so any more is worse than none.  The number of series is
 * bounded by devices and by pods that the kubelet has given one.
 */
#pragma once

#include "metrics/snapshot.h"

enum kf_hostname_label { KF_HOSTNAME_LOWER, KF_HOSTNAME_UPPER, KF_HOSTNAME_NONE };

struct kf_expose_options {
	int openmetrics;
	const struct kf_counters *counters;
	enum kf_hostname_label hostname;
	int board_per_slice; /* power, temperature, clocks with each slice, as dcgm-exporter does */
	int old_names;	     /* uuid, pod_name, pod_namespace, container_name */
	int pods;	     /* label what one pod holds with its name */
	int pod_uid;	     /* and with its UID */
	int virtual_gpus;    /* of shared devices a copy of everything for each pod */
	int join_words;	     /* of the model's name, by '-' */
	const char *version, *commit;
	int64_t started_s; /* the agent, since 1970 */
	size_t room;	   /* how long the text may become, to ask for memory once */
};

#define KF_EXPOSE_TEXT	      "text/plain; version=0.0.4; charset=utf-8"
#define KF_EXPOSE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* The text, NUL-terminated, the caller's to free; NULL: no memory. */
char *kf_expose(const struct kf_snapshot *snap, const struct kf_expose_options *opt, size_t *ret_n);
