/*
 * One MPS control daemon, for one GPU or MIG device: started, asked, given limits, ended
 * (nvml-mig-mps.md 4.1, v2; measured on R580).
 *
 * Every question is one run of NVIDIA's control program with the commands on its standard input,
 * 1.4 ms; a session that stays open would lock all others out.  Calls block, each up to its
 * deadline: for a process that has nothing else to do.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/own.h"

struct kf_error;
struct kf_text;

#define KF_MPS_COMMAND_MS 1500
#define KF_MPS_READY_MS	  10000

struct kf_mps_control {
	char program[512];	  /* nvidia-cuda-mps-control */
	char root[300];		  /* run it in there, as `kerf mps in ROOT` does; "": here */
	char library[512];	  /* for LD_LIBRARY_PATH; "": the system's */
	char pipe[400], log[400]; /* folders of its own */
	char uuid[96];
	pid_t daemon; /* 0: none */
	unsigned server;
};

/*
 * Start the daemon, with -f -multiuser-server, and its server; or take over the one whose pid file
 * is in the pipe folder, if it lives.  Folders are made.  0, ready for clients, or negative: it
 * could not be started, or did not answer in time (*err; what was started is ended).
 */
int kf_mps_control_start(struct kf_mps_control *c, struct kf_error *err);

/* Is the daemon there?  1 or 0; collects a child that has ended. */
int kf_mps_control_lives(struct kf_mps_control *c);

/* Run commands, a line each; their output is appended.  0, or negative: no answer in time. */
int kf_mps_control_ask(const struct kf_mps_control *c, const char *commands, struct kf_text *out,
		       struct kf_error *err);

/*
 * What the next client of the server gets: so many bytes of device memory, and percent of the SMs
 * (0: all).  0, or negative.
 */
int kf_mps_control_limit(const struct kf_mps_control *c, uint64_t bytes, unsigned percent,
			 struct kf_error *err);

/* "ACTIVE", "FAULT", "INITIALIZING"; 0, or negative: no answer, or the server is gone. */
int kf_mps_control_state(struct kf_mps_control *c, char out[32], struct kf_error *err);

/* The server ends this client's work; it gets CUDA_ERROR_MPS_CLIENT_TERMINATED. */
int kf_mps_control_terminate(const struct kf_mps_control *c, pid_t client, struct kf_error *err);

/*
 * Make one exchange for a client, with its credentials, and answer the descriptor by which it talks
 * to the server; the caller's to close.  Needs CAP_SYS_ADMIN to speak with another's pid.
 * Negative: the daemon did not keep to the protocol, or not in time.
 */
int kf_mps_control_connect(const struct kf_mps_control *c, pid_t pid, uid_t uid, gid_t gid,
			   int deadline_ms, struct kf_error *err);

/* `quit`, then SIGKILL; folders stay. */
void kf_mps_control_stop(struct kf_mps_control *c);
/*
 * SIGKILL, for a daemon that answers nobody, and for its server, which does not always go with it
 * (measured: a client that dies just after it was given its descriptor wedges both).
 */
void kf_mps_control_kill(struct kf_mps_control *c);
