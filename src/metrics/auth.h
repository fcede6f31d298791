/*
 * Who may look: basic authentication by bcrypt.
 *
 * bcrypt is slow on purpose and runs on the thread that serves everyone, so a caller who guesses
 * could hold up the others: whoever was let in is known by a keyed hash from then on and costs
 * nothing, and of the rest only so many are tried in a second.
 */
#pragma once

#include <stdint.h>

#include "metrics/webconfig.h"

#define KF_AUTH_TRIES 4 /* bcrypts a second */

struct kf_auth;
struct kf_auth *kf_auth_new(void); /* NULL: no memory or no randomness */
struct kf_auth *kf_auth_free(struct kf_auth *a);
/* Who was let in by another file must prove it again. */
void kf_auth_forget(struct kf_auth *a);

enum kf_auth_answer { KF_AUTH_YES, KF_AUTH_NO, KF_AUTH_LATER };
/* `name` and `password` may be NULL: none were given.  Without users everybody may. */
enum kf_auth_answer kf_auth_check(struct kf_auth *a, const struct kf_web_config *w,
				  const char *name, const char *password, uint64_t now_ms);
