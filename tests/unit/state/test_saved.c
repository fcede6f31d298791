/* The last good geometry and the journal of a change: there and back, and bad files. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "kftest.h"
#include "state/intent.h"
#include "state/saved.h"

static char dir[64];

static int make_dir(void **state)
{
	strcpy(dir, "/tmp/kerf-state-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int remove_dir(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void put(const char *name, const char *text)
{
	char *path = kf_asprintf("%s/%s", dir, name);

	assert_int_equal(kf_write_file(path, text, strlen(text), 0600, 0, NULL), 0);
	free(path);
}

/* Not by kf_read_file: it is also called while memory runs out. */
static char *slurp(const char *name)
{
	static char text[1 << 16];
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return strdup(text);
}

static int exists(const char *name)
{
	char *path = kf_asprintf("%s/%s", dir, name);
	int r = access(path, F_OK) == 0;

	free(path);
	return r;
}

/* GPU 0: 2g at 4 and a 1g+me at 0, listed the other way round; GPU 1 is lost; GPU 2 has MIG off. */
static void make_node(struct kf_node *node, struct kf_gpu gpu[3])
{
	struct kf_profile *p = gpu[0].shape.profile;
	struct kf_instance *i = gpu[0].instance;

	memset(gpu, 0, 3 * sizeof(*gpu));
	*node = (struct kf_node){.driver_version = "580.159.04", .n_gpus = 3, .gpu = gpu};
	strcpy(gpu[0].uuid, "GPU-0");
	strcpy(gpu[1].uuid, "GPU-1");
	strcpy(gpu[2].uuid, "GPU-2");
	gpu[1].state = KF_GPU_LOST;
	gpu[0].mig_current = 1;
	gpu[0].shape.n = 2;
	p[0] = (struct kf_profile){.id = 20, .slices = 1, .gb = 5, .attr = "+me", .n_ci = 1};
	p[1] = (struct kf_profile){.id = 14, .slices = 2, .gb = 10, .n_ci = 2};
	p[1].ci[0] = (struct kf_ci_profile){.id = 0, .slices = 1};
	p[1].ci[1] = (struct kf_ci_profile){.id = 1, .slices = 2};
	gpu[0].n_instances = 3;
	i[0] = (struct kf_instance){.id = 5, .profile = 1, .start = 4, .n_ci = 2};
	i[0].ci[0] = (struct kf_ci){.id = 1, .profile = 0, .slices = 1};
	i[0].ci[1] = (struct kf_ci){.id = 0, .profile = KF_NONE, .slices = 1};
	i[1] = (struct kf_instance){.id = 7, .profile = 0, .start = 0};
	i[2] = (struct kf_instance){.id = 9, .profile = KF_NONE, .start = 6};
}

static void save(void)
{
	struct kf_node node;
	struct kf_gpu gpu[3];
	struct kf_saved *s = NULL;

	make_node(&node, gpu);
	assert_int_equal(kf_saved_make(&node, "all-balanced", "sha256:ab", &s, NULL), 0);
	assert_int_equal(kf_saved_write(dir, s, NULL), 0);
	kf_saved_free(s);
}

static void brings_back_the_geometry_that_was_saved(void **state)
{
	const struct kf_saved_gpu *gpu;
	struct kf_saved *s = NULL;

	save();
	assert_int_equal(kf_saved_read(dir, &s, NULL), 0);
	assert_string_equal(s->config, "all-balanced");
	assert_string_equal(s->source, "sha256:ab");
	assert_string_equal(s->driver_version, "580.159.04");
	assert_int_equal(s->n_gpus, 2);
	assert_null(kf_saved_find(s, "GPU-1"));
	assert_int_equal(kf_saved_find(s, "GPU-2")->mig, 0);
	gpu = kf_saved_find(s, "GPU-0");
	assert_int_equal(gpu->mig, 1);
	/* by start; the instance without a listed profile cannot be made again */
	assert_int_equal(gpu->n, 2);
	assert_int_equal(gpu->instance[0].start, 0);
	assert_int_equal(gpu->instance[0].profile, 20);
	assert_string_equal(gpu->instance[0].attr, "+me");
	assert_int_equal(gpu->instance[1].start, 4);
	assert_int_equal(gpu->instance[1].slices, 2);
	assert_int_equal(gpu->instance[1].gb, 10);
	assert_int_equal(gpu->instance[1].n_ci, 2);
	assert_int_equal(gpu->instance[1].ci[0].id, 0);
	assert_int_equal(gpu->instance[1].ci[0].profile, KF_NONE);
	assert_int_equal(gpu->instance[1].ci[1].id, 1);
	assert_int_equal(gpu->instance[1].ci[1].profile, 0);
	kf_saved_free(s);
}

static void has_nothing_before_the_first_save(void **state)
{
	struct kf_saved *s = NULL;
	struct kf_intent *i = NULL;

	assert_int_equal(kf_saved_read(dir, &s, NULL), KF_SAVED_NONE);
	assert_int_equal(kf_intent_load(dir, &i, NULL), KF_INTENT_NONE);
	assert_int_equal(kf_intent_end(dir, NULL), 0);
	assert_null(s);
	assert_null(i);
}

static void makes_the_directory_for_itself_alone(void **state)
{
	char *below = kf_asprintf("%s/a/b", dir), *file = kf_asprintf("%s/intent.json", below);
	struct kf_intent *i = kf_intent_new("all-1g.5gb", NULL, 1);
	struct stat st;

	assert_int_equal(kf_intent_begin(below, i, NULL), 0);
	assert_int_equal(stat(below, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	kf_intent_free(i);
	free(below);
	free(file);
}

static void tells_of_a_change_until_it_is_over(void **state)
{
	struct kf_intent *i = kf_intent_new("all-1g.5gb", "sha256:cd", 1764054456), *found = NULL;

	assert_int_equal(kf_intent_add(i, "GPU-0", "gpu 0: destroy 7g.40gb, instance 0"), 0);
	assert_int_equal(kf_intent_add(i, "GPU-0", "gpu 0: create 1g.5gb at 0"), 0);
	assert_int_equal(kf_intent_begin(dir, i, NULL), 0);
	kf_intent_free(i);

	assert_int_equal(kf_intent_load(dir, &found, NULL), 0);
	assert_string_equal(found->config, "all-1g.5gb");
	assert_string_equal(found->source, "sha256:cd");
	assert_int_equal(found->since_s, 1764054456);
	assert_int_equal(found->n, 2);
	assert_string_equal(found->step[1].gpu, "GPU-0");
	assert_string_equal(found->step[1].text, "gpu 0: create 1g.5gb at 0");
	found = kf_intent_free(found);

	assert_int_equal(kf_intent_end(dir, NULL), 0);
	assert_int_equal(kf_intent_load(dir, &found, NULL), KF_INTENT_NONE);
}

static const char *const bad_files[] = {
	"",
	"nonsense",
	"[]",
	"{}",
	"{\"kerf\":\"saved 2\"}",
	"{\"kerf\":\"saved 1\",\"config\":7}",
	"{\"kerf\":\"saved 1\",\"config\":\"a\",\"source\":\"\",\"driverVersion\":\"\",\"gpus\":7}",
	"{\"kerf\":\"saved "
	"1\",\"config\":\"a\\u0001\",\"source\":\"\",\"driverVersion\":\"\",\"gpus\":[]}",
	"{\"kerf\":\"saved "
	"1\",\"config\":\"a\",\"source\":\"\",\"driverVersion\":\"\",\"gpus\":[{}]}",
	"{\"kerf\":\"saved 1\",\"config\":\"a\",\"source\":\"\",\"driverVersion\":\"\",\"gpus\":["
	"{\"uuid\":\"g\",\"mig\":2,\"instances\":[]}]}",
	"{\"kerf\":\"saved 1\",\"config\":\"a\",\"source\":\"\",\"driverVersion\":\"\",\"gpus\":["
	"{\"uuid\":\"g\",\"mig\":1,\"instances\":[{\"id\":0,\"profile\":0,\"slices\":1,\"gb\":5,"
	"\"attr\":\"\",\"start\":32,\"ci\":[]}]}]}",
	"{\"kerf\":\"saved 1\",\"config\":\"a\",\"source\":\"\",\"driverVersion\":\"\",\"gpus\":["
	"{\"uuid\":\"g\",\"mig\":1,\"instances\":[{\"id\":0,\"profile\":0,\"slices\":1,\"gb\":5,"
	"\"attr\":\"+toolong\",\"start\":0,\"ci\":[]}]}]}",
	"{\"kerf\":\"saved 1\",\"config\":\"a\",\"source\":\"\",\"driverVersion\":\"\",\"gpus\":["
	"{\"uuid\":\"g\",\"mig\":1,\"instances\":[{\"id\":0,\"profile\":0,\"slices\":1,\"gb\":5,"
	"\"attr\":\"\",\"start\":0,\"ci\":[{\"id\":8,\"profile\":0,\"slices\":1}]}]}]}",
};

static void sets_a_bad_file_aside_and_says_why(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
		struct kf_intent *intent = NULL;
		struct kf_saved *s = NULL;
		struct kf_error err = {0};
		char *aside;

		put("saved.json", bad_files[i]);
		assert_int_equal(kf_saved_read(dir, &s, &err), KF_SAVED_BAD);
		assert_null(s);
		assert_int_equal(err.code, KF_E_INPUT);
		assert_non_null(strstr(err.msg, "saved.json.bad"));
		assert_false(exists("saved.json"));
		aside = slurp("saved.json.bad");
		assert_string_equal(aside, bad_files[i]);
		free(aside);
		/* none of them is a journal, either */
		put("intent.json", bad_files[i]);
		assert_int_equal(kf_intent_load(dir, &intent, &err), KF_INTENT_BAD);
		assert_null(intent);
	}
}

static void refuses_a_journal_with_steps_that_are_none(void **state)
{
	static const char *const texts[] = {
		"{\"kerf\":\"intent 1\",\"config\":\"a\",\"source\":\"\",\"since\":1}",
		"{\"kerf\":\"intent "
		"1\",\"config\":\"a\",\"source\":\"\",\"since\":-1,\"steps\":[]}",
		"{\"kerf\":\"intent "
		"1\",\"config\":\"a\",\"source\":\"\",\"since\":1,\"steps\":[7]}",
		"{\"kerf\":\"intent 1\",\"config\":\"a\",\"source\":\"\",\"since\":1,\"steps\":["
		"{\"gpu\":\"GPU-0\"}]}",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct kf_intent *intent = NULL;
		struct kf_error err = {0};

		assert_int_equal(kf_intent_parse(texts[i], strlen(texts[i]), &intent, &err), -1);
		assert_int_equal(err.code, KF_E_INPUT);
		assert_null(intent);
	}
}

static void survives_a_file_cut_anywhere(void **state)
{
	char *text;
	size_t n, cut;

	save();
	text = slurp("saved.json");
	n = strlen(text);
	for (cut = 0; cut + 2 < n; cut++) {
		struct kf_saved *s = NULL;

		assert_int_equal(kf_saved_parse(text, cut, &s, NULL), -1);
		assert_null(s);
	}
	free(text);
}

static void *failing_malloc(size_t n)
{
	return kf_calloc(1, n);
}

static void leaves_the_old_file_when_memory_runs_out(void **state)
{
	struct kf_node node;
	struct kf_gpu gpu[3];
	unsigned n_refused = 0;
	char *before;

	save();
	before = slurp("saved.json");
	make_node(&node, gpu);
	json_set_alloc_funcs(failing_malloc, free);
	KF_FOR_EACH_OOM
	{
		struct kf_saved *s = NULL, *again = NULL;
		char *after;
		int r = kf_saved_make(&node, "all-balanced", "sha256:ab", &s, NULL);

		if (r == 0)
			r = kf_saved_write(dir, s, NULL);
		if (r == 0)
			r = kf_saved_parse(before, strlen(before), &again, NULL);
		if (r < 0)
			n_refused++;
		kf_saved_free(s);
		kf_saved_free(again);
		after = slurp("saved.json");
		assert_string_equal(before, after);
		free(after);
	}
	json_set_alloc_funcs(malloc, free);
	assert_true(n_refused > 50);
	free(before);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(brings_back_the_geometry_that_was_saved),
		WITH_DIR(has_nothing_before_the_first_save),
		WITH_DIR(makes_the_directory_for_itself_alone),
		WITH_DIR(tells_of_a_change_until_it_is_over),
		WITH_DIR(sets_a_bad_file_aside_and_says_why),
		WITH_DIR(refuses_a_journal_with_steps_that_are_none),
		WITH_DIR(survives_a_file_cut_anywhere),
		WITH_DIR(leaves_the_old_file_when_memory_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
