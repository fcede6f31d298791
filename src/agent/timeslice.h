/*
 * How long time slices are on each GPU: what is wanted, what the driver was asked for, and what is
 * to be put back.
 *
 * A length counts while the GPU is sold as replicas: it is set before they are first listed, and is
 * put back to the driver's default when the last of them has left the list or the configuration
 * does not speak of it any more.  What we have set stands in a file of the state directory, written
 * before the driver is asked, so that it is put back also by an agent that comes later.  What the
 * driver refuses is told and lived with; it is asked again when its session is a new one.
 *
 * Values, but for the file; who asks the driver is a job (job.h), and timing.c has it do so.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "model/share.h"

struct kf_time_sliced {
	char uuid[KF_UUID];
	enum kf_time_slice want;
	enum kf_time_slice asked; /* of the driver, the last time */
	int is_due;		  /* the driver is to be asked, for the first time or again */
	struct kf_error err;	  /* it has refused; code 0: it has not */
};

/* Zeroed is "nothing wanted, nothing set".  GPUs that were never spoken of are not in it. */
struct kf_time_slices {
	unsigned n;
	struct kf_time_sliced *gpu;
	size_t capacity;
};

void kf_time_slices_done(struct kf_time_slices *t);

/* This length is wanted on this GPU.  0, or -1: no memory. */
int kf_time_slices_want(struct kf_time_slices *t, const char *uuid, enum kf_time_slice length);
/* Of how many the driver is to be asked; `set`: of those, whose length is not the default. */
unsigned kf_time_slices_due(const struct kf_time_slices *t, unsigned *set);
/* What the driver said to it; `err` is NULL where it did as asked. */
void kf_time_slices_take(struct kf_time_slices *t, const char *uuid, enum kf_time_slice length,
			 const struct kf_error *err);
/* GPUs were reset, or the driver loaded anew: what was set may be gone. */
void kf_time_slices_ask_again(struct kf_time_slices *t);
/* NULL: nothing is known of this GPU. */
const struct kf_time_sliced *kf_time_slices_find(const struct kf_time_slices *t, const char *uuid);

/*
 * The file in `dir`: lines "GPU-5c1f... short", of all that is not, or will not be, the default.
 * Reading one that is not there gives nothing; so does one that cannot be understood, which is
 * negative then.  0 or negative.
 */
int kf_time_slices_read(struct kf_time_slices *t, const char *dir, struct kf_error *err);
int kf_time_slices_write(const struct kf_time_slices *t, const char *dir, struct kf_error *err);
