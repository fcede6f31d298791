/*
 * The webhook's certificate, made by itself: a CA that signs one server certificate and is then
 * without a key, so that nothing else can ever be signed by it.
 */
#pragma once

#include <stdint.h>

#include "base/own.h"

struct kf_error;

/* PEM, all three; each the struct's own. */
struct kf_certificate {
	char *authority; /* what the API server is to trust: this CA, and the one before */
	char *server;
	char *key;
	int64_t from_s, until_s; /* of the server's, Unix time */
};

struct kf_certificate *kf_certificate_free(struct kf_certificate *c);
KF_DEFINE_AUTO(struct kf_certificate, kf_certificate_free)

/*
 * A new one for these names, which are apart by commas: DNS names and IP addresses.  Valid from
 * an hour before now_s (clocks differ; less where valid_s is less) until valid_s after it. `before`
 * may be NULL: its CA stays trusted, so that servers that still have its certificate are believed
 * meanwhile. 0 and *ret, or negative.
 */
int kf_certificate_make(const char *names, int64_t now_s, int64_t valid_s,
			const struct kf_certificate *before, struct kf_certificate **ret,
			struct kf_error *err);

#define KF_CERTIFICATE_UNFIT 1

/*
 * One from its parts, as they were kept; copied.  0 and *ret; KF_CERTIFICATE_UNFIT: they do not
 * belong together, are none, or the server's is not for all of `names`: *err says what; negative:
 * no memory.
 */
int kf_certificate_read(const char *authority, const char *server, const char *key,
			const char *names, struct kf_certificate **ret, struct kf_error *err);

/* Has it less than a third of its time left, or does it begin later?  1 or 0. */
int kf_certificate_is_old(const struct kf_certificate *c, int64_t now_s);
