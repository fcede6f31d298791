/*
 * The log of a program: one event, one line, on standard error.
 *
 * Libraries return, programs log: only agent/, cli/ and the callbacks that they own call this.
 * Lines are logfmt (level=info at=mig msg="...") or JSON objects with the same three keys and a
 * time.  A message is present tense, the object first; a failure that we live with ends in what is
 * done instead.  Never log a secret or a tenant's data.
 */
#pragma once

#include "base/error.h"

enum kf_log_level { KF_DEBUG, KF_INFO, KF_WARN, KF_ERROR };
enum kf_log_format { KF_LOG_LOGFMT, KF_LOG_JSON };

/* Lines below `least` are dropped.  The default is KF_INFO in logfmt. */
void kf_log_setup(enum kf_log_level least, enum kf_log_format format);

void kf_log(enum kf_log_level level, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A failure, and after it what is done about it: `at`: "err->msg; what". */
void kf_log_fail(enum kf_log_level level, const char *at, const struct kf_error *err,
		 const char *what);
