/* A virtual GPU, told by its PCI configuration space; see facts.h. */
#include <string.h>

#include "labels/facts.h"

/* The PCI specification's. */
enum {
	STATUS = 0x06,
	STATUS_HAS_CAPABILITIES = 0x10,
	FIRST_CAPABILITY = 0x34,
	HEADER = 64,
	CAPABILITY_ID = 0, /* of each: what it is, where the next one is; a vendor's: its length */
	CAPABILITY_NEXT = 1,
	CAPABILITY_LENGTH = 2,
	VENDOR_SPECIFIC = 0x09,
};

/* NVIDIA's: after the signature come records of an id, a length (both counted) and data. */
enum {
	SIGNATURE = 3,
	RECORDS = 5,
	RECORD_HOST_DRIVER = 0, /* version and branch, 10 bytes each, NUL where they are shorter */
	TEXT = 10,
};

static void host_driver(const uint8_t *cap, size_t n, struct kf_label_facts *f)
{
	size_t at = RECORDS;

	while (at + 2 <= n && cap[at] != RECORD_HOST_DRIVER) {
		if (cap[at + 1] < 2)
			return;
		at += cap[at + 1];
	}
	if (at + 2 + 2 * TEXT > n || cap[at + 1] < 2 + 2 * TEXT)
		return;
	memcpy(f->vgpu_version, cap + at + 2, TEXT);
	memcpy(f->vgpu_branch, cap + at + 2 + TEXT, TEXT);
	f->vgpu_version[TEXT] = f->vgpu_branch[TEXT] = '\0';
}

/* Only the first vendor capability counts, as NVIDIA's program has it. */
static int is_vgpu(const uint8_t *config, size_t n, size_t at, struct kf_label_facts *f)
{
	size_t length = config[at + CAPABILITY_LENGTH];

	if (length <= SIGNATURE + 1)
		return 0;
	if (at + length > n)
		return -1;
	if (config[at + SIGNATURE] != 'V' || config[at + SIGNATURE + 1] != 'F')
		return 0;
	host_driver(config + at, length, f);
	return 1;
}

int kf_vgpu_parse(const uint8_t *config, size_t n, struct kf_label_facts *f)
{
	size_t at, turns;

	if (n < HEADER)
		return -1;
	if (!(config[STATUS] & STATUS_HAS_CAPABILITIES))
		return 0;
	at = config[FIRST_CAPABILITY];
	for (turns = 0; turns < 256 / 4 && at >= HEADER; turns++) { /* a list may be a ring */
		if (at + CAPABILITY_LENGTH >= n)
			return -1;
		if (config[at + CAPABILITY_ID] == VENDOR_SPECIFIC)
			return is_vgpu(config, n, at, f);
		if (config[at + CAPABILITY_ID] == 0xff) /* nobody answered */
			return 0;
		at = config[at + CAPABILITY_NEXT];
	}
	return 0;
}
