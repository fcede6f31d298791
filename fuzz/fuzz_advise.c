/* What Prometheus answers. */
#include <stdint.h>

#include "advise/advise.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_usages u = {0};
	struct kf_error err = {0};
	int i;

	for (i = 0; i < KF_N_SERIES; i++)
		kf_series_read((enum kf_series)i, (const char *)data, n, &u, &err);
	kf_usages_done(&u);
	return 0;
}
