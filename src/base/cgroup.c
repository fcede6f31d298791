/* Which pod and container a process is in; see cgroup.h. */
#include "base/cgroup.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"

#define BYTES	  (64u << 10) /* of a cgroup file: a dozen lines */
#define UID	  36
#define STATIC	  32 /* of a static pod: a hash, without '-' */
#define CONTAINER 64

static size_t hex_digits(const char *s, size_t most)
{
	size_t n = 0;

	while (n < most && isxdigit((unsigned char)s[n]))
		n++;
	return n;
}

/* "01234567-89ab-...", with '-' or '_': 1 and the UID with '-'. */
static int is_uid(const char *s, char out[KF_CGROUP_UID])
{
	static const unsigned char group[] = {8, 4, 4, 4, 12};
	const char *at = s;
	unsigned i;

	for (i = 0; i < sizeof(group); i++) {
		if (hex_digits(at, group[i]) != group[i])
			return 0;
		at += group[i];
		if (i + 1 < sizeof(group) && *at != '-' && *at != '_')
			return 0;
		at += i + 1 < sizeof(group);
	}
	if (isalnum((unsigned char)*at))
		return 0;
	for (i = 0; i < UID; i++)
		out[i] = s[i] == '_' ? '-' : s[i];
	out[UID] = '\0';
	return 1;
}

/* The UID in the name of a group: behind "pod", at its beginning or behind '-'. */
static int find_uid(const char *name, const char *end, char out[KF_CGROUP_UID])
{
	const char *s;

	for (s = name; s + 3 < end; s++) {
		if (strncmp(s, "pod", 3) != 0 || (s > name && s[-1] != '-'))
			continue;
		if (is_uid(s + 3, out))
			return 1;
		if (hex_digits(s + 3, STATIC + 1) == STATIC) {
			memcpy(out, s + 3, STATIC);
			out[STATIC] = '\0';
			return 1;
		}
	}
	return 0;
}

/* 64 hex digits, and no more of them. */
static int find_container(const char *name, const char *end, char out[KF_CGROUP_CONTAINER])
{
	const char *s;

	for (s = name; s + CONTAINER <= end; s++) {
		if (s > name && isxdigit((unsigned char)s[-1]))
			continue;
		if (hex_digits(s, CONTAINER + 1) != CONTAINER)
			continue;
		memcpy(out, s, CONTAINER);
		out[CONTAINER] = '\0';
		return 1;
	}
	return 0;
}

/* One line's path, group by group, from the outside. */
static int parse_path(const char *path, const char *end, struct kf_cgroup *ret)
{
	const char *name = path, *next;
	int found = 0;

	*ret = (struct kf_cgroup){0};
	for (; name < end; name = next + 1) {
		next = memchr(name, '/', (size_t)(end - name));
		next = next ? next : end;
		if (!found)
			found = find_uid(name, next, ret->pod_uid);
		else if (find_container(name, next, ret->container))
			break;
	}
	return found;
}

int kf_cgroup_parse(const char *text, struct kf_cgroup *ret)
{
	while (*text) {
		const char *end = text + strcspn(text, "\n");
		const char *path = memchr(text, '/', (size_t)(end - text));

		if (path && parse_path(path, end, ret))
			return 1;
		text = end + (*end == '\n');
	}
	return 0;
}

int kf_cgroup_of(const char *root, unsigned pid, struct kf_cgroup *ret)
{
	kf_auto_mem char *path = NULL, *text = NULL;
	char name[48];

	snprintf(name, sizeof(name), "/proc/%u/cgroup", pid);
	path = kf_under(root, name);
	text = path ? kf_read_file(path, BYTES, NULL, NULL) : NULL;
	if (!text && path && strcmp(path, name) != 0)
		text = kf_read_file(name, BYTES, NULL, NULL);
	return text ? kf_cgroup_parse(text, ret) : 0;
}
