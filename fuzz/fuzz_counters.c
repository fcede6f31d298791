/* dcgm-exporter's counters file, a user's. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "metrics/fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);
	struct kf_counters c;
	struct kf_error err = {0};

	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	if (kf_counters_parse(text, "file", &c, NULL, NULL, &err) == 0 && c.n > KF_N_FIELDS)
		abort();
	free(text);
	return 0;
}
