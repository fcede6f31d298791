/* Limits as the daemon prints them; see limit.h.  Apart, since a client has no use for it. */
#include "base/text.h"
#include "mps/limit.h"

void kf_mps_bytes_print(uint64_t bytes, struct kf_text *out)
{
	if (bytes >> 30)
		kf_text_addf(out, "%lluG\n", (unsigned long long)(bytes >> 30));
	else if (bytes)
		kf_text_addf(out, "%lluM\n", (unsigned long long)(bytes >> 20));
}

void kf_mps_percent_print(unsigned percent_x10, struct kf_text *out)
{
	kf_text_addf(out, "%u.%u\n", percent_x10 / 10, percent_x10 % 10);
}
