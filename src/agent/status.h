/* What `kerf status` shows, as JSON and as text for people. */
#pragma once

#include <jansson.h>

#include "agent/timeslice.h"
#include "agent/withdraw.h"
#include "config/settings.h"
#include "health/health.h"
#include "kubelet/offer.h"
#include "model/holds.h"
#include "model/node.h"

struct kf_agent_counts;

/* All borrowed; what is NULL or empty is left out. */
struct kf_status_view {
	const char *source; /* "agent", or "driver" when no agent was asked */
	const char *node_name;
	const struct kf_node *node;
	const char *driver_trouble; /* why there is no node, or an old one */
	const struct kf_holds *holds;
	const struct kf_withdrawals *withdrawals;
	const struct kf_health *health;
	enum kf_mig_strategy strategy;
	const char *config, *state, *reason;
	const char *cdi;     /* how containers get their devices, and why so */
	const char *warning; /* of the strategy: slices held back */
	const struct kf_agent_counts *counts;
	const struct kf_offers *listed;	  /* what the kubelet is offered */
	unsigned sale_held, sale_waiting; /* ids of the old way of selling that are listed still:
					     held by pods; the kubelet is to let go of them */
	const struct kf_time_slices *time_slices;
	const char *file_trouble; /* why the configuration file is not in force */
	const char *notes;	  /* on what it says, a line each */
	const char *metrics;	  /* the address at which they are served */
	int released;		  /* the driver is closed, for `kerf release` */
	const char *passive;	  /* why nothing is offered: another plugin serves */
	const char *toolkit;	  /* what is wrong with it */
};

/* NULL: no memory.  The caller's to json_decref. */
json_t *kf_status_json(const struct kf_status_view *view);

#define KF_STATUS_WIDE	 1 /* UUIDs, bus addresses, how containers get their devices, metrics */
#define KF_STATUS_COLOUR 2 /* states in colours, for a terminal */

/* The table for people, from that JSON.  The caller's to free; NULL: no memory. */
char *kf_status_text(json_t *status, unsigned flags);
