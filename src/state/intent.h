/*
 * The journal of a change: what is about to be done to the GPUs, on disk before the first step and
 * gone after the last.  Found at a start, it says that a change was cut short.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/own.h"
#include "model/node.h"

struct kf_error;

struct kf_intent_step {
	char gpu[KF_UUID];
	char *text; /* a sentence, by kf_step_text */
};

struct kf_intent {
	char config[64];
	char source[80]; /* as in struct kf_saved */
	int64_t since_s; /* seconds since 1970 */
	unsigned n;
	struct kf_intent_step *step; /* in the order of the plan */
	size_t capacity;
};

struct kf_intent *kf_intent_free(struct kf_intent *i);
KF_DEFINE_AUTO(struct kf_intent, kf_intent_free)

struct kf_intent *kf_intent_new(const char *config, const char *source, int64_t now_s);
/* Append a copy; 0 or -1 (no memory). */
int kf_intent_add(struct kf_intent *i, const char *gpu, const char *text);

/* Put it on disk as DIR/intent.json (fsynced, directory included): then the first step may be. */
int kf_intent_begin(const char *dir, const struct kf_intent *i, struct kf_error *err);
/*
 * The change is over.  Fine when there is none.  Not waiting for the disk: a power cut, which may
 * bring the journal back, takes all instances anyway.
 */
int kf_intent_end(const char *dir, struct kf_error *err);

#define KF_INTENT_NONE 1
#define KF_INTENT_BAD  2

/*
 * 0                *ret is the change that was cut short, the caller's to free
 * KF_INTENT_NONE   none was
 * KF_INTENT_BAD    the file cannot be used: *err says why; it lies beside as intent.json.bad
 * negative         it is there and cannot be read
 */
int kf_intent_load(const char *dir, struct kf_intent **ret, struct kf_error *err);

/* For fuzzing: the n bytes of such a file.  0 or negative. */
int kf_intent_parse(const char *text, size_t n, struct kf_intent **ret, struct kf_error *err);
