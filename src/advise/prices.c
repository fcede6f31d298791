/*
 * What a GPU costs on EC2: on demand, Linux, us-east-1, from AWS' price list of July to September
 * 2026.  Types that are sold by capacity blocks only (p5e, p6e) have no such price.
 */
#include <string.h>

#include "advise/advise.h"

static const struct {
	const char *type;
	unsigned gpus;
	double usd; /* of the instance, an hour */
} prices[] = {
	{"p3.2xlarge", 1, 3.06},	   {"p3.8xlarge", 4, 12.24},
	{"p3.16xlarge", 8, 24.48},	   {"p4d.24xlarge", 8, 21.957642},
	{"p4de.24xlarge", 8, 27.44705},	   {"p5.4xlarge", 1, 6.88},
	{"p5.48xlarge", 8, 55.04},	   {"p5en.48xlarge", 8, 63.296},
	{"p6-b200.48xlarge", 8, 113.9328}, {"p6-b300.48xlarge", 8, 142.416},
	{"g4dn.xlarge", 1, .526},	   {"g4dn.2xlarge", 1, .752},
	{"g4dn.4xlarge", 1, 1.204},	   {"g4dn.8xlarge", 1, 2.176},
	{"g4dn.16xlarge", 1, 4.352},	   {"g4dn.12xlarge", 4, 3.912},
	{"g4dn.metal", 8, 7.824},	   {"g5.xlarge", 1, 1.006},
	{"g5.2xlarge", 1, 1.212},	   {"g5.4xlarge", 1, 1.624},
	{"g5.8xlarge", 1, 2.448},	   {"g5.16xlarge", 1, 4.096},
	{"g5.12xlarge", 4, 5.672},	   {"g5.24xlarge", 4, 8.144},
	{"g5.48xlarge", 8, 16.288},	   {"g6.xlarge", 1, .8048},
	{"g6.2xlarge", 1, .9776},	   {"g6.4xlarge", 1, 1.3232},
	{"g6.8xlarge", 1, 2.0144},	   {"g6.16xlarge", 1, 3.3968},
	{"g6.12xlarge", 4, 4.6016},	   {"g6.24xlarge", 4, 6.6752},
	{"g6.48xlarge", 8, 13.3504},	   {"g6e.xlarge", 1, 1.861},
	{"g6e.2xlarge", 1, 2.24208},	   {"g6e.4xlarge", 1, 3.00424},
	{"g6e.8xlarge", 1, 4.52856},	   {"g6e.16xlarge", 1, 7.57719},
	{"g6e.12xlarge", 4, 10.49264},	   {"g6e.24xlarge", 4, 15.06559},
	{"g6e.48xlarge", 8, 30.13118},	   {"g7e.2xlarge", 1, 3.3631},
	{"g7e.4xlarge", 1, 3.9982},	   {"g7e.8xlarge", 1, 5.2682},
	{"g7e.12xlarge", 2, 8.2861},	   {"g7e.24xlarge", 4, 16.5722},
	{"g7e.48xlarge", 8, 33.1443},
};

double kf_price_of_gpu(const char *type)
{
	size_t i;

	for (i = 0; i < sizeof(prices) / sizeof(prices[0]); i++)
		if (!strcmp(prices[i].type, type))
			return prices[i].usd / prices[i].gpus;
	return 0;
}
