/* A throwaway certificate, by GnuTLS, which libmicrohttpd brings along. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/error.h"
#include "serve.h"

static char *text_of(gnutls_datum_t *pem)
{
	char *s = kf_strndup((const char *)pem->data, pem->size);

	gnutls_free(pem->data);
	return s;
}

static int describe(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	static const unsigned char v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
	static const unsigned char serial[8] = {0x4b, 0x65, 0x72, 0x66, 0, 0, 0, 1};
	time_t now = time(NULL);
	int r = gnutls_x509_crt_set_key(crt, key);

	/* clocks differ: valid since yesterday */
	r |= gnutls_x509_crt_set_version(crt, 3);
	r |= gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
	r |= gnutls_x509_crt_set_activation_time(crt, now - 86400);
	r |= gnutls_x509_crt_set_expiration_time(crt, now + 86400L * 30);
	r |= gnutls_x509_crt_set_dn(crt, "CN=kerf stand-in API server", NULL);
	r |= gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v4, sizeof(v4),
						  GNUTLS_FSAN_SET);
	r |= gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v6, sizeof(v6),
						  GNUTLS_FSAN_APPEND);
	r |= gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9,
						  GNUTLS_FSAN_APPEND);
	r |= gnutls_x509_crt_set_ca_status(crt, 1);
	r |= gnutls_x509_crt_set_key_usage(crt,
					   GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_CERT_SIGN);
	return r;
}

static int make(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, char **ret_cert, char **ret_key)
{
	gnutls_datum_t pem;

	if (gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
					 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) < 0 ||
	    describe(crt, key) < 0 ||
	    gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) < 0)
		return -1;
	if (gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) < 0)
		return -1;
	*ret_cert = text_of(&pem);
	if (gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem) < 0)
		return -1;
	*ret_key = text_of(&pem);
	return *ret_cert && *ret_key ? 0 : -1;
}

int kf_sim_certificate(char **ret_cert, char **ret_key, struct kf_error *err)
{
	gnutls_x509_privkey_t key = NULL;
	gnutls_x509_crt_t crt = NULL;
	int r = -1;

	if (gnutls_x509_privkey_init(&key) >= 0 && gnutls_x509_crt_init(&crt) >= 0)
		r = make(crt, key, ret_cert, ret_key);
	if (crt)
		gnutls_x509_crt_deinit(crt);
	if (key)
		gnutls_x509_privkey_deinit(key);
	return r < 0 ? kf_fail(err, KF_E_SYSTEM, 0, "GnuTLS made no certificate") : 0;
}
