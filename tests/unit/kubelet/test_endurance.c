/*
 * Many kubelet restarts, many dropped streams, many allocations: nothing lost, nothing grown.
 *
 * The numbers may be given as arguments (restarts, drops, allocations); those of a plain run keep
 * `make test` short under sanitizers, `bench` runs the full ones.
 */
#include "pair.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL "nvidia.com/mig-1g.5gb"
#define LARGE "nvidia.com/mig-3g.20gb"

static unsigned n_restarts = 100, n_drops = 100, n_allocations = 1000;

static long rss_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	malloc_trim(0);
	if (f) {
		assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
		fclose(f);
	}
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

/* AddressSanitizer keeps what is freed, so there the number says nothing. */
static void expect_flat(long grown_kib)
{
	assert_true(ADDRESS_SANITIZER || grown_kib < 512);
}

static int ready(struct pair *p)
{
	return pair_allocatable(p, SMALL) == 56 && pair_allocatable(p, LARGE) == 8;
}

/* Of the pods that ran before, how many do not have their devices, or one that another has too? */
static unsigned lost(struct pair *p, const char *const *names, unsigned n)
{
	unsigned i, missing = 0;

	for (i = 0; i < n; i++) {
		const struct kf_sim_pod *pod = pair_pod(p, names[i]);

		missing += !pod || pod->state != KF_SIM_POD_RUNNING || pod->n_devices != 1;
	}
	return missing;
}

static unsigned double_use(struct pair *p)
{
	const struct kf_sim_pod *a, *b;
	unsigned n = 0;

	for (a = kf_sim_kubelet_pods(p->kubelet); a; a = a->next)
		for (b = a->next; b; b = b->next)
			n += !a->gone && !b->gone && a->n_devices && b->n_devices &&
			     !strcmp(a->device[0].id, b->device[0].id);
	return n;
}

static void restarts(struct pair *p)
{
	const char *const names[] = {"a", "b", "c"};
	unsigned i;
	long before = 0;

	for (i = 0; i < 3; i++)
		pair_add(p, names[i], i ? SMALL : LARGE, 1);
	pair_until(p, lost(p, names, 3) == 0);
	for (i = 0; i < n_restarts; i++) {
		if (i == n_restarts / 10)
			before = rss_kib();
		assert_int_equal(kf_sim_kubelet_restart(p->kubelet, NULL), 0);
		pair_until(p, ready(p));
	}
	print_message("%u kubelet restarts: lost %u of 3 pods, registered %u times, RSS %+ld KiB\n",
		      n_restarts, lost(p, names, 3), p->registered, rss_kib() - before);
	assert_int_equal(lost(p, names, 3), 0);
	expect_flat(rss_kib() - before);
}

static void drops(struct pair *p)
{
	const char *const names[] = {"a", "b", "c"};
	unsigned i;

	for (i = 0; i < n_drops; i++) {
		kf_sim_kubelet_drop_stream(p->kubelet, i % 2 ? SMALL : LARGE, NULL);
		pair_until(p, ready(p));
	}
	print_message("%u dropped streams: lost %u of 3 pods\n", n_drops, lost(p, names, 3));
	assert_int_equal(lost(p, names, 3), 0);
}

/* Keep the node full and turn pods over, with a restart now and then in the middle of it. */
static void allocations(struct pair *p)
{
	unsigned added = 0, deleted = 0, i;
	struct kf_sim_kubelet_counts c;
	char name[32];
	long before = 0;

	while (deleted < n_allocations) {
		for (; added < deleted + 40; added++) {
			snprintf(name, sizeof(name), "pod-%u", added);
			pair_add(p, name, SMALL, 1);
		}
		if (deleted % 400 == 200)
			assert_int_equal(kf_sim_kubelet_restart(p->kubelet, NULL), 0);
		for (i = 0; i < 20; i++) {
			snprintf(name, sizeof(name), "pod-%u", deleted);
			pair_until(p, pair_running(p, name));
			assert_int_equal(kf_sim_kubelet_delete(p->kubelet, name, NULL), 0);
			deleted++;
		}
		assert_int_equal(double_use(p), 0);
		if (deleted >= n_allocations / 10 && !before)
			before = rss_kib();
	}
	kf_sim_kubelet_count(p->kubelet, &c);
	print_message("%lu allocations: refused %lu, double use %u, panics %lu, RSS %+ld KiB\n",
		      c.allocated, c.refused, double_use(p), c.panics, rss_kib() - before);
	assert_int_equal(c.refused, 0);
	assert_int_equal(c.panics, 0);
	expect_flat(rss_kib() - before);
}

static void nothing_is_lost_and_nothing_grows(void **state)
{
	struct pair p;

	pair_start(&p);
	pair_offer(&p, SMALL, 56);
	pair_offer(&p, LARGE, 8);
	pair_publish(&p);
	pair_until(&p, ready(&p));
	restarts(&p);
	drops(&p);
	allocations(&p);
	pair_end(&p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_and_nothing_grows),
	};

	if (argc == 4) {
		n_restarts = (unsigned)atoi(argv[1]);
		n_drops = (unsigned)atoi(argv[2]);
		n_allocations = (unsigned)atoi(argv[3]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
