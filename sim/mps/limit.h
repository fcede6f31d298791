/*
 * Limits as MPS writes them: "0=1G,GPU-uuid=512M", "25.5".  For the daemon, the server and the
 * client, which all read them.
 */
#pragma once

#include "cuda/spot.h"

struct kf_text;

#define KF_MPS_LIMITS 64

struct kf_mps_limit {
	char device[KF_SIM_UUID]; /* a number, or a UUID */
	uint64_t bytes;
};

/* In the order in which they were set: the last one that is of a device counts. */
struct kf_mps_limits {
	unsigned n;
	struct kf_mps_limit of[KF_MPS_LIMITS];
};

/* "4G", "512MB", "512" (MiB): bytes.  0; -1: it is none of that. */
int kf_mps_bytes_parse(const char *text, uint64_t *ret);
/*
 * The same as the daemon's commands read it, which refuse nothing: "1.5G" is 1 MiB, "x" is 0, "-1G"
 * nearly 2^64 (seen on R580).
 */
uint64_t kf_mps_bytes_read(const char *text);
/* "4G", "1G" of 1500 MiB, "512M", nothing of 0; and a newline. */
void kf_mps_bytes_print(uint64_t bytes, struct kf_text *out);
/* "0=1G,GPU-uuid=512M", appended to *ret.  0; -1: it is none of that, *ret is as it was. */
int kf_mps_limits_parse(const char *text, struct kf_mps_limits *ret);
/* Append, in the place of one of the same name.  0; -1: too many. */
int kf_mps_limits_set(struct kf_mps_limits *l, const char *device, uint64_t bytes);
/* Is this one about the device `at`, the ordinal-th of the program?  1 or 0. */
int kf_mps_limit_is_of(struct kf_sim_state *s, const struct kf_mps_limit *l,
		       const struct kf_sim_spot *at, unsigned ordinal);
/* The limit of that device; 0: none. */
uint64_t kf_mps_limits_find(struct kf_sim_state *s, const struct kf_mps_limits *l,
			    const struct kf_sim_spot *at, unsigned ordinal);
/* "25", "12.5": tenths of a per cent, above 0, up to 1000.  0; -1: it is none, *ret is as it was.
 */
int kf_mps_percent_parse(const char *text, unsigned *ret);
/* "12.5" and a newline. */
void kf_mps_percent_print(unsigned percent_x10, struct kf_text *out);
