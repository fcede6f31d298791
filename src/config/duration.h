/* Lengths of time as NVIDIA's files have them: Go's, and GPU Feature Discovery's `infinite`. */
#pragma once

#include <stdint.h>

/*
 * "60s", "1m30s", "1.5h", "infinite" (UINT64_MAX); a bare number is nanoseconds, as in NVIDIA's
 * program.  In *ms, rounded down.  0, or -1: it is none.
 */
int kf_duration_parse(const char *s, uint64_t *ms);
