/*
 * The holder of one MPS control daemon, for one GPU or MIG device: `kerf mps hold UUID`.
 *
 * It outlives agents.  In its folder DIR/UUID:
 *
 *	holder.sock	what agents ask, one JSON object a line, and are answered by one
 *	slices.json	the slices, so that a new holder opens the same gates
 *	pipe, log	the daemon's own
 *	gate/RANDOM	of each slice; this folder is what a pod gets
 *
 *	{"op":"status"}					daemon, server, slices, clients, events
 *	{"op":"add","slice":{"name","bytes","percent","pod"}}	-> {"ok":true,"folder":"/..."}
 *	{"op":"remove","name":"..."}
 *	{"op":"stop"}					daemon, gates and folder go
 *
 * An answer is {"ok":true,...} or {"ok":false,"error":"a sentence"}.
 *
 * The daemon is watched twice a second: one that has died or stands in FAULT is brought back, and
 * the clients that linger under a fault are ended, since none new is let in while one lives.
 */
#pragma once

#include "mps/control.h"

struct kf_error;
struct kf_holder_options {
	const char *dir;  /* "/run/kerf/mps" */
	const char *uuid; /* GPU-... or MIG-... */
	const char *root; /* where the driver and NVIDIA's programs are: "/", or a mount of it */
};

/* Until SIGTERM or "stop".  0, or negative: *err. */
int kf_holder_run(const struct kf_holder_options *opt, struct kf_error *err);
