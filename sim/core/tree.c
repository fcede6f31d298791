/* proc, sys and dev of a simulated machine; see tree.h. */
#include "core/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "core/caps.h"

/* "root/at" in `path`, and the folders above it made. */
static int prepare(const char *root, const char *at, char path[PATH_MAX], struct kf_error *err)
{
	char *slash;
	int r;

	if (snprintf(path, PATH_MAX, "%s/%s", root, at) >= PATH_MAX)
		return kf_fail(err, KF_E_INPUT, 0, "the path %s/%s is too long", root, at);
	slash = strrchr(path, '/');
	*slash = '\0';
	r = kf_make_dirs(path, 0755, err);
	*slash = '/';
	return r;
}

int kf_sim_file_bytes(const char *root, const char *at, const char *data, size_t n, unsigned mode,
		      struct kf_error *err)
{
	char path[PATH_MAX];

	if (prepare(root, at, path, err) < 0)
		return -1;
	return kf_write_file(path, data, n, mode, 0, err);
}

int kf_sim_file(const char *root, struct kf_error *err, const char *at, const char *fmt, ...)
{
	kf_auto_mem char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the content of %s", at);
	}
	return kf_sim_file_bytes(root, at, text, (size_t)n, 0644, err);
}

int kf_sim_symlink(const char *root, const char *at, const char *to, struct kf_error *err)
{
	char path[PATH_MAX];

	if (prepare(root, at, path, err) < 0)
		return -1;
	unlink(path);
	return symlink(to, path) < 0 ? kf_fail_errno(err, errno, "link %s", path) : 0;
}

static int proc(const char *root, const struct kf_sim_machine *m, struct kf_error *err)
{
	if (kf_sim_file(root, err, "proc/modules",
			"nvidia_uvm 1826816 0 - Live 0x0000000000000000 (OE)\n"
			"nvidia_modeset 1568768 0 - Live 0x0000000000000000 (OE)\n"
			"nvidia 11673600 2 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 "
			"(OE)\n") < 0 ||
	    kf_sim_file(root, err, "proc/devices",
			"Character devices:\n  1 mem\n  5 /dev/tty\n195 nvidia\n"
			"195 nvidia-modeset\n195 nvidiactl\n%3u nvidia-caps\n%3u nvidia-uvm\n\n"
			"Block devices:\n259 blkext\n",
			m->caps_major, m->uvm_major) < 0)
		return -1;
	if (kf_sim_file(root, err, "proc/driver/nvidia/version",
			"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  %s  Release "
			"Build  (kerf simulator)\nGCC version:  gcc version 12.2.0\n",
			m->driver) < 0 ||
	    kf_sim_file(root, err, "proc/driver/nvidia/params",
			"ResmanDebugLevel: 4294967295\nModifyDeviceFiles: 1\nDeviceFileUID: 0\n"
			"DeviceFileGID: 0\nDeviceFileMode: 438\n") < 0)
		return -1;
	return kf_sim_file(root, err, "sys/module/nvidia/version", "%s\n", m->driver);
}

/* Every number that an instance may ever get, whether there are such GPUs or not. */
static int mig_minors(const char *root, struct kf_error *err)
{
	kf_auto(kf_text_done) struct kf_text t = {0};
	unsigned gpu, gi, ci;

	kf_text_add(&t, "config 1\nmonitor 2\n");
	for (gpu = 0; gpu < 32; gpu++)
		for (gi = 0; gi < KF_MAX_INSTANCES; gi++) {
			kf_text_addf(&t, "gpu%u/gi%u/access %u\n", gpu, gi,
				     kf_sim_cap_minor(gpu, gi, KF_SIM_NONE));
			for (ci = 0; ci < KF_MAX_CIS; ci++)
				kf_text_addf(&t, "gpu%u/gi%u/ci%u/access %u\n", gpu, gi, ci,
					     kf_sim_cap_minor(gpu, gi, ci));
		}
	if (t.failed)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the list of MIG minors");
	return kf_sim_file_bytes(root, "proc/driver/nvidia-caps/mig-minors", t.s, t.n, 0444, err);
}

static int capabilities(const char *root, const struct kf_sim_machine *m, struct kf_error *err)
{
	char at[PATH_MAX + 64];
	unsigned i;

	if (mig_minors(root, err) < 0 ||
	    kf_sim_file(root, err, "proc/driver/nvidia/capabilities/mig/config",
			"DeviceFileMinor: 1\nDeviceFileMode: 256\nDeviceFileModify: 1\n") < 0 ||
	    kf_sim_file(root, err, "proc/driver/nvidia/capabilities/mig/monitor",
			"DeviceFileMinor: 2\nDeviceFileMode: 292\nDeviceFileModify: 1\n") < 0)
		return -1;
	for (i = 0; i < m->n_gpus; i++) {
		snprintf(at, sizeof(at), "%s/proc/driver/nvidia/capabilities/gpu%u/mig", root,
			 m->gpu[i].minor);
		if (kf_make_dirs(at, 0755, err) < 0)
			return -1;
	}
	return 0;
}

static void bdf(const struct kf_sim_gpu *gpu, char out[32])
{
	snprintf(out, 32, "%04x:%02x:%02x.0", gpu->domain, gpu->bus, gpu->device);
}

static int proc_gpu(const char *root, const struct kf_sim_machine *m, const struct kf_sim_gpu *gpu,
		    struct kf_error *err)
{
	const struct kf_sim_product *p = &m->product[gpu->product];
	char at[128], address[32];

	bdf(gpu, address);
	snprintf(at, sizeof(at), "proc/driver/nvidia/gpus/%s/information", address);
	return kf_sim_file(root, err, at,
			   "Model: \t\t %s\nIRQ:   \t\t %u\nGPU UUID: \t %s\nVideo BIOS: \t %s\n"
			   "Bus Type: \t PCIe\nDMA Size: \t 52 bits\nDMA Mask: \t "
			   "0xfffffffffffff\nBus Location: \t %s\nDevice Minor: \t %u\n"
			   "GPU Firmware: \t %s\nGPU Excluded:\t No\n",
			   p->name, 64 + gpu->minor, gpu->uuid, p->vbios, address, gpu->minor,
			   m->driver);
}

/* The first 256 bytes of configuration space: who it is; no list of capabilities. */
static int sys_config(const char *root, const char *folder, const struct kf_sim_product *p,
		      struct kf_error *err)
{
	unsigned char c[256] = {0};
	char at[128];

	c[0] = (unsigned char)p->pci_device;
	c[1] = (unsigned char)(p->pci_device >> 8);
	c[2] = (unsigned char)(p->pci_device >> 16);
	c[3] = (unsigned char)(p->pci_device >> 24);
	c[4] = 0x06;  /* command: memory, bus master */
	c[8] = 0xa1;  /* revision */
	c[10] = 0x02; /* 3D controller */
	c[11] = 0x03;
	c[0x2c] = (unsigned char)p->pci_subsystem;
	c[0x2d] = (unsigned char)(p->pci_subsystem >> 8);
	c[0x2e] = (unsigned char)(p->pci_subsystem >> 16);
	c[0x2f] = (unsigned char)(p->pci_subsystem >> 24);
	snprintf(at, sizeof(at), "%s/config", folder);
	return kf_sim_file_bytes(root, at, (const char *)c, sizeof(c), 0644, err);
}

/* Lines of three words: BAR 0 of 16 MiB, BAR 1, BAR 3 of 32 MiB, the rest unused. */
static int sys_resource(const char *root, const char *folder, const struct kf_sim_product *p,
			unsigned nth, struct kf_error *err)
{
	unsigned long long start = 0x100000000000ull + nth * 0x10000000000ull;
	unsigned long long window = (unsigned long long)p->bar1_mib << 20;
	kf_auto(kf_text_done) struct kf_text t = {0};
	char at[128];
	unsigned i;

	kf_text_addf(&t, "0x%016llx 0x%016llx 0x%016x\n", 0xc0000000ull + nth * 0x1000000ull,
		     0xc0ffffffull + nth * 0x1000000ull, 0x40200);
	kf_text_addf(&t, "0x%016llx 0x%016llx 0x%016x\n", start, start + window - 1, 0x14220c);
	kf_text_addf(&t, "0x%016x 0x%016x 0x%016x\n", 0, 0, 0);
	kf_text_addf(&t, "0x%016llx 0x%016llx 0x%016x\n", start + 0x8000000000ull,
		     start + 0x8001ffffffull, 0x14220c);
	for (i = 4; i < 13; i++)
		kf_text_addf(&t, "0x%016x 0x%016x 0x%016x\n", 0, 0, 0);
	if (t.failed)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a list of PCI resources");
	snprintf(at, sizeof(at), "%s/resource", folder);
	return kf_sim_file_bytes(root, at, t.s, t.n, 0444, err);
}

static int sys_gpu(const char *root, const struct kf_sim_machine *m, unsigned nth,
		   struct kf_error *err)
{
	const struct kf_sim_gpu *gpu = &m->gpu[nth];
	const struct kf_sim_product *p = &m->product[gpu->product];
	const struct {
		const char *file;
		unsigned value;
		int width;
	} words[] = {
		{"vendor", p->pci_device & 0xFFFF, 4},
		{"device", p->pci_device >> 16, 4},
		{"subsystem_vendor", p->pci_subsystem & 0xFFFF, 4},
		{"subsystem_device", p->pci_subsystem >> 16, 4},
		{"class", 0x030200, 6},
	};
	char folder[96], at[128], address[32], target[64];
	unsigned i;

	bdf(gpu, address);
	snprintf(folder, sizeof(folder), "sys/bus/pci/devices/%s", address);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		snprintf(at, sizeof(at), "%s/%s", folder, words[i].file);
		if (kf_sim_file(root, err, at, "0x%0*x\n", words[i].width, words[i].value) < 0)
			return -1;
	}
	snprintf(at, sizeof(at), "%s/numa_node", folder);
	if (kf_sim_file(root, err, at, "%d\n", gpu->numa) < 0)
		return -1;
	snprintf(at, sizeof(at), "%s/driver", folder);
	if (kf_sim_symlink(root, at, "../../drivers/nvidia", err) < 0)
		return -1;
	snprintf(at, sizeof(at), "sys/bus/pci/drivers/nvidia/%s", address);
	snprintf(target, sizeof(target), "../../devices/%s", address);
	if (kf_sim_symlink(root, at, target, err) < 0)
		return -1;
	return sys_config(root, folder, p, err) < 0 || sys_resource(root, folder, p, nth, err) < 0
		       ? -1
		       : 0;
}

static int dmi(const char *root, const struct kf_sim_machine *m, struct kf_error *err)
{
	if (kf_sim_file(root, err, "sys/class/dmi/id/product_name", "%s\n", m->name) < 0 ||
	    kf_sim_file(root, err, "sys/class/dmi/id/sys_vendor", "%s\n", m->vendor) < 0)
		return -1;
	return 0;
}

static int node(const char *root, const char *name, unsigned major, unsigned minor, unsigned mode,
		struct kf_error *err)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/dev/%s", root, name);
	if (kf_sim_device_node(path, major, minor, mode) < 0)
		return kf_fail_errno(err, errno, "make the device node %s", path);
	return 0;
}

static int dev(const char *root, const struct kf_sim_machine *m, struct kf_error *err)
{
	char path[PATH_MAX + 64], name[32];
	unsigned i;

	snprintf(path, sizeof(path), "%s/dev/nvidia-caps", root);
	if (kf_make_dirs(path, 0755, err) < 0)
		return -1;
	if (node(root, "nvidiactl", 195, 255, 0666, err) < 0 ||
	    node(root, "nvidia-modeset", 195, 254, 0666, err) < 0 ||
	    node(root, "nvidia-uvm", m->uvm_major, 0, 0666, err) < 0 ||
	    node(root, "nvidia-uvm-tools", m->uvm_major, 1, 0666, err) < 0 ||
	    node(root, "nvidia-caps/nvidia-cap1", m->caps_major, 1, 0400, err) < 0 ||
	    node(root, "nvidia-caps/nvidia-cap2", m->caps_major, 2, 0444, err) < 0)
		return -1;
	for (i = 0; i < m->n_gpus; i++) {
		snprintf(name, sizeof(name), "nvidia%u", m->gpu[i].minor);
		if (node(root, name, 195, m->gpu[i].minor, 0666, err) < 0)
			return -1;
	}
	return 0;
}

int kf_sim_tree_write(const char *dir, const struct kf_sim_machine *m, struct kf_error *err)
{
	char root[PATH_MAX], path[PATH_MAX + 32];
	unsigned i;

	snprintf(root, sizeof(root), "%s/root", dir);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices", root);
	if (kf_make_dirs(path, 0755, err) < 0 || proc(root, m, err) < 0 ||
	    capabilities(root, m, err) < 0 || dmi(root, m, err) < 0 || dev(root, m, err) < 0)
		return -1;
	for (i = 0; i < m->n_gpus; i++)
		if (proc_gpu(root, m, &m->gpu[i], err) < 0 || sys_gpu(root, m, i, err) < 0)
			return -1;
	return kf_sim_driver_write(root, m, err);
}
