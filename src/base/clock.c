/* Time; see clock.h. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t kf_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void kf_wall(int64_t *s, int32_t *us)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	*s = t.tv_sec;
	*us = (int32_t)(t.tv_nsec / 1000);
}

int64_t kf_wall_ms(void)
{
	int64_t s;
	int32_t us;

	kf_wall(&s, &us);
	return s * 1000 + us / 1000;
}

void kf_wall_text(char out[32])
{
	char day[24];
	struct tm tm;
	int64_t s;
	int32_t us;
	time_t t;

	kf_wall(&s, &us);
	t = (time_t)s;
	gmtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, 32, "%s.%06uZ", day, (unsigned)us % 1000000u);
}

void kf_wall_seconds(char out[32])
{
	kf_wall_text(out);
	strcpy(strchr(out, '.'), "Z");
}
