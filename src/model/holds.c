/* Who holds what; see holds.h. */
#include "model/holds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

int kf_holds_add(struct kf_holds *h, const struct kf_hold *hold)
{
	if (kf_grow(&h->hold, &h->capacity, h->n + 1, sizeof(*h->hold)) < 0)
		return -1;
	h->hold[h->n++] = *hold;
	return 0;
}

const struct kf_hold *kf_holds_find(const struct kf_holds *h, const char *id)
{
	unsigned i;

	for (i = 0; i < h->n; i++)
		if (!strcmp(h->hold[i].id, id))
			return &h->hold[i];
	return NULL;
}

void kf_holds_done(struct kf_holds *h)
{
	free(h->hold);
	*h = (struct kf_holds){0};
}

void kf_hold_text(const struct kf_hold *h, char *out, unsigned size)
{
	if (h->by == KF_HOLD_PROCESS)
		snprintf(out, size, "process %u", h->pid);
	else if (h->pod_name[0])
		snprintf(out, size, "pod %s/%s", h->pod_namespace, h->pod_name);
	else if (h->pod_uid[0])
		snprintf(out, size, "pod with UID %s", h->pod_uid);
	else
		snprintf(out, size, "a pod that the kubelet does not name yet");
}
