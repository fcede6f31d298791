/* /proc/PID/cgroup: the kernel's file, but with names that pods may choose. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);
	struct kf_cgroup g;

	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	if (kf_cgroup_parse(text, &g) &&
	    (strlen(g.pod_uid) >= sizeof(g.pod_uid) || strlen(g.container) >= sizeof(g.container)))
		abort();
	free(text);
	return 0;
}
