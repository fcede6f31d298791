/* The kubelet's checkpoint; see checkpoint.h. */
#include "kubelet/checkpoint.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/own.h"
#include "base/text.h"

#define MAX_BYTES (64u << 20) /* 60,000 devices make 2.9 MB (kubernetes-lab.md) */

/* One entry's constant part; `id` is filled in for each device. */
static int entry_names(json_t *entry, size_t index, struct kf_checkpoint_row *row,
		       struct kf_error *err)
{
	const char *const names[] = {"PodUID", "ContainerName", "ResourceName"};
	const char **const fields[] = {&row->pod_uid, &row->container, &row->resource};
	unsigned i;

	if (!json_is_object(entry))
		return kf_fail(err, KF_E_INPUT, 0, "Data.PodDeviceEntries[%zu] is no object",
			       index);
	for (i = 0; i < 3; i++) {
		*fields[i] = json_string_value(json_object_get(entry, names[i]));
		if (!*fields[i])
			return kf_fail(err, KF_E_INPUT, 0,
				       "Data.PodDeviceEntries[%zu].%s is no string", index,
				       names[i]);
	}
	return 0;
}

static int add_ids(struct kf_checkpoint *c, const struct kf_checkpoint_row *names, json_t *ids,
		   size_t index, struct kf_error *err)
{
	size_t i;
	json_t *id;

	if (!json_is_array(ids) && !json_is_null(ids))
		return kf_fail(err, KF_E_INPUT, 0,
			       "Data.PodDeviceEntries[%zu].DeviceIDs holds no list", index);
	json_array_foreach(ids, i, id)
	{
		if (!json_is_string(id))
			return kf_fail(err, KF_E_INPUT, 0,
				       "Data.PodDeviceEntries[%zu].DeviceIDs: id %zu is no string",
				       index, i);
		if (kf_grow(&c->row, &c->capacity, c->n + 1, sizeof(c->row[0])) < 0)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory for %u devices", c->n + 1);
		c->row[c->n] = *names;
		c->row[c->n++].id = json_string_value(id);
	}
	return 0;
}

static int add_entry(struct kf_checkpoint *c, json_t *entry, size_t index, struct kf_error *err)
{
	struct kf_checkpoint_row names = {0};
	json_t *ids, *list;
	const char *numa;

	if (entry_names(entry, index, &names, err) < 0)
		return -1;
	ids = json_object_get(entry, "DeviceIDs");
	if (!json_is_object(ids))
		return ids ? add_ids(c, &names, ids, index, err) : 0;
	json_object_foreach(ids, numa, list)
	{
		if (add_ids(c, &names, list, index, err) < 0)
			return -1;
	}
	return 0;
}

static int add_entries(struct kf_checkpoint *c, json_t *root, struct kf_error *err)
{
	json_t *data = json_object_get(root, "Data");
	json_t *entries = json_object_get(data, "PodDeviceEntries");
	json_t *entry;
	size_t i;

	if (!json_is_object(data))
		return kf_fail(err, KF_E_INPUT, 0, "it has no object Data");
	if (entries && !json_is_array(entries) && !json_is_null(entries))
		return kf_fail(err, KF_E_INPUT, 0, "Data.PodDeviceEntries is no list");
	json_array_foreach(entries, i, entry)
	{
		if (add_entry(c, entry, i, err) < 0)
			return -1;
	}
	return 0;
}

int kf_checkpoint_parse(const char *bytes, size_t n, struct kf_checkpoint *ret,
			struct kf_error *err)
{
	struct kf_checkpoint c = {0};
	json_error_t why;

	/* as real: the checksum is unsigned, and jansson's integers are not */
	c.json = json_loadb(bytes, n, JSON_DECODE_INT_AS_REAL, &why);
	if (!c.json)
		return kf_fail(err, KF_E_INPUT, 0, "line %d: %s", why.line, why.text);
	if (add_entries(&c, c.json, err) < 0) {
		kf_checkpoint_done(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

int kf_checkpoint_read(const char *path, struct kf_checkpoint *ret, struct kf_error *err)
{
	struct kf_error why = {0};
	kf_auto_mem char *bytes = NULL;
	size_t n;

	bytes = kf_read_file(path, MAX_BYTES, &n, &why);
	if (!bytes && why.code == KF_E_SYSTEM && why.detail == ENOENT) {
		*ret = (struct kf_checkpoint){0};
		return 0;
	}
	if (!bytes) {
		if (err)
			*err = why;
		return -1;
	}
	if (kf_checkpoint_parse(bytes, n, ret, err) < 0)
		return kf_prefix(err, "%s", path);
	return 0;
}

void kf_checkpoint_done(struct kf_checkpoint *c)
{
	json_decref(c->json);
	free(c->row);
	*c = (struct kf_checkpoint){0};
}
