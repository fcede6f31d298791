/* Prometheus' web-config, and who is let in by it. */
#include "kftest.h"

#include <crypt.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "metrics/login.h"
#include "metrics/webconfig.h"

#define HASH "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde"

static void good(const char *text)
{
	struct kf_error err = {0};

	if (kf_web_config_check(text, strlen(text), "web.yml", &err) != 0)
		fail_msg("refused: %s", err.msg);
}

static void bad(const char *text, const char *why)
{
	struct kf_error err = {0};

	assert_int_equal(kf_web_config_check(text, strlen(text), "web.yml", &err), -1);
	if (!strstr(err.msg, why))
		fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void takes_what_prometheus_takes(void **state)
{
	good("{}");
	good("basic_auth_users: {a: '" HASH "', b: '" HASH "'}");
	good("tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c\n"
	     "  client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\n"
	     "  cipher_suites: [x]\n"
	     "http_server_config: {http2: true, headers: {X-Frame-Options: deny}}\n");
}

static void refuses_with_the_line(void **state)
{
	bad("", "empty"); /* a file that is being written, rather than no users */
	bad("tls_config: {}", "web.yml:1: tls_config");
	bad("\ntls_server_config: {cert_file: a}",
	    "web.yml:2: tls_server_config: wants cert_file and");
	bad("tls_server_config: {cert_file: a, key_file: b, min_version: SSL3}", "neither TLS12");
	bad("tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}",
	    "is none of NoClientCert");
	bad("tls_server_config: {cert_file: a, key_file: b, client_auth_type: "
	    "VerifyClientCertIfGiven}",
	    "wants a client_ca_file");
	bad("basic_auth_users: {a: secret}", "a: a bcrypt hash of cost");
	bad("basic_auth_users: {a: '$2y$17$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde'}",
	    "cost 4 to 16");
	bad("basic_auth_users: {'a:b': '" HASH "'}", "no name of a user");
	bad("http_server_config: {headers: {X-Frame-Options: \"a\\nb\"}}", "printable");
	bad("http_server_config: {headers: {Server: x}}", "Server");
	bad("[]", "wants a map");
}

/* Of cost 4, so that it takes no time. */
static void fill(struct kf_web_config *w, const char *password)
{
	struct crypt_data data = {0};
	const char *hash = crypt_rn(password, "$2b$04$abcdefghijklmnopqrstuu", &data, sizeof(data));

	assert_non_null(hash);
	*w = (struct kf_web_config){.n_users = 1};
	snprintf(w->user[0].name, sizeof(w->user[0].name), "prom");
	snprintf(w->user[0].hash, sizeof(w->user[0].hash), "%s", hash);
}

static void lets_in_who_has_the_password_and_nobody_else(void **state)
{
	struct kf_login *a = kf_login_new();
	struct kf_web_config w;

	fill(&w, "secret");
	assert_int_equal(kf_login_check(a, &w, "prom", "secret", 1000), KF_LOGIN_YES);
	assert_int_equal(kf_login_check(a, &w, "prom", "Secret", 1000), KF_LOGIN_NO);
	assert_int_equal(kf_login_check(a, &w, "prom", "", 1000), KF_LOGIN_NO);
	assert_int_equal(kf_login_check(a, &w, NULL, NULL, 1000), KF_LOGIN_NO);
	assert_int_equal(kf_login_check(a, &w, "other", "secret", 1000), KF_LOGIN_NO);
	assert_int_equal(kf_login_check(a, &(struct kf_web_config){0}, NULL, NULL, 1000),
			 KF_LOGIN_YES);
	kf_login_free(a);
}

static void guesses_are_limited_and_the_known_are_not(void **state)
{
	struct kf_login *a = kf_login_new();
	struct kf_web_config w;
	unsigned i, later = 0;

	fill(&w, "secret");
	assert_int_equal(kf_login_check(a, &w, "prom", "secret", 1000), KF_LOGIN_YES);
	for (i = 0; i < 20; i++)
		later += kf_login_check(a, &w, "prom", "guess", 2000) == KF_LOGIN_LATER;
	assert_int_equal(later, 20 - KF_LOGIN_TRIES);
	assert_int_equal(kf_login_check(a, &w, "prom", "secret", 2000), KF_LOGIN_YES);
	assert_int_equal(kf_login_check(a, &w, "prom", "guess", 3000), KF_LOGIN_NO);
	kf_login_forget(a);
	fill(&w, "another");
	assert_int_equal(kf_login_check(a, &w, "prom", "secret", 4000), KF_LOGIN_NO);
	kf_login_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_prometheus_takes),
		cmocka_unit_test(refuses_with_the_line),
		cmocka_unit_test(lets_in_who_has_the_password_and_nobody_else),
		cmocka_unit_test(guesses_are_limited_and_the_known_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
