/* How long time slices are; see timeslice.h. */
#include "agent/timeslice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/own.h"
#include "base/text.h"

#define FILE_NAME  "time-slices"
#define FILE_BYTES (64u << 10)

void kf_time_slices_done(struct kf_time_slices *t)
{
	free(t->gpu);
	*t = (struct kf_time_slices){0};
}

const struct kf_time_sliced *kf_time_slices_find(const struct kf_time_slices *t, const char *uuid)
{
	unsigned i;

	for (i = 0; i < t->n; i++)
		if (!strcmp(t->gpu[i].uuid, uuid))
			return &t->gpu[i];
	return NULL;
}

static struct kf_time_sliced *need(struct kf_time_slices *t, const char *uuid)
{
	struct kf_time_sliced *gpu = (struct kf_time_sliced *)kf_time_slices_find(t, uuid);

	if (gpu)
		return gpu;
	if (kf_grow(&t->gpu, &t->capacity, t->n + 1, sizeof(t->gpu[0])) < 0)
		return NULL;
	gpu = &t->gpu[t->n++];
	*gpu = (struct kf_time_sliced){0};
	snprintf(gpu->uuid, sizeof(gpu->uuid), "%s", uuid);
	return gpu;
}

int kf_time_slices_want(struct kf_time_slices *t, const char *uuid, enum kf_time_slice length)
{
	struct kf_time_sliced *gpu;

	if (length == KF_SLICE_DEFAULT && !kf_time_slices_find(t, uuid))
		return 0;
	gpu = need(t, uuid);
	if (!gpu)
		return -1;
	if (gpu->want != length) {
		gpu->want = length;
		gpu->is_due = length != gpu->asked || gpu->err.code != KF_E_NONE;
	}
	return 0;
}

unsigned kf_time_slices_due(const struct kf_time_slices *t, unsigned *set)
{
	unsigned i, n = 0;

	for (*set = i = 0; i < t->n; i++) {
		n += t->gpu[i].is_due != 0;
		*set += t->gpu[i].is_due && t->gpu[i].want != KF_SLICE_DEFAULT;
	}
	return n;
}

/* What is as the driver has it by itself need not be remembered. */
static void forget(struct kf_time_slices *t, struct kf_time_sliced *gpu)
{
	*gpu = t->gpu[--t->n];
}

void kf_time_slices_take(struct kf_time_slices *t, const char *uuid, enum kf_time_slice length,
			 const struct kf_error *err)
{
	struct kf_time_sliced *gpu = (struct kf_time_sliced *)kf_time_slices_find(t, uuid);

	if (!gpu)
		return;
	gpu->err = err ? *err : (struct kf_error){0};
	/* refused, it may be what it was: a default that could not be put back is still to be */
	if (!err || length != KF_SLICE_DEFAULT)
		gpu->asked = length;
	gpu->is_due = gpu->want != length;
	if (!err && !gpu->is_due && length == KF_SLICE_DEFAULT)
		forget(t, gpu);
}

void kf_time_slices_ask_again(struct kf_time_slices *t)
{
	unsigned i;

	for (i = 0; i < t->n; i++)
		t->gpu[i].is_due = 1;
}

/* --- the file ------------------------------------------------------------------------------ */

static void path_of(const char *dir, char *out, size_t size)
{
	snprintf(out, size, "%s/" FILE_NAME, dir);
}

/* "UUID LENGTH": 0; -1: it is no such line, or there is no memory. */
static int read_line(struct kf_time_slices *t, char *line)
{
	char *word = strchr(line, ' ');
	struct kf_time_sliced *gpu;
	int i;

	if (!word || (size_t)(word - line) >= KF_UUID)
		return -1;
	*word++ = '\0';
	for (i = KF_SLICE_SHORT; i <= KF_SLICE_LONG; i++)
		if (!strcmp(word, kf_time_slice_text((enum kf_time_slice)i)))
			break;
	gpu = i <= KF_SLICE_LONG ? need(t, line) : NULL;
	if (!gpu)
		return -1;
	gpu->want = gpu->asked = (enum kf_time_slice)i;
	return 0;
}

int kf_time_slices_read(struct kf_time_slices *t, const char *dir, struct kf_error *err)
{
	kf_auto_mem char *text = NULL;
	char path[512], *line, *rest = NULL;
	size_t n;

	path_of(dir, path, sizeof(path));
	if (access(path, F_OK) < 0)
		return 0;
	text = kf_read_file(path, FILE_BYTES, &n, err);
	if (!text)
		return -1;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (read_line(t, line) < 0) {
			kf_time_slices_done(t);
			return kf_fail(err, KF_E_INPUT, 0, "%s: no list of GPUs and lengths", path);
		}
	return 0;
}

int kf_time_slices_write(const struct kf_time_slices *t, const char *dir, struct kf_error *err)
{
	kf_auto(kf_text_done) struct kf_text text = {0};
	char path[512];
	unsigned i;

	path_of(dir, path, sizeof(path));
	for (i = 0; i < t->n; i++) {
		const struct kf_time_sliced *gpu = &t->gpu[i];
		enum kf_time_slice length = gpu->want != KF_SLICE_DEFAULT ? gpu->want : gpu->asked;

		if (length != KF_SLICE_DEFAULT)
			kf_text_addf(&text, "%s %s\n", gpu->uuid, kf_time_slice_text(length));
	}
	if (text.failed)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for %s", path);
	if (text.n)
		return kf_write_file(path, text.s, text.n, 0600, 0, err);
	if (unlink(path) < 0 && access(path, F_OK) == 0)
		return kf_fail(err, KF_E_SYSTEM, 0, "%s cannot be removed", path);
	return 0;
}
