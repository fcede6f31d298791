/* Labels as a file for Node Feature Discovery; see file.h. */
#include "labels/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"

void kf_labels_text(const struct kf_labels *l, struct kf_text *out)
{
	unsigned i;

	for (i = 0; i < l->n; i++)
		kf_text_addf(out, "%s=%s\n", l->label[i].key, l->label[i].value);
}

static int make_folder(const char *path, struct kf_error *err)
{
	const char *slash = strrchr(path, '/');
	kf_auto_mem char *folder = NULL;

	if (!slash || slash == path)
		return 0;
	folder = kf_strndup(path, (size_t)(slash - path));
	if (!folder)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to write %s", path);
	return kf_make_dirs(folder, 0755, err);
}

int kf_labels_write(const struct kf_labels *l, const char *path, struct kf_error *err)
{
	kf_auto(kf_text_done) struct kf_text text = {0};
	kf_auto_mem char *there = NULL;

	kf_labels_text(l, &text);
	if (text.failed)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to write %s", path);
	there = kf_read_file(path, 1 << 20, NULL, NULL);
	if (there && !strcmp(there, text.s ? text.s : ""))
		return 0;
	if (make_folder(path, err) < 0)
		return -1;
	return kf_write_file(path, text.s ? text.s : "", text.n, 0644, 0, err);
}

int kf_labels_remove(const char *path, struct kf_error *err)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return kf_fail_errno(err, errno, "remove %s", path);
	return 0;
}
