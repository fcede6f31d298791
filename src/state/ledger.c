/* The ledger's file; see ledger.h. */
#include "state/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "state/replay.h"

#define FILE_LIMIT (8 << 20)
#define MIN_HISTORY                                                                                \
	256 /* records: some 25 kB, and rewriting them takes less than a millisecond               \
	     */

struct kf_ledger *kf_ledger_close(struct kf_ledger *l)
{
	if (!l)
		return NULL;
	kf_closep(&l->fd);
	kf_closep(&l->lock);
	free(l->entry);
	free(l->path);
	free(l);
	return NULL;
}

static int no_memory(struct kf_error *err)
{
	return kf_fail(err, KF_E_NOMEM, 0, "no memory for the ledger");
}

/* Open the file that stands under our name, for appending. */
static int attach(struct kf_ledger *l, struct kf_error *err)
{
	int fd = open(l->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	kf_closep(&l->fd);
	l->fd = -1;
	if (fd < 0 || fstat(fd, &st) < 0) {
		kf_fail_errno(err, errno, "open %s", l->path);
		kf_closep(&fd);
		return -1;
	}
	l->fd = fd;
	l->size = (size_t)st.st_size;
	return 0;
}

/* Write the file anew with what holds now, and nothing of the past. */
static int rewrite(struct kf_ledger *l, struct kf_error *err)
{
	struct kf_text t = {0};
	kf_auto_mem char *text = NULL;
	unsigned i;
	size_t n;

	kf_text_add(&t, KF_LEDGER_HEAD);
	for (i = 0; i < l->n; i++) {
		const struct kf_ledger_entry *e = &l->entry[i];
		const char *id = e->id;

		kf_ledger_text_hold(&t, e->resource, &id, 1, e->since_s);
	}
	n = t.n;
	text = kf_text_take(&t);
	if (!text)
		return no_memory(err);
	if (kf_write_file(l->path, text, n, 0600, 0, err) < 0)
		return -1;
	l->n_records = l->n;
	return attach(l, err);
}

/*
 * When most of the file is history.  A failure is no harm: the record at hand is in the file, and
 * the next one tries again.
 */
static void rewrite_if_long(struct kf_ledger *l)
{
	if (l->lock >= 0 && l->n_records > MIN_HISTORY && l->n_records / 4 > l->n)
		rewrite(l, NULL);
}

/* One write(2): all of it is in the file, or nothing. */
static int append(struct kf_ledger *l, const char *text, size_t n, struct kf_error *err)
{
	ssize_t r;
	int e;

	if (l->lock < 0) /* a peek: what its owner learns stays in memory */
		return 0;
	if (l->fd < 0 && attach(l, err) < 0)
		return -1;
	do
		r = write(l->fd, text, n);
	while (r < 0 && errno == EINTR);
	if (r == (ssize_t)n) {
		l->size += n;
		l->n_records++;
		return 0;
	}
	e = r < 0 ? errno : ENOSPC;
	/* what little was written would spoil the record after it */
	if (r > 0 && ftruncate(l->fd, (off_t)l->size) < 0)
		rewrite(l, NULL);
	return kf_fail_errno(err, e, "write %s", l->path);
}

int kf_ledger_hold(struct kf_ledger *l, const char *resource, const char *const *ids, unsigned n,
		   int64_t now_s, struct kf_error *err)
{
	kf_auto(kf_text_done) struct kf_text t = {0};
	unsigned i;

	if (n == 0)
		return 0;
	if (n > KF_LEDGER_MAX - l->n)
		return kf_fail(err, KF_E_INPUT, 0, "the ledger is full: %u devices are held", l->n);
	if (now_s < 0 || !kf_ledger_is_word(resource, sizeof(l->entry->resource)))
		return kf_fail(err, KF_E_INPUT, 0, "\"%s\" cannot stand in the ledger", resource);
	for (i = 0; i < n; i++)
		if (!kf_ledger_is_word(ids[i], sizeof(l->entry->id)))
			return kf_fail(err, KF_E_INPUT, 0, "\"%s\" cannot stand in the ledger",
				       ids[i]);
	kf_ledger_text_hold(&t, resource, ids, n, now_s);
	if (t.failed || kf_ledger_reserve(l, n) < 0)
		return no_memory(err);
	if (append(l, t.s, t.n, err) < 0)
		return -1;
	for (i = 0; i < n; i++)
		kf_ledger_put(l, resource, ids[i], now_s);
	rewrite_if_long(l);
	return 0;
}

int kf_ledger_release(struct kf_ledger *l, const char *id, struct kf_error *err)
{
	kf_auto(kf_text_done) struct kf_text t = {0};
	const struct kf_ledger_entry *e = kf_ledger_find(l, id);

	if (!e)
		return 0;
	kf_ledger_text_release(&t, e->id);
	if (t.failed)
		return no_memory(err);
	if (append(l, t.s, t.n, err) < 0)
		return -1;
	kf_ledger_drop(l, id);
	rewrite_if_long(l);
	return 0;
}

static void copy(char *out, size_t size, const char *s)
{
	if (!s)
		return;
	strncpy(out, s, size - 1);
	out[size - 1] = '\0';
}

int kf_ledger_note(struct kf_ledger *l, const char *id, const char *pod_namespace,
		   const char *pod_name, const char *pod_uid, const char *container)
{
	unsigned i;

	for (i = 0; i < l->n; i++) {
		struct kf_ledger_entry *e = &l->entry[i];

		if (strcmp(e->id, id) != 0)
			continue;
		e->seen = 1;
		copy(e->pod_namespace, sizeof(e->pod_namespace), pod_namespace);
		copy(e->pod_name, sizeof(e->pod_name), pod_name);
		copy(e->pod_uid, sizeof(e->pod_uid), pod_uid);
		copy(e->container, sizeof(e->container), container);
		return 0;
	}
	return -1;
}

unsigned kf_ledger_n(const struct kf_ledger *l)
{
	return l->n;
}

const struct kf_ledger_entry *kf_ledger_at(const struct kf_ledger *l, unsigned i)
{
	return &l->entry[i];
}

const struct kf_ledger_entry *kf_ledger_find(const struct kf_ledger *l, const char *id)
{
	unsigned i;

	for (i = 0; i < l->n; i++)
		if (!strcmp(l->entry[i].id, id))
			return &l->entry[i];
	return NULL;
}

/* -- opening ---------------------------------------------------------------------------------- */

static int take_lock(struct kf_ledger *l, const char *dir, struct kf_error *err)
{
	kf_auto_mem char *path = kf_asprintf("%s/lock", dir);

	if (!path)
		return no_memory(err);
	l->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->lock < 0)
		return kf_fail_errno(err, errno, "open %s", path);
	if (flock(l->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return kf_fail(err, KF_E_BUSY, 0, "another kerf agent runs on %s", dir);
	return kf_fail_errno(err, errno, "lock %s", path);
}

static int pass_on(struct kf_error *err, const struct kf_error *why)
{
	if (err)
		*err = *why;
	return -1;
}

/*
 * 0; KF_LEDGER_DAMAGED and *err; or negative.  Of the *n bytes that are there, *good are to stay:
 * 0 also when there is no file.
 */
static int load(struct kf_ledger *l, size_t *good, size_t *n, struct kf_error *err)
{
	struct kf_error why = {0};
	kf_auto_mem char *data = kf_read_file(l->path, FILE_LIMIT, n, &why);
	long r = 0;

	*good = 0;
	if (!data && why.code == KF_E_SYSTEM && why.detail == ENOENT)
		return 0;
	if (!data && why.code != KF_E_INPUT)
		return pass_on(err, &why);
	if (data)
		r = kf_ledger_replay(l, data, *n, &why);
	if (r < 0)
		return pass_on(err, &why);
	*good = (size_t)r;
	if (why.code == KF_E_NONE)
		return 0;
	kf_fail(err, KF_E_INPUT, 0,
		"%s: %s; set aside as ledger.bad, going on with the %u held before", l->path,
		why.msg, l->n);
	return KF_LEDGER_DAMAGED;
}

static struct kf_ledger *make(const char *dir, struct kf_error *err)
{
	struct kf_ledger *l = kf_ledger_blank();

	if (l)
		l->path = kf_asprintf("%s/ledger", dir);
	if (l && l->path)
		return l;
	no_memory(err);
	kf_ledger_close(l);
	return NULL;
}

int kf_ledger_open(const char *dir, struct kf_ledger **ret, struct kf_error *err)
{
	kf_auto(kf_ledger_closep) struct kf_ledger *l = make(dir, err);
	size_t good, n = 0;
	int r;

	if (!l || kf_make_dirs(dir, 0700, err) < 0 || take_lock(l, dir, err) < 0)
		return -1;
	r = load(l, &good, &n, err);
	if (r < 0 || (r == KF_LEDGER_DAMAGED && kf_set_aside(l->path, err) < 0))
		return -1;
	if (r == KF_LEDGER_DAMAGED || good == 0) {
		if (rewrite(l, r ? NULL : err) < 0)
			return r ? kf_prefix(err, "cannot write the ledger anew") : -1;
	} else if (attach(l, err) < 0) {
		return -1;
	} else if (good < n) {
		if (ftruncate(l->fd, (off_t)good) < 0)
			return kf_fail_errno(err, errno, "cut the torn end off %s", l->path);
		l->size = good;
	}
	*ret = kf_take(l);
	return r;
}

int kf_ledger_peek(const char *dir, struct kf_ledger **ret, struct kf_error *err)
{
	kf_auto(kf_ledger_closep) struct kf_ledger *l = make(dir, err);
	size_t good, n = 0;
	int r;

	if (!l)
		return -1;
	r = load(l, &good, &n, err);
	if (r < 0)
		return -1;
	*ret = kf_take(l);
	return r;
}
