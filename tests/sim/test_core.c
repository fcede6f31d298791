/* The simulator's core: the shared state in the hands of the dying, machine files, UUIDs. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "core/caps.h"
#include "core/machine.h"
#include "core/uuid.h"
#include "kftest.h"

static struct kf_sim_machine machine;

static int make(void **state)
{
	static char dir[64];
	struct kf_error err = {0};

	strcpy(dir, "/tmp/kerf-sim-XXXXXX");
	if (!mkdtemp(dir) || kf_sim_machine_load("p4d.24xlarge", &machine, &err) < 0)
		return -1;
	kf_sim_machine_identify(&machine, "test");
	*state = dir;
	return kf_sim_state_create(dir, &machine, &err);
}

static int drop(void **state)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/state", (char *)*state);
	unlink(path);
	return rmdir(*state);
}

/* Run `act` in a child that dies at its end, whatever it holds. */
static void in_the_dying(const char *dir, void (*act)(struct kf_sim *sim))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct kf_sim sim;

		if (kf_sim_open(dir, &sim, NULL) == 0)
			act(&sim);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void die_before_the_commit(struct kf_sim *sim)
{
	struct kf_sim_now *now;

	kf_sim_lock(sim->state);
	now = kf_sim_begin(sim->state, 3);
	now->mig_current = 1;
	memset(now->gi, 0xFF, sizeof(now->gi) / 2);
}

static void die_behind_the_commit(struct kf_sim *sim)
{
	kf_sim_lock(sim->state);
	kf_sim_begin(sim->state, 3)->mig_current = 1;
	kf_sim_commit(sim->state, 3);
}

static void a_change_that_was_not_committed_did_not_happen(void **state)
{
	static const struct kf_sim_gi none[KF_MAX_INSTANCES];
	struct kf_sim_now *now;
	struct kf_sim sim;

	assert_int_equal(kf_sim_open(*state, &sim, NULL), 0);
	in_the_dying(*state, die_before_the_commit);
	kf_sim_lock(sim.state);
	now = kf_sim_now(sim.state, 3);
	assert_int_equal(now->mig_current, 0);
	assert_memory_equal(now->gi, none, sizeof(none));
	kf_sim_begin(sim.state, 3)->mig_pending = 1;
	kf_sim_commit(sim.state, 3);
	assert_memory_equal(kf_sim_now(sim.state, 3)->gi, none, sizeof(none));
	kf_sim_unlock(sim.state);
	kf_sim_close(&sim);
}

static void a_change_that_was_committed_stays_when_its_maker_dies_with_the_lock(void **state)
{
	struct kf_sim sim;

	assert_int_equal(kf_sim_open(*state, &sim, NULL), 0);
	in_the_dying(*state, die_behind_the_commit);
	kf_sim_lock(sim.state);
	assert_int_equal(kf_sim_now(sim.state, 3)->mig_current, 1);
	kf_sim_unlock(sim.state);
	kf_sim_close(&sim);
}

/* What a create does to the state; its files come after. */
static void add_instance(struct kf_sim *sim, unsigned gi)
{
	struct kf_sim_now *now = kf_sim_begin(sim->state, 3);

	now->gi[gi].used = 1;
	sim->state->nodes_stale++;
	kf_sim_commit(sim->state, 3);
}

static void die_before_the_files(struct kf_sim *sim)
{
	kf_sim_lock(sim->state);
	add_instance(sim, 1);
}

static int has_access_file(const char *dir, const struct kf_sim *sim, unsigned gi)
{
	char path[160];

	snprintf(path, sizeof(path),
		 "%s/root/proc/driver/nvidia/capabilities/gpu%u/mig/gi%u/access", dir,
		 sim->state->machine.gpu[3].minor, gi);
	return access(path, F_OK) == 0;
}

static void files_that_the_dead_left_unmade_are_made_by_the_next_change(void **state)
{
	const char *dir = *state;
	char path[160];
	struct kf_sim sim;

	assert_int_equal(kf_sim_open(dir, &sim, NULL), 0);
	snprintf(path, sizeof(path), "%s/root/proc/driver/nvidia/capabilities/gpu%u/mig", dir,
		 sim.state->machine.gpu[3].minor);
	assert_int_equal(kf_make_dirs(path, 0755, NULL), 0);
	in_the_dying(dir, die_before_the_files);
	kf_sim_lock(sim.state);
	add_instance(&sim, 2);
	kf_sim_caps_gi(dir, sim.state, 3, 2);
	kf_sim_unlock(sim.state);
	assert_true(has_access_file(dir, &sim, 2));
	assert_true(has_access_file(dir, &sim, 1));
	kf_sim_close(&sim);
	snprintf(path, sizeof(path), "rm -rf '%s/root'", dir);
	assert_int_equal(system(path), 0);
}

static void be_busy(struct kf_sim *sim)
{
	struct kf_sim_process p = {.pid = 5, .gpu = 1, .gi = KF_SIM_NONE, .ci = KF_SIM_NONE};

	kf_sim_lock(sim->state);
	kf_sim_client_add(sim);
	p.client = sim->client;
	kf_sim_process_add(sim, &p);
}

static void a_dead_client_and_its_process_are_gone(void **state)
{
	struct kf_sim sim;

	assert_int_equal(kf_sim_open(*state, &sim, NULL), 0);
	in_the_dying(*state, be_busy);
	kf_sim_lock(sim.state);
	assert_int_equal(kf_sim_other_client(&sim), 0);
	assert_int_equal(kf_sim_process_on(&sim, 1, KF_SIM_NONE, KF_SIM_NONE), 0);
	kf_sim_unlock(sim.state);
	kf_sim_close(&sim);
}

static void a_folder_without_a_machine_is_an_answer(void **state)
{
	struct kf_error err = {0};
	struct kf_sim sim;

	assert_int_equal(kf_sim_open("/nonexistent", &sim, &err), KF_SIM_NO_MACHINE);
	assert_non_null(strstr(err.msg, "/nonexistent/state"));
}

static void every_machine_and_product_that_comes_along_is_sound(void **state)
{
	const struct kf_sim_file *f;

	for (f = kf_sim_machine_files; f->name; f++) {
		struct kf_error err = {0};

		if (kf_sim_machine_load(f->name, &machine, &err) < 0)
			fail_msg("%s", err.msg);
		assert_string_equal(machine.name, f->name);
		assert_true(machine.n_gpus > 0);
	}
	for (f = kf_sim_product_files; f->name; f++) {
		static struct kf_sim_product p;
		struct kf_error err = {0};
		unsigned i;

		if (kf_sim_product_find(f->name, &p, &err) < 0)
			fail_msg("%s", err.msg);
		for (i = 0; i < p.shape.n; i++) /* names follow from memory, by NVIDIA's rule */
			assert_int_equal(p.shape.profile[i].gb,
					 kf_profile_gb(p.shape.profile[i].memory_mib,
						       p.memory_mib));
	}
}

static void refuses_machine_files_with_their_line(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"gpus: 3\n", "m:1: gpus"},
		{"name: x\n", "a machine needs gpus"},
		{"gpus:\n  - {product: nonsense}\n",
		 "m:2: product: no product is called 'nonsense'"},
		{"gpus:\n  - {product: t4, count: 33}\n", "m:2: count"},
		{"gpus:\n  - {product: t4, bus: x}\n", "m:2: bus: wants DOMAIN:BUS"},
		{"gpus:\n  - {product: t4, bus: \"0:1:2.0\"}\n  - {product: t4, bus: "
		 "\"0:1:2.0\"}\n",
		 "m:3: "},
		{"gpus:\n  - {product: t4, numa: 5}\n", "NUMA node is past the last"},
		{"driver: new\ngpus: []\n", "m:1: driver"},
		{"cuda: x\ngpus: []\n", "m:1: cuda"},
		{"gpsu: []\n", "m:1: "},
		{"products:\n  p: {like: t4, clocks: [1]}\ngpus:\n  - {product: p}\n",
		 "m:2: clocks: wants 4 numbers"},
		{"products:\n  p: {like: a30-24gb, profiles: [{name: 1g.6gb, slices: 1, size: 1, "
		 "max: "
		 "1, starts: [4]}]}\ngpus:\n  - {product: p}\n",
		 "past the end of 4 units"},
		{"products:\n  p: {name: p}\ngpus:\n  - {product: p}\n", "m:2: "},
		{"", "m"},
		{"\xff\xfe", "m"},
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kf_error err = {0};

		assert_int_equal(kf_sim_machine_parse(bad[i].text, strlen(bad[i].text), "m",
						      &machine, &err),
				 -1);
		assert_int_equal(err.code, KF_E_INPUT);
		if (!strstr(err.msg, bad[i].why))
			fail_msg("'%s' does not say '%s'", err.msg, bad[i].why);
	}
}

static void a_few_lines_make_a_machine(void **state)
{
	static const char text[] = "name: two\n"
				   "products:\n"
				   "  old-h100: {like: h100-sxm5-80gb, name: Early H100}\n"
				   "gpus:\n"
				   "  - {product: old-h100, count: 2}\n"
				   "  - {product: t4, bus: \"0000:02:00.0\"}\n";
	struct kf_error err = {0};

	assert_int_equal(kf_sim_machine_parse(text, sizeof(text) - 1, "m", &machine, &err), 0);
	assert_int_equal(machine.n_gpus, 3);
	assert_int_equal(machine.gpu[0].bus, 2); /* NVML's index is the order of addresses */
	assert_int_equal(machine.gpu[0].minor, 2);
	assert_string_equal(machine.product[machine.gpu[1].product].name, "Early H100");
	assert_int_equal(machine.product[machine.gpu[1].product].shape.n, 7);
}

/* The vector is Python's uuid.uuid5(uuid.NAMESPACE_DNS, "python.org"). */
static void names_give_the_known_uuids(void **state)
{
	uint8_t space[16];
	char uuid[37];

	kf_sim_uuid_bytes("6ba7b810-9dad-11d1-80b4-00c04fd430c8", space);
	kf_sim_uuid5(space, "python.org", uuid);
	assert_string_equal(uuid, "886313e1-3b8a-5372-9b90-0c9aee199e5d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_change_that_was_not_committed_did_not_happen,
						make, drop),
		cmocka_unit_test_setup_teardown(
			a_change_that_was_committed_stays_when_its_maker_dies_with_the_lock, make,
			drop),
		cmocka_unit_test_setup_teardown(
			files_that_the_dead_left_unmade_are_made_by_the_next_change, make, drop),
		cmocka_unit_test_setup_teardown(a_dead_client_and_its_process_are_gone, make, drop),
		cmocka_unit_test(a_folder_without_a_machine_is_an_answer),
		cmocka_unit_test(every_machine_and_product_that_comes_along_is_sound),
		cmocka_unit_test(refuses_machine_files_with_their_line),
		cmocka_unit_test(a_few_lines_make_a_machine),
		cmocka_unit_test(names_give_the_known_uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
