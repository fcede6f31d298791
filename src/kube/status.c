/* The status of our Node; see status.h. */
#include "kube/status.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "kube/client.h"
#include "kube/codec.h"

#define STRATEGIC "application/strategic-merge-patch+json"

struct asked {
	kf_status_cb cb;
	void *ud;
};

static void on_answer(void *ud, const struct kf_kube_answer *answer)
{
	const struct asked *asked = ud;
	struct kf_error err = {0};
	int result = kf_kube_check(answer, &err);

	asked->cb(asked->ud, result, &err);
}

/* Takes `status`. */
static int patch(struct kf_kube *k, const char *node, json_t *status, kf_status_cb cb, void *ud,
		 struct kf_error *err)
{
	json_auto_t *json = json_pack("{s:o}", "status", status);
	kf_auto_mem char *body = kf_kube_text(json);
	kf_auto_mem char *path = kf_kube_node_path(node, "/status", err);
	kf_auto_mem struct asked *asked = kf_calloc(1, sizeof(*asked));
	struct kf_kube_ask ask = {"PATCH", path, STRATEGIC, body, 0};

	if (!path)
		return -1;
	if (!body || !asked)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the Node's status");
	*asked = (struct asked){cb, ud};
	if (kf_kube_request_for(k, &ask, on_answer, asked, ud, err) < 0)
		return -1;
	asked = NULL; /* the request has it */
	return 0;
}

int kf_status_condition(struct kf_kube *k, const char *node, const struct kf_condition_told *told,
			kf_status_cb cb, void *ud, struct kf_error *err)
{
	json_t *condition;

	if (told->status)
		condition = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "type", told->type, "status",
				      told->status, "reason", told->reason, "message",
				      told->message, "lastTransitionTime", told->since,
				      "lastHeartbeatTime", told->now);
	else
		condition = json_pack("{s:s,s:s}", "type", told->type, "$patch", "delete");
	return patch(k, node, json_pack("{s:[o]}", "conditions", condition), cb, ud, err);
}

int kf_status_allocatable(struct kf_kube *k, const char *node, const char *resource, unsigned n,
			  kf_status_cb cb, void *ud, struct kf_error *err)
{
	char count[16];

	snprintf(count, sizeof(count), "%u", n);
	return patch(k, node, json_pack("{s:{s:s}}", "allocatable", resource, count), cb, ud, err);
}
