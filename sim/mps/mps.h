/*
 * The simulated nvidia-cuda-mps-control and nvidia-cuda-mps-server: one program, which is the one
 * or the other by the name that it is started under.
 *
 * The control daemon listens, keeps the defaults, starts servers and hands clients over to them; a
 * server has its clients on descriptors of their own.  Neither holds anything of the machine's but
 * rows in its table of processes.  Texts, lines of the logs and manners are those that were seen of
 * R580's (docs/measured.md).
 */
#pragma once

#include <stdarg.h>
#include <sys/types.h>

#include "base/text.h"
#include "mps/limit.h"

/* The longest message between daemon and server, and between daemon and command line. */
#define KF_MPS_TEXT 65536

/* In a server's environment: the user that it is to be, and the directory of the logs. */
#define KF_MPS_USER "KERF_SIM_MPS_USER"
#define KF_MPS_LOGS "KERF_SIM_MPS_LOGS"

/* What the next server begins with. */
struct kf_mps_shares {
	unsigned percent_x10;
	struct kf_mps_limits memory;
	unsigned priority; /* 0 normal, 1 below */
};

/* The machine, opened by where this program lies; 0, or -1 after a sentence on standard error. */
int kf_mps_machine(struct kf_sim *sim);

/* Lines as NVIDIA's: "[2026-11-23 10:00:00.123 Control 17] text".  Without a directory: stdout. */
int kf_mps_log_open(const char *dir, const char *file);
/* "Control", "Other", "Server"; borrowed. */
void kf_mps_log_as(const char *who);
void kf_mps_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The programs' mains. */
int kf_mps_daemon(const char *pipe, const char *logs, int foreground, int multiuser);
int kf_mps_server(void);
/* The command line: commands from standard input. */
int kf_mps_ui(const char *pipe);
