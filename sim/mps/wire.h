/*
 * What passes between an MPS client, the control daemon and the server.
 *
 * NVIDIA's own, as relays recorded it before a real daemon (H100, driver 580.159.04, 2026-11-25;
 * docs/measured.md), but for what goes through the pipes, which is ours.
 *
 * The control socket is a SOCK_SEQPACKET one with SO_PASSCRED.  The daemon speaks first.  A client
 * makes one connection at cuInit that it closes behind the greeting (is MPS there?), another one
 *for the process, and one for each context:
 *
 *	daemon	"OUTBHELL\0"
 *	client	"OUTBCRED\0"		with its credentials
 *	client	02 00 00 00		a CUDA client
 *	daemon	"OUTBCUFD\0"		with one descriptor: a socket, whose other end the server
 *has
 *
 *	there	server	"OUTBCUFD\0"	four times, with one end of a pipe each
 *		server	00
 *		client	"OUTBCRED\0"	with its credentials
 *		client	00 00 00 00	the process; 1, 2, ...: its contexts
 *		client	ff 00 00 00	the process; 0, 1, ...: the device of a context
 *		server	00 00 00 00	welcome; else a CUresult
 *
 *	client	00 00 00 00		got it, and closes
 *
 * The passed socket stays open and silent: its end is the end of the process or context.
 *
 * The command line says 04 00 00 00 for a type, then for each command its length with "\n\0" as
 * eight bytes and the text; it gets four zero bytes and the text of each output, ends with a length
 * of 0 and is answered 01 00 00 00 00 00 00 00.  All numbers are little-endian.
 *
 * The daemon serves one connection at a time: whoever stalls in it holds up all others.  The server
 * waits likewise for the three words of whom it was given; one who goes without them leaves it
 *deaf, even to the end of its daemon.
 */
#pragma once

#include <stdint.h>

/* Below the pipe directory; a client needs the first alone.  The modes are those that were seen. */
#define KF_MPS_SOCKET	  "control"			/* 0666 */
#define KF_MPS_PRIVILEGED "control_privileged"		/* 0755 */
#define KF_MPS_LOCK	  "control_lock"		/* 0666 */
#define KF_MPS_LOG_PIPE	  "log"				/* a FIFO, 0777 */
#define KF_MPS_PID_FILE	  "nvidia-cuda-mps-control.pid" /* 0666, without a newline */

#define KF_MPS_DEFAULT_PIPE "/tmp/nvidia-mps"
#define KF_MPS_DEFAULT_LOG  "/var/log/nvidia-mps"

/* The words, each sent with its NUL: 9 bytes. */
#define KF_MPS_HELL "OUTBHELL"
#define KF_MPS_CRED "OUTBCRED"
#define KF_MPS_CUFD "OUTBCUFD"

/* A debugger's word ends a server that has no clients; others than these are held until they go. */
enum kf_mps_caller {
	KF_MPS_SERVER = 1,
	KF_MPS_CLIENT = 2,
	KF_MPS_DEBUGGER = 3,
	KF_MPS_UI = 4,
};

/* What a process says in the place of a device. */
#define KF_MPS_NO_DEVICE 0xFFu

/*
 * The pipes, as the server's four messages bring their ends: from the server, to the server, and
 * two that are not used here.  Messages of one shape, each of fewer bytes than a pipe takes at
 * once.
 */
#define KF_MPS_PIPES 4

enum kf_mps_pipe { KF_MPS_FROM_SERVER, KF_MPS_TO_SERVER };

enum kf_mps_verb {
	KF_MPS_WELCOME, /* server: what you may have */
	KF_MPS_HELLO,	/* client: slot is its place in the machine's table of clients */
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
	uint32_t result; /* FAULT */
	uint32_t slot;	 /* HELLO */
	uint32_t n;
	struct kf_mps_device device[KF_MPS_DEVICES];
};
