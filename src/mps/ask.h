/* The agent's side of a holder's socket: one question, one answer, with a deadline (holder.h). */
#pragma once

#include <stdint.h>

struct kf_error;

#define KF_MPS_FOLDER 320

struct kf_mps_wanted {
	const char *name;    /* of the slice */
	const char *pod_uid; /* "" while not known */
	uint64_t bytes;
	unsigned percent; /* of the SMs; 0: all */
};

/* Have the keeper hold a daemon for this device.  0, or negative: its folder is not there. */
int kf_mps_want(const char *dir, const char *uuid, struct kf_error *err);

/* A slice of a device: its folder, for a pod.  0; negative: refused, or no holder in time. */
int kf_mps_add(const char *dir, const char *uuid, const struct kf_mps_wanted *wanted,
	       char folder[KF_MPS_FOLDER], struct kf_error *err);
int kf_mps_remove(const char *dir, const char *uuid, const char *name, struct kf_error *err);

/* What a holder says of itself; callbacks may be NULL, their strings are borrowed. */
struct kf_mps_news {
	void (*slice)(void *ud, const char *name, const char *pod_uid, unsigned clients);
	void (*event)(void *ud, unsigned long number, const char *what, const char *slice,
		      const char *sentence);
	void *ud;
};
/* 1: its daemon takes clients; 0: it does not just now; negative: there is no holder. */
int kf_mps_look(const char *dir, const char *uuid, const struct kf_mps_news *news,
		struct kf_error *err);
