/*
 * What `kerf doctor` finds out about a node: checks, each with a verdict, a sentence, and what to
 * do.
 *
 * The checks judge files below a root and values that the command has gathered; they change
 * nothing, open no driver and speak to no server.  The one thing they do beyond reading is to
 * connect to unix sockets, without a word, to see whether anybody listens.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/own.h"

struct kf_error;
struct kf_node;
struct kf_runtime;

enum kf_verdict {
	KF_VERDICT_OK,
	KF_VERDICT_WARNING, /* kerf works, and something is not as it should be */
	KF_VERDICT_PROBLEM, /* kerf cannot do its work */
};

struct kf_check {
	char name[24]; /* "driver" */
	enum kf_verdict verdict;
	char what[640]; /* a sentence */
	char todo[640]; /* what to do about it; "" for nothing */
};

#define KF_CHECKS_MAX 64 /* every function below adds a handful at most */

/* Zeroed is empty; too large for the stack. */
struct kf_checkup {
	unsigned n;
	struct kf_check check[KF_CHECKS_MAX];
};

/* Add a check; one past the limit takes the place of the last. */
void kf_checkup_add(struct kf_checkup *c, enum kf_verdict verdict, const char *name,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* What to do about the one that was added last. */
void kf_checkup_advise(struct kf_checkup *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* How many have this verdict. */
unsigned kf_checkup_count(const struct kf_checkup *c, enum kf_verdict verdict);
/* "ok", "warning", "problem" */
const char *kf_verdict_text(enum kf_verdict verdict);

/* --- driver.c: library, kernel module, GPUs, device nodes ------------------------------------ */

enum kf_doctor_driver {
	KF_DOCTOR_DRIVER_OPEN,
	KF_DOCTOR_DRIVER_ABSENT,     /* no library */
	KF_DOCTOR_DRIVER_NOT_LOADED, /* its kernel module */
	KF_DOCTOR_DRIVER_FAILED,
};

/* What came of opening and reading the driver; borrowed. */
struct kf_doctor_driver_view {
	const char *root; /* "" or "/": this machine's */
	enum kf_doctor_driver state;
	const char *library;	    /* which was opened; "" if none */
	const struct kf_error *err; /* why not KF_DOCTOR_DRIVER_OPEN, or why there is no node */
	const struct kf_node *node; /* NULL: not read */
};

void kf_doctor_module(struct kf_checkup *c, const struct kf_doctor_driver_view *v);
void kf_doctor_library(struct kf_checkup *c, const struct kf_doctor_driver_view *v);
/* Those that are lost or cannot be read.  Nothing without a node. */
void kf_doctor_gpus(struct kf_checkup *c, const struct kf_node *node);
/* /dev/nvidia* and, for slices, /dev/nvidia-caps.  Nothing without a node. */
void kf_doctor_nodes(struct kf_checkup *c, const char *root, const struct kf_node *node);

/* Is this the root of a simulated machine (kerf sim)?  1 or 0; by /proc/driver/nvidia/version. */
int kf_doctor_simulated(const char *root);

/* --- host.c: what kerf needs of the machine around it ---------------------------------------- */

/* `caps` are the effective capabilities, CapEff of /proc/self/status.  A simulated machine needs
 * none. */
void kf_doctor_rights(struct kf_checkup *c, uid_t uid, uint64_t caps, const struct kf_node *node,
		      int simulated);
/* Can files be written in this directory, or can it be made? */
void kf_doctor_writable(struct kf_checkup *c, const char *name, const char *dir);
/* Does the kubelet take registrations here?  `path` is its socket. */
void kf_doctor_kubelet(struct kf_checkup *c, const char *path);

enum kf_doctor_socket {
	KF_DOCTOR_SOCKET_SERVED, /* somebody listens */
	KF_DOCTOR_SOCKET_LEFT,	 /* nobody does any more */
	KF_DOCTOR_SOCKET_ABSENT, /* no file, or no socket */
	KF_DOCTOR_SOCKET_REFUSED,
};
/* Connect to a unix socket and hang up.  *errnum (may be NULL) is the reason unless SERVED. */
enum kf_doctor_socket kf_doctor_try_socket(const char *path, int *errnum);

/* --- rivals.c: who else does kerf's work here ------------------------------------------------- */

/* NVIDIA's daemons that run, by the processes of root/proc.  Adds one check each, or one in all. */
void kf_doctor_daemons(struct kf_checkup *c, const char *root);
/* Sockets of other device plugins for nvidia.com in the kubelet's directory. */
void kf_doctor_plugins(struct kf_checkup *c, const char *dir);
/* How many of them somebody serves; their names to `names`, "a.sock, b.sock in DIR", "" for none.
 */
unsigned kf_doctor_rivals(const char *dir, char *names, size_t size);

/* --- runtime.c: the container runtime and NVIDIA's toolkit ----------------------------------- */

/* `names` says how devices are handed out: --cdi, an enum kf_doctor_cdi. */
enum kf_doctor_cdi { KF_DOCTOR_CDI_AUTO, KF_DOCTOR_CDI_ALWAYS, KF_DOCTOR_CDI_NEVER };
void kf_doctor_runtime(struct kf_checkup *c, const struct kf_runtime *r, enum kf_doctor_cdi names);
/*
 * Does NVIDIA's toolkit give GPUs to a container that has NVIDIA_VISIBLE_DEVICES in its image and
 * asked for none (nvidia-stack.md 7, row 19)?
 */
void kf_doctor_toolkit(struct kf_checkup *c, const char *root);
#define KF_TOOLKIT_KEY "accept-nvidia-visible-devices-envvar-when-unprivileged"
/*
 * The same as a value: 1, it does; 0, it does not; -1, it is not installed.  `file` is the
 * configuration that says so, or in which it is to be said; "" for -1.
 */
int kf_doctor_toolkit_accepts(const char *root, char *file, size_t size);
