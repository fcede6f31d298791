/*
 * Who we are towards the API server: a token from the configuration, from a file that is read
 * again in time, or from a program (an exec plugin) that is run and cached; or a certificate.
 *
 * The plugin runs beside the loop: whoever asks meanwhile is told to wait.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "kube/config.h"

struct kf_error;
struct kf_auth;

#define KF_AUTH_WAIT 1 /* a plugin is running; `ready` says when to ask again */

/* `ready` comes from the loop.  Keeps config. */
int kf_auth_new(uv_loop_t *loop, const struct kf_kube_config *config, void (*ready)(void *ud),
		void *ud, struct kf_auth **ret, struct kf_error *err);
/* No `ready` after it; `closed` comes from the loop once *a is freed, or at once and from within
 * if nothing runs. */
void kf_auth_close(struct kf_auth *a, void (*closed)(void *ud), void *ud);

/*
 * What to show.  *token is NULL for none and lives until the next call; certificate paths likewise.
 * 0; KF_AUTH_WAIT; negative: the token file cannot be read, or the plugin failed (it is run again
 * at the earliest a second later).
 */
int kf_auth_get(struct kf_auth *a, const char **token, const char **cert_file,
		const char **key_file, struct kf_error *err);

/* The server said 401 to what kf_auth_get gave: 1 if asking again may give something better. */
int kf_auth_renew(struct kf_auth *a);

/* For the parser's tests: an ExecCredential, to token (or NULL), certificate and key (or NULL) and
 * the time of expiry in seconds since 1970 (0: none).  All are the caller's to free. */
struct kf_auth_credential {
	char *token, *cert, *key;
	int64_t expires_s;
};
int kf_auth_credential_read(const char *bytes, size_t n, const char *version,
			    struct kf_auth_credential *ret, struct kf_error *err);
void kf_auth_credential_done(struct kf_auth_credential *c);
