/* The kubelet's checkpoint file, as anybody with root on the node may have left it. */
#include <stdint.h>

#include "kubelet/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_checkpoint c = {0};
	struct kf_error err = {0};

	if (kf_checkpoint_parse((const char *)data, n, &c, &err) == 0)
		kf_checkpoint_done(&c);
	return 0;
}
