/* Machine files of `kerf sim create`. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct kf_sim_machine machine;
	struct kf_error err = {0};

	if (kf_sim_machine_parse((const char *)data, n, "fuzz", &machine, &err) == 0)
		kf_sim_machine_identify(&machine, "fuzz");
	return 0;
}
