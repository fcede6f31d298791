/* Text that comes from elsewhere. */
#include <string.h>

#include "kftest.h"

#include "base/text.h"

static void mends_what_is_cut_and_leaves_what_is_whole(void **state)
{
	char whole[] = "gr\xc3\xbc\xc3\x9f \xe2\x82\xac";
	char cut[] = "gr\xc3\xbc\xe2\x82";
	char strange[] = "a\xff\x80z";

	(void)state;
	kf_mend_utf8(whole);
	assert_string_equal(whole, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac");
	kf_mend_utf8(cut);
	assert_string_equal(cut, "gr\xc3\xbc??");
	kf_mend_utf8(strange);
	assert_string_equal(strange, "a??z");
	assert_true(kf_is_utf8(strange, strlen(strange)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mends_what_is_cut_and_leaves_what_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
