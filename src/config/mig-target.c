/*
 * A configuration matched with the GPUs of a node; see mig.h.
 *
 * Compute instances follow mig-parted: MIG devices are taken largest first, and one that is a part
 * of its GPU instance (1c.3g.20gb) goes into the last instance of the same profile while it fits.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "config/mig-file.h"

unsigned kf_shape_room(const struct kf_shape *shape, unsigned profile)
{
	uint32_t starts = shape->profile[profile].starts;
	struct kf_geometry g = {0};

	for (; starts && g.n < KF_MAX_INSTANCES; starts &= starts - 1) {
		struct kf_placed p = {.profile = (uint8_t)profile,
				      .start = (uint8_t)__builtin_ctz(starts)};

		if (kf_geometry_fits(shape, &g, p))
			g.at[g.n++] = p;
	}
	return g.n;
}

/* It did not tell even once what it is. */
static int is_stranger(const struct kf_gpu *gpu)
{
	return gpu->state != KF_GPU_OK && gpu->pci_device == 0;
}

int kf_mig_possible(const struct kf_gpu *gpu)
{
	return gpu->mig_capable || is_stranger(gpu);
}

int kf_mig_means_some(const struct kf_node *node, const struct kf_target *t)
{
	unsigned g, answering = 0, silent = 0, able = 0;

	for (g = 0; g < node->n_gpus; g++) {
		int ok = node->gpu[g].state == KF_GPU_OK;

		answering += ok && t->gpu[g].mentioned;
		silent += !ok && t->gpu[g].mentioned;
		able += ok && node->gpu[g].mig_capable;
	}
	return answering > 0 || (able == 0 && silent > 0);
}

static int filter_matches(const struct kf_mig_entry *e, const struct kf_gpu *gpu)
{
	unsigned i;

	if (is_stranger(gpu))
		return 1;
	for (i = 0; i < e->n_filters; i++) {
		const struct kf_mig_filter *f = &e->filter[i];

		if (f->device == gpu->pci_device &&
		    (!f->has_subsystem || f->subsystem == gpu->pci_subsystem))
			return 1;
	}
	return e->n_filters == 0;
}

int kf_mig_entry_matches(const struct kf_mig_entry *e, const struct kf_gpu *gpu)
{
	unsigned i;

	if (!filter_matches(e, gpu))
		return 0;
	for (i = 0; i < e->n_devices; i++)
		if (e->device[i] == gpu->index)
			return 1;
	return e->all;
}

/* The work on one GPU. */
struct matching {
	const char *file;
	const struct kf_gpu *gpu;
	struct kf_gpu_target *t;
	unsigned instances[KF_MAX_PROFILES]; /* GPU instances asked so far */
	struct kf_error *err;
};

static int refuse(struct matching *m, unsigned line, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int refuse(struct matching *m, unsigned line, const char *what, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return kf_fail(m->err, KF_E_INPUT, 0, "%s:%u: %s: gpu %u (%s) %s", m->file, line, what,
		       m->gpu->index, m->gpu->name, text);
}

static int refuse_profile(struct matching *m, const struct kf_mig_count *c)
{
	const struct kf_shape *shape = &m->gpu->shape;
	char list[300] = "";
	unsigned i, at = 0;

	for (i = 0; i < shape->n && at < sizeof(list); i++)
		at += (unsigned)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "",
					 shape->profile[i].name);
	return refuse(m, c->line, c->text, "has no such profile; it has %s", list);
}

static int refuse_ci(struct matching *m, const struct kf_mig_count *c, const struct kf_profile *p)
{
	char list[200] = "";
	unsigned i, at = 0;

	for (i = 0; i < p->n_ci && at < sizeof(list); i++)
		at += (unsigned)snprintf(list + at, sizeof(list) - at, "%s%uc", at ? ", " : "",
					 p->ci[i].slices);
	return refuse(m, c->line, c->text, "cuts a %s into %s, not %uc", p->name,
		      at ? list : "nothing", c->name.c);
}

static int find_ci(const struct kf_profile *p, unsigned slices)
{
	unsigned i;

	for (i = 0; i < p->n_ci; i++)
		if (p->ci[i].slices == slices)
			return (int)i;
	return -1;
}

/* One more GPU instance; equal neighbours become one want. */
static int add_instance(struct matching *m, const struct kf_mig_count *c, unsigned profile)
{
	struct kf_gpu_target *t = m->t;
	unsigned room = kf_shape_room(&m->gpu->shape, profile);

	if (++m->instances[profile] > room)
		return refuse(m, c->line, c->text, "holds at most %u", room);
	if (t->n == KF_MAX_INSTANCES)
		return refuse(m, c->line, c->text, "holds at most %d instances", KF_MAX_INSTANCES);
	t->want[t->n++] = (struct kf_want){.profile = profile, .count = 1};
	return 0;
}

static int has_room(const struct kf_profile *p, const struct kf_want *w, unsigned ci)
{
	unsigned i, slices = p->ci[ci].slices, same = 1;

	for (i = 0; i < w->n_ci; i++) {
		slices += p->ci[w->ci[i]].slices;
		same += w->ci[i] == ci;
	}
	return w->n_ci > 0 && w->n_ci < KF_MAX_CIS && slices <= p->slices && same <= p->ci[ci].max;
}

static int add_part(struct matching *m, const struct kf_mig_count *c, unsigned profile, unsigned ci)
{
	const struct kf_profile *p = &m->gpu->shape.profile[profile];
	struct kf_want *last = m->t->n ? &m->t->want[m->t->n - 1] : NULL;

	if (!last || last->profile != profile || !has_room(p, last, ci)) {
		if (add_instance(m, c, profile) < 0)
			return -1;
		last = &m->t->want[m->t->n - 1];
	}
	last->ci[last->n_ci++] = (uint8_t)ci;
	return 0;
}

static int add_devices(struct matching *m, const struct kf_mig_count *c)
{
	int profile = kf_shape_find(&m->gpu->shape, &c->name);
	const struct kf_profile *p;
	unsigned i;
	int ci = -1;

	if (c->count == 0)
		return 0;
	if (profile < 0)
		return refuse_profile(m, c);
	p = &m->gpu->shape.profile[profile];
	if (c->name.c > 0 && c->name.c < p->slices) {
		ci = find_ci(p, c->name.c);
		if (ci < 0)
			return refuse_ci(m, c, p);
	}
	for (i = 0; i < c->count; i++)
		if ((ci < 0 ? add_instance(m, c, (unsigned)profile)
			    : add_part(m, c, (unsigned)profile, (unsigned)ci)) < 0)
			return -1;
	return 0;
}

/* mig-parted's order: more slices first, then larger parts, then attributes. */
static int comes_before(const struct kf_mig_count *a, const struct kf_mig_count *b)
{
	unsigned ac = a->name.c ? a->name.c : a->name.g, bc = b->name.c ? b->name.c : b->name.g;

	if (a->name.g != b->name.g)
		return a->name.g > b->name.g;
	if (a->name.gb != b->name.gb)
		return a->name.gb > b->name.gb;
	if (strcmp(a->name.attr, b->name.attr) != 0)
		return strcmp(a->name.attr, b->name.attr) > 0;
	return ac > bc;
}

/* All counts of the entry, in order; the entry itself is not ours to sort. */
static int add_all(struct matching *m, const struct kf_mig_entry *e)
{
	kf_auto_mem unsigned *order = kf_calloc(e->n_counts + 1, sizeof(unsigned));
	unsigned i, j;

	if (!order)
		return kf_fail(m->err, KF_E_NOMEM, 0, "no memory to match a configuration");
	for (i = 0; i < e->n_counts; i++) {
		for (j = i; j > 0 && comes_before(&e->count[i], &e->count[order[j - 1]]); j--)
			order[j] = order[j - 1];
		order[j] = i;
	}
	for (i = 0; i < e->n_counts; i++)
		if (add_devices(m, &e->count[order[i]]) < 0)
			return -1;
	return 0;
}

static int same_parts(const struct kf_want *a, const struct kf_want *b)
{
	return a->profile == b->profile && a->n_ci == b->n_ci && !memcmp(a->ci, b->ci, a->n_ci);
}

static void join_equals(struct kf_gpu_target *t)
{
	unsigned i, j, n = 0;

	for (i = 0; i < t->n; i++) {
		struct kf_want w = t->want[i];

		for (j = 0; j < n && !same_parts(&t->want[j], &w); j++)
			;
		if (j < n)
			t->want[j].count += w.count;
		else
			t->want[n++] = w;
	}
	t->n = n;
}

/* The GPU's present instances as wants. */
static void want_present(const struct kf_gpu *gpu, struct kf_gpu_target *t)
{
	unsigned i, j;

	t->n = 0;
	for (i = 0; i < gpu->n_instances; i++) {
		const struct kf_instance *gi = &gpu->instance[i];
		const struct kf_profile *p = &gpu->shape.profile[gi->profile];
		struct kf_want w = {.profile = gi->profile, .count = 1};

		for (j = 0; j < gi->n_ci && gi->ci[j].slices < p->slices; j++) {
			unsigned ci = gi->ci[j].profile;

			w.ci[w.n_ci++] = (uint8_t)(ci < p->n_ci ? ci : 0);
		}
		t->want[t->n++] = w;
	}
}

/* If the GPU has these devices in other company, leave them there. */
static void keep_present(const struct kf_gpu *gpu, struct kf_gpu_target *t)
{
	struct kf_mig_devices present, wanted;

	kf_mig_devices_of_gpu(gpu, &present);
	kf_mig_devices_of_target(&gpu->shape, t, &wanted);
	if (!kf_mig_devices_equal(&present, &wanted))
		return;
	want_present(gpu, t);
	join_equals(t);
}

int kf_mig_entry_resolve(const char *file, const struct kf_mig_entry *e, const struct kf_gpu *gpu,
			 struct kf_gpu_target *ret, struct kf_error *err)
{
	struct kf_gpu_target t = {.mentioned = 1, .mig = e->mig_enabled, .line = (int)e->line};
	struct matching m = {.file = file, .gpu = gpu, .t = &t, .err = err};

	if (!kf_mig_possible(gpu)) {
		if (e->mig_enabled && !e->all)
			return refuse(&m, e->line, "devices", "cannot do MIG");
		return KF_MIG_PASSED_OVER;
	}
	if (e->mig_enabled && (gpu->shape.n == 0 || gpu->state != KF_GPU_OK)) {
		t.unknown_shape = 1;
	} else if (e->mig_enabled) {
		if (add_all(&m, e) < 0)
			return -1;
		join_equals(&t);
		keep_present(gpu, &t);
	}
	*ret = t;
	return 0;
}

/* Of the entries that speak of this GPU, the last. */
static const struct kf_mig_entry *last_entry(const struct kf_mig_config *config,
					     const struct kf_gpu *gpu)
{
	unsigned i;

	for (i = config->n_entries; i > 0; i--)
		if (kf_mig_entry_matches(&config->entry[i - 1], gpu))
			return &config->entry[i - 1];
	return NULL;
}

static int turns_mig_on(const struct kf_mig_config *config)
{
	unsigned i;

	for (i = 0; i < config->n_entries; i++)
		if (config->entry[i].mig_enabled)
			return 1;
	return 0;
}

static int file_target(const struct kf_mig_configs *c, const struct kf_mig_config *config,
		       const struct kf_node *node, struct kf_target *t, struct kf_error *err)
{
	unsigned g;

	for (g = 0; g < node->n_gpus; g++) {
		const struct kf_mig_entry *e = last_entry(config, &node->gpu[g]);

		if (!e)
			continue;
		if (kf_mig_entry_resolve(c->file, e, &node->gpu[g], &t->gpu[g], err) < 0)
			return -1;
	}
	if (turns_mig_on(config) && !kf_mig_means_some(node, t))
		return kf_fail(err, KF_E_INPUT, 0,
			       "%s:%u: %s: matches none of the %u GPUs of this node", c->file,
			       config->line, config->name, node->n_gpus);
	return 0;
}

static int unknown_name(const struct kf_mig_configs *c, const char *name, struct kf_error *err)
{
	kf_auto_mem const char **names = kf_calloc(c->n + 1, sizeof(*names));
	const char *close = NULL;
	unsigned i;

	if (names) {
		for (i = 0; i < c->n; i++)
			names[i] = c->config[i].name;
		close = kf_closest(name, names);
	}
	return kf_fail(err, KF_E_INPUT, 0, "%s: no configuration is called '%.80s'%s%s%s", c->file,
		       name, close ? "; did you mean '" : "", close ? close : "",
		       close ? "'?" : "");
}

/* The match itself, into *t, which has the node's number of GPUs. */
static int match(const struct kf_mig_configs *c, const char *name, const struct kf_node *node,
		 struct kf_target *t, struct kf_error *err)
{
	const struct kf_mig_config *config = kf_mig_configs_find(c, name);

	if (c->builtin)
		return kf_mig_builtin_target(c, name, node, t, err);
	if (!config)
		return unknown_name(c, name, err);
	return file_target(c, config, node, t, err);
}

int kf_mig_configs_target(const struct kf_mig_configs *c, const char *name,
			  const struct kf_node *node, struct kf_target **ret, struct kf_error *err)
{
	kf_auto(kf_target_freep) struct kf_target *t = NULL;

	if (!name && c->n != 1)
		return kf_fail(err, KF_E_INPUT, 0,
			       "%s: holds %u configurations; say which one is meant", c->file,
			       c->n);
	name = name ? name : c->config[0].name;
	t = kf_calloc(1, sizeof(*t));
	if (!t || !(t->gpu = kf_calloc(node->n_gpus + 1, sizeof(*t->gpu))))
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to match configuration %.80s", name);
	t->n_gpus = node->n_gpus;
	snprintf(t->name, sizeof(t->name), "%s", name);
	if (match(c, name, node, t, err) < 0)
		return -1;
	*ret = kf_take(t);
	return 0;
}
