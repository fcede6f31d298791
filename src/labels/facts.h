/*
 * What labels say of a machine besides what its driver tells: its type, from DMI; the PCI class of
 * its GPUs and whether they are virtual, from sysfs.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "model/node.h"

/* DMI's name of the machine, unless GFD_MACHINE_TYPE_FILE says otherwise. */
#define KF_MACHINE_TYPE_FILE "/sys/class/dmi/id/product_name"

struct kf_label_facts {
	char machine[128];		 /* as it stands there, one line; empty: not known */
	unsigned pci_class[KF_MAX_GPUS]; /* of node->gpu[i]: 0x030200; 0: not known */
	int vgpu;			 /* is one of the GPUs a virtual one?  -1: not known */
	char vgpu_version[16];		 /* of the host's driver, "" without */
	char vgpu_branch[16];
};

/*
 * Read them below `root` ("/", "" or NULL: this machine).  `machine_file` is a path below root,
 * NULL the standard one.  What cannot be read is "not known", which is no failure.
 */
void kf_label_facts_read(const char *root, const char *machine_file, const struct kf_node *node,
			 struct kf_label_facts *ret);

/* Is there a GPU of NVIDIA's on the PCI bus, driver or not?  1, 0, or -1: sysfs cannot be read. */
int kf_gpus_on_bus(const char *root);

/*
 * The first `n` bytes of a PCI configuration space: is it a virtual GPU (its vendor capability is
 * signed "VF"), and which driver has its host?  Fills in the vgpu fields of *f if so.
 * 1, 0, or -1: the bytes end before the list of capabilities does (who is not root is shown 64).
 */
int kf_vgpu_parse(const uint8_t *config, size_t n, struct kf_label_facts *f);
