/*
 * A stand-in for the kubelet: as much of it as a device plugin meets, over real unix sockets, in
 * the loop of a test or of the demo.
 *
 * It does what the real one does, in the order in which that does it (kubernetes.md 1.3 to 1.7):
 * wipes the sockets at its start, calls a plugin back before it answers Register, keeps one
 * ListAndWatch a resource, marks devices unhealthy when it ends and drops them after five minutes,
 * writes its checkpoint with every list and every allocation, asks for a preference when there is
 * a choice, allocates container by container, one pod at a time.  It is a scheduler too: a pod that
 * does not fit stays pending, and is tried again when something changed.
 *
 * Where the real one would crash (an ID that left the list while its Allocate was under way), it
 * counts a panic and goes on, so that a test can see it.
 */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "kubelet/answer.h"
#include "kubelet/offer.h"

struct kf_sim_kubelet;

enum kf_sim_pod_state { KF_SIM_POD_PENDING, KF_SIM_POD_RUNNING, KF_SIM_POD_FAILED };

struct kf_sim_request {
	char resource[KF_RESOURCE_NAME];
	unsigned count;
};

struct kf_sim_pod_device {
	char resource[KF_RESOURCE_NAME];
	char id[KF_DEVICE_ID];
	int numa;
};

/* A pod of one container, "main", in namespace "default". */
struct kf_sim_pod {
	struct kf_sim_pod *next; /* in order of creation */
	char name[64], uid[40];
	enum kf_sim_pod_state state;
	char why[512]; /* it is pending or failed, as a user would read it */
	unsigned n_requests;
	struct kf_sim_request request[8];
	unsigned n_devices;
	struct kf_sim_pod_device *device;
	size_t capacity;
	struct kf_answer answer[8]; /* of Allocate, by request */
	unsigned allocate_us;	    /* from the last Allocate to its answer */
	int forced;		    /* device[] was chosen by the test */
	int gone;		    /* deleted; the device manager has not noticed yet */
};

struct kf_sim_resource {
	char name[KF_RESOURCE_NAME];
	unsigned capacity, allocatable, used; /* as the Node's status would say */
};

/* Zeroed fields mean the default. */
struct kf_sim_kubelet_options {
	const char *directory;	  /* the device-plugins directory; made if absent */
	const char *podresources; /* the socket; directory/../pod-resources/kubelet.sock */
	unsigned grace_ms;	  /* 5 min */
	int no_podresources;	  /* as an agent that does not see the socket */
};

/* Any may be NULL. */
struct kf_sim_kubelet_events {
	/* A plugin registered; its stream ended; it sent a list. */
	void (*resource)(void *ud, const char *resource, const char *what);
	/* A pod's state changed. */
	void (*pod)(void *ud, const struct kf_sim_pod *pod);
};

struct kf_sim_kubelet_counts {
	unsigned long registered, streams_ended, lists, preferred, allocated, refused, panics;
};

/* 0 and listening, or negative. */
int kf_sim_kubelet_start(uv_loop_t *loop, const struct kf_sim_kubelet_options *opt,
			 const struct kf_sim_kubelet_events *ev, void *ud,
			 struct kf_sim_kubelet **ret, struct kf_error *err);

/* A pod to run; 0, or negative: the name is taken, too many requests, no memory. */
int kf_sim_kubelet_add(struct kf_sim_kubelet *k, const char *name,
		       const struct kf_sim_request *request, unsigned n, struct kf_error *err);
/*
 * A pod of one resource that gets exactly these devices, healthy and free or not: a kubelet that
 * had chosen before it read the latest list.
 */
int kf_sim_kubelet_add_forced(struct kf_sim_kubelet *k, const char *name, const char *resource,
			      const char *const *ids, unsigned n, struct kf_error *err);
/* 0, or negative: there is no such pod. */
int kf_sim_kubelet_delete(struct kf_sim_kubelet *k, const char *name, struct kf_error *err);
/* Stop and start again at once: connections end, sockets are wiped, pods keep what they have. */
int kf_sim_kubelet_restart(struct kf_sim_kubelet *k, struct kf_error *err);
/* End one ListAndWatch and nothing else, as a kubelet with a lost stream; 0 or negative. */
int kf_sim_kubelet_drop_stream(struct kf_sim_kubelet *k, const char *resource,
			       struct kf_error *err);

/* While it is on, GetAllocatableResources is not answered: a kubelet that is busy. */
void kf_sim_kubelet_hold_allocatable(struct kf_sim_kubelet *k, int on);

/* The pod that is being admitted at this moment, or NULL. */
const struct kf_sim_pod *kf_sim_kubelet_admitting(const struct kf_sim_kubelet *k);
/* The pods, in order of creation; skip those that are gone. */
const struct kf_sim_pod *kf_sim_kubelet_pods(const struct kf_sim_kubelet *k);
const struct kf_sim_pod *kf_sim_kubelet_pod(const struct kf_sim_kubelet *k, const char *name);
/* 1 and *ret, or 0: no such resource. */
int kf_sim_kubelet_resource(const struct kf_sim_kubelet *k, const char *name,
			    struct kf_sim_resource *ret);
/* The i-th resource: 1, or 0 past the end. */
int kf_sim_kubelet_resource_at(const struct kf_sim_kubelet *k, unsigned i,
			       struct kf_sim_resource *ret);
/* What the plugin listed last, or NULL. */
const struct kf_offer *kf_sim_kubelet_list(const struct kf_sim_kubelet *k, const char *resource);
void kf_sim_kubelet_count(const struct kf_sim_kubelet *k, struct kf_sim_kubelet_counts *ret);

/* Stop; sockets are removed.  `done` (may be NULL) comes from the loop when all is freed. */
void kf_sim_kubelet_stop(struct kf_sim_kubelet *k, void (*done)(void *ud), void *ud);
