/* The table of keys at work; see keys.h. */
#include "config/keys.h"

#include <string.h>

#include "base/text.h"
#include "config/settings.h"

static const struct kf_key own[] = {
#define X(p, KIND, c, t, h)                                                                        \
	{.path = (p),                                                                              \
	 .n = sizeof(p) - 1,                                                                       \
	 .kind = KF_KEY_##KIND,                                                                    \
	 .choices = (c),                                                                           \
	 .traits = (t),                                                                            \
	 .help = (h),                                                                              \
	 .setting = -1},
	KF_CONFIG_KEYS(X)
#undef X
};

/* Scalars of NVIDIA's that are noted only: those without a value on the command line are flags. */
static const struct kf_key noted[] = {
#define X(y, l, e, v)                                                                              \
	{.path = (y),                                                                              \
	 .n = sizeof(y) - 1,                                                                       \
	 .kind = (v) ? KF_KEY_TEXT : KF_KEY_FLAG,                                                  \
	 .choices = "",                                                                            \
	 .traits = KF_KEY_NOTED,                                                                   \
	 .help = "",                                                                               \
	 .setting = -1},
	KF_NOT_SERVED(X)
#undef X
};

static enum kf_key_kind kind_of_setting(enum kf_setting_index i)
{
	if (kf_setting_is_flag(i))
		return KF_KEY_FLAG;
	if (kf_setting_is_set(i))
		return KF_KEY_WORDS;
	if (kf_setting_is_duration(i))
		return KF_KEY_DURATION;
	return kf_setting_at(i)->choices[0] ? KF_KEY_WORD : KF_KEY_TEXT;
}

/* A setting may stand in several places, apart by spaces. */
static int each_place(enum kf_setting_index i, int (*see)(void *with, const struct kf_key *key),
		      void *with)
{
	const struct kf_setting *s = kf_setting_at(i);
	struct kf_key key = {.choices = s->choices,
			     .help = s->help,
			     .kind = kind_of_setting(i),
			     .setting = (int)i};
	const char *p;

	for (p = s->yaml; *p; p += key.n, p += *p == ' ') {
		int r;

		key.path = p;
		key.n = strcspn(p, " ");
		r = see(with, &key);
		if (r)
			return r;
	}
	return 0;
}

int kf_key_each(int (*see)(void *with, const struct kf_key *key), void *with)
{
	unsigned i;
	int r = see(with, &own[0]); /* the version stands first */

	for (i = 0; !r && i < KF_N_SETTINGS; i++)
		r = each_place(i, see, with);
	for (i = 0; !r && i < sizeof(noted) / sizeof(noted[0]); i++)
		if (noted[i].n)
			r = see(with, &noted[i]);
	for (i = 1; !r && i < sizeof(own) / sizeof(own[0]); i++)
		r = see(with, &own[i]);
	return r;
}

struct question {
	const char *path;
	size_t n;
	enum kf_key_answer answer;
	struct kf_key *ret;
};

static int is_the_one(const struct kf_key *key, const char *path, size_t n)
{
	size_t bare = key->kind == KF_KEY_LIST ? key->n - 2 : key->n; /* without its "[]" */

	return bare == n && !memcmp(key->path, path, n);
}

static int compare(void *with, const struct kf_key *key)
{
	struct question *q = with;

	if (is_the_one(key, q->path, q->n)) {
		q->answer = KF_KEY_IS;
		*q->ret = *key;
		return 1;
	}
	if (q->n < key->n && !memcmp(key->path, q->path, q->n) && key->path[q->n] == '.')
		q->answer = KF_KEY_ON_THE_WAY;
	return 0;
}

enum kf_key_answer kf_key_find(const char *path, struct kf_key *ret)
{
	struct question q = {.path = path, .n = strlen(path), .answer = KF_KEY_UNKNOWN, .ret = ret};

	kf_key_each(compare, &q);
	return q.answer;
}

/* The part of a key's path that stands directly below `prefix`, of n bytes; 0: none does. */
static size_t part_below(const struct kf_key *key, const char *prefix, const char **ret)
{
	size_t skip = strlen(prefix);
	const char *dot;

	if (key->n <= skip || memcmp(key->path, prefix, skip) != 0)
		return 0;
	*ret = key->path + skip;
	dot = memchr(*ret, '.', key->n - skip);
	return dot ? (size_t)(dot - *ret) : key->n - skip;
}

struct siblings {
	const char *prefix, *wrong;
	unsigned best_off;
	char *best;
};

static int weigh(void *with, const struct kf_key *key)
{
	struct siblings *s = with;
	const char *part = NULL;
	size_t n = part_below(key, s->prefix, &part);
	char name[64];
	unsigned off;

	if (n > 2 && part[n - 1] == ']')
		n -= 2;
	if (n == 0 || n >= sizeof(name))
		return 0;
	memcpy(name, part, n);
	name[n] = '\0';
	off = kf_distance(s->wrong, name);
	if (off < s->best_off) {
		s->best_off = off;
		memcpy(s->best, name, n + 1);
	}
	return 0;
}

void kf_key_suggest(const char *prefix, const char *wrong, char out[64])
{
	struct siblings s = {.prefix = prefix,
			     .wrong = wrong,
			     .best_off = (unsigned)strlen(wrong) / 3 + 2,
			     .best = out};

	out[0] = '\0';
	kf_key_each(weigh, &s);
}

/* --- for readers --------------------------------------------------------------------------- */

/* What a value looks like, for people. */
static const char *shape_of(const struct kf_key *key)
{
	static const char *const text[] = {
		[KF_KEY_TEXT] = "text",
		[KF_KEY_FLAG] = "true, false",
		[KF_KEY_COUNT] = "a number",
		[KF_KEY_WORD] = "",
		[KF_KEY_WORDS] = "a list",
		[KF_KEY_DURATION] = "`60s`, `infinite`",
		[KF_KEY_LIST] = "a list",
		[KF_KEY_CHANNELS] = "`[]` or `[0]`",
		[KF_KEY_DEVICES] = ("`all`, a count, or a list of `0`, `\"0:1\"`, `GPU-...`, "
				    "`MIG-...`"),
	};

	return text[key->kind];
}

static void add_choices(struct kf_text *out, const char *words)
{
	for (; *words; words += strcspn(words, " "), words += *words == ' ') {
		kf_text_add(out, " `");
		kf_text_addn(out, words, strcspn(words, " "));
		kf_text_add(out, "`");
	}
}

static int add_row(void *with, const struct kf_key *key)
{
	struct kf_text *out = with;
	const char *c = key->choices;

	if (key->setting >= 0)
		return 0;
	kf_text_addf(out, "| `%.*s` | %s", (int)key->n, key->path, shape_of(key));
	if (key->kind == KF_KEY_COUNT)
		kf_text_addf(out, ", %.*s to %s", (int)strcspn(c, " "), c, strchr(c, ' ') + 1);
	else
		add_choices(out, c);
	kf_text_addf(out, " | %s%s%s |\n", key->help,
		     key->traits & KF_KEY_NOTED && key->help[0] ? "; " : "",
		     key->traits & KF_KEY_NOTED ? "not served by this version" : "");
	return 0;
}

void kf_keys_markdown(struct kf_text *out)
{
	kf_text_add(out, "| key | value | meaning |\n|---|---|---|\n");
	kf_key_each(add_row, out);
}
