/* How a text becomes a label's value; for the files of this folder. */
#pragma once

#include <stddef.h>

/*
 * What is no letter, digit, '-', '_', '.' or blank goes; words are joined by '-': as NVIDIA's
 * program cleans product and machine.  Then cut to `room` bytes, and to the alphanumeric ends that
 * Kubernetes demands.
 */
void kf_label_clean(const char *text, size_t room, char out[64]);
