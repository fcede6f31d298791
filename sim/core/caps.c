/* Capability files of MIG instances; see caps.h. */
#include "core/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

unsigned kf_sim_cap_minor(unsigned gpu_minor, unsigned gi, unsigned ci)
{
	unsigned minor = 3 + 135 * gpu_minor + 9 * gi;

	return ci == KF_SIM_NONE ? minor : minor + 1 + ci;
}

int kf_sim_device_node(const char *path, unsigned major, unsigned minor, unsigned mode)
{
	int fd;

	if (mknod(path, S_IFCHR | mode, makedev(major, minor)) == 0)
		return chmod(path, mode); /* the umask had its say */
	if (errno == EEXIST)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

/* One capability: `at` is its folder below capabilities/. */
static void set(const char *dir, const struct kf_sim_state *s, const char *at, unsigned minor,
		int wanted)
{
	char folder[PATH_MAX], file[PATH_MAX + 8], node[PATH_MAX];
	FILE *f;

	snprintf(folder, sizeof(folder), "%s/root/proc/driver/nvidia/capabilities/%s", dir, at);
	snprintf(file, sizeof(file), "%s/access", folder);
	snprintf(node, sizeof(node), "%s/root/dev/nvidia-caps/nvidia-cap%u", dir, minor);
	if (!wanted) {
		unlink(node);
		unlink(file);
		rmdir(folder);
		return;
	}
	mkdir(folder, 0755);
	f = fopen(file, "we");
	if (f) {
		fprintf(f, "DeviceFileMinor: %u\nDeviceFileMode: 292\nDeviceFileModify: 1\n",
			minor);
		fclose(f);
	}
	kf_sim_device_node(node, s->machine.caps_major, minor, 0444);
}

static void set_gi(const char *dir, struct kf_sim_state *s, unsigned gpu, unsigned gi)
{
	const struct kf_sim_gi *g = &kf_sim_now(s, gpu)->gi[gi];
	unsigned minor = s->machine.gpu[gpu].minor, ci;
	char at[64];

	if (g->used) {
		snprintf(at, sizeof(at), "gpu%u/mig/gi%u", minor, gi);
		set(dir, s, at, kf_sim_cap_minor(minor, gi, KF_SIM_NONE), 1);
	}
	for (ci = 0; ci < KF_MAX_CIS; ci++) {
		snprintf(at, sizeof(at), "gpu%u/mig/gi%u/ci%u", minor, gi, ci);
		set(dir, s, at, kf_sim_cap_minor(minor, gi, ci), g->used && g->ci[ci].used);
	}
	if (!g->used) {
		snprintf(at, sizeof(at), "gpu%u/mig/gi%u", minor, gi);
		set(dir, s, at, kf_sim_cap_minor(minor, gi, KF_SIM_NONE), 0);
	}
}

void kf_sim_caps_gi(const char *dir, struct kf_sim_state *s, unsigned gpu, unsigned gi)
{
	/* more than our own: somebody died between a change and its files */
	if (s->nodes_stale > 1) {
		kf_sim_caps_sync(dir, s);
		return;
	}
	set_gi(dir, s, gpu, gi);
	s->nodes_stale = 0;
}

void kf_sim_caps_sync(const char *dir, struct kf_sim_state *s)
{
	unsigned gpu, gi;

	for (gpu = 0; gpu < s->machine.n_gpus; gpu++)
		for (gi = 0; gi < KF_MAX_INSTANCES; gi++)
			set_gi(dir, s, gpu, gi);
	s->nodes_stale = 0;
}
