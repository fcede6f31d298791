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

#define KF_LOGIN_TRIES 4 /* bcrypts a second */

struct kf_login;
struct kf_login *kf_login_new(void); /* NULL: no memory or no randomness */
struct kf_login *kf_login_free(struct kf_login *a);
/* Who was let in by another file must prove it again. */
void kf_login_forget(struct kf_login *a);

enum kf_login_answer { KF_LOGIN_YES, KF_LOGIN_NO, KF_LOGIN_LATER };
/* `name` and `password` may be NULL: none were given.  Without users everybody may. */
enum kf_login_answer kf_login_check(struct kf_login *a, const struct kf_web_config *w,
				    const char *name, const char *password, uint64_t now_ms);
