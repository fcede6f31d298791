/* One page of a list, as the API server answers it. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct kf_error;

struct kf_page {
	char *version; /* of the whole list; the caller's to free */
	char *more;    /* token of the next page, the caller's to free; NULL: this was the last */
};

/*
 * Read a page; each item goes to `item` (borrowed), which returns non-zero to stop.
 * 0 and *ret; what item returned; negative: not a list, no version, no memory.  But for 0, *ret is
 * left alone.  A page that is not sound has none of its items told.
 */
int kf_page_read(const char *bytes, size_t n, int (*item)(void *ud, json_t *item), void *ud,
		 struct kf_page *ret, struct kf_error *err);
