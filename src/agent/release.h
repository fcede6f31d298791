/*
 * `kerf release`: the agent lets go of every GPU for as long as somebody asks for it, so that one
 * can be reset (nvidia-smi --gpu-reset wants nobody to have it open, us included).
 *
 * Who asks connects to release.sock in the state directory and is told "released" once nothing of
 * ours has the driver open; we hold still until the connection ends, which no crash can forget.
 * Meanwhile what is listed stays listed and is handed out as always; nothing is read or changed.
 */
#pragma once

#include <uv.h>

#define KF_RELEASE_SOCKET "release.sock"
#define KF_RELEASE_MAX	  4 /* who ask at once */

struct kf_release {
	uv_pipe_t server;
	struct kf_releaser {
		uv_pipe_t pipe;
		uv_write_t write;
		int open, told;
	} who[KF_RELEASE_MAX];
	unsigned n;	 /* that are there */
	int is_released; /* nothing of ours has the driver open */
};
