/* The counters file: what it chooses, and what is wrong with it. */
#include "kftest.h"

#include <string.h>

#include "base/error.h"
#include "metrics/fields.h"

static struct {
	char field[64];
	unsigned line, n;
} unknown;

static void on_unknown(void *ud, const char *field, unsigned line)
{
	strncpy(unknown.field, field, sizeof(unknown.field) - 1);
	unknown.line = line;
	unknown.n++;
}

static void the_default_is_nvidias(void **state)
{
	struct kf_counters c;

	kf_counters_default(&c);
	assert_int_equal(c.n, 24);
	assert_int_equal(c.label[KF_LABEL_DRIVER], 1);
	assert_int_equal(c.label[KF_LABEL_SERIAL], 0);
	assert_string_equal(kf_field_at(c.at[0].field)->name, "DCGM_FI_DEV_SM_CLOCK");
}

static void takes_nvidias_lines(void **state)
{
	static const char text[] =
		"# Format\n"
		"\n"
		"  \t \n"
		"DCGM_FI_DEV_DEC_UTIL ,     gauge, Decoder utilization (in %).\r\n"
		"DCGM_FI_PROF_SM_ACTIVE,gauge,x\n"
		"DCGM_FI_PROF_SM_ACTIVE, counter, again\n"
		"  # DCGM_FI_DEV_SM_CLOCK, gauge, off\n"
		"DCGM_FI_DRIVER_VERSION, label, Driver Version";
	struct kf_counters c;

	assert_int_equal(kf_counters_parse(text, "f", &c, NULL, NULL, NULL), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(c.at[0].field, KF_FIELD_DEC_UTIL);
	assert_string_equal(c.at[0].help, "Decoder utilization (in %).");
	assert_int_equal(c.at[1].kind, KF_FIELD_GAUGE);
	assert_int_equal(c.label[KF_LABEL_DRIVER], 1);
}

static void an_unknown_field_is_told_and_passed_over(void **state)
{
	struct kf_counters c;

	memset(&unknown, 0, sizeof(unknown));
	assert_int_equal(kf_counters_parse("DCGM_FI_DEV_SM_CLOCK, gauge, x\n"
					   "DCGM_FI_DEV_NOT_THERE, gauge, y\n"
					   "DCGM_FI_PROCESS_NAME, label, z\n",
					   "f", &c, on_unknown, NULL, NULL),
			 0);
	assert_int_equal(c.n, 1);
	assert_int_equal(unknown.n, 2);
	assert_string_equal(unknown.field, "DCGM_FI_PROCESS_NAME");
	assert_int_equal(unknown.line, 3);
}

static void refused(const char *text, const char *why)
{
	struct kf_counters c = {.n = 77};
	struct kf_error err = {0};

	assert_int_equal(kf_counters_parse(text, "file", &c, NULL, NULL, &err), -1);
	assert_int_equal(c.n, 77);
	if (!strstr(err.msg, why))
		fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void refuses_what_is_no_row_with_its_line(void **state)
{
	char helps[400];

	refused("\nDCGM_FI_DEV_SM_CLOCK, gauge", "file:2: three columns");
	refused("DCGM_FI_DEV_SM_CLOCK, gauge, a, b", "file:1: three columns");
	refused("DCGM_FI_DEV_SM_CLOCK, dial, a", "file:1: 'dial' is none of");
	refused("DCGM_FI_DEV_SM_CLOCK, gauge, \xff", "not UTF-8");
	memset(helps, 'x', sizeof(helps));
	memcpy(helps, "DCGM_FI_DEV_SM_CLOCK,gauge,", 27);
	helps[399] = '\0';
	refused(helps, "at most 199 bytes");
}

static void every_name_is_there_once(void **state)
{
	unsigned i;

	for (i = 0; i < KF_N_FIELDS; i++)
		assert_int_equal(kf_field_find(kf_field_at(i)->name), i);
	assert_int_equal(kf_field_find("DCGM_FI"), KF_N_FIELDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_is_nvidias),
		cmocka_unit_test(takes_nvidias_lines),
		cmocka_unit_test(an_unknown_field_is_told_and_passed_over),
		cmocka_unit_test(refuses_what_is_no_row_with_its_line),
		cmocka_unit_test(every_name_is_there_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
