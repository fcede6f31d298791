/* The stage of the demo; see stage.h. */
#include "demo/stage.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/text.h"

/* --- processes ----------------------------------------------------------------------------- */

/* Start this program with other arguments; its output goes to `log` in the stage's directory. */
static int spawn(const struct kf_stage *s, const char *const argv[], const char *log)
{
	char path[128];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", s->dir, log);
	pid = fork();
	if (pid != 0)
		return (int)pid;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	}
	execv(s->self, (char *const *)argv); /* it does not write to them */
	_exit(127);
}

static int wait_for(int pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void remove_dir(const char *dir)
{
	const char *const argv[] = {"rm", "-rf", "--", dir, NULL};
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid > 0)
		wait_for((int)pid);
}

void kf_stage_print_log(const struct kf_stage *s)
{
	kf_auto_mem char *text = NULL;
	char path[128];
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/agent.log", s->dir);
	text = kf_read_file(path, 16 << 20, &n, NULL);
	if (text)
		fprintf(stderr, "the agent's log ends:\n%s\n", n > 4000 ? text + n - 4000 : text);
}

/* --- requests ------------------------------------------------------------------------------ */

static size_t collect(char *data, size_t size, size_t n, void *ud)
{
	kf_text_addn(ud, data, size * n);
	return size * n;
}

/* One request to the stand-in API server, which answers from threads of its own. */
static json_t *request(struct kf_stage *s, const char *method, const char *path, const char *body,
		       struct kf_error *err)
{
	struct curl_slist *headers = NULL;
	struct kf_text answer = {0};
	CURL *curl = curl_easy_init();
	char url[256];
	json_t *json;
	CURLcode r;

	snprintf(url, sizeof(url), "%s%s", kf_sim_api_url(s->api), path);
	headers = curl_slist_append(headers, "Content-Type: application/merge-patch+json");
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 10L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	if (body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	r = curl_easy_perform(curl);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	json = answer.s ? json_loads(answer.s, 0, NULL) : NULL;
	kf_text_done(&answer);
	if (r != CURLE_OK || !json)
		kf_fail(err, KF_E_REMOTE, (int)r, "%s %s: %s", method, path, curl_easy_strerror(r));
	return json;
}

int kf_stage_label(struct kf_stage *s, const char *key, const char *value, struct kf_error *err)
{
	json_t *patch = json_pack("{s:{s:{s:s}}}", "metadata", "labels", key, value);
	char *body = json_dumps(patch, 0);
	json_t *node = request(s, "PATCH", "/api/v1/nodes/" STAGE_NODE, body, err);

	free(body);
	json_decref(patch);
	json_decref(node);
	return node ? 0 : -1;
}

void kf_stage_get(struct kf_stage *s, const char *what, const char *key, char *out, size_t size)
{
	json_t *node = request(s, "GET", "/api/v1/nodes/" STAGE_NODE, NULL, NULL);
	json_t *map = json_object_get(json_object_get(node, "metadata"), what);
	const char *value = json_string_value(json_object_get(map, key));

	snprintf(out, size, "%s", value ? value : "");
	json_decref(node);
}

json_t *kf_stage_status(struct kf_stage *s)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	kf_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct kf_text text = {0};
	char buf[4096];
	json_t *json;
	ssize_t n;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/state/agent.sock", s->dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return NULL;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		kf_text_addn(&text, buf, (size_t)n);
	json = text.s ? json_loads(text.s, 0, NULL) : NULL;
	kf_text_done(&text);
	return json;
}

/* --- waiting ------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

int kf_stage_wait(struct kf_stage *s, int (*condition)(struct kf_stage *s, const void *arg),
		  const void *arg, unsigned ms)
{
	uint64_t end;

	uv_update_time(&s->loop);
	end = uv_now(&s->loop) + ms;
	for (;;) {
		if (condition(s, arg))
			return 1;
		if (uv_now(&s->loop) >= end)
			return 0;
		uv_run(&s->loop, UV_RUN_ONCE);
	}
}

static int never(struct kf_stage *s, const void *arg)
{
	(void)s;
	(void)arg;
	return 0;
}

void kf_stage_pause(struct kf_stage *s, unsigned ms)
{
	kf_stage_wait(s, never, NULL, ms);
}

/* --- open and close ------------------------------------------------------------------------ */

static int make_machine(struct kf_stage *s, const char *machine, struct kf_error *err)
{
	char dir[128];
	const char *const argv[] = {"kerf", "sim", "create", machine, dir, NULL};

	snprintf(dir, sizeof(dir), "%s/machine", s->dir);
	if (wait_for(spawn(s, argv, "sim.log")) != 0)
		return kf_fail(err, KF_E_SYSTEM, 0, "`kerf sim create %s %s` failed", machine, dir);
	return 0;
}

static int start_api(struct kf_stage *s, struct kf_error *err)
{
	static const char node[] =
		"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" STAGE_NODE
		"\"}}";
	struct kf_sim_api_options opt = {0};
	kf_auto_mem char *kubeconfig = NULL;
	char path[128];
	json_t *made;

	if (kf_sim_api_start(&opt, &s->api, err) < 0)
		return -1;
	made = request(s, "POST", "/api/v1/nodes", node, err);
	json_decref(made);
	if (!made)
		return -1;
	kubeconfig = kf_sim_api_kubeconfig(s->api);
	snprintf(path, sizeof(path), "%s/kubeconfig", s->dir);
	if (!kubeconfig)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a kubeconfig");
	return kf_write_file(path, kubeconfig, strlen(kubeconfig), 0600, 0, err);
}

static void on_pod(void *ud, const struct kf_sim_pod *pod)
{
	struct kf_stage *s = ud;

	if (s->on_pod)
		s->on_pod(s->ud, pod);
}

static int start_kubelet(struct kf_stage *s, struct kf_error *err)
{
	static const struct kf_sim_kubelet_events events = {.pod = on_pod};
	struct kf_sim_kubelet_options opt = {0};
	char dir[128];

	snprintf(dir, sizeof(dir), "%s/kubelet/device-plugins", s->dir);
	opt.directory = dir;
	return kf_sim_kubelet_start(&s->loop, &opt, &events, s, &s->kubelet, err);
}

static int start_agent(struct kf_stage *s, struct kf_error *err)
{
	char root[128], kubelet[128], cdi[128], state[128], kubeconfig[128];
	const char *const argv[] = {
		"kerf",		"agent",     "--root",	    root,	   "--kubelet-dir",
		kubelet,	"--cdi-dir", cdi,	    "--state-dir", state,
		"--kubeconfig", kubeconfig,  "--node-name", STAGE_NODE,	   "--mig-strategy",
		"mixed",	NULL};

	snprintf(root, sizeof(root), "%s/machine/root", s->dir);
	snprintf(kubelet, sizeof(kubelet), "%s/kubelet/device-plugins", s->dir);
	snprintf(cdi, sizeof(cdi), "%s/cdi", s->dir);
	snprintf(state, sizeof(state), "%s/state", s->dir);
	snprintf(kubeconfig, sizeof(kubeconfig), "%s/kubeconfig", s->dir);
	s->agent = spawn(s, argv, "agent.log");
	return s->agent > 0 ? 0 : kf_fail_errno(err, errno, "start the agent");
}

int kf_stage_open(struct kf_stage *s, const char *machine, struct kf_error *err)
{
	ssize_t n = readlink("/proc/self/exe", s->self, sizeof(s->self) - 1);

	if (n < 0)
		return kf_fail_errno(err, errno, "find this program");
	signal(SIGPIPE, SIG_IGN);
	snprintf(s->dir, sizeof(s->dir), "/tmp/kerf-demo-XXXXXX");
	if (!mkdtemp(s->dir))
		return kf_fail_errno(err, errno, "make a directory in /tmp");
	uv_loop_init(&s->loop);
	uv_timer_init(&s->loop, &s->tick);
	uv_timer_start(&s->tick, on_tick, 5, 5);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (make_machine(s, machine, err) == 0 && start_api(s, err) == 0 &&
	    start_kubelet(s, err) == 0 && start_agent(s, err) == 0)
		return 0;
	kf_stage_close(s);
	return -1;
}

void kf_stage_close(struct kf_stage *s)
{
	if (s->agent > 0) {
		kill(s->agent, SIGTERM);
		wait_for(s->agent);
	}
	if (s->kubelet)
		kf_sim_kubelet_stop(s->kubelet, NULL, NULL);
	uv_close((uv_handle_t *)&s->tick, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	uv_loop_close(&s->loop);
	kf_sim_api_stop(s->api);
	curl_global_cleanup();
	remove_dir(s->dir);
}
