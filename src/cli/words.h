/*
 * The words that a command line may be made of, read out of the usage texts and the table of
 * settings: what help says is what a shell completes.
 */
#pragma once

struct kf_command;

struct kf_word {
	char text[48];	   /* "--output", "-o", "check" */
	char choices[128]; /* what may follow, blanks between; "" where anything may */
	const char *help;  /* of a setting; NULL */
	int takes_value;   /* an option that something follows */
};

struct kf_words {
	unsigned n;
	struct kf_word word[96]; /* more than any command has; what is past the end is left out */
};

/* "check", "show", ... of "usage: kerf config check FILE...".  *ret is written anew. */
void kf_words_subcommands(const struct kf_command *command, struct kf_words *ret);
/* The options that the usage names and, where it says [FLAG, the agent's. */
void kf_words_options(const struct kf_command *command, struct kf_words *ret);
