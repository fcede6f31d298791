/* The list of labels, and the values that may stand in it; see labels.h and value.h. */
#include "labels/labels.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "labels/value.h"

void kf_labels_done(struct kf_labels *l)
{
	free(l->label);
	*l = (struct kf_labels){0};
}

/* The place of `key`, or where it belongs. */
static unsigned place(const struct kf_labels *l, const char *key)
{
	unsigned low = 0, high = l->n;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (strcmp(l->label[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void kf_labels_set(struct kf_labels *l, const char *key, const char *value)
{
	struct kf_label label = {0};
	unsigned at;

	snprintf(label.key, sizeof(label.key), "%s", key);
	snprintf(label.value, sizeof(label.value), "%s", value);
	at = place(l, label.key);
	if (at < l->n && !strcmp(l->label[at].key, label.key)) {
		l->label[at] = label;
		return;
	}
	if (kf_grow(&l->label, &l->capacity, l->n + 1, sizeof(label)) < 0) {
		l->failed = 1;
		return;
	}
	memmove(&l->label[at + 1], &l->label[at], (l->n - at) * sizeof(label));
	l->label[at] = label;
	l->n++;
}

const char *kf_labels_get(const struct kf_labels *l, const char *key)
{
	unsigned at = place(l, key);

	return at < l->n && !strcmp(l->label[at].key, key) ? l->label[at].value : NULL;
}

/* No matter what the locale says. */
static int is_alphanumeric(char c)
{
	return (unsigned char)c < 128 && isalnum((unsigned char)c);
}

void kf_label_clean(const char *text, size_t room, char out[64])
{
	size_t n = 0;
	int gap = 0;

	if (room > 63)
		room = 63;
	for (; *text && n < room; text++) {
		if (*text == ' ') {
			gap = n > 0;
			continue;
		}
		if (!is_alphanumeric(*text) && !strchr("-_.", *text))
			continue;
		if (gap)
			out[n++] = '-';
		gap = 0;
		if (n < room && (n > 0 || is_alphanumeric(*text)))
			out[n++] = *text;
	}
	while (n > 0 && !is_alphanumeric(out[n - 1]))
		n--;
	out[n] = '\0';
}
