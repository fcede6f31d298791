/*
 * Inside sim/kubelet only.
 *
 *	standin.c	start, stop, restart; the questions a test asks
 *	endpoint.c	plugins: Register, their options, their lists
 *	admit.c		pods: who fits, which devices, Allocate
 *	serve.c		PodResources
 *	write.c		the checkpoint file
 */
#pragma once

#include <stdint.h>

#include "grpc/pipe.h"
#include "kubelet/message.h"
#include "kubelet/standin.h"

/* A plugin that registered.  It outlives its connection, for the grace period. */
struct endpoint {
	struct kf_sim_kubelet *k;
	struct endpoint *next;
	struct kf_offer list; /* by the resource's name; what was sent last */
	int prefers;
	int stopped; /* its stream ended; nothing of it is healthy */
	uint64_t stopped_ms;
	struct kf_grpc_pipe *pipe;
	struct kf_grpc_call *stream;
};

/* A Register under way: we have called back and wait for the options. */
struct hello {
	struct kf_sim_kubelet *k;
	struct hello *next;
	char resource[KF_RESOURCE_NAME];
	struct kf_grpc_pipe *pipe;
	struct kf_grpc_call *call; /* the plugin's, to be answered; NULL once it is closed */
	int prefers;
};

/* The one pod that is being admitted. */
struct admission {
	struct kf_sim_pod *pod; /* NULL: none */
	unsigned at;		/* the request under way */
	unsigned first;		/* its first device in pod->device */
	struct kf_grpc_call *call;
	uint64_t asked_ns;
};

#define MAX_HELD 16

struct kf_sim_kubelet {
	uv_loop_t *loop;
	char *directory, *podresources;
	struct kf_sim_kubelet_options opt;
	const struct kf_sim_kubelet_events *ev;
	void *ud;
	struct kf_sim_kubelet_counts counts;
	struct kf_grpc_listener *registry, *lister;
	struct endpoint *endpoints;
	struct hello *hellos;
	struct kf_sim_pod *pods, **pods_end;
	unsigned long n_pods; /* ever; makes UIDs */
	struct admission admission;
	int hold; /* GetAllocatableResources waits */
	struct kf_grpc_call *held[MAX_HELD];
	unsigned n_held;
	uv_timer_t turn; /* to look at pending pods from the loop */
	unsigned n_open;
	int stopping;
	void (*done)(void *ud);
	void *done_ud;
};

/* standin.c */
void standin_closed(void *k);

/* endpoint.c */
extern const struct kf_grpc_server_events registry_events;
struct endpoint *endpoint_find(const struct kf_sim_kubelet *k, const char *resource);
void endpoint_close(struct endpoint *e);
void endpoint_free(struct endpoint *e);
void hello_over(struct hello *h);

/* admit.c */
void admit_soon(struct kf_sim_kubelet *k);
/* The connection of the plugin that is being asked is gone. */
void admit_lost(struct kf_sim_kubelet *k);
/* The kubelet goes down: the pod that is being admitted stays pending. */
void admit_forget(struct kf_sim_kubelet *k);
void admit_update(struct kf_sim_kubelet *k); /* forget pods that are gone */
void pod_free(struct kf_sim_pod *pod);
unsigned endpoint_healthy(const struct endpoint *e);
unsigned endpoint_known(const struct endpoint *e);
unsigned requested(const struct kf_sim_kubelet *k, const char *resource);

/* serve.c */
extern const struct kf_grpc_server_events lister_events;

/* write.c */
void write_checkpoint(const struct kf_sim_kubelet *k);
