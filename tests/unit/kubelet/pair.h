/*
 * The plugin and the stand-in kubelet in one loop, over real sockets in a directory of their own.
 */
#pragma once

#include "kftest.h"

#include <uv.h>

#include "kubelet/kubelet.h"
#include "kubelet/standin.h"

struct pair {
	uv_loop_t loop;
	char root[64], directory[96];
	struct kf_kubelet *plugin;
	struct kf_sim_kubelet *kubelet;
	struct kf_offers offers; /* what the test offers: change it, then pair_publish */

	unsigned coalesce_ms; /* of the plugins that are started; 40 */

	/* what the events told */
	unsigned registered, listening, deaf, troubles, allocations;
	char trouble[512];
	const char *refuse; /* Allocate answers this sentence when set */
	int drop_list;	    /* Allocate publishes an empty list while it is under way */
};

void pair_start(struct pair *p); /* both, nothing offered */
void pair_end(struct pair *p);
void pair_start_kubelet(struct pair *p);
void pair_stop_kubelet(struct pair *p);
void pair_start_plugin(struct pair *p);
void pair_stop_plugin(struct pair *p);
/* n healthy devices, "RESOURCE/0".. in place of what was offered under this name. */
void pair_offer(struct pair *p, const char *resource, unsigned n);
void pair_publish(struct pair *p);
void pair_add(struct pair *p, const char *pod, const char *resource, unsigned n);

/* Turn the loop until the condition holds; fails the test after 20 s. */
#define pair_until(p, condition)                                                                   \
	do {                                                                                       \
		uint64_t until_end = uv_hrtime() + 20000000000u;                                   \
		while (!(condition)) {                                                             \
			pair_turn(p);                                                              \
			if (uv_hrtime() > until_end)                                               \
				fail_msg("never: %s", #condition);                                 \
		}                                                                                  \
	} while (0)
void pair_turn(struct pair *p); /* at most 5 ms */

unsigned pair_capacity(struct pair *p, const char *resource);
unsigned pair_allocatable(struct pair *p, const char *resource);
const struct kf_sim_pod *pair_pod(struct pair *p, const char *name);
int pair_running(struct pair *p, const char *name);
unsigned long pair_lists(struct pair *p); /* messages that the kubelet got */
