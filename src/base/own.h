/*
 * Ownership: variables that clean up after themselves, and the hand-over of what they hold.
 *
 *	kf_auto(kf_plan_freep) struct kf_plan *plan = NULL;
 *	...
 *	*ret = kf_take(plan);
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define kf_auto(function) __attribute__((cleanup(function)))

/* Yields the pointer and leaves NULL behind. */
#define kf_take(p)                                                                                 \
	__extension__({                                                                            \
		__typeof__(p) kf_taken = (p);                                                      \
		(p) = NULL;                                                                        \
		kf_taken;                                                                          \
	})

/* Makes `name_freep`, the cleanup for variables of type `type *`, out of `name_free`. */
#define KF_DEFINE_AUTO(type, name_free)                                                            \
	static inline void name_free##p(type **p)                                                  \
	{                                                                                          \
		name_free(*p);                                                                     \
	}

static inline void kf_mem_freep(void *p)
{
	free(*(void **)p);
}

static inline void kf_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define kf_auto_mem kf_auto(kf_mem_freep)
#define kf_auto_fd  kf_auto(kf_closep)
