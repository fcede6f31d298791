/* What `kerf sim mps` does; see inject.h. */
#include "mps/inject.h"

#include <errno.h>
#include <signal.h>

#include "base/error.h"

/* The server's pid as ours sees it, or 0. */
static unsigned server(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci)
{
	unsigned i, pid = 0;

	kf_sim_lock(sim->state);
	for (i = 0; i < sim->state->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(sim, i);

		if (p && p->kind == KF_SIM_MPS_SERVER && p->gpu == gpu && p->gi == gi &&
		    p->ci == ci)
			pid = kf_sim_process_pid(sim, p);
	}
	kf_sim_unlock(sim->state);
	return pid;
}

static int signal_server(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci, int number,
			 struct kf_error *err)
{
	unsigned pid = server(sim, gpu, gi, ci);

	if (!pid)
		return kf_fail(err, KF_E_INPUT, 0, "gpu %u has no MPS server%s", gpu,
			       gi == KF_SIM_NONE ? "" : " on this slice");
	if (kill((pid_t)pid, number) < 0)
		return kf_fail_errno(err, errno, "signal the MPS server %u", pid);
	return 0;
}

int kf_sim_mps_fault(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci,
		     struct kf_error *err)
{
	return signal_server(sim, gpu, gi, ci, SIGUSR1, err);
}

int kf_sim_mps_hang(struct kf_sim *sim, unsigned gpu, unsigned gi, unsigned ci, int back,
		    struct kf_error *err)
{
	return signal_server(sim, gpu, gi, ci, back ? SIGCONT : SIGSTOP, err);
}

void kf_sim_mps_clients(struct kf_sim *sim, unsigned most)
{
	__atomic_store_n(&sim->state->mps_clients, most, __ATOMIC_RELEASE);
}
