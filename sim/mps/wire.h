/*
 * What passes between an MPS client, the control daemon and the server.
 *
 * On the control socket: as recorded from NVIDIA's, as far as it can be seen from outside (who
 * sends, how many bytes, credentials, descriptors); the bytes themselves are not known and mean
 * nothing here.  Behind the descriptor that is passed: our own.
 */
#pragma once

#include <stdint.h>

/* Below the pipe directory. */
#define KF_MPS_SOCKET	    "control"
#define KF_MPS_LOCK	    "control_lock"
#define KF_MPS_PID_FILE	    "nvidia-cuda-mps-control.pid"
#define KF_MPS_LOG_PIPE	    "log"
#define KF_MPS_DEFAULT_PIPE "/tmp/nvidia-mps"
#define KF_MPS_DEFAULT_LOG  "/var/log/nvidia-mps"

/*
 * A connection to the control socket is a few messages, each with the sender's credentials, each
 * answered by one; with the last, a descriptor goes over.
 */
#define KF_MPS_MAX 4096

struct kf_mps_step {
	unsigned ask, answer;	      /* bytes; 0: none */
	unsigned ask_fds, answer_fds; /* descriptors with it */
};

/* Who it is that connects is told by the first four bytes, which are ours. */
enum kf_mps_caller { KF_MPS_CLIENT = 0x434D464B, KF_MPS_UI = 0x554D464B };

/* Hello, credentials, the descriptor. */
#define KF_MPS_STEPS                                                                               \
	{                                                                                          \
		{16, 16, 0, 0}, {32, 16, 0, 0}, {16, 0, 1, 0},                                     \
	}

/* Between client and server, on the passed descriptor (SOCK_SEQPACKET).  All of one shape. */
enum kf_mps_verb {
	KF_MPS_HELLO,	/* client: I am; slot is its place in the machine's table of clients */
	KF_MPS_WELCOME, /* server: what you may have; result is a CUresult, 0 is welcome */
	KF_MPS_FAULT,	/* client: I did something fatal.  server: somebody did; result says what */
	KF_MPS_TERMINATED, /* server: you are cut off */
};

#define KF_MPS_DEVICES 32

struct kf_mps_device {
	uint32_t gpu, gi, ci;
	uint32_t percent_x10;  /* of the SMs, in tenths of a per cent */
	uint64_t memory_bytes; /* 0: no limit */
};

struct kf_mps_message {
	uint32_t verb;
	uint32_t result;
	uint32_t pid; /* of the sender, as it sees itself */
	uint32_t slot;
	uint32_t n;
	struct kf_mps_device device[KF_MPS_DEVICES];
};
