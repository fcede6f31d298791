/* What labels say of a machine besides what its driver tells; see facts.h. */
#include "labels/facts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "base/text.h"

static void read_machine(const char *root, const char *file, struct kf_label_facts *ret)
{
	kf_auto_mem char *path = kf_under(root, file ? file : KF_MACHINE_TYPE_FILE);
	kf_auto_mem char *text = path ? kf_read_file(path, 4096, NULL, NULL) : NULL;
	const char *start;

	if (!text)
		return;
	start = text + strspn(text, " \t\r\n");
	snprintf(ret->machine, sizeof(ret->machine), "%.*s", (int)strcspn(start, "\r\n"), start);
}

/* A file of the GPU's folder in sysfs, or NULL. */
static char *read_sysfs(const char *root, const struct kf_gpu *gpu, const char *file, size_t *n)
{
	kf_auto_mem char *relative = NULL, *path = NULL;
	char address[32];

	if (kf_pci_address(gpu->bus_id, address) < 0)
		return NULL;
	relative = kf_asprintf("/sys/bus/pci/devices/%s/%s", address, file);
	path = relative ? kf_under(root, relative) : NULL;
	return path ? kf_read_file(path, 65536, n, NULL) : NULL;
}

static unsigned pci_class(const char *root, const struct kf_gpu *gpu)
{
	kf_auto_mem char *text = read_sysfs(root, gpu, "class", NULL);

	return text ? (unsigned)strtoul(text, NULL, 16) : 0;
}

static int is_vgpu(const char *root, const struct kf_gpu *gpu, struct kf_label_facts *ret)
{
	size_t n = 0;
	kf_auto_mem char *config = read_sysfs(root, gpu, "config", &n);

	return config ? kf_vgpu_parse((const uint8_t *)config, n, ret) : -1;
}

void kf_label_facts_read(const char *root, const char *machine_file, const struct kf_node *node,
			 struct kf_label_facts *ret)
{
	unsigned g;

	*ret = (struct kf_label_facts){0};
	read_machine(root, machine_file, ret);
	for (g = 0; g < node->n_gpus; g++) {
		int vgpu = is_vgpu(root, &node->gpu[g], ret);

		ret->pci_class[g] = pci_class(root, &node->gpu[g]);
		if (vgpu > 0 || (vgpu < 0 && ret->vgpu == 0))
			ret->vgpu = vgpu;
	}
}

/* A number that stands in hexadecimal in a file of a device's folder; 0 if it cannot be read. */
static unsigned long read_number(const char *folder, const char *device, const char *file)
{
	kf_auto_mem char *path = kf_asprintf("%s/%s/%s", folder, device, file);
	kf_auto_mem char *text = path ? kf_read_file(path, 64, NULL, NULL) : NULL;

	return text ? strtoul(text, NULL, 16) : 0;
}

int kf_gpus_on_bus(const char *root)
{
	kf_auto_mem char *folder = kf_under(root, "/sys/bus/pci/devices");
	DIR *dir = folder ? opendir(folder) : NULL;
	struct dirent *e;
	int found = 0;

	if (!dir)
		return -1;
	while (!found && (e = readdir(dir)))
		found = e->d_name[0] != '.' && read_number(folder, e->d_name, "vendor") == 0x10de &&
			read_number(folder, e->d_name, "class") >> 16 == 0x03;
	closedir(dir);
	return found;
}
