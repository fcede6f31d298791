/*
 * kerf help --man: the page kerf.1, in the man macros, from the table of commands and that of the
 * settings.  It has no date: the same source gives the same page.
 */
#include <string.h>

#include "cli/cli.h"
#include "config/settings.h"

/* Text in the body: what roff would take for its own is told from it. */
static void put(FILE *out, const char *s)
{
	int at_start = 1;

	for (; *s; s++) {
		if (at_start && (*s == '.' || *s == '\''))
			fputs("\\&", out);
		if (*s == '\\')
			fputs("\\e", out);
		else if (*s == '-')
			fputs("\\-", out);
		else if (*s == '\'')
			fputs("\\(aq", out);
		else if (*s == '`')
			fputs("\\(ga", out);
		else
			putc(*s, out);
		at_start = *s == '\n';
	}
}

/* A heading, in capitals as pages have them; an argument of a macro, thus without quotes in it. */
static void section(FILE *out, const char *title)
{
	fprintf(out, ".SH %s\n", title);
}

static void paragraph(FILE *out, const char *text)
{
	fputs(".PP\n", out);
	put(out, text);
	putc('\n', out);
}

static void verbatim(FILE *out, const char *text)
{
	fputs(".PP\n.nf\n", out);
	put(out, text);
	fputs(".fi\n", out);
}

static void commands(FILE *out)
{
	const struct kf_command *c;
	unsigned i;

	section(out, "COMMANDS");
	for (i = 0; (c = kf_command_at(i)); i++) {
		fprintf(out, ".SS kerf %s\n", c->name);
		put(out, c->summary);
		putc('\n', out);
		verbatim(out, c->usage);
	}
}

/* "--nvidia-driver-root, --driver-root" for the table's "nvidia-driver-root driver-root". */
static void names(FILE *out, const char *words, const char *before)
{
	const char *w;
	size_t n;
	int first = 1;

	for (w = words; *w; w += n + (w[n] == ' ')) {
		n = strcspn(w, " ");
		fprintf(out, "%s\\fB", first ? "" : ", ");
		put(out, before);
		for (size_t i = 0; i < n; i++)
			fputs(w[i] == '-' ? "\\-" : (char[]){w[i], '\0'}, out);
		fputs("\\fR", out);
		first = 0;
	}
}

static void setting(FILE *out, enum kf_setting_index i)
{
	const struct kf_setting *row = kf_setting_at(i);

	fputs(".TP\n", out);
	names(out, row->cli, "--");
	fputs("\n", out);
	put(out, row->help);
	if (row->choices[0]) {
		fputs(".  One of ", out);
		names(out, row->choices, "");
		if (kf_setting_is_set(i))
			fputs(", or several of them with commas between", out);
	}
	fputs(".\n.br\n", out);
	if (row->env[0]) {
		fputs("Environment: ", out);
		names(out, row->env, "");
		fputs(".  ", out);
	}
	if (row->yaml[0]) {
		fputs("In the file: ", out);
		names(out, row->yaml, "");
		fputs(".  ", out);
	}
	fputs("Default: ", out);
	put(out, row->standard[0] ? row->standard : "not set");
	fputs(".\n", out);
}

static void settings(FILE *out)
{
	unsigned i;

	section(out, "FLAGS OF THE AGENT");
	paragraph(out,
		  "Also taken by kerf doctor and kerf config show.  What the command line says "
		  "wins over the environment, that over the file which --config-file names, "
		  "and that over the default.");
	for (i = 0; i < KF_N_SETTINGS; i++)
		setting(out, i);
}

static void exits(FILE *out)
{
	section(out, "EXIT STATUS");
#define X(name, number, text)                                                                      \
	fprintf(out, ".TP\n%d\n", number);                                                         \
	put(out, text);                                                                            \
	fputs(".\n", out);
	KF_EXITS(X)
#undef X
}

static void environment(FILE *out)
{
	section(out, "ENVIRONMENT");
	paragraph(out, "Every flag of the agent has its variable, given above.  NO_COLOR, when not "
		       "empty, keeps colours away, which appear on a terminal only.");
}

int kf_cli_man(FILE *out)
{
	fprintf(out, ".TH KERF 1 \"\" \"kerf %s\" \"\"\n.nh\n.ad l\n", KERF_VERSION);
	section(out, "NAME");
	fputs("kerf \\- cut NVIDIA GPUs into MIG slices and hand them to Kubernetes pods\n", out);
	section(out, "SYNOPSIS");
	fputs(".B kerf\n.I COMMAND\n.RI [ ARGUMENT ...]\n", out);
	section(out, "DESCRIPTION");
	paragraph(out, "kerf agent runs on every GPU node in place of NVIDIA's device plugin, its "
		       "config manager, GPU Feature Discovery and the MIG manager, and takes their "
		       "files and labels.  The other commands look at a node, or work on it where "
		       "there is no Kubernetes.");
	commands(out);
	settings(out);
	exits(out);
	environment(out);
	return ferror(out) ? KF_EXIT_FAILED : KF_EXIT_OK;
}
