/* Kubeconfigs, good and bad, and the order in which the API server is looked for. */
#include "kftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "kube/config.h"

static struct kf_kube_config *parse(const char *text)
{
	struct kf_kube_config *c = NULL;
	struct kf_error err = {0};

	if (kf_kube_config_parse(text, strlen(text), "/dir/kubeconfig", NULL, &c, &err) < 0)
		fail_msg("%s", err.msg);
	return c;
}

#define CONTEXT "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
#define CLUSTER "clusters: [{name: k, cluster: {server: 'https://h:6443'}}]\n"

static void reads_what_kind_and_eks_write(void **state)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c =
		parse("apiVersion: v1\nkind: Config\npreferences: {}\ncurrent-context: c\n"
		      "contexts:\n- context:\n    cluster: k\n    user: u\n    namespace: team\n"
		      "  name: c\n"
		      "clusters:\n- cluster:\n    certificate-authority-data: Q0E=\n"
		      "    server: https://1.2.3.4:6443/\n    tls-server-name: api.example\n"
		      "    proxy-url: http://proxy:3128\n  name: k\n"
		      "users:\n- name: u\n  user:\n    client-certificate-data: Q0VSVA==\n"
		      "    client-key: keys/me.pem\n    token: abc\n");
	kf_auto_mem char *ca = kf_read_file(c->ca_file, 100, &(size_t){0}, NULL);
	kf_auto_mem char *cert = kf_read_file(c->cert_file, 100, &(size_t){0}, NULL);

	assert_string_equal(c->server, "https://1.2.3.4:6443");
	assert_string_equal(ca, "CA");
	assert_string_equal(cert, "CERT");
	assert_string_equal(c->key_file, "/dir/keys/me.pem");
	assert_string_equal(c->tls_server_name, "api.example");
	assert_string_equal(c->proxy_url, "http://proxy:3128");
	assert_string_equal(c->token, "abc");
	assert_string_equal(c->namespace, "team");
	assert_string_equal(c->source, "/dir/kubeconfig (context c)");
	assert_int_equal(c->insecure, 0);
}

static void reads_an_exec_plugin(void **state)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c =
		parse(CONTEXT CLUSTER
		      "users:\n- name: u\n  user:\n    exec:\n"
		      "      apiVersion: client.authentication.k8s.io/v1beta1\n"
		      "      command: ./bin/aws\n      args: [eks, get-token]\n"
		      "      env: [{name: AWS_PROFILE, value: x}]\n      installHint: get it\n"
		      "      provideClusterInfo: true\n      interactiveMode: Never\n");

	assert_string_equal(c->exec->command, "/dir/./bin/aws");
	assert_string_equal(c->exec->args[1], "get-token");
	assert_null(c->exec->args[2]);
	assert_string_equal(c->exec->env[0], "AWS_PROFILE=x");
	assert_null(c->exec->env[1]);
	assert_int_equal(c->exec->cluster_info, 1);
}

static void reads_json_too(void **state)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c = parse(
		"{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{"
		"\"cluster\":\"k\",\"user\":\"\"}}],\"clusters\":[{\"name\":\"k\",\"cluster\":{"
		"\"server\":\"http://127.0.0.1:80\",\"insecure-skip-tls-verify\":true}}],"
		"\"users\":null}");

	assert_string_equal(c->server, "http://127.0.0.1:80");
	assert_int_equal(c->insecure, 1);
	assert_null(c->token);
	assert_string_equal(c->namespace, "default");
}

static void refuses_with_file_and_line(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "/dir/kubeconfig"},
		{"[]", "no current-context"},
		{"current-context: 'c\n", "/dir/kubeconfig:"},
		{"contexts: []\n", "no current-context"},
		{"current-context: c\ncontexts: {}\n", "/dir/kubeconfig:2"},
		{"current-context: c\ncontexts: []\n", "no entry of contexts is named 'c'"},
		{"current-context: c\ncontexts: [5]\n", "/dir/kubeconfig:2"},
		{"current-context: [c]\n", "/dir/kubeconfig:1"},
		{"current-context: c\ncontexts: [{name: c, context: {user: u}}]\n",
		 "names no cluster"},
		{"current-context: c\ncontexts: [{name: c}]\n", "names no cluster"},
		{CONTEXT, "no entry of clusters is named 'k'"},
		{CONTEXT CLUSTER, "no entry of users is named 'u'"},
		{CONTEXT "clusters: [{name: k, cluster: {}}]\n", "names no server"},
		{CONTEXT "clusters: [{name: k, cluster: {server: 'ftp://h'}}]\n",
		 "/dir/kubeconfig:3"},
		{CONTEXT "clusters: [{name: k, cluster: {server: 'https://'}}]\n",
		 "/dir/kubeconfig:3"},
		{CONTEXT "clusters: [{name: k, cluster: {server: 'https://me@h'}}]\n",
		 "a character that"},
		{CONTEXT "clusters: [{name: k, cluster: {server: \"https://h\\r\\nX: 1\"}}]\n",
		 "control character"},
		{CONTEXT "clusters: [{name: k, cluster: {server: 'https://h', "
			 "certificate-authority-data: '***'}}]\n",
		 "is not base64"},
		{CONTEXT "clusters: [{name: k, cluster: {server: 'https://h', "
			 "insecure-skip-tls-verify: perhaps}}]\n",
		 "/dir/kubeconfig:3"},
		{CONTEXT CLUSTER "users: [{name: u, user: {token: \"a\\nb\"}}]\n",
		 "/dir/kubeconfig:4"},
		{CONTEXT CLUSTER "users: [{name: u, user: {client-key: k}}]\n", "has only one of"},
		{CONTEXT CLUSTER "users: [{name: u, user: {as: root}}]\n", "kerf does not do that"},
		{CONTEXT CLUSTER "users: [{name: u, user: {auth-provider: {name: gcp}}}]\n",
		 "kerf does not do that"},
		{CONTEXT CLUSTER "users: [{name: u, user: {exec: {command: x}}}]\n", "apiVersion"},
		{CONTEXT CLUSTER "users: [{name: u, user: {exec: {apiVersion: "
				 "client.authentication.k8s.io/v1}}}]\n",
		 "names no command"},
		{CONTEXT CLUSTER
		 "users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, "
		 "command: x, env: [{value: y}]}}}]\n",
		 "names no environment variable"},
	};
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kf_kube_config *c = NULL;
		struct kf_error err = {0};

		if (kf_kube_config_parse(cases[i].text, strlen(cases[i].text), "/dir/kubeconfig",
					 NULL, &c, &err) >= 0)
			fail_msg("case %u was taken: %s", i, cases[i].text);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %u: said '%s'", i, err.msg);
		assert_null(c);
	}
}

static void never_says_a_token(void **state)
{
	static const char text[] = CONTEXT CLUSTER
		"users: [{name: u, user: {token: \"S3CRET\\n\", password: [S3CRET]}}]\n";
	struct kf_kube_config *c = NULL;
	struct kf_error err = {0};

	assert_int_equal(
		kf_kube_config_parse(text, strlen(text), "/dir/kubeconfig", NULL, &c, &err), -1);
	assert_null(strstr(err.msg, "S3CRET"));
}

/* --- files and environment ------------------------------------------------------------------- */

static char dir[] = "/tmp/kerf-kubeconfig-XXXXXX";

static const char *put(const char *name, const char *text)
{
	static char path[2][256];
	static unsigned turn;
	char *at = path[turn++ % 2];

	snprintf(at, sizeof(path[0]), "%s/%s", dir, name);
	assert_int_equal(kf_write_file(at, text, strlen(text), 0600, 0, NULL), 0);
	return at;
}

static void clean_environment(void)
{
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBERNETES_SERVICE_PORT");
	setenv("HOME", dir, 1);
}

static int make_dir(void **state)
{
	clean_environment();
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void merges_a_list_of_files_the_first_winning(void **state)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c = NULL;
	char list[1024];
	struct kf_error err = {0};
	const char *a = put("a", "current-context: c\nusers: [{name: u, user: {token: first}}]\n");
	const char *b = put("b", CONTEXT CLUSTER "users: [{name: u, user: {token: second}}]\n");

	snprintf(list, sizeof(list), "%s/missing:%s:%s", dir, a, b);
	setenv("KUBECONFIG", list, 1);
	if (kf_kube_config_load(NULL, NULL, &c, &err) != 0)
		fail_msg("%s", err.msg);
	assert_string_equal(c->token, "first");
	assert_string_equal(c->server, "https://h:6443");
	clean_environment();
}

static void says_that_no_file_of_the_list_exists(void **state)
{
	struct kf_kube_config *c = NULL;
	struct kf_error err = {0};

	setenv("KUBECONFIG", "/nowhere/a:/nowhere/b", 1);
	assert_int_equal(kf_kube_config_load(NULL, NULL, &c, &err), -1);
	assert_non_null(strstr(err.msg, "$KUBECONFIG names no file that exists"));
	clean_environment();
}

static void answers_nowhere_if_nothing_is_said(void **state)
{
	struct kf_kube_config *c = NULL;

	assert_int_equal(kf_kube_config_load(NULL, NULL, &c, NULL), KF_KUBE_NOWHERE);
	assert_int_equal(kf_kube_config_load("", NULL, &c, NULL), KF_KUBE_NOWHERE);
}

static void finds_the_service_account_inside_a_cluster(void **state)
{
	kf_auto(kf_kube_config_freep) struct kf_kube_config *c = NULL;
	struct kf_error err = {0};

	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(kf_kube_config_in_cluster(dir, &c, &err), -1);
	assert_non_null(strstr(err.msg, "token or ca.crt cannot be read"));
	put("token", "t\n");
	put("ca.crt", "CA");
	put("namespace", "kerf-system");
	assert_int_equal(kf_kube_config_in_cluster(dir, &c, &err), 0);
	assert_string_equal(c->server, "https://[fd00::1]:443");
	assert_string_equal(c->namespace, "kerf-system");
	assert_string_equal(c->source, "in-cluster");
	clean_environment();
	assert_int_equal(kf_kube_config_in_cluster(dir, &c, &err), KF_KUBE_NOWHERE);
}

static void survives_any_allocation_that_fails(void **state)
{
	static const char text[] = CONTEXT
		"clusters: [{name: k, cluster: {server: 'https://h', certificate-authority-data: "
		"Q0E=}}]\nusers:\n- name: u\n  user:\n    exec:\n"
		"      apiVersion: client.authentication.k8s.io/v1\n      command: aws\n"
		"      args: [a, b]\n      env: [{name: A, value: b}]\n";

	KF_FOR_EACH_OOM
	{
		struct kf_kube_config *c = NULL;
		struct kf_error err = {0};

		if (kf_kube_config_parse(text, strlen(text), "k", NULL, &c, &err) < 0)
			assert_int_equal(err.code, KF_E_NOMEM);
		else
			assert_false(kf_alloc_failed());
		kf_kube_config_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_kind_and_eks_write),
		cmocka_unit_test(reads_an_exec_plugin),
		cmocka_unit_test(reads_json_too),
		cmocka_unit_test(refuses_with_file_and_line),
		cmocka_unit_test(never_says_a_token),
		cmocka_unit_test(merges_a_list_of_files_the_first_winning),
		cmocka_unit_test(says_that_no_file_of_the_list_exists),
		cmocka_unit_test(answers_nowhere_if_nothing_is_said),
		cmocka_unit_test(finds_the_service_account_inside_a_cluster),
		cmocka_unit_test(survives_any_allocation_that_fails),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
