/*
 * A snapshot as JSON: what the page draws, `kerf top` shows and a script reads.
 *
 * docs/page.md describes the fields.  A number that there is none of is null; so is every measured
 * one of a GPU whose reading is stale.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "metrics/snapshot.h"

struct kf_node_words {
	const char *version;
	int64_t wall_ms; /* now, since 1970 */
	size_t room;	 /* how long the text may become, to ask for memory once */
};

/* One line without an end, NUL-terminated, ASCII but for UTF-8 in names; the caller's to free.
 * NULL: no memory. */
char *kf_node_json(const struct kf_snapshot *snap, const struct kf_node_words *words,
		   size_t *ret_n);
