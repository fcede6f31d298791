/* GPUs drawn as they are cut; see picture.h. */
#include "demo/picture.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 5 /* of a unit, its border included */

static int get(json_t *json, const char *key)
{
	return (int)json_integer_value(json_object_get(json, key));
}

static char mark(json_t *slice)
{
	const char *state = json_string_value(json_object_get(slice, "state"));

	if (!state || !strcmp(state, "free"))
		return '.';
	return !strcmp(state, "held") ? '#' : '~';
}

static void draw_slice(char *line, json_t *slice)
{
	const char *profile = json_string_value(json_object_get(slice, "profile"));
	int start = get(slice, "start") * COLUMNS, width = get(slice, "size") * COLUMNS;
	int name = profile ? (int)strcspn(profile, ".") : 0;

	line[start] = '|';
	line[start + width] = '|';
	memset(line + start + 1, ' ', (size_t)width - 1);
	memcpy(line + start + 1, profile ? profile : "", (size_t)name);
	line[start + width - 1] = mark(slice);
}

void kf_picture_print(json_t *status)
{
	json_t *gpus = json_object_get(status, "gpus"), *gpu, *slice;
	size_t g, i;

	json_array_foreach(gpus, g, gpu)
	{
		char line[16 * COLUMNS + 2];
		int units = get(gpu, "units");

		if (units < 1 || units > 16)
			continue;
		memset(line, ' ', sizeof(line));
		line[0] = line[units * COLUMNS] = '|';
		line[units * COLUMNS + 1] = '\0';
		json_array_foreach(json_object_get(gpu, "slices"), i,
				   slice) if (get(slice, "start") + get(slice, "size") <= units)
			draw_slice(line, slice);
		printf("    gpu %zu  %s\n", g, line);
	}
}
