/*
 * The agent: the daemon of one node, and the only place where driver, kubelet and API server meet.
 *
 * observe -> decide -> act -> tell, on one loop:
 *
 *	observe.c    node (a job), holds (ledger, PodResources, checkpoint, processes)
 *	reconcile.c  target and plan; withdrawals; which job is next
 *	allocate.c   what the kubelet asks
 *	tell.c       the kubelet's lists; labels, annotation and Events of the Node
 *	serve.c      `kerf status`, over a socket in the state directory
 */
#pragma once

struct kf_error;
struct kf_settings;

/*
 * Run until SIGTERM or SIGINT.  0, or negative when it could not start: *err says why.  Trouble
 * later on is logged and lived with.
 */
int kf_agent_run(const struct kf_settings *set, struct kf_error *err);
/* What the program calls itself, for kerf_build_info; both strings are kept. */
void kf_agent_name_build(const char *version, const char *commit);
