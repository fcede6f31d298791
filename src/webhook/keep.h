/*
 * What the webhook keeps in the API server, as JSON to and from values: the Secret with its
 * certificate, and caBundle in the MutatingWebhookConfiguration.
 */
#pragma once

#include <jansson.h>

struct kf_certificate;
struct kf_error;

/*
 * The certificate in a Secret.  0 and *ret, the caller's; KF_CERTIFICATE_UNFIT: there is none, or
 * it is not for these names: *err says why, and *ret is NULL or what was there (of a certificate
 * for other names); negative: no memory.
 */
int kf_keep_read(const json_t *secret, const char *names, struct kf_certificate **ret,
		 struct kf_error *err);
/* A merge patch that puts it there, provided that the Secret is at the version of `secret`.  The
 * caller's to free; NULL: no memory. */
char *kf_keep_secret_patch(const json_t *secret, const struct kf_certificate *c);

/* Is `authority` (PEM) what every webhook of the configuration trusts?  1 or 0. */
int kf_keep_is_trusted(const json_t *configuration, const char *authority);
/* A strategic merge patch that makes it so.  The caller's to free; NULL: no memory. */
char *kf_keep_trust_patch(const json_t *configuration, const char *authority);
