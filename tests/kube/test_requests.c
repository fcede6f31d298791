/* Requests, credentials, Node edits, Events and eviction, against the stand-in API server. */
#include "world.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "kube/event.h"
#include "kube/evict.h"
#include "kube/node.h"

#define NODE "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"a\":\"b\"}}}"

static void assert_says(const struct kf_error *err, const char *what)
{
	if (!strstr(err->msg, what))
		fail_msg("wanted '%s' in '%s'", what, err->msg);
}

/* --- plain requests -------------------------------------------------------------------------- */

static void asks_and_is_answered(void **state)
{
	struct world w;
	struct reply r;

	world_start(&w, NULL);
	world_create(&w, "/api/v1/nodes", NODE);
	world_ask(&w, "GET", "/api/v1/nodes/n1", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "\"n1\""));
	world_ask(&w, "GET", "/api/v1/nodes/n2", NULL, NULL, &r);
	assert_int_equal(r.status, 404);
	assert_int_equal(r.err.code, KF_E_REMOTE);
	assert_says(&r.err, "GET /api/v1/nodes/n2: 404 Not Found: nodes \"n2\" not found");
	world_stop(&w);
}

static void speaks_tls_and_verifies_the_server(void **state)
{
	struct kf_sim_api_options tls = {.tls = 1};
	struct world w;
	struct reply r;

	world_start(&w, &tls);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);

	/* by another name than the certificate has, then by one that it has */
	w.config->tls_server_name = strdup("example.com");
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 0);
	assert_says(&r.err, "example.com");
	strcpy(w.config->tls_server_name, "localhost");
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);

	/* somebody else's authority: the system's */
	free(w.config->ca_file);
	w.config->ca_file = NULL;
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 0);
	assert_says(&r.err, "certificate");
	w.config->insecure = 1;
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	world_stop(&w);
}

static void waits_as_long_as_the_server_asks(void **state)
{
	struct world w;
	struct reply r;
	uint64_t before;

	world_start(&w, NULL);
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"status\":429,\"retryAfter\":1}");
	before = kf_now_ms();
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	assert_true(kf_now_ms() - before >= 1000);
	world_stop(&w);
}

static void answers_with_429_if_no_time_is_named(void **state)
{
	struct world w;
	struct reply r;

	world_start(&w, NULL);
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"status\":429}");
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 429);
	assert_says(&r.err, "429 Too Many Requests: as the test wishes");
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"status\":500,\"retryAfter\":1}");
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 500);
	world_stop(&w);
}

static void says_what_failed_on_the_way(void **state)
{
	struct world w;
	struct reply r;

	world_start(&w, NULL);
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"drop\":true}");
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 0);
	assert_says(&r.err, "GET /api/v1/nodes: http://127.0.0.1:");

	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"hang\":true}");
	w.config->times.request_ms = 100;
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.err.code, KF_E_TIMEOUT);
	world_stop(&w);
}

static void says_that_nobody_listens(void **state)
{
	struct world w;
	struct reply r;

	world_start(&w, NULL);
	free(w.config->server);
	w.config->server = strdup("http://127.0.0.1:1");
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.err.code, KF_E_SYSTEM);
	assert_says(&r.err, "http://127.0.0.1:1");
	world_stop(&w);
}

static void gives_up_on_a_peer_that_accepts_and_never_speaks(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	struct world w;
	struct reply r;

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 5), 0);
	getsockname(fd, (struct sockaddr *)&at, &n);
	world_start(&w, NULL);
	free(w.config->server);
	w.config->server = kf_asprintf("https://127.0.0.1:%d", ntohs(at.sin_port));
	w.config->times.connect_ms = 100;
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.err.code, KF_E_TIMEOUT);
	world_stop(&w);
	close(fd);
}

struct order {
	int n;
	char seen[64];
};

static void note_order(void *ud, const struct kf_kube_answer *a)
{
	struct order *o = ud;

	o->seen[o->n++] = a->path[strlen("/api/v1/nodes/")];
}

static void keeps_the_order_even_when_one_must_wait(void **state)
{
	struct world w;
	struct order o = {0};
	char path[] = "/api/v1/nodes/a";

	world_start(&w, NULL);
	world_tell(&w, "/sim/fault",
		   "{\"path\":\"/api/v1/nodes/b\",\"status\":503,\"retryAfter\":1}");
	for (path[14] = 'a'; path[14] <= 'e'; path[14]++)
		assert_int_equal(
			kf_kube_request(w.kube, "GET", path, NULL, NULL, note_order, &o, NULL), 0);
	assert_int_equal(kf_kube_pending(w.kube), 5);
	world_until(&w, &o.n, 5);
	assert_string_equal(o.seen, "abcde");
	assert_int_equal(kf_kube_pending(w.kube), 0);
	world_stop(&w);
}

static void never_calls_after_forget_or_close(void **state)
{
	struct world w;
	struct order o = {0}, kept = {0};

	world_start(&w, NULL);
	kf_kube_request(w.kube, "GET", "/api/v1/nodes/x", NULL, NULL, note_order, &o, NULL);
	kf_kube_request(w.kube, "GET", "/api/v1/nodes/y", NULL, NULL, note_order, &kept, NULL);
	kf_kube_forget(w.kube, &o);
	world_until(&w, &kept.n, 1);
	assert_int_equal(o.n, 0);
	kf_kube_request(w.kube, "GET", "/api/v1/nodes/x", NULL, NULL, note_order, &o, NULL);
	kf_kube_request(w.kube, "GET", "/api/v1/nodes/x", NULL, NULL, note_order, &o, NULL);
	world_stop(&w);
	assert_int_equal(o.n, 0);
}

static void answers_what_kubectl_asks_first(void **state)
{
	struct world w;
	struct reply r;

	world_start(&w, NULL);
	world_ask(&w, "GET", "/api", NULL, NULL, &r);
	assert_non_null(strstr(r.body, "APIVersions"));
	world_ask(&w, "GET", "/apis", NULL, NULL, &r);
	assert_non_null(strstr(r.body, "APIGroupList"));
	world_ask(&w, "GET", "/api/v1", NULL, NULL, &r);
	assert_non_null(strstr(r.body, "\"name\":\"pods\""));
	world_ask(&w, "GET", "/apis/apps/v1", NULL, NULL, &r);
	assert_int_equal(r.status, 404);
	world_stop(&w);
}

static void escapes_hostile_names(void **state)
{
	struct kf_text t = {0};
	struct kf_error err = {0};

	assert_int_equal(kf_kube_segment(&t, "a/../b?c=d&e#\r\n%\xc3\xbc", &err), 0);
	assert_string_equal(t.s, "a%2F..%2Fb%3Fc%3Dd%26e%23%0D%0A%25%C3%BC");
	assert_int_equal(kf_kube_segment(&t, "..", &err), -1);
	assert_int_equal(kf_kube_segment(&t, ".", &err), -1);
	assert_int_equal(kf_kube_segment(&t, "", &err), -1);
	kf_text_done(&t);
}

/* --- credentials ----------------------------------------------------------------------------- */

static char dir[] = "/tmp/kerf-kube-XXXXXX";

static char *write_in_dir(const char *name, const char *text, unsigned mode)
{
	char *path = kf_asprintf("%s/%s", dir, name);

	assert_int_equal(kf_write_file(path, text, strlen(text), mode, 0, NULL), 0);
	return path;
}

static void reads_a_rotated_token_again(void **state)
{
	struct kf_sim_api_options options = {.token = "one"};
	struct world w;
	struct reply r;

	world_start(&w, &options);
	free(w.config->token);
	w.config->token = NULL;
	w.config->token_file = write_in_dir("token", "one\n", 0600);
	w.config->times.token_ms = 1000000; /* so that only a 401 leads to it */
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);

	world_tell(&w, "/sim/token", "{\"token\":\"two\"}");
	free(write_in_dir("token", "two\n", 0600));
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);

	/* no better token to be had: the 401 is the answer */
	world_tell(&w, "/sim/token", "{\"token\":\"three\"}");
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 401);
	assert_null(strstr(r.err.msg, "two"));
	world_stop(&w);
}

static void reads_the_token_again_in_time(void **state)
{
	struct kf_sim_api_options options = {.token = "old"};
	struct world w;
	struct reply r;
	int refused;

	world_start(&w, &options);
	free(w.config->token);
	w.config->token = NULL;
	w.config->token_file = write_in_dir("token", "old", 0600);
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	world_tell(&w, "/sim/token", "{\"token\":\"new\"}");
	free(write_in_dir("token", "new", 0600));
	world_run_for(&w, w.config->times.token_ms + 20);
	refused = world_stat(&w, "refused");
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(world_stat(&w, "refused"), refused); /* without a 401 on the way */

	/* a file that is gone for a moment does not cost the token that we have */
	unlink(w.config->token_file);
	world_run_for(&w, w.config->times.token_ms + 20);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	world_stop(&w);
}

static void says_that_there_is_no_token_file(void **state)
{
	struct world w;
	struct reply r;

	world_start(&w, NULL);
	w.config->token_file = strdup("/nowhere/token");
	world_reopen(&w);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 0);
	assert_says(&r.err, "/nowhere/token");
	world_stop(&w);
}

static struct kf_kube_exec *plugin(const char *script)
{
	struct kf_kube_exec *x = calloc(1, sizeof(*x));

	x->version = strdup("client.authentication.k8s.io/v1");
	x->command = write_in_dir("plugin", script, 0700);
	x->args = calloc(2, sizeof(char *));
	x->args[0] = strdup("get-token");
	x->env = calloc(2, sizeof(char *));
	x->env[0] = strdup("WHO=me");
	x->hint = strdup("install it");
	return x;
}

#define CREDENTIAL(token, more)                                                                    \
	"echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","   \
	"\"status\":{\"token\":\"" token "\"" more "}}'\n"

static void use_plugin(struct world *w, const char *script)
{
	free(w->config->token);
	w->config->token = NULL;
	w->config->exec = plugin(script);
	world_reopen(w);
}

static void runs_a_plugin_once_and_again_after_401(void **state)
{
	struct kf_sim_api_options options = {.token = "t-me-get-token-1"};
	struct world w;
	struct reply r;
	char script[1024];

	world_start(&w, &options);
	snprintf(script, sizeof(script),
		 "#!/bin/sh\ncase \"$KUBERNETES_EXEC_INFO\" in *ExecCredential*) ;; *) exit 9;; "
		 "esac\necho x >> %s/runs\nn=$(wc -l < %s/runs)\n" CREDENTIAL("t-'$WHO-$1-$n'", ""),
		 dir, dir);
	use_plugin(&w, script);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200); /* the first one's is kept */
	world_tell(&w, "/sim/token", "{\"token\":\"t-me-get-token-2\"}");
	world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
	assert_int_equal(r.status, 200);
	world_stop(&w);
}

static void says_what_a_plugin_did_wrong(void **state)
{
	static const struct {
		const char *script, *says;
	} cases[] = {
		{"#!/bin/sh\nexit 3\n", "ended with status 3, signal 0: install it"},
		{"#!/bin/sh\necho hello\n", "printed no ExecCredential"},
		{"#!/bin/sh\nexec sleep 60\n", "gave no answer within 100 ms"},
		{"#!/bin/sh\nhead -c 3000000 /dev/zero\n", "printed over 1048576 bytes"},
		{"#!/nowhere/sh\n", "no such file"},
		{"#!/bin/sh\n" CREDENTIAL("S3CRET x", ""), "a blank or worse"},
	};
	unsigned i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct world w;
		struct reply r;

		world_start(&w, NULL);
		if (strstr(cases[i].says, "within"))
			w.config->times.exec_ms = 100;
		use_plugin(&w, cases[i].script);
		world_ask(&w, "GET", "/api/v1/nodes", NULL, NULL, &r);
		assert_int_equal(r.status, 0);
		assert_says(&r.err, cases[i].says);
		assert_says(&r.err, "credential plugin ");
		assert_null(strstr(r.err.msg, "S3CRET"));
		world_stop(&w);
	}
}

static void closes_while_a_plugin_runs(void **state)
{
	struct world w;
	struct order o = {0};

	world_start(&w, NULL);
	use_plugin(&w, "#!/bin/sh\nexec sleep 60\n");
	kf_kube_request(w.kube, "GET", "/api/v1/nodes/x", NULL, NULL, note_order, &o, NULL);
	world_run_for(&w, 20);
	world_stop(&w);
	assert_int_equal(o.n, 0);
}

/* --- Node ------------------------------------------------------------------------------------ */

struct node_reply {
	int came, result;
	char label[64], note[64], version[32];
	struct kf_error err;
};

static void on_node(void *ud, int result, const struct kf_kube_node *node,
		    const struct kf_error *err)
{
	struct node_reply *r = ud;
	const char *label = node ? kf_kube_node_label(node, "nvidia.com/mig.config.state") : NULL;
	const char *note = node ? kf_kube_node_annotation(node, "kerf.dev/why") : NULL;

	r->came++;
	r->result = result;
	r->err = *err;
	snprintf(r->label, sizeof(r->label), "%s", label ? label : "-");
	snprintf(r->note, sizeof(r->note), "%s", note ? note : "-");
	snprintf(r->version, sizeof(r->version), "%s", node ? node->version : "-");
}

static void edits_labels_and_annotations_at_once(void **state)
{
	struct kf_kube_edit set[] = {
		{KF_KUBE_LABEL, "nvidia.com/mig.config.state", "pending"},
		{KF_KUBE_ANNOTATION, "kerf.dev/why", "pod \"a\" holds 1g.5gb \xe2\x80\xa6"},
	};
	struct kf_kube_edit unset = {KF_KUBE_ANNOTATION, "kerf.dev/why", NULL};
	struct node_reply r = {0};
	struct world w;

	world_start(&w, NULL);
	world_create(&w, "/api/v1/nodes", NODE);
	assert_int_equal(kf_kube_node_patch(w.kube, "n1", set, 2, NULL, on_node, &r, NULL), 0);
	world_until(&w, &r.came, 1);
	assert_int_equal(r.result, 0);
	assert_string_equal(r.label, "pending");
	assert_string_equal(r.note, set[1].value);
	assert_int_equal(kf_kube_node_patch(w.kube, "n1", &unset, 1, r.version, on_node, &r, NULL),
			 0);
	world_until(&w, &r.came, 2);
	assert_int_equal(r.result, 0);
	assert_string_equal(r.note, "-");

	/* a version that has passed */
	assert_int_equal(kf_kube_node_patch(w.kube, "n1", &unset, 1, "1", on_node, &r, NULL), 0);
	world_until(&w, &r.came, 3);
	assert_int_equal(r.result, KF_KUBE_CONFLICT);
	assert_says(&r.err, "409 Conflict");
	assert_int_equal(kf_kube_node_get(w.kube, "n9", on_node, &r, NULL), 0);
	world_until(&w, &r.came, 4);
	assert_int_equal(r.result, KF_KUBE_GONE);
	world_stop(&w);
}

static void refuses_a_label_value_before_the_server_does(void **state)
{
	static const char *const bad[] = {
		"a b", "-a", "a-", "\xc3\xbc",
		"0123456789012345678901234567890123456789012345678901234567890123"};
	struct world w;
	struct kf_error err = {0};
	unsigned i;

	world_start(&w, NULL);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kf_kube_edit e = {KF_KUBE_LABEL, "x", bad[i]};

		assert_int_equal(kf_kube_node_patch(w.kube, "n", &e, 1, NULL, on_node, NULL, &err),
				 -1);
		assert_int_equal(err.code, KF_E_INPUT);
	}
	assert_int_equal(kf_kube_pending(w.kube), 0);
	world_stop(&w);
}

/* --- Events ---------------------------------------------------------------------------------- */

static void on_trouble(void *ud, const struct kf_error *err)
{
	++*(int *)ud;
}

static void drain(struct world *w)
{
	while (kf_kube_pending(w->kube))
		uv_run(&w->loop, UV_RUN_ONCE);
}

static void tells_events_and_counts_repeats(void **state)
{
	kf_auto(kf_events_freep) struct kf_events *e = NULL;
	struct world w;
	struct reply r;
	int trouble = 0;

	world_start(&w, NULL);
	assert_int_equal(kf_events_new(w.kube, "n1", on_trouble, &trouble, &e, NULL), 0);
	assert_int_equal(kf_events_tell(e, KF_EVENT_WARNING, "MigConfigFailed", "Repartition",
					"8x1g does not fit", NULL),
			 0);
	assert_int_equal(kf_events_tell(e, KF_EVENT_WARNING, "MigConfigFailed", "Repartition",
					"8x1g does not fit", NULL),
			 KF_EVENT_REPEATED);
	assert_int_equal(kf_events_tell(e, KF_EVENT_NORMAL, "MigConfigFailed", "Repartition",
					"8x1g does not fit", NULL),
			 0);
	drain(&w);
	world_ask(&w, "GET", "/api/v1/namespaces/default/events", NULL, NULL, &r);
	assert_int_equal(trouble, 0);
	assert_non_null(strstr(r.body, "\"count\":2"));
	assert_non_null(strstr(r.body, "\"count\":1"));
	assert_non_null(strstr(r.body, "\"reason\":\"MigConfigFailed\""));
	assert_non_null(strstr(r.body,
			       "\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Node\","
			       "\"name\":\"n1\",\"uid\":\"n1\"}"));
	e = kf_events_free(e);
	world_stop(&w);
}

static void keeps_to_its_allowance(void **state)
{
	kf_auto(kf_events_freep) struct kf_events *e = NULL;
	struct world w;
	char note[32];
	int i, sent = 0;

	world_start(&w, NULL);
	assert_int_equal(kf_events_new(w.kube, "n1", NULL, NULL, &e, NULL), 0);
	for (i = 0; i < 40; i++) {
		snprintf(note, sizeof(note), "number %d", i);
		sent += kf_events_tell(e, KF_EVENT_NORMAL, "R", "A", note, NULL) == 0;
	}
	assert_int_equal(sent, 25);
	assert_int_equal(kf_events_dropped(e), 15);
	drain(&w);
	e = kf_events_free(e);
	world_stop(&w);
}

static void cuts_a_long_note_at_a_character(void **state)
{
	kf_auto(kf_events_freep) struct kf_events *e = NULL;
	struct world w;
	struct reply r;
	char note[3001];
	int i;

	for (i = 0; i < 3000; i += 2)
		memcpy(note + i, "\xc3\xbc", 2);
	note[3000] = '\0';
	world_start(&w, NULL);
	assert_int_equal(kf_events_new(w.kube, "n1", NULL, NULL, &e, NULL), 0);
	assert_int_equal(kf_events_tell(e, KF_EVENT_NORMAL, "R", "A", note, NULL), 0);
	drain(&w);
	world_ask(&w, "GET", "/api/v1/events", NULL, NULL, &r);
	assert_non_null(strstr(r.body, "\xc3\xbc...\""));
	e = kf_events_free(e);
	world_stop(&w);
}

static void tells_an_event_anew_when_the_server_has_expired_it(void **state)
{
	kf_auto(kf_events_freep) struct kf_events *e = NULL;
	struct world w;
	int trouble = 0;

	world_start(&w, NULL);
	assert_int_equal(kf_events_new(w.kube, "n1", on_trouble, &trouble, &e, NULL), 0);
	assert_int_equal(kf_events_tell(e, KF_EVENT_NORMAL, "R", "A", "note", NULL), 0);
	drain(&w);
	world_tell(&w, "/sim/fault", "{\"method\":\"PATCH\",\"status\":404}");
	assert_int_equal(kf_events_tell(e, KF_EVENT_NORMAL, "R", "A", "note", NULL),
			 KF_EVENT_REPEATED);
	drain(&w);
	assert_int_equal(trouble, 1);
	assert_int_equal(kf_events_tell(e, KF_EVENT_NORMAL, "R", "A", "note", NULL), 0);
	drain(&w);
	/* and one that the server did not take */
	world_tell(&w, "/sim/fault", "{\"method\":\"POST\",\"path\":\"/api\",\"status\":403}");
	assert_int_equal(kf_events_tell(e, KF_EVENT_NORMAL, "R", "A", "other", NULL), 0);
	drain(&w);
	assert_int_equal(trouble, 2);
	assert_int_equal(kf_events_tell(e, KF_EVENT_NORMAL, "R", "A", "other", NULL), 0);
	e = kf_events_free(e); /* the answer is still under way */
	world_stop(&w);
}

/* --- eviction -------------------------------------------------------------------------------- */

struct evict_reply {
	int came, result;
	struct kf_error err;
};

static void on_evicted(void *ud, int result, const struct kf_error *err)
{
	struct evict_reply *r = ud;

	r->came++;
	r->result = result;
	r->err = *err;
}

static int evict(struct world *w, const char *name, const char *uid, struct evict_reply *r)
{
	int before = r->came;

	assert_int_equal(kf_evict(w->kube, "default", name, uid, -1, on_evicted, r, NULL), 0);
	world_until(w, &r->came, before + 1);
	return r->result;
}

struct pods_reply {
	int came;
	unsigned n;
	char uid[64];
	int deleting;
};

static void on_pods(void *ud, struct kf_kube_pod *const *pods, unsigned n,
		    const struct kf_error *err)
{
	struct pods_reply *r = ud;

	assert_null(err);
	r->came++;
	r->n = n;
	if (n) {
		snprintf(r->uid, sizeof(r->uid), "%s", pods[0]->uid);
		r->deleting = pods[0]->deleting;
	}
}

static void evicts_as_budgets_allow(void **state)
{
	static const char pods_path[] = "/api/v1/namespaces/default/pods";
	struct evict_reply r = {0};
	struct pods_reply pods = {0};
	struct world w;

	world_start(&w, NULL);
	world_create(&w, pods_path,
		     "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\"}}");
	world_create(&w, pods_path,
		     "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"nodeName\":\"n2\"}}");
	assert_int_equal(kf_pods_list(w.kube, "n1", on_pods, &pods, NULL), 0);
	world_until(&w, &pods.came, 1);
	assert_int_equal(pods.n, 1);
	assert_int_equal(pods.deleting, 0);

	world_tell(&w, "/sim/budget", "{\"allowed\":0}");
	assert_int_equal(evict(&w, "p", pods.uid, &r), KF_EVICT_BLOCKED);
	assert_says(&r.err, "disruption budget stand-in needs 1 healthy pods");
	world_tell(&w, "/sim/budget", "{\"allowed\":1}");
	assert_int_equal(evict(&w, "p", "another-uid", &r), KF_EVICT_GONE);
	assert_int_equal(evict(&w, "p", pods.uid, &r), 0);
	assert_int_equal(evict(&w, "never-was", NULL, &r), KF_EVICT_GONE);
	world_tell(&w, "/sim/fault", "{\"path\":\"/api\",\"status\":500}");
	assert_int_equal(evict(&w, "q", NULL, &r), -1);
	assert_says(&r.err, "500");
	assert_int_equal(kf_pods_list(w.kube, "n1", on_pods, &pods, NULL), 0);
	world_until(&w, &pods.came, 2);
	assert_int_equal(pods.deleting, 1);
	world_stop(&w);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_and_is_answered),
		cmocka_unit_test(speaks_tls_and_verifies_the_server),
		cmocka_unit_test(waits_as_long_as_the_server_asks),
		cmocka_unit_test(answers_with_429_if_no_time_is_named),
		cmocka_unit_test(says_what_failed_on_the_way),
		cmocka_unit_test(says_that_nobody_listens),
		cmocka_unit_test(gives_up_on_a_peer_that_accepts_and_never_speaks),
		cmocka_unit_test(keeps_the_order_even_when_one_must_wait),
		cmocka_unit_test(never_calls_after_forget_or_close),
		cmocka_unit_test(answers_what_kubectl_asks_first),
		cmocka_unit_test(escapes_hostile_names),
		cmocka_unit_test(reads_a_rotated_token_again),
		cmocka_unit_test(reads_the_token_again_in_time),
		cmocka_unit_test(says_that_there_is_no_token_file),
		cmocka_unit_test(runs_a_plugin_once_and_again_after_401),
		cmocka_unit_test(says_what_a_plugin_did_wrong),
		cmocka_unit_test(closes_while_a_plugin_runs),
		cmocka_unit_test(edits_labels_and_annotations_at_once),
		cmocka_unit_test(refuses_a_label_value_before_the_server_does),
		cmocka_unit_test(tells_events_and_counts_repeats),
		cmocka_unit_test(keeps_to_its_allowance),
		cmocka_unit_test(cuts_a_long_note_at_a_character),
		cmocka_unit_test(tells_an_event_anew_when_the_server_has_expired_it),
		cmocka_unit_test(evicts_as_budgets_allow),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
