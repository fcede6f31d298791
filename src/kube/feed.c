/*
 * The bytes of a watch into events; see watch.h.
 *
 * The server writes one JSON object after the other, with newlines between them today.  We do not
 * depend on those but count braces outside of strings: that finds the end of an object without
 * understanding it, and jansson sees only whole ones.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "kube/watch.h"

#define KEEP_BYTES (64u << 10) /* a larger buffer is given back after use */

static const char *const names[] = {
	[KF_WATCH_ADDED] = "ADDED",	[KF_WATCH_MODIFIED] = "MODIFIED",
	[KF_WATCH_DELETED] = "DELETED", [KF_WATCH_BOOKMARK] = "BOOKMARK",
	[KF_WATCH_ERROR] = "ERROR",
};

static int type_of(const char *name)
{
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i] && !strcmp(names[i], name))
			return (int)i;
	return -1;
}

static int event(const char *bytes, size_t n, kf_watch_event_cb cb, void *ud, struct kf_error *err)
{
	json_error_t why;
	json_auto_t *root = json_loadb(bytes, n, 0, &why);
	const char *name = json_string_value(json_object_get(root, "type"));
	json_t *object = json_object_get(root, "object");
	int type;

	if (!root)
		return kf_fail(err, KF_E_PROTOCOL, 0, "an event is not JSON: %.100s", why.text);
	if (!name || !json_is_object(object))
		return kf_fail(err, KF_E_PROTOCOL, 0, "an event has no type or no object");
	type = type_of(name);
	if (type < 0)
		return kf_fail(err, KF_E_PROTOCOL, 0, "an event is of the unknown type '%.32s'",
			       name);
	return cb(ud, (enum kf_watch_type)type, object);
}

/* One byte on.  0, 1: it ended an object, -1: no object can have it here. */
static int scan(struct kf_watch_parser *p, char c)
{
	if (p->in_string) {
		if (p->escaped)
			p->escaped = 0;
		else if (c == '\\')
			p->escaped = 1;
		else if (c == '"')
			p->in_string = 0;
		return 0;
	}
	if (p->depth == 0)
		return c == '{' ? (p->depth = 1, 0) : strchr(" \t\r\n", c) && c ? 0 : -1;
	if (c == '"')
		p->in_string = 1;
	else if (c == '{' || c == '[')
		p->depth++;
	else if ((c == '}' || c == ']') && --p->depth == 0)
		return 1;
	return 0;
}

/* Drop what has been told. */
static void consume(struct kf_watch_parser *p, size_t n)
{
	p->text.n -= n;
	p->scanned -= n;
	if (p->text.n)
		memmove(p->text.s, p->text.s + n, p->text.n);
	else if (p->text.capacity > KEEP_BYTES)
		kf_text_done(&p->text);
}

static int scan_all(struct kf_watch_parser *p, kf_watch_event_cb cb, void *ud, struct kf_error *err)
{
	size_t start = 0;
	int r = 0;

	while (r == 0 && p->scanned < p->text.n) {
		int step = scan(p, p->text.s[p->scanned++]);

		if (step < 0)
			r = kf_fail(err, KF_E_PROTOCOL, 0, "what came is not a stream of events");
		if (step > 0) {
			r = event(p->text.s + start, p->scanned - start, cb, ud, err);
			start = p->scanned;
		}
	}
	if (p->depth == 0)
		start = p->scanned; /* white space between events */
	consume(p, start);
	if (r == 0 && p->text.n > KF_WATCH_OBJECT_LIMIT)
		r = kf_fail(err, KF_E_PROTOCOL, 0, "an event is over %u bytes",
			    KF_WATCH_OBJECT_LIMIT);
	return r;
}

int kf_watch_feed(struct kf_watch_parser *p, const char *bytes, size_t n, kf_watch_event_cb cb,
		  void *ud, struct kf_error *err)
{
	int r;

	if (p->broken)
		return kf_fail(err, KF_E_STATE, 0, "the stream of events broke off before");
	kf_text_addn(&p->text, bytes, n);
	if (p->text.failed) {
		p->broken = 1;
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for an event");
	}
	r = scan_all(p, cb, ud, err);
	if (r < 0)
		p->broken = 1;
	return r;
}

int kf_watch_midway(const struct kf_watch_parser *p)
{
	return p->depth > 0;
}

void kf_watch_parser_done(struct kf_watch_parser *p)
{
	kf_text_done(&p->text);
	memset(p, 0, sizeof(*p));
}
