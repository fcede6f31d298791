/*
 * Plans as files: each tests/plans/NAME.yaml is a node, what is wanted of it, and the plan.
 *
 *	gpus:                            # `now` and `want` as in ../plankit.h
 *	  - {product: a100-40, now: "3g.20gb@4!ml/train", want: "7x1g.5gb"}
 *	plan:                            # the lines of kf_plan_text but the last; or `settled`
 *	  - "later    gpu 0: destroy 3g.20gb at 4; waits for pod ml/train"
 *	kept: 0
 *	destroyed: 0
 *	now: ["3g.20gb@4 ..."]           # what each GPU has after the steps that do not wait
 *	finally: ["1g.5gb@0 ..."]        # and once nothing is held and no step is left
 *	error: "gpu 0 (a100-40): ..."    # instead of plan and the rest
 *
 * `again: more` where the node has to be read first, `settles: never` where no end of holds helps.
 * More of a GPU: `mig` and `pending` (on, off), `profiles: unknown`, `state: lost`, `holder` (a pod
 * that has the whole GPU).  Besides, for each file: every step is legal on a model of the driver;
 * planning again gives no step but waiting ones; without holds it ends on the target.
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "config/yaml.h"
#include "kftest.h"
#include "plankit.h"

static const char *text(const struct kf_yaml_node *map, const char *key)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);

	return node ? node->text : NULL;
}

static int is(const struct kf_yaml_node *map, const char *key, const char *value)
{
	const char *s = text(map, key);

	return s && !strcmp(s, value);
}

static void read_gpu(struct kit *kit, const struct kf_yaml_node *map)
{
	const char *now = text(map, "now"), *want = text(map, "want"), *holder;
	struct kf_hold h = {0};
	struct kf_gpu *gpu;

	gpu = kit_add(kit, text(map, "product"), now ? now : "", want ? want : "-");
	gpu->mig_current = !is(map, "mig", "off");
	gpu->mig_pending = text(map, "pending") ? is(map, "pending", "on") : gpu->mig_current;
	gpu->mig_capable = !is(map, "mig", "incapable");
	if (is(map, "profiles", "unknown") || !gpu->mig_capable)
		gpu->shape.n = 0;
	if (!gpu->mig_capable)
		gpu->mig_current = gpu->mig_pending = 0;
	if (is(map, "state", "lost"))
		gpu->state = KF_GPU_LOST;
	holder = text(map, "holder");
	if (holder && sscanf(holder, "%63[^/]/%255s", h.pod_namespace, h.pod_name) == 2) {
		snprintf(h.id, sizeof(h.id), "%s", gpu->uuid);
		assert_int_equal(kf_holds_add(&kit->holds, &h), 0);
	}
}

static void read_case(struct kit *kit, const struct kf_yaml_node *root)
{
	for (kf_yaml_each(gpu, kf_yaml_get(root, "gpus")))
		read_gpu(kit, gpu);
	assert_true(kit->node.n_gpus > 0);
}

/* `got` is lines; `want` a sequence of them.  The last line of `got` is not compared. */
static void compare_lines(const struct kf_yaml_node *want, const char *got)
{
	const char *line = got;
	size_t n;

	for (kf_yaml_each(item, want)) {
		n = strcspn(line, "\n");
		if (!line[n] || strlen(item->text) != n || strncmp(item->text, line, n) != 0)
			fail_msg("'%s' is not in its place in\n%s", item->text, got);
		line += n + 1;
	}
	n = strcspn(line, "\n");
	if (!line[n] || line[n + 1])
		fail_msg("there is more in\n%s", got);
}

static void compare_count(const struct kf_yaml_node *root, const char *key, unsigned got)
{
	const char *s = text(root, key);

	if (s && (unsigned)atoi(s) != got)
		fail_msg("%s: %u, not %s", key, got, s);
}

static void compare_gpus(const struct kf_yaml_node *root, const char *key, const struct kit *kit)
{
	unsigned i = 0;

	for (kf_yaml_each(item, kf_yaml_get(root, key))) {
		const char *s = item->text;

		if (strcmp(s, kit_now(kit, i)) != 0)
			fail_msg("%s: gpu %u has %s, not %s", key, i, kit_now(kit, i), s);
		i++;
	}
}

static void check_plan(struct kit *kit, const struct kf_yaml_node *root, const struct kf_plan *plan)
{
	const struct kf_yaml_node *steps = kf_yaml_get(root, "plan");
	kf_auto_mem char *got = kf_plan_text(&kit->node, plan);

	assert_non_null(got);
	if (!steps || steps->kind != KF_YAML_LIST)
		fail_msg("no plan was expected, but there is:\n%s", got);
	compare_lines(steps, got);
	compare_count(root, "kept", plan->n_kept);
	compare_count(root, "destroyed", plan->n_destroyed);
	kit_apply_all(kit, plan);
	compare_gpus(root, "now", kit);
}

static void check_case(const char *path)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *doc = NULL;
	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
	kf_auto(kit_freep) struct kit *kit = kit_new();
	struct kf_error err = {0};
	const struct kf_yaml_node *root;
	int r;

	if (kf_yaml_load(path, KF_YAML_BYTES, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	root = doc->root;
	read_case(kit, root);
	r = kf_plan_make(&kit->node, &kit->target, &kit->holds, &plan, &err);
	if (r < 0) {
		if (!text(root, "error") || strcmp(text(root, "error"), err.msg) != 0)
			fail_msg("not expected: %s", err.msg);
		assert_int_equal(err.code, KF_E_INPUT);
		return;
	}
	if (text(root, "error"))
		fail_msg("no error, but a result of %d", r);
	if (r == KF_PLAN_SETTLED)
		assert_true(is(root, "plan", "settled"));
	else
		check_plan(kit, root, plan);
	if (is(root, "again", "more")) /* it has to read the node first */
		return;
	kit_expect_waiting(kit);
	if (is(root, "settles", "never"))
		return;
	kit_release(kit);
	kit_settle(kit);
	compare_gpus(root, "finally", kit);
}

static const char *current;

static void follows_the_file(void **state)
{
	check_case(current);
}

static int run(const char *path)
{
	const struct CMUnitTest test[] = {
		{strrchr(path, '/') + 1, follows_the_file, NULL, NULL, NULL}};

	current = path;
	return cmocka_run_group_tests(test, NULL, NULL);
}

/* The argument is a folder, or one file. */
int main(int argc, char **argv)
{
	char pattern[512];
	glob_t files;
	size_t i;
	int failed = 0;

	snprintf(pattern, sizeof(pattern), "%s%s", argc > 1 ? argv[1] : ".",
		 argc > 1 && strstr(argv[1], ".yaml") ? "" : "/*.yaml");
	if (glob(pattern, 0, NULL, &files) != 0) {
		fprintf(stderr, "no plans: %s\n", pattern);
		return 1;
	}
	for (i = 0; i < files.gl_pathc; i++)
		failed |= run(files.gl_pathv[i]);
	printf("%zu plans\n", files.gl_pathc);
	globfree(&files);
	return failed;
}
