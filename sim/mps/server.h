/* Inside a server: its clients, and the commands about them. */
#pragma once

#include "mps/mps.h"
#include "mps/wire.h"

#define KF_MPS_CLIENTS 256 /* connections, those that wait or are refused included */

enum kf_mps_state { KF_MPS_INITIALIZING, KF_MPS_ACTIVE, KF_MPS_FAULTY };

struct kf_mps_client {
	int fd;
	pid_t pid; /* as its credentials said */
	uid_t uid;
	uint32_t slot; /* in the machine's table of clients */
	int greeted;   /* it has said who it is */
	int welcomed, faulted;
	struct kf_mps_message welcome; /* settled when it connected */
};

struct kf_mps_server {
	struct kf_sim sim;
	struct kf_sim_spots seen; /* its devices */
	enum kf_mps_state state;
	struct kf_mps_shares shares; /* for the next client */
	unsigned n_clients, n_given;
	struct kf_mps_client client[KF_MPS_CLIENTS];
};

extern struct kf_mps_server kf_mps_here;

const char *kf_mps_state_name(void);
/* 0, or -1: there is no such client. */
int kf_mps_terminate(pid_t pid);
/* One command line, as the daemon passes it on; the answer is appended. */
void kf_mps_server_command(const char *line, struct kf_text *answer);
