/*
 * Pods on their way out: the API server forgets a pod, and its scheduler what the pod took, before
 * the kubelet's list can follow.  What such a pod holds is taken off sale as soon as its end is
 * announced, and stays so until nobody holds it.  A value; who watches is going.c.
 */
#pragma once

#include <stddef.h>

#include "model/holds.h"

struct kf_going_pod {
	char namespace[64], name[256], uid[64];
	int gone; /* from the API server: kept while its holds last */
	int seen; /* in the listing under way */
};

/* Zeroed is empty. */
struct kf_going {
	unsigned n;
	struct kf_going_pod *pod;
	size_t capacity;
};

/* Enter it, or note that it is going still.  1: it was not entered before; 0; -1: no memory. */
int kf_going_add(struct kf_going *g, const char *namespace, const char *name, const char *uid);
/* The API server has it no more, or another of its name has come.  1 if it was entered, else 0. */
int kf_going_gone(struct kf_going *g, const char *namespace, const char *name, const char *uid);
/* A listing begins; it is over: what was not in it is gone. */
void kf_going_list(struct kf_going *g);
void kf_going_listed(struct kf_going *g);
/* Is this hold such a pod's?  1 or 0.  A hold without a uid is told by its name. */
int kf_going_has(const struct kf_going *g, const struct kf_hold *hold);
/* Forget the pods that are gone and hold nothing. */
void kf_going_prune(struct kf_going *g, const struct kf_holds *holds);
void kf_going_done(struct kf_going *g);
