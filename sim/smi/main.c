/* The simulated nvidia-smi's command line; see smi.h. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/find.h"
#include "core/op.h"
#include "smi/smi.h"

uint32_t kf_smi_gpus(const struct kf_sim *sim, const char *list)
{
	struct kf_error err = {0};
	uint32_t gpus = 0;
	char one[128];
	unsigned gpu;

	if (!list)
		return (uint32_t)((1ull << sim->state->machine.n_gpus) - 1);
	while (*list) {
		size_t n = strcspn(list, ",");

		snprintf(one, sizeof(one), "%.*s", n < sizeof(one) ? (int)n : 0, list);
		if (kf_sim_parse_gpu(sim, one, &gpu, &err) < 0)
			return 0;
		gpus |= 1u << gpu;
		list += n + (list[n] == ',');
	}
	return gpus;
}

/* --- what it can --------------------------------------------------------------------------- */

static int list_gpus(struct kf_sim *sim)
{
	struct kf_sim_state *s = sim->state;
	unsigned i, g, c;

	kf_sim_lock(s);
	for (i = 0; i < s->machine.n_gpus; i++) {
		const struct kf_sim_product *p = &s->machine.product[s->machine.gpu[i].product];
		const struct kf_sim_now *now = kf_sim_now(s, i);

		printf("GPU %u: %s (UUID: %s)\n", i, p->name, s->machine.gpu[i].uuid);
		for (g = 0; g < KF_MAX_INSTANCES; g++)
			for (c = 0; now->gi[g].used && c < KF_MAX_CIS; c++)
				if (now->gi[g].ci[c].used)
					printf("  MIG %-12s Device %2u: (UUID: %s)\n",
					       p->shape.profile[now->gi[g].profile].name,
					       now->gi[g].ci[c].index, now->gi[g].ci[c].uuid);
	}
	kf_sim_unlock(s);
	return KF_SMI_OK;
}

static int reset(struct kf_sim *sim, uint32_t gpus)
{
	struct kf_error err = {0};
	unsigned i;

	for (i = 0; i < sim->state->machine.n_gpus; i++) {
		if (!(gpus >> i & 1))
			continue;
		if (kf_sim_reset(sim, i, &err) < 0) {
			printf("%s\n", err.msg);
			return KF_SMI_IN_USE;
		}
		printf("GPU %u was successfully reset.\n", i);
	}
	return KF_SMI_OK;
}

/* By name or by number; NVML's number, or -1. */
static int parse_mode(const char *s)
{
	static const char *const modes[] = {"DEFAULT", "EXCLUSIVE_THREAD", "PROHIBITED",
					    "EXCLUSIVE_PROCESS"};
	int i;

	for (i = 0; i < 4; i++)
		if (!strcmp(s, modes[i]) || (s[0] == '0' + i && !s[1]))
			return i;
	return -1;
}

static int set_mode(struct kf_sim *sim, uint32_t gpus, const char *text)
{
	static const char *const names[] = {"DEFAULT", "EXCLUSIVE_THREAD", "PROHIBITED",
					    "EXCLUSIVE_PROCESS"};
	int mode = parse_mode(text);
	unsigned i;

	if (mode < 0) {
		printf("ERROR: Option %s is invalid for -c. Please run 'nvidia-smi -h' for "
		       "help.\n\n",
		       text);
		return KF_SMI_USAGE;
	}
	for (i = 0; i < sim->state->machine.n_gpus; i++) {
		const struct kf_sim_gpu *g = &sim->state->machine.gpu[i];

		if (!(gpus >> i & 1))
			continue;
		if (!sim->privileged) {
			printf("Unable to set the compute mode for GPU %08X:%02X:%02X.0: "
			       "Insufficient Permissions\n",
			       g->domain, g->bus, g->device);
			return KF_SMI_NO_PERMISSION;
		}
		printf(kf_sim_set_compute_mode(sim, i, (unsigned)mode)
			       ? "Set compute mode to %s for GPU %08X:%02X:%02X.0.\n"
			       : "Compute mode is already set to %s for GPU %08X:%02X:%02X.0.\n",
		       names[mode], g->domain, g->bus, g->device);
	}
	printf("All done.\n");
	return KF_SMI_OK;
}

/* --- the command line ---------------------------------------------------------------------- */

static int refuse(const char *what)
{
	printf("nvidia-smi: this machine is simulated, and this nvidia-smi knows -L, -r -i "
	       "GPU,..., "
	       "-c MODE and compute-policy only, not '%s'\n",
	       what);
	return KF_SMI_USAGE;
}

static int run(struct kf_sim *sim, int argc, char **argv)
{
	const char *ids = NULL, *mode = NULL;
	int i, wants_reset = 0;
	uint32_t gpus;

	if (argc > 1 && !strcmp(argv[1], "compute-policy"))
		return kf_smi_policy(sim, argc - 1, argv + 1);
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-r") || !strcmp(argv[i], "--gpu-reset"))
			wants_reset = 1;
		else if ((!strcmp(argv[i], "-i") || !strcmp(argv[i], "--id")) && i + 1 < argc)
			ids = argv[++i];
		else if ((!strcmp(argv[i], "-c") || !strcmp(argv[i], "--compute-mode")) &&
			 i + 1 < argc)
			mode = argv[++i];
		else if (strcmp(argv[i], "-L") != 0 && strcmp(argv[i], "--list-gpus") != 0)
			return refuse(argv[i]);
	}
	gpus = kf_smi_gpus(sim, ids);
	if (!gpus) {
		printf("No devices were found\n");
		return KF_SMI_NOT_FOUND;
	}
	if (wants_reset)
		return ids ? reset(sim, gpus) : refuse("-r without -i");
	return mode ? set_mode(sim, gpus, mode) : list_gpus(sim);
}

int main(int argc, char **argv)
{
	char own[PATH_MAX] = "", dir[PATH_MAX];
	struct kf_error err = {0};
	struct kf_sim sim;
	int status;

	if (readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
		own[0] = '\0';
	if (kf_sim_find(own, dir, sizeof(dir)) < 0) {
		fprintf(stderr, "nvidia-smi: no simulated machine: KERF_SIM_DIR is not set\n");
		return KF_SMI_NO_DRIVER;
	}
	if (kf_sim_open(dir, &sim, &err) != 0) {
		fprintf(stderr, "nvidia-smi: %s\n", err.msg);
		return KF_SMI_NO_DRIVER;
	}
	if (sim.state->loaded) {
		status = run(&sim, argc, argv);
	} else {
		printf("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA "
		       "driver. Make sure that the latest NVIDIA driver is installed and "
		       "running.\n\n");
		status = KF_SMI_NO_DRIVER;
	}
	kf_sim_close(&sim);
	return status;
}
