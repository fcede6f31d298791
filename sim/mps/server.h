/* Inside a server: its clients, and the commands about them. */
#pragma once

#include "mps/mps.h"
#include "mps/wire.h"

#define KF_MPS_CHANNELS                                                                            \
	512 /* of processes and contexts, those that wait or are refused included                  \
	     */

enum kf_mps_state { KF_MPS_INITIALIZING, KF_MPS_ACTIVE, KF_MPS_FAULTY };

/* A process, by its channel for context 0, or one of its contexts. */
struct kf_mps_client {
	int socket;   /* its end is the client's */
	int to, from; /* pipes: what it reads, what it writes */
	pid_t pid;    /* as its credentials say */
	unsigned id;  /* as `ps` counts them */
	uint32_t context;
	unsigned words; /* of the three that it has to say */
	uint32_t slot;	/* in the machine's table of clients; KF_SIM_NONE: not told yet */
	int welcomed, faulted, terminated;
	struct kf_mps_message welcome; /* settled when it connected */
};

struct kf_mps_server {
	struct kf_sim sim;
	struct kf_sim_spots seen; /* its devices */
	enum kf_mps_state state;
	unsigned percent_x10;		       /* for the next client */
	uint64_t memory_bytes[KF_MPS_DEVICES]; /* likewise; 0: no limit */
	int greets;	 /* it waits for the words of the client that came last, for no command */
	int wedged;	 /* that one never said them: no command is heard any more */
	pid_t waits_for; /* a command waits for the end of this one, whose context is torn down */
	int torn_down;	 /* the next client has the device's context made anew */
	int shuts_down;	 /* with the last client */
	unsigned n_clients, n_given;
	struct kf_mps_client client[KF_MPS_CHANNELS];
};

extern struct kf_mps_server kf_mps_here;

/* --- server.c --- */

const char *kf_mps_state_name(void);
void kf_mps_set_state(enum kf_mps_state state);
/* A line to the daemon: "WHAT TEXT". */
void kf_mps_tell(const char *what, const char *text);

/* --- client.c --- */

/* Of the process itself, or NULL. */
struct kf_mps_client *kf_mps_process(pid_t pid);
/* "client PID UID" and its descriptor (taken over; -1: none came). */
void kf_mps_client_new(const char *line, int fd);
/* One says something on its socket, or is gone; others may change their places. */
void kf_mps_client_hear(struct kf_mps_client *c);
/* One says something through its pipe. */
void kf_mps_client_read(struct kf_mps_client *c);
/* 0, or -1: there is no such client. */
int kf_mps_terminate(pid_t pid);
/*
 * A fatal fault of the GPU: every client with a context has it, whoever did it, and the driver
 * reports XID 31 without a pid.  `culprit` may be NULL: not a client's.
 */
void kf_mps_fault(const struct kf_mps_client *culprit, unsigned result);
/* A server that was told to shut down ends here with its last client. */
void kf_mps_exit_if_all_are_gone(void);
/* Which device a number or UUID is, or -1. */
int kf_mps_device_find(const char *device);
/* Its limit for the next client; -1: there is none of that UUID, and the log says so. */
int kf_mps_set_memory(const char *device, uint64_t bytes);
/* "Creating server context on device 0 (...)" */
void kf_mps_log_context(const char *doing);

/* --- server-command.c --- */

/* One command line, as the daemon passes it on; the answer is appended. */
void kf_mps_server_command(const char *line, struct kf_text *answer);
