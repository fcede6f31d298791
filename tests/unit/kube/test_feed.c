/* The bytes of a watch: cut anywhere, of any size, and of any kind. */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "kube/page.h"
#include "kube/watch.h"

struct seen {
	struct kf_text told; /* "ADDED a 5\n"... */
	int stop_after;	     /* events until the callback says stop; 0: never */
};

static const char *const words[] = {"LISTED", "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};

static int see(void *ud, enum kf_watch_type type, json_t *object)
{
	struct seen *s = ud;
	json_t *meta = json_object_get(object, "metadata");
	const char *name = json_string_value(json_object_get(meta, "name"));
	const char *version = json_string_value(json_object_get(meta, "resourceVersion"));

	kf_text_addf(&s->told, "%s %s %s\n", words[type], name ? name : "-",
		     version ? version : "-");
	return s->stop_after && --s->stop_after == 0 ? 7 : 0;
}

static const char stream[] =
	"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a{}\\\"[\",\"resourceVersion\":"
	"\"5\"}}}\n"
	"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"b\\\\\",\"resourceVersion\":"
	"\"6\",\"x\":[[1,{}],\"]}\"]}}}\n\r\n \t"
	"{ \"object\" : { \"metadata\" : { \"resourceVersion\" : \"7\" } },\n "
	"\"type\":\"BOOKMARK\" }"
	"{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"\u00fc\",\"resourceVersion\":"
	"\"8\"}}}\n"
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n";
static const char told[] = "ADDED a{}\"[ 5\nMODIFIED b\\ 6\nBOOKMARK - 7\nDELETED \u00fc 8\n"
			   "ERROR - -\n";

static void tells_the_same_wherever_the_stream_is_cut_in_two(void **state)
{
	size_t n = strlen(stream), at;

	for (at = 0; at <= n; at++) {
		struct kf_watch_parser p = {0};
		struct seen s = {0};
		struct kf_error err = {0};

		assert_int_equal(kf_watch_feed(&p, stream, at, see, &s, &err), 0);
		assert_int_equal(kf_watch_feed(&p, stream + at, n - at, see, &s, &err), 0);
		assert_string_equal(s.told.s, told);
		assert_false(kf_watch_midway(&p));
		kf_text_done(&s.told);
		kf_watch_parser_done(&p);
	}
}

static void tells_the_same_byte_by_byte(void **state)
{
	struct kf_watch_parser p = {0};
	struct seen s = {0};
	size_t i;

	for (i = 0; i < strlen(stream); i++)
		assert_int_equal(kf_watch_feed(&p, stream + i, 1, see, &s, NULL), 0);
	assert_string_equal(s.told.s, told);
	kf_text_done(&s.told);
	kf_watch_parser_done(&p);
}

static void knows_that_it_is_midway(void **state)
{
	struct kf_watch_parser p = {0};
	struct seen s = {0};

	assert_int_equal(kf_watch_feed(&p, stream, 20, see, &s, NULL), 0);
	assert_true(kf_watch_midway(&p));
	kf_watch_parser_done(&p);
	assert_false(kf_watch_midway(&p));
}

static void stops_when_told_and_hands_the_answer_on(void **state)
{
	struct kf_watch_parser p = {0};
	struct seen s = {.stop_after = 2};

	assert_int_equal(kf_watch_feed(&p, stream, strlen(stream), see, &s, NULL), 7);
	assert_string_equal(s.told.s, "ADDED a{}\"[ 5\nMODIFIED b\\ 6\n");
	kf_text_done(&s.told);
	kf_watch_parser_done(&p);
}

static char *big_event(size_t n)
{
	char *pad = malloc(n + 1);
	char *event;

	memset(pad, 'x', n);
	pad[n] = '\0';
	event = kf_asprintf("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"big\","
			    "\"resourceVersion\":\"9\"},\"pad\":\"%s\"}}",
			    pad);
	free(pad);
	return event;
}

static void takes_an_object_of_two_megabytes_and_gives_the_memory_back(void **state)
{
	char *event = big_event(2 << 20);
	struct kf_watch_parser p = {0};
	struct seen s = {0};
	size_t n = strlen(event), at;

	for (at = 0; at < n; at += 5000)
		assert_int_equal(kf_watch_feed(&p, event + at, n - at < 5000 ? n - at : 5000, see,
					       &s, NULL),
				 0);
	assert_string_equal(s.told.s, "ADDED big 9\n");
	assert_int_equal(p.text.capacity, 0);
	kf_text_done(&s.told);
	kf_watch_parser_done(&p);
	free(event);
}

static void refuses_an_object_over_the_limit(void **state)
{
	char *event = big_event(KF_WATCH_OBJECT_LIMIT);
	struct kf_watch_parser p = {0};
	struct kf_error err = {0};
	struct seen s = {0};

	/* without its last byte it is not whole and will not fit any more */
	assert_int_equal(kf_watch_feed(&p, event, strlen(event) - 1, see, &s, &err), -1);
	assert_non_null(strstr(err.msg, "over 16777216 bytes"));
	assert_null(s.told.s);
	kf_watch_parser_done(&p);
	free(event);
}

static void refuses_what_is_no_stream_of_events(void **state)
{
	static const struct {
		const char *bytes, *says;
	} cases[] = {
		{"<html>502</html>", "not a stream of events"},
		{"[1]", "not a stream of events"},
		{"null\n", "not a stream of events"},
		{"{\"type\":\"ADDED\"}", "no type or no object"},
		{"{\"object\":{}}", "no type or no object"},
		{"{\"type\":\"ADDED\",\"object\":[]}", "no type or no object"},
		{"{\"type\":5,\"object\":{}}", "no type or no object"},
		{"{\"type\":\"EXPLODED\",\"object\":{}}", "unknown type 'EXPLODED'"},
		{"{\"type\":\"ADDED\",\"object\":{\"a\":1,}}", "not JSON"},
		{"{]", "not JSON"},
		{"{\"type\":\"ADDED\",\"object\":{\"a\":\"\xff\"}}", "not JSON"},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kf_watch_parser p = {0};
		struct kf_error err = {0};
		struct seen s = {0};

		assert_int_equal(kf_watch_feed(&p, cases[i].bytes, strlen(cases[i].bytes), see, &s,
					       &err),
				 -1);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s: said '%s'", cases[i].bytes, err.msg);
		/* and takes nothing more */
		assert_int_equal(kf_watch_feed(&p, stream, strlen(stream), see, &s, &err), -1);
		assert_null(s.told.s);
		kf_watch_parser_done(&p);
	}
}

static void survives_any_allocation_that_fails(void **state)
{
	KF_FOR_EACH_OOM
	{
		struct kf_watch_parser p = {0};
		struct seen s = {0};
		struct kf_error err = {0};
		int r = kf_watch_feed(&p, stream, strlen(stream), see, &s, &err);

		assert_true(r == 0 || err.code == KF_E_NOMEM || s.told.failed);
		kf_text_done(&s.told);
		kf_watch_parser_done(&p);
	}
}

/* --- pages ----------------------------------------------------------------------------------- */

static int count(void *ud, json_t *item)
{
	++*(unsigned *)ud;
	return 0;
}

static void reads_a_page_and_where_it_goes_on(void **state)
{
	static const char page[] =
		"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"12\",\"continue\":"
		"\"abc\"},\"items\":[{\"a\":1},{}]}";
	struct kf_page p = {0};
	unsigned n = 0;

	assert_int_equal(kf_page_read(page, strlen(page), count, &n, &p, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(p.version, "12");
	assert_string_equal(p.more, "abc");
	free(p.version);
	free(p.more);
}

static void takes_null_for_no_items(void **state)
{
	static const char page[] =
		"{\"metadata\":{\"resourceVersion\":\"12\",\"continue\":\"\"},\"items\":null}";
	struct kf_page p = {0};
	unsigned n = 0;

	assert_int_equal(kf_page_read(page, strlen(page), count, &n, &p, NULL), 0);
	assert_int_equal(n, 0);
	assert_null(p.more);
	free(p.version);
}

static void tells_no_item_of_a_page_that_is_not_sound(void **state)
{
	static const char *const pages[] = {
		"",
		"[]",
		"{\"items\":[{}]}",
		"{\"metadata\":{\"resourceVersion\":\"\"},\"items\":[{}]}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":{}}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{},5]}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{}]",
	};
	unsigned i, n = 0;

	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		struct kf_page p = {0};
		struct kf_error err = {0};

		assert_int_equal(kf_page_read(pages[i], strlen(pages[i]), count, &n, &p, &err), -1);
		assert_int_equal(err.code, KF_E_PROTOCOL);
		assert_null(p.version);
	}
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_same_wherever_the_stream_is_cut_in_two),
		cmocka_unit_test(tells_the_same_byte_by_byte),
		cmocka_unit_test(knows_that_it_is_midway),
		cmocka_unit_test(stops_when_told_and_hands_the_answer_on),
		cmocka_unit_test(takes_an_object_of_two_megabytes_and_gives_the_memory_back),
		cmocka_unit_test(refuses_an_object_over_the_limit),
		cmocka_unit_test(refuses_what_is_no_stream_of_events),
		cmocka_unit_test(survives_any_allocation_that_fails),
		cmocka_unit_test(reads_a_page_and_where_it_goes_on),
		cmocka_unit_test(takes_null_for_no_items),
		cmocka_unit_test(tells_no_item_of_a_page_that_is_not_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
