/*
 * DCGM's metrics, line for line as dcgm-exporter prints them.
 *
 * A GPU that is not cut is one row; one that is cut is a row for each GPU instance, with GPU_I_ID
 * and GPU_I_PROFILE.  dcgm-exporter repeats what only the whole board has (power, temperature,
 * clocks) with each instance, so that sums count it several times; here it stands once, in a row of
 * the GPU itself, unless board_per_slice asks for NVIDIA's way.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "health/health.h"
#include "metrics/lines.h"

struct row {
	char *labels;
	unsigned gpu;
	const struct kf_values *device; /* NULL: a row of a board whose instances have their own */
	const struct kf_values *board;	/* NULL: the board has a row of its own */
};

struct rows {
	unsigned n;
	struct row *row;
	size_t capacity;
};

/* --- labels -------------------------------------------------------------------------------- */

/* "NVIDIA-A100-SXM4-40GB" */
static void add_model(const struct kf_lines *p, struct kf_text *out, const char *name)
{
	char model[KF_UUID];
	char *s;

	snprintf(model, sizeof(model), "%s", name);
	for (s = model; p->opt->join_words && *s; s++)
		if (isspace((unsigned char)*s))
			*s = '-';
	kf_lines_label(out, "modelName", model);
}

static void add_hostname(const struct kf_lines *p, struct kf_text *out)
{
	static const char *const name[] = {
		[KF_HOSTNAME_LOWER] = "hostname", [KF_HOSTNAME_UPPER] = "Hostname"};

	if (p->opt->hostname != KF_HOSTNAME_NONE)
		kf_lines_label(out, name[p->opt->hostname], p->snap->view->hostname);
}

static void add_texts(const struct kf_lines *p, struct kf_text *out, const struct kf_reading *r)
{
	unsigned i;

	for (i = 0; i < KF_N_LABEL_FIELDS; i++)
		if (p->opt->counters->label[i] && r->label[i][0])
			kf_lines_label(out, kf_label_field_name(i), r->label[i]);
}

static void add_device(const struct kf_lines *p, struct kf_text *out, unsigned g,
		       const struct kf_view_slice *slice)
{
	const struct kf_view_gpu *gpu = &p->snap->view->gpu[g];
	char device[32];

	snprintf(device, sizeof(device), "nvidia%u", gpu->index);
	kf_lines_label_uint(out, "gpu", gpu->index);
	kf_lines_label(out, p->opt->old_names ? "uuid" : "UUID", gpu->uuid);
	kf_lines_label(out, "pci_bus_id", gpu->bus_id);
	kf_lines_label(out, "device", device);
	add_model(p, out, gpu->name);
	if (slice) {
		kf_lines_label(out, "GPU_I_PROFILE", slice->profile);
		kf_lines_label_uint(out, "GPU_I_ID", slice->gi);
	}
	add_hostname(p, out);
	add_texts(p, out, p->snap->reading[g]);
}

static void add_pod(const struct kf_lines *p, struct kf_text *out, const struct kf_view_pod *pod,
		    int one_container)
{
	int old = p->opt->old_names;

	if (one_container && pod->container[0])
		kf_lines_label(out, old ? "container_name" : "container", pod->container);
	kf_lines_label(out, old ? "pod_namespace" : "namespace", pod->pod_namespace);
	kf_lines_label(out, old ? "pod_name" : "pod", pod->name);
	if (p->opt->pod_uid && pod->uid[0])
		kf_lines_label(out, "pod_uid", pod->uid);
}

/* --- who holds a row's device -------------------------------------------------------------- */

/* Pods on GPU g, on this GPU instance of it (KF_NONE: any). */
static int holds(const struct kf_view *v, const struct kf_view_pod *pod, unsigned g, unsigned gi)
{
	if (pod->gpu != g || !pod->name[0])
		return 0;
	if (gi == KF_NONE)
		return pod->slice == KF_NONE;
	return pod->slice != KF_NONE && v->slice[pod->slice].gi == gi;
}

/* The one pod that holds it, or NULL: none, or several. */
static const struct kf_view_pod *sole_pod(const struct kf_view *v, unsigned g, unsigned gi,
					  int *one_container)
{
	const struct kf_view_pod *found = NULL;
	unsigned i;

	*one_container = 1;
	for (i = 0; i < v->n_pods; i++) {
		const struct kf_view_pod *pod = &v->pod[i];

		if (!holds(v, pod, g, gi))
			continue;
		if (found && (strcmp(found->name, pod->name) != 0 ||
			      strcmp(found->pod_namespace, pod->pod_namespace) != 0))
			return NULL;
		if (found && strcmp(found->container, pod->container) != 0)
			*one_container = 0;
		found = pod;
	}
	return found;
}

/* The k of "ID::k", or NULL. */
static const char *replica(const struct kf_view_pod *pod)
{
	const char *colons = strstr(pod->sold, "::");

	return colons ? colons + 2 : NULL;
}

/* --- rows ---------------------------------------------------------------------------------- */

static void add_row(struct rows *rows, struct kf_text *labels, const struct row *like)
{
	char *text = kf_text_take(labels);

	if (!text || kf_grow(&rows->row, &rows->capacity, rows->n + 1, sizeof(*rows->row)) < 0) {
		free(text);
		return;
	}
	rows->row[rows->n] = *like;
	rows->row[rows->n++].labels = text;
}

/* NVIDIA's KUBERNETES_VIRTUAL_GPUS: everything once for each replica that is held.  0: none is. */
static int add_virtual(const struct kf_lines *p, struct rows *rows, const struct row *like,
		       const struct kf_view_slice *slice)
{
	const struct kf_view *v = p->snap->view;
	unsigned i, n = 0;

	for (i = 0; i < v->n_pods; i++) {
		const struct kf_view_pod *pod = &v->pod[i];
		struct kf_text labels = {0};

		if (!holds(v, pod, like->gpu, slice ? slice->gi : KF_NONE) || !replica(pod))
			continue;
		add_device(p, &labels, like->gpu, slice);
		add_pod(p, &labels, pod, 1);
		kf_lines_label(&labels, "vgpu", replica(pod));
		add_row(rows, &labels, like);
		n++;
	}
	return n > 0;
}

static void add_rows(const struct kf_lines *p, struct rows *rows, const struct row *like,
		     const struct kf_view_slice *slice)
{
	struct kf_text labels = {0};
	const struct kf_view_pod *pod = NULL;
	int one_container;

	if (p->opt->virtual_gpus && like->device && add_virtual(p, rows, like, slice))
		return;
	if (p->opt->pods && like->device)
		pod = sole_pod(p->snap->view, like->gpu, slice ? slice->gi : KF_NONE,
			       &one_container);
	add_device(p, &labels, like->gpu, slice);
	if (pod)
		add_pod(p, &labels, pod, one_container);
	add_row(rows, &labels, like);
}

/* The first compute instance stands for its GPU instance: DCGM has no rows of compute instances. */
static int is_first_of_instance(const struct kf_view *v, unsigned i)
{
	unsigned k;

	for (k = 0; k < i; k++)
		if (v->slice[k].gpu == v->slice[i].gpu && v->slice[k].gi == v->slice[i].gi)
			return 0;
	return 1;
}

static void add_gpu(const struct kf_lines *p, struct rows *rows, unsigned g)
{
	const struct kf_view *v = p->snap->view;
	const struct kf_reading *r = p->snap->reading[g];
	int cut = 0;
	unsigned i;

	for (i = 0; i < v->n_slices; i++)
		cut |= v->slice[i].gpu == g;
	if (!cut || !p->opt->board_per_slice)
		add_rows(p, rows,
			 &(struct row){
				 .gpu = g, .board = &r->board, .device = cut ? NULL : &r->board},
			 NULL);
	for (i = 0; i < v->n_slices; i++) {
		const struct kf_values *values = kf_reading_instance(r, v->slice[i].gi);

		if (v->slice[i].gpu != g || !is_first_of_instance(v, i) || !values)
			continue;
		add_rows(p, rows,
			 &(struct row){.gpu = g,
				       .device = values,
				       .board = p->opt->board_per_slice ? &r->board : NULL},
			 &v->slice[i]);
	}
}

static double value_of(const struct row *row, enum kf_field f)
{
	const struct kf_values *v =
		kf_field_at(f)->scope == KF_SCOPE_BOARD ? row->board : row->device;

	return v ? v->of[f] : NAN;
}

/* The last XID has its number and meaning as labels, too. */
static void add_xid(struct kf_lines *p, const struct row *row, const char *name, unsigned xid)
{
	struct kf_text labels = {0};
	kf_auto_mem char *text = NULL;

	kf_text_add(&labels, row->labels);
	kf_lines_label_uint(&labels, "err_code", xid);
	kf_lines_label(&labels, "err_msg",
		       xid == 0		     ? "No Error"
		       : kf_xid_text(xid)[0] ? kf_xid_text(xid)
					     : "Unknown Error");
	text = kf_text_take(&labels);
	if (text)
		kf_lines_uint(p, name, text, xid);
}

static void add_counter(struct kf_lines *p, const struct rows *rows, const struct kf_counter *c)
{
	static const char *const type[] = {"gauge", "counter", "histogram", "summary"};
	const struct kf_field_row *field = kf_field_at(c->field);
	int headed = 0;
	unsigned i;

	for (i = 0; i < rows->n; i++) {
		const struct row *row = &rows->row[i];
		double value = value_of(row, c->field);

		if (isnan(value))
			continue;
		if (!headed++)
			kf_lines_family(p, field->name, c->help, type[c->kind]);
		if (c->field == KF_FIELD_XID_ERRORS)
			add_xid(p, row, field->name, (unsigned)value);
		else
			kf_lines_double(p, field->name, row->labels, value,
					field->format == KF_FORMAT_REAL ? 6 : 0);
	}
}

void kf_lines_dcgm(struct kf_lines *p)
{
	const struct kf_view *v = p->snap->view;
	struct rows rows = {0};
	unsigned i;

	for (i = 0; v && i < v->n_gpus && i < KF_MAX_GPUS; i++)
		if (p->snap->reading[i] && !p->snap->stale[i])
			add_gpu(p, &rows, i);
	for (i = 0; i < p->opt->counters->n; i++)
		add_counter(p, &rows, &p->opt->counters->at[i]);
	for (i = 0; i < rows.n; i++)
		free(rows.row[i].labels);
	free(rows.row);
}
