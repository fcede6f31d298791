/* How much of a GPU each MPS client has, by NVML: the driver lists clients one by one. */
#pragma once

#include <stdint.h>

struct kf_used;

/* A session of its own; NULL: no driver, or no memory: then nobody is known to have any. */
struct kf_used *kf_used_open(const char *root);
struct kf_used *kf_used_close(struct kf_used *u);
/* Read what the clients of this GPU or MIG device have.  What cannot be read stays as it was. */
void kf_used_look(struct kf_used *u, const char *uuid);
/* Bytes that a process had at the last look; 0: none, or it is not listed.  `u` may be NULL. */
uint64_t kf_used_by(const struct kf_used *u, unsigned pid);
