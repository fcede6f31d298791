/* GPUs drawn as they are cut, placements to scale. */
#pragma once

#include <jansson.h>

/*
 * One line a GPU on standard output, four columns a placement unit:
 *
 *	gpu 0  |1g #|1g .|2g    #|3g          .|
 *
 * '#' is held, '.' free, '~' withdrawn.  `status` is what `kerf status -o json` shows.
 */
void kf_picture_print(json_t *status);
