/*
 * kerf mps: who keeps MPS daemons alive while agents come and go.
 *
 * Without a device it is the keeper: agents write DIR/want/UUID, and it has a `kerf mps hold` for
 * each of these, started again when it ends.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/cli.h"
#include "mps/holder.h"
#define LOOK_MS	  200
#define PAUSE_MS  2000 /* before a holder that ended by itself is started again */
#define MAX_UUIDS 64

static const char usage[] =
	"usage: kerf mps [--dir DIR] [--root ROOT]\n"
	"       kerf mps hold UUID [--dir DIR] [--root ROOT]\n"
	"\n"
	"Keeps NVIDIA's MPS control daemons, one for each GPU or MIG device that an agent asks\n"
	"for by a file DIR/want/UUID, and a gate before each: see docs/mps.md.  It is to run\n"
	"beside the agent, not under it, since a daemon's end is the end of all its clients.\n"
	"\n"
	"      --dir DIR    where daemons, gates and their sockets are [/run/kerf/mps]\n"
	"      --root ROOT  where the driver is, or that of a simulated machine [/]\n";

struct ward {
	char uuid[96];
	uv_process_t process;
	int lives, closing;
	uint64_t again_ms;
	struct keeper *keeper;
};

struct keeper {
	uv_loop_t loop;
	uv_timer_t timer;
	uv_signal_t term, interrupt;
	const char *dir, *root;
	int stopping;
	unsigned n;
	struct ward ward[MAX_UUIDS];
};

static int is_uuid(const char *s)
{
	return (!strncmp(s, "GPU-", 4) || !strncmp(s, "MIG-", 4)) && strlen(s) < 90 &&
	       strspn(s, "0123456789abcdefABCDEFGPUMI-") == strlen(s);
}

static void on_closed(uv_handle_t *handle)
{
	struct ward *w = handle->data;

	w->closing = 0;
}

static void on_exit_of_holder(uv_process_t *process, int64_t status, int signum)
{
	struct ward *w = process->data;

	w->lives = 0;
	w->closing = 1;
	w->again_ms = uv_now(&w->keeper->loop) + (status || signum ? PAUSE_MS : 0);
	if (status || signum)
		kf_log(KF_WARN, "mps",
		       "the holder of %s ended (status %d, signal %d); starting it again", w->uuid,
		       (int)status, signum);
	uv_close((uv_handle_t *)process, on_closed);
}

static void launch(struct keeper *k, struct ward *w)
{
	char *argv[] = {(char *)"kerf", (char *)"mps",	  (char *)"hold",  w->uuid, (char *)"--dir",
			(char *)k->dir, (char *)"--root", (char *)k->root, NULL};
	uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
					 {.flags = UV_INHERIT_FD, .data.fd = 1},
					 {.flags = UV_INHERIT_FD, .data.fd = 2}};
	uv_process_options_t opt = {.file = "/proc/self/exe",
				    .args = argv,
				    .exit_cb = on_exit_of_holder,
				    .stdio = stdio,
				    .stdio_count = 3};
	int r;

	w->keeper = k;
	w->process.data = w;
	r = uv_spawn(&k->loop, &w->process, &opt);
	if (r < 0) {
		kf_log(KF_ERROR, "mps", "start the holder of %s: %s; trying again", w->uuid,
		       uv_strerror(r));
		w->again_ms = uv_now(&k->loop) + PAUSE_MS;
		w->closing = 1;
		uv_close((uv_handle_t *)&w->process, on_closed);
		return;
	}
	w->lives = 1;
}

static int is_wanted(const struct keeper *k, const char *uuid)
{
	char path[500];

	snprintf(path, sizeof(path), "%s/want/%s", k->dir, uuid);
	return access(path, F_OK) == 0;
}

static struct ward *ward_of(struct keeper *k, const char *uuid)
{
	unsigned i;

	for (i = 0; i < k->n; i++)
		if (!strcmp(k->ward[i].uuid, uuid))
			return &k->ward[i];
	if (k->n == MAX_UUIDS)
		return NULL;
	snprintf(k->ward[k->n].uuid, sizeof(k->ward[0].uuid), "%.95s", uuid);
	return &k->ward[k->n++];
}

/* A holder whose device nobody wants is told to stop by the agent; one that lives is left alone. */
static void on_look(uv_timer_t *timer)
{
	struct keeper *k = timer->data;
	char path[500];
	struct dirent *e;
	struct ward *w;
	DIR *d;

	snprintf(path, sizeof(path), "%s/want", k->dir);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		w = is_uuid(e->d_name) ? ward_of(k, e->d_name) : NULL;
		if (w && !w->lives && !w->closing && uv_now(&k->loop) >= w->again_ms &&
		    is_wanted(k, w->uuid))
			launch(k, w);
	}
	if (d)
		closedir(d);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct keeper *k = handle->data;
	unsigned i;

	(void)signum;
	uv_timer_stop(&k->timer);
	for (i = 0; i < k->n; i++)
		if (k->ward[i].lives)
			uv_process_kill(&k->ward[i].process, SIGTERM);
	uv_close((uv_handle_t *)&k->timer, NULL);
	uv_close((uv_handle_t *)&k->term, NULL);
	uv_close((uv_handle_t *)&k->interrupt, NULL);
}

static int make_folders(const struct keeper *k, struct kf_error *err)
{
	char path[500];

	snprintf(path, sizeof(path), "%s/want", k->dir);
	if ((mkdir(k->dir, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(path, 0755) < 0 && errno != EEXIST))
		return kf_fail(err, KF_E_SYSTEM, errno, "make %s: %s", path, strerror(errno));
	return 0;
}

/* Until SIGTERM; then all holders end, and with them daemons and clients. */
static int keep(const char *dir, const char *root)
{
	struct keeper *k = kf_calloc(1, sizeof(*k));
	struct kf_error err = {0};

	if (!k)
		return KF_EXIT_FAILED;
	k->dir = dir;
	k->root = root;
	if (make_folders(k, &err) < 0) {
		free(k);
		return kf_cli_fail(&err, KF_EXIT_FAILED);
	}
	uv_loop_init(&k->loop);
	uv_timer_init(&k->loop, &k->timer);
	uv_signal_init(&k->loop, &k->term);
	uv_signal_init(&k->loop, &k->interrupt);
	k->timer.data = k->term.data = k->interrupt.data = k;
	uv_signal_start(&k->term, on_signal, SIGTERM);
	uv_signal_start(&k->interrupt, on_signal, SIGINT);
	uv_timer_start(&k->timer, on_look, 0, LOOK_MS);
	uv_run(&k->loop, UV_RUN_DEFAULT);
	uv_loop_close(&k->loop);
	free(k);
	return KF_EXIT_OK;
}

static int hold(const char *uuid, const char *dir, const char *root)
{
	struct kf_holder_options opt = {.dir = dir, .uuid = uuid, .root = root};
	struct kf_error err = {0};

	if (!is_uuid(uuid)) {
		kf_fail(&err, KF_E_INPUT, 0, "'%.80s' is no UUID of a GPU or MIG device", uuid);
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	}
	return kf_holder_run(&opt, &err) < 0 ? kf_cli_fail(&err, KF_EXIT_FAILED) : KF_EXIT_OK;
}

/* kerf mps in ROOT PROGRAM ARGUMENT...: NVIDIA's programs want their own root. */
static int run_in(char **argv)
{
	struct kf_error err = {0};

	if (chroot(argv[0]) < 0 || chdir("/") < 0)
		kf_fail(&err, KF_E_SYSTEM, errno, "enter the root %s: %s", argv[0],
			strerror(errno));
	else if (execv(argv[1], argv + 1) < 0)
		kf_fail(&err, KF_E_SYSTEM, errno, "run %s in %s: %s", argv[1], argv[0],
			strerror(errno));
	return kf_cli_fail(&err, KF_EXIT_FAILED);
}

static int run(int argc, char **argv)
{
	const char *dir = "/run/kerf/mps", *root = "/", *uuid = NULL;
	struct kf_error err = {0};
	int i;

	if (argc > 3 && !strcmp(argv[1], "in"))
		return run_in(argv + 2);
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--dir") && i + 1 < argc) {
			dir = argv[++i];
		} else if (!strcmp(argv[i], "--root") && i + 1 < argc) {
			root = argv[++i];
		} else if (!strcmp(argv[i], "hold") && i + 1 < argc && !uuid) {
			uuid = argv[++i];
		} else {
			kf_fail(&err, KF_E_INPUT, 0,
				"mps: '%.80s' is wrong here; `kerf help mps` says how", argv[i]);
			return kf_cli_fail(&err, KF_EXIT_USAGE);
		}
	}
	return uuid ? hold(uuid, dir, root) : keep(dir, root);
}

const struct kf_command kf_cmd_mps = {
	.name = "mps",
	.summary = "keep MPS daemons and the gates before them",
	.usage = usage,
	.run = run,
};
