/* The device-plugin side against the stand-in kubelet, over real unix sockets. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pair.h"

#define SMALL "nvidia.com/mig-1g.5gb"
#define LARGE "nvidia.com/mig-3g.20gb"

static int start(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	pair_start(p);
	*state = p;
	return 0;
}

static int end(void **state)
{
	pair_end(*state);
	free(*state);
	return 0;
}

/* Sockets of ours in the directory. */
static unsigned sockets(struct pair *p)
{
	DIR *dir = opendir(p->directory);
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir)))
		n += !strncmp(e->d_name, "kerf-", 5);
	if (dir)
		closedir(dir);
	return n;
}

static void offer(struct pair *p, const char *resource, unsigned n)
{
	pair_offer(p, resource, n);
	pair_publish(p);
	pair_until(p, pair_capacity(p, resource) == n);
}

static void registers_and_lists_what_is_offered(void **state)
{
	struct pair *p = *state;
	struct stat s;
	DIR *dir;
	struct dirent *e;
	char path[512];

	pair_offer(p, SMALL, 7);
	pair_offer(p, LARGE, 2);
	kf_offers_need(&p->offers, LARGE)->device[1].healthy = 0;
	pair_publish(p);
	pair_until(p, kf_kubelet_settled(p->plugin));
	pair_until(p, pair_capacity(p, SMALL) == 7 && pair_capacity(p, LARGE) == 2);
	assert_int_equal(pair_allocatable(p, SMALL), 7);
	assert_int_equal(pair_allocatable(p, LARGE), 1);
	assert_int_equal(p->listening, 2);
	assert_int_equal(p->troubles, 0);
	assert_int_equal(kf_sim_kubelet_list(p->kubelet, SMALL)->device[1].numa, 0);
	assert_int_equal(kf_sim_kubelet_list(p->kubelet, SMALL)->device[0].numa, -1);
	dir = opendir(p->directory);
	while ((e = readdir(dir))) {
		if (e->d_type != DT_SOCK)
			continue;
		snprintf(path, sizeof(path), "%s/%s", p->directory, e->d_name);
		assert_int_equal(stat(path, &s), 0);
		assert_int_equal(s.st_mode & 0777, 0600);
	}
	closedir(dir);
}

static void allocates_what_was_preferred(void **state)
{
	struct pair *p = *state;
	const struct kf_sim_pod *pod;

	offer(p, SMALL, 7);
	pair_add(p, "a", SMALL, 2);
	pair_until(p, pair_running(p, "a"));
	pod = pair_pod(p, "a");
	assert_int_equal(pod->n_devices, 2);
	assert_string_equal(pod->device[0].id, SMALL "/6");
	assert_string_equal(pod->device[1].id, SMALL "/5");
	assert_string_equal(kf_answer_env(&pod->answer[0], "FIRST"), SMALL "/6");
	assert_int_equal(pod->answer[0].n_cdi, 2);
	pair_add(p, "b", SMALL, 6); /* more than there is */
	pair_add(p, "c", SMALL, 5);
	pair_until(p, pair_running(p, "c"));
	assert_int_equal(pair_pod(p, "b")->state, KF_SIM_POD_PENDING);
	kf_sim_kubelet_delete(p->kubelet, "c", NULL);
	kf_sim_kubelet_delete(p->kubelet, "a", NULL);
	pair_until(p, pair_running(p, "b"));
}

static void a_refusal_reaches_the_pod_word_for_word(void **state)
{
	struct pair *p = *state;
	struct kf_kubelet_counts c;

	offer(p, SMALL, 1);
	p->refuse = "slice MIG-5c1f is being removed; 20 % done: \xC3\xBC";
	pair_add(p, "a", SMALL, 1);
	pair_until(p, pair_pod(p, "a")->state == KF_SIM_POD_FAILED);
	assert_non_null(strstr(pair_pod(p, "a")->why, p->refuse));
	assert_non_null(strstr(pair_pod(p, "a")->why, "FAILED_PRECONDITION"));
	kf_kubelet_count(p->plugin, &c);
	assert_int_equal(c.refused, 1);
	assert_int_equal(c.allocated, 0);
	p->refuse = NULL;
	pair_add(p, "b", SMALL, 1);
	pair_until(p, pair_running(p, "b"));
}

static void the_first_change_goes_at_once_and_a_burst_together(void **state)
{
	struct pair *p = *state;
	unsigned long before;
	unsigned i;

	pair_stop_plugin(p);
	p->coalesce_ms = 1500;
	pair_start_plugin(p);
	offer(p, SMALL, 1);
	before = pair_lists(p);
	for (i = 2; i <= 50; i++) {
		pair_offer(p, SMALL, i);
		pair_publish(p);
	}
	pair_until(p, pair_capacity(p, SMALL) == 2); /* the first, long before the time is over */
	assert_int_equal(pair_lists(p), before + 1);
	pair_until(p, pair_capacity(p, SMALL) == 50);
	assert_int_equal(pair_lists(p), before + 2);
	pair_publish(p); /* nothing new */
	assert_true(kf_kubelet_settled(p->plugin));
	kf_kubelet_resend(p->plugin);
	pair_until(p, pair_lists(p) == before + 3);
}

static void a_resource_that_is_gone_is_emptied_then_closed(void **state)
{
	struct pair *p = *state;

	offer(p, SMALL, 3);
	offer(p, LARGE, 1);
	assert_int_equal(sockets(p), 2);
	kf_offers_done(&p->offers);
	pair_offer(p, LARGE, 1);
	pair_publish(p);
	pair_until(p, pair_capacity(p, SMALL) == 0);
	assert_int_equal(p->deaf, 0);
	pair_until(p, sockets(p) == 1);
	assert_int_equal(pair_capacity(p, LARGE), 1);
	offer(p, SMALL, 2); /* back, after its server closed */
	assert_int_equal(sockets(p), 2);
	kf_offers_done(&p->offers);
	pair_offer(p, LARGE, 1);
	pair_publish(p);
	pair_until(p, pair_capacity(p, SMALL) == 0);
	offer(p, SMALL, 4); /* back, before it did */
	assert_int_equal(sockets(p), 2);
}

static void registers_again_when_only_the_stream_ends(void **state)
{
	struct pair *p = *state;
	unsigned i;

	offer(p, SMALL, 7);
	for (i = 1; i <= 20; i++) {
		assert_int_equal(kf_sim_kubelet_drop_stream(p->kubelet, SMALL, NULL), 0);
		assert_int_equal(pair_allocatable(p, SMALL), 0);
		assert_int_equal(pair_capacity(p, SMALL), 7);
		pair_until(p, pair_allocatable(p, SMALL) == 7);
		assert_int_equal(p->listening, i + 1);
		pair_until(p, sockets(p) == 1);
	}
}

static void listens_again_when_its_socket_is_deleted(void **state)
{
	struct pair *p = *state;
	struct dirent *e;
	char path[512];
	DIR *dir;

	offer(p, SMALL, 7);
	dir = opendir(p->directory);
	while ((e = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", p->directory, e->d_name);
		if (!strncmp(e->d_name, "kerf-", 5))
			assert_int_equal(unlink(path), 0);
	}
	closedir(dir);
	pair_until(p, p->listening == 2);
	pair_until(p, pair_allocatable(p, SMALL) == 7);
	assert_int_equal(sockets(p), 1);
}

static void waits_for_a_kubelet_and_for_its_directory(void **state)
{
	struct pair *p = *state;
	char command[256];

	pair_stop_kubelet(p);
	snprintf(command, sizeof(command), "rm -rf %s", p->directory);
	assert_int_equal(system(command), 0);
	pair_offer(p, SMALL, 5);
	pair_publish(p);
	pair_until(p, p->troubles > 0);
	assert_non_null(strstr(p->trouble, "No such file"));
	pair_start_kubelet(p);
	pair_until(p, pair_capacity(p, SMALL) == 5);

	pair_stop_kubelet(p);
	pair_until(p, p->deaf == 1);
	assert_int_equal(system(command), 0);
	pair_start_kubelet(p);
	pair_until(p, pair_capacity(p, SMALL) == 5);
}

static void a_directory_with_a_long_name_will_do(void **state)
{
	struct pair *p = *state;
	char command[1024], path[300];

	pair_stop_plugin(p);
	pair_stop_kubelet(p);
	snprintf(path, sizeof(path), "%s/%0150d", p->root, 0);
	snprintf(command, sizeof(command), "mkdir %s; mv %s %s", path, p->directory, path);
	assert_int_equal(system(command), 0);
	{
		char *kept = strdup(p->directory);
		struct kf_sim_kubelet_options opt = {.directory = path};
		struct kf_kubelet_options mine = {.directory = path};
		static const struct kf_kubelet_events none;

		assert_int_equal(
			kf_sim_kubelet_start(&p->loop, &opt, NULL, NULL, &p->kubelet, NULL), 0);
		assert_int_equal(kf_kubelet_start(&p->loop, &mine, &none, p, &p->plugin, NULL), 0);
		free(kept);
	}
	pair_offer(p, SMALL, 3);
	pair_publish(p);
	pair_until(p, pair_capacity(p, SMALL) == 3);
}

static void removes_sockets_that_a_killed_process_left(void **state)
{
	struct pair *p = *state;
	char path[512];

	pair_stop_plugin(p);
	if (fork() == 0) { /* a process that dies with its socket bound */
		struct kf_kubelet_options opt = {.directory = p->directory};
		static const struct kf_kubelet_events none;
		struct kf_kubelet *k;
		uv_loop_t loop;

		uv_loop_init(&loop);
		kf_kubelet_start(&loop, &opt, &none, NULL, &k, NULL);
		pair_offer(p, SMALL, 1);
		kf_kubelet_publish(k, &p->offers, NULL);
		uv_run(&loop, UV_RUN_ONCE);
		_exit(0);
	}
	pair_until(p, sockets(p) == 1);
	snprintf(path, sizeof(path), "%s/kerf-notasocket.sock", p->directory);
	fclose(fopen(path, "w"));
	pair_until(p, waitpid(-1, NULL, WNOHANG) > 0);
	pair_start_plugin(p);
	assert_int_equal(sockets(p), 1);
	assert_int_equal(access(path, F_OK), 0);
}

static void stops_without_a_trace(void **state)
{
	struct pair *p = *state;
	unsigned registered, listening;

	offer(p, SMALL, 7);
	offer(p, LARGE, 2);
	registered = p->registered;
	listening = p->listening;
	pair_stop_plugin(p);
	assert_int_equal(sockets(p), 0);
	assert_int_equal(p->deaf, 0); /* no event after stop */
	assert_int_equal(p->registered, registered);
	assert_int_equal(p->listening, listening);
	pair_until(p, pair_allocatable(p, SMALL) == 0);
	pair_start_plugin(p);
	offer(p, SMALL, 7);
}

static void what_allocate_publishes_meanwhile_is_seen_as_a_panic(void **state)
{
	struct pair *p = *state;
	struct kf_sim_kubelet_counts c;

	offer(p, SMALL, 1);
	p->drop_list = 1; /* what must never be done: the stand-in notices */
	pair_add(p, "a", SMALL, 1);
	pair_until(p, pair_running(p, "a"));
	kf_sim_kubelet_count(p->kubelet, &c);
	/* The empty list went out before the answer, on a stream of the same connection. */
	assert_int_equal(c.panics, 1);
}

static void refuses_offers_that_a_kubelet_could_not_take(void **state)
{
	struct pair *p = *state;
	struct kf_error err = {0};
	struct kf_offer *o;
	char id[64];
	unsigned i;

	o = kf_offers_need(&p->offers, SMALL);
	assert_int_equal(kf_offer_add(o, "MIG-\xff", 1, -1), 0);
	assert_int_equal(kf_kubelet_publish(p->plugin, &p->offers, &err), -1);
	assert_non_null(strstr(err.msg, "not UTF-8"));
	o->n = 0;
	for (i = 0; i < 80000; i++) {
		snprintf(id, sizeof(id), "GPU-01234567-0123-0123-0123-%012u", i);
		assert_int_equal(kf_offer_add(o, id, 1, -1), 0);
	}
	assert_int_equal(kf_kubelet_publish(p->plugin, &p->offers, &err), -1);
	assert_non_null(strstr(err.msg, "80000 devices takes"));
	o->n = 60000; /* 3.2 MB, in windows of 64 KiB */
	assert_int_equal(kf_kubelet_publish(p->plugin, &p->offers, &err), 0);
	/* (the stand-in compares each ID with all others: keep the rest small) */
	o->n = 3000;
	assert_int_equal(kf_kubelet_publish(p->plugin, &p->offers, &err), 0);
	pair_until(p, pair_capacity(p, SMALL) == 3000);
}

/* One allocation after the other fails, ours and the kubelet's, from start to settled. */
static void comes_through_each_failed_allocation(void **state)
{
	struct pair *p = *state;
	struct kf_error err = {0};
	unsigned failures = 0;
	long n;
	int failed = 1;

	pair_offer(p, SMALL, 3);
	pair_stop_plugin(p);
	for (n = 0; failed; n++) {
		pair_start_plugin(p);
		kf_alloc_fail_after(n);
		while (kf_kubelet_publish(p->plugin, &p->offers, &err) < 0)
			assert_int_equal(err.code, KF_E_NOMEM);
		pair_until(p, kf_kubelet_settled(p->plugin) && pair_allocatable(p, SMALL) == 3);
		failed = kf_alloc_failed();
		failures += (unsigned)failed;
		kf_alloc_fail_after(-1);
		pair_stop_plugin(p);
		pair_until(p, pair_allocatable(p, SMALL) == 0);
	}
	print_message("%u allocations failed in turn\n", failures);
	assert_in_range(failures, 50, 10000);
	pair_start_plugin(p);
}

static void a_resource_is_forgotten_after_the_grace_period(void **state)
{
	struct kf_sim_kubelet_options opt = {.grace_ms = 1500};
	struct pair *p = *state;

	pair_stop_kubelet(p);
	opt.directory = p->directory;
	assert_int_equal(kf_sim_kubelet_start(&p->loop, &opt, NULL, NULL, &p->kubelet, NULL), 0);
	offer(p, SMALL, 3);
	pair_stop_plugin(p);
	pair_until(p, pair_allocatable(p, SMALL) == 0);
	assert_int_equal(pair_capacity(p, SMALL), 3);
	pair_until(p, pair_capacity(p, SMALL) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, start, end)
		T(registers_and_lists_what_is_offered),
		T(allocates_what_was_preferred),
		T(a_refusal_reaches_the_pod_word_for_word),
		T(the_first_change_goes_at_once_and_a_burst_together),
		T(a_resource_that_is_gone_is_emptied_then_closed),
		T(registers_again_when_only_the_stream_ends),
		T(listens_again_when_its_socket_is_deleted),
		T(waits_for_a_kubelet_and_for_its_directory),
		T(a_directory_with_a_long_name_will_do),
		T(removes_sockets_that_a_killed_process_left),
		T(stops_without_a_trace),
		T(what_allocate_publishes_meanwhile_is_seen_as_a_panic),
		T(refuses_offers_that_a_kubelet_could_not_take),
		T(comes_through_each_failed_allocation),
		T(a_resource_is_forgotten_after_the_grace_period),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
