/* Inside a server: its clients, and the commands about them. */
#pragma once

#include "mps/mps.h"
#include "mps/wire.h"

#define KF_MPS_CHANNELS 512 /* of processes and contexts, those that wait or are refused included  \
			     */

enum kf_mps_state { KF_MPS_INITIALIZING, KF_MPS_ACTIVE, KF_MPS_FAULTY };

/* A process, by its channel for context 0, or one of its contexts. */
struct kf_mps_client {
	int fd;
	pid_t pid; /* as its credentials said */
	uid_t uid;
	unsigned id; /* as `ps` counts them */
	uint32_t context;
	uint32_t slot; /* in the machine's table of clients */
	int greeted;   /* it has said who it is */
	int welcomed, faulted, terminated;
	struct kf_mps_message welcome; /* settled when it connected */
};

struct kf_mps_server {
	struct kf_sim sim;
	struct kf_sim_spots seen; /* its devices */
	enum kf_mps_state state;
	unsigned percent_x10;		       /* for the next client */
	uint64_t memory_bytes[KF_MPS_DEVICES]; /* likewise; 0: no limit */
	unsigned n_clients, n_given;
	struct kf_mps_client client[KF_MPS_CHANNELS];
};

extern struct kf_mps_server kf_mps_here;

const char *kf_mps_state_name(void);
/* Of the process itself, or NULL. */
struct kf_mps_client *kf_mps_process(pid_t pid);
/* How many processes, or, with a pid, how many contexts of that one. */
unsigned kf_mps_n_processes(void);
unsigned kf_mps_n_contexts(pid_t pid);
/* 0, or -1: there is no such client. */
int kf_mps_terminate(pid_t pid);
/* The limit of the device of that number or UUID; -1: there is none, and the log says so. */
int kf_mps_set_memory(const char *device, uint64_t bytes);
/* Which device that is, or -1. */
int kf_mps_device_find(const char *device);
/* One command line, as the daemon passes it on; the answer is appended. */
void kf_mps_server_command(const char *line, struct kf_text *answer);
