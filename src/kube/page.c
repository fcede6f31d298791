/* One page of a list; see page.h. */
#include "kube/page.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"

static int tell(json_t *items, int (*item)(void *ud, json_t *item), void *ud)
{
	size_t i;
	json_t *each;

	json_array_foreach(items, i, each)
	{
		int r = item(ud, each);

		if (r)
			return r;
	}
	return 0;
}

/* Items are null, not [], where the server has none to show. */
static int sound(json_t *items)
{
	size_t i;
	json_t *each;

	if (!items || json_is_null(items))
		return 1;
	if (!json_is_array(items))
		return 0;
	json_array_foreach(items, i, each) if (!json_is_object(each)) return 0;
	return 1;
}

int kf_page_read(const char *bytes, size_t n, int (*item)(void *ud, json_t *item), void *ud,
		 struct kf_page *ret, struct kf_error *err)
{
	json_error_t why;
	json_auto_t *root = json_loadb(bytes, n, 0, &why);
	json_t *meta = json_object_get(root, "metadata"), *items = json_object_get(root, "items");
	const char *version = json_string_value(json_object_get(meta, "resourceVersion"));
	const char *more = json_string_value(json_object_get(meta, "continue"));
	kf_auto_mem char *version_copy = NULL, *more_copy = NULL;
	int r;

	if (!root)
		return kf_fail(err, KF_E_PROTOCOL, 0, "the list is not JSON: %.100s", why.text);
	if (!version || !*version || !sound(items))
		return kf_fail(err, KF_E_PROTOCOL, 0, "the answer is not a list of objects");
	version_copy = kf_strdup(version);
	more_copy = more && *more ? kf_strdup(more) : NULL;
	if (!version_copy || (more && *more && !more_copy))
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a list");
	r = tell(items, item, ud);
	if (r)
		return r;
	ret->version = kf_take(version_copy);
	ret->more = kf_take(more_copy);
	return 0;
}
