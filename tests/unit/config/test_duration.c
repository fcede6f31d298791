/* Lengths of time as Go and GPU Feature Discovery write them. */
#include "kftest.h"

#include "config/duration.h"

static void reads_what_go_writes(void **state)
{
	static const struct {
		const char *s;
		uint64_t ms;
	} good[] = {
		{"60s", 60000},		  {"1m30s", 90000},	  {"1.5h", 5400000}, {"250ms", 250},
		{"infinite", UINT64_MAX}, {"60000000000", 60000}, {"0", 0},	     {"1us", 0},
		{"2h1m", 7260000}};
	unsigned i;
	uint64_t ms;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ms = 1;
		assert_int_equal(kf_duration_parse(good[i].s, &ms), 0);
		assert_true(ms == good[i].ms);
	}
}

static void refuses_what_is_none(void **state)
{
	static const char *const bad[] = {"",	   "s",	   "60x",  "1m30", "-1s",
					  "1..2s", " 60s", "60 s", "1e3s", "99999999999999999h"};
	unsigned i;
	uint64_t ms;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (kf_duration_parse(bad[i], &ms) != -1)
			fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_go_writes),
		cmocka_unit_test(refuses_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
