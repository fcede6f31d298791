/*
 * The thread that measures: one reading of each GPU after the other, into the hub.
 *
 * It has a session of the driver library to itself and may be stopped by nothing but the driver.
 * Quick readings come while somebody looks (kf_hub_looked), slow ones else.  A call that takes
 * longer than KF_HUNG_MS holds up its own GPU only: another thread goes on with the others, and the
 * one that hangs comes back or does not.
 *
 * Changes of MIG mode want the driver closed, and no instance may be destroyed while a handle of it
 * is in use: the agent pauses the sampler before such a step and lets it go on after.
 */
#pragma once

#include "metrics/sample.h"

struct kf_error;
struct kf_sampler;

#define KF_HUNG_MS 2000
/* Somebody who has looked within this may be expected to look again soon. */
#define KF_LOOKED_MS 60000

struct kf_sampler_options {
	const char *root;  /* as for kf_nvml_open; /proc is looked for there, too */
	unsigned quick_ms; /* between readings while somebody looks */
	unsigned slow_ms;  /* else */
	struct kf_counters counters;
	/* The sampler has come to rest after kf_sampler_pause; called once for each, from a thread
	 * of the sampler's. */
	void (*rested)(void *ud);
	void *ud;
};

/* Starts measuring.  Keeps the hub, copies the options.  0 and *ret, or negative: no thread. */
int kf_sampler_start(struct kf_hub *hub, const struct kf_sampler_options *opt,
		     struct kf_sampler **ret, struct kf_error *err);

/* Rest; with `close` the driver library as well.  `rested` comes when that is so, which may be
 * never if the driver hangs. */
void kf_sampler_pause(struct kf_sampler *s, int close);
void kf_sampler_resume(struct kf_sampler *s);

/* Somebody looks: measure soon, and see to calls that hang.  From any thread; waits for nothing. */
void kf_sampler_poke(struct kf_sampler *s);

/*
 * End.  1: a call of the driver's hangs still; sampler and hub are then left to it (they must not
 * be freed), which is all right for a process that ends.  0: all is gone.
 */
int kf_sampler_stop(struct kf_sampler *s);
