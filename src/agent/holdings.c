/* Who holds what, from all that know; see holdings.h. */
#include "agent/holdings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "model/share.h"

#define OURS "nvidia.com/"

/* A GPU or a slice, be it under a name that we do not offer; NVIDIA's NICs and others are not. */
static int ours(const char *resource, const char *id)
{
	return strncmp(resource, OURS, sizeof(OURS) - 1) == 0 && strlen(id) < KF_UUID &&
	       (!strncmp(id, "GPU-", 4) || !strncmp(id, "MIG-", 4));
}

/* Of an id as it was sold, "MIG-...::3": the device, and the id. */
static void set_device(struct kf_hold *hold, const char *sold)
{
	kf_share_device_id(sold, hold->id);
	snprintf(hold->sold, sizeof(hold->sold), "%s", sold);
}

int kf_pod_rows_take(struct kf_pod_rows *rows, const struct kf_podresources_row *from, unsigned n)
{
	unsigned i;

	rows->n = 0;
	for (i = 0; i < n; i++) {
		struct kf_pod_row *row;

		if (!ours(from[i].resource, from[i].id))
			continue;
		if (kf_grow(&rows->row, &rows->capacity, rows->n + 1, sizeof(*row)) < 0)
			return -1;
		row = &rows->row[rows->n++];
		snprintf(row->resource, sizeof(row->resource), "%s", from[i].resource);
		snprintf(row->id, sizeof(row->id), "%s", from[i].id);
		snprintf(row->pod_namespace, sizeof(row->pod_namespace), "%s",
			 from[i].pod_namespace);
		snprintf(row->pod, sizeof(row->pod), "%s", from[i].pod);
		snprintf(row->container, sizeof(row->container), "%s", from[i].container);
	}
	return 0;
}

void kf_pod_rows_done(struct kf_pod_rows *rows)
{
	free(rows->row);
	*rows = (struct kf_pod_rows){0};
}

static const struct kf_pod_row *listed(const struct kf_pod_rows *pods, const char *id)
{
	unsigned i;

	for (i = 0; pods && i < pods->n; i++)
		if (!strcmp(pods->row[i].id, id))
			return &pods->row[i];
	return NULL;
}

static const struct kf_checkpoint_row *written(const struct kf_checkpoint *c, const char *id)
{
	unsigned i;

	for (i = 0; c && i < c->n; i++)
		if (!strcmp(c->row[i].id, id))
			return &c->row[i];
	return NULL;
}

/* Allocations made before our ledger was there: by NVIDIA's plugin, or by us with a lost disk. */
static int enter_listed(struct kf_ledger *ledger, const struct kf_sources *from,
			struct kf_error *err)
{
	unsigned i;

	for (i = 0; from->pods && i < from->pods->n; i++) {
		const struct kf_pod_row *row = &from->pods->row[i];
		const char *id = row->id;

		if (!kf_ledger_find(ledger, id) &&
		    kf_ledger_hold(ledger, row->resource, &id, 1, from->now_s, err) < 0)
			return -1;
	}
	return 0;
}

static int hold_row(struct kf_holds *ret, const struct kf_checkpoint_row *row, struct kf_error *err)
{
	struct kf_hold hold = {.by = KF_HOLD_POD};

	set_device(&hold, row->id);
	snprintf(hold.resource, sizeof(hold.resource), "%s", row->resource);
	snprintf(hold.pod_uid, sizeof(hold.pod_uid), "%s", row->pod_uid);
	snprintf(hold.container, sizeof(hold.container), "%s", row->container);
	if (kf_holds_add(ret, &hold) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the list of holders");
	return 0;
}

/*
 * The same from the checkpoint: such an allocation may be an init container's, which PodResources
 * omits.  An old checkpoint's word is not for the ledger, but it holds until there is a new one.
 */
static int enter_written(struct kf_ledger *ledger, const struct kf_sources *from,
			 struct kf_holds *ret, int *stale, struct kf_error *err)
{
	int old = from->pods && !from->checkpoint_fresh;
	unsigned i;

	for (i = 0; from->checkpoint && i < from->checkpoint->n; i++) {
		const struct kf_checkpoint_row *row = &from->checkpoint->row[i];
		const char *id = row->id;

		if (!ours(row->resource, id) || kf_ledger_find(ledger, id))
			continue;
		*stale |= old;
		if (old ? hold_row(ret, row, err) < 0
			: kf_ledger_hold(ledger, row->resource, &id, 1, from->now_s, err) < 0)
			return -1;
	}
	return 0;
}

enum verdict { HELD, RELEASED, STALE };

/*
 * Allocated, and named by nobody yet: in its admission, or its pod went before anybody looked.  The
 * kubelet enters a device as soon as it has our answer, so a checkpoint written a while later that
 * does not name it says that it is free.
 */
static enum verdict judge_unseen(const struct kf_ledger_entry *e, const struct kf_sources *from)
{
	int64_t age = from->now_s - e->since_s;

	if (age < KF_HOLDINGS_ADMISSION_S)
		return HELD;
	if (age >= KF_HOLDINGS_PATIENCE_S || from->checkpoint_fresh)
		return RELEASED;
	return STALE;
}

static enum verdict judge(struct kf_ledger *ledger, const struct kf_ledger_entry *e,
			  const struct kf_sources *from)
{
	const struct kf_pod_row *pod = listed(from->pods, e->id);
	const struct kf_checkpoint_row *row = written(from->checkpoint, e->id);

	if (from->overtaken && !e->seen)
		return HELD;
	if (pod)
		kf_ledger_note(ledger, e->id, pod->pod_namespace, pod->pod,
			       row ? row->pod_uid : NULL, pod->container);
	else if (row)
		kf_ledger_note(ledger, e->id, NULL, NULL, row->pod_uid, row->container);
	if (pod || !from->pods || !from->checkpoint)
		return HELD;
	if (row)
		return from->checkpoint_fresh ? HELD : STALE;
	return e->seen ? RELEASED : judge_unseen(e, from);
}

static int hold_entry(struct kf_holds *ret, const struct kf_ledger_entry *e)
{
	struct kf_hold hold = {.by = KF_HOLD_POD};

	set_device(&hold, e->id);
	snprintf(hold.resource, sizeof(hold.resource), "%s", e->resource);
	snprintf(hold.pod_namespace, sizeof(hold.pod_namespace), "%s", e->pod_namespace);
	snprintf(hold.pod_name, sizeof(hold.pod_name), "%s", e->pod_name);
	snprintf(hold.pod_uid, sizeof(hold.pod_uid), "%s", e->pod_uid);
	snprintf(hold.container, sizeof(hold.container), "%s", e->container);
	return kf_holds_add(ret, &hold);
}

static int process_hold(struct kf_holds *ret, const char *id, unsigned pid)
{
	struct kf_hold hold = {.by = KF_HOLD_PROCESS, .pid = pid};

	if (!id[0])
		return 0;
	snprintf(hold.id, sizeof(hold.id), "%s", id);
	return kf_holds_add(ret, &hold);
}

/* A process holds its MIG device; off MIG it holds the GPU. */
static int hold_processes(struct kf_holds *ret, const struct kf_gpu *gpu)
{
	unsigned p, i, c;

	for (p = 0; p < gpu->n_listed; p++) {
		const struct kf_process *process = &gpu->process[p];

		if (process->gi == KF_NONE) {
			if (process_hold(ret, gpu->uuid, process->pid) < 0)
				return -1;
			continue;
		}
		for (i = 0; i < gpu->n_instances; i++)
			for (c = 0; gpu->instance[i].id == process->gi && c < gpu->instance[i].n_ci;
			     c++)
				if (gpu->instance[i].ci[c].id == process->ci &&
				    process_hold(ret, gpu->instance[i].ci[c].uuid, process->pid) <
					    0)
					return -1;
	}
	return 0;
}

/*
 * A pod that was given a whole GPU which is in MIG mode (strategy none) may use any slice of it:
 * it holds them all.
 */
static int spread_whole(struct kf_holds *ret, const struct kf_node *node)
{
	unsigned n = ret->n, h, i, c;

	for (h = 0; h < n; h++) {
		const struct kf_gpu *gpu = kf_node_find_gpu(node, ret->hold[h].id);

		for (i = 0; gpu && i < gpu->n_instances; i++)
			for (c = 0; c < gpu->instance[i].n_ci; c++) {
				struct kf_hold hold = ret->hold[h];

				hold.sold[0] = '\0';
				snprintf(hold.id, sizeof(hold.id), "%s",
					 gpu->instance[i].ci[c].uuid);
				if (hold.id[0] && kf_holds_add(ret, &hold) < 0)
					return -1;
			}
	}
	return 0;
}

static int judge_all(struct kf_ledger *ledger, const struct kf_sources *from, struct kf_holds *ret,
		     int *stale, struct kf_error *err)
{
	unsigned i = 0;

	while (i < kf_ledger_n(ledger)) {
		const struct kf_ledger_entry *e = kf_ledger_at(ledger, i);
		enum verdict v = judge(ledger, e, from);
		char id[KF_UUID];

		if (v == RELEASED) {
			snprintf(id, sizeof(id), "%s", e->id);
			if (kf_ledger_release(ledger, id, err) < 0)
				return -1;
			continue;
		}
		*stale |= v == STALE;
		if (hold_entry(ret, e) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory for the list of holders");
		i++;
	}
	return 0;
}

static int gather(struct kf_ledger *ledger, const struct kf_sources *from, struct kf_holds *ret,
		  int *stale, struct kf_error *err)
{
	unsigned g;

	if (enter_listed(ledger, from, err) < 0 ||
	    enter_written(ledger, from, ret, stale, err) < 0 ||
	    judge_all(ledger, from, ret, stale, err) < 0)
		return -1;
	if (!from->node)
		return 0;
	for (g = 0; g < from->node->n_gpus; g++)
		if (hold_processes(ret, &from->node->gpu[g]) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory for the list of holders");
	if (spread_whole(ret, from->node) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the list of holders");
	return 0;
}

int kf_holdings_update(struct kf_ledger *ledger, const struct kf_sources *from,
		       struct kf_holds *ret, struct kf_error *err)
{
	struct kf_holds holds = {0};
	int stale = 0;

	/* Half a list would say of the other half that it is free. */
	if (gather(ledger, from, &holds, &stale, err) < 0) {
		kf_holds_done(&holds);
		return -1;
	}
	kf_holds_done(ret);
	*ret = holds;
	return stale ? KF_HOLDINGS_STALE : 0;
}
