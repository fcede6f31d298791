/* `kerf demo`: from a node label to 56 pods on MIG slices, and on to another label. */
#pragma once

struct kf_error;

/*
 * Play it on a simulated p4d.24xlarge; told on standard output as it happens.  Takes some 15 s.
 * 0 when everything came out as told, else negative: *err says what did not.
 */
int kf_demo_run(struct kf_error *err);
