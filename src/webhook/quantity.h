/*
 * Quantities as Kubernetes writes them: "4Gi", "1.5Gi", "500M", "4294967297", "1e3", "500m".
 *
 * Only whole ones that fit 64 bits have a value here, since sizes are bytes.  What Kubernetes'
 * own parser does beyond that (rounding to billionths) makes no difference to them.
 */
#pragma once

#include <stdint.h>

enum kf_quantity {
	KF_QUANTITY_WHOLE = 0, /* *ret is it */
	KF_QUANTITY_FRACTION,  /* "500m", "0.1Gi" */
	KF_QUANTITY_LARGE,     /* 2^63 and more; *ret is INT64_MAX */
	KF_QUANTITY_NEGATIVE,  /* whole or not; minus nothing is nothing */
	KF_QUANTITY_NONE,      /* it is no quantity, or has more than 20 digits */
};

enum kf_quantity kf_quantity_parse(const char *s, int64_t *ret);
