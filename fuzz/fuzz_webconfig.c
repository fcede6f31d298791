/* Prometheus' web-config, a user's. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "metrics/webconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_error err = {0};

	kf_web_config_check((const char *)data, n, "web.yml", &err);
	return 0;
}
