/*
 * Files of others that cdi/ and mig/caps read: a CDI file left by someone, a shared library, the
 * driver's mig-minors.  Each input goes to all three.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cdi/elf.h"
#include "cdi/spec.h"
#include "mig/caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What a node with a lost GPU keeps of that file must be a CDI file again, byte for byte stable. */
static void keep_spec(const char *text, size_t n)
{
	static struct kf_gpu gpu = {.state = KF_GPU_LOST};
	static struct kf_caps caps;
	const struct kf_node node = {.n_gpus = 1, .gpu = &gpu};
	const struct kf_cdi_view view = {.root = "/nonexistent", .node = &node, .caps = &caps};
	char *once = NULL, *twice = NULL;

	if (kf_spec_check(text, n, NULL) < 0)
		return;
	if (kf_spec_text(&view, NULL, NULL, text, n, &once, NULL) != 0)
		abort();
	if (kf_spec_text(&view, NULL, NULL, once, strlen(once), &twice, NULL) != 0 ||
	    strcmp(once, twice) != 0)
		abort();
	free(once);
	free(twice);
}

static void read_soname(const uint8_t *data, size_t n)
{
	const struct kf_elf_source source = {.fd = -1, .data = data, .n = n};
	char name[64];

	if (kf_elf_soname(&source, name, sizeof(name)) == 0 && (!name[0] || strchr(name, '/')))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = kf_calloc(1, n + 1);
	struct kf_caps caps = {0};

	memcpy(text, data, n);
	keep_spec((const char *)data, n);
	read_soname(data, n);
	kf_caps_parse_minors(text, &caps, NULL);
	free(text);
	return 0;
}
