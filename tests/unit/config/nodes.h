/* Nodes for the tests of configurations. */
#pragma once

#include "model/node.h"

/*
 * A node with these GPUs, apart by spaces: a product of shapes.h with MIG off, or "t4", or, with
 * '?' before it, a product whose driver lists no profile while MIG is off.  The caller's to free.
 */
struct kf_node *node_of(const char *gpus);
/* Turn MIG on and add a GPU instance with compute instances of these slices ("3" or "1 1 2"). */
void node_add(struct kf_gpu *gpu, const char *profile, const char *cis);
