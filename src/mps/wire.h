/*
 * What an MPS client and a control daemon say to each other on the socket `control` of the pipe
 * directory: SOCK_SEQPACKET, every message with its sender's credentials (recorded on an H100,
 * driver 580.159.04, docs/measured.md).
 *
 *	daemon	OUTBHELL		on accept
 *	client	OUTBCRED
 *	client	u32 2			a CUDA client; 4: the control command
 *	daemon	OUTBCUFD + descriptor	to the server; from here on they talk there
 *	client	u32 0			got it
 *
 * No part varies.  A client makes it twice: in cuInit, where its limits are settled, and for each
 * context.  Before the first it connects once and closes without a word.
 */
#pragma once

#define KF_MPS_HELLO	   "OUTBHELL"
#define KF_MPS_CREDENTIALS "OUTBCRED"
#define KF_MPS_DESCRIPTOR  "OUTBCUFD"
#define KF_MPS_WORD_BYTES  9 /* of each of these, NUL included */
#define KF_MPS_TYPE_CLIENT 2u
#define KF_MPS_GOT_IT	   0u

#define KF_MPS_SOCKET	"control"
#define KF_MPS_PID_FILE "nvidia-cuda-mps-control.pid"
