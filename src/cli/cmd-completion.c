/* kerf completion: a script that makes a shell complete kerf's command lines. */
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/words.h"

static void put_names(const char *before)
{
	const struct kf_command *c;
	unsigned i;

	fputs(before, stdout);
	for (i = 0; (c = kf_command_at(i)); i++)
		printf("%s%s", i ? " " : "", c->name);
}

static void put_words(const struct kf_words *w)
{
	unsigned i;

	for (i = 0; i < w->n; i++)
		printf("%s%s", i ? " " : "", w->word[i].text);
}

/* In single quotes; `escape` is what a quote among them becomes. */
static void put_quoted(const char *s, const char *escape)
{
	putchar('\'');
	for (; *s; s++)
		if (*s == '\'')
			fputs(escape, stdout);
		else
			putchar(*s);
	putchar('\'');
}

/* --- bash ------------------------------------------------------------------------------------ */

static void bash_command(const struct kf_command *c)
{
	struct kf_words w;
	unsigned i;

	printf("\t*:%s)\n\t\tcase $prev in\n", c->name);
	kf_words_options(c, &w);
	for (i = 0; i < w.n; i++)
		if (w.word[i].choices[0])
			printf("\t\t%s) words='%s' ;;\n", w.word[i].text, w.word[i].choices);
	printf("\t\t*)\n\t\t\tcase $cur in\n\t\t\t-*) words='");
	put_words(&w);
	printf("' ;;\n");
	kf_words_subcommands(c, &w);
	if (w.n) {
		printf("\t\t\t*) [ \"$COMP_CWORD\" -ne 2 ] || words='");
		put_words(&w);
		printf("' ;;\n");
	}
	printf("\t\t\tesac\n\t\t\t;;\n\t\tesac\n\t\t;;\n");
}

static void bash(void)
{
	const struct kf_command *c;
	unsigned i;

	/* bash takes `=` for a word of its own */
	printf("# kerf's command lines for bash: source <(kerf completion bash)\n"
	       "_kerf() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=\n"
	       "\tif [ \"$cur\" = = ]; then\n\t\tcur=\n"
	       "\telif [ \"$prev\" = = ]; then\n\t\tprev=${COMP_WORDS[COMP_CWORD - 2]}\n\tfi\n"
	       "\tcase $COMP_CWORD:${COMP_WORDS[1]} in\n");
	put_names("\t1:*) words='help version ");
	put_names("' ;;\n\t2:help) words='");
	printf("' ;;\n");
	for (i = 0; (c = kf_command_at(i)); i++)
		bash_command(c);
	printf("\tesac\n"
	       "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	       "}\n"
	       "complete -o default -F _kerf kerf\n");
}

/* --- zsh ------------------------------------------------------------------------------------- */

static void zsh_command(const struct kf_command *c)
{
	struct kf_words w;
	unsigned i;

	printf("\t%s)\n\t\tcase $prev in\n", c->name);
	kf_words_options(c, &w);
	for (i = 0; i < w.n; i++)
		if (w.word[i].choices[0])
			printf("\t\t%s) compadd -- %s; return ;;\n", w.word[i].text,
			       w.word[i].choices);
	printf("\t\tesac\n\t\tif [[ $cur == -* ]]; then\n\t\t\tcompadd -- ");
	put_words(&w);
	printf("\n\t\t\treturn\n\t\tfi\n");
	kf_words_subcommands(c, &w);
	if (w.n) {
		printf("\t\tif (( CURRENT == 3 )); then\n\t\t\tcompadd -- ");
		put_words(&w);
		printf("\n\t\t\treturn\n\t\tfi\n");
	}
	printf("\t\t;;\n");
}

static void zsh(void)
{
	const struct kf_command *c;
	unsigned i;

	printf("#compdef kerf\n"
	       "# kerf's command lines for zsh: kerf completion zsh > a folder of $fpath/_kerf\n"
	       "_kerf() {\n"
	       "\tlocal cur=${words[CURRENT]} prev=${words[CURRENT-1]}\n"
	       "\tlocal -a commands\n"
	       "\tcommands=(\n"
	       "\t\t'help:what there is to say'\n"
	       "\t\t'version:which kerf this is'\n");
	for (i = 0; (c = kf_command_at(i)); i++) {
		printf("\t\t%s:", c->name);
		put_quoted(c->summary, "'\\''");
		putchar('\n');
	}
	printf("\t)\n"
	       "\tif (( CURRENT == 2 )) || { (( CURRENT == 3 )) && [[ ${words[2]} == help ]]; }; "
	       "then\n"
	       "\t\t_describe command commands\n\t\treturn\n\tfi\n"
	       "\tcase ${words[2]} in\n");
	for (i = 0; (c = kf_command_at(i)); i++)
		zsh_command(c);
	printf("\tesac\n"
	       "\t_files\n"
	       "}\n"
	       "if [[ ${funcstack[1]} == _kerf ]]; then\n\t_kerf \"$@\"\n"
	       "else\n\tcompdef _kerf kerf\nfi\n");
}

/* --- fish ------------------------------------------------------------------------------------ */

#define FISH_QUOTE "\\'"

static void fish_option(const char *command, const struct kf_word *w)
{
	int is_long = w->text[1] == '-';

	printf("complete -c kerf -n '__fish_seen_subcommand_from %s' %s %s", command,
	       is_long ? "-l" : "-s", w->text + 1 + is_long);
	if (w->choices[0])
		printf(" -x -a '%s'", w->choices);
	else if (w->takes_value)
		printf(" -r");
	if (w->help) {
		printf(" -d ");
		put_quoted(w->help, FISH_QUOTE);
	}
	putchar('\n');
}

static void fish_command(const struct kf_command *c)
{
	struct kf_words w;
	unsigned i;

	printf("complete -c kerf -n __fish_use_subcommand -f -a %s -d ", c->name);
	put_quoted(c->summary, FISH_QUOTE);
	putchar('\n');
	kf_words_subcommands(c, &w);
	if (w.n) {
		printf("complete -c kerf -n '__fish_seen_subcommand_from %s; and test (count "
		       "(commandline -opc)) -eq 2' -f -a '",
		       c->name);
		put_words(&w);
		printf("'\n");
	}
	kf_words_options(c, &w);
	for (i = 0; i < w.n; i++)
		fish_option(c->name, &w.word[i]);
}

static void fish(void)
{
	const struct kf_command *c;
	unsigned i;

	printf("# kerf's command lines for fish: kerf completion fish | source\n"
	       "complete -c kerf -n __fish_use_subcommand -f -a version -d 'which kerf this is'\n"
	       "complete -c kerf -n __fish_use_subcommand -f -a help -d 'what there is to say'\n");
	put_names("complete -c kerf -n '__fish_seen_subcommand_from help' -f -a '");
	printf("'\n");
	for (i = 0; (c = kf_command_at(i)); i++)
		fish_command(c);
}

/* --- the command ----------------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
	const char *shell = argc == 2 ? argv[1] : "";
	struct kf_error err = {0};

	if (!strcmp(shell, "bash")) {
		bash();
	} else if (!strcmp(shell, "zsh")) {
		zsh();
	} else if (!strcmp(shell, "fish")) {
		fish();
	} else {
		kf_fail(&err, KF_E_INPUT, 0, "completion wants one shell: bash, zsh or fish");
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	}
	return ferror(stdout) ? KF_EXIT_FAILED : KF_EXIT_OK;
}

const struct kf_command kf_cmd_completion = {
	.name = "completion",
	.summary = "a script with which bash, zsh or fish completes kerf's command lines",
	.usage = "usage: kerf completion bash|zsh|fish\n\n"
		 "  bash   source <(kerf completion bash)\n"
		 "  zsh    kerf completion zsh > ~/.zfunc/_kerf, where $fpath has ~/.zfunc\n"
		 "  fish   kerf completion fish | source\n",
	.run = run,
};
