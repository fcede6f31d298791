/*
 * Prometheus' web-config file: TLS, users, response headers.
 *
 *	tls_server_config: {cert_file, key_file, client_ca_file, client_auth_type, min_version, ...}
 *	http_server_config: {headers: {...}}
 *	basic_auth_users: {NAME: bcrypt}
 *
 * Relative paths are below the file's own folder.  The file is foreign input: bounded, and refused
 * with its line where it is not understood.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/own.h"

struct kf_error;

#define KF_WEB_USERS   32
#define KF_WEB_HEADERS 8
#define KF_WEB_COST    16 /* bcrypt's, at most: 2^16 rounds take some seconds */

enum kf_web_client { KF_WEB_NO_CLIENT_CERT, KF_WEB_VERIFY_IF_GIVEN, KF_WEB_REQUIRE_AND_VERIFY };

struct kf_web_config {
	int tls;
	char *cert, *key, *client_ca; /* PEM texts; NULL: none */
	enum kf_web_client client;
	int tls13_only;
	unsigned n_users;
	struct {
		char name[128], hash[64];
	} user[KF_WEB_USERS];
	unsigned n_headers;
	struct {
		char name[64], value[512];
	} header[KF_WEB_HEADERS];
	char note[256]; /* what is asked for and passed over; empty: nothing */
	/* Of the file and what it names, to see a change. */
	uint64_t stamp;
};

/* 0 and *ret, the caller's to free; negative: KF_E_INPUT with file and line, or a file is missing.
 */
int kf_web_config_load(const char *path, struct kf_web_config **ret, struct kf_error *err);
/* Only the YAML of it, without reading what it names: for tests and the fuzzer. */
int kf_web_config_check(const char *text, size_t n, const char *name, struct kf_error *err);
struct kf_web_config *kf_web_config_free(struct kf_web_config *w);
KF_DEFINE_AUTO(struct kf_web_config, kf_web_config_free)
/* What w->stamp would be now; another value: load again. */
uint64_t kf_web_config_stamp(const char *path);
