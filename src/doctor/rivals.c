/* NVIDIA's daemons and other device plugins on the same node; see doctor.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "doctor/doctor.h"

/* By the name of the program, the last component of argv[0] (nvidia-stack.md 1.2, 3, 4, 5). */
static const struct daemon {
	const char *program;
	enum kf_verdict verdict;
	const char *harm, *todo;
} daemons[] = {
	{"nvidia-device-plugin", KF_VERDICT_PROBLEM,
	 "it registers the same resources: the kubelet believes who came last",
	 "delete its DaemonSet before the agent starts (docs/differences.md); on Bottlerocket it "
	 "is a service of the host"},
	{"config-manager", KF_VERDICT_WARNING,
	 "it chooses configurations for NVIDIA's plugin, which kerf does by itself",
	 "delete it with the plugin whose sidecar it is"},
	{"gpu-feature-discovery", KF_VERDICT_WARNING, "it writes the same labels as kerf",
	 "delete its DaemonSet, or give the agent --labels=off"},
	{"nvidia-mig-manager", KF_VERDICT_PROBLEM,
	 "it follows the same label nvidia.com/mig.config, and both would cut the GPUs",
	 "delete its DaemonSet, or label the Node nvidia.com/gpu.deploy.mig-manager=false"},
	{"nvidia-mig-parted", KF_VERDICT_WARNING, "it is cutting GPUs right now",
	 "let it end; use `kerf apply` instead, which leaves slices in use alone"},
	{"mps-control-daemon", KF_VERDICT_WARNING,
	 "it holds a context on the GPUs, which keeps MIG modes from changing",
	 "delete its DaemonSet: this version of kerf does not serve MPS"},
	{"dcgm-exporter", KF_VERDICT_WARNING,
	 "it keeps the GPUs open: a MIG mode may not change while it does, and new slices are "
	 "missing from its metrics until it is restarted",
	 "restart it after a change of MIG modes, or label the Node "
	 "nvidia.com/gpu.deploy.dcgm-exporter=false during one"},
	{"nv-hostengine", KF_VERDICT_WARNING,
	 "DCGM keeps the GPUs open: a MIG mode may not change while it does",
	 "stop it during a change of MIG modes"},
};
#define N_DAEMONS (sizeof(daemons) / sizeof(daemons[0]))

struct found {
	unsigned n[N_DAEMONS];
	unsigned pid[N_DAEMONS]; /* the first one */
	unsigned n_processes;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void look_at(int proc, const char *pid, struct found *f)
{
	char name[64], argv0[PATH_MAX];
	kf_auto_fd int fd = -1;
	ssize_t n;
	size_t i;

	snprintf(name, sizeof(name), "%.20s/cmdline", pid);
	fd = openat(proc, name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, argv0, sizeof(argv0) - 1);
	if (n < 0)
		return;
	f->n_processes++;
	argv0[n] = '\0'; /* arguments are apart by NUL: this ends the first one at the latest */
	for (i = 0; i < N_DAEMONS; i++)
		if (!strcmp(base_name(argv0), daemons[i].program) && !f->n[i]++)
			f->pid[i] = (unsigned)strtoul(pid, NULL, 10);
}

static void read_processes(const char *root, struct found *f)
{
	kf_auto_mem char *path = kf_under(root, "/proc");
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (name[0] && !name[strspn(name, "0123456789")])
			look_at(dirfd(dir), name, f);
	}
	if (dir)
		closedir(dir);
}

void kf_doctor_daemons(struct kf_checkup *c, const char *root)
{
	struct found f = {0};
	unsigned n_found = 0;
	size_t i;

	read_processes(root, &f);
	for (i = 0; i < N_DAEMONS; i++) {
		if (!f.n[i])
			continue;
		n_found++;
		kf_checkup_add(c, daemons[i].verdict, "daemons", "%s is running (pid %u): %s",
			       daemons[i].program, f.pid[i], daemons[i].harm);
		kf_checkup_advise(c, "%s", daemons[i].todo);
	}
	if (n_found)
		return;
	if (f.n_processes)
		kf_checkup_add(c, KF_VERDICT_OK, "daemons",
			       "none of NVIDIA's daemons among the %u processes in sight",
			       f.n_processes);
	else
		kf_checkup_add(c, KF_VERDICT_OK, "daemons", "no processes of this root in sight");
}

/* --- sockets --------------------------------------------------------------------------------- */

struct others {
	unsigned n_served, n_left;
	char served[300], left[300];
};

static void name_one(unsigned *n, char *names, size_t size, const char *name)
{
	size_t used = strlen(names);

	if ((*n)++ < 6)
		snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
}

/*
 * NVIDIA's plugin serves nvidia-gpu.sock, nvidia-mig-1g.5gb.sock and the like (nvidia-stack.md
 * 1.3); GKE's nvidiaGPU-*.sock.  Ours are kerf-*.sock.
 */
static void look_at_socket(const char *dir, const char *name, struct others *o)
{
	char full[PATH_MAX];
	size_t n = strlen(name);

	if (strncmp(name, "nvidia", 6) != 0 || n < 5 || strcmp(name + n - 5, ".sock") != 0)
		return;
	snprintf(full, sizeof(full), "%s/%s", dir, name);
	switch (kf_doctor_try_socket(full, NULL)) {
	case KF_DOCTOR_SOCKET_SERVED:
	case KF_DOCTOR_SOCKET_REFUSED:
		name_one(&o->n_served, o->served, sizeof(o->served), name);
		return;
	case KF_DOCTOR_SOCKET_LEFT:
		name_one(&o->n_left, o->left, sizeof(o->left), name);
		return;
	case KF_DOCTOR_SOCKET_ABSENT:
		return;
	}
}

/* The directory could be read: 0, or -1. */
static int look_at_sockets(const char *dir, struct others *o)
{
	struct dirent **entry = NULL;
	int n = scandir(dir, &entry, NULL, alphasort), i;

	for (i = 0; i < n; i++) {
		look_at_socket(dir, entry[i]->d_name, o);
		free(entry[i]);
	}
	free(entry);
	return n < 0 ? -1 : 0;
}

unsigned kf_doctor_rivals(const char *dir, char *names, size_t size)
{
	struct others o = {0};

	look_at_sockets(dir, &o);
	snprintf(names, size, "%s%s%s", o.served, o.n_served ? " in " : "", o.n_served ? dir : "");
	return o.n_served;
}

void kf_doctor_plugins(struct kf_checkup *c, const char *dir)
{
	struct others o = {0};

	if (look_at_sockets(dir, &o) < 0)
		return; /* the check of the kubelet says so */
	if (o.n_served) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "plugins",
			       "another device plugin serves %s in %s", o.served, dir);
		kf_checkup_advise(c, "delete its DaemonSet, or on Bottlerocket switch it off: the "
				     "agent offers nothing until it is gone (--beside=take: the "
				     "kubelet believes who registered last)");
	} else if (o.n_left) {
		kf_checkup_add(c, KF_VERDICT_WARNING, "plugins",
			       "%s in %s was left by a device plugin that is gone", o.left, dir);
		kf_checkup_advise(c,
				  "nothing has to be done: the kubelet clears its directory when "
				  "it starts");
	} else {
		kf_checkup_add(c, KF_VERDICT_OK, "plugins", "no other plugin for nvidia.com in %s",
			       dir);
	}
}
