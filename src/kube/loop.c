/*
 * libcurl's multi interface on a uv loop.
 *
 * libcurl names the sockets and the one timer it waits for; we give each socket a uv_poll_t and
 * report what happens.  Callbacks of ours only take notes while libcurl is at work
 * (kf_transfer_settle comes after).
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/error.h"
#include "kube/client.h"

struct kf_socket {
	uv_poll_t poll;
	struct kf_kube *kube;
	curl_socket_t fd;
};

static void act(struct kf_kube *k, curl_socket_t fd, int flags)
{
	int running;

	curl_multi_socket_action(k->multi, fd, flags, &running);
	kf_transfer_settle(k);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct kf_socket *s = p->data;
	int flags = 0;

	if (status < 0)
		flags |= CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	act(s->kube, s->fd, flags);
}

static void socket_closed(uv_handle_t *h)
{
	struct kf_socket *s = h->data;
	struct kf_kube *k = s->kube;

	free(s);
	kf_kube_one_closed(k);
}

static struct kf_socket *new_socket(struct kf_kube *k, curl_socket_t fd)
{
	struct kf_socket *s = kf_calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (uv_poll_init_socket(k->loop, &s->poll, fd) < 0) {
		free(s);
		return NULL;
	}
	s->poll.data = s;
	s->kube = k;
	s->fd = fd;
	k->n_open++;
	curl_multi_assign(k->multi, fd, s);
	return s;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *of_socket)
{
	struct kf_kube *k = ud;
	struct kf_socket *s = of_socket;
	int events = 0;

	if (what == CURL_POLL_REMOVE) {
		if (s) {
			curl_multi_assign(k->multi, fd, NULL);
			uv_close((uv_handle_t *)&s->poll, socket_closed);
		}
		return 0;
	}
	if (!s)
		s = new_socket(k, fd);
	if (!s)
		return -1;
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	return uv_poll_start(&s->poll, events, on_poll) < 0 ? -1 : 0;
}

static void on_timeout(uv_timer_t *t)
{
	act(t->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long ms, void *ud)
{
	struct kf_kube *k = ud;

	if (ms < 0)
		uv_timer_stop(&k->curl_timer);
	else
		uv_timer_start(&k->curl_timer, on_timeout, (uint64_t)ms, 0);
	return 0;
}

int kf_loop_open(struct kf_kube *k, struct kf_error *err)
{
	k->multi = curl_multi_init();
	if (!k->multi)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for libcurl");
	uv_timer_init(k->loop, &k->curl_timer);
	k->curl_timer.data = k;
	k->n_open++;
	curl_multi_setopt(k->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(k->multi, CURLMOPT_SOCKETDATA, k);
	curl_multi_setopt(k->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(k->multi, CURLMOPT_TIMERDATA, k);
	curl_multi_setopt(k->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	return 0;
}

static void timer_closed(uv_handle_t *h)
{
	kf_kube_one_closed(h->data);
}

void kf_loop_close(struct kf_kube *k)
{
	/* closes connections, and so tells on_socket to let go of each */
	curl_multi_cleanup(k->multi);
	k->multi = NULL;
	uv_close((uv_handle_t *)&k->curl_timer, timer_closed);
}
