/* JSON files of the state directory; see file.h. */
#include "state/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

#define FILE_LIMIT (4 << 20)

static char *path_of(const char *dir, const char *name, struct kf_error *err)
{
	char *path = kf_asprintf("%s/%s", dir, name);

	if (!path)
		kf_fail(err, KF_E_NOMEM, 0, "no memory for %s/%s", dir, name);
	return path;
}

/* A rename or an unlink is on disk once its directory is. */
static int sync_dir(const char *dir, struct kf_error *err)
{
	kf_auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* EINVAL: a file system that has no use for it */
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return kf_fail_errno(err, errno, "put directory %s on disk", dir);
	return 0;
}

/* With a newline at its end.  Not json_dumps: it drops bytes when memory runs out. */
static char *to_text(const json_t *root)
{
	size_t n = root ? json_dumpb(root, NULL, 0, JSON_INDENT(1)) : 0;
	kf_auto_mem char *text = n ? kf_calloc(1, n + 2) : NULL;

	if (!text || json_dumpb(root, text, n, JSON_INDENT(1)) != n)
		return NULL;
	text[n] = '\n';
	return kf_take(text);
}

int kf_state_store(const char *dir, const char *name, const json_t *root, struct kf_error *err)
{
	kf_auto_mem char *path = path_of(dir, name, err);
	kf_auto_mem char *text = to_text(root);

	if (!path)
		return -1;
	if (!text)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %s, or text in it is not UTF-8",
			       path);
	if (kf_make_dirs(dir, 0700, err) < 0 ||
	    kf_write_file(path, text, strlen(text), 0600, 1, err) < 0)
		return -1;
	return sync_dir(dir, err);
}

int kf_state_remove(const char *dir, const char *name, struct kf_error *err)
{
	kf_auto_mem char *path = path_of(dir, name, err);

	if (!path)
		return -1;
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return kf_fail_errno(err, errno, "remove %s", path);
}

int kf_state_fetch(const char *dir, const char *name, char **ret, size_t *n, struct kf_error *err)
{
	kf_auto_mem char *path = path_of(dir, name, err);
	struct kf_error why = {0};
	char *text;

	if (!path)
		return -1;
	text = kf_read_file(path, FILE_LIMIT, n, &why);
	if (text) {
		*ret = text;
		return 0;
	}
	if (why.code == KF_E_SYSTEM && why.detail == ENOENT)
		return KF_STATE_NONE;
	if (err)
		*err = why;
	return why.code == KF_E_INPUT ? kf_state_refuse(dir, name, err) : -1;
}

int kf_state_refuse(const char *dir, const char *name, struct kf_error *err)
{
	kf_auto_mem char *path = path_of(dir, name, err);
	struct kf_error why = err ? *err : (struct kf_error){0};

	if (!path || kf_set_aside(path, err) < 0)
		return -1;
	kf_fail(err, KF_E_INPUT, 0, "%s: %s; set aside as %s.bad", path, why.msg, name);
	return KF_STATE_BAD;
}

json_t *kf_state_parse(const char *text, size_t n, const char *what, struct kf_error *err)
{
	json_error_t why;
	json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	const char *is = json_string_value(json_object_get(root, "kerf"));

	if (!root) {
		/* no memory must not look like a bad file, which is set aside; jansson often tells
		 * it by telling nothing */
		kf_fail(err,
			why.text[0] && json_error_code(&why) != json_error_out_of_memory
				? KF_E_INPUT
				: KF_E_NOMEM,
			0, "line %d: %s", why.line, why.text);
		return NULL;
	}
	if (is && !strcmp(is, what))
		return root;
	kf_fail(err, KF_E_INPUT, 0, "it does not begin with \"kerf\": \"%s\"", what);
	json_decref(root);
	return NULL;
}

int kf_state_string(const json_t *object, const char *key, char *out, size_t size,
		    struct kf_error *err)
{
	const char *s = json_string_value(json_object_get(object, key));
	size_t i;

	if (!s)
		return kf_fail(err, KF_E_INPUT, 0, "%s is missing or no text", key);
	if (strlen(s) >= size)
		return kf_fail(err, KF_E_INPUT, 0, "%s is longer than %zu bytes", key, size - 1);
	for (i = 0; s[i]; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return kf_fail(err, KF_E_INPUT, 0, "%s has a control character in it", key);
	strcpy(out, s);
	return 0;
}

int kf_state_uint(const json_t *object, const char *key, json_int_t max, json_int_t *ret,
		  struct kf_error *err)
{
	const json_t *j = json_object_get(object, key);
	json_int_t v = json_integer_value(j);

	if (!json_is_integer(j) || v < 0 || v > max)
		return kf_fail(err, KF_E_INPUT, 0, "%s is missing or no number up to %lld", key,
			       (long long)max);
	*ret = v;
	return 0;
}
