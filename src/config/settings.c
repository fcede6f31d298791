/* The table of settings at work; see settings.h. */
#include "config/settings.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "config/duration.h"
#include "config/plugin.h"
#include "model/share.h"

enum kind { TEXT, DURATION, FLAG, ONE, SET };

static const struct row {
	struct kf_setting public;
	enum kind kind;
	size_t offset; /* in struct kf_settings */
} rows[] = {
#define X(f, KIND, c, y, l, e, d, h)                                                               \
	{.public = {.field = #f,                                                                   \
		    .choices = (c),                                                                \
		    .yaml = (y),                                                                   \
		    .cli = (l),                                                                    \
		    .env = (e),                                                                    \
		    .standard = (d),                                                               \
		    .help = (h)},                                                                  \
	 .kind = KIND,                                                                             \
	 .offset = offsetof(struct kf_settings, f)},
	KF_SETTINGS(X)
#undef X
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

const struct kf_setting *kf_setting_at(enum kf_setting_index i)
{
	return &rows[i].public;
}

int kf_setting_is_flag(enum kf_setting_index i)
{
	return rows[i].kind == FLAG;
}

int kf_setting_is_duration(enum kf_setting_index i)
{
	return rows[i].kind == DURATION;
}

int kf_setting_is_set(enum kf_setting_index i)
{
	return rows[i].kind == SET;
}

/* The n-th word of a list with single spaces: its length, *ret its start; 0 past the end. */
static size_t word(const char *words, unsigned n, const char **ret)
{
	for (; n > 0 && *words; n--) {
		words += strcspn(words, " ");
		words += *words == ' ';
	}
	*ret = words;
	return strcspn(words, " ");
}

/* The place of s, of n bytes, among the words, or -1. */
static int find_word(const char *words, const char *s, size_t n)
{
	const char *w;
	unsigned i;
	size_t len;

	for (i = 0; (len = word(words, i, &w)) > 0; i++)
		if (len == n && !memcmp(w, s, n))
			return (int)i;
	return -1;
}

static int refuse_choice(const struct row *row, const char *s, size_t n, struct kf_error *err)
{
	char list[200], *p;

	snprintf(list, sizeof(list), "%s", row->public.choices);
	for (p = list; *p; p++)
		if (*p == ' ')
			*p = '|';
	return kf_fail(err, KF_E_INPUT, 0, "'%.*s' is none of %s", n > 60 ? 60 : (int)n, s, list);
}

static int set_text(char **field, const char *value, struct kf_error *err)
{
	char *copy = kf_strdup(value);

	if (!copy)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a setting");
	free(*field);
	*field = copy;
	return 0;
}

/* What Go's flag package takes for a boolean. */
static int set_flag(int *field, const char *value, struct kf_error *err)
{
	static const char yes[] = "1 t T true True TRUE", no[] = "0 f F false False FALSE";
	size_t n = strlen(value);

	if (find_word(yes, value, n) >= 0)
		*field = 1;
	else if (find_word(no, value, n) >= 0)
		*field = 0;
	else
		return kf_fail(err, KF_E_INPUT, 0, "wants true or false, not '%.60s'", value);
	return 0;
}

static int set_one(const struct row *row, int *field, const char *value, struct kf_error *err)
{
	int i = find_word(row->public.choices, value, strlen(value));

	if (i < 0)
		return refuse_choice(row, value, strlen(value), err);
	*field = i;
	return 0;
}

/* Names apart by commas. */
static int set_set(const struct row *row, unsigned *field, const char *value, struct kf_error *err)
{
	unsigned bits = 0;

	while (*value) {
		size_t n = strcspn(value, ",");
		int i = find_word(row->public.choices, value, n);

		if (i < 0)
			return refuse_choice(row, value, n, err);
		bits |= 1u << i;
		value += n + (value[n] == ',');
	}
	*field = bits;
	return 0;
}

static int set_duration(char **field, const char *value, struct kf_error *err)
{
	uint64_t ms;

	if (kf_duration_parse(value, &ms) < 0)
		return kf_fail(err, KF_E_INPUT, 0, "'%.60s' is no duration: 60s, 1m30s, infinite",
			       value);
	return set_text(field, value, err);
}

static int set_field(struct kf_settings *s, const struct row *row, const char *value,
		     struct kf_error *err)
{
	void *field = (char *)s + row->offset;

	switch (row->kind) {
	case TEXT:
		return set_text(field, value, err);
	case DURATION:
		return set_duration(field, value, err);
	case FLAG:
		return set_flag(field, value, err);
	case ONE:
		return set_one(row, field, value, err);
	case SET:
		return set_set(row, field, value, err);
	}
	return -1;
}

int kf_settings_set(struct kf_settings *s, enum kf_setting_index i, const char *value,
		    enum kf_from from, struct kf_error *err)
{
	const struct row *row = &rows[i];
	unsigned before = row->kind == SET ? *(unsigned *)((char *)s + row->offset) : 0;

	if (s->from[i] > from)
		return 0;
	if (set_field(s, row, value, err) < 0)
		return -1;
	/* a list may be given as one flag many times */
	if (row->kind == SET && from == KF_FROM_CLI && s->from[i] == from)
		*(unsigned *)((char *)s + row->offset) |= before;
	s->from[i] = from;
	return 0;
}

int kf_settings_new(struct kf_settings **ret, struct kf_error *err)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = kf_calloc(1, sizeof(*s));
	unsigned i;

	if (!s || !(s->notes = kf_strdup("")))
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the settings");
	for (i = 0; i < N_ROWS; i++)
		if (kf_settings_set(s, i, rows[i].public.standard, KF_FROM_DEFAULT, err) < 0)
			return -1;
	*ret = kf_take(s);
	return 0;
}

struct kf_settings *kf_settings_free(struct kf_settings *s)
{
	unsigned i;

	if (!s)
		return NULL;
	for (i = 0; i < N_ROWS; i++)
		if (rows[i].kind == TEXT || rows[i].kind == DURATION)
			free(*(char **)((char *)s + rows[i].offset));
	kf_sharing_free(s->sharing);
	kf_sharing_free(s->mps);
	free(s->notes);
	free(s);
	return NULL;
}

int kf_settings_note(struct kf_settings *s, const char *fmt, ...)
{
	kf_auto(kf_text_done) struct kf_text t = {0};
	char line[512], *notes;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	kf_text_addf(&t, "%s%s\n", s->notes, line);
	notes = kf_text_take(&t);
	if (!notes)
		return -1;
	free(s->notes);
	s->notes = notes;
	return 0;
}

/* Flags and variables of NVIDIA's plugin that are noted only. */
static const struct {
	const char *cli, *env;
	int has_value;
} not_served[] = {
#define X(y, l, e, v) {(l), (e), (v)},
	KF_NOT_SERVED(X)
#undef X
};

#define N_NOT_SERVED (sizeof(not_served) / sizeof(not_served[0]))

static int find_not_served(const char *name, size_t n)
{
	unsigned i;

	for (i = 0; i < N_NOT_SERVED; i++)
		if (n > 0 && find_word(not_served[i].cli, name, n) >= 0)
			return (int)i;
	return -1;
}

/* A value that asks for nothing. */
static int is_off(const char *value)
{
	return !*value || !strcmp(value, "false") || !strcmp(value, "0");
}

/* The row that has this flag, or -1. */
static int find_flag(const char *name, size_t n)
{
	unsigned i;

	for (i = 0; i < N_ROWS; i++)
		if (n > 0 && find_word(rows[i].public.cli, name, n) >= 0)
			return (int)i;
	return -1;
}

/* The first flag of each row, for a suggestion. */
static int refuse_flag(const char *command, const char *flag, size_t n, struct kf_error *err)
{
	char names[N_ROWS][40], given[64];
	const char *list[N_ROWS + 1] = {NULL}, *close, *w;
	unsigned i;

	for (i = 0; i < N_ROWS; i++) {
		size_t len = word(rows[i].public.cli, 0, &w);

		if (len >= sizeof(names[i]))
			len = sizeof(names[i]) - 1;
		memcpy(names[i], w, len);
		names[i][len] = '\0';
		list[i] = names[i];
	}
	if (n >= sizeof(given))
		n = sizeof(given) - 1;
	memcpy(given, flag, n);
	given[n] = '\0';
	close = kf_closest(given, list);
	return kf_fail(err, KF_E_INPUT, 0, "%s knows no flag --%s%s%s%s", command, given,
		       close ? "; did you mean --" : "", close ? close : "", close ? "?" : "");
}

static int note_flag(struct kf_settings *s, const char *name, size_t n, struct kf_error *err)
{
	if (kf_settings_note(s, "--%.*s: not served by this version, passed over", (int)n, name) <
	    0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the settings");
	return 0;
}

/* The value of the flag at argv[*i], there or in the next argument; NULL if it lacks one. */
static const char *flag_value(int argc, char **argv, int *i, int has_value)
{
	const char *equals = strchr(argv[*i], '=');

	if (equals)
		return equals + 1;
	if (!has_value)
		return "true";
	return *i + 1 < argc ? argv[++*i] : NULL;
}

/* One flag at argv[*i]. */
static int read_flag(struct kf_settings *s, int argc, char **argv, int *i, struct kf_error *err)
{
	const char *name = argv[*i] + 2, *value;
	size_t n = strcspn(name, "=");
	int row, other;

	if (strncmp(argv[*i], "--", 2) != 0)
		return kf_fail(err, KF_E_INPUT, 0, "%s takes no argument '%.60s', only flags",
			       argv[0], argv[*i]);
	row = find_flag(name, n);
	other = row < 0 ? find_not_served(name, n) : -1;
	if (row < 0 && other < 0)
		return refuse_flag(argv[0], name, n, err);
	value = flag_value(argc, argv, i,
			   row < 0 ? not_served[other].has_value : rows[row].kind != FLAG);
	if (!value)
		return kf_fail(err, KF_E_INPUT, 0, "--%s wants a value", name);
	if (row < 0)
		return is_off(value) ? 0 : note_flag(s, name, n, err);
	if (kf_settings_set(s, (unsigned)row, value, KF_FROM_CLI, err) < 0)
		return kf_prefix(err, "--%.*s", (int)n, name);
	return 0;
}

/* Note those variables of NVIDIA's that ask for something. */
static int read_other_env(struct kf_settings *s, unsigned i, struct kf_error *err)
{
	const char *w;
	unsigned k;
	size_t n;

	for (k = 0; (n = word(not_served[i].env, k, &w)) > 0; k++) {
		kf_auto_mem char *name = kf_strndup(w, n);
		const char *value = name ? getenv(name) : NULL;

		if (!name || (value && !is_off(value) &&
			      kf_settings_note(s,
					       "environment: %s: not served by this version, "
					       "passed over",
					       name) < 0))
			return kf_fail(err, KF_E_NOMEM, 0, "no memory for the settings");
	}
	return 0;
}

/* An empty variable is as none: manifests set those. */
static int read_env(struct kf_settings *s, unsigned i, struct kf_error *err)
{
	const char *w;
	unsigned k;
	size_t n;

	for (k = 0; (n = word(rows[i].public.env, k, &w)) > 0; k++) {
		kf_auto_mem char *name = kf_strndup(w, n);
		const char *value = name ? getenv(name) : NULL;

		if (!name)
			return kf_fail(err, KF_E_NOMEM, 0, "no memory for the settings");
		if (!value || !*value)
			continue;
		if (kf_settings_set(s, i, value, KF_FROM_ENV, err) < 0)
			return kf_prefix(err, "environment: %s", name);
		return 0;
	}
	return 0;
}

/* NVIDIA names the socket, we the directory that it lies in, with ours beside it. */
static int follow_socket(struct kf_settings *s, struct kf_error *err)
{
	static const char name[] = "/kubelet.sock";
	size_t n = strlen(s->kubelet_socket);
	kf_auto_mem char *directory = NULL;

	if (n == 0 || s->from[KF_SET_kubelet_dir] >= s->from[KF_SET_kubelet_socket])
		return 0;
	if (n < sizeof(name) || strcmp(s->kubelet_socket + n - (sizeof(name) - 1), name) != 0)
		return kf_fail(err, KF_E_INPUT, 0,
			       "--kubelet-socket %s: a path that ends in /kubelet.sock is expected",
			       s->kubelet_socket);
	directory = kf_strndup(s->kubelet_socket, n - (sizeof(name) - 1));
	if (!directory)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the settings");
	return kf_settings_set(s, KF_SET_kubelet_dir, directory, s->from[KF_SET_kubelet_socket],
			       err);
}

/* NAMESPACE/NAME, and no other source of named configurations beside it. */
static int check_config_map(const struct kf_settings *s, struct kf_error *err)
{
	const char *map = s->config_map, *slash = strchr(map, '/');

	if (!map[0])
		return 0;
	if (!slash || slash == map || !slash[1] || strchr(slash + 1, '/'))
		return kf_fail(err, KF_E_INPUT, 0,
			       "--config-map %.200s: NAMESPACE/NAME is expected", map);
	if (s->config_dir[0])
		return kf_fail(err, KF_E_INPUT, 0,
			       "--config-map and --config-dir both say where named configurations "
			       "are: give one of them");
	return 0;
}

int kf_settings_flags(int argc, char **argv, struct kf_settings **ret, struct kf_error *err)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;
	unsigned row;
	int i;

	if (kf_settings_new(&s, err) < 0 || !s)
		return -1;
	for (i = 1; i < argc; i++)
		if (read_flag(s, argc, argv, &i, err) < 0)
			return -1;
	for (row = 0; row < N_ROWS; row++)
		if (read_env(s, row, err) < 0)
			return -1;
	for (row = 0; row < N_NOT_SERVED; row++)
		if (read_other_env(s, row, err) < 0)
			return -1;
	if (follow_socket(s, err) < 0 || check_config_map(s, err) < 0)
		return -1;
	s->argc = argc;
	s->argv = argv;
	*ret = kf_take(s);
	return 0;
}

int kf_settings_parse(int argc, char **argv, struct kf_settings **ret, struct kf_error *err)
{
	kf_auto(kf_settings_freep) struct kf_settings *s = NULL;

	if (kf_settings_flags(argc, argv, &s, err) < 0 || !s)
		return -1;
	if (*s->config_file && kf_plugin_config_load(s->config_file, s, err) < 0)
		return -1;
	*ret = kf_take(s);
	return 0;
}

/* The names of the bits that are set, apart by commas. */
static void add_set(struct kf_text *out, const char *choices, unsigned bits)
{
	const char *w;
	unsigned i, n_added = 0;
	size_t n;

	for (i = 0; (n = word(choices, i, &w)) > 0; i++)
		if (bits & 1u << i)
			kf_text_addf(out, "%s%.*s", n_added++ ? "," : "", (int)n, w);
}

void kf_setting_text(const struct kf_settings *s, enum kf_setting_index i, struct kf_text *out)
{
	const void *field = (const char *)s + rows[i].offset;
	const char *w;
	size_t n;

	switch (rows[i].kind) {
	case TEXT:
	case DURATION:
		kf_text_add(out, *(char *const *)field);
		return;
	case FLAG:
		kf_text_add(out, *(const int *)field ? "true" : "false");
		return;
	case ONE:
		n = word(rows[i].public.choices, (unsigned)*(const int *)field, &w);
		kf_text_addn(out, w, n);
		return;
	case SET:
		add_set(out, rows[i].public.choices, *(const unsigned *)field);
		return;
	}
}

/* "none|single|mixed", TEXT, or "" for a flag that needs no value */
static void add_value(struct kf_text *out, const struct row *row)
{
	const char *c;

	if (row->kind == TEXT)
		kf_text_add(out, " TEXT");
	if (row->kind == DURATION)
		kf_text_add(out, " DURATION");
	if (row->kind != ONE && row->kind != SET)
		return;
	kf_text_add(out, " ");
	for (c = row->public.choices; *c; c++)
		kf_text_addn(out, *c != ' ' ? c : (row->kind == SET ? "," : "|"), 1);
}

void kf_settings_help(struct kf_text *out)
{
	unsigned i;

	for (i = 0; i < N_ROWS; i++) {
		const struct kf_setting *p = &rows[i].public;
		const char *w;
		size_t n = word(p->cli, 0, &w);

		kf_text_addf(out, "  --%.*s", (int)n, w);
		add_value(out, &rows[i]);
		kf_text_addf(out, "\n        %s", p->help);
		if (*p->standard)
			kf_text_addf(out, " (%s)", p->standard);
		kf_text_addf(out, " [%s]\n", p->env);
	}
}

/* Words as `code`, apart by line breaks. */
static void add_words(struct kf_text *out, const char *before, const char *words)
{
	const char *w;
	unsigned i;
	size_t n;

	for (i = 0; (n = word(words, i, &w)) > 0; i++)
		kf_text_addf(out, "%s`%s%.*s`", i ? "<br>" : "", before, (int)n, w);
}

void kf_settings_markdown(struct kf_text *out)
{
	unsigned i;

	kf_text_add(out, "| flag | environment | file | default | meaning |\n");
	kf_text_add(out, "|---|---|---|---|---|\n");
	for (i = 0; i < N_ROWS; i++) {
		const struct kf_setting *p = &rows[i].public;

		kf_text_add(out, "| ");
		add_words(out, "--", p->cli);
		kf_text_add(out, " | ");
		add_words(out, "", p->env);
		kf_text_add(out, " | ");
		add_words(out, "", p->yaml);
		kf_text_add(out, " | ");
		add_words(out, "", p->standard);
		kf_text_addf(out, " | %s", p->help);
		if (*p->choices)
			kf_text_add(out, ": ");
		add_words(out, "", p->choices);
		kf_text_add(out, " |\n");
	}
}
