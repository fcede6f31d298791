/*
 * Metrics: the agent's values are shown as a view (shown.h) to threads of their own
 * (metrics/metrics.h), which the loop never waits for.
 *
 * The other way round, a step that changes instances waits until the sampler has come to rest, and
 * one that changes a GPU's mode until it has let go of the driver.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/internal.h"
#include "agent/news.h"
#include "agent/shown.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "metrics/metrics.h"

/* Views closer together than this are one. */
#define SHOW_MS 20
/* A step does not wait longer for the sampler: its call of the driver's hangs. */
#define REST_MS 5000
/* The loop turns at least every KF_POLL_MS. */
#define ALIVE_MS     (6 * KF_POLL_MS)
#define SLOW_MS	     10000
#define PAGE_ADDRESS ":9400" /* of --page alone; it brings the metrics */
#define LEAST_MS     100     /* below it GPM has nothing new */

const char *kf_agent_version = "", *kf_agent_commit = "";

void kf_agent_name_build(const char *version, const char *commit)
{
	kf_agent_version = version;
	kf_agent_commit = commit;
}

struct kf_agent_metrics {
	struct kf_agent *agent;
	struct kf_metrics *metrics; /* NULL: not listening (yet) */
	char hostname[256];
	char said[512]; /* why it cannot listen */
	uv_timer_t show, rest;
	uv_async_t rested;
	int paused;
	int left; /* a thread of the sampler's hangs and may come back here */
	unsigned epoch;
	_Atomic uint64_t beat_ms;
	struct kf_view_counts counts;
	unsigned n_xids;
	struct kf_xid_count xids[KF_MAX_GPUS];
	struct kf_news news;
};

/* --- counting ------------------------------------------------------------------------------ */

void kf_agent_count(struct kf_agent *a, enum kf_tally what)
{
	struct kf_view_counts *c = a->metrics ? &a->metrics->counts : NULL;

	if (!c)
		return;
	switch (what) {
	case KF_TALLY_API_ERROR:
		c->api_errors++;
		break;
	case KF_TALLY_KUBELET_ERROR:
		c->kubelet_errors++;
		break;
	case KF_TALLY_PODRESOURCES_ERROR:
		c->podresources_errors++;
		break;
	case KF_TALLY_UNKNOWN_DEVICE:
		c->refused_unknown++;
		break;
	case KF_TALLY_EVICTED:
		c->evicted++;
		break;
	case KF_TALLY_SETTLED:
		c->plans_settled++;
		break;
	case KF_TALLY_PLAN:
		c->plans_made++;
		break;
	case KF_TALLY_IMPOSSIBLE:
		c->plans_impossible++;
		break;
	case KF_TALLY_MPS_FAULT:
		c->mps_faults++;
		break;
	}
	kf_agent_show(a);
}

void kf_agent_news(struct kf_agent *a, const char *type, const char *text)
{
	if (!a->metrics)
		return;
	kf_news_add(&a->metrics->news, !strcmp(type, KF_EVENT_WARNING), text);
	kf_agent_show(a);
}

static void tell_xid(struct kf_agent *a, const char *gpu, unsigned xid)
{
	char text[96];
	unsigned i;

	for (i = 0; a->node && i < a->node->n_gpus; i++)
		if (!strcmp(a->node->gpu[i].uuid, gpu)) {
			snprintf(text, sizeof(text), "gpu %u: XID %u", a->node->gpu[i].index, xid);
			kf_agent_news(a, KF_EVENT_WARNING, text);
		}
}

void kf_agent_count_xid(struct kf_agent *a, const char *gpu, unsigned xid)
{
	if (!a->metrics)
		return;
	tell_xid(a, gpu, xid);
	kf_xid_count(a->metrics->xids, &a->metrics->n_xids, gpu, xid);
	kf_agent_show(a);
}

/* Of one GPU: what was done, or the first that went wrong. */
static void tell_steps(struct kf_agent *a, const struct kf_job *job, unsigned gpu)
{
	unsigned i, made = 0, gone = 0, modes = 0, us = 0;
	char step[300], text[304 + sizeof(job->outcome->err.msg)];

	for (i = 0; i < job->n_steps; i++) {
		const struct kf_outcome *outcome = &job->outcome[i];
		enum kf_step_kind kind = job->steps[i].kind;

		if (job->steps[i].gpu != gpu || outcome->answer == KF_OUTCOME_SKIPPED)
			continue;
		us += outcome->us;
		if (outcome->answer != 0) {
			kf_step_text(a->node, &job->steps[i], step, sizeof(step));
			snprintf(text, sizeof(text), "%s: %s", step, outcome->err.msg);
			kf_agent_news(a, KF_EVENT_WARNING, text);
			return;
		}
		made += kind == KF_STEP_CREATE || kind == KF_STEP_CREATE_CI;
		gone += kind == KF_STEP_DESTROY || kind == KF_STEP_DESTROY_CI;
		modes += kind == KF_STEP_MODE_ON || kind == KF_STEP_MODE_OFF;
	}
	if (made + gone + modes == 0)
		return;
	snprintf(text, sizeof(text), "gpu %u: %s%u instances destroyed, %u created in %.2f s",
		 a->node->gpu[gpu].index, modes ? "MIG mode changed, " : "", gone, made, us / 1e6);
	kf_agent_news(a, KF_EVENT_NORMAL, text);
}

/* A job with steps is over: how long they took the driver, and whether all were done. */
void kf_agent_count_job(struct kf_agent *a, const struct kf_job *job)
{
	struct kf_agent_metrics *m = a->metrics;
	unsigned long us = 0;
	unsigned i;
	int failed = 0;

	if (!m || job->n_steps == 0)
		return;
	for (i = 0; i < job->n_steps; i++) {
		us += job->outcome[i].us;
		failed |= job->outcome[i].answer != 0;
	}
	for (i = 0; a->node && i < a->node->n_gpus; i++)
		tell_steps(a, job, i);
	m->epoch++;
	m->counts.failed_changes += (unsigned long)failed;
	m->counts.change_s += (double)us / 1e6;
	for (i = 0; i < KF_VIEW_BUCKETS - 1 && us > 1000ul * kf_view_bucket_ms[i]; i++)
		;
	m->counts.bucket[i]++;
}

/* --- showing ------------------------------------------------------------------------------- */

static int is_withdrawn(const void *ud, const char *id)
{
	const struct kf_agent *a = ud;

	return kf_withdraw_state(&a->withdrawals, id) != KF_WITHDRAW_NONE;
}

/* The agent's own counts and ours together. */
static void add_up(const struct kf_agent *a, struct kf_view_counts *ret)
{
	unsigned long known;

	*ret = a->metrics->counts;
	ret->allocated = a->counts.allocated;
	ret->refused = a->counts.refused;
	ret->refused_withdrawn = a->counts.refused_withdrawn;
	known = ret->refused_withdrawn + ret->refused_unknown;
	ret->refused_other = ret->refused > known ? ret->refused - known : 0;
	ret->cancelled = a->counts.cancelled;
	ret->changes = a->counts.changes;
	ret->created = a->counts.created;
	ret->destroyed = a->counts.destroyed;
}

static void show_view(struct kf_agent_metrics *m, struct kf_view *view)
{
	kf_auto(kf_view_freep) struct kf_view *before = kf_hub_view(kf_metrics_hub(m->metrics));
	struct kf_error err = {0};

	kf_news_add_pods(&m->news, before, view);
	if (kf_news_show(&m->news, view, &err) < 0)
		kf_log_fail(KF_WARN, "metrics", &err, "showing the rest");
	kf_metrics_show(m->metrics, view);
}

static void make_view(struct kf_agent *a)
{
	char waits[384] = "";
	struct kf_view_counts counts;
	struct kf_shown from = {.node = a->node,
				.driver_up = a->driver_state == KF_DRIVER_OK,
				.holds = &a->holds,
				.listed = &a->sale.listed,
				.health = &a->health,
				.withdrawn = is_withdrawn,
				.ud = a,
				.hostname = a->metrics->hostname,
				.config = a->config,
				.state = kf_state_text(a->state),
				.reason = a->reason,
				.plan = a->plan,
				.waits = waits,
				.epoch = a->metrics->epoch,
				.xids = a->metrics->xids,
				.n_xids = a->metrics->n_xids,
				.counts = &counts};
	struct kf_error err = {0};
	struct kf_view *view;

	add_up(a, &counts);
	/* There is nothing that the kubelet waits for. */
	from.ready = a->driver_state != KF_DRIVER_UNKNOWN &&
		     (a->n_listening > 0 || a->sale.listed.n == 0);
	kf_agent_pause_waits(a, waits, sizeof(waits));
	if (kf_shown_view(&from, &view, &err) == 0)
		show_view(a->metrics, view);
	else
		kf_log_fail(KF_WARN, "metrics", &err, "the one before stays");
}

static void on_show(uv_timer_t *timer)
{
	struct kf_agent_metrics *m = timer->data;

	if (m->metrics)
		make_view(m->agent);
}

void kf_agent_show(struct kf_agent *a)
{
	if (a->metrics && !a->stopping && !uv_is_active((uv_handle_t *)&a->metrics->show))
		uv_timer_start(&a->metrics->show, on_show, SHOW_MS, 0);
}

/* --- steps and the sampler ----------------------------------------------------------------- */

/* The job that has waited for the sampler need not any more. */
static void go_on(struct kf_agent_metrics *m)
{
	uv_timer_stop(&m->rest);
	kf_agent_stop_waiting(m->agent, KF_WAITS_SAMPLER);
}

static void on_rested(uv_async_t *async)
{
	go_on(async->data);
}

static void on_rest_timer(uv_timer_t *timer)
{
	kf_log(KF_WARN, "metrics",
	       "a call of the driver's that measures does not come back; going on with the change");
	go_on(timer->data);
}

/* On a thread of the sampler's. */
static void tell_rested(void *ud)
{
	struct kf_agent_metrics *m = ud;

	uv_async_send(&m->rested);
}

int kf_agent_metrics_hush(struct kf_agent *a, const struct kf_step *steps, unsigned n)
{
	struct kf_agent_metrics *m = a->metrics;
	int mode = 0;
	unsigned i;

	if (!m || !m->metrics || n == 0)
		return 0;
	for (i = 0; i < n; i++)
		mode |= steps[i].kind == KF_STEP_MODE_ON || steps[i].kind == KF_STEP_MODE_OFF;
	m->paused = 1;
	uv_timer_start(&m->rest, on_rest_timer, REST_MS, 0);
	kf_sampler_pause(kf_metrics_sampler(m->metrics), mode);
	return 1;
}

void kf_agent_metrics_go_on(struct kf_agent *a)
{
	struct kf_agent_metrics *m = a->metrics;

	if (!m || !m->paused)
		return;
	m->paused = 0;
	/* The sampler shall not look for what has gone. */
	make_view(a);
	kf_sampler_resume(kf_metrics_sampler(m->metrics));
}

/* --- life ---------------------------------------------------------------------------------- */

static int is_alive(void *ud)
{
	struct kf_agent_metrics *m = ud;

	return kf_now_ms() < atomic_load(&m->beat_ms) + ALIVE_MS;
}

static void on_unknown(void *ud, const char *field, unsigned line)
{
	const struct kf_agent *a = ud;

	kf_log(KF_WARN, "metrics",
	       "%s:%u: %s: NVML does not tell it, or this version does not ask; going on without",
	       a->set->metrics_collectors, line, field);
}

/* The fields that are served.  A file that is no good is said so, and the default served. */
static void choose_counters(struct kf_agent *a, struct kf_counters *ret)
{
	struct kf_error err = {0};

	kf_counters_default(ret);
	if (a->set->metrics_collectors[0] &&
	    kf_counters_read(a->set->metrics_collectors, ret, on_unknown, a, &err) < 0)
		kf_log_fail(KF_ERROR, "metrics", &err, "serving the default metrics");
}

static unsigned interval_ms(const struct kf_agent *a)
{
	uint64_t ms;

	if (kf_parse_uint(a->set->metrics_interval, 3600000, &ms) < 0 || ms < LEAST_MS) {
		kf_log(KF_WARN, "metrics",
		       "--metrics-interval '%.40s': a number of milliseconds from %d is expected; "
		       "reading every second",
		       a->set->metrics_interval, LEAST_MS);
		return 1000;
	}
	return (unsigned)ms;
}

static void fill_expose(const struct kf_agent *a, struct kf_expose_options *ret)
{
	const struct kf_settings *set = a->set;

	*ret = (struct kf_expose_options){
		.hostname = set->metrics_no_hostname ? KF_HOSTNAME_NONE
			    : set->metrics_hostname  ? KF_HOSTNAME_UPPER
						     : KF_HOSTNAME_LOWER,
		.board_per_slice = set->metrics_board_per_slice,
		.old_names = set->metrics_old_namespace,
		.pods = set->metrics_pods,
		.pod_uid = set->metrics_pod_uid,
		.virtual_gpus = set->metrics_virtual_gpus,
		.join_words = set->metrics_join_words,
		.version = kf_agent_version,
		.commit = kf_agent_commit,
		.started_s = a->started_s,
	};
}

static int wants_port(const struct kf_agent *a)
{
	return a->set->metrics_listen[0] && strcmp(a->set->metrics_listen, "none") != 0;
}

static int listen_now(struct kf_agent *a, struct kf_error *err)
{
	struct kf_agent_metrics *m = a->metrics;
	unsigned ms = interval_ms(a);
	struct kf_metrics_options opt = {
		.listen = wants_port(a) ? a->set->metrics_listen : PAGE_ADDRESS,
		.page = a->set->page,
		.web_config = a->set->metrics_web_config,
		.sampler = {.root = kf_job_root(a->set),
			    .quick_ms = ms,
			    .slow_ms = ms > SLOW_MS ? ms : SLOW_MS,
			    .ud = m,
			    .rested = tell_rested},
		.alive = is_alive,
		.ud = m,
	};
	char note[256];

	choose_counters(a, &opt.sampler.counters);
	fill_expose(a, &opt.expose);
	if (kf_metrics_start(&opt, note, sizeof(note), &m->metrics, err) < 0)
		return -1;
	kf_log(KF_INFO, "metrics", "serving on %s", kf_metrics_address(m->metrics));
	if (note[0])
		kf_log(KF_WARN, "metrics", "%s: %s: not served by this version, passed over",
		       a->set->metrics_web_config, note);
	kf_agent_show(a);
	return 0;
}

/* A port that is taken may be free later, a web-config mended: tried again at every poll. */
static void try_to_listen(struct kf_agent *a)
{
	struct kf_agent_metrics *m = a->metrics;
	struct kf_error err = {0};

	if (listen_now(a, &err) == 0) {
		m->said[0] = '\0';
		return;
	}
	if (strcmp(m->said, err.msg) != 0)
		kf_log_fail(KF_ERROR, "metrics", &err, "no metrics until that is so; trying again");
	snprintf(m->said, sizeof(m->said), "%s", err.msg);
}

void kf_agent_metrics_poll(struct kf_agent *a)
{
	struct kf_agent_metrics *m = a->metrics;
	struct kf_error err = {0};
	int answer;

	if (!m)
		return;
	atomic_store(&m->beat_ms, kf_now_ms());
	if (!m->metrics) {
		try_to_listen(a);
		return;
	}
	answer = kf_metrics_reload(m->metrics, &err);
	if (answer == 0)
		kf_log(KF_INFO, "metrics", "%s has changed, and is in force",
		       a->set->metrics_web_config);
	else if (answer < 0)
		kf_log_fail(KF_ERROR, "metrics", &err, "the one before stays in force");
}

static void name_host(const struct kf_agent *a, char *out, size_t size)
{
	if (a->set->node_name[0])
		snprintf(out, size, "%s", a->set->node_name);
	else if (gethostname(out, size - 1) < 0)
		out[0] = '\0';
}

void kf_agent_metrics_start(struct kf_agent *a)
{
	struct kf_agent_metrics *m;

	if (!wants_port(a) && !a->set->page)
		return;
	m = kf_calloc(1, sizeof(*m));
	if (!m) {
		kf_log(KF_ERROR, "metrics", "no memory for metrics; going on without");
		return;
	}
	m->agent = a;
	a->metrics = m;
	name_host(a, m->hostname, sizeof(m->hostname));
	uv_timer_init(&a->loop, &m->show);
	uv_timer_init(&a->loop, &m->rest);
	uv_async_init(&a->loop, &m->rested, on_rested);
	m->show.data = m->rest.data = m->rested.data = m;
	atomic_store(&m->beat_ms, kf_now_ms());
	try_to_listen(a);
}

char *kf_agent_node_json(struct kf_agent *a)
{
	if (a->metrics && a->metrics->metrics)
		return kf_metrics_node_json(a->metrics->metrics, NULL);
	return kf_strdup(
		a->metrics ? "{\"error\":\"the agent cannot serve metrics: its log says why\"}"
			   : "{\"error\":\"the agent measures nothing: it was started without "
			     "--metrics-listen\"}");
}

const char *kf_agent_metrics_address(const struct kf_agent *a)
{
	return a->metrics && a->metrics->metrics ? kf_metrics_address(a->metrics->metrics) : NULL;
}

void kf_agent_metrics_stop(struct kf_agent *a)
{
	struct kf_agent_metrics *m = a->metrics;

	if (!m)
		return;
	uv_timer_stop(&m->show);
	uv_timer_stop(&m->rest);
	if (a->job_waits == KF_WAITS_SAMPLER) /* else it is the listener's to free */
		a->job = kf_job_free(a->job);
	a->job_waits &= ~KF_WAITS_SAMPLER;
	m->left = kf_metrics_stop(m->metrics);
	m->metrics = NULL;
}

/* So that a look for leaks finds what a thread still uses. */
static struct kf_agent_metrics *volatile left_behind;

void kf_agent_metrics_done(struct kf_agent *a)
{
	if (a->metrics && a->metrics->left)
		left_behind = a->metrics;
	else
		free(a->metrics);
	a->metrics = NULL;
}
