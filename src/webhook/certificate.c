/* Certificates by GnuTLS; see certificate.h. */
#include "webhook/certificate.h"

#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"

#define HOUR_S	 3600
#define MOST_CAS 8

struct kf_certificate *kf_certificate_free(struct kf_certificate *c)
{
	if (c) {
		if (c->key)
			gnutls_memset(c->key, 0, strlen(c->key));
		free(c->authority);
		free(c->server);
		free(c->key);
		free(c);
	}
	return NULL;
}

static int fail(struct kf_error *err, int r, const char *what)
{
	return kf_fail(err, r == GNUTLS_E_MEMORY_ERROR ? KF_E_NOMEM : KF_E_SYSTEM, 0, "%s: %s",
		       what, gnutls_strerror(r));
}

/* --- names --------------------------------------------------------------------------------- */

/* The next of "a,b": 1 and what is left, or 0 at the end.  One that is too long is cut. */
static int next_name(const char **names, char out[256])
{
	size_t n = strcspn(*names, ",");

	if (!**names)
		return 0;
	snprintf(out, 256, "%.*s", n < 255 ? (int)n : 255, *names);
	*names += n + ((*names)[n] == ',');
	return 1;
}

/* An address in network order: its length, or 0 for a DNS name. */
static unsigned address_of(const char *name, unsigned char out[16])
{
	if (inet_pton(AF_INET, name, out) == 1)
		return 4;
	return inet_pton(AF_INET6, name, out) == 1 ? 16 : 0;
}

static int add_names(gnutls_x509_crt_t crt, const char *names)
{
	unsigned char address[16];
	char name[256];
	int r = 0;

	while (r == 0 && next_name(&names, name)) {
		unsigned n = address_of(name, address);

		if (n)
			r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, address,
								 n, GNUTLS_FSAN_APPEND);
		else
			r = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name,
								 (unsigned)strlen(name),
								 GNUTLS_FSAN_APPEND);
	}
	return r;
}

static int is_for(gnutls_x509_crt_t crt, const char *names)
{
	char name[256];

	while (next_name(&names, name))
		if (!gnutls_x509_crt_check_hostname(crt, name))
			return 0;
	return 1;
}

/* --- making -------------------------------------------------------------------------------- */

struct making {
	gnutls_x509_privkey_t ca_key, key;
	gnutls_x509_crt_t ca, crt;
	int64_t from_s, until_s;
};

static void making_done(struct making *m)
{
	if (m->ca)
		gnutls_x509_crt_deinit(m->ca);
	if (m->crt)
		gnutls_x509_crt_deinit(m->crt);
	if (m->ca_key)
		gnutls_x509_privkey_deinit(m->ca_key);
	if (m->key)
		gnutls_x509_privkey_deinit(m->key);
}

static int make_key(gnutls_x509_privkey_t *ret)
{
	int r = gnutls_x509_privkey_init(ret);

	return r < 0 ? r
		     : gnutls_x509_privkey_generate(
			       *ret, GNUTLS_PK_ECDSA,
			       GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
}

static int begin(gnutls_x509_crt_t *ret, gnutls_x509_privkey_t key, const char *dn,
		 const struct making *m)
{
	unsigned char serial[16];
	int r = gnutls_x509_crt_init(ret);

	if (r < 0)
		return r;
	r = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));
	serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive, and without padding */
	r = r < 0 ? r : gnutls_x509_crt_set_version(*ret, 3);
	r = r < 0 ? r : gnutls_x509_crt_set_serial(*ret, serial, sizeof(serial));
	r = r < 0 ? r : gnutls_x509_crt_set_activation_time(*ret, m->from_s);
	r = r < 0 ? r : gnutls_x509_crt_set_expiration_time(*ret, m->until_s);
	r = r < 0 ? r : gnutls_x509_crt_set_dn(*ret, dn, NULL);
	r = r < 0 ? r : gnutls_x509_crt_set_key(*ret, key);
	return r;
}

/* Several CAs of one name are told apart by the number in it. */
static int make_ca(struct making *m)
{
	char dn[64];
	int r = make_key(&m->ca_key);

	snprintf(dn, sizeof(dn), "CN=kerf webhook CA %lld", (long long)m->from_s);
	r = r < 0 ? r : begin(&m->ca, m->ca_key, dn, m);
	r = r < 0 ? r : gnutls_x509_crt_set_ca_status(m->ca, 1);
	r = r < 0 ? r : gnutls_x509_crt_set_key_usage(m->ca, GNUTLS_KEY_KEY_CERT_SIGN);
	r = r < 0 ? r : gnutls_x509_crt_sign2(m->ca, m->ca, m->ca_key, GNUTLS_DIG_SHA256, 0);
	return r;
}

static int make_server(struct making *m, const char *names)
{
	int r = make_key(&m->key);

	r = r < 0 ? r : begin(&m->crt, m->key, "CN=kerf webhook", m);
	r = r < 0 ? r : add_names(m->crt, names);
	r = r < 0 ? r : gnutls_x509_crt_set_ca_status(m->crt, 0);
	r = r < 0 ? r : gnutls_x509_crt_set_key_usage(m->crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
	r = r < 0 ? r : gnutls_x509_crt_set_key_purpose_oid(m->crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
	r = r < 0 ? r : gnutls_x509_crt_sign2(m->crt, m->ca, m->ca_key, GNUTLS_DIG_SHA256, 0);
	return r;
}

/* Takes what GnuTLS allocated. */
static char *text_of(int r, gnutls_datum_t *pem)
{
	char *s = NULL;

	if (r < 0)
		return NULL;
	s = kf_strndup((const char *)pem->data, pem->size);
	gnutls_memset(pem->data, 0, pem->size);
	gnutls_free(pem->data);
	return s;
}

static char *pem_of(gnutls_x509_crt_t crt)
{
	gnutls_datum_t pem = {0};

	return text_of(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), &pem);
}

/* The new CA, and the first of those before, which is the one that signed what is in use. */
static char *bundle(gnutls_x509_crt_t ca, const struct kf_certificate *before)
{
	static const char end[] = "-----END CERTIFICATE-----";
	kf_auto_mem char *own = pem_of(ca);
	struct kf_text text = {0};
	const char *stop;

	if (!own)
		return NULL;
	kf_text_add(&text, own);
	stop = before ? strstr(before->authority, end) : NULL;
	if (stop) {
		kf_text_addn(&text, before->authority,
			     (size_t)(stop - before->authority) + sizeof(end) - 1);
		kf_text_add(&text, "\n");
	}
	return kf_text_take(&text);
}

static struct kf_certificate *collect(const struct making *m, const struct kf_certificate *before)
{
	kf_auto(kf_certificate_freep) struct kf_certificate *c = kf_calloc(1, sizeof(*c));
	gnutls_datum_t pem = {0};

	if (!c)
		return NULL;
	c->from_s = m->from_s;
	c->until_s = m->until_s;
	c->authority = bundle(m->ca, before);
	c->server = pem_of(m->crt);
	c->key = text_of(gnutls_x509_privkey_export2(m->key, GNUTLS_X509_FMT_PEM, &pem), &pem);
	return c->authority && c->server && c->key ? kf_take(c) : NULL;
}

int kf_certificate_make(const char *names, int64_t now_s, int64_t valid_s,
			const struct kf_certificate *before, struct kf_certificate **ret,
			struct kf_error *err)
{
	kf_auto(making_done) struct making m = {.from_s = now_s -
							  (valid_s < HOUR_S ? valid_s : HOUR_S),
						.until_s = now_s + valid_s};
	struct kf_certificate *c;
	int r = make_ca(&m);

	r = r < 0 ? r : make_server(&m, names);
	if (r < 0)
		return fail(err, r, "make a certificate");
	c = collect(&m, before);
	if (!c)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a certificate");
	*ret = c;
	return 0;
}

/* --- reading ------------------------------------------------------------------------------- */

static gnutls_datum_t datum(const char *s)
{
	return (gnutls_datum_t){(unsigned char *)s, (unsigned)strlen(s)};
}

struct reading {
	gnutls_x509_crt_t crt, ca[MOST_CAS];
	unsigned n_ca;
	gnutls_x509_privkey_t key;
};

static void reading_done(struct reading *r)
{
	while (r->n_ca)
		gnutls_x509_crt_deinit(r->ca[--r->n_ca]);
	if (r->crt)
		gnutls_x509_crt_deinit(r->crt);
	if (r->key)
		gnutls_x509_privkey_deinit(r->key);
}

static const char *import(struct reading *r, const char *authority, const char *server,
			  const char *key)
{
	gnutls_datum_t a = datum(authority), s = datum(server), k = datum(key);
	unsigned n = MOST_CAS;

	if (gnutls_x509_crt_init(&r->crt) < 0 || gnutls_x509_privkey_init(&r->key) < 0)
		return "there is no memory for it";
	if (gnutls_x509_crt_import(r->crt, &s, GNUTLS_X509_FMT_PEM) < 0)
		return "the server's certificate cannot be read";
	if (gnutls_x509_privkey_import(r->key, &k, GNUTLS_X509_FMT_PEM) < 0)
		return "its key cannot be read";
	if (gnutls_x509_crt_list_import(r->ca, &n, &a, GNUTLS_X509_FMT_PEM,
					GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED) < 0)
		return "the CA's certificate cannot be read";
	r->n_ca = n;
	return NULL;
}

static int key_fits(const struct reading *r)
{
	unsigned char a[64], b[64];
	size_t n = sizeof(a), m = sizeof(b);

	return gnutls_x509_crt_get_key_id(r->crt, GNUTLS_KEYID_USE_SHA256, a, &n) >= 0 &&
	       gnutls_x509_privkey_get_key_id(r->key, GNUTLS_KEYID_USE_SHA256, b, &m) >= 0 &&
	       n == m && !memcmp(a, b, n);
}

/* Its time is looked at elsewhere. */
static int is_signed(const struct reading *r)
{
	unsigned status = 0;

	return gnutls_x509_crt_verify(r->crt, r->ca, r->n_ca,
				      GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
					      GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS,
				      &status) >= 0 &&
	       status == 0;
}

int kf_certificate_read(const char *authority, const char *server, const char *key,
			const char *names, struct kf_certificate **ret, struct kf_error *err)
{
	kf_auto(reading_done) struct reading r = {0};
	kf_auto(kf_certificate_freep) struct kf_certificate *c = kf_calloc(1, sizeof(*c));
	const char *wrong = import(&r, authority, server, key);

	if (!wrong && !key_fits(&r))
		wrong = "the key is not the certificate's";
	if (!wrong && !is_signed(&r))
		wrong = "the CA has not signed the certificate";
	if (!wrong && !is_for(r.crt, names))
		wrong = "the certificate is for other names";
	if (wrong) {
		kf_fail(err, KF_E_INPUT, 0, "%s", wrong);
		return KF_CERTIFICATE_UNFIT;
	}
	if (c) {
		c->from_s = gnutls_x509_crt_get_activation_time(r.crt);
		c->until_s = gnutls_x509_crt_get_expiration_time(r.crt);
		c->authority = kf_strdup(authority);
		c->server = kf_strdup(server);
		c->key = kf_strdup(key);
	}
	if (!c || !c->authority || !c->server || !c->key)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a certificate");
	*ret = kf_take(c);
	return 0;
}

int kf_certificate_is_old(const struct kf_certificate *c, int64_t now_s)
{
	return now_s < c->from_s || now_s > c->until_s - (c->until_s - c->from_s) / 3;
}
