/* Name-based UUIDs (RFC 4122 version 5): the same name in the same space is the same UUID. */
#pragma once

#include <stdint.h>

/* SHA-1 of two byte strings, one after the other.  Of no worth against an adversary. */
void kf_sim_sha1(const void *a, unsigned n_a, const void *b, unsigned n_b, uint8_t ret[20]);
/* "xxxxxxxx-xxxx-5xxx-xxxx-xxxxxxxxxxxx" of `name` in `space`. */
void kf_sim_uuid5(const uint8_t space[16], const char *name, char ret[37]);
/* The 16 bytes of a UUID in text, dashes skipped; what is no hex digit counts as 0. */
void kf_sim_uuid_bytes(const char *text, uint8_t ret[16]);
