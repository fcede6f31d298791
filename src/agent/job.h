/*
 * What is done off the loop: everything that talks to the driver, and the files that follow from
 * it.  One job at a time; values go in, values come out, and while it runs the loop changes
 * nothing that the job has borrowed.
 *
 * A job opens the driver if need be, carries out its steps with the intent on disk, reads the node,
 * and brings device nodes and CDI file up to date, so that a list published afterwards names only
 * what a container can really be given.
 */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "cdi/files.h"
#include "config/settings.h"
#include "labels/labels.h"
#include "mig/caps.h"
#include "model/holds.h"
#include "model/node.h"
#include "model/share.h"
#include "plan/plan.h"

struct kf_nvml;

enum kf_driver_state {
	KF_DRIVER_UNKNOWN, /* not asked yet */
	KF_DRIVER_OK,
	KF_DRIVER_ABSENT, /* no library: a node without NVIDIA's driver */
	KF_DRIVER_NOT_LOADED,
	KF_DRIVER_FAILED,
};

struct kf_outcome {
	int answer;  /* kf_mig_step's; KF_OUTCOME_SKIPPED when it was not tried */
	unsigned us; /* what the driver took */
	struct kf_error err;
};
#define KF_OUTCOME_SKIPPED 100

/* The length of one GPU's time slices. */
struct kf_job_length {
	char uuid[KF_UUID];
	enum kf_time_slice length;
	int answer; /* 0, or negative: *err */
	struct kf_error err;
};

struct kf_job {
	uv_work_t work;
	void (*done)(struct kf_job *job);
	void *userdata;

	/* in; borrowed but for `steps` and `holds` */
	const struct kf_settings *set;
	struct kf_nvml **driver;      /* the session; opened and closed by jobs alone */
	const struct kf_node *before; /* may be NULL before the first reading */
	const struct kf_files *files; /* of the driver; may be NULL */
	unsigned n_steps;
	struct kf_step *steps;
	struct kf_holds holds;
	char config[64];
	unsigned n_lengths;
	struct kf_job_length *length; /* the job's own; its answers are filled in */
	int save;		      /* the node is as configured: remember its geometry */
	int leaving;		      /* CDI file and features file are taken back; see leave.c */
	int close;		      /* end the driver's session, and nothing else */
	int leave_cdi;		      /* the CDI file is another plugin's at present */

	/* out */
	enum kf_driver_state driver_state;
	struct kf_error err;	    /* why not KF_DRIVER_OK */
	struct kf_node *after;	    /* NULL when it could not be read */
	struct kf_files *new_files; /* NULL: as before */
	int no_hardware;	    /* no driver, and no GPU on the bus */
	int opened;		    /* the driver's session is a new one */
	int64_t started_s;	    /* of the program, for the labels */
	struct kf_labels features;  /* out: GPU Feature Discovery's labels; empty: as before */
	int cdi_written;	    /* in and out: CDI file and labels are as they should be */
	struct kf_caps caps;	    /* in: those known before; read anew with a new session */
	struct kf_outcome *outcome; /* one a step */
	unsigned n_troubles;	    /* CDI file, device nodes, state: lived with */
	struct kf_error trouble[4];
};

/* Copies the steps and holds.  NULL without memory. */
struct kf_job *kf_job_new(const struct kf_step *steps, unsigned n, const struct kf_holds *holds);
struct kf_job *kf_job_free(struct kf_job *job);
KF_DEFINE_AUTO(struct kf_job, kf_job_free)

/* Queue it; `done` comes from the loop.  0 or negative. */
int kf_job_start(uv_loop_t *loop, struct kf_job *job, struct kf_error *err);

/* The same on the spot, for the command line. */
void kf_job_run(struct kf_job *job);

/* Where the driver is looked for, and how the container runtime sees that place (or NULL). */
const char *kf_job_root(const struct kf_settings *set);
const char *kf_job_host_root(const struct kf_settings *set);
