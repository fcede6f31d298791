/* What a machine is at this moment; see show.h. */
#include "core/show.h"

#include <jansson.h>
#include <string.h>

#include "core/calls.h"
#include "core/op.h"

static void bus_id(const struct kf_sim_gpu *gpu, char out[32])
{
	snprintf(out, 32, "%08x:%02x:%02x.0", gpu->domain, gpu->bus, gpu->device);
}

static void show_process(struct kf_sim *sim, const struct kf_sim_process *p, FILE *out)
{
	fprintf(out, "    process %u (%s)", kf_sim_process_pid(sim, p), kf_sim_kind_name(p->kind));
	if (p->gi != KF_SIM_NONE)
		fprintf(out, " on instance %u", p->gi);
	if (p->ci != KF_SIM_NONE)
		fprintf(out, "/%u", p->ci);
	fprintf(out, ": %u MiB, %u %%\n", p->memory_mib, p->sm);
}

static void show_gi(const struct kf_sim_product *product, const struct kf_sim_gi *gi, unsigned id,
		    FILE *out)
{
	unsigned c;

	fprintf(out, "  instance %2u  %-12s at %u:%u\n", id,
		product->shape.profile[gi->profile].name, gi->start, gi->size);
	for (c = 0; c < KF_MAX_CIS; c++)
		if (gi->ci[c].used)
			fprintf(out, "    device %u  compute instance %u of %u slices  %s\n",
				gi->ci[c].index, c, gi->ci[c].size, gi->ci[c].uuid);
}

static void show_gpu(struct kf_sim *sim, unsigned i, FILE *out)
{
	const struct kf_sim_machine *m = &sim->state->machine;
	const struct kf_sim_gpu *gpu = &m->gpu[i];
	const struct kf_sim_product *product = &m->product[gpu->product];
	const struct kf_sim_now *now = kf_sim_now(sim->state, i);
	char bus[32];
	unsigned k;

	bus_id(gpu, bus);
	fprintf(out, "gpu %u  %s  %s  %s  minor %u", i, product->name, gpu->uuid, bus, gpu->minor);
	if (product->shape.n)
		fprintf(out, "  MIG %s", now->mig_current ? "on" : "off");
	if (now->mig_current != now->mig_pending)
		fprintf(out, ", %s pending", now->mig_pending ? "on" : "off");
	if (now->timeslice)
		fprintf(out, "  time slice %u", now->timeslice);
	fprintf(out, "%s\n", now->lost ? "  LOST" : "");
	for (k = 0; k < KF_MAX_INSTANCES; k++)
		if (now->gi[k].used)
			show_gi(product, &now->gi[k], k, out);
	for (k = 0; k < KF_SIM_PROCESSES; k++) {
		const struct kf_sim_process *p = kf_sim_process_at(sim, k);

		if (p && p->gpu == i)
			show_process(sim, p, out);
	}
}

void kf_sim_show(struct kf_sim *sim, FILE *out)
{
	struct kf_sim_state *s = sim->state;
	unsigned i;

	kf_sim_lock(s);
	fprintf(out, "%s: driver %s%s, CUDA %u.%u, %u GPUs\n", s->machine.name, s->machine.driver,
		s->loaded ? "" : " (not loaded)", s->machine.cuda / 1000,
		s->machine.cuda % 1000 / 10, s->machine.n_gpus);
	for (i = 0; i < s->machine.n_gpus; i++)
		show_gpu(sim, i, out);
	for (i = 0; i < KF_SIM_CLIENTS; i++)
		if (kf_sim_client_lives(sim, i))
			fprintf(out, "client: pid %u\n", kf_sim_client_pid(sim, i));
	for (i = 0; i < KF_N_CALLS; i++)
		if (s->fault[i].armed)
			fprintf(out, "fault: %s answers %d\n", kf_sim_call_name(i),
				s->fault[i].code);
	kf_sim_unlock(s);
}

static json_t *instance_number(unsigned n)
{
	return n == KF_SIM_NONE ? json_null() : json_integer(n);
}

static json_t *json_gi(const struct kf_sim_product *product, const struct kf_sim_gi *gi,
		       unsigned id)
{
	json_t *compute = json_array();
	unsigned c;

	for (c = 0; c < KF_MAX_CIS; c++)
		if (gi->ci[c].used)
			json_array_append_new(
				compute,
				json_pack("{s:i, s:i, s:i, s:i, s:i, s:s}", "id", (int)c, "index",
					  (int)gi->ci[c].index, "slices", (int)gi->ci[c].size,
					  "start", (int)gi->ci[c].start, "generation",
					  (int)gi->ci[c].generation, "uuid", gi->ci[c].uuid));
	return json_pack("{s:i, s:s, s:i, s:i, s:i, s:o}", "id", (int)id, "profile",
			 product->shape.profile[gi->profile].name, "start", (int)gi->start, "size",
			 (int)gi->size, "generation", (int)gi->generation, "compute", compute);
}

static json_t *json_processes(struct kf_sim *sim, unsigned gpu)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < KF_SIM_PROCESSES; i++) {
		const struct kf_sim_process *p = kf_sim_process_at(sim, i);

		if (!p || p->gpu != gpu)
			continue;
		json_array_append_new(list, json_pack("{s:i, s:s, s:o, s:o, s:i, s:i}", "pid",
						      (int)kf_sim_process_pid(sim, p), "kind",
						      kf_sim_kind_name(p->kind), "gi",
						      instance_number(p->gi), "ci",
						      instance_number(p->ci), "memory_mib",
						      (int)p->memory_mib, "sm", (int)p->sm));
	}
	return list;
}

static json_t *json_gpu(struct kf_sim *sim, unsigned i)
{
	const struct kf_sim_machine *m = &sim->state->machine;
	const struct kf_sim_gpu *gpu = &m->gpu[i];
	const struct kf_sim_product *product = &m->product[gpu->product];
	const struct kf_sim_now *now = kf_sim_now(sim->state, i);
	json_t *instances = json_array();
	char bus[32];
	unsigned k;

	bus_id(gpu, bus);
	for (k = 0; k < KF_MAX_INSTANCES; k++)
		if (now->gi[k].used)
			json_array_append_new(instances, json_gi(product, &now->gi[k], k));
	return json_pack(
		"{s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:b, s:b, s:i, s:i, s:o, s:o}",
		"index", (int)i, "uuid", gpu->uuid, "product", product->id, "name", product->name,
		"bus", bus, "minor", (int)gpu->minor, "numa", (int)gpu->numa, "mig_capable",
		product->shape.n > 0, "mig_current", (int)now->mig_current, "mig_pending",
		(int)now->mig_pending, "lost", (int)now->lost, "compute_mode",
		(int)now->compute_mode, "time_slice", (int)now->timeslice, "instances", instances,
		"processes", json_processes(sim, i));
}

/* Calls made since the machine was created; `changing` are those that change it. */
static json_t *json_calls(const struct kf_sim_state *s)
{
	json_t *by_name = json_object();
	json_int_t changing = 0;
	unsigned i;

	for (i = 1; i < KF_N_CALLS; i++) {
		if (!s->calls[i])
			continue;
		json_object_set_new(by_name, kf_sim_call_name(i),
				    json_integer((json_int_t)s->calls[i]));
		if (kf_sim_call_changes(i))
			changing += (json_int_t)s->calls[i];
	}
	return json_pack("{s:I, s:I, s:o}", "total", (json_int_t)s->calls[KF_CALL_all], "changing",
			 changing, "by_name", by_name);
}

static json_t *json_clients(struct kf_sim *sim)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < KF_SIM_CLIENTS; i++)
		if (kf_sim_client_lives(sim, i))
			json_array_append_new(list, json_integer(kf_sim_client_pid(sim, i)));
	return list;
}

static json_t *json_faults(const struct kf_sim_state *s)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < KF_N_CALLS; i++)
		if (s->fault[i].armed)
			json_array_append_new(
				list, json_pack("{s:s, s:i, s:I, s:I, s:I, s:i}", "call",
						kf_sim_call_name(i), "code", (int)s->fault[i].code,
						"from", (json_int_t)s->fault[i].from, "times",
						(json_int_t)s->fault[i].times, "seen",
						(json_int_t)s->fault[i].seen, "delay_ms",
						(int)s->fault[i].delay_ms));
	return list;
}

int kf_sim_show_json(struct kf_sim *sim, FILE *out)
{
	struct kf_sim_state *s = sim->state;
	json_t *gpus = json_array(), *all;
	unsigned i;
	int r;

	kf_sim_lock(s);
	for (i = 0; i < s->machine.n_gpus; i++)
		json_array_append_new(gpus, json_gpu(sim, i));
	all = json_pack("{s:s, s:s, s:i, s:b, s:i, s:o, s:o, s:o, s:o}", "machine", s->machine.name,
			"driver", s->machine.driver, "cuda", (int)s->machine.cuda, "loaded",
			(int)s->loaded, "loads", (int)s->epoch, "gpus", gpus, "clients",
			json_clients(sim), "faults", json_faults(s), "calls", json_calls(s));
	kf_sim_unlock(s);
	if (!all)
		return -1;
	r = json_dumpf(all, out, JSON_INDENT(2));
	json_decref(all);
	fputc('\n', out);
	return r;
}
