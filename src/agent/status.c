/* What `kerf status` shows; see status.h. */
#include "agent/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/text.h"
#include "model/share.h"

/* --- to JSON ------------------------------------------------------------------------------- */

static json_t *hold_json(const struct kf_hold *h)
{
	if (h->by == KF_HOLD_PROCESS)
		return json_pack("{s:i}", "pid", (int)h->pid);
	return json_pack("{s:s,s:s,s:s,s:s,s:s}", "namespace", h->pod_namespace, "pod", h->pod_name,
			 "podUID", h->pod_uid, "container", h->container, "resource", h->resource);
}

static json_t *holders_json(const struct kf_status_view *v, const char *id)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; v->holds && i < v->holds->n; i++)
		if (!strcmp(v->holds->hold[i].id, id))
			json_array_append_new(list, hold_json(&v->holds->hold[i]));
	return list;
}

static const char *state_of(const struct kf_status_view *v, const struct kf_gpu *gpu,
			    const char *id)
{
	if (gpu->state != KF_GPU_OK)
		return "unhealthy";
	if (v->withdrawals && kf_withdraw_state(v->withdrawals, id) != KF_WITHDRAW_NONE)
		return "withdrawn";
	return v->holds && kf_holds_find(v->holds, id) ? "held" : "free";
}

/* As what the kubelet has it, and in how many replicas: 0, it is sold whole. */
static unsigned sold_as(const struct kf_status_view *v, const char *id, const char **ret)
{
	unsigned o, d, n = 0;

	for (o = 0; v->listed && o < v->listed->n; o++) {
		const struct kf_offer *offer = &v->listed->offer[o];

		for (d = 0; d < offer->n; d++)
			if (kf_share_same_device(offer->device[d].id, id)) {
				*ret = offer->resource;
				n += kf_share_replica(offer->device[d].id) >= 0;
			}
	}
	return n;
}

static void add_sale(json_t *json, const struct kf_status_view *v, const char *id)
{
	const char *resource = NULL;
	unsigned n = sold_as(v, id, &resource);

	if (json && resource)
		json_object_set_new(json, "resource", json_string(resource));
	if (json && n)
		json_object_set_new(json, "replicas", json_integer((json_int_t)n));
}

/* What ails it, in words; a GPU that is cut is not ill with one of its slices. */
static void add_ailment(const struct kf_status_view *v, const struct kf_gpu *gpu, unsigned gi,
			unsigned ci, json_t *json)
{
	const struct kf_ailment *ill =
		v->health ? kf_health_of(v->health, gpu->uuid, gi, ci) : NULL;
	char text[400];

	if (!json || !ill || (gi == KF_NONE && ill->gi != KF_NONE && gpu->n_instances))
		return;
	kf_ailment_text(ill, text, sizeof(text));
	json_object_set_new(json, "state", json_string("unhealthy"));
	json_object_set_new(json, "trouble", json_string(text));
}

static json_t *slice_json(const struct kf_status_view *v, const struct kf_gpu *gpu,
			  const struct kf_instance *in, const struct kf_ci *ci)
{
	unsigned size = in->profile == KF_NONE ? 0 : gpu->shape.profile[in->profile].size;
	char resource[64];
	json_t *json;

	if (v->strategy == KF_MIG_MIXED)
		kf_slice_resource(ci->name, resource, sizeof(resource));
	else
		snprintf(resource, sizeof(resource), "nvidia.com/gpu");
	json = json_pack("{s:s,s:s,s:i,s:i,s:i,s:i,s:I,s:i,s:s,s:s,s:o}", "uuid", ci->uuid,
			 "profile", ci->name, "gpuInstance", (int)in->id, "computeInstance",
			 (int)ci->id, "start", (int)in->start, "size", (int)size, "memoryMiB",
			 (json_int_t)ci->memory_mib, "sm", (int)ci->sm, "resource", resource,
			 "state", state_of(v, gpu, ci->uuid), "holders", holders_json(v, ci->uuid));
	add_sale(json, v, ci->uuid);
	add_ailment(v, gpu, in->id, ci->id, json);
	return json;
}

static json_t *starts_json(const struct kf_profile *p)
{
	json_t *starts = json_array();
	unsigned s;

	for (s = 0; s < 32; s++)
		if (p->starts & 1u << s)
			json_array_append_new(starts, json_integer((json_int_t)s));
	return starts;
}

/* The driver's table of what this GPU can be cut into; empty where it has none. */
static json_t *profiles_json(const struct kf_shape *shape)
{
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < shape->n; i++) {
		const struct kf_profile *p = &shape->profile[i];

		json_array_append_new(
			list, json_pack("{s:s,s:i,s:i,s:i,s:I,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:o}",
					"name", p->name, "id", (int)p->id, "slices", (int)p->slices,
					"count", (int)p->max, "memoryMiB",
					(json_int_t)p->memory_mib, "sm", (int)p->sm, "copy",
					(int)p->copy, "decoders", (int)p->engine[KF_ENGINE_DEC],
					"encoders", (int)p->engine[KF_ENGINE_ENC], "jpeg",
					(int)p->engine[KF_ENGINE_JPG], "ofa",
					(int)p->engine[KF_ENGINE_OFA], "size", (int)p->size,
					"starts", starts_json(p)));
	}
	return list;
}

/* Where the configuration asks for a length; with the driver's words where it refused. */
static void add_time_slice(json_t *json, const struct kf_status_view *v, const char *uuid)
{
	const struct kf_time_sliced *t =
		v->time_slices ? kf_time_slices_find(v->time_slices, uuid) : NULL;

	if (!json || !t)
		return;
	json_object_set_new(json, "timeSlice", json_string(kf_time_slice_text(t->want)));
	if (t->err.code)
		json_object_set_new(json, "timeSliceTrouble", json_string(t->err.msg));
}

static json_t *gpu_json(const struct kf_status_view *v, const struct kf_gpu *gpu)
{
	json_t *slices = json_array(), *json;
	unsigned i, c;

	for (i = 0; i < gpu->n_instances; i++)
		for (c = 0; c < gpu->instance[i].n_ci; c++)
			json_array_append_new(slices, slice_json(v, gpu, &gpu->instance[i],
								 &gpu->instance[i].ci[c]));
	json = json_pack("{s:i,s:i,s:s,s:s,s:s,s:I,s:s,s:i,s:{s:b,s:b,s:b},s:i,s:o,s:o}", "index",
			 (int)gpu->index, "minor", (int)gpu->minor, "uuid", gpu->uuid, "name",
			 gpu->name, "busId", gpu->bus_id, "memoryMiB", (json_int_t)gpu->memory_mib,
			 "state", state_of(v, gpu, gpu->uuid), "units", (int)gpu->shape.units,
			 "mig", "capable", gpu->mig_capable, "current", gpu->mig_current, "pending",
			 gpu->mig_pending, "processes", (int)gpu->n_processes, "holders",
			 holders_json(v, gpu->uuid), "slices", slices);
	if (json)
		json_object_set_new(json, "profiles", profiles_json(&gpu->shape));
	add_sale(json, v, gpu->uuid);
	add_time_slice(json, v, gpu->uuid);
	if (json && gpu->trouble[0])
		json_object_set_new(json, "trouble", json_string(gpu->trouble));
	else
		add_ailment(v, gpu, KF_NONE, KF_NONE, json);
	return json;
}

static void add_text(json_t *json, const char *key, const char *value)
{
	if (value && value[0])
		json_object_set_new(json, key, json_string(value));
}

static void add_counts(json_t *json, const struct kf_agent_counts *c)
{
	json_object_set_new(json, "counts",
			    json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "allocated",
				      (json_int_t)c->allocated, "refused", (json_int_t)c->refused,
				      "refusedWithdrawn", (json_int_t)c->refused_withdrawn,
				      "withdrawalsCancelled", (json_int_t)c->cancelled, "changes",
				      (json_int_t)c->changes, "instancesCreated",
				      (json_int_t)c->created, "instancesDestroyed",
				      (json_int_t)c->destroyed));
}

static void add_node(json_t *json, const struct kf_status_view *v)
{
	json_t *gpus = json_array();
	char cuda[24];
	unsigned g;

	snprintf(cuda, sizeof(cuda), "%u.%u", v->node->cuda_major, v->node->cuda_minor);
	json_object_set_new(json, "driver",
			    json_pack("{s:s,s:s}", "version", v->node->driver_version, "cuda",
				      cuda));
	for (g = 0; g < v->node->n_gpus; g++)
		json_array_append_new(gpus, gpu_json(v, &v->node->gpu[g]));
	json_object_set_new(json, "gpus", gpus);
}

static void add_notes(json_t *json, const char *notes)
{
	json_t *list = json_array();
	size_t n;

	for (; notes && *notes; notes += n + (notes[n] == '\n')) {
		n = strcspn(notes, "\n");
		json_array_append_new(list, json_stringn(notes, n));
	}
	if (json_array_size(list))
		json_object_set(json, "notes", list);
	json_decref(list);
}

json_t *kf_status_json(const struct kf_status_view *v)
{
	static const char *const strategy[] = {"none", "single", "mixed"};
	json_t *json = json_object();

	if (!json)
		return NULL;
	add_text(json, "source", v->source);
	add_text(json, "node", v->node_name);
	add_text(json, "migStrategy", strategy[v->strategy]);
	add_text(json, "config", v->config);
	add_text(json, "state", v->state);
	add_text(json, "reason", v->reason);
	add_text(json, "warning", v->warning);
	add_text(json, "driverTrouble", v->driver_trouble);
	add_text(json, "containers", v->cdi);
	add_text(json, "configTrouble", v->file_trouble);
	add_notes(json, v->notes);
	add_text(json, "metrics", v->metrics);
	add_text(json, "passive", v->passive);
	if (v->released)
		json_object_set_new(json, "released", json_true());
	add_text(json, "toolkitTrouble", v->toolkit);
	if (v->sale_held + v->sale_waiting)
		json_object_set_new(json, "soldAnew",
				    json_pack("{s:i,s:i}", "held", (int)v->sale_held, "kubelet",
					      (int)v->sale_waiting));
	if (v->node)
		add_node(json, v);
	if (v->counts)
		add_counts(json, v->counts);
	return json;
}

char *kf_agent_status_json(const struct kf_agent *a)
{
	struct kf_offer_rules rules;
	char warning[256] = "", cdi[320] = "";
	struct kf_status_view v = {
		.source = "agent",
		.node_name = a->set->node_name,
		.node = a->node,
		.driver_trouble = a->driver_state == KF_DRIVER_OK ? NULL : a->driver_err.msg,
		.holds = &a->holds,
		.withdrawals = &a->withdrawals,
		.health = &a->health,
		.strategy = (enum kf_mig_strategy)a->set->mig_strategy,
		.config = a->config,
		.state = kf_state_text(a->state),
		.reason = a->reason,
		.warning = warning,
		.cdi = cdi,
		.counts = &a->counts,
		.listed = &a->sale.listed,
		.time_slices = &a->time_slices,
		.sale_held = kf_sale_held(&a->sale),
		.sale_waiting = kf_sale_waiting(&a->sale),
		.file_trouble = a->config_err.msg,
		.notes = a->set->notes,
		.metrics = kf_agent_metrics_address(a),
		.passive = a->neighbours.why,
		.released = a->release.is_released,
		.toolkit = a->neighbours.toolkit,
	};
	json_t *json;
	char *text;

	kf_agent_offer_rules(a, &rules);
	if (a->node)
		kf_offers_trouble(a->node, &rules, warning, sizeof(warning));
	snprintf(cdi, sizeof(cdi), "%s", a->runtime.reason);
	json = kf_status_json(&v);
	text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	json_decref(json);
	return text;
}

/* --- to text ------------------------------------------------------------------------------- */

static const char *get(json_t *json, const char *key)
{
	const char *s = json_string_value(json_object_get(json, key));

	return s ? s : "";
}

static int get_int(json_t *json, const char *key)
{
	return (int)json_integer_value(json_object_get(json, key));
}

/* A state in its colour, in at least `width` columns. */
static void add_state(struct kf_text *t, const char *state, int width, unsigned flags)
{
	static const struct {
		const char *state, *colour;
	} colours[] = {{"unhealthy", "31"}, {"failed", "31"},	 {"withdrawn", "33"},
		       {"pending", "33"},   {"rebooting", "33"}, {"held", "36"},
		       {"free", "32"},	    {"success", "32"}};
	size_t i;

	for (i = 0; flags & KF_STATUS_COLOUR && i < sizeof(colours) / sizeof(colours[0]); i++)
		if (!strcmp(state, colours[i].state)) {
			kf_text_addf(t, "\033[%sm%-*s\033[0m", colours[i].colour, width, state);
			return;
		}
	kf_text_addf(t, "%-*s", width, state);
}

static void add_holders(struct kf_text *t, json_t *holders)
{
	json_t *h;
	size_t i;

	json_array_foreach(holders, i, h)
	{
		kf_text_add(t, i ? ", " : "  ");
		if (json_object_get(h, "pid"))
			kf_text_addf(t, "pid %d", get_int(h, "pid"));
		else if (get(h, "pod")[0])
			kf_text_addf(t, "%s/%s", get(h, "namespace"), get(h, "pod"));
		else
			kf_text_add(t, "a pod");
	}
}

/* "3 of 10 replicas held", where it is shared. */
static void add_replicas(struct kf_text *t, json_t *device)
{
	json_t *holders = json_object_get(device, "holders"), *h;
	int n = get_int(device, "replicas"), held = 0;
	size_t i;

	json_array_foreach(holders, i, h) held += json_object_get(h, "pid") == NULL;
	if (n)
		kf_text_addf(t, "  %d of %d replicas held", held, n);
}

static void add_slice(struct kf_text *t, json_t *s, unsigned flags, const char *gpu_trouble)
{
	int start = get_int(s, "start"), size = get_int(s, "size");
	char place[16];

	snprintf(place, sizeof(place), "%d-%d", start % 100, (start + size - 1) % 100);
	kf_text_addf(t, "    %-14s %-6s %6.1f GiB %4d SM  ", get(s, "profile"), place,
		     get_int(s, "memoryMiB") / 1024.0, get_int(s, "sm"));
	add_state(t, get(s, "state"), 9, flags);
	if (flags & KF_STATUS_WIDE)
		kf_text_addf(t, "  %s", get(s, "uuid"));
	add_replicas(t, s);
	add_holders(t, json_object_get(s, "holders"));
	if (get(s, "trouble")[0] && !gpu_trouble[0])
		kf_text_addf(t, "  %s", get(s, "trouble"));
	kf_text_add(t, "\n");
}

static const char *mig_word(json_t *gpu)
{
	json_t *mig = json_object_get(gpu, "mig");
	int current = json_is_true(json_object_get(mig, "current"));
	int pending = json_is_true(json_object_get(mig, "pending"));

	if (!json_is_true(json_object_get(mig, "capable")))
		return "no MIG";
	if (current != pending)
		return pending ? "MIG off, on is pending" : "MIG on, off is pending";
	return current ? "MIG" : "MIG off";
}

static void add_gpu(struct kf_text *t, json_t *gpu, unsigned flags)
{
	json_t *slices = json_object_get(gpu, "slices"), *s;
	size_t i, held = 0;

	json_array_foreach(slices, i, s) held += !strcmp(get(s, "state"), "held");
	kf_text_addf(t, "gpu %d  %s  %s", get_int(gpu, "index"), get(gpu, "name"), mig_word(gpu));
	if (json_array_size(slices))
		kf_text_addf(t, "  %zu slices, %zu held", json_array_size(slices), held);
	else
		kf_text_addf(t, "  %.1f GiB  ", get_int(gpu, "memoryMiB") / 1024.0);
	if (!json_array_size(slices))
		add_state(t, get(gpu, "state"), 0, flags);
	if (flags & KF_STATUS_WIDE)
		kf_text_addf(t, "  %s  %s", get(gpu, "uuid"), get(gpu, "busId"));
	add_replicas(t, gpu);
	if (get(gpu, "timeSlice")[0])
		kf_text_addf(t, "  time slices %s%s", get(gpu, "timeSlice"),
			     get(gpu, "timeSliceTrouble")[0] ? " (refused)" : "");
	add_holders(t, json_object_get(gpu, "holders"));
	if (get(gpu, "trouble")[0])
		kf_text_addf(t, "\n    %s", get(gpu, "trouble"));
	if (get(gpu, "timeSliceTrouble")[0])
		kf_text_addf(t, "\n    %s", get(gpu, "timeSliceTrouble"));
	kf_text_add(t, "\n");
	json_array_foreach(slices, i, s) add_slice(t, s, flags, get(gpu, "trouble"));
}

/* Devices that are to be sold in another way, and are not yet. */
static void add_sold_anew(struct kf_text *t, json_t *status)
{
	json_t *anew = json_object_get(status, "soldAnew");
	int held = get_int(anew, "held"), kubelet = get_int(anew, "kubelet");

	if (held)
		kf_text_addf(t, "sharing: a new way to sell waits for the pods on %d devices\n",
			     held);
	if (kubelet)
		kf_text_addf(t,
			     "sharing: a new way to sell waits for the kubelet to let go of %d "
			     "devices\n",
			     kubelet);
}

static void add_wide_head(struct kf_text *t, json_t *status)
{
	if (get(status, "node")[0])
		kf_text_addf(t, "node %s\n", get(status, "node"));
	if (get(status, "containers")[0])
		kf_text_addf(t, "containers: %s\n", get(status, "containers"));
	if (get(status, "metrics")[0])
		kf_text_addf(t, "metrics: %s\n", get(status, "metrics"));
}

static void add_head(struct kf_text *t, json_t *status, unsigned flags)
{
	json_t *driver = json_object_get(status, "driver"), *note;
	size_t i;

	if (driver)
		kf_text_addf(t, "driver %s, CUDA %s, migStrategy %s\n", get(driver, "version"),
			     get(driver, "cuda"), get(status, "migStrategy"));
	if (flags & KF_STATUS_WIDE)
		add_wide_head(t, status);
	if (get(status, "config")[0]) {
		kf_text_addf(t, "MIG configuration %s: ", get(status, "config"));
		add_state(t, get(status, "state"), 0, flags);
		kf_text_addf(t, "%s%s\n", get(status, "reason")[0] ? ", " : "",
			     get(status, "reason"));
	} else if (!strcmp(get(status, "source"), "agent"))
		kf_text_add(t, "no MIG configuration is selected: the slices stay as they are\n");
	if (json_is_true(json_object_get(status, "released")))
		kf_text_add(t, "released: nothing is read or changed until `kerf release` ends\n");
	if (get(status, "passive")[0])
		kf_text_addf(t, "passive: %s\n", get(status, "passive"));
	if (get(status, "toolkitTrouble")[0])
		kf_text_addf(t, "toolkit: %s\n", get(status, "toolkitTrouble"));
	add_sold_anew(t, status);
	if (get(status, "warning")[0])
		kf_text_addf(t, "warning: %s\n", get(status, "warning"));
	if (get(status, "configTrouble")[0])
		kf_text_addf(t, "configuration file: %s\n", get(status, "configTrouble"));
	json_array_foreach(json_object_get(status, "notes"), i, note)
		kf_text_addf(t, "note: %s\n", json_string_value(note));
	if (get(status, "driverTrouble")[0])
		kf_text_addf(t, "driver: %s\n", get(status, "driverTrouble"));
}

char *kf_status_text(json_t *status, unsigned flags)
{
	struct kf_text t = {0};
	json_t *gpu;
	size_t i;

	add_head(&t, status, flags);
	json_array_foreach(json_object_get(status, "gpus"), i, gpu) add_gpu(&t, gpu, flags);
	return kf_text_take(&t);
}
