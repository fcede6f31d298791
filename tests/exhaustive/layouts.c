/*
 * The planner's layouts against brute force for every layout, every wanted set and every choice of
 * held instances: minutes.  `make exhaustive`.
 */
#include <stdio.h>

#include "versus.h"

int main(void)
{
	static const char *const products[] = {"a30", "rtx6000", "a100-40", "h200", NULL};
	unsigned long bad = 0;
	unsigned i;

	for (i = 0; products[i]; i++) {
		struct versus v = versus_layouts(products[i], NULL, 0, 1);

		versus_print(products[i], "every choice of held instances", &v);
		bad += v.mismatches + (v.cases == 0);
	}
	return bad ? 1 : 0;
}
