/* A YAML tree as text; see yaml.h. */
#include <string.h>

#include "base/text.h"
#include "config/yaml.h"

/* Can a string stand without quotes and still be read as that string? */
static int is_plain(const char *s)
{
	static const char *const taken[] = {"true", "false", "null", "yes", "no",
					    "on",   "off",   "y",    "n",   "~"};
	size_t i;

	for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (!strcasecmp(s, taken[i]))
			return 0;
	/* a letter or slash first: no number, no indicator; and nothing that YAML gives a meaning
	 */
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/") > 0 &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "0123456789/._-+@")] == '\0';
}

static void add_quoted(struct kf_text *out, const char *s)
{
	kf_text_add(out, "\"");
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			kf_text_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			kf_text_addf(out, "\\x%02x", c);
		else
			kf_text_addn(out, s, 1);
	}
	kf_text_add(out, "\"");
}

static void add_string(struct kf_text *out, const char *s)
{
	if (is_plain(s))
		kf_text_add(out, s);
	else
		add_quoted(out, s);
}

static void indent(struct kf_text *out, unsigned depth)
{
	while (depth-- > 0)
		kf_text_add(out, "  ");
}

/* A value behind "key:" or "-"; its children stand `depth` levels in. */
static void write_value(const struct kf_yaml_node *node, unsigned depth, int in_list,
			struct kf_text *out);

static void write_children(const struct kf_yaml_node *node, unsigned depth, int first_stands,
			   struct kf_text *out)
{
	for (kf_yaml_each(child, node)) {
		if (!first_stands)
			indent(out, depth);
		first_stands = 0;
		if (node->kind == KF_YAML_LIST) {
			kf_text_add(out, "-");
		} else {
			add_string(out, child->key);
			kf_text_add(out, ":");
		}
		write_value(child, depth + 1, node->kind == KF_YAML_LIST, out);
	}
}

static void write_value(const struct kf_yaml_node *node, unsigned depth, int in_list,
			struct kf_text *out)
{
	if (node->kind == KF_YAML_NULL) {
		kf_text_add(out, " null\n");
	} else if (node->kind == KF_YAML_SCALAR) {
		kf_text_add(out, " ");
		if (node->quoted)
			add_string(out, node->text);
		else
			kf_text_add(out, node->text);
		kf_text_add(out, "\n");
	} else if (node->n == 0) {
		kf_text_add(out, node->kind == KF_YAML_LIST ? " []\n" : " {}\n");
	} else {
		/* the first key of a map in a list stands behind its dash */
		kf_text_add(out, in_list ? " " : "\n");
		write_children(node, depth, in_list, out);
	}
}

void kf_yaml_write(const struct kf_yaml_node *root, struct kf_text *out)
{
	if (root->n > 0) {
		write_children(root, 0, 0, out);
		return;
	}
	write_value(root, 0, 1, out);
}
