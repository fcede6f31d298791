/* Which profile constants a driver knows; see machine.h.  Apart, since the driver library needs it.
 */
#include "core/machine.h"

/* +me came with R470, the doubled and second +me with R525, graphics with R570, the -me and +me.all
 * with R575, the Thor one with R595. */
unsigned kf_sim_profile_count(unsigned driver_major)
{
	static const struct {
		unsigned major, count;
	} steps[] = {{595, 0x12}, {575, 0x11}, {570, 0xD}, {525, 0xA}, {470, 0x8}, {0, 0x7}};
	unsigned i = 0;

	while (driver_major < steps[i].major)
		i++;
	return steps[i].count;
}
