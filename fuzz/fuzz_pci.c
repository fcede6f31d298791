/* The configuration space of a PCI device, as sysfs shows it: 64, 256 or 4096 bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "labels/facts.h"
#include "labels/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What it says of a virtual GPU's host must come out as labels that Kubernetes takes. */
static void check(const struct kf_label_facts *f)
{
	static const struct kf_node empty;
	static const struct kf_label_choices none;
	struct kf_labels l = {0};
	unsigned i;

	if (kf_labels_make(&empty, f, &none, &l, NULL) < 0)
		abort();
	for (i = 0; i < l.n; i++) {
		static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					      "0123456789-_.";
		const char *v = l.label[i].value;
		size_t m = strlen(v);

		if (strspn(v, allowed) != m ||
		    (m && (strchr("-_.", v[0]) || strchr("-_.", v[m - 1]))))
			abort();
	}
	kf_labels_done(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_label_facts f = {0};

	f.vgpu = kf_vgpu_parse(data, n, &f);
	check(&f);
	return 0;
}
