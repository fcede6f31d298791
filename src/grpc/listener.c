/* The server's end of pipe.h: a listening socket and its connections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/own.h"
#include "grpc/address.h"
#include "grpc/pipe.h"
#include "grpc/wire.h"

#define MAX_CONNECTIONS 16  /* the kubelet needs one, and a second while it reconnects */
#define BACKLOG		128 /* so that nobody keeps the kubelet out by dialling and hanging up */
#define GOODBYE_MS	500 /* for a peer to read GOAWAY and the ends of its calls */

struct kf_grpc_listener {
	uv_loop_t *loop;
	char *path;
	struct stat made; /* the socket's name, as we made it */
	struct kf_grpc_listener_options opt;
	const struct kf_grpc_server_events *ev;
	void *ud;
	uv_pipe_t server;
	int server_open;
	uv_pipe_t spare; /* takes a connection that there is no memory for, to close it */
	int spare_open, spare_wanted;
	struct wire *wires;
	unsigned n_wires;
	unsigned long accepted, strangers;
	int stopping;
	void (*done)(void *ud);
	void *done_ud;
};

static void free_when_closed(struct kf_grpc_listener *l)
{
	void (*done)(void *ud) = l->done;
	void *ud = l->done_ud;

	if (l->server_open || l->spare_open || l->wires)
		return;
	free(l->path);
	free(l);
	if (done)
		done(ud);
}

static void on_server_closed(uv_handle_t *h)
{
	struct kf_grpc_listener *l = h->data;

	l->server_open = 0;
	free_when_closed(l);
}

static void on_ended(void *ud, struct wire *w, const struct kf_error *why)
{
	wire_close(w);
}

static void on_gone(void *ud, struct wire *w)
{
	struct kf_grpc_listener *l = ud;
	struct wire **at = &l->wires;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	l->n_wires--;
	if (l->stopping)
		free_when_closed(l);
}

static const struct wire_owner owner = {.ended = on_ended, .gone = on_gone};

static void turn_away(struct kf_grpc_listener *l);

static void on_spare_closed(uv_handle_t *h)
{
	struct kf_grpc_listener *l = h->data;

	l->spare_open = 0;
	if (l->stopping)
		free_when_closed(l);
	else if (l->spare_wanted)
		turn_away(l);
}

/* libuv accepts no other connection while one is not taken, so take it and close it. */
static void turn_away(struct kf_grpc_listener *l)
{
	l->spare_wanted = l->spare_open;
	if (l->spare_open)
		return;
	uv_pipe_init(l->loop, &l->spare, 0);
	l->spare.data = l;
	l->spare_open = 1;
	uv_accept((uv_stream_t *)&l->server, (uv_stream_t *)&l->spare);
	uv_close((uv_handle_t *)&l->spare, on_spare_closed);
	l->strangers++;
}

/* May this process talk to us?  Root, or who we are ourselves (tests, several agents). */
static int welcome(const struct wire *w)
{
	uv_os_fd_t fd;
	unsigned uid;

	if (uv_fileno((const uv_handle_t *)&w->pipe, &fd) != 0 || kf_unix_peer(fd, &uid) < 0)
		return 0;
	return uid == 0 || uid == geteuid();
}

static void on_connection(uv_stream_t *s, int status)
{
	struct kf_grpc_listener *l = s->data;
	kf_auto(kf_grpc_freep) struct kf_grpc *g = NULL;
	struct wire *w;

	if (status < 0)
		return;
	if (kf_grpc_server_new(&l->opt.limits, l->ev, l->ud, &g, NULL) < 0 ||
	    wire_open(l->loop, s, -1, g, &owner, l, &w, NULL) < 0) {
		turn_away(l);
		return;
	}
	g = NULL;
	w->next = l->wires;
	l->wires = w;
	l->n_wires++;
	l->accepted++;
	if (l->n_wires > l->opt.max_connections || !welcome(w)) {
		l->strangers++;
		wire_close(w);
	}
}

/* Bind, remember the name's inode, listen. */
static int open_server(struct kf_grpc_listener *l, struct kf_error *err)
{
	int fd = kf_unix_bind(l->path, err);
	int r;

	if (fd < 0)
		return -1;
	if (stat(l->path, &l->made) < 0)
		kf_fail_errno(err, errno, "stat %s", l->path);
	else if ((r = uv_pipe_open(&l->server, fd)) != 0)
		kf_fail(err, KF_E_SYSTEM, -r, "take socket %s: %s", l->path, uv_strerror(r));
	else if ((r = uv_listen((uv_stream_t *)&l->server, BACKLOG, on_connection)) != 0)
		kf_fail(err, KF_E_SYSTEM, -r, "listen on %s: %s", l->path, uv_strerror(r));
	else
		return 0;
	if (uv_fileno((uv_handle_t *)&l->server, &(uv_os_fd_t){0}) != 0)
		close(fd); /* libuv did not take it */
	unlink(l->path);
	return -1;
}

int kf_grpc_listen(uv_loop_t *loop, const char *path, const struct kf_grpc_listener_options *opt,
		   const struct kf_grpc_server_events *ev, void *ud, struct kf_grpc_listener **ret,
		   struct kf_error *err)
{
	struct kf_grpc_listener *l = kf_calloc(1, sizeof(*l));

	if (l)
		l->path = kf_strdup(path);
	if (!l || !l->path) {
		free(l);
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to listen on %s", path);
	}
	l->loop = loop;
	l->ev = ev;
	l->ud = ud;
	if (opt)
		l->opt = *opt;
	if (!l->opt.max_connections)
		l->opt.max_connections = MAX_CONNECTIONS;
	uv_pipe_init(loop, &l->server, 0);
	l->server.data = l;
	l->server_open = 1;
	if (open_server(l, err) < 0) {
		l->stopping = 1;
		uv_close((uv_handle_t *)&l->server, on_server_closed);
		return -1;
	}
	*ret = l;
	return 0;
}

static int name_is_ours(const struct kf_grpc_listener *l)
{
	struct stat now;

	return lstat(l->path, &now) == 0 && now.st_dev == l->made.st_dev &&
	       now.st_ino == l->made.st_ino;
}

int kf_grpc_listener_intact(const struct kf_grpc_listener *l)
{
	return name_is_ours(l);
}

void kf_grpc_listener_count(const struct kf_grpc_listener *l, unsigned long *ret_accepted,
			    unsigned long *ret_strangers)
{
	*ret_accepted = l->accepted;
	*ret_strangers = l->strangers;
}

void kf_grpc_listener_stop(struct kf_grpc_listener *l, void (*done)(void *ud), void *ud)
{
	struct wire *w;

	l->done = done;
	l->done_ud = ud;
	l->stopping = 1;
	if (name_is_ours(l))
		unlink(l->path);
	for (w = l->wires; w; w = w->next) {
		if (w->failed || w->doomed)
			continue;
		kf_grpc_mute(w->g);
		kf_grpc_finish_all(w->g, KF_GRPC_UNAVAILABLE, "the server is stopping");
		kf_grpc_shutdown(w->g);
		wire_end(w, GOODBYE_MS);
	}
	uv_close((uv_handle_t *)&l->server, on_server_closed);
}
