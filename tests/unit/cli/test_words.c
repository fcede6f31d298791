/* What a usage text says of the words of a command line. */
#include <string.h>

#include "cli/cli.h"
#include "cli/words.h"
#include "config/settings.h"
#include "kftest.h"

static const struct kf_command plain = {
	.name = "cut",
	.usage = "usage: kerf cut cake DIR [--knife sharp|blunt]\n"
		 "       kerf cut bread|rolls DIR\n"
		 "       kerf cut FILE\n"
		 "\n"
		 "       kerf cut nothing\n\n"
		 "  -o, --output json|yaml   instead of text\n"
		 "  -f, --config-file FILE   what to cut\n"
		 "  -m, --mode-only          MIG modes alone\n",
};

static const struct kf_word *find(const struct kf_words *w, const char *text)
{
	unsigned i;

	for (i = 0; i < w->n; i++)
		if (!strcmp(w->word[i].text, text))
			return &w->word[i];
	return NULL;
}

static void takes_subcommands_from_every_line_of_the_synopsis(void **state)
{
	struct kf_words w;

	kf_words_subcommands(&plain, &w);
	assert_int_equal(w.n, 3);
	assert_string_equal(w.word[0].text, "cake");
	assert_string_equal(w.word[1].text, "bread");
	assert_string_equal(w.word[2].text, "rolls");
}

static void takes_an_option_once_with_its_choices(void **state)
{
	struct kf_words w;

	kf_words_options(&plain, &w);
	assert_int_equal(w.n, 8); /* --help is one */
	assert_string_equal(find(&w, "--knife")->choices, "sharp blunt");
	assert_string_equal(find(&w, "--output")->choices, "json yaml");
	assert_string_equal(find(&w, "-o")->choices, "json yaml");
}

static void knows_a_value_from_an_explanation(void **state)
{
	struct kf_words w;

	kf_words_options(&plain, &w);
	assert_true(find(&w, "-f")->takes_value);
	assert_true(find(&w, "--config-file")->takes_value);
	assert_false(find(&w, "-m")->takes_value);
	assert_false(find(&w, "--mode-only")->takes_value);
}

static void adds_the_agents_flags_where_the_usage_says_so(void **state)
{
	const struct kf_command agent = {.name = "agent", .usage = "usage: kerf agent [FLAG...]\n"};
	struct kf_words w;

	kf_words_options(&agent, &w);
	assert_int_equal(w.n, KF_N_SETTINGS + 1);
	assert_string_equal(find(&w, "--mig-strategy")->choices, "none single mixed");
	assert_false(find(&w, "--fail-on-init-error")->takes_value);
	kf_words_subcommands(&agent, &w);
	assert_int_equal(w.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_subcommands_from_every_line_of_the_synopsis),
		cmocka_unit_test(takes_an_option_once_with_its_choices),
		cmocka_unit_test(knows_a_value_from_an_explanation),
		cmocka_unit_test(adds_the_agents_flags_where_the_usage_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
