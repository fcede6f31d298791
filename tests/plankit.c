/* Nodes and targets from text, and a model of the driver; see plankit.h. */
#include "plankit.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "kftest.h"
#include "shapes.h"

/* Fails the running test; cmocka does not tell compilers that this is the end. */
static _Noreturn void stop(const char *what, const char *word)
{
	fail_msg("%s: '%s'", what, word);
	abort();
}

struct kit *kit_new(void)
{
	struct kit *kit = calloc(1, sizeof(*kit));

	assert_non_null(kit);
	kit->node.gpu = kit->gpu;
	kit->target.gpu = kit->gpu_target;
	return kit;
}

struct kit *kit_free(struct kit *kit)
{
	if (kit) {
		kf_holds_done(&kit->holds);
		free(kit);
	}
	return NULL;
}

static void hold(struct kit *kit, struct kf_gpu *gpu, const struct kf_instance *in,
		 const struct kf_ci *ci, const char *who)
{
	struct kf_hold h = {0};
	const char *slash = strchr(who, '/');

	if (slash) {
		snprintf(h.id, sizeof(h.id), "%s", ci->uuid);
		snprintf(h.pod_namespace, sizeof(h.pod_namespace), "%.*s", (int)(slash - who), who);
		snprintf(h.pod_name, sizeof(h.pod_name), "%s", slash + 1);
		assert_int_equal(kf_holds_add(&kit->holds, &h), 0);
		return;
	}
	if (!isdigit((unsigned char)*who))
		stop("neither pod nor process", who);
	gpu->process[gpu->n_listed++] =
		(struct kf_process){.pid = (unsigned)atoi(who), .gi = in->id, .ci = ci->id};
	gpu->n_processes++;
	gpu->instance[in - gpu->instance].n_processes++;
}

/* The compute instance profile of so many slices. */
static unsigned ci_profile(const struct kf_profile *p, unsigned slices)
{
	unsigned i;

	for (i = 0; i < p->n_ci; i++)
		if (p->ci[i].slices == slices)
			return i;
	stop("no compute instance of that many slices", p->name);
}

/* May a compute instance of so many slices start here?  At multiples of its size, rounded up. */
static int ci_fits(const struct kf_instance *in, unsigned total, unsigned start, unsigned slices)
{
	static const unsigned step[8] = {1, 1, 2, 4, 4, 8, 8, 8};
	unsigned c;

	if (start + slices > total || start % step[slices] != 0)
		return 0;
	for (c = 0; c < in->n_ci; c++)
		if (in->ci[c].start < start + slices && start < in->ci[c].start + in->ci[c].size)
			return 0;
	return 1;
}

static unsigned n_places(const struct kf_instance *in, unsigned total)
{
	unsigned start, slices, n = 0;

	for (slices = 1; slices <= total; slices++)
		for (start = 0; start < total; start++)
			n += (unsigned)ci_fits(in, total, start, slices);
	return n;
}

/* Where the driver puts one: as with GPU instances, where most places stay; -1: no room. */
static int ci_place(const struct kf_instance *in, unsigned slices, unsigned total)
{
	int best = -1;
	unsigned best_places = 0, start;

	for (start = 0; start < total && in->n_ci < KF_MAX_CIS; start++) {
		struct kf_instance then = *in;
		unsigned places;

		if (!ci_fits(in, total, start, slices))
			continue;
		then.ci[then.n_ci].start = start;
		then.ci[then.n_ci++].size = slices;
		places = n_places(&then, total);
		if (best < 0 || places > best_places) {
			best = (int)start;
			best_places = places;
		}
	}
	return best;
}

static int add_ci(struct kit *kit, struct kf_instance *in, const struct kf_profile *p,
		  unsigned profile)
{
	struct kf_ci *ci = &in->ci[in->n_ci];
	unsigned slices = profile < p->n_ci ? p->ci[profile].slices : p->slices, id = 0, c;
	int start = ci_place(in, slices, p->slices);

	if (start < 0)
		return 0;
	for (c = 0; c < in->n_ci; c++)
		if (in->ci[c].id >= id)
			id = in->ci[c].id + 1;
	*ci = (struct kf_ci){.id = id,
			     .profile = profile,
			     .slices = slices,
			     .start = (unsigned)start,
			     .size = slices,
			     .mig_index = KF_NONE};
	snprintf(ci->uuid, sizeof(ci->uuid), "MIG-%u", ++kit->serial);
	in->n_ci++;
	return 1;
}

static struct kf_instance *add_instance(struct kf_gpu *gpu, unsigned profile, unsigned start)
{
	struct kf_instance *in = &gpu->instance[gpu->n_instances];
	unsigned id, i;

	for (id = 1, i = 0; i < gpu->n_instances; i++)
		if (gpu->instance[i].id >= id)
			id = gpu->instance[i].id + 1;
	gpu->n_instances++;
	*in = (struct kf_instance){.id = id, .profile = profile, .start = start};
	return in;
}

/* "1c!ml/a+2c", or "!ml/a" for the one of all slices, or "-". */
static void read_cis(struct kit *kit, struct kf_gpu *gpu, struct kf_instance *in, char *cut)
{
	const struct kf_profile *p = &gpu->shape.profile[in->profile];
	char *part, *who;

	if (!strcmp(cut, "-"))
		return;
	while ((part = strsep(&cut, "+"))) {
		unsigned slices = p->slices;

		who = strchr(part, '!');
		if (who)
			*who++ = '\0';
		if (*part && sscanf(part, "%uc", &slices) != 1)
			stop("no compute instance", part);
		if (!add_ci(kit, in, p, ci_profile(p, slices)))
			stop("no room for it", part);
		if (who)
			hold(kit, gpu, in, &in->ci[in->n_ci - 1], who);
	}
}

static void read_now(struct kit *kit, struct kf_gpu *gpu, char *list)
{
	char *word, *at, *end;
	struct kf_instance *in;

	while ((word = strsep(&list, " "))) {
		if (!*word)
			continue;
		at = strrchr(word, '@');
		if (!at)
			stop("no place", word);
		*at++ = '\0';
		in = add_instance(gpu,
				  strcmp(word, "?") ? shape_profile(&gpu->shape, word) : KF_NONE,
				  (unsigned)strtoul(at, &end, 10));
		if (in->profile != KF_NONE)
			read_cis(kit, gpu, in, *end == '/' ? end + 1 : end);
	}
}

static void read_want(const struct kf_gpu *gpu, struct kf_gpu_target *target, char *list)
{
	char *word, *x, *cut, *part;

	while ((word = strsep(&list, " "))) {
		struct kf_want *want = &target->want[target->n];

		if (!*word)
			continue;
		x = strchr(word, 'x');
		if (!x)
			stop("no count", word);
		target->n++;
		want->count = (unsigned)strtoul(word, NULL, 10);
		cut = strchr(x, '/');
		if (cut)
			*cut++ = '\0';
		want->profile = shape_profile(&gpu->shape, x + 1);
		while ((part = strsep(&cut, "+")))
			want->ci[want->n_ci++] =
				(uint8_t)ci_profile(&gpu->shape.profile[want->profile],
						    (unsigned)strtoul(part, NULL, 10));
	}
}

void kit_want(struct kit *kit, unsigned gpu, const char *want)
{
	struct kf_gpu_target *target = &kit->target.gpu[gpu];
	char list[256];

	*target = (struct kf_gpu_target){.mentioned = 1, .mig = 1, .line = 10 + (int)gpu};
	snprintf(list, sizeof(list), "%s", want);
	if (!strcmp(want, "-"))
		target->mentioned = 0;
	else if (!strcmp(want, "off"))
		target->mig = 0;
	else
		read_want(&kit->gpu[gpu], target, list);
}

struct kf_gpu *kit_add(struct kit *kit, const char *product, const char *now, const char *want)
{
	struct kf_gpu *gpu = &kit->gpu[kit->node.n_gpus];
	char list[512];

	gpu->index = kit->node.n_gpus;
	snprintf(gpu->uuid, sizeof(gpu->uuid), "GPU-%u", gpu->index);
	snprintf(gpu->name, sizeof(gpu->name), "%s", product);
	gpu->mig_capable = gpu->mig_current = gpu->mig_pending = 1;
	gpu->shape = shape_of(product)->shape;
	snprintf(list, sizeof(list), "%s", now);
	read_now(kit, gpu, list);
	kit_want(kit, kit->node.n_gpus, want);
	kit->target.n_gpus = ++kit->node.n_gpus;
	return gpu;
}

void kit_clear(struct kit *kit, unsigned gpu)
{
	kit->gpu[gpu].n_instances = 0;
}

struct kf_instance *kit_place(struct kit *kit, unsigned gpu, unsigned profile, unsigned start)
{
	const struct kf_profile *p = &kit->gpu[gpu].shape.profile[profile];
	struct kf_instance *in = add_instance(&kit->gpu[gpu], profile, start);

	assert_true(add_ci(kit, in, p, ci_profile(p, p->slices)));
	return in;
}

void kit_hold(struct kit *kit, const struct kf_ci *ci)
{
	struct kf_hold h = {.pod_namespace = "ml", .pod_name = "pod"};

	snprintf(h.id, sizeof(h.id), "%s", ci->uuid);
	assert_int_equal(kf_holds_add(&kit->holds, &h), 0);
}

int kit_cut(struct kit *kit, unsigned gpu, struct kf_instance *in, unsigned ci_profile)
{
	return add_ci(kit, in, &kit->gpu[gpu].shape.profile[in->profile], ci_profile);
}

void kit_release(struct kit *kit)
{
	unsigned g, i;

	kit->holds.n = 0;
	for (g = 0; g < kit->node.n_gpus; g++) {
		kit->gpu[g].n_processes = kit->gpu[g].n_listed = 0;
		for (i = 0; i < kit->gpu[g].n_instances; i++)
			kit->gpu[g].instance[i].n_processes = 0;
	}
}

/* The model of the driver, and of what the agent must never do. */

static struct kf_instance *find_instance(struct kf_gpu *gpu, unsigned id)
{
	unsigned i;

	for (i = 0; i < gpu->n_instances; i++)
		if (gpu->instance[i].id == id)
			return &gpu->instance[i];
	return NULL;
}

static int is_held(const struct kit *kit, const struct kf_gpu *gpu, const struct kf_instance *in,
		   const struct kf_ci *ci)
{
	unsigned i;

	for (i = 0; i < gpu->n_listed; i++)
		if (gpu->process[i].gi == in->id && gpu->process[i].ci == ci->id)
			return 1;
	return kf_holds_find(&kit->holds, ci->uuid) != NULL;
}

static int refuse(const char **why, const char *text)
{
	*why = text;
	return 0;
}

static int create(struct kit *kit, struct kf_gpu *gpu, const struct kf_step *step, const char **why)
{
	struct kf_placed p = {(uint8_t)step->profile, (uint8_t)step->start};
	struct kf_instance *in;
	struct kf_geometry g;
	unsigned c;

	kf_gpu_geometry(gpu, &g);
	if (!gpu->mig_current)
		return refuse(why, "MIG is off");
	if (!kf_geometry_fits(&gpu->shape, &g, p))
		return refuse(why, "no room for this instance");
	in = add_instance(gpu, step->profile, step->start);
	for (c = 0; c < step->n_ci; c++)
		if (!add_ci(kit, in, &gpu->shape.profile[step->profile], step->cis[c]))
			return refuse(why, "no room for this compute instance");
	if (step->n_ci == 0)
		add_ci(kit, in, &gpu->shape.profile[step->profile], KF_NONE);
	return 1;
}

static int destroy(struct kit *kit, struct kf_gpu *gpu, const struct kf_step *step,
		   const char **why)
{
	struct kf_instance *in = find_instance(gpu, step->gi);
	unsigned c;

	if (!in || in->profile != step->profile || in->start != step->start)
		return refuse(why, "no such instance");
	for (c = 0; c < in->n_ci; c++)
		if (is_held(kit, gpu, in, &in->ci[c]))
			return refuse(why, "it is held");
	*in = gpu->instance[--gpu->n_instances];
	return 1;
}

static int destroy_ci(struct kit *kit, struct kf_gpu *gpu, const struct kf_step *step,
		      const char **why)
{
	struct kf_instance *in = find_instance(gpu, step->gi);
	unsigned c = 0;

	while (in && c < in->n_ci && in->ci[c].id != step->ci)
		c++;
	if (!in || c == in->n_ci)
		return refuse(why, "no such compute instance");
	if (is_held(kit, gpu, in, &in->ci[c]))
		return refuse(why, "it is held");
	in->n_ci--;
	memmove(&in->ci[c], &in->ci[c + 1], (in->n_ci - c) * sizeof(in->ci[0]));
	return 1;
}

static int create_ci(struct kit *kit, struct kf_gpu *gpu, const struct kf_step *step,
		     const char **why)
{
	struct kf_instance *in = find_instance(gpu, step->gi);

	if (!in || in->profile != step->profile || in->start != step->start)
		return refuse(why, "no such instance");
	if (!add_ci(kit, in, &gpu->shape.profile[in->profile], step->ci))
		return refuse(why, "no room for this compute instance");
	return 1;
}

static int set_mode(struct kf_gpu *gpu, int on, const char **why)
{
	if (!on && gpu->n_instances)
		return refuse(why, "there are instances");
	if (gpu->n_processes)
		return refuse(why, "the GPU is held");
	gpu->mig_current = gpu->mig_pending = on;
	return 1;
}

int kit_apply(struct kit *kit, const struct kf_step *step, const char **why)
{
	struct kf_gpu *gpu = &kit->gpu[step->gpu];

	switch (step->kind) {
	case KF_STEP_CREATE:
		return create(kit, gpu, step, why);
	case KF_STEP_DESTROY:
		return destroy(kit, gpu, step, why);
	case KF_STEP_CREATE_CI:
		return create_ci(kit, gpu, step, why);
	case KF_STEP_DESTROY_CI:
		return destroy_ci(kit, gpu, step, why);
	case KF_STEP_MODE_ON:
		return set_mode(gpu, 1, why);
	case KF_STEP_MODE_OFF:
		return set_mode(gpu, 0, why);
	}
	return refuse(why, "no such step");
}

void kit_apply_all(struct kit *kit, const struct kf_plan *plan)
{
	const char *why = "";
	char text[600];
	unsigned i;

	for (i = 0; i < plan->n && !plan->step[i].blocked; i++) {
		if (kit_apply(kit, &plan->step[i], &why))
			continue;
		kf_step_text(&kit->node, &plan->step[i], text, sizeof(text));
		fail_msg("step %u, %s: the driver refuses: %s", i, text, why);
	}
}

struct kf_plan *kit_plan(const struct kit *kit)
{
	struct kf_plan *plan = NULL;
	struct kf_error err = {0};
	int r = kf_plan_make(&kit->node, &kit->target, &kit->holds, &plan, &err);

	if (r < 0)
		fail_msg("not expected: %s", err.msg);
	assert_true((r == KF_PLAN_SETTLED) == (plan == NULL));
	return plan;
}

void kit_expect_waiting(const struct kit *kit)
{
	kf_auto(kf_plan_freep) struct kf_plan *plan = kit_plan(kit);
	kf_auto_mem char *s = NULL;

	if (!plan || plan->n == plan->n_blocked)
		return;
	s = kf_plan_text(&kit->node, plan);
	fail_msg("planned again, it does more:\n%s", s);
}

void kit_settle(struct kit *kit)
{
	unsigned round;

	for (round = 0; round < 4; round++) {
		kf_auto(kf_plan_freep) struct kf_plan *plan = kit_plan(kit);

		if (!plan)
			return;
		kit_apply_all(kit, plan);
	}
	fail_msg("not settled after %u rounds", round);
}

static int by_start(const void *x, const void *y)
{
	const struct kf_instance *a = *(const struct kf_instance *const *)x;
	const struct kf_instance *b = *(const struct kf_instance *const *)y;

	return (int)a->start - (int)b->start;
}

static void print_cis(FILE *f, const struct kf_gpu *gpu, const struct kf_instance *in)
{
	unsigned c;

	if (in->n_ci == 1 && in->profile != KF_NONE &&
	    in->ci[0].slices == gpu->shape.profile[in->profile].slices)
		return;
	fputs(in->n_ci ? "/" : "/-", f);
	for (c = 0; c < in->n_ci; c++)
		fprintf(f, "%s%uc", c ? "+" : "", in->ci[c].slices);
}

const char *kit_now(const struct kit *kit, unsigned gpu)
{
	const struct kf_gpu *g = &kit->gpu[gpu];
	const struct kf_instance *sorted[KF_MAX_INSTANCES];
	static char text[1024];
	FILE *f = fmemopen(text, sizeof(text), "w");
	unsigned i;

	assert_non_null(f);
	for (i = 0; i < g->n_instances; i++)
		sorted[i] = &g->instance[i];
	qsort(sorted, g->n_instances, sizeof(sorted[0]), by_start);
	text[0] = '\0';
	for (i = 0; i < g->n_instances; i++) {
		unsigned p = sorted[i]->profile;

		fprintf(f, "%s%s@%u", i ? " " : "", p == KF_NONE ? "?" : g->shape.profile[p].name,
			sorted[i]->start);
		if (p != KF_NONE)
			print_cis(f, g, sorted[i]);
	}
	fclose(f);
	return text;
}
