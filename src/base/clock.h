/* Time, from one place, so that a test can set it. */
#pragma once

#include <stdint.h>

/* Milliseconds of a clock that never goes back. */
uint64_t kf_now_ms(void);
/* Seconds and microseconds since 1970, UTC. */
void kf_wall(int64_t *s, int32_t *us);
/* "2026-11-25T07:07:36.000000Z": Kubernetes' MicroTime, always six decimals. */
void kf_wall_text(char out[32]);

/* For tests: stop both clocks at `ms`; 0 lets them run again. */
void kf_clock_set(uint64_t ms);
