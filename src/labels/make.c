/* From a node to its labels; see labels.h.  The rules are nvidia-stack.md 3.2, row by row. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "labels/facts.h"
#include "labels/labels.h"
#include "labels/value.h"

#define DOMAIN	 "nvidia.com/"
#define FULL_GPU DOMAIN "gpu"

struct make {
	const struct kf_node *node;
	const struct kf_label_facts *facts;
	const struct kf_label_choices *choices;
	struct kf_labels *ret;
};

/* A MIG device in the order of the driver: by GPU, then by its index there. */
struct mig {
	const struct kf_gpu *gpu;
	const struct kf_ci *ci;
};

struct migs {
	unsigned n;
	struct mig *at;
	size_t capacity;
};

static void put(struct make *m, const char *prefix, const char *suffix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void put(struct make *m, const char *prefix, const char *suffix, const char *fmt, ...)
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
	put(m, DOMAIN, suffix, "%s", value);
}

static int counts(const struct kf_gpu *gpu)
{
	return gpu->state != KF_GPU_LOST && gpu->name[0];
}

/* The first GPU that counts, with MIG on (1), off (0) or either (-1); NULL if there is none. */
static const struct kf_gpu *first_gpu(const struct kf_node *node, int mig)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (counts(&node->gpu[g]) && (mig < 0 || node->gpu[g].mig_current == mig))
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
	put(m, DOMAIN, "cuda.driver-version.major", "%s", major);
	put(m, DOMAIN, "cuda.driver-version.minor", "%s", minor);
	put(m, DOMAIN, "cuda.driver-version.revision", "%s", rev);
	put(m, DOMAIN, "cuda.driver.major", "%s", major);
	put(m, DOMAIN, "cuda.driver.minor", "%s", minor);
	put(m, DOMAIN, "cuda.driver.rev", "%s", rev);
}

static void put_cuda(struct make *m)
{
	unsigned major = m->node->cuda_major, minor = m->node->cuda_minor;

	put(m, DOMAIN, "cuda.runtime-version.major", "%u", major);
	put(m, DOMAIN, "cuda.runtime-version.minor", "%u", minor);
	put(m, DOMAIN, "cuda.runtime-version.full", "%u.%u", major, minor);
	put(m, DOMAIN, "cuda.runtime.major", "%u", major);
	put(m, DOMAIN, "cuda.runtime.minor", "%u", minor);
}

static void put_vgpu(struct make *m)
{
	const struct kf_label_facts *f = m->facts;

	if (f->vgpu >= 0)
		put(m, DOMAIN, "vgpu.present", "%s", f->vgpu ? "true" : "false");
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

		if (counts(&m->node->gpu[g]))
			mode = !mode || !strcmp(mode, one) ? one : "unknown";
	}
	put(m, DOMAIN, "gpu.mode", "%s", mode);
}

/* Only where all GPUs of a fabric say the same. */
static void put_clique(struct make *m)
{
	const struct kf_fabric *one = NULL;
	char text[37];
	unsigned g, i, n = 0;

	for (g = 0; g < m->node->n_gpus; g++) {
		const struct kf_fabric *f = &m->node->gpu[g].fabric;

		if (!counts(&m->node->gpu[g]) || !f->attached)
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
	put(m, DOMAIN, "gpu.clique", "%s.%u", text, one->clique);
}

static void put_capabilities(struct make *m)
{
	int mig = 0;
	unsigned g;

	for (g = 0; g < m->node->n_gpus; g++)
		mig |= counts(&m->node->gpu[g]) && m->node->gpu[g].mig_capable;
	put(m, DOMAIN, "mig.capable", "%s", mig ? "true" : "false");
	put(m, DOMAIN, "mps.capable", "%s",
	    m->choices->sharing == KF_SHARING_MPS && !first_gpu(m->node, 1) ? "true" : "false");
}

/* --- a resource ------------------------------------------------------------------------------- */

static const struct kf_share_rule *share_of(const struct make *m, const char *resource)
{
	const struct kf_sharing *rules = m->choices->rules;
	unsigned i;

	if (!rules || m->choices->sharing == KF_SHARING_NONE)
		return NULL;
	for (i = 0; i < rules->n; i++)
		if (!strcmp(rules->rule[i].resource, resource))
			return rules->rule[i].replicas > 1 ? &rules->rule[i] : NULL;
	return NULL;
}

/* Offered under another name, so that the product need not say it. */
static int renamed(const struct kf_share_rule *share)
{
	return share->name[0] && strcmp(share->name, share->resource) != 0;
}

static void put_product(struct make *m, const char *resource, const char *model,
			const char *profile, int shared)
{
	char product[64], tail[64] = "";

	if (profile || shared)
		snprintf(tail, sizeof(tail), "%s%.40s%s", profile ? "-MIG-" : "",
			 profile ? profile : "", shared ? "-SHARED" : "");
	kf_label_clean(model, 63 - strlen(tail), product);
	put(m, resource, ".product", "%s%s", product, tail);
}

/* What a GPU and a MIG device have in common; `share` is NULL where it is not shared. */
static void put_base(struct make *m, const char *resource, const struct kf_share_rule *share,
		     unsigned count, const char *model, const char *profile)
{
	static const char *const sharing[] = {"none", "time-slicing", "mps"};

	put_product(m, resource, model, profile, share && !renamed(share));
	put(m, resource, ".count", "%u", count);
	put(m, resource, ".replicas", "%u", share ? share->replicas : 1);
	put(m, resource, ".sharing-strategy", "%s", sharing[share ? m->choices->sharing : 0]);
}

static const char *family(int major, int minor)
{
	switch (major) {
	case 1:
		return "tesla";
	case 2:
		return "fermi";
	case 3:
		return "kepler";
	case 5:
		return "maxwell";
	case 6:
		return "pascal";
	case 7:
		return minor < 5 ? "volta" : "turing";
	case 8:
		return minor < 9 ? "ampere" : "ada-lovelace";
	case 9:
		return "hopper";
	case 10:
	case 12:
		return "blackwell";
	case 13:
		return "rubin";
	default:
		return "undefined";
	}
}

/* A GPU as such: one with MIG on is not for sale whole, so it has no replicas. */
static void put_gpu(struct make *m, const struct kf_gpu *gpu)
{
	unsigned g, count = 0;

	if (!gpu)
		return;
	for (g = 0; g < m->node->n_gpus; g++)
		count += counts(&m->node->gpu[g]) && !strcmp(m->node->gpu[g].name, gpu->name);
	put_base(m, FULL_GPU, gpu->mig_current ? NULL : share_of(m, FULL_GPU), count, gpu->name,
		 NULL);
	if (gpu->mig_current)
		put(m, FULL_GPU, ".replicas", "0");
	if (gpu->memory_mib)
		put(m, FULL_GPU, ".memory", "%llu", (unsigned long long)gpu->memory_mib);
	if (gpu->cc_major) {
		put(m, FULL_GPU, ".family", "%s", family(gpu->cc_major, gpu->cc_minor));
		put(m, FULL_GPU, ".compute.major", "%d", gpu->cc_major);
		put(m, FULL_GPU, ".compute.minor", "%d", gpu->cc_minor);
	}
}

static void put_mig(struct make *m, const char *resource, unsigned count, const struct mig *mig)
{
	const struct kf_ci *ci = mig->ci;
	char profile[KF_PROFILE_NAME + 8];

	kf_profile_resource(ci->name, profile, sizeof(profile));
	put_base(m, resource, share_of(m, resource), count, mig->gpu->name,
		 profile + strlen("mig-"));
	if (!ci->sm) /* the driver told no attributes */
		return;
	put(m, resource, ".memory", "%llu", (unsigned long long)ci->memory_mib);
	put(m, resource, ".multiprocessors", "%u", ci->sm);
	put(m, resource, ".slices.gi", "%u", ci->gi_slices);
	put(m, resource, ".slices.ci", "%u", ci->ci_slices);
	put(m, resource, ".engines.copy", "%u", ci->copy);
	put(m, resource, ".engines.decoder", "%u", ci->engine[KF_ENGINE_DEC]);
	put(m, resource, ".engines.encoder", "%u", ci->engine[KF_ENGINE_ENC]);
	put(m, resource, ".engines.jpeg", "%u", ci->engine[KF_ENGINE_JPG]);
	put(m, resource, ".engines.ofa", "%u", ci->engine[KF_ENGINE_OFA]);
}

/* --- strategies ------------------------------------------------------------------------------- */

static int by_index(const void *a, const void *b)
{
	const struct mig *x = a, *y = b;

	if (x->gpu != y->gpu)
		return x->gpu < y->gpu ? -1 : 1;
	return (x->ci->mig_index > y->ci->mig_index) - (x->ci->mig_index < y->ci->mig_index);
}

static int add_migs_of(const struct kf_gpu *gpu, struct migs *ret)
{
	unsigned i, c;

	for (i = 0; i < gpu->n_instances; i++)
		for (c = 0; c < gpu->instance[i].n_ci; c++) {
			const struct kf_ci *ci = &gpu->instance[i].ci[c];

			if (ci->mig_index == KF_NONE)
				continue;
			if (kf_grow(&ret->at, &ret->capacity, ret->n + 1, sizeof(*ret->at)) < 0)
				return -1;
			ret->at[ret->n++] = (struct mig){gpu, ci};
		}
	return 0;
}

static int find_migs(const struct kf_node *node, struct migs *ret)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++)
		if (counts(&node->gpu[g]) && node->gpu[g].mig_current &&
		    add_migs_of(&node->gpu[g], ret) < 0)
			return -1;
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), by_index);
	return 0;
}

/* Is some GPU with MIG on empty? */
static int any_empty(const struct kf_node *node, const struct migs *migs)
{
	unsigned g, i;

	for (g = 0; g < node->n_gpus; g++) {
		if (!counts(&node->gpu[g]) || !node->gpu[g].mig_current)
			continue;
		for (i = 0; i < migs->n && migs->at[i].gpu != &node->gpu[g]; i++)
			;
		if (i == migs->n)
			return 1;
	}
	return 0;
}

/* How many have the profile of migs->at[i]; 0 if an earlier one has it. */
static unsigned count_profile(const struct migs *migs, unsigned i)
{
	unsigned j, count = 0;

	for (j = 0; j < migs->n; j++) {
		if (strcmp(migs->at[j].ci->name, migs->at[i].ci->name) != 0)
			continue;
		if (j < i)
			return 0;
		count++;
	}
	return count;
}

/* Some GPU has MIG on: all must, none empty, with slices of one kind, which then are the GPUs. */
static void put_single(struct make *m, const struct migs *migs)
{
	const struct kf_gpu *gpu = first_gpu(m->node, 1);

	if (!gpu)
		return;
	if (!any_empty(m->node, migs) && !first_gpu(m->node, 0) &&
	    count_profile(migs, 0) == migs->n) {
		put_mig(m, FULL_GPU, migs->n, &migs->at[0]);
		return;
	}
	put_product(m, FULL_GPU, gpu->name, "INVALID", 0);
	put(m, FULL_GPU, ".count", "0");
	put(m, FULL_GPU, ".replicas", "0");
	put(m, FULL_GPU, ".sharing-strategy", "%s", "");
	put(m, FULL_GPU, ".memory", "0");
}

static void put_mixed(struct make *m, const struct migs *migs)
{
	unsigned i, count;

	for (i = 0; i < migs->n; i++) {
		char name[KF_PROFILE_NAME + 8], resource[64];

		count = count_profile(migs, i);
		kf_profile_resource(migs->at[i].ci->name, name, sizeof(name));
		snprintf(resource, sizeof(resource), DOMAIN "%s", name);
		if (count)
			put_mig(m, resource, count, &migs->at[i]);
	}
}

static void put_strategy(struct make *m)
{
	struct migs migs = {0};

	if (m->choices->strategy == KF_MIG_NONE)
		return;
	put(m, DOMAIN, "mig.strategy", "%s",
	    m->choices->strategy == KF_MIG_SINGLE ? "single" : "mixed");
	if (find_migs(m->node, &migs) < 0)
		m->ret->failed = 1;
	else if (m->choices->strategy == KF_MIG_SINGLE)
		put_single(m, &migs);
	else
		put_mixed(m, &migs);
	free(migs.at);
}

int kf_labels_make(const struct kf_node *node, const struct kf_label_facts *facts,
		   const struct kf_label_choices *choices, struct kf_labels *ret,
		   struct kf_error *err)
{
	struct make m = {node, facts, choices, ret};

	if (choices->timestamp)
		put(&m, DOMAIN, "gfd.timestamp", "%lld", (long long)choices->timestamp);
	put_vgpu(&m);
	if (first_gpu(node, -1)) {
		put_clean(&m, "gpu.machine", facts->machine[0] ? facts->machine : "unknown");
		put_driver(&m);
		put_cuda(&m);
		put_capabilities(&m);
		put_gpu(&m, first_gpu(node, 1)); /* overridden by one that is for sale whole */
		put_gpu(&m, first_gpu(node, 0));
		put_strategy(&m);
		put_mode(&m);
		put_clique(&m);
	}
	if (!ret->failed)
		return 0;
	kf_labels_done(ret);
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for the labels of a node");
}
