/*
 * --with-reboot, as NVIDIA's WITH_REBOOT: where a MIG mode change stays pending, the Node is
 * labelled `rebooting` and the machine rebooted, once.  A Node that says so when we come up has
 * been rebooted for it: if the mode is pending still, the configuration has failed.
 */
#include <stdio.h>
#include <string.h>

#include "agent/internal.h"
#include "base/log.h"

void kf_agent_want_reboot(struct kf_agent *a, struct kf_setback *why)
{
	if (a->rebooted) {
		why->is_wait = 0;
		kf_prefix(&why->err, "after a reboot as before");
		return;
	}
	if (!a->label_known) {
		kf_log(KF_WARN, "agent",
		       "not rebooting, since the Node cannot be told of it: a reboot that nobody "
		       "remembers would come again and again");
		return;
	}
	kf_agent_say(a, KF_STATE_REBOOTING, why->err.msg);
}

static void on_reboot_exit(uv_process_t *process, int64_t status, int signal)
{
	struct kf_agent *a = process->data;

	(void)signal;
	if (status != 0)
		kf_log(KF_ERROR, "agent", "`reboot` ended with status %lld; the machine goes on",
		       (long long)status);
	uv_close((uv_handle_t *)&a->reboot, NULL);
}

void kf_agent_reboot_if_told(struct kf_agent *a)
{
	const char *root = a->set->root;
	int elsewhere = strcmp(root, "/") != 0;
	const char *inside[] = {"chroot", root, "reboot", NULL};
	const char *here[] = {"reboot", NULL};
	uv_process_options_t opt = {.exit_cb = on_reboot_exit};
	int r;

	if (a->state != KF_STATE_REBOOTING || a->reboot_asked ||
	    strcmp(a->seen_state, kf_state_text(KF_STATE_REBOOTING)) != 0)
		return;
	a->reboot_asked = 1;
	a->reboot.data = a;
	opt.args = (char **)(elsewhere ? inside : here); /* libuv does not write to them */
	opt.file = opt.args[0];
	kf_log(KF_WARN, "agent", "rebooting: %s", a->reason);
	r = uv_spawn(&a->loop, &a->reboot, &opt);
	if (r < 0)
		kf_log(KF_ERROR, "agent", "run `%s`: %s; the machine goes on", opt.file,
		       uv_strerror(r));
}
