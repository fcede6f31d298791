/*
 * JSON files of ours in the state directory: written whole and to the disk, read with suspicion.
 * Inside state/ only.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct kf_error;

/* Write `root` as DIR/NAME: atomically, fsynced, the directory too.  Makes DIR.  Mode 0600. */
int kf_state_store(const char *dir, const char *name, const json_t *root, struct kf_error *err);
/* Remove DIR/NAME; fine when there is none.  A power cut may bring it back. */
int kf_state_remove(const char *dir, const char *name, struct kf_error *err);

#define KF_STATE_NONE 1
#define KF_STATE_BAD  2

/*
 * 0: *ret are the *n bytes of DIR/NAME, the caller's to free.  KF_STATE_NONE: no such file.
 * KF_STATE_BAD: too large; set aside, *err says so.  Negative: it cannot be read.
 */
int kf_state_fetch(const char *dir, const char *name, char **ret, size_t *n, struct kf_error *err);
/* The file is of no use, *err says why: set it aside and add that.  KF_STATE_BAD or negative. */
int kf_state_refuse(const char *dir, const char *name, struct kf_error *err);

/* The tree in n bytes of JSON whose key `kerf` says `what`, or NULL with a sentence. */
json_t *kf_state_parse(const char *text, size_t n, const char *what, struct kf_error *err);

/*
 * Copy the string under `key` into out[size]; one that is absent, too long or not printable is
 * refused: -1 with a sentence.
 */
int kf_state_string(const json_t *object, const char *key, char *out, size_t size,
		    struct kf_error *err);
/* The number under `key`, in [0, max]: 0, or -1 with a sentence. */
int kf_state_uint(const json_t *object, const char *key, json_int_t max, json_int_t *ret,
		  struct kf_error *err);
