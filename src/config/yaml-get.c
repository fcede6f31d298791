/* Questions to a YAML tree; see yaml.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "config/yaml.h"

int kf_yaml_fail(const struct kf_yaml *y, const struct kf_yaml_node *node, struct kf_error *err,
		 const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (node && node->key)
		return kf_fail(err, KF_E_INPUT, 0, "%s:%u: %s: %s", y->file, node->line, node->key,
			       what);
	return kf_fail(err, KF_E_INPUT, 0, "%s:%u: %s", y->file, node ? node->line : 1, what);
}

const struct kf_yaml_node *kf_yaml_get(const struct kf_yaml_node *map, const char *key)
{
	if (!map || map->kind != KF_YAML_MAP)
		return NULL;
	for (kf_yaml_each(child, map))
		if (!strcmp(child->key, key))
			return child;
	return NULL;
}

static const char *kind_text(enum kf_yaml_kind kind)
{
	switch (kind) {
	case KF_YAML_NULL:
		return "nothing";
	case KF_YAML_SCALAR:
		return "a plain value";
	case KF_YAML_LIST:
		return "a list";
	case KF_YAML_MAP:
		return "a map";
	}
	return "?";
}

int kf_yaml_is(const struct kf_yaml *y, const struct kf_yaml_node *node, enum kf_yaml_kind kind,
	       struct kf_error *err)
{
	if (node->kind == kind)
		return 0;
	return kf_yaml_fail(y, node, err, "wants %s, not %s", kind_text(kind),
			    kind_text(node->kind));
}

int kf_yaml_string(const struct kf_yaml *y, const struct kf_yaml_node *node, const char **ret,
		   struct kf_error *err)
{
	if (kf_yaml_is(y, node, KF_YAML_SCALAR, err) < 0)
		return -1;
	*ret = node->text;
	return 0;
}

int kf_yaml_copy(const struct kf_yaml *y, const struct kf_yaml_node *node, char *out, size_t size,
		 struct kf_error *err)
{
	const char *s;
	size_t n;

	if (kf_yaml_string(y, node, &s, err) < 0)
		return -1;
	n = strlen(s);
	if (n >= size)
		return kf_yaml_fail(y, node, err, "is longer than %zu characters", size - 1);
	memcpy(out, s, n + 1);
	return 0;
}

static int one_of(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(s, *words))
			return 1;
	return 0;
}

int kf_yaml_bool(const struct kf_yaml *y, const struct kf_yaml_node *node, int *ret,
		 struct kf_error *err)
{
	static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
					  "on",	  "On",	  "ON",	  "y",	 "Y",	NULL};
	static const char *const no[] = {"false", "False", "FALSE", "no", "No", "NO",
					 "off",	  "Off",   "OFF",   "n",  "N",	NULL};

	if (kf_yaml_is(y, node, KF_YAML_SCALAR, err) < 0)
		return -1;
	if (node->quoted)
		return kf_yaml_fail(y, node, err,
				    "wants true or false, not the string \"%.60s\"; "
				    "leave the quotes out",
				    node->text);
	if (!one_of(node->text, yes) && !one_of(node->text, no))
		return kf_yaml_fail(y, node, err, "wants true or false, not '%.60s'", node->text);
	*ret = one_of(node->text, yes);
	return 0;
}

int kf_yaml_uint(const struct kf_yaml *y, const struct kf_yaml_node *node, uint64_t max,
		 uint64_t *ret, struct kf_error *err)
{
	const char *s;
	uint64_t v;

	if (kf_yaml_string(y, node, &s, err) < 0)
		return -1;
	if (node->quoted)
		return kf_yaml_fail(y, node, err,
				    "wants a number, not the string \"%.60s\"; "
				    "leave the quotes out",
				    s);
	if (s[0] == '-')
		return kf_yaml_fail(y, node, err, "%.60s is negative", s);
	if (s[0] == '0' && s[1])
		return kf_yaml_fail(y, node, err,
				    "'%.60s' reads as octal to some; write it "
				    "without the leading 0",
				    s);
	if (kf_parse_uint(s, UINT64_MAX, &v) < 0 && strspn(s, "0123456789") != strlen(s))
		return kf_yaml_fail(y, node, err, "wants a whole number, not '%.60s'", s);
	if (kf_parse_uint(s, max, &v) < 0)
		return kf_yaml_fail(y, node, err, "%.60s is more than %llu", s,
				    (unsigned long long)max);
	*ret = v;
	return 0;
}

int kf_yaml_known(const struct kf_yaml *y, const struct kf_yaml_node *map, const char *const *known,
		  struct kf_error *err)
{
	for (kf_yaml_each(child, map)) {
		const char *close;

		if (one_of(child->key, known))
			continue;
		close = kf_closest(child->key, known);
		return kf_yaml_fail(y, child, err,
				    close ? "unknown key; did you mean %s?" : "unknown key", close);
	}
	return 0;
}
