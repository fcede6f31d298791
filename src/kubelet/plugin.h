/*
 * Inside kubelet/ only: the object behind kubelet.h and its parts, a file each.
 *
 *	kubelet.c	publish, stop, counts: the public face
 *	plugin.c	one resource: its socket, its streams, its list, its end
 *	request.c	what the kubelet asks of a resource's server
 *	register.c	telling the kubelet of a resource, again and again if need be
 *	watch.c		the directory, and whose sockets are in it
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "grpc/pipe.h"
#include "kubelet/kubelet.h"
#include "kubelet/message.h"

#define MAX_STREAMS 4 /* one, and a second while a kubelet changes over */

/* A file as it was when we looked: enough to see that another one took its name. */
struct file_id {
	int there;
	uint64_t device, inode;
	int64_t born_s;
	uint32_t born_ns;
};

struct stream {
	struct kf_grpc_call *call;
	int stale; /* the list changed while the last one was still going out */
};

enum registration {
	REGISTRATION_NONE,    /* not known to the kubelet; `retry` is armed */
	REGISTRATION_CALLING, /* Register is under way; `retry` is its deadline */
	REGISTRATION_DONE,    /* answered; without a stream `retry` is armed */
};

/* One resource. */
struct plugin {
	struct kf_kubelet *k;
	struct plugin *next;
	struct kf_offer offer;
	int leaving; /* no longer offered: the empty list, then the end */
	int closing; /* only waits for its handles */
	unsigned n_open;

	struct kf_grpc_listener *listener;
	char endpoint[96]; /* the socket's name in the directory */
	struct stream stream[MAX_STREAMS];
	unsigned n_streams;

	uv_timer_t send; /* the end of a burst of changes */
	uint64_t sent_ms;
	int dirty;

	enum registration registration;
	struct kf_grpc_pipe *pipe; /* while calling */
	uv_timer_t retry;
	unsigned pause_ms;    /* before the next try */
	unsigned goodbyes;    /* seconds since it is leaving */
	struct kf_error last; /* told, and not told again while it stays the same */
};

struct kf_kubelet {
	uv_loop_t *loop;
	char *directory, *socket; /* and kubelet.sock in it */
	struct kf_kubelet_options opt;
	const struct kf_kubelet_events *ev;
	void *ud;
	struct kf_kubelet_counts counts;
	struct plugin *plugins;

	uv_timer_t check;
	uv_fs_event_t watch;
	int watching;
	struct file_id directory_id, socket_id;

	unsigned n_open;
	int stopping;
	void (*done)(void *ud);
	void *done_ud;
};

/* kubelet.c */
void kubelet_handle_closed(struct kf_kubelet *k);
void kubelet_trouble(struct kf_kubelet *k, const struct kf_error *err);

/* plugin.c */
struct plugin *plugin_new(struct kf_kubelet *k, const char *resource);
/* Takes *offer.  `now` sends it at once, else when the burst is over. */
void plugin_offer(struct plugin *p, struct kf_offer *offer);
void plugin_send(struct plugin *p);
void plugin_leave(struct plugin *p);
void plugin_close(struct plugin *p);
void plugin_handle_closed(void *plugin);
/* The listener is there and its name too: 0; or it is made: 0 or negative. */
int plugin_listen(struct plugin *p, struct kf_error *err);
/* Close the socket and every stream; 1 if there was a stream. */
int plugin_drop(struct plugin *p);
/* A stream opened: 0, or -1 when there are too many. */
int plugin_stream_opened(struct plugin *p, struct kf_grpc_call *call);
void plugin_stream_drained(struct plugin *p, struct kf_grpc_call *call);
void plugin_stream_closed(struct plugin *p, struct kf_grpc_call *call);

/* request.c */
extern const struct kf_grpc_server_events plugin_requests;

/* register.c */
/* Register at the next turn of the loop, after ms. */
void register_after(struct plugin *p, unsigned ms);
/* Again after a pause, longer each time. */
void register_again(struct plugin *p);
/* Forget what there is and begin anew: another kubelet, or our socket is gone. */
void register_anew(struct plugin *p);
void register_cancel(struct plugin *p);

/* watch.c */
void watch_look(struct kf_kubelet *k);
void watch_sweep(const struct kf_kubelet *k);
