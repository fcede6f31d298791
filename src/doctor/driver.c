/* Library, kernel module, GPUs and device nodes; see doctor.h. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/text.h"
#include "doctor/doctor.h"
#include "mig/caps.h"
#include "model/node.h"

#define VERSION_FILE   "/proc/driver/nvidia/version"
#define VERSION_LIMIT  4096
#define NVML_MISMATCH  18 /* NVML_ERROR_LIB_RM_VERSION_MISMATCH */
#define NAMES_OF_NODES 300

static char *read_version(const char *root)
{
	kf_auto_mem char *path = kf_under(root, VERSION_FILE);

	return path ? kf_read_file(path, VERSION_LIMIT, NULL, NULL) : NULL;
}

int kf_doctor_simulated(const char *root)
{
	kf_auto_mem char *text = read_version(root);

	return text && strstr(text, "kerf simulator");
}

/* "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build": 580.159.04
 */
static void find_version(const char *text, char *out, size_t size)
{
	size_t n = strcspn(text, "\n"), i, end;

	out[0] = '\0';
	for (i = 0; i < n; i = end + 1) {
		size_t digits = strspn(text + i, "0123456789.");

		end = i + strcspn(text + i, " \n");
		if (digits > 2 && i + digits == end && memchr(text + i, '.', digits)) {
			snprintf(out, size, "%.*s", (int)digits, text + i);
			return;
		}
	}
}

void kf_doctor_module(struct kf_checkup *c, const struct kf_doctor_driver_view *v)
{
	kf_auto_mem char *text = read_version(v->root);
	char version[80];

	if (!text) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "module",
			       "the kernel module nvidia is not loaded: there is no " VERSION_FILE);
		kf_checkup_advise(c,
				  "load it: modprobe nvidia; `dmesg | grep -i nvidia` says why it "
				  "does not load");
		return;
	}
	find_version(text, version, sizeof(version));
	kf_checkup_add(c, KF_VERDICT_OK, "module", "the kernel module nvidia %s is loaded%s",
		       version[0] ? version : "(of unknown version)",
		       strstr(text, "kerf simulator") ? " (a simulated machine)" : "");
}

static void tell_failure(struct kf_checkup *c, const struct kf_doctor_driver_view *v)
{
	const char *why = v->err && v->err->msg[0] ? v->err->msg : "it does not say why";

	kf_checkup_add(c, KF_VERDICT_PROBLEM, "driver", "%s", why);
	if (v->state == KF_DOCTOR_DRIVER_ABSENT)
		kf_checkup_advise(c, "install NVIDIA's driver; where it lies in another root, name "
				     "that by --root or --nvidia-driver-root");
	else if (v->err && v->err->code == KF_E_DRIVER && v->err->detail == NVML_MISMATCH)
		kf_checkup_advise(c, "library and kernel module are of different releases: reload "
				     "the module (rmmod, modprobe) or reboot");
	else if (v->state == KF_DOCTOR_DRIVER_NOT_LOADED)
		kf_checkup_advise(c, "load the kernel module: modprobe nvidia");
	else
		kf_checkup_advise(c, "see what `nvidia-smi` and `dmesg | grep -i nvrm` say");
}

void kf_doctor_library(struct kf_checkup *c, const struct kf_doctor_driver_view *v)
{
	if (v->state != KF_DOCTOR_DRIVER_OPEN || !v->node) {
		tell_failure(c, v);
		return;
	}
	kf_checkup_add(c, v->node->n_gpus ? KF_VERDICT_OK : KF_VERDICT_WARNING, "driver",
		       "driver %s, CUDA %u.%u, sees %u GPU%s (%s)", v->node->driver_version,
		       v->node->cuda_major, v->node->cuda_minor, v->node->n_gpus,
		       v->node->n_gpus == 1 ? "" : "s", v->library);
	if (!v->node->n_gpus)
		kf_checkup_advise(c, "see whether `lspci -d 10de:` lists a GPU, and what `dmesg | "
				     "grep -i nvrm` says of it");
}

void kf_doctor_gpus(struct kf_checkup *c, const struct kf_node *node)
{
	unsigned i, n_bad = 0;

	for (i = 0; node && i < node->n_gpus; i++) {
		const struct kf_gpu *gpu = &node->gpu[i];

		if (gpu->state == KF_GPU_OK || n_bad++ >= 8)
			continue;
		kf_checkup_add(c, KF_VERDICT_WARNING, "gpus", "gpu %u (%s) %s: %s", gpu->index,
			       gpu->bus_id[0] ? gpu->bus_id : gpu->uuid,
			       gpu->state == KF_GPU_LOST ? "is lost" : "cannot be read",
			       gpu->trouble);
		kf_checkup_advise(c,
				  "kerf serves the others; a reset (nvidia-smi --gpu-reset -i "
				  "%u) or a reboot may bring it back, else it wants replacing",
				  gpu->index);
	}
	if (node && node->n_gpus && !n_bad)
		kf_checkup_add(c, KF_VERDICT_OK, "gpus", "every GPU answers");
}

/* --- device nodes ---------------------------------------------------------------------------- */

struct missing {
	struct kf_checkup *c;
	const char *root;
	int simulated;
	unsigned n;
	char names[NAMES_OF_NODES]; /* of the first ones */
};

static void note_missing(struct missing *m, const char *name, const char *why)
{
	size_t used = strlen(m->names);

	if (m->n++ < 4)
		snprintf(m->names + used, sizeof(m->names) - used, "%s%s%s", used ? ", " : "", name,
			 why);
}

static void look_at(struct missing *m, const char *name)
{
	kf_auto_mem char *path = kf_under(m->root, name);
	struct stat st;

	if (!path || stat(path, &st) != 0)
		note_missing(m, name, "");
	else if (!S_ISCHR(st.st_mode) && !m->simulated)
		note_missing(m, name, " (is no device)");
}

static void look_at_slices(struct missing *m, const struct kf_caps *caps, const struct kf_gpu *gpu)
{
	unsigned i, k;

	for (i = 0; i < gpu->n_instances; i++)
		for (k = 0; k < gpu->instance[i].n_ci; k++) {
			const struct kf_instance *in = &gpu->instance[i];
			char name[96];

			if (kf_caps_ensure(caps, m->root, gpu->minor, in->id, in->ci[k].id,
					   KF_CAPS_LOOK, NULL) == 0)
				continue;
			snprintf(name, sizeof(name), "/dev/nvidia-caps of gpu %u, instance %u/%u",
				 gpu->index, in->id, in->ci[k].id);
			note_missing(m, name, "");
		}
}

static void tell_missing(const struct missing *m, const char *name, const char *what,
			 const char *todo)
{
	if (!m->n) {
		kf_checkup_add(m->c, KF_VERDICT_OK, name, "%s are there", what);
		return;
	}
	kf_checkup_add(m->c, KF_VERDICT_PROBLEM, name, "%u of %s %s missing: %s%s", m->n, what,
		       m->n == 1 ? "is" : "are", m->names, m->n > 4 ? ", ..." : "");
	kf_checkup_advise(m->c, "%s", todo);
}

void kf_doctor_nodes(struct kf_checkup *c, const char *root, const struct kf_node *node)
{
	static const char *const control[] = {"/dev/nvidiactl", "/dev/nvidia-uvm",
					      "/dev/nvidia-uvm-tools"};
	struct missing m = {.c = c, .root = root, .simulated = kf_doctor_simulated(root)};
	struct missing of_slices = m;
	struct kf_error err = {0};
	struct kf_caps caps;
	unsigned i;

	if (!node || !node->n_gpus)
		return;
	for (i = 0; i < sizeof(control) / sizeof(control[0]); i++)
		look_at(&m, control[i]);
	for (i = 0; i < node->n_gpus; i++) {
		char name[32];

		snprintf(name, sizeof(name), "/dev/nvidia%u", node->gpu[i].minor);
		if (node->gpu[i].state == KF_GPU_OK)
			look_at(&m, name);
	}
	tell_missing(&m, "device nodes", "the device nodes of the driver",
		     "make them: nvidia-modprobe -u -c 0 (as root, for each GPU), or start "
		     "nvidia-persistenced; the agent tries this by itself");
	if (kf_caps_read(root, &caps, &err) < 0) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "slice nodes", "%s", err.msg);
		kf_checkup_advise(c, "this driver's table of capabilities is not one that kerf "
				     "knows: please report it with the file");
		return;
	}
	for (i = 0; i < node->n_gpus; i++)
		look_at_slices(&of_slices, &caps, &node->gpu[i]);
	tell_missing(&of_slices, "slice nodes", "the capability nodes of MIG slices",
		     "the agent makes them with nvidia-modprobe, which must be installed on the "
		     "host: nvidia-modprobe -f /proc/driver/nvidia/capabilities/...");
}
