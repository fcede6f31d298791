/*
 * `kerf webhook`: the admission step of admission.h as a program, with a certificate that it makes
 * and renews itself.
 *
 * The certificate lies in a Secret, which all replicas share: who finds it missing, unfit or old
 * makes a new one and writes it under the Secret's version, so that one of several wins and the
 * others read what it wrote.  Then the MutatingWebhookConfiguration is made to trust it (caBundle:
 * the new CA and the one before), and only then, and a moment later, is it served.  The
 * configuration is watched, and whatever else stands in caBundle is mended at once.
 *
 * Rights: get and patch of that Secret; list, watch and patch of that configuration.
 *
 * Like agent/, a program's own part: it logs.
 */
#pragma once

#include <stdint.h>

struct kf_error;

struct kf_webhook_options {
	const char *listen;	   /* "HOST:PORT" or ":PORT" */
	const char *kubeconfig;	   /* NULL or "": as kf_kube_config_load finds it */
	const char *namespace;	   /* of Secret and Service; NULL: our own */
	const char *secret;	   /* name */
	const char *service;	   /* its names are the certificate's: SERVICE.NAMESPACE.svc */
	const char *more_names;	   /* of the certificate, apart by commas; "" for none */
	const char *configuration; /* the MutatingWebhookConfiguration's name */
	uint64_t valid_ms;	   /* a certificate's time; renewed when a third of it is left */
};

/* Run until SIGTERM or SIGINT.  0, or negative when it could not start. */
int kf_webhook_run(const struct kf_webhook_options *opt, struct kf_error *err);
