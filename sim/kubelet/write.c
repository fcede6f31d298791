/* The checkpoint file, in the kubelet's form (its checksum is of Go's own kind, and 0 here). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "base/text.h"
#include "inside.h"
#include "kubelet/checkpoint.h"

static char *base64(const uint8_t *p, size_t n)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *s = kf_calloc(1, (n + 2) / 3 * 4 + 1);
	size_t i, o = 0;

	for (i = 0; s && i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < n ? p[i + 2] : 0);

		s[o++] = digit[v >> 18];
		s[o++] = digit[v >> 12 & 63];
		s[o++] = i + 1 < n ? digit[v >> 6 & 63] : '=';
		s[o++] = i + 2 < n ? digit[v & 63] : '=';
	}
	return s;
}

/* AllocResp: the ContainerAllocateResponse, which is what stands in an AllocateResponse of one. */
static json_t *answer(const struct kf_answer *a)
{
	struct kf_message m = {0};
	kf_auto_mem char *text = NULL;
	size_t head = 1;
	json_t *json;

	if (kf_message_answers(a, 1, &m) < 0)
		return json_string("");
	while (head < m.n && (m.bytes[head] & 0x80)) /* the tag, and a length of some bytes */
		head++;
	text = base64(m.bytes + head + 1, m.n - head - 1);
	json = json_string(text ? text : "");
	kf_message_done(&m);
	return json;
}

/* NUMA node -> [id...], "-1" for none. */
static json_t *devices(const struct kf_sim_pod *pod, const char *resource)
{
	json_t *map = json_object();
	char numa[16];
	unsigned i;

	for (i = 0; i < pod->n_devices; i++) {
		if (strcmp(pod->device[i].resource, resource) != 0)
			continue;
		snprintf(numa, sizeof(numa), "%d", pod->device[i].numa);
		if (!json_object_get(map, numa))
			json_object_set_new(map, numa, json_array());
		json_array_append_new(json_object_get(map, numa), json_string(pod->device[i].id));
	}
	return map;
}

static json_t *entries(const struct kf_sim_kubelet *k)
{
	json_t *list = json_array();
	const struct kf_sim_pod *pod;
	unsigned i;

	for (pod = k->pods; pod; pod = pod->next) {
		unsigned n = pod == k->admission.pod ? k->admission.at : pod->n_requests;

		if (pod->state != KF_SIM_POD_RUNNING && pod != k->admission.pod)
			continue;
		for (i = 0; i < n; i++)
			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:s,s:o,s:o}", "PodUID", pod->uid,
							"ContainerName", "main", "ResourceName",
							pod->request[i].resource, "DeviceIDs",
							devices(pod, pod->request[i].resource),
							"AllocResp", answer(&pod->answer[i])));
	}
	return list;
}

static json_t *registered(const struct kf_sim_kubelet *k)
{
	json_t *map = json_object();
	const struct endpoint *e;
	unsigned i;

	for (e = k->endpoints; e; e = e->next) {
		json_t *ids = json_array();

		for (i = 0; i < e->list.n; i++)
			if (e->list.device[i].healthy)
				json_array_append_new(ids, json_string(e->list.device[i].id));
		json_object_set_new(map, e->list.resource, ids);
	}
	return map;
}

void write_checkpoint(const struct kf_sim_kubelet *k)
{
	json_t *root = json_pack("{s:{s:o,s:o},s:i}", "Data", "PodDeviceEntries", entries(k),
				 "RegisteredDevices", registered(k), "Checksum", 0);
	kf_auto_mem char *text = json_dumps(root, JSON_COMPACT);
	kf_auto_mem char *path = kf_asprintf("%s/%s", k->directory, KF_CHECKPOINT_FILE);

	if (text && path)
		kf_write_file(path, text, strlen(text), 0600, 0, NULL);
	json_decref(root);
}
