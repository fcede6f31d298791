/* List and watch against the stand-in API server, with everything that can go wrong. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define NODE "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"v\":\"0\"}}}"

struct seen {
	int listings, objects, synced, troubles;
	char last[64]; /* "MODIFIED n1 3": the label v */
	char trouble[512];
	int had_spec;
	struct kf_watch *stop_at_object, *stop_at_trouble;
};

static void on_listing(void *ud)
{
	((struct seen *)ud)->listings++;
}

static void on_object(void *ud, enum kf_watch_type type, json_t *object)
{
	static const char *const words[] = {"LISTED", "ADDED", "MODIFIED", "DELETED"};
	struct seen *s = ud;
	json_t *meta = json_object_get(object, "metadata");
	const char *v = json_string_value(json_object_get(json_object_get(meta, "labels"), "v"));

	s->objects++;
	s->had_spec = json_object_get(object, "spec") != NULL;
	snprintf(s->last, sizeof(s->last), "%s %s %s", words[type],
		 json_string_value(json_object_get(meta, "name")), v ? v : "-");
	if (s->stop_at_object) {
		kf_watch_stop(s->stop_at_object);
		s->stop_at_object = NULL;
	}
}

static void on_synced(void *ud)
{
	((struct seen *)ud)->synced++;
}

static void on_trouble(void *ud, const struct kf_error *err)
{
	struct seen *s = ud;

	s->troubles++;
	snprintf(s->trouble, sizeof(s->trouble), "%s", err->msg);
	if (s->stop_at_trouble) {
		kf_watch_stop(s->stop_at_trouble);
		s->stop_at_trouble = NULL;
	}
}

static const struct kf_watch_events events = {on_listing, on_object, on_synced, on_trouble};

/* Watches n1 and has it LISTED. */
static struct kf_watch *start_with(struct world *w, struct seen *s, unsigned flags)
{
	struct kf_watch *watch = NULL;
	struct kf_error err = {0};

	memset(s, 0, sizeof(*s));
	if (kf_watch_start(w->kube, "/api/v1/nodes", "metadata.name=n1", flags, &events, s, &watch,
			   &err) < 0)
		fail_msg("%s", err.msg);
	return watch;
}

static void set(struct world *w, const char *v)
{
	char patch[100];

	snprintf(patch, sizeof(patch), "{\"metadata\":{\"labels\":{\"v\":\"%s\"}}}", v);
	world_patch_node(w, "n1", patch);
}

static void until_stat(struct world *w, const char *key, int n)
{
	uint64_t end = kf_now_ms() + 10000;

	while (world_stat(w, key) < n)
		if (kf_now_ms() > end)
			fail_msg("the server counts %d %s, not %d", world_stat(w, key), key, n);
}

/* So many watches were opened at the server, all in all. */
static void until_watches(struct world *w, int n)
{
	until_stat(w, "watches", n);
}

static struct kf_watch *start_synced(struct world *w, struct seen *s)
{
	struct kf_watch *watch;

	world_create(w, "/api/v1/nodes", NODE);
	watch = start_with(w, s, 0);
	world_until(w, &s->synced, 1);
	until_watches(w, 1);
	assert_string_equal(s->last, "LISTED n1 0");
	return watch;
}

static void lists_then_tells_changes(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, NULL);
	watch = start_synced(&w, &s);
	world_create(&w, "/api/v1/nodes", "{\"metadata\":{\"name\":\"n2\"}}"); /* not ours */
	set(&w, "1");
	world_until(&w, &s.objects, 2);
	assert_string_equal(s.last, "MODIFIED n1 1");
	set(&w, "2");
	world_until(&w, &s.objects, 3);
	assert_string_equal(s.last, "MODIFIED n1 2");
	assert_int_equal(s.listings, 1);
	assert_int_equal(s.synced, 1);
	assert_int_equal(s.troubles, 0);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void asks_for_metadata_only(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, NULL);
	world_create(&w, "/api/v1/nodes",
		     "{\"metadata\":{\"name\":\"n1\"},\"spec\":{\"podCIDR\":\"x\"}}");
	watch = start_with(&w, &s, KF_WATCH_METADATA);
	world_until(&w, &s.synced, 1);
	assert_int_equal(s.had_spec, 0);
	until_watches(&w, 1);
	set(&w, "1");
	world_until(&w, &s.objects, 2);
	assert_int_equal(s.had_spec, 0);
	kf_watch_stop(watch);
	watch = start_with(&w, &s, 0);
	world_until(&w, &s.synced, 1);
	assert_int_equal(s.had_spec, 1);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void lists_page_by_page(void **state)
{
	struct world w;
	struct seen s = {0};
	struct kf_watch *watch;
	char node[100];
	int i;

	world_start(&w, NULL);
	for (i = 0; i < 250; i++) {
		snprintf(node, sizeof(node), "{\"metadata\":{\"name\":\"n%d\"}}", i);
		world_create(&w, "/api/v1/nodes", node);
	}
	assert_int_equal(
		kf_watch_start(w.kube, "/api/v1/nodes", NULL, 0, &events, &s, &watch, NULL), 0);
	world_until(&w, &s.synced, 1);
	assert_int_equal(s.objects, 250);
	assert_int_equal(s.listings, 1);
	assert_int_equal(world_stat(&w, "lists"), 3);
	kf_watch_stop(watch);
	world_stop(&w);
}

/* After each of these the watch goes on, without a new listing, and misses nothing. */
static void goes_on_after(const char *order, int troubles)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;
	char body[64];

	world_start(&w, NULL);
	watch = start_synced(&w, &s);
	set(&w, "1");
	world_until(&w, &s.objects, 2);
	snprintf(body, sizeof(body), "{\"do\":\"%s\"}", order);
	world_tell(&w, "/sim/watches", body);
	set(&w, "2");
	world_until(&w, &s.objects, 3);
	assert_string_equal(s.last, "MODIFIED n1 2");
	assert_int_equal(s.listings, 1);
	assert_int_equal(s.troubles, troubles);
	if (troubles && !strstr(s.trouble, "; again in 0.0 s"))
		fail_msg("%s", s.trouble);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void goes_on_after_an_end_in_order(void **state)
{
	goes_on_after("end", 0);
}

static void goes_on_after_a_cut_connection(void **state)
{
	goes_on_after("drop", 1);
}

static void goes_on_after_garbage(void **state)
{
	goes_on_after("garbage", 1);
}

static void goes_on_after_an_end_inside_an_event(void **state)
{
	goes_on_after("midway", 1);
}

static void goes_on_after_an_error_event(void **state)
{
	goes_on_after("error", 1);
}

static void goes_on_after_a_silent_peer(void **state)
{
	goes_on_after("stall", 1);
}

static void lists_anew_after_an_expired_event(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, NULL);
	watch = start_synced(&w, &s);
	world_tell(&w, "/sim/watches", "{\"do\":\"expire\"}");
	world_until(&w, &s.synced, 2);
	assert_int_equal(s.listings, 2);
	assert_int_equal(s.troubles, 0);
	until_watches(&w, 2);
	set(&w, "7");
	world_until(&w, &s.objects, 3);
	assert_string_equal(s.last, "MODIFIED n1 7");
	kf_watch_stop(watch);
	world_stop(&w);
}

static void lists_anew_when_its_version_is_too_old(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, NULL);
	watch = start_synced(&w, &s);
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"watch\":true,\"delayMs\":1000}");
	world_tell(&w, "/sim/watches", "{\"do\":\"end\"}");
	world_tell(&w, "/sim/expire", "{}");
	world_until(&w, &s.synced, 2);
	assert_int_equal(s.listings, 2);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void a_bookmark_keeps_it_from_being_too_old(void **state)
{
	struct kf_sim_api_options few = {.history = 4};
	struct world w;
	struct seen s;
	struct kf_watch *watch;
	char node[100];
	int i;

	world_start(&w, &few);
	watch = start_synced(&w, &s);
	for (i = 0; i < 10; i++) { /* pushes n1's version out of the history */
		snprintf(node, sizeof(node), "{\"metadata\":{\"name\":\"other%d\"}}", i);
		world_create(&w, "/api/v1/nodes", node);
	}
	world_tell(&w, "/sim/watches", "{\"do\":\"bookmark\"}");
	until_stat(&w, "bookmarks", 1);
	world_tell(&w, "/sim/watches", "{\"do\":\"end\"}");
	until_watches(&w, 2);
	set(&w, "1");
	world_until(&w, &s.objects, 2);
	assert_string_equal(s.last, "MODIFIED n1 1");
	assert_int_equal(s.listings, 1);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void pauses_while_the_server_goes_on_saying_expired(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, NULL);
	world_tell(&w, "/sim/fault",
		   "{\"path\":\"/api\",\"watch\":true,\"status\":410,\"times\":0}");
	world_create(&w, "/api/v1/nodes", NODE);
	watch = start_with(&w, &s, 0);
	world_until(&w, &s.troubles, 3);
	/* the first 410 is normal life, each later one is trouble with a pause */
	assert_in_range(s.listings, 4, 5);
	if (!strstr(s.trouble, "410 Gone"))
		fail_msg("%s", s.trouble);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void waits_for_a_server_that_is_not_there_yet(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, NULL);
	world_create(&w, "/api/v1/nodes", NODE);
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"drop\":true,\"times\":2}");
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"status\":503,\"times\":1}");
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"body\":\"<html>\",\"times\":1}");
	watch = start_with(&w, &s, 0);
	world_until(&w, &s.synced, 1);
	assert_int_equal(s.troubles, 4);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void reads_a_rotated_token_again(void **state)
{
	struct kf_sim_api_options options = {.token = "one"};
	char dir[] = "/tmp/kerf-watch-XXXXXX";
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	assert_non_null(mkdtemp(dir));
	world_start(&w, &options);
	free(w.config->token);
	w.config->token = NULL;
	w.config->token_file = kf_asprintf("%s/token", dir);
	w.config->times.token_ms = 1000000;
	assert_int_equal(kf_write_file(w.config->token_file, "one", 3, 0600, 0, NULL), 0);
	world_reopen(&w);
	watch = start_synced(&w, &s);
	set(&w, "1"); /* one that ended before it told anything would be trouble of its own */
	world_until(&w, &s.objects, 2);
	world_tell(&w, "/sim/token", "{\"token\":\"two\"}");
	assert_int_equal(kf_write_file(w.config->token_file, "two", 3, 0600, 0, NULL), 0);
	world_tell(&w, "/sim/watches", "{\"do\":\"end\"}");
	until_watches(&w, 2);
	assert_int_equal(s.troubles, 0);
	assert_int_equal(world_stat(&w, "refused"), 1);
	kf_watch_stop(watch);
	unlink(w.config->token_file);
	rmdir(dir);
	world_stop(&w);
}

static void may_be_stopped_from_its_own_callbacks(void **state)
{
	struct world w;
	struct seen s;

	world_start(&w, NULL);
	world_create(&w, "/api/v1/nodes", NODE);
	s.stop_at_object = NULL;
	{
		struct kf_watch *watch = start_with(&w, &s, 0);

		s.stop_at_object = watch;
		world_until(&w, &s.objects, 1);
		world_run_for(&w, 50);
		assert_int_equal(s.synced, 0);
	}
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"drop\":true}");
	{
		struct kf_watch *watch = start_with(&w, &s, 0);

		s.stop_at_trouble = watch;
		world_until(&w, &s.troubles, 1);
		world_run_for(&w, 100);
		assert_int_equal(s.troubles, 1);
	}
	world_stop(&w);
}

static void pauses_after_a_watch_that_ends_at_once(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, NULL);
	watch = start_synced(&w, &s);
	world_tell(&w, "/sim/watches", "{\"do\":\"end\"}");
	world_until(&w, &s.troubles, 1);
	if (!strstr(s.trouble, "watch /api/v1/nodes: ended at once; again in"))
		fail_msg("%s", s.trouble);
	kf_watch_stop(watch);
	world_stop(&w);
}

static void takes_an_object_of_over_a_megabyte(void **state)
{
	struct world w;
	struct seen s;
	struct kf_watch *watch;
	char *patch = malloc(1300000);
	size_t n;

	world_start(&w, NULL);
	watch = start_synced(&w, &s);
	strcpy(patch, "{\"metadata\":{\"labels\":{\"v\":\"1\"},\"annotations\":{\"big\":\"");
	n = strlen(patch);
	memset(patch + n, 'x', 1200000);
	strcpy(patch + n + 1200000, "\"}}}");
	world_patch_node(&w, "n1", patch);
	free(patch);
	world_until(&w, &s.objects, 2);
	assert_string_equal(s.last, "MODIFIED n1 1");
	kf_watch_stop(watch);
	world_stop(&w);
}

static void watches_over_tls(void **state)
{
	struct kf_sim_api_options tls = {.tls = 1};
	struct world w;
	struct seen s;
	struct kf_watch *watch;

	world_start(&w, &tls);
	watch = start_synced(&w, &s);
	set(&w, "1");
	world_until(&w, &s.objects, 2);
	kf_watch_stop(watch);
	world_stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_then_tells_changes),
		cmocka_unit_test(asks_for_metadata_only),
		cmocka_unit_test(lists_page_by_page),
		cmocka_unit_test(goes_on_after_an_end_in_order),
		cmocka_unit_test(goes_on_after_a_cut_connection),
		cmocka_unit_test(goes_on_after_garbage),
		cmocka_unit_test(goes_on_after_an_end_inside_an_event),
		cmocka_unit_test(goes_on_after_an_error_event),
		cmocka_unit_test(goes_on_after_a_silent_peer),
		cmocka_unit_test(lists_anew_after_an_expired_event),
		cmocka_unit_test(lists_anew_when_its_version_is_too_old),
		cmocka_unit_test(a_bookmark_keeps_it_from_being_too_old),
		cmocka_unit_test(pauses_while_the_server_goes_on_saying_expired),
		cmocka_unit_test(waits_for_a_server_that_is_not_there_yet),
		cmocka_unit_test(reads_a_rotated_token_again),
		cmocka_unit_test(may_be_stopped_from_its_own_callbacks),
		cmocka_unit_test(pauses_after_a_watch_that_ends_at_once),
		cmocka_unit_test(takes_an_object_of_over_a_megabyte),
		cmocka_unit_test(watches_over_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
