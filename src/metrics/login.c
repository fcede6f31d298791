/* Basic authentication; see login.h. */
#include "metrics/login.h"

#include <crypt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define KNOWN 16 /* credentials that were let in */

struct kf_login {
	unsigned char key[32];
	unsigned n, next;
	unsigned char known[KNOWN][32];
	uint64_t second; /* of kf_now_ms, in which `tries` were made */
	unsigned tries;
};

/* Tried for names that there are not, so that they take as long. */
static const char nobody[] = "$2b$10$......................"
			     "..............................."; /* of no password */

struct kf_login *kf_login_new(void)
{
	struct kf_login *a = kf_calloc(1, sizeof(*a));

	if (a && gnutls_rnd(GNUTLS_RND_KEY, a->key, sizeof(a->key)) < 0) {
		free(a);
		return NULL;
	}
	return a;
}

struct kf_login *kf_login_free(struct kf_login *a)
{
	if (a)
		gnutls_memset(a, 0, sizeof(*a));
	free(a);
	return NULL;
}

void kf_login_forget(struct kf_login *a)
{
	a->n = a->next = 0;
}

/* 0, or -1: too long to be anybody's. */
static int digest(const struct kf_login *a, const char *name, const char *password,
		  unsigned char out[32])
{
	char both[512];
	int n = snprintf(both, sizeof(both), "%s:%s", name, password);
	int r = -1;

	if (n > 0 && (size_t)n < sizeof(both))
		r = gnutls_hmac_fast(GNUTLS_MAC_SHA256, a->key, sizeof(a->key), both, (size_t)n,
				     out);
	gnutls_memset(both, 0, sizeof(both));
	return r < 0 ? -1 : 0;
}

static int is_known(const struct kf_login *a, const unsigned char sum[32])
{
	unsigned i, found = 0;

	for (i = 0; i < a->n; i++)
		found |= gnutls_memcmp(a->known[i], sum, 32) == 0;
	return (int)found;
}

static void know(struct kf_login *a, const unsigned char sum[32])
{
	memcpy(a->known[a->next], sum, 32);
	a->next = (a->next + 1) % KNOWN;
	if (a->n < KNOWN)
		a->n++;
}

/* crypt(3) wants 32 KiB, which are had only while somebody is new.  (crypt_rn, since sanitizers
 * stand in for crypt_r and then miss the library.) */
static int matches(const char *password, const char *hash)
{
	struct crypt_data *data = kf_calloc(1, sizeof(*data));
	const char *made = data ? crypt_rn(password, hash, data, sizeof(*data)) : NULL;
	int same = made && strlen(made) == strlen(hash) &&
		   gnutls_memcmp(made, hash, strlen(hash)) == 0;

	free(data);
	return same;
}

static int too_often(struct kf_login *a, uint64_t now_ms)
{
	if (a->second != now_ms / 1000) {
		a->second = now_ms / 1000;
		a->tries = 0;
	}
	return a->tries++ >= KF_LOGIN_TRIES;
}

enum kf_login_answer kf_login_check(struct kf_login *a, const struct kf_web_config *w,
				    const char *name, const char *password, uint64_t now_ms)
{
	const char *hash = nobody;
	unsigned char sum[32];
	unsigned i;

	if (!w || w->n_users == 0)
		return KF_LOGIN_YES;
	if (!name || !password || digest(a, name, password, sum) < 0)
		return KF_LOGIN_NO;
	if (is_known(a, sum))
		return KF_LOGIN_YES;
	if (too_often(a, now_ms))
		return KF_LOGIN_LATER;
	for (i = 0; i < w->n_users; i++)
		if (!strcmp(w->user[i].name, name))
			hash = w->user[i].hash;
	if (!matches(password, hash) || hash == nobody)
		return KF_LOGIN_NO;
	know(a, sum);
	return KF_LOGIN_YES;
}
