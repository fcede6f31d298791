/*
 * The webhook's HTTPS server: POST / is an AdmissionReview, GET /healthz says that it is there.
 *
 * One thread for all connections; what it answers depends on nothing but the request
 * (admission.h).  Anybody may ask, since there is nothing to learn or to change: requests are
 * bounded in size, time and number.
 */
#pragma once

struct kf_certificate;
struct kf_error;
struct kf_serve;

/*
 * Listen on "HOST:PORT" or ":PORT" and serve by this certificate, which is copied.  0 and *ret, or
 * negative.
 */
int kf_serve_start(const char *listen, const struct kf_certificate *c, struct kf_serve **ret,
		   struct kf_error *err);
/*
 * Another certificate, for connections that come from now on; those that are there go on with the
 * old one until the next change.  0, or negative: the old one stays.
 */
int kf_serve_change(struct kf_serve *s, const struct kf_certificate *c, struct kf_error *err);
/* What it listens on, with the port. */
const char *kf_serve_address(const struct kf_serve *s);
/* NULL is fine. */
void kf_serve_stop(struct kf_serve *s);
