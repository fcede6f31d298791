/*
 * Machine files: which GPUs a simulated machine has, and how their products are built.
 *
 *	name: two-h100            # all that a file needs
 *	gpus:
 *	  - {product: h100-sxm5-80gb, count: 2}
 *
 * docs/sim.md lists the keys.  The machines and products that come with kerf are compiled in.
 */
#pragma once

#include <stddef.h>

#include "core/state.h"

/* A file that is compiled in; the tables end with a NULL name.  Made by embed.py. */
struct kf_sim_file {
	const char *name; /* without ".yaml" */
	const char *text;
};
extern const struct kf_sim_file kf_sim_machine_files[];
extern const struct kf_sim_file kf_sim_product_files[];

/* The compiled-in machine of that name, else the file at that path; 0, or -1 with file and line. */
int kf_sim_machine_load(const char *name, struct kf_sim_machine *ret, struct kf_error *err);
/* Bytes that anybody may have written; `name` stands for the file in messages. */
int kf_sim_machine_parse(const char *bytes, size_t n, const char *name, struct kf_sim_machine *ret,
			 struct kf_error *err);

/* "580.159.04": what the driver calls itself.  It decides which profiles there are.  0 or -1. */
int kf_sim_machine_set_driver(struct kf_sim_machine *m, const char *version, struct kf_error *err);
/* "13.0" */
int kf_sim_machine_set_cuda(struct kf_sim_machine *m, const char *version, struct kf_error *err);
/* Give every GPU that has none a UUID and a serial number; equal seeds give equal ones. */
void kf_sim_machine_identify(struct kf_sim_machine *m, const char *seed);

/* How many profile constants the driver of this major version knows: beyond is no argument. */
unsigned kf_sim_profile_count(unsigned driver_major);

struct kf_yaml;
struct kf_yaml_node;

/* One product from its map; `like` (may be NULL) is where what it does not say comes from. */
int kf_sim_product_parse(const struct kf_yaml *y, const struct kf_yaml_node *map, const char *id,
			 struct kf_sim_product *ret, struct kf_error *err);
/* A compiled-in product by its id: 0, or -1 (there is none; *err lists what there is). */
int kf_sim_product_find(const char *id, struct kf_sim_product *ret, struct kf_error *err);
