/* Which of the free devices a container should get; see prefer.h. */
#include "agent/prefer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "plan/align.h"

#define MAX_DEVICES (KF_MAX_GPUS * KF_MAX_INSTANCES * 2)

/* A GPU or slice, of which there may be many replicas. */
struct device {
	const char *id; /* of any replica */
	unsigned gpu;	/* index; KF_MAX_GPUS when the node does not have it */
	unsigned start; /* of a slice, on its GPU */
	int given;	/* replicas given away */
	int picked;	/* in this call */
};

struct choice {
	const char *id;
	struct device *device;
	int taken, avoid;
};

struct picking {
	const struct kf_preference *p;
	unsigned n_devices;
	struct device *device;
	int given[KF_MAX_GPUS + 1]; /* of each GPU */
	unsigned n;
	struct choice *choice;
};

static void locate(const struct kf_node *node, struct device *d)
{
	const struct kf_gpu *gpu;
	struct kf_slice_ref ref;
	char id[KF_UUID];

	kf_share_device_id(d->id, id);
	gpu = kf_node_find_gpu(node, id);
	if (!gpu && kf_node_find_slice(node, id, &ref)) {
		gpu = ref.gpu;
		d->start = ref.instance->start;
	}
	d->gpu = gpu ? gpu->index % KF_MAX_GPUS : KF_MAX_GPUS;
}

/* Replicas of one device stand beside each other, so the last one found is looked at first. */
static struct device *find_device(struct picking *k, const char *id)
{
	unsigned i = k->n_devices;

	while (i-- > 0)
		if (kf_share_same_device(k->device[i].id, id))
			return &k->device[i];
	if (k->n_devices == MAX_DEVICES)
		return &k->device[0];
	k->device[k->n_devices] = (struct device){.id = id};
	locate(k->p->node, &k->device[k->n_devices]);
	return &k->device[k->n_devices++];
}

static void give(struct picking *k, struct device *d, int n)
{
	d->given += n;
	k->given[d->gpu] += n;
}

static void survey(struct picking *k, const char *const *available)
{
	unsigned i;

	for (i = 0; k->p->all && i < k->p->all->n; i++)
		give(k, find_device(k, k->p->all->device[i].id), 1);
	for (i = 0; i < k->n; i++) {
		struct choice *c = &k->choice[i];

		c->id = available[i];
		c->device = find_device(k, c->id);
		c->avoid = k->p->avoid && k->p->avoid(k->p->userdata, c->id);
		give(k, c->device, -1);
	}
}

static int better(const struct picking *k, const struct choice *a, const struct choice *b)
{
	const struct device *x = a->device, *y = b->device;
	int sign = k->p->policy == KF_SHARE_PACKED ? -1 : 1;

	if (a->avoid != b->avoid)
		return a->avoid < b->avoid;
	if (k->p->policy == KF_SHARE_MUST_DIFFER && !x->picked != !y->picked)
		return !x->picked;
	if (k->given[x->gpu] != k->given[y->gpu])
		return sign * k->given[x->gpu] < sign * k->given[y->gpu];
	if (x->given != y->given)
		return sign * x->given < sign * y->given;
	if (x->gpu != y->gpu)
		return x->gpu < y->gpu;
	/* low places first: there the planner, too, keeps small slices when a GPU is cut anew */
	if (x->start != y->start)
		return x->start < y->start;
	if (x != y)
		return strcmp(x->id, y->id) < 0;
	return kf_share_replica(a->id) < kf_share_replica(b->id);
}

static void take(struct picking *k, struct choice *c)
{
	c->taken = 1;
	c->device->picked++;
	give(k, c->device, 1);
}

static int pick(struct picking *k, const char *const *must, unsigned n_must, unsigned size,
		const char **out)
{
	unsigned picked, i;

	for (picked = 0; picked < n_must && picked < size; picked++) {
		out[picked] = must[picked];
		for (i = 0; i < k->n; i++)
			if (!k->choice[i].taken && !strcmp(k->choice[i].id, must[picked]))
				take(k, &k->choice[i]);
	}
	for (; picked < size; picked++) {
		struct choice *best = NULL;

		for (i = 0; i < k->n; i++)
			if (!k->choice[i].taken && (!best || better(k, &k->choice[i], best)))
				best = &k->choice[i];
		if (!best)
			return -1;
		out[picked] = best->id;
		take(k, best);
	}
	return 0;
}

/* --- whole GPUs: those that are connected best ---------------------------------------------- */

/* What the candidates' bits stand for: their places in the list of choices, and of the node. */
struct aligning {
	const struct kf_node *node;
	unsigned n;
	unsigned choice[KF_MAX_GPUS], gpu[KF_MAX_GPUS];
};

static unsigned link_of(const void *ud, unsigned i, unsigned j)
{
	const struct aligning *a = ud;

	return a->node->gpu[a->gpu[i]].link[a->gpu[j]];
}

/* All of them whole GPUs, with something known of how they are connected?  1 or 0. */
static int are_whole(const struct picking *k, struct aligning *a)
{
	unsigned i, linked = 0;

	for (i = 0; i < k->n; i++) {
		const struct kf_gpu *gpu = kf_node_find_gpu(k->p->node, k->choice[i].id);

		if (!gpu || a->n == KF_MAX_GPUS)
			return 0;
		if (k->choice[i].avoid)
			continue;
		a->choice[a->n] = i;
		a->gpu[a->n++] = (unsigned)(gpu - k->p->node->gpu);
	}
	for (i = 1; i < a->n; i++)
		linked |= link_of(a, 0, i);
	return linked > 0;
}

/* 1 and the answer, or 0: they are to be picked one by one. */
static int pick_aligned(const struct picking *k, const char *const *must, unsigned n_must,
			unsigned size, const char **out)
{
	struct aligning a = {.node = k->p->node};
	unsigned i, m, set, musts = 0, n = n_must;

	if (size < 2 || n_must > size || !are_whole(k, &a))
		return 0;
	for (m = 0; m < n_must; m++) {
		for (i = 0; i < a.n && strcmp(k->choice[a.choice[i]].id, must[m]) != 0; i++)
			;
		if (i == a.n)
			return 0;
		musts |= 1u << i;
		out[m] = must[m];
	}
	set = kf_align(a.n, size, musts, link_of, &a);
	for (i = 0; i < a.n && set; i++)
		if ((set & ~musts) & 1u << i)
			out[n++] = k->choice[a.choice[i]].id;
	return set != 0;
}

int kf_prefer(const struct kf_preference *p, const char *const *available, unsigned n_available,
	      const char *const *must, unsigned n_must, unsigned size, const char **out,
	      struct kf_error *err)
{
	kf_auto_mem struct choice *choice = kf_calloc(n_available + 1, sizeof(*choice));
	kf_auto_mem struct device *device = kf_calloc(MAX_DEVICES, sizeof(*device));
	struct picking k = {.p = p, .device = device, .n = n_available, .choice = choice};

	if (!choice || !device)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to choose among %u devices",
			       n_available);
	survey(&k, available);
	if (pick_aligned(&k, must, n_must, size, out))
		return 0;
	if (pick(&k, must, n_must, size, out) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "%u devices are wanted of %u", size,
			       n_available);
	return 0;
}
