/* Kubeconfig files as trees, and the choice of one context out of them. */
#pragma once

#include "config/yaml.h"
#include "kube/config.h"

/*
 * Choose `context` (NULL: the current one) from n files, the first to name a thing winning.
 * 0 and *ret, the caller's to free; negative with file and line.  Keeps none of the trees.
 */
int kf_kubeconfig_pick(struct kf_yaml *const *files, unsigned n, const char *context,
		       struct kf_kube_config **ret, struct kf_error *err);
