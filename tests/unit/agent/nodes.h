/* Nodes for tests: A100s with the instances that a text names. */
#pragma once

#include "model/node.h"

/*
 * `n` A100-40 GPUs in MIG mode without instances.  UUIDs are GPU-0, GPU-1, ...  The caller's to
 * kf_node_free.
 */
struct kf_node *node_of_a100s(unsigned n);
/* Add an instance with one compute instance that fills it; its MIG UUID is "MIG-<gpu>-<start>". */
struct kf_instance *node_add(struct kf_node *node, unsigned gpu, const char *profile,
			     unsigned start);
/* Seven 1g.5gb on GPU `gpu`. */
void node_add_seven(struct kf_node *node, unsigned gpu);
