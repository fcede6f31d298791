/*
 * Which GPUs go together: NVIDIA's best effort (nvidia-stack.md 1.6), exactly.
 *
 * The candidates are thought of as cut into sets of the size asked for, the last one smaller if
 * they do not divide; the cut with the highest sum of links within its sets is the best, so that
 * the next request of that size is served as well as it can be.  Of the best cuts' whole sets, one
 * that has all GPUs that must be in: the best connected, of equals the one with the lower GPUs.
 *
 * Values only.
 */
#pragma once

#define KF_ALIGN_MAX 12 /* candidates that are cut in every way; with more, sets are grown */

/* The links between candidates i and j; symmetric, 0 where they are not known. */
typedef unsigned (*kf_align_link)(const void *ud, unsigned i, unsigned j);

/*
 * Of n candidates (up to 32), `size` of them, 1 to n, with those of the bit set `must`.
 *
 * The bit set of the chosen; 0 when `size` is out of range or too small for `must`.  Above
 * KF_ALIGN_MAX candidates it is a set grown from what must be in, or from the best pair, by the
 * candidate with the most links to it each time.
 */
unsigned kf_align(unsigned n, unsigned size, unsigned must, kf_align_link link, const void *ud);
