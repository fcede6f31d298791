/*
 * Sell: the lists that the kubelet gets, one way at a time (sale.h), and the questions to it that a
 * change of ways takes.
 */
#include "agent/internal.h"
#include "base/clock.h"
#include "base/log.h"

#define FIRST_MS   5
#define NEXT_MS	   50 /* the kubelet allows 100 PodResources calls a second, 10 at once */
#define TROUBLE_MS 1000

static void on_timer(uv_timer_t *timer)
{
	kf_agent_sell(timer->data);
}

static void on_handed_out(void *ud, const struct kf_podresources_row *row, unsigned n,
			  const struct kf_error *err)
{
	struct kf_agent *a = ud;

	a->asking_sale = 0;
	if (a->stopping)
		return;
	if (err) {
		if (a->sale_tries++ % 60 == 0)
			kf_log_fail(KF_WARN, "kubelet", err,
				    "devices stay as they are sold until it says what it hands "
				    "out");
		uv_timer_start(&a->sale_timer, on_timer, TROUBLE_MS, 0);
		return;
	}
	if (kf_sale_clear(&a->sale, row, n, a->sale_asked))
		kf_agent_publish(a);
	else if (kf_sale_waiting(&a->sale))
		uv_timer_start(&a->sale_timer, on_timer, a->sale_tries++ < 4 ? FIRST_MS : NEXT_MS,
			       0);
}

/* --pod-resources none, and a kubelet all the same: said once for each change. */
static void tell_stuck(struct kf_agent *a)
{
	static const char note[] =
		"devices stay as they are sold: with --pod-resources none the kubelet cannot be "
		"asked whether it still hands them out";
	struct kf_error err = {0};

	if (a->sale_tries++)
		return;
	kf_log(KF_WARN, "kubelet", "%s", note);
	kf_agent_news(a, KF_EVENT_WARNING, note);
	if (a->events && kf_events_tell(a->events, KF_EVENT_WARNING, "SharingPending", "Configure",
					note, &err) < 0)
		kf_log_fail(KF_WARN, "kube", &err, "the Event is dropped");
}

/* Ids on their way out: ask the kubelet whether it has let go of them. */
static void ask(struct kf_agent *a)
{
	struct kf_error err = {0};

	if (a->asking_sale)
		return;
	a->sale_asked = a->sale.listing;
	if (!a->podresources)
		tell_stuck(a);
	if (!a->podresources ||
	    kf_podresources_allocatable(a->podresources, on_handed_out, a, &err) < 0)
		uv_timer_start(&a->sale_timer, on_timer, TROUBLE_MS, 0);
	else
		a->asking_sale = 1;
}

void kf_agent_sell(struct kf_agent *a)
{
	if (a->stopping)
		return;
	if (kf_sale_waiting(&a->sale) == 0) {
		a->sale_tries = 0;
		return;
	}
	if (kf_agent_kubelet_is_there(a)) {
		ask(a);
		return;
	}
	kf_sale_clear_all(&a->sale);
	kf_agent_publish(a);
}
