/* Time, from one place. */
#pragma once

#include <stdint.h>

/* Milliseconds of a clock that never goes back. */
uint64_t kf_now_ms(void);
/* Seconds and microseconds since 1970, UTC. */
void kf_wall(int64_t *s, int32_t *us);
/* Milliseconds since 1970, UTC. */
int64_t kf_wall_ms(void);
/* "2026-11-25T07:07:36.000000Z": Kubernetes' MicroTime, always six decimals. */
void kf_wall_text(char out[32]);
/* The same without decimals: Kubernetes' Time. */
void kf_wall_seconds(char out[32]);
