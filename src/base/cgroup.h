/*
 * Which pod and container a process is in, by its control group.
 *
 * Kubelets name groups after the pod's UID, v1 and v2, by systemd or by the file system, under any
 * runtime; with a private cgroup namespace the path begins with "/../..", which does not matter:
 *
 *	0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/
 *	   cri-containerd-<64 hex digits>.scope
 *	4:memory:/kubepods/besteffort/pod<uid>/<64 hex digits>
 *	0::/kubepods.slice/kubepods-pod<uid>.slice/crio-<64 hex digits>.scope/container
 */
#pragma once

#include <stddef.h>

#define KF_CGROUP_UID	    40 /* "01234567-89ab-cdef-0123-456789abcdef" */
#define KF_CGROUP_CONTAINER 72 /* 64 hex digits */

struct kf_cgroup {
	char pod_uid[KF_CGROUP_UID];	     /* with '-', whatever the group's name has */
	char container[KF_CGROUP_CONTAINER]; /* the runtime's id; "" where it is not named */
};

/*
 * Parse the text of /proc/PID/cgroup.  The outermost group that names a pod counts: whoever may
 * make groups inside a pod cannot pretend to be another.  1 and *ret, or 0: of no pod.
 */
int kf_cgroup_parse(const char *text, struct kf_cgroup *ret);

/* Read and parse that of a process, below `root` (as for kf_under), or, where that has none, this
 * machine's own.  1 and *ret, or 0: of no pod, or it has ended. */
int kf_cgroup_of(const char *root, unsigned pid, struct kf_cgroup *ret);
