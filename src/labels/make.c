/* From a node to its labels; see labels.h.  The rules are nvidia-stack.md 3.2, row by row. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "labels/make.h"
#include "labels/value.h"

void kf_make_put(struct make *m, const char *prefix, const char *suffix, const char *fmt, ...)
{
	char key[128], value[128];
	va_list ap;

	snprintf(key, sizeof(key), "%s%s", prefix, suffix);
	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	kf_labels_set(m->ret, key, value);
}

/* The value as NVIDIA's program cleans it. */
static void put_clean(struct make *m, const char *suffix, const char *text)
{
	char value[64];

	kf_label_clean(text, 63, value);
	kf_make_put(m, DOMAIN, suffix, "%s", value);
}

int kf_make_counts(const struct kf_gpu *gpu)
{
	return gpu->state != KF_GPU_LOST && gpu->name[0];
}

const struct kf_gpu *kf_make_first(const struct kf_node *node, int mig)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (kf_make_counts(&node->gpu[g]) && (mig < 0 || node->gpu[g].mig_current == mig))
			return &node->gpu[g];
	return NULL;
}

/* --- the machine ------------------------------------------------------------------------------ */

/* X.Y or X.Y.Z it has always been; text, since "05" is a revision in use. */
static void put_driver(struct make *m)
{
	const char *full = m->node->driver_version;
	char major[16], minor[16], rev[16] = "", more;
	int n = sscanf(full, "%15[0-9].%15[0-9].%15[0-9]%c", major, minor, rev, &more);

	put_clean(m, "cuda.driver-version.full", full);
	if (n != 2 && n != 3)
		return;
	kf_make_put(m, DOMAIN, "cuda.driver-version.major", "%s", major);
	kf_make_put(m, DOMAIN, "cuda.driver-version.minor", "%s", minor);
	kf_make_put(m, DOMAIN, "cuda.driver-version.revision", "%s", rev);
	kf_make_put(m, DOMAIN, "cuda.driver.major", "%s", major);
	kf_make_put(m, DOMAIN, "cuda.driver.minor", "%s", minor);
	kf_make_put(m, DOMAIN, "cuda.driver.rev", "%s", rev);
}

static void put_cuda(struct make *m)
{
	unsigned major = m->node->cuda_major, minor = m->node->cuda_minor;

	kf_make_put(m, DOMAIN, "cuda.runtime-version.major", "%u", major);
	kf_make_put(m, DOMAIN, "cuda.runtime-version.minor", "%u", minor);
	kf_make_put(m, DOMAIN, "cuda.runtime-version.full", "%u.%u", major, minor);
	kf_make_put(m, DOMAIN, "cuda.runtime.major", "%u", major);
	kf_make_put(m, DOMAIN, "cuda.runtime.minor", "%u", minor);
}

static void put_vgpu(struct make *m)
{
	const struct kf_label_facts *f = m->facts;

	if (f->vgpu >= 0)
		kf_make_put(m, DOMAIN, "vgpu.present", "%s", f->vgpu ? "true" : "false");
	if (f->vgpu_version[0])
		put_clean(m, "vgpu.host-driver-version", f->vgpu_version);
	if (f->vgpu_branch[0])
		put_clean(m, "vgpu.host-driver-branch", f->vgpu_branch);
}

static const char *mode_of_class(unsigned pci_class)
{
	return pci_class == 0x030000 ? "graphics" : pci_class == 0x030200 ? "compute" : "unknown";
}

static void put_mode(struct make *m)
{
	const char *mode = NULL;
	unsigned g;

	for (g = 0; g < m->node->n_gpus; g++) {
		const char *one = mode_of_class(m->facts->pci_class[g]);

		if (kf_make_counts(&m->node->gpu[g]))
			mode = !mode || !strcmp(mode, one) ? one : "unknown";
	}
	kf_make_put(m, DOMAIN, "gpu.mode", "%s", mode);
}

/* Only where all GPUs of a fabric say the same. */
static void put_clique(struct make *m)
{
	const struct kf_fabric *one = NULL;
	char text[37];
	unsigned g, i, n = 0;

	for (g = 0; g < m->node->n_gpus; g++) {
		const struct kf_fabric *f = &m->node->gpu[g].fabric;

		if (!kf_make_counts(&m->node->gpu[g]) || !f->attached)
			continue;
		if (one && (memcmp(one->cluster, f->cluster, sizeof(f->cluster)) != 0 ||
			    one->clique != f->clique))
			return;
		one = f;
	}
	if (!one)
		return;
	for (i = 0; i < 16; i++)
		n += (unsigned)snprintf(text + n, sizeof(text) - n, "%s%02x",
					i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
					one->cluster[i]);
	kf_make_put(m, DOMAIN, "gpu.clique", "%s.%u", text, one->clique);
}

static void put_capabilities(struct make *m)
{
	int mig = 0;
	unsigned g;

	for (g = 0; g < m->node->n_gpus; g++)
		mig |= kf_make_counts(&m->node->gpu[g]) && m->node->gpu[g].mig_capable;
	kf_make_put(m, DOMAIN, "mig.capable", "%s", mig ? "true" : "false");
	kf_make_put(m, DOMAIN, "mps.capable", "%s",
		    m->choices->sharing == KF_SHARING_MPS && !kf_make_first(m->node, 1) ? "true"
											: "false");
}

int kf_labels_make(const struct kf_node *node, const struct kf_label_facts *facts,
		   const struct kf_label_choices *choices, struct kf_labels *ret,
		   struct kf_error *err)
{
	struct make m = {node, facts, choices, ret};

	if (choices->timestamp)
		kf_make_put(&m, DOMAIN, "gfd.timestamp", "%lld", (long long)choices->timestamp);
	put_vgpu(&m);
	if (kf_make_first(node, -1)) {
		put_clean(&m, "gpu.machine", facts->machine[0] ? facts->machine : "unknown");
		put_driver(&m);
		put_cuda(&m);
		put_capabilities(&m);
		kf_make_gpu(&m,
			    kf_make_first(node, 1)); /* overridden by one that is for sale whole */
		kf_make_gpu(&m, kf_make_first(node, 0));
		kf_make_slices(&m);
		put_mode(&m);
		put_clique(&m);
	}
	if (!ret->failed)
		return 0;
	kf_labels_done(ret);
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for the labels of a node");
}
