/*
 * What `kerf top` shows: the node's JSON (docs/page.md) as lines for a terminal.
 *
 * By escape sequences that every terminal since the VT220 knows, and not by ncurses: the screen is
 * written whole, once a second, so that there is nothing for a library to optimise; and the agent
 * is the same program, which would carry it.
 */
#pragma once

#include <jansson.h>

struct kf_top_options {
	unsigned columns; /* of the terminal; at least 40 is drawn */
	int colours;
};

/* Lines that end in '\n'; of strangers' names only printable ASCII is left.  The caller's to free;
 * NULL: no memory. */
char *kf_top_text(json_t *node, const struct kf_top_options *opt);
