/* nvidia-smi compute-policy: how long a time slice is; see smi.h. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "core/op.h"
#include "smi/smi.h"

static const char help[] = "\n    Compute Policy -- Control and list compute policies.\n\n"
			   "    Usage: nvidia-smi compute-policy [options]\n\n"
			   "    Options include:\n"
			   "    [-i | --id]: GPU device ID's. Provide comma\n"
			   "                 separated values for more than one device\n\n"
			   "    [-l | --list]: List all compute policies\n\n"
			   "    [ | --set-timeslice]: Set timeslice config for a GPU:\n"
			   "                          0=DEFAULT, 1=SHORT, 2=MEDIUM, 3=LONG\n\n"
			   "    [-h | --help]: Display help information\n\n\n";

static const char *const lengths[] = {"Default", "Short", "Medium", "Long"};
#define N_LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static const char *length_of(uint64_t n)
{
	return n < N_LENGTHS ? lengths[n] : "Unknown";
}

static void list(struct kf_sim *sim, uint32_t gpus)
{
	static const char line[] = "+-------------------------------------+\n";
	unsigned i;

	printf("%s| GPU compute policies:               |\n"
	       "| GPU     Name           Value        |\n"
	       "|=====================================|\n",
	       line);
	kf_sim_lock(sim->state);
	for (i = 0; i < sim->state->machine.n_gpus; i++)
		if (gpus >> i & 1)
			printf("| %3u   Timeslice       %-14s|\n", i,
			       length_of(kf_sim_now(sim->state, i)->timeslice));
	kf_sim_unlock(sim->state);
	fputs(line, stdout);
}

static int failed(unsigned gpu, uint64_t n, const char *why, int status)
{
	printf("Failed to set timeslice policy with value %s for GPU %u : %s\n"
	       "Failed to set timeslice for requested devices : %s\n",
	       length_of(n), gpu, why, why);
	return status;
}

static int set(struct kf_sim *sim, uint32_t gpus, uint64_t n)
{
	unsigned i;

	for (i = 0; i < sim->state->machine.n_gpus; i++) {
		if (!(gpus >> i & 1))
			continue;
		if (n >= N_LENGTHS)
			return failed(i, n, "Invalid Argument", KF_SMI_USAGE);
		if (!sim->privileged)
			return failed(i, n, "Insufficient Permissions", KF_SMI_NO_PERMISSION);
		kf_sim_set_timeslice(sim, i, (unsigned)n);
		printf("Successfully set timeslice policy with value %s for GPU %u\n", length_of(n),
		       i);
	}
	return KF_SMI_OK;
}

int kf_smi_policy(struct kf_sim *sim, int argc, char **argv)
{
	const char *ids = NULL, *value = NULL;
	int i, wants_list = 0;
	uint32_t gpus;
	uint64_t n;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-l") || !strcmp(argv[i], "--list"))
			wants_list = 1;
		else if ((!strcmp(argv[i], "-i") || !strcmp(argv[i], "--id")) && i + 1 < argc)
			ids = argv[++i];
		else if (!strcmp(argv[i], "--set-timeslice") && i + 1 < argc)
			value = argv[++i];
		else if (!strncmp(argv[i], "--set-timeslice=", 16))
			value = argv[i] + 16;
		else
			break;
	}
	if (i < argc || (!wants_list && !value)) {
		fputs(help, stdout);
		return i < argc && argv[i][1] != 'h' && strcmp(argv[i], "--help") != 0
			       ? KF_SMI_USAGE
			       : KF_SMI_OK;
	}
	if (value && kf_parse_uint(value, UINT32_MAX, &n) < 0) {
		printf("Option \"%s\" is invalid for \"--set-timeslice\".\n", value);
		return KF_SMI_USAGE;
	}
	gpus = kf_smi_gpus(sim, ids);
	if (!gpus) {
		printf("No devices were found\n");
		return KF_SMI_NOT_FOUND;
	}
	if (value)
		return set(sim, gpus, n);
	list(sim, gpus);
	return KF_SMI_OK;
}
