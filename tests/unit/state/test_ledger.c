/* The ledger: what survives a crash, a cut, damage, and ten thousand pods. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "kftest.h"
#include "state/ledger.h"

#define RESOURCE "nvidia.com/mig-1g.5gb"

static char dir[64];

static int make_dir(void **state)
{
	strcpy(dir, "/tmp/kerf-ledger-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int remove_dir(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static char *path_of(const char *name)
{
	return kf_asprintf("%s/%s", dir, name);
}

static char *slurp(const char *name, size_t *n)
{
	char *path = path_of(name), *text = kf_read_file(path, 1 << 24, n, NULL);

	assert_non_null(text);
	free(path);
	return text;
}

static void put(const char *name, const char *data, size_t n)
{
	char *path = path_of(name);

	assert_int_equal(kf_write_file(path, data, n, 0600, 0, NULL), 0);
	free(path);
}

static struct kf_ledger *open_ledger(void)
{
	struct kf_ledger *l = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_ledger_open(dir, &l, &err), 0);
	return l;
}

static void hold(struct kf_ledger *l, const char *id)
{
	assert_int_equal(kf_ledger_hold(l, RESOURCE, &id, 1, 1764054456, NULL), 0);
}

static void remembers_what_was_handed_out(void **state)
{
	const char *const ids[] = {"MIG-a", "MIG-b"};
	struct kf_ledger *l = open_ledger();
	const struct kf_ledger_entry *e;

	assert_int_equal(kf_ledger_n(l), 0);
	assert_int_equal(kf_ledger_hold(l, RESOURCE, ids, 2, 1764054456, NULL), 0);
	hold(l, "MIG-c");
	assert_int_equal(kf_ledger_release(l, "MIG-b", NULL), 0);
	assert_int_equal(kf_ledger_release(l, "MIG-never", NULL), 0);
	kf_ledger_close(l);

	l = open_ledger();
	assert_int_equal(kf_ledger_n(l), 2);
	assert_string_equal(kf_ledger_at(l, 0)->id, "MIG-a");
	e = kf_ledger_find(l, "MIG-c");
	assert_non_null(e);
	assert_string_equal(e->resource, RESOURCE);
	assert_int_equal(e->since_s, 1764054456);
	assert_int_equal(e->seen, 0);
	assert_null(kf_ledger_find(l, "MIG-b"));
	kf_ledger_close(l);
}

static void starts_an_id_anew_when_it_is_handed_out_again(void **state)
{
	struct kf_ledger *l = open_ledger();
	const char *id = "MIG-a";

	hold(l, "MIG-a");
	assert_int_equal(kf_ledger_note(l, "MIG-a", "ns", "pod", "uid", "c"), 0);
	assert_int_equal(kf_ledger_find(l, "MIG-a")->seen, 1);
	assert_string_equal(kf_ledger_find(l, "MIG-a")->pod_name, "pod");
	assert_int_equal(kf_ledger_note(l, "MIG-a", NULL, NULL, NULL, "d"), 0);
	assert_string_equal(kf_ledger_find(l, "MIG-a")->pod_name, "pod");
	assert_string_equal(kf_ledger_find(l, "MIG-a")->container, "d");
	assert_int_equal(kf_ledger_note(l, "MIG-x", "ns", "pod", "uid", "c"), -1);

	assert_int_equal(kf_ledger_hold(l, "nvidia.com/gpu", &id, 1, 7, NULL), 0);
	assert_int_equal(kf_ledger_n(l), 1);
	assert_string_equal(kf_ledger_find(l, "MIG-a")->resource, "nvidia.com/gpu");
	assert_string_equal(kf_ledger_find(l, "MIG-a")->pod_name, "");
	assert_int_equal(kf_ledger_find(l, "MIG-a")->seen, 0);
	kf_ledger_close(l);
}

/* Three holds and a release, whose ends are known. */
static char *make_history(size_t *n, size_t end[5])
{
	static const char *const names[] = {"MIG-a", "MIG-b", "MIG-c"};
	struct kf_ledger *l = open_ledger();
	char *path = path_of("ledger");
	struct stat st;
	unsigned i;

	for (i = 0; i < 4; i++) {
		assert_int_equal(stat(path, &st), 0);
		end[i] = (size_t)st.st_size;
		if (i < 3)
			hold(l, names[i]);
		else
			assert_int_equal(kf_ledger_release(l, "MIG-a", NULL), 0);
	}
	assert_int_equal(stat(path, &st), 0);
	end[4] = (size_t)st.st_size;
	kf_ledger_close(l);
	free(path);
	return slurp("ledger", n);
}

static void keeps_all_whole_records_wherever_the_file_is_torn(void **state)
{
	size_t n, end[5], cut;
	char *history = make_history(&n, end);

	for (cut = 0; cut <= n; cut++) {
		static const unsigned held[] = {0, 1, 2, 3, 2};
		struct kf_ledger *l;
		unsigned whole = 0;
		size_t after;

		while (whole < 4 && cut >= end[whole + 1])
			whole++;
		put("ledger", history, cut);
		l = open_ledger();
		assert_int_equal(kf_ledger_n(l), held[whole]);
		/* and what is written next is not spoilt by what was torn */
		hold(l, "MIG-next");
		kf_ledger_close(l);
		l = open_ledger();
		assert_int_equal(kf_ledger_n(l), held[whole] + 1);
		assert_non_null(kf_ledger_find(l, "MIG-next"));
		kf_ledger_close(l);
		free(slurp("ledger", &after));
	}
	free(history);
}

static void keeps_what_is_before_any_damaged_byte(void **state)
{
	size_t n, end[5], at;
	char *history = make_history(&n, end), *bad = path_of("ledger.bad");

	for (at = 0; at < n; at++) {
		static const unsigned held[] = {0, 1, 2, 3};
		struct kf_ledger *l = NULL;
		struct kf_error err = {0};
		unsigned whole = 0;
		char was = history[at], *aside;
		size_t n_aside;
		int r;

		while (whole < 3 && at >= end[whole + 1])
			whole++;
		history[at] ^= 0x11;
		put("ledger", history, n);
		unlink(bad);
		r = kf_ledger_open(dir, &l, &err);
		if (at == n - 1) {
			/* without its newline the last record is torn, not damaged */
			assert_int_equal(r, 0);
		} else {
			assert_int_equal(r, KF_LEDGER_DAMAGED);
			assert_int_equal(err.code, KF_E_INPUT);
			assert_non_null(strstr(err.msg, "ledger.bad"));
			aside = slurp("ledger.bad", &n_aside);
			assert_int_equal(n_aside, n);
			assert_memory_equal(aside, history, n);
			free(aside);
		}
		assert_int_equal(kf_ledger_n(l), at < end[0] ? 0 : held[whole]);
		kf_ledger_close(l);
		l = open_ledger(); /* whole again */
		kf_ledger_close(l);
		history[at] = was;
	}
	free(history);
	free(bad);
}

static void sets_a_file_of_nonsense_aside(void **state)
{
	static const char *const nonsense[] = {
		"hello\n",
		"kerf-ledger 2\n",
		"kerf-ledger 1\n\n",
		"kerf-ledger 1\n00000000 + 1 r MIG-a\n",
		"kerf-ledger 1\n+ 1 r MIG-a\n",
	};
	size_t i;

	for (i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		struct kf_ledger *l = NULL;
		struct kf_error err = {0};

		put("ledger", nonsense[i], strlen(nonsense[i]));
		assert_int_equal(kf_ledger_open(dir, &l, &err), KF_LEDGER_DAMAGED);
		assert_int_equal(kf_ledger_n(l), 0);
		hold(l, "MIG-a");
		kf_ledger_close(l);
	}
}

static void takes_zeros_after_a_power_cut_for_a_torn_end(void **state)
{
	size_t n, end[5];
	char *history = make_history(&n, end), zeros[512] = {0};
	struct kf_ledger *l;

	memcpy(zeros, history, n);
	put("ledger", zeros, sizeof(zeros));
	l = open_ledger();
	assert_int_equal(kf_ledger_n(l), 2);
	kf_ledger_close(l);
	free(history);
}

static void stays_small_over_ten_thousand_pods(void **state)
{
	char *path = path_of("ledger");
	struct kf_ledger *l = open_ledger();
	off_t largest = 0;
	unsigned i;

	for (i = 0; i < 10000; i++) {
		char id[64];
		struct stat st;

		snprintf(id, sizeof(id), "MIG-%08x-0000-5000-8000-000000000000", i % 56);
		if (kf_ledger_find(l, id))
			assert_int_equal(kf_ledger_release(l, id, NULL), 0);
		hold(l, id);
		assert_int_equal(stat(path, &st), 0);
		if (st.st_size > largest)
			largest = st.st_size;
	}
	assert_int_equal(kf_ledger_n(l), 56);
	print_message("10000 holds, 9944 releases: at most %lld bytes\n", (long long)largest);
	assert_true(largest < 64 << 10);
	kf_ledger_close(l);
	l = open_ledger();
	assert_int_equal(kf_ledger_n(l), 56);
	kf_ledger_close(l);
	free(path);
}

static void lets_one_agent_in_at_a_time(void **state)
{
	struct kf_ledger *l = open_ledger(), *second = NULL;
	struct kf_error err = {0};

	assert_int_equal(kf_ledger_open(dir, &second, &err), -1);
	assert_int_equal(err.code, KF_E_BUSY);
	kf_ledger_close(l);
	l = open_ledger();
	kf_ledger_close(l);
}

static void can_be_read_beside_the_agent(void **state)
{
	struct kf_ledger *l = open_ledger(), *beside = NULL;
	const char *id = "MIG-b";

	hold(l, "MIG-a");
	assert_int_equal(kf_ledger_peek(dir, &beside, NULL), 0);
	assert_int_equal(kf_ledger_n(beside), 1);
	assert_int_equal(kf_ledger_hold(beside, RESOURCE, &id, 1, 0, NULL), 0);
	assert_int_equal(kf_ledger_release(beside, "MIG-a", NULL), 0);
	assert_non_null(kf_ledger_find(beside, "MIG-b"));
	kf_ledger_close(beside);
	/* and nothing of it is in the file */
	assert_int_equal(kf_ledger_peek(dir, &beside, NULL), 0);
	assert_int_equal(kf_ledger_n(beside), 1);
	assert_non_null(kf_ledger_find(beside, "MIG-a"));
	kf_ledger_close(beside);
	kf_ledger_close(l);
}

static void refuses_words_that_would_break_a_line(void **state)
{
	char long_word[KF_UUID + 1] = "";
	const char *const words[] = {"", "a b", "a\nb", "MIG-\x7f", long_word};
	struct kf_ledger *l = open_ledger();
	const char *id = "MIG-a";
	size_t i;

	memset(long_word, 'x', KF_UUID);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		assert_int_equal(kf_ledger_hold(l, RESOURCE, &words[i], 1, 0, NULL), -1);
		assert_int_equal(kf_ledger_hold(l, words[i], &id, 1, 0, NULL), -1);
	}
	assert_int_equal(kf_ledger_n(l), 0);
	kf_ledger_close(l);
}

/* The size of the file may not pass `limit`: a disk that is full, in a child of its own. */
static void hold_on_a_full_disk(rlim_t limit)
{
	struct rlimit full = {.rlim_cur = limit, .rlim_max = limit};
	struct kf_ledger *l = open_ledger();
	struct kf_error err = {0};
	const char *id = "MIG-full";

	signal(SIGXFSZ, SIG_IGN);
	hold(l, "MIG-a");
	setrlimit(RLIMIT_FSIZE, &full);
	if (kf_ledger_hold(l, RESOURCE, &id, 1, 0, &err) != -1 || err.code != KF_E_SYSTEM ||
	    kf_ledger_find(l, id) || !kf_ledger_find(l, "MIG-a"))
		_exit(1);
	_exit(0);
}

static void records_nothing_when_the_disk_is_full(void **state)
{
	/* 14 bytes of head, 50 of the first record, 44 of the second, in which the limit lies */
	pid_t pid = fork();
	struct kf_ledger *l;
	int status;

	if (pid == 0)
		hold_on_a_full_disk(90);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	l = open_ledger();
	assert_int_equal(kf_ledger_n(l), 1);
	kf_ledger_close(l);
}

static void says_so_when_memory_runs_out(void **state)
{
	size_t n, end[5];

	free(make_history(&n, end));
	KF_FOR_EACH_OOM
	{
		struct kf_ledger *l = NULL;
		struct kf_error err = {0};
		const char *id = "MIG-b";

		if (kf_ledger_open(dir, &l, &err) < 0) {
			assert_int_equal(err.code, KF_E_NOMEM);
			assert_null(l);
		} else if (kf_ledger_hold(l, RESOURCE, &id, 1, 0, &err) < 0) {
			assert_int_equal(err.code, KF_E_NOMEM);
			assert_int_equal(kf_ledger_n(l), 2);
		}
		kf_ledger_close(l);
	}
}

static void tells_how_long_a_hold_takes(void **state)
{
	enum { ROUNDS = 2000 };
	struct kf_ledger *l = open_ledger();
	struct timespec from, to;
	double us;
	int i;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (i = 0; i < ROUNDS; i++)
		hold(l, "MIG-aaaaaaaa-0000-5000-8000-000000000001");
	clock_gettime(CLOCK_MONOTONIC, &to);
	us = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / 1e3 /
	     ROUNDS;
	/* told, not asserted: a test must not depend on how busy the machine is */
	print_message("a hold takes %.1f us, rewriting included\n", us);
	assert_int_equal(kf_ledger_n(l), 1);
	kf_ledger_close(l);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(remembers_what_was_handed_out),
		WITH_DIR(starts_an_id_anew_when_it_is_handed_out_again),
		WITH_DIR(keeps_all_whole_records_wherever_the_file_is_torn),
		WITH_DIR(keeps_what_is_before_any_damaged_byte),
		WITH_DIR(sets_a_file_of_nonsense_aside),
		WITH_DIR(takes_zeros_after_a_power_cut_for_a_torn_end),
		WITH_DIR(stays_small_over_ten_thousand_pods),
		WITH_DIR(lets_one_agent_in_at_a_time),
		WITH_DIR(can_be_read_beside_the_agent),
		WITH_DIR(refuses_words_that_would_break_a_line),
		WITH_DIR(records_nothing_when_the_disk_is_full),
		WITH_DIR(says_so_when_memory_runs_out),
		WITH_DIR(tells_how_long_a_hold_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
