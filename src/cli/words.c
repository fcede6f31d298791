/* The words of a command line; see words.h. */
#include "cli/words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "config/settings.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"

static struct kf_word *find(struct kf_words *w, const char *text, size_t n)
{
	unsigned i;

	for (i = 0; i < w->n; i++)
		if (!strncmp(w->word[i].text, text, n) && !w->word[i].text[n])
			return &w->word[i];
	return NULL;
}

/* The word, added if it is new; NULL when it has no place. */
static struct kf_word *add(struct kf_words *w, const char *text, size_t n)
{
	struct kf_word *word = n < sizeof(w->word[0].text) ? find(w, text, n) : NULL;

	if (word || n >= sizeof(w->word[0].text) || w->n == sizeof(w->word) / sizeof(w->word[0]))
		return word;
	word = &w->word[w->n++];
	*word = (struct kf_word){0};
	memcpy(word->text, text, n);
	return word;
}

/* "reload|unload|load" */
static void add_each(struct kf_words *w, const char *text, size_t n)
{
	size_t i, length;

	for (i = 0; i < n; i += length + 1) {
		length = strcspn(text + i, "|");
		if (i + length > n)
			length = n - i;
		add(w, text + i, length);
	}
}

void kf_words_subcommands(const struct kf_command *command, struct kf_words *ret)
{
	char head[64];
	const char *at;
	int skip = snprintf(head, sizeof(head), "kerf %s ", command->name);

	ret->n = 0;
	/* the lines that show the command line stand first, up to an empty line */
	for (at = command->usage; *at && *at != '\n'; at += strcspn(at, "\n"), at += *at != '\0') {
		const char *line = at + (strncmp(at, "usage: ", 7) ? strspn(at, " ") : 7);
		size_t n;

		if (strncmp(line, head, (size_t)skip) != 0)
			continue;
		line += skip;
		n = strspn(line, LOWER "-|");
		if (n && islower((unsigned char)*line) && strchr(" \n", line[n]))
			add_each(ret, line, n);
	}
}

/* --- options --------------------------------------------------------------------------------- */

/* The length of the option at `s`: "-o", "--mig-strategy"; 0 if it is none. */
static size_t option_at(const char *s)
{
	size_t n;

	if (s[0] != '-')
		return 0;
	if (s[1] != '-')
		return islower((unsigned char)s[1]) && !isalnum((unsigned char)s[2]) ? 2 : 0;
	n = strspn(s + 2, LOWER "-");
	return n ? n + 2 : 0;
}

/* What follows an option: "json|yaml" into its choices, FILE as "something". */
static void read_value(struct kf_word *word, const char *s)
{
	size_t n, i;

	if (*s != ' ' && *s != '=')
		return;
	s++; /* after more blanks than one it is the explanation */
	n = strspn(s, LOWER "0123456789-|");
	word->takes_value |= isupper((unsigned char)*s) != 0;
	if (word->choices[0] || !memchr(s, '|', n) || n >= sizeof(word->choices))
		return;
	word->takes_value = 1;
	for (i = 0; i < n; i++)
		word->choices[i] = s[i];
	for (i = 0; i < n; i++)
		if (word->choices[i] == '|')
			word->choices[i] = ' ';
}

/* "-o, --output FORMAT": the short one has what the long one has, and the other way round. */
static void share(struct kf_word *a, struct kf_word *b)
{
	a->takes_value = b->takes_value = a->takes_value | b->takes_value;
	if (a->choices[0])
		memcpy(b->choices, a->choices, sizeof(b->choices));
	else
		memcpy(a->choices, b->choices, sizeof(a->choices));
}

static void read_usage(const char *usage, struct kf_words *w)
{
	struct kf_word *other = NULL; /* the one of "-o, " just before */
	const char *s;
	size_t n;

	for (s = usage; *s; s += n ? n : 1) {
		int begins = s == usage || strchr(" \n[(`", s[-1]);
		struct kf_word *word;

		n = begins ? option_at(s) : 0;
		word = n ? add(w, s, n) : NULL;
		if (!word)
			continue;
		read_value(word, s + n);
		if (other)
			share(other, word);
		other = s[n] == ',' && option_at(s + n + 2) ? word : NULL;
	}
}

static void add_settings(struct kf_words *w)
{
	unsigned i;

	for (i = 0; i < KF_N_SETTINGS; i++) {
		const struct kf_setting *row = kf_setting_at(i);
		char text[64];
		int n = snprintf(text, sizeof(text), "--%.*s", (int)strcspn(row->cli, " "),
				 row->cli);
		struct kf_word *word = add(w, text, (size_t)n);

		if (!word)
			continue;
		word->help = row->help;
		word->takes_value = !kf_setting_is_flag(i);
		snprintf(word->choices, sizeof(word->choices), "%s", row->choices);
	}
}

void kf_words_options(const struct kf_command *command, struct kf_words *ret)
{
	ret->n = 0;
	read_usage(command->usage, ret);
	if (strstr(command->usage, "[FLAG"))
		add_settings(ret);
	add(ret, "--help", 6);
}
