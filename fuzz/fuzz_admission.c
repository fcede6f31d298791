/* What the webhook is asked: AdmissionReviews, from whoever reaches its port. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "webhook/admission.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_error err = {0};
	char *out = NULL;

	if (kf_admission_review((const char *)data, n, &out, &err) == 0)
		free(out);
	return 0;
}
