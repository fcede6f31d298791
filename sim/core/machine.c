/* Machine files; see machine.h. */
#include "core/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"
#include "core/uuid.h"

static const char *const machine_keys[] = {
	"name",	    "vendor",	"driver", "cuda", "cpus", "numa-nodes", "threads-per-core",
	"nvswitch", "products", "gpus",	  NULL};
static const char *const gpu_keys[] = {"product", "count",  "bus",  "numa",
				       "minor",	  "serial", "uuid", NULL};

struct reader {
	const struct kf_yaml *y;
	struct kf_error *err;
	struct kf_sim_machine *m;
	const struct kf_yaml_node *products;
};

static int number(const struct reader *r, const struct kf_yaml_node *map, const char *key,
		  uint64_t max, uint32_t *ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);
	uint64_t v;

	if (!node)
		return 0;
	if (kf_yaml_uint(r->y, node, max, &v, r->err) < 0)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

static int text(const struct reader *r, const struct kf_yaml_node *map, const char *key, char *out,
		size_t size)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, key);

	return node ? kf_yaml_copy(r->y, node, out, size, r->err) : 0;
}

/* The file's own product, else one that is compiled in; each is kept once. */
static int find_product(const struct reader *r, const struct kf_yaml_node *gpu, uint32_t *ret)
{
	const struct kf_yaml_node *node = kf_yaml_get(gpu, "product");
	struct kf_sim_machine *m = r->m;
	const struct kf_yaml_node *own;
	const char *id;
	int made;

	if (!node)
		return kf_yaml_fail(r->y, gpu, r->err, "a GPU needs a product");
	if (kf_yaml_string(r->y, node, &id, r->err) < 0)
		return -1;
	for (*ret = 0; *ret < m->n_products; (*ret)++)
		if (!strcmp(m->product[*ret].id, id))
			return 0;
	if (m->n_products == KF_SIM_PRODUCTS)
		return kf_yaml_fail(r->y, node, r->err, "more than %d products", KF_SIM_PRODUCTS);
	own = kf_yaml_get(r->products, id);
	made = own ? kf_sim_product_parse(r->y, own, id, &m->product[*ret], r->err)
		   : kf_sim_product_find(id, &m->product[*ret], r->err);
	if (made < 0)
		return own ? -1 : kf_yaml_fail(r->y, node, r->err, "no product is called '%s'", id);
	m->n_products++;
	return 0;
}

/* "0000:10:1c.0".  Without one GPUs stand on buses 16, 17, ... in the file's order. */
static int place(const struct reader *r, const struct kf_yaml_node *map, struct kf_sim_gpu *gpu)
{
	const struct kf_yaml_node *node = kf_yaml_get(map, "bus");
	const char *s;
	int n = 0;

	gpu->bus = 16 + r->m->n_gpus;
	if (!node)
		return 0;
	if (kf_yaml_string(r->y, node, &s, r->err) < 0)
		return -1;
	if (sscanf(s, "%8x:%2x:%2x.0%n", &gpu->domain, &gpu->bus, &gpu->device, &n) != 3 || s[n] ||
	    gpu->device > 31 || gpu->domain > 0xFFFFFF)
		return kf_yaml_fail(r->y, node, r->err,
				    "wants DOMAIN:BUS:DEVICE.0 in hex, not '%s'", s);
	return 0;
}

static int one_gpu(const struct reader *r, const struct kf_yaml_node *map, unsigned k)
{
	struct kf_sim_machine *m = r->m;
	struct kf_sim_gpu *gpu = &m->gpu[m->n_gpus];
	uint32_t numa = KF_SIM_NONE;
	unsigned i;

	memset(gpu, 0, sizeof(*gpu));
	gpu->minor = m->n_gpus;
	if (find_product(r, map, &gpu->product) < 0 || place(r, map, gpu) < 0 ||
	    number(r, map, "numa", 1023, &numa) < 0 ||
	    number(r, map, "minor", KF_SIM_GPUS - 1, &gpu->minor) < 0 ||
	    text(r, map, "serial", gpu->serial, sizeof(gpu->serial)) < 0 ||
	    text(r, map, "uuid", gpu->uuid, sizeof(gpu->uuid)) < 0)
		return -1;
	gpu->numa = (int32_t)numa;
	gpu->bus += kf_yaml_get(map, "bus") ? k : 0;
	if (gpu->bus > 255 || (numa != KF_SIM_NONE && numa >= m->numa_nodes))
		return kf_yaml_fail(r->y, map, r->err, "the bus or NUMA node is past the last one");
	for (i = 0; i < m->n_gpus; i++)
		if (m->gpu[i].minor == gpu->minor ||
		    (m->gpu[i].domain == gpu->domain && m->gpu[i].bus == gpu->bus &&
		     m->gpu[i].device == gpu->device))
			return kf_yaml_fail(r->y, map, r->err,
					    "another GPU has this address or minor number");
	m->n_gpus++;
	return 0;
}

static int gpu_entry(const struct reader *r, const struct kf_yaml_node *map)
{
	uint32_t count = 1;
	unsigned k;

	if (kf_yaml_is(r->y, map, KF_YAML_MAP, r->err) < 0 ||
	    kf_yaml_known(r->y, map, gpu_keys, r->err) < 0 ||
	    number(r, map, "count", KF_SIM_GPUS, &count) < 0)
		return -1;
	if (count > 1 && (kf_yaml_get(map, "minor") || kf_yaml_get(map, "uuid")))
		return kf_yaml_fail(r->y, map, r->err, "minor and uuid are of one GPU, not of %u",
				    count);
	for (k = 0; k < count; k++) {
		if (r->m->n_gpus == KF_SIM_GPUS)
			return kf_yaml_fail(r->y, map, r->err, "more than %d GPUs", KF_SIM_GPUS);
		if (one_gpu(r, map, k) < 0)
			return -1;
	}
	return 0;
}

/* NVML's index is the order of PCI addresses. */
static int by_address(const void *a, const void *b)
{
	const struct kf_sim_gpu *x = a, *y = b;
	uint64_t at_x = (uint64_t)x->domain << 16 | x->bus << 8 | x->device;
	uint64_t at_y = (uint64_t)y->domain << 16 | y->bus << 8 | y->device;

	return at_x < at_y ? -1 : at_x > at_y;
}

static int machine(const struct reader *r, const struct kf_yaml_node *map)
{
	struct kf_sim_machine *m = r->m;
	char driver[KF_SIM_TEXT] = "580.159.04", cuda[16] = "13.0";
	const struct kf_yaml_node *gpus = kf_yaml_get(map, "gpus");
	const struct kf_yaml_node *nvswitch = kf_yaml_get(map, "nvswitch");
	int all = 0;

	if (text(r, map, "name", m->name, sizeof(m->name)) < 0 ||
	    text(r, map, "vendor", m->vendor, sizeof(m->vendor)) < 0 ||
	    text(r, map, "driver", driver, sizeof(driver)) < 0 ||
	    text(r, map, "cuda", cuda, sizeof(cuda)) < 0 ||
	    number(r, map, "cpus", 4096, &m->cpus) < 0 ||
	    number(r, map, "numa-nodes", 64, &m->numa_nodes) < 0 ||
	    number(r, map, "threads-per-core", 8, &m->threads_per_core) < 0 ||
	    (nvswitch && kf_yaml_bool(r->y, nvswitch, &all, r->err) < 0))
		return -1;
	m->nvswitch = (uint32_t)all;
	if (!m->cpus || !m->numa_nodes || !m->threads_per_core)
		return kf_yaml_fail(r->y, map, r->err, "a machine has at least one CPU and node");
	if (kf_sim_machine_set_driver(m, driver, r->err) < 0)
		return kf_yaml_fail(r->y, kf_yaml_get(map, "driver"), r->err, "%s", "driver");
	if (kf_sim_machine_set_cuda(m, cuda, r->err) < 0)
		return kf_yaml_fail(r->y, kf_yaml_get(map, "cuda"), r->err, "no CUDA version");
	if (!gpus)
		return kf_yaml_fail(r->y, map, r->err,
				    "a machine needs gpus (an empty list will do)");
	if (kf_yaml_is(r->y, gpus, KF_YAML_LIST, r->err) < 0)
		return -1;
	for (kf_yaml_each(child, gpus))
		if (gpu_entry(r, child) < 0)
			return -1;
	qsort(m->gpu, m->n_gpus, sizeof(m->gpu[0]), by_address);
	return 0;
}

int kf_sim_machine_parse(const char *bytes, size_t n, const char *name, struct kf_sim_machine *ret,
			 struct kf_error *err)
{
	kf_auto(kf_yaml_freep) struct kf_yaml *y = NULL;
	struct reader r = {.err = err, .m = ret};

	memset(ret, 0, sizeof(*ret));
	ret->cpus = 8;
	ret->numa_nodes = 1;
	ret->threads_per_core = 2;
	ret->caps_major = 235;
	ret->uvm_major = 236;
	snprintf(ret->name, sizeof(ret->name), "simulated");
	snprintf(ret->vendor, sizeof(ret->vendor), "kerf");
	if (kf_yaml_parse(bytes, n, name, &y, err) < 0)
		return -1;
	r.y = y;
	if (kf_yaml_is(y, y->root, KF_YAML_MAP, err) < 0 ||
	    kf_yaml_known(y, y->root, machine_keys, err) < 0)
		return -1;
	r.products = kf_yaml_get(y->root, "products");
	if (r.products && kf_yaml_is(y, r.products, KF_YAML_MAP, err) < 0)
		return -1;
	return machine(&r, y->root);
}

int kf_sim_machine_load(const char *name, struct kf_sim_machine *ret, struct kf_error *err)
{
	const struct kf_sim_file *f;
	kf_auto_mem char *bytes = NULL;
	size_t n;

	for (f = kf_sim_machine_files; f->name; f++)
		if (!strcmp(f->name, name))
			return kf_sim_machine_parse(f->text, strlen(f->text), name, ret, err);
	bytes = kf_read_file(name, KF_YAML_BYTES, &n, err);
	if (!bytes)
		return kf_prefix(err, "'%s' is no machine of `kerf sim list`, nor a file", name);
	return kf_sim_machine_parse(bytes, n, name, ret, err);
}

int kf_sim_machine_set_driver(struct kf_sim_machine *m, const char *version, struct kf_error *err)
{
	unsigned major, minor, patch = 0;
	int n = 0, two = 0;

	if (sscanf(version, "%4u.%4u%n.%4u%n", &major, &minor, &two, &patch, &n) < 2 ||
	    version[n > two ? n : two] || strlen(version) >= sizeof(m->driver))
		return kf_fail(err, KF_E_INPUT, 0, "'%s' is no driver version such as 580.159.04",
			       version);
	snprintf(m->driver, sizeof(m->driver), "%s", version);
	m->driver_major = major;
	return 0;
}

int kf_sim_machine_set_cuda(struct kf_sim_machine *m, const char *version, struct kf_error *err)
{
	unsigned major, minor;
	int n = 0;

	if (sscanf(version, "%3u.%2u%n", &major, &minor, &n) != 2 || version[n])
		return kf_fail(err, KF_E_INPUT, 0, "'%s' is no CUDA version such as 13.0", version);
	m->cuda = major * 1000 + minor * 10;
	return 0;
}

void kf_sim_machine_identify(struct kf_sim_machine *m, const char *seed)
{
	uint8_t space[20];
	unsigned i;

	kf_sim_sha1("kerf simulator", 14, seed, (unsigned)strlen(seed), space);
	for (i = 0; i < m->n_gpus; i++) {
		struct kf_sim_gpu *gpu = &m->gpu[i];
		uint8_t h[20];
		char text[37];

		snprintf(text, sizeof(text), "gpu %u", i);
		kf_sim_sha1(space, 16, text, (unsigned)strlen(text), h);
		if (!gpu->serial[0])
			snprintf(gpu->serial, sizeof(gpu->serial), "165%010u",
				 (unsigned)(h[0] | h[1] << 8 | h[2] << 16));
		kf_sim_uuid5(space, text, text);
		text[14] = '4'; /* real ones look random */
		if (!gpu->uuid[0])
			snprintf(gpu->uuid, sizeof(gpu->uuid), "GPU-%s", text);
	}
}
