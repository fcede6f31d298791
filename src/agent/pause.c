/* Operands of NVIDIA's operator, paused around a change; see pause.h. */
#include "agent/pause.h"

#include <stdio.h>
#include <string.h>

#include "agent/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define LOOK_MS	     1000
#define PATIENCE_MS  300000 /* the MIG manager's, for each of them */
#define END_AFTER_MS 2000   /* without a job, lest they start between two steps of one change */
#define FAILURES     3	    /* of the patch; then the change goes on without */

/* The ones that NVIDIA's MIG manager pauses. */
static const char *const operand[] = {
	"device-plugin", "gpu-feature-discovery", "dcgm-exporter", "dcgm", "nvsm", "client",
};
#define N_OPERANDS (sizeof(operand) / sizeof(operand[0]))

static void label_of(unsigned i, char out[64])
{
	snprintf(out, 64, KF_LABEL_DEPLOY "%s", operand[i]);
}

/* Their names, apart by commas. */
static void list(unsigned which, char *out, size_t size)
{
	size_t n = 0;
	unsigned i;

	out[0] = '\0';
	for (i = 0; i < N_OPERANDS; i++)
		if (which >> i & 1 && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "," : "", operand[i]);
}

static unsigned find(const char *name, size_t n)
{
	unsigned i;

	for (i = 0; i < N_OPERANDS; i++)
		if (strlen(operand[i]) == n && !memcmp(operand[i], name, n))
			return 1u << i;
	return 0;
}

static unsigned parse(const char *names)
{
	unsigned which = 0;
	size_t n;

	for (; *names; names += n + (names[n] == ',')) {
		n = strcspn(names, ",");
		which |= find(names, n);
	}
	return which;
}

/* --- the Node's labels --------------------------------------------------------------------- */

void kf_agent_pause_take(struct kf_agent *a, const struct kf_kube_node *node)
{
	const char *names = kf_kube_node_annotation(node, KF_ANNOTATION_PAUSED);
	struct kf_pause *p = &a->pause;
	char key[64];
	unsigned i;

	p->on = 0;
	p->ours = parse(names ? names : "");
	for (i = 0; i < N_OPERANDS; i++) {
		const char *value;

		label_of(i, key);
		value = kf_kube_node_label(node, key);
		if (value && !strcmp(value, "true"))
			p->on |= 1u << i;
		if (!value || strcmp(value, KF_PAUSED) != 0)
			p->ours &= ~(1u << i); /* somebody has decided otherwise since */
	}
	if (p->state == KF_PAUSE_NONE && names) {
		p->state =
			KF_PAUSE_THERE; /* an earlier agent's; set back unless a change needs it */
		kf_agent_mark(a);
	}
}

static int patch(struct kf_agent *a, unsigned which, const char *value, const char *note,
		 kf_kube_node_cb cb)
{
	struct kf_kube_edit edit[N_OPERANDS + 1];
	char key[N_OPERANDS][64];
	struct kf_error err = {0};
	unsigned i, n = 0;

	edit[n++] = (struct kf_kube_edit){KF_KUBE_ANNOTATION, KF_ANNOTATION_PAUSED, note};
	for (i = 0; i < N_OPERANDS; i++) {
		if (!(which >> i & 1))
			continue;
		label_of(i, key[i]);
		edit[n++] = (struct kf_kube_edit){KF_KUBE_LABEL, key[i], value};
	}
	if (kf_kube_node_patch(a->kube, a->set->node_name, edit, n, NULL, cb, a, &err) == 0)
		return 0;
	kf_log_fail(KF_WARN, "kube", &err, "the operands stay as they are");
	return -1;
}

/* --- pausing ------------------------------------------------------------------------------- */

static void look(uv_timer_t *timer);

static void on_pods(void *ud, struct kf_kube_pod *const *pods, unsigned n,
		    const struct kf_error *err)
{
	static const size_t prefix = sizeof(KF_LABEL_DEPLOY) - 1;
	struct kf_agent *a = ud;
	struct kf_pause *p = &a->pause;
	unsigned i;

	p->listing = 0;
	if (a->stopping || p->state != KF_PAUSE_WAITING)
		return;
	if (err)
		kf_log_fail(KF_WARN, "kube", err, "looking again for the operands' pods");
	else
		p->still = 0;
	for (i = 0; i < n; i++)
		if (pods[i]->deploy[0])
			p->still |= p->ours & find(pods[i]->deploy + prefix,
						   strlen(pods[i]->deploy + prefix));
	if (p->still && kf_now_ms() - p->since_ms < PATIENCE_MS) {
		uv_timer_start(&p->timer, look, LOOK_MS, 0);
		return;
	}
	if (p->still)
		kf_log(KF_WARN, "agent",
		       "some of the operator's pods do not end in 5 minutes; going on: what is in "
		       "use the driver refuses to change");
	p->state = KF_PAUSE_THERE;
	kf_agent_mark(a);
}

static void look(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;
	struct kf_error err = {0};

	if (a->stopping || a->pause.listing)
		return;
	a->pause.listing = 1;
	if (kf_pods_list(a->kube, a->set->node_name, on_pods, a, &err) < 0)
		on_pods(a, NULL, 0, &err);
}

static void wait_for_pods(struct kf_agent *a)
{
	struct kf_pause *p = &a->pause;

	p->state = KF_PAUSE_WAITING;
	p->still = p->ours;
	p->since_ms = kf_now_ms();
	uv_timer_start(&p->timer, look, 0, 0);
}

static void on_paused(void *ud, int result, const struct kf_kube_node *node,
		      const struct kf_error *err)
{
	struct kf_agent *a = ud;
	struct kf_pause *p = &a->pause;

	if (a->stopping)
		return;
	if (result != 0) {
		p->state = KF_PAUSE_NONE;
		if (result < 0 && p->failures++ == 0)
			kf_log_fail(KF_WARN, "kube", err, "pausing the operands again");
		kf_agent_mark(a);
		return;
	}
	p->failures = 0;
	p->state = KF_PAUSE_WAITING;
	kf_agent_pause_take(a, node);
	wait_for_pods(a);
}

static int disturbs(const struct kf_step *steps, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (steps[i].kind != KF_STEP_CREATE && steps[i].kind != KF_STEP_CREATE_CI)
			return 1;
	return 0;
}

static void ask(struct kf_agent *a)
{
	struct kf_pause *p = &a->pause;
	char names[128];

	list(p->on | p->ours, names, sizeof(names));
	kf_log(KF_INFO, "agent", "pausing %s of NVIDIA's operator for the change", names);
	p->state = KF_PAUSE_ASKING;
	if (patch(a, p->on, KF_PAUSED, names, on_paused) < 0) {
		p->state = KF_PAUSE_NONE;
		p->failures = FAILURES;
	}
}

int kf_agent_pause(struct kf_agent *a, const struct kf_step *steps, unsigned n)
{
	struct kf_pause *p = &a->pause;

	if (!a->set->pause_operands || !a->kube || !a->label_known || !disturbs(steps, n))
		return 1;
	if (p->state == KF_PAUSE_NONE && p->on && p->failures < FAILURES) {
		ask(a);
	} else if (p->state == KF_PAUSE_THERE) {
		uv_timer_stop(&p->timer);
		if (!p->since_ms) /* an earlier agent's: it may not have waited */
			wait_for_pods(a);
	}
	return p->state == KF_PAUSE_NONE || p->state == KF_PAUSE_THERE;
}

int kf_agent_pause_waits(const struct kf_agent *a, char *out, size_t size)
{
	char names[128];

	if (a->pause.state != KF_PAUSE_ASKING && a->pause.state != KF_PAUSE_WAITING)
		return 0;
	list(a->pause.state == KF_PAUSE_WAITING ? a->pause.still : a->pause.on, names,
	     sizeof(names));
	snprintf(out, size,
		 "waiting until %s of NVIDIA's operator is off the node; it is put back "
		 "after the change",
		 names);
	return 1;
}

/* --- setting back -------------------------------------------------------------------------- */

static void end(uv_timer_t *timer);

static void on_ended(void *ud, int result, const struct kf_kube_node *node,
		     const struct kf_error *err)
{
	struct kf_agent *a = ud;
	struct kf_pause *p = &a->pause;

	if (a->stopping)
		return;
	if (result != 0) {
		if (result < 0 && p->failures++ == 0)
			kf_log_fail(KF_WARN, "kube", err, "setting the operands back again");
		p->state = KF_PAUSE_THERE;
		uv_timer_start(&p->timer, end, END_AFTER_MS, 0);
		return;
	}
	p->failures = 0;
	p->since_ms = 0;
	p->state = KF_PAUSE_NONE;
	kf_agent_pause_take(a, node);
	kf_agent_mark(a);
}

static void end(uv_timer_t *timer)
{
	struct kf_agent *a = timer->data;
	struct kf_pause *p = &a->pause;
	char names[128];

	if (a->stopping || a->job || p->state != KF_PAUSE_THERE)
		return;
	list(p->ours, names, sizeof(names));
	kf_log(KF_INFO, "agent", "setting %s of NVIDIA's operator back", names);
	p->state = KF_PAUSE_ENDING;
	if (patch(a, p->ours, "true", NULL, on_ended) < 0) {
		p->state = KF_PAUSE_THERE;
		uv_timer_start(&p->timer, end, END_AFTER_MS, 0);
	}
}

void kf_agent_pause_review(struct kf_agent *a)
{
	struct kf_pause *p = &a->pause;

	if (a->pause.state == KF_PAUSE_THERE && !a->job && a->kube &&
	    !uv_is_active((uv_handle_t *)&p->timer))
		uv_timer_start(&p->timer, end, END_AFTER_MS, 0);
}

void kf_agent_pause_start(struct kf_agent *a)
{
	uv_timer_init(&a->loop, &a->pause.timer);
	a->pause.timer.data = a;
}
