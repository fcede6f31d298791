/* What can happen to a machine; see op.h. */
#include "core/op.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/text.h"
#include "core/calls.h"
#include "core/caps.h"

int kf_sim_parse_code(const char *text, int *ret, struct kf_error *err)
{
	static const struct {
		const char *name;
		int code;
	} codes[] = {
#define X(name, value, words) {#name, value},
		KF_NVML_RETURNS(X)
#undef X
	};
	uint64_t v;
	size_t i;

	if (kf_parse_uint(text, 999, &v) == 0) {
		*ret = (int)v;
		return 0;
	}
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcasecmp(text, codes[i].name) ||
		    (!strncmp(codes[i].name, "NVML_ERROR_", 11) &&
		     !strcasecmp(text, codes[i].name + 11)) ||
		    (codes[i].code == 0 && !strcasecmp(text, "SUCCESS"))) {
			*ret = codes[i].code;
			return 0;
		}
	return kf_fail(err, KF_E_INPUT, 0,
		       "'%s' is no NVML code: give a number or a name as IN_USE", text);
}

static int find_call(const char *name, unsigned *ret, struct kf_error *err)
{
	*ret = kf_sim_call_find(name);
	if (*ret == KF_N_CALLS)
		return kf_fail(err, KF_E_INPUT, 0, "NVML has no call '%s'", name);
	return 0;
}

int kf_sim_set_fault(struct kf_sim *sim, const char *call, const struct kf_sim_fault *fault,
		     struct kf_error *err)
{
	struct kf_sim_state *s = sim->state;
	unsigned n;

	if (find_call(call, &n, err) < 0)
		return -1;
	kf_sim_lock(s);
	s->faults += !s->fault[n].armed;
	s->fault[n] = *fault;
	s->fault[n].seen = 0;
	s->fault[n].armed = 1;
	kf_sim_unlock(s);
	return 0;
}

int kf_sim_clear_fault(struct kf_sim *sim, const char *call, struct kf_error *err)
{
	struct kf_sim_state *s = sim->state;
	unsigned n, i;

	if (find_call(call, &n, err) < 0)
		return -1;
	kf_sim_lock(s);
	for (i = 0; i < KF_N_CALLS; i++)
		if (s->fault[i].armed && (n == KF_CALL_all || i == n)) {
			s->fault[i].armed = 0;
			s->faults--;
		}
	kf_sim_unlock(s);
	return 0;
}

int kf_sim_parse_gpu(const struct kf_sim *sim, const char *text, unsigned *ret,
		     struct kf_error *err)
{
	const struct kf_sim_machine *m = &sim->state->machine;
	unsigned domain, bus, device;
	uint64_t v;

	for (*ret = 0; *ret < m->n_gpus; ++*ret) {
		const struct kf_sim_gpu *gpu = &m->gpu[*ret];

		if (!strcmp(text, gpu->uuid) ||
		    (sscanf(text, "%8x:%2x:%2x.0", &domain, &bus, &device) == 3 &&
		     domain == gpu->domain && bus == gpu->bus && device == gpu->device))
			return 0;
	}
	if (kf_parse_uint(text, KF_SIM_GPUS - 1, &v) < 0 || v >= m->n_gpus)
		return kf_fail(err, KF_E_INPUT, 0, "no GPU '%s': the machine %s has %u", text,
			       m->name, m->n_gpus);
	*ret = (unsigned)v;
	return 0;
}

/* Does the instance exist?  KF_SIM_NONE for gi (and ci) stands for none. */
static int check_instance(struct kf_sim_state *s, unsigned gpu, unsigned gi, unsigned ci,
			  struct kf_error *err)
{
	const struct kf_sim_now *now = kf_sim_now(s, gpu);

	if (gi == KF_SIM_NONE)
		return 0;
	if (gi >= KF_MAX_INSTANCES || !now->gi[gi].used)
		return kf_fail(err, KF_E_INPUT, 0, "gpu %u has no GPU instance %u", gpu, gi);
	if (ci != KF_SIM_NONE && (ci >= KF_MAX_CIS || !now->gi[gi].ci[ci].used))
		return kf_fail(err, KF_E_INPUT, 0,
			       "gpu %u: GPU instance %u has no compute "
			       "instance %u",
			       gpu, gi, ci);
	return 0;
}

int kf_sim_xid(struct kf_sim *sim, unsigned gpu, unsigned xid, unsigned gi, unsigned ci,
	       struct kf_error *err)
{
	struct kf_sim_state *s = sim->state;
	int r;

	kf_sim_lock(s);
	r = check_instance(s, gpu, gi, ci, err);
	if (r == 0)
		kf_sim_xid_push(s, gpu, xid, gi, ci);
	kf_sim_unlock(s);
	return r;
}

int kf_sim_lose(struct kf_sim *sim, unsigned gpu, int back, struct kf_error *err)
{
	struct kf_sim_state *s = sim->state;

	kf_sim_lock(s);
	kf_sim_begin(s, gpu)->lost = !back;
	kf_sim_commit(s, gpu);
	if (!back)
		kf_sim_event_push(s, &(struct kf_sim_event){NVML_EVENT_TYPE_XID, 79, gpu,
							    KF_SIM_NONE, KF_SIM_NONE});
	kf_sim_unlock(s);
	return 0;
}

void kf_sim_ail(struct kf_sim *sim, unsigned gpu, unsigned recovery, unsigned remap,
		unsigned fabric)
{
	struct kf_sim_now *now;

	kf_sim_lock(sim->state);
	now = kf_sim_begin(sim->state, gpu);
	if (recovery != KF_SIM_NONE)
		now->recovery = recovery;
	if (remap != KF_SIM_NONE)
		now->remap = remap;
	if (fabric != KF_SIM_NONE)
		now->fabric = fabric + 1;
	kf_sim_commit(sim->state, gpu);
	if (recovery != KF_SIM_NONE)
		kf_sim_event_push(sim->state,
				  &(struct kf_sim_event){NVML_EVENT_TYPE_RECOVERY_ACTION, recovery,
							 gpu, KF_SIM_NONE, KF_SIM_NONE});
	kf_sim_unlock(sim->state);
}

/* What a reset ends: not a row remapping that has failed. */
static void mend(struct kf_sim_now *now)
{
	now->compute_mode = 0;
	now->timeslice = 0;
	now->recovery = 0;
	now->remap &= ~1u;
}

static int check_process(struct kf_sim_state *s, const struct kf_sim_process *p,
			 struct kf_error *err)
{
	if (check_instance(s, p->gpu, p->gi, p->ci, err) < 0)
		return -1;
	if (p->kind == KF_SIM_HOLDER)
		return 0;
	if (kf_sim_now(s, p->gpu)->mig_current && p->ci == KF_SIM_NONE)
		return kf_fail(err, KF_E_INPUT, 0,
			       "gpu %u has MIG on: a process runs on a GPU instance and a compute "
			       "instance of it",
			       p->gpu);
	return 0;
}

int kf_sim_put_process(struct kf_sim *sim, const struct kf_sim_process *p, struct kf_error *err)
{
	int r;

	kf_sim_lock(sim->state);
	r = check_process(sim->state, p, err);
	if (r == 0 && kf_sim_process_add(sim, p) < 0)
		r = kf_fail(err, KF_E_STATE, 0, "the machine has %d processes already",
			    KF_SIM_PROCESSES);
	kf_sim_unlock(sim->state);
	return r;
}

int kf_sim_take_process(struct kf_sim *sim, unsigned pid, unsigned gpu, unsigned gi, unsigned ci,
			struct kf_error *err)
{
	unsigned i, n = 0;

	kf_sim_lock(sim->state);
	for (i = 0; i < KF_SIM_PROCESSES; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(sim, i);

		if (!p || (pid && kf_sim_process_pid(sim, p) != pid) ||
		    (gpu != KF_SIM_NONE && p->gpu != gpu) || (gi != KF_SIM_NONE && p->gi != gi) ||
		    (ci != KF_SIM_NONE && p->ci != ci))
			continue;
		kf_sim_process_remove(sim, i);
		n++;
	}
	kf_sim_unlock(sim->state);
	return n ? 0 : kf_fail(err, KF_E_INPUT, 0, "no such process is on the machine");
}

int kf_sim_load_process(struct kf_sim *sim, unsigned pid, unsigned sm, struct kf_error *err)
{
	unsigned i, n = 0;

	kf_sim_lock(sim->state);
	for (i = 0; i < sim->state->process_end; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(sim, i);

		if (!p || kf_sim_process_pid(sim, p) != pid)
			continue;
		kf_sim_process_load(sim, i, sm, sm);
		n++;
	}
	kf_sim_unlock(sim->state);
	return n ? 0 : kf_fail(err, KF_E_INPUT, 0, "no process %u is on the machine", pid);
}

int kf_sim_set_compute_mode(struct kf_sim *sim, unsigned gpu, unsigned mode)
{
	int changed;

	kf_sim_lock(sim->state);
	changed = kf_sim_now(sim->state, gpu)->compute_mode != mode;
	kf_sim_begin(sim->state, gpu)->compute_mode = mode;
	kf_sim_commit(sim->state, gpu);
	kf_sim_unlock(sim->state);
	return changed;
}

void kf_sim_set_timeslice(struct kf_sim *sim, unsigned gpu, unsigned length)
{
	kf_sim_lock(sim->state);
	kf_sim_begin(sim->state, gpu)->timeslice = length;
	kf_sim_commit(sim->state, gpu);
	kf_sim_unlock(sim->state);
}

static void clear_instances(struct kf_sim_now *now)
{
	memset(now->gi, 0, sizeof(now->gi));
}

int kf_sim_reset(struct kf_sim *sim, unsigned gpu, struct kf_error *err)
{
	struct kf_sim_state *s = sim->state;
	struct kf_sim_now *now;
	unsigned pid;

	kf_sim_lock(s);
	pid = kf_sim_process_on(sim, gpu, KF_SIM_NONE, KF_SIM_NONE);
	if (pid) {
		kf_sim_unlock(s);
		return kf_fail(err, KF_E_BUSY, 0, "gpu %u is in use by process %u; not reset", gpu,
			       pid);
	}
	now = kf_sim_begin(s, gpu);
	clear_instances(now);
	now->mig_current = now->mig_pending;
	now->lost = 0;
	mend(now);
	s->nodes_stale = 1;
	kf_sim_commit(s, gpu);
	kf_sim_caps_sync(sim->dir, s);
	kf_sim_unlock(s);
	return 0;
}

/* Wants the lock. */
static void unload(struct kf_sim *sim)
{
	struct kf_sim_state *s = sim->state;
	unsigned i;

	s->loaded = 0;
	for (i = 0; i < KF_SIM_PROCESSES; i++)
		if (kf_sim_process_at(sim, i))
			kf_sim_process_remove(sim, i);
	for (i = 0; i < KF_SIM_CLIENTS; i++)
		memset(s->client[i].holds, 0, sizeof(s->client[i].holds));
	for (i = 0; i < s->machine.n_gpus; i++) {
		struct kf_sim_now *now = kf_sim_begin(s, i);

		clear_instances(now);
		mend(now);
		if (s->machine.product[s->machine.gpu[i].product].resetless)
			now->mig_pending = 0;
		now->mig_current = now->mig_pending;
		s->nodes_stale = 1;
		kf_sim_commit(s, i);
	}
	kf_sim_caps_sync(sim->dir, s);
	kf_sim_event_push(s, &(struct kf_sim_event){0});
}

static void load(struct kf_sim_state *s)
{
	s->epoch++;
	s->loaded = 1;
}

void kf_sim_unload(struct kf_sim *sim)
{
	kf_sim_lock(sim->state);
	unload(sim);
	kf_sim_unlock(sim->state);
}

void kf_sim_load_driver(struct kf_sim *sim)
{
	kf_sim_lock(sim->state);
	if (!sim->state->loaded)
		load(sim->state);
	kf_sim_unlock(sim->state);
}

void kf_sim_reload(struct kf_sim *sim)
{
	kf_sim_lock(sim->state);
	unload(sim);
	load(sim->state);
	kf_sim_unlock(sim->state);
}

void kf_sim_reboot(struct kf_sim *sim)
{
	struct kf_sim_state *s = sim->state;
	unsigned i;

	kf_sim_lock(s);
	unload(sim);
	for (i = 0; i < s->machine.n_gpus; i++) {
		struct kf_sim_now *now = kf_sim_begin(s, i);

		now->lost = 0;
		now->xids = 0;
		memset(now->sm_done, 0, sizeof(now->sm_done));
		memset(now->dram_done, 0, sizeof(now->dram_done));
		kf_sim_commit(s, i);
	}
	s->boot_us = kf_sim_us();
	load(s);
	kf_sim_unlock(s);
}
