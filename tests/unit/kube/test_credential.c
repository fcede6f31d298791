/* What a credential plugin prints, and key material in memory. */
#include "kftest.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "kube/auth.h"
#include "kube/keyfile.h"

#define V1    "client.authentication.k8s.io/v1"
#define BETA1 "client.authentication.k8s.io/v1beta1"
#define HEAD  "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" BETA1 "\",\"status\":"

static void reads_a_token_and_when_it_ends(void **state)
{
	static const char text[] = HEAD
		"{\"token\":\"k8s-aws-v1.x\",\"expirationTimestamp\":\"2026-11-25T07:07:36Z\"}}";
	struct kf_auth_credential c;

	assert_int_equal(kf_auth_credential_read(text, strlen(text), BETA1, &c, NULL), 0);
	assert_string_equal(c.token, "k8s-aws-v1.x");
	assert_int_equal(c.expires_s, 1795590456);
	assert_null(c.cert);
	kf_auth_credential_done(&c);
}

static void refuses_what_is_no_credential(void **state)
{
	static const struct {
		const char *text, *version, *says;
	} cases[] = {
		{"", V1, "no ExecCredential"},
		{"{\"kind\":\"Secret\"}", V1, "no ExecCredential"},
		{HEAD "{\"token\":\"x\"}}", V1, "but " V1 " was asked for"},
		{HEAD "{}}", BETA1, "neither a token nor a certificate"},
		{HEAD "{\"token\":\"a\\nX-Evil: 1\"}}", BETA1, "a blank or worse"},
		{HEAD "{\"clientCertificateData\":\"c\"}}", BETA1, "not both"},
		{HEAD "{\"clientKeyData\":\"k\",\"token\":\"t\"}}", BETA1, "not both"},
	};
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kf_auth_credential c;
		struct kf_error err = {0};

		assert_int_equal(kf_auth_credential_read(cases[i].text, strlen(cases[i].text),
							 cases[i].version, &c, &err),
				 -1);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %u: said '%s'", i, err.msg);
	}
}

static void decodes_base64(void **state)
{
	static const struct {
		const char *text, *bytes;
	} good[] = {{"", ""},
		    {"Zg==", "f"},
		    {"Zm8=", "fo"},
		    {"Zm9v", "foo"},
		    {"Zm9v\nYmFy\n", "foobar"}};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg==Zg==", "Zm9*", "====", "Zm9vY"};
	unsigned i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		kf_auto_mem char *out = NULL;
		size_t n = 99;

		assert_int_equal(kf_base64_decode(good[i].text, &out, &n, NULL), 0);
		assert_int_equal(n, strlen(good[i].bytes));
		assert_string_equal(out, good[i].bytes);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *out = NULL;
		size_t n;
		struct kf_error err = {0};

		if (kf_base64_decode(bad[i], &out, &n, &err) == 0)
			fail_msg("took '%s'", bad[i]);
		assert_int_equal(err.code, KF_E_INPUT);
	}
}

static void keeps_a_key_in_a_file_that_is_on_no_disk(void **state)
{
	kf_auto_mem char *path = NULL;
	kf_auto_mem char *back = NULL;
	size_t n = 0;
	int fd = -1;

	assert_int_equal(kf_keyfile_make("key\n", 4, &fd, &path, NULL), 0);
	back = kf_read_file(path, 100, &n, NULL);
	assert_string_equal(back, "key\n");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_token_and_when_it_ends),
		cmocka_unit_test(refuses_what_is_no_credential),
		cmocka_unit_test(decodes_base64),
		cmocka_unit_test(keeps_a_key_in_a_file_that_is_on_no_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
