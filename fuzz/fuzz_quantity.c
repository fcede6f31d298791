/* Kubernetes' quantities, of which an answer never contradicts itself. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "webhook/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char text[200];
	int64_t value = -1;

	if (n >= sizeof(text))
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	switch (kf_quantity_parse(text, &value)) {
	case KF_QUANTITY_WHOLE:
		if (value < 0)
			abort();
		break;
	case KF_QUANTITY_LARGE:
		if (value != INT64_MAX)
			abort();
		break;
	default:
		break;
	}
	return 0;
}
