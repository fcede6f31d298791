/* cmocka, and helpers that read like sentences. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"

/*
 * Runs the block once per allocation in it, failing each in turn, until one pass has no failure:
 * the code under test must clean up and say so, whatever is refused.  Inside, `oom_failed` tells
 * after the call whether a failure was injected.
 */
#define KF_FOR_EACH_OOM                                                                            \
	for (long oom_n = 0, oom_go = 1; oom_go && (kf_alloc_fail_after(oom_n), 1);                \
	     oom_go = kf_alloc_failed(), kf_alloc_fail_after(-1), oom_n++)
