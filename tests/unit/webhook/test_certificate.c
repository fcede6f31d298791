/* The webhook's certificate: made, kept, found unfit, trusted. */
#include <stdlib.h>
#include <string.h>

#include "kftest.h"

#include "base/error.h"
#include "base/own.h"
#include "webhook/certificate.h"
#include "webhook/keep.h"

#define NOW   1795000000
#define DAY   86400
#define NAMES "kerf-webhook.kube-system.svc,localhost,127.0.0.1,::1"

static struct kf_certificate *make(const char *names, const struct kf_certificate *before)
{
	struct kf_certificate *c = NULL;
	struct kf_error err = {0};

	if (kf_certificate_make(names, NOW, 90 * DAY, before, &c, &err) < 0)
		fail_msg("%s", err.msg);
	return c;
}

static int read_back(const struct kf_certificate *c, const char *names, struct kf_error *err)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *again = NULL;

	return kf_certificate_read(c->authority, c->server, c->key, names, &again, err);
}

static void one_that_was_made_is_fit_for_its_names_alone(void **state)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *c = make(NAMES, NULL);
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(read_back(c, NAMES, &err), 0);
	assert_int_equal(read_back(c, "127.0.0.1", &err), 0);
	assert_int_equal(read_back(c, "127.0.0.2", &err), KF_CERTIFICATE_UNFIT);
	assert_int_equal(read_back(c, "kerf-webhook.other.svc", &err), KF_CERTIFICATE_UNFIT);
	assert_string_equal(err.msg, "the certificate is for other names");
}

static void parts_that_do_not_belong_together_are_unfit(void **state)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *a = make(NAMES, NULL);
	kf_auto(kf_certificate_freep) struct kf_certificate *b = make(NAMES, NULL);
	struct kf_certificate *c = NULL;
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(kf_certificate_read(a->authority, a->server, b->key, NAMES, &c, &err),
			 KF_CERTIFICATE_UNFIT);
	assert_string_equal(err.msg, "the key is not the certificate's");
	assert_int_equal(kf_certificate_read(b->authority, a->server, a->key, NAMES, &c, &err),
			 KF_CERTIFICATE_UNFIT);
	assert_string_equal(err.msg, "the CA has not signed the certificate");
	assert_int_equal(kf_certificate_read("x", a->server, a->key, NAMES, &c, &err),
			 KF_CERTIFICATE_UNFIT);
	assert_int_equal(kf_certificate_read(a->authority, "", a->key, NAMES, &c, &err),
			 KF_CERTIFICATE_UNFIT);
	assert_int_equal(kf_certificate_read(a->authority, a->server, "-----", NAMES, &c, &err),
			 KF_CERTIFICATE_UNFIT);
	assert_null(c);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void a_new_one_has_the_old_ones_ca_trusted_too_and_no_older(void **state)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *a = make(NAMES, NULL);
	kf_auto(kf_certificate_freep) struct kf_certificate *b = make(NAMES, a);
	kf_auto(kf_certificate_freep) struct kf_certificate *c = make(NAMES, b);
	kf_auto(kf_certificate_freep) struct kf_certificate *again = NULL;
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(count(a->authority, "BEGIN CERTIFICATE"), 1);
	assert_int_equal(count(b->authority, "BEGIN CERTIFICATE"), 2);
	assert_int_equal(count(c->authority, "BEGIN CERTIFICATE"), 2);
	/* by the new trust the old server is believed, by the newest not */
	assert_int_equal(kf_certificate_read(b->authority, a->server, a->key, NAMES, &again, &err),
			 0);
	assert_int_equal(kf_certificate_read(c->authority, a->server, a->key, NAMES,
					     &(struct kf_certificate *){NULL}, &err),
			 KF_CERTIFICATE_UNFIT);
}

static void it_is_old_when_a_third_of_its_time_is_left(void **state)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *c = make(NAMES, NULL);

	(void)state;
	assert_false(kf_certificate_is_old(c, NOW));
	assert_false(kf_certificate_is_old(c, NOW - 3000)); /* clocks differ */
	assert_true(kf_certificate_is_old(c, NOW - 2 * DAY));
	assert_false(kf_certificate_is_old(c, NOW + 59 * DAY));
	assert_true(kf_certificate_is_old(c, NOW + 61 * DAY));
	assert_true(kf_certificate_is_old(c, NOW + 91 * DAY));
}

/* --- Secret and configuration -------------------------------------------------------------- */

static void a_secret_gives_back_what_was_put_into_it(void **state)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *c = make(NAMES, NULL), *again = NULL;
	json_auto_t *empty = json_pack("{s:{s:s}}", "metadata", "resourceVersion", "41");
	kf_auto_mem char *text = kf_keep_secret_patch(empty, c);
	json_auto_t *patch = json_loads(text, 0, NULL);
	struct kf_error err = {0};

	(void)state;
	assert_string_equal(json_string_value(json_object_get(json_object_get(patch, "metadata"),
							      "resourceVersion")),
			    "41");
	assert_int_equal(kf_keep_read(patch, NAMES, &again, &err), 0);
	assert_string_equal(again->server, c->server);
	assert_string_equal(again->key, c->key);
	assert_int_equal(again->until_s, c->until_s);
}

static void a_secret_without_one_is_said_to_be(void **state)
{
	static const char *const bad[] = {
		"{}", "{\"data\":null}", "{\"data\":{\"tls.crt\":\"eA==\"}}",
		"{\"data\":{\"ca.crt\":\"!\",\"tls.crt\":\"eA==\",\"tls.key\":\"eA==\"}}",
		"{\"data\":{\"ca.crt\":\"eA==\",\"tls.crt\":\"eA==\",\"tls.key\":\"eA==\"}}"};
	struct kf_certificate *c = NULL;
	struct kf_error err = {0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_auto_t *secret = json_loads(bad[i], 0, NULL);

		assert_int_equal(kf_keep_read(secret, NAMES, &c, &err), KF_CERTIFICATE_UNFIT);
		assert_null(c);
	}
}

static void one_for_other_names_is_what_was_there_before(void **state)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *c = make("a.b.svc", NULL),
							    *before = NULL;
	json_auto_t *empty = json_object();
	kf_auto_mem char *text = kf_keep_secret_patch(empty, c);
	json_auto_t *patch = json_loads(text, 0, NULL);
	struct kf_error err = {0};

	(void)state;
	assert_int_equal(kf_keep_read(patch, NAMES, &before, &err), KF_CERTIFICATE_UNFIT);
	assert_string_equal(before->server, c->server);
}

static void every_webhook_of_the_configuration_is_made_to_trust(void **state)
{
	json_auto_t *none = json_loads("{}", 0, NULL);
	json_auto_t *two = json_loads(
		"{\"webhooks\":[{\"name\":\"a.kerf.dev\",\"clientConfig\":{\"service\":{}}},"
		"{\"name\":\"b.kerf.dev\",\"clientConfig\":{\"caBundle\":\"eA==\"}}]}",
		0, NULL);
	kf_auto_mem char *text = kf_keep_trust_patch(two, "xyz");

	(void)state;
	assert_string_equal(text, "{\"webhooks\":[{\"name\":\"a.kerf.dev\",\"clientConfig\":"
				  "{\"caBundle\":\"eHl6\"}},{\"name\":\"b.kerf.dev\","
				  "\"clientConfig\":{\"caBundle\":\"eHl6\"}}]}");
	assert_false(kf_keep_is_trusted(none, "xyz"));
	assert_false(kf_keep_is_trusted(two, "xyz"));
	assert_false(kf_keep_is_trusted(two, "x"));
	json_object_set_new(json_object_get(json_array_get(json_object_get(two, "webhooks"), 0),
					    "clientConfig"),
			    "caBundle", json_string("eA=="));
	assert_true(kf_keep_is_trusted(two, "x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_was_made_is_fit_for_its_names_alone),
		cmocka_unit_test(parts_that_do_not_belong_together_are_unfit),
		cmocka_unit_test(a_new_one_has_the_old_ones_ca_trusted_too_and_no_older),
		cmocka_unit_test(it_is_old_when_a_third_of_its_time_is_left),
		cmocka_unit_test(a_secret_gives_back_what_was_put_into_it),
		cmocka_unit_test(a_secret_without_one_is_said_to_be),
		cmocka_unit_test(one_for_other_names_is_what_was_there_before),
		cmocka_unit_test(every_webhook_of_the_configuration_is_made_to_trust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
