/*
 * Health: the driver's events and every reading of the GPUs go to health/, and what comes of it is
 * told: to the kubelet by the lists, to people by Events, the annotation kerf.dev/health and
 * `kerf status`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

/* A listener that ends sooner than this is not started again for as long, unless for other GPUs. */
#define LISTENER_LIFE_MS 5000

/* What the settings have ignored.  1: other XIDs than before. */
static int take_rules(struct kf_agent *a)
{
	struct kf_health_rules rules = {0};
	struct kf_error err = {0};

	if (kf_health_rules_parse(a->set->disable_healthchecks, a->set->enable_healthchecks, &rules,
				  &err) == KF_HEALTH_ODD)
		kf_log_fail(KF_WARN, "health", &err, "passing it over");
	if (!memcmp(&rules, &a->health.rules, sizeof(rules)))
		return 0;
	a->health.rules = rules;
	if (kf_health_is_off(&a->health.rules))
		kf_log(KF_INFO, "health",
		       "health checks are switched off; a GPU that is lost is still Unhealthy");
	return 1;
}

void kf_agent_health_start(struct kf_agent *a)
{
	take_rules(a);
}

void kf_agent_health_rules(struct kf_agent *a)
{
	if (!take_rules(a))
		return;
	kf_agent_forget_ailments(a); /* what is ill by the new rules as well is found anew */
	kf_agent_listen(a);
}

const struct kf_ailment *kf_agent_ailment(const struct kf_agent *a, const char *id)
{
	struct kf_slice_ref ref;

	if (a->node && kf_node_find_slice(a->node, id, &ref))
		return kf_health_of(&a->health, ref.gpu->uuid, ref.instance->id, ref.ci->id);
	return kf_health_of(&a->health, id, KF_NONE, KF_NONE);
}

/* --- telling ------------------------------------------------------------------------------- */

/* "gpu 3", "gpu 3 instance 7", "gpu 3 instance 7/0": what an ailment concerns. */
static void place_text(const struct kf_agent *a, const struct kf_ailment *ill, char *out,
		       size_t size)
{
	const struct kf_gpu *gpu = a->node ? kf_node_find_gpu(a->node, ill->gpu) : NULL;
	int n = gpu ? snprintf(out, size, "gpu %u", gpu->index)
		    : snprintf(out, size, "gpu %s", ill->gpu);

	if (ill->gi != KF_NONE && (size_t)n < size)
		n += snprintf(out + n, size - (size_t)n, " instance %u", ill->gi);
	if (ill->ci != KF_NONE && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, "/%u", ill->ci);
}

/* An ailment that comes or goes is news: an Event, and a line in the log. */
static void tell_news(struct kf_agent *a, struct kf_ailment *ill)
{
	int well = ill->state == KF_HEALTH_WELL;
	struct kf_error err = {0};
	char place[160], text[400], note[600];

	ill->told = ill->state;
	place_text(a, ill, place, sizeof(place));
	kf_ailment_text(ill, text, sizeof(text));
	snprintf(note, sizeof(note), "%s %s: %s", place, well ? "is Healthy again" : "is Unhealthy",
		 text);
	kf_log(well ? KF_INFO : KF_WARN, "health", "%s", note);
	kf_agent_news(a, well ? KF_EVENT_NORMAL : KF_EVENT_WARNING, note);
	if (a->events &&
	    kf_events_tell(a->events, well ? KF_EVENT_NORMAL : KF_EVENT_WARNING,
			   well ? "GPUHealthy" : "GPUUnhealthy", "HealthCheck", note, &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "the Event is dropped");
}

static void add_line(struct kf_text *t, const char *place, const char *what)
{
	kf_text_addf(t, "%s%s: %s", t->n ? "; " : "", place, what);
}

/* What the annotation says: every ailment, and GPUs that cannot be read. */
static char *summary(const struct kf_agent *a)
{
	struct kf_text t = {0};
	char place[160], text[400];
	unsigned i;

	for (i = 0; i < a->health.n; i++) {
		const struct kf_ailment *ill = &a->health.at[i];

		if (ill->state == KF_HEALTH_WELL)
			continue;
		place_text(a, ill, place, sizeof(place));
		kf_ailment_text(ill, text, sizeof(text));
		add_line(&t, place, text);
	}
	for (i = 0; a->node && i < a->node->n_gpus; i++) {
		const struct kf_gpu *gpu = &a->node->gpu[i];

		if (gpu->state == KF_GPU_OK ||
		    kf_health_of(&a->health, gpu->uuid, KF_NONE, KF_NONE))
			continue;
		snprintf(place, sizeof(place), "gpu %u", gpu->index);
		add_line(&t, place, gpu->trouble);
	}
	return kf_text_take(&t);
}

void kf_agent_take_health(struct kf_agent *a, const struct kf_kube_node *node)
{
	const char *seen = kf_kube_node_annotation(node, KF_ANNOTATION_HEALTH);

	snprintf(a->seen_ailments, sizeof(a->seen_ailments), "%s", seen ? seen : "");
}

unsigned kf_agent_health_edit(const struct kf_agent *a, struct kf_kube_edit *edit)
{
	if (a->driver_state == KF_DRIVER_UNKNOWN || !strcmp(a->ailments, a->seen_ailments))
		return 0;
	*edit = (struct kf_kube_edit){KF_KUBE_ANNOTATION, KF_ANNOTATION_HEALTH,
				      a->ailments[0] ? a->ailments : NULL};
	return 1;
}

static void on_probe_timer(uv_timer_t *timer)
{
	kf_agent_read(timer->data);
}

static void tell_health(struct kf_agent *a)
{
	kf_auto_mem char *text = summary(a);
	unsigned i;

	for (i = 0; i < a->health.n; i++)
		if (a->health.at[i].told != a->health.at[i].state)
			tell_news(a, &a->health.at[i]);
	snprintf(a->ailments, sizeof(a->ailments), "%s", text ? text : "");
	kf_mend_utf8(a->ailments);
	kf_agent_patch(a);
	kf_agent_tell_condition(a);
	if (!a->stopping && kf_health_is_urgent(&a->health, kf_now_ms()))
		uv_timer_start(&a->probe, on_probe_timer, KF_HEALTH_PROBE_MS, 0);
}

void kf_agent_probe(struct kf_agent *a)
{
	if (a->driver_state == KF_DRIVER_OK && a->node &&
	    kf_health_probe(&a->health, a->node, a->job_began_ms) < 0)
		kf_log(KF_ERROR, "health", "no memory to note what ails a GPU; looking again");
	tell_health(a);
}

void kf_agent_forget_ailments(struct kf_agent *a)
{
	if (kf_health_forget(&a->health) == 0)
		return;
	kf_log(KF_INFO, "health", "forgetting what ailed GPUs and slices; looking at them anew");
	tell_health(a);
	kf_agent_publish(a);
}

/* --- the driver's events ------------------------------------------------------------------- */

/* What it reports; 0 where it only asks for a look at the GPUs. */
static int to_report(const struct kf_gpu_event *e, struct kf_report *ret)
{
	*ret = (struct kf_report){.gpu = e->gpu, .gi = e->gi, .ci = e->ci, .xid = e->xid};
	if (!e->gpu[0] || e->kind == KF_EVENT_RECOVERY)
		return 0;
	ret->kind = e->kind == KF_EVENT_XID   ? KF_REPORT_XID
		    : e->kind == KF_EVENT_ECC ? KF_REPORT_ECC
					      : KF_REPORT_UNAVAILABLE;
	return 1;
}

static void on_event(void *ud, const struct kf_gpu_event *e)
{
	struct kf_agent *a = ud;
	struct kf_report report;

	if (a->stopping)
		return;
	if (!to_report(e, &report)) {
		kf_agent_read(a);
		return;
	}
	if (e->kind == KF_EVENT_XID)
		kf_agent_count_xid(a, e->gpu, e->xid);
	kf_log(KF_DEBUG, "health", "the driver reports kind %d, XID %u of %s", (int)e->kind, e->xid,
	       e->gpu);
	if (kf_health_report(&a->health, &report, kf_now_ms()) != KF_HEALTH_CHANGED)
		return;
	kf_agent_publish(a);
	tell_health(a);
	/* it may be lost, or need a reset: that shows in a reading */
	kf_agent_read(a);
}

static void on_ended(void *ud, const struct kf_error *why)
{
	struct kf_agent *a = ud;

	a->listener = NULL;
	if (a->stopping) {
		if (a->job_waits & KF_WAITS_LISTENER)
			a->job = kf_job_free(a->job);
		a->listener_done(a);
		return;
	}
	if (why && why->code == KF_E_UNSUPPORTED) {
		kf_log_fail(KF_WARN, "health", why, "the GPUs are looked at every 10 s instead");
		a->deaf = 1;
	} else if (why) {
		kf_log_fail(KF_INFO, "health", why, "looking at the GPUs, then listening again");
		if (kf_now_ms() - a->listener_began_ms < LISTENER_LIFE_MS)
			a->listen_after_ms = kf_now_ms() + LISTENER_LIFE_MS;
		kf_agent_read(a);
	}
	if (a->job_waits & KF_WAITS_LISTENER)
		kf_agent_stop_waiting(a, KF_WAITS_LISTENER);
	else if (!why)
		kf_agent_listen(a);
}

/* The GPUs that answer, and a sum that tells this choice of GPUs from another. */
static unsigned choose_gpus(const struct kf_agent *a, char (*gpus)[KF_UUID], uint32_t *sum)
{
	unsigned g, n = 0;

	for (g = 0; a->driver_state == KF_DRIVER_OK && a->node && g < a->node->n_gpus; g++)
		if (a->node->gpu[g].state == KF_GPU_OK)
			memcpy(gpus[n++], a->node->gpu[g].uuid, KF_UUID);
	*sum = kf_crc32(gpus, n * sizeof(*gpus));
	return n;
}

void kf_agent_listen(struct kf_agent *a)
{
	static const struct kf_listener_calls calls = {.event = on_event, .ended = on_ended};
	char gpus[KF_MAX_GPUS][KF_UUID];
	struct kf_error err = {0};
	uint32_t sum;
	unsigned n = choose_gpus(a, gpus, &sum);

	if (a->stopping || a->job_waits || kf_agent_is_released(a))
		return;
	if (kf_health_is_off(&a->health.rules)) {
		if (a->listener)
			kf_listener_stop(a->listener);
		return;
	}
	if (sum != a->listened_to)
		a->deaf = 0;
	if (a->listener) {
		if (sum != a->listened_to)
			kf_listener_stop(a->listener);
		return;
	}
	if (n == 0 || a->deaf)
		return;
	if (sum == a->listened_to && kf_now_ms() < a->listen_after_ms)
		return;
	a->listened_to = sum;
	a->listener_began_ms = kf_now_ms();
	if (kf_listener_start(&a->loop, kf_job_root(a->set), (const char(*)[KF_UUID])gpus, n,
			      &calls, a, &a->listener, &err) < 0)
		kf_log_fail(KF_WARN, "health", &err, "trying again in 10 s");
}

int kf_agent_hush(struct kf_agent *a, const struct kf_step *steps, unsigned n)
{
	unsigned i;

	for (i = 0; i < n && a->listener; i++)
		if (steps[i].kind == KF_STEP_MODE_ON || steps[i].kind == KF_STEP_MODE_OFF) {
			kf_listener_stop(a->listener);
			return 1;
		}
	return 0;
}

int kf_agent_health_stop(struct kf_agent *a, void (*done)(void *ud))
{
	a->listener_done = done;
	if (a->listener)
		kf_listener_stop(a->listener);
	return a->listener != NULL;
}
