/* Capability devices; see caps.h. */
#include "mig/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define MINORS	    "/proc/driver/nvidia-caps/mig-minors"
#define MAX_MINOR   0xffff
#define NVIDIA	    195 /* static major of nvidiactl and nvidia<minor> */
#define NVIDIACTL   255
#define FILE_LIMIT  (1 << 20) /* mig-minors is 110 kB with all 32 GPUs */
#define NOT_A_MAJOR (-1)

extern char **environ;

/* The layout of the driver's static table: config 1, monitor 2, then 135 a GPU (1 + 8 a slice). */
static void fill_by_formula(struct kf_caps *caps)
{
	unsigned g, i, c;

	for (g = 0; g < KF_CAPS_GPUS; g++)
		for (i = 0; i < KF_MAX_INSTANCES; i++) {
			caps->gi[g][i] = (uint16_t)(3 + 135 * g + 9 * i);
			for (c = 0; c < KF_MAX_CIS; c++)
				caps->ci[g][i][c] = (uint16_t)(caps->gi[g][i] + 1 + c);
		}
}

/* `word` and a number of up to five digits: what follows them, or NULL.  `s` may be NULL. */
static const char *skip_number(const char *s, const char *word, unsigned *ret)
{
	size_t n = strlen(word), digits;

	if (!s || strncmp(s, word, n) != 0)
		return NULL;
	s += n;
	digits = strspn(s, "0123456789");
	if (digits < 1 || digits > 5)
		return NULL;
	for (*ret = 0, n = 0; n < digits; n++)
		*ret = *ret * 10 + (unsigned)(s[n] - '0');
	return s + digits;
}

/*
 * One line of mig-minors.  Numbers beyond our tables are skipped: no such GPU is known.  By hand,
 * since there are 4,322 lines, which sscanf takes ten milliseconds to read.
 */
static int parse_minor(const char *line, struct kf_caps *caps)
{
	unsigned g = 0, i = 0, c = 0, minor = 0;
	const char *gi = skip_number(skip_number(line, "gpu", &g), "/gi", &i);
	const char *ci = skip_number(gi, "/ci", &c);
	const char *end = skip_number(ci ? ci : gi, "/access ", &minor);

	if (!gi)
		end = skip_number(line, "config ", &minor);
	if (!gi && !end)
		end = skip_number(line, "monitor ", &minor);
	if (!end || *end || minor < 1 || minor > MAX_MINOR)
		return -1;
	if (!gi || g >= KF_CAPS_GPUS || i >= KF_MAX_INSTANCES)
		return 0;
	if (!ci)
		caps->gi[g][i] = (uint16_t)minor;
	else if (c < KF_MAX_CIS)
		caps->ci[g][i][c] = (uint16_t)minor;
	return 0;
}

int kf_caps_parse_minors(const char *text, struct kf_caps *ret, struct kf_error *err)
{
	char line[96];
	unsigned number = 0;

	while (*text) {
		size_t n = strcspn(text, "\n");

		number++;
		if (n >= sizeof(line))
			return kf_fail(err, KF_E_INPUT, 0,
				       "line %u: longer than any the driver writes", number);
		memcpy(line, text, n);
		line[n] = '\0';
		if (n && parse_minor(line, ret) < 0)
			return kf_fail(err, KF_E_INPUT, 0,
				       "line %u: \"%s\" is no capability and minor", number, line);
		text += n + (text[n] == '\n');
	}
	ret->listed = 1;
	return 0;
}

/* "234 nvidia-caps" among the character devices of /proc/devices. */
static int find_major(const char *devices, const char *name)
{
	const char *line = devices, *end = strstr(devices, "Block devices:");
	unsigned major;
	char word[64];

	for (; line && *line && (!end || line < end); line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%u %63s", &major, word) == 2 && !strcmp(word, name))
			return major < 4096 ? (int)major : NOT_A_MAJOR;
	}
	return NOT_A_MAJOR;
}

/* 0 and *ret, which stays NULL when there is no such file. */
static int read_if_there(const char *root, const char *path, char **ret, struct kf_error *err)
{
	kf_auto_mem char *full = kf_under(root, path);
	struct kf_error why = {0};

	if (!full)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to read %s", path);
	*ret = kf_read_file(full, FILE_LIMIT, NULL, &why);
	if (*ret || (why.code == KF_E_SYSTEM && (why.detail == ENOENT || why.detail == ENOTDIR)))
		return 0;
	if (err)
		*err = why;
	return -1;
}

int kf_caps_read(const char *root, struct kf_caps *ret, struct kf_error *err)
{
	kf_auto_mem char *minors = NULL, *devices = NULL;
	struct kf_caps caps = {0};

	if (read_if_there(root, MINORS, &minors, err) < 0 ||
	    read_if_there(root, "/proc/devices", &devices, err) < 0)
		return -1;
	if (!minors)
		fill_by_formula(&caps);
	else if (kf_caps_parse_minors(minors, &caps, err) < 0)
		return kf_prefix(err, "%s", MINORS);
	caps.caps_major = devices ? find_major(devices, "nvidia-caps") : NOT_A_MAJOR;
	caps.uvm_major = devices ? find_major(devices, "nvidia-uvm") : NOT_A_MAJOR;
	*ret = caps;
	return 0;
}

int kf_caps_gi_minor(const struct kf_caps *caps, unsigned gpu, unsigned gi)
{
	if (gpu >= KF_CAPS_GPUS || gi >= KF_MAX_INSTANCES || !caps->gi[gpu][gi])
		return -1;
	return caps->gi[gpu][gi];
}

int kf_caps_ci_minor(const struct kf_caps *caps, unsigned gpu, unsigned gi, unsigned ci)
{
	if (gpu >= KF_CAPS_GPUS || gi >= KF_MAX_INSTANCES || ci >= KF_MAX_CIS ||
	    !caps->ci[gpu][gi][ci])
		return -1;
	return caps->ci[gpu][gi][ci];
}

static int is_own_root(const char *root)
{
	return !root || !root[strspn(root, "/")];
}

/* Run it and wait.  Whether it did its work shows in the file system, so no answer. */
static void run(const char *program, const char *a, const char *b)
{
	char *const argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)a,
			      (char *)(uintptr_t)b, NULL};
	pid_t pid;

	if (posix_spawnp(&pid, program, NULL, NULL, argv, environ) != 0)
		return;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int make_node(const char *root, const char *path, int major, int minor, mode_t mode,
		     struct kf_error *err)
{
	kf_auto_mem char *full = kf_under(root, path);
	kf_auto_mem char *dir = full ? kf_strndup(full, (size_t)(strrchr(full, '/') - full)) : NULL;

	if (!full || !dir)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to make %s", path);
	if (major < 0)
		return kf_fail(err, KF_E_UNSUPPORTED, 0,
			       "%s is missing, and /proc/devices names no major number for it",
			       path);
	if (kf_make_dirs(dir, 0755, err) < 0)
		return -1;
	if (mknod(full, S_IFCHR | mode, makedev((unsigned)major, (unsigned)minor)) < 0 &&
	    errno != EEXIST)
		return kf_fail_errno(err, errno, "make device node %s (%d:%d)", full, major, minor);
	/* the umask took its share of the mode above */
	if (chmod(full, mode) < 0)
		return kf_fail_errno(err, errno, "set the mode of %s", full);
	return 0;
}

static int is_there(const char *root, const char *path)
{
	kf_auto_mem char *full = kf_under(root, path);
	struct stat st;

	return full && stat(full, &st) == 0;
}

/* `ask` and `what` are nvidia-modprobe's option and its argument that make this node. */
static int ensure(const char *root, const char *path, int major, int minor, mode_t mode,
		  enum kf_caps_make make, const char *ask, const char *what, struct kf_error *err)
{
	if (is_there(root, path))
		return 0;
	if (make == KF_CAPS_LOOK)
		return KF_CAPS_ABSENT;
	if (is_own_root(root)) {
		run("nvidia-modprobe", ask, what);
		if (is_there(root, path))
			return 0;
	}
	if (make == KF_CAPS_ASK)
		return KF_CAPS_ABSENT;
	return make_node(root, path, major, minor, mode, err);
}

int kf_caps_ensure(const struct kf_caps *caps, const char *root, unsigned gpu, unsigned gi,
		   unsigned ci, enum kf_caps_make make, struct kf_error *err)
{
	const int minor[2] = {kf_caps_gi_minor(caps, gpu, gi), kf_caps_ci_minor(caps, gpu, gi, ci)};
	char proc[2][96], path[64];
	int i, r, absent = 0;

	snprintf(proc[0], sizeof(proc[0]), "/proc/driver/nvidia/capabilities/gpu%u/mig/gi%u/access",
		 gpu, gi);
	snprintf(proc[1], sizeof(proc[1]),
		 "/proc/driver/nvidia/capabilities/gpu%u/mig/gi%u/ci%u/access", gpu, gi, ci);
	for (i = 0; i < 2; i++) {
		if (minor[i] < 0)
			return kf_fail(err, KF_E_UNSUPPORTED, 0,
				       "the driver has no capability gpu%u/gi%u/ci%u", gpu, gi, ci);
		snprintf(path, sizeof(path), "/dev/nvidia-caps/nvidia-cap%d", minor[i]);
		r = ensure(root, path, caps->caps_major, minor[i], 0444, make, "-f", proc[i], err);
		if (r < 0)
			return r;
		absent |= r;
	}
	return absent ? KF_CAPS_ABSENT : 0;
}

int kf_caps_ensure_base(const struct kf_caps *caps, const char *root, const struct kf_node *node,
			enum kf_caps_make make, struct kf_error *err)
{
	char path[32], option[16];
	int r, absent;
	unsigned g;

	absent = r =
		ensure(root, "/dev/nvidiactl", NVIDIA, NVIDIACTL, 0666, make, "-c=255", NULL, err);
	if (r >= 0)
		absent |= r = ensure(root, "/dev/nvidia-uvm", caps->uvm_major, 0, 0666, make, "-u",
				     "-c=0", err);
	if (r >= 0)
		absent |= r = ensure(root, "/dev/nvidia-uvm-tools", caps->uvm_major, 1, 0666, make,
				     "-u", "-c=0", err);
	for (g = 0; r >= 0 && g < node->n_gpus; g++) {
		if (node->gpu[g].state != KF_GPU_OK)
			continue;
		snprintf(path, sizeof(path), "/dev/nvidia%u", node->gpu[g].minor);
		snprintf(option, sizeof(option), "-c=%u", node->gpu[g].minor);
		absent |= r = ensure(root, path, NVIDIA, (int)node->gpu[g].minor, 0666, make,
				     option, NULL, err);
	}
	if (r < 0)
		return r;
	return absent ? KF_CAPS_ABSENT : 0;
}
