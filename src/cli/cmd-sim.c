/*
 * kerf sim: machines that are not there, and what is needed beside them.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/sim.h"
#include "core/create.h"
#include "core/show.h"
#include "core/tree.h"

static const char usage[] =
	"usage: kerf sim create MACHINE DIR [--driver VERSION] [--cuda X.Y]\n"
	"       kerf sim list                     machines and products that come with kerf\n"
	"       kerf sim env DIR                  shell exports: programs see this machine\n"
	"       kerf sim show DIR [-o json]\n"
	"       kerf sim fault DIR CALL CODE [--times N] [--from N] [--delay MS]\n"
	"       kerf sim fault DIR CALL --clear\n"
	"       kerf sim xid DIR GPU XID [--gi G [--ci C]]\n"
	"       kerf sim lose DIR GPU [--back]\n"
	"       kerf sim ail DIR GPU [--recovery ACTION] [--remap 0-3] [--fabric 0-3]\n"
	"       kerf sim process DIR add --gpu N [--gi G --ci C] --pid P [--memory MIB] [--sm "
	"PCT]\n"
	"                [--dram PCT] [--kind compute|graphics|mps|holder] [--name TEXT]\n"
	"       kerf sim process DIR remove [--pid P] [--gpu N] [--gi G] [--ci C]\n"
	"       kerf sim busy DIR --gpu N [--gi G --ci C] [--memory MIB] [--sm PCT] [--for S]\n"
	"       kerf sim process DIR load --pid P --sm PCT\n"
	"       kerf sim mps DIR fault GPU [--gi G --ci C]    every client gets an error\n"
	"       kerf sim mps DIR hang GPU [--gi G --ci C] [--back]\n"
	"       kerf sim mps DIR clients MOST     that a server takes; 0: as the driver\n"
	"       kerf sim reset DIR GPU            as nvidia-smi --gpu-reset\n"
	"       kerf sim reload|unload|load DIR   the driver\n"
	"       kerf sim reboot DIR\n"
	"       kerf sim apiserver ...            a stand-in API server\n"
	"       kerf sim kubelet DIR              a stand-in kubelet\n"
	"\n"
	"MACHINE is a name of `kerf sim list`, or a file.  DIR/root is the root of the machine's\n"
	"files, for `kerf agent --root`.  CALL is an NVML call, or all; CODE is its answer by "
	"number\n"
	"or name (IN_USE), SUCCESS with --delay, or kill and kill-after, which end the caller.\n"
	"Without --times and --from a fault is on every call until it is cleared; --from N begins\n"
	"with the N-th call from now.  A process stays until it is removed; busy is one that "
	"runs.\n";

int kf_sim_usage(const char *why)
{
	fprintf(stderr, "kerf: sim: %s; `kerf help sim` says how\n", why);
	return KF_EXIT_USAGE;
}

struct wish {
	const char *machine, *dir, *driver, *cuda;
};

static int parse_create(int argc, char **argv, struct wish *w)
{
	int i;

	for (i = 1; i < argc; i++) {
		int more = i + 1 < argc;

		if (!strcmp(argv[i], "--driver") && more)
			w->driver = argv[++i];
		else if (!strcmp(argv[i], "--cuda") && more)
			w->cuda = argv[++i];
		else if (argv[i][0] == '-' || w->dir)
			return -1;
		else if (w->machine)
			w->dir = argv[i];
		else
			w->machine = argv[i];
	}
	return w->machine && w->dir ? 0 : -1;
}

/* In a folder that is there, for the sake of its real path: GPUs get their UUIDs from that. */
static int make(const struct wish *w, struct kf_sim_machine *m, struct kf_error *err)
{
	char dir[PATH_MAX];

	if (kf_make_dirs(w->dir, 0755, err) < 0)
		return -1;
	if (!realpath(w->dir, dir))
		return kf_fail_errno(err, errno, "find the folder %s", w->dir);
	kf_sim_machine_identify(m, dir);
	if (kf_sim_create(dir, m, err) < 0)
		return -1;
	printf("%s in %s: %u GPUs, driver %s, CUDA %u.%u\n", m->name, dir, m->n_gpus, m->driver,
	       m->cuda / 1000, m->cuda % 1000 / 10);
	return 0;
}

static int create(int argc, char **argv)
{
	static struct kf_sim_machine m; /* larger than a stack frame should be */
	struct kf_error err = {0};
	struct wish w = {0};

	if (parse_create(argc, argv, &w) < 0)
		return kf_sim_usage("create wants MACHINE, DIR and options");
	if (kf_sim_machine_load(w.machine, &m, &err) < 0 ||
	    (w.driver && kf_sim_machine_set_driver(&m, w.driver, &err) < 0) ||
	    (w.cuda && kf_sim_machine_set_cuda(&m, w.cuda, &err) < 0))
		return kf_cli_fail(&err, KF_EXIT_USAGE);
	return make(&w, &m, &err) < 0 ? kf_cli_fail(&err, KF_EXIT_FAILED) : KF_EXIT_OK;
}

static int list(int argc, char **argv)
{
	const struct kf_sim_file *f;

	printf("machines:\n");
	for (f = kf_sim_machine_files; f->name; f++)
		printf("  %-18s %.*s\n", f->name, (int)strcspn(f->text + 2, "\n"), f->text + 2);
	printf("products:\n");
	for (f = kf_sim_product_files; f->name; f++)
		printf("  %-18s %.*s\n", f->name, (int)strcspn(f->text + 2, "\n"), f->text + 2);
	return KF_EXIT_OK;
}

int kf_sim_open_arg(const char *dir, struct kf_sim *sim)
{
	struct kf_error err = {0};

	if (kf_sim_open(dir, sim, &err) == 0)
		return KF_EXIT_OK;
	return kf_cli_fail(&err, KF_EXIT_FAILED);
}

/* In single quotes for a shell. */
static void quote(const char *s)
{
	putchar('\'');
	for (; *s; s++)
		if (*s == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*s);
	putchar('\'');
}

static int env(int argc, char **argv)
{
	char dir[PATH_MAX];
	struct kf_sim sim;
	int r;

	if (argc != 2)
		return kf_sim_usage("env wants DIR");
	r = kf_sim_open_arg(argv[1], &sim);
	if (r != KF_EXIT_OK)
		return r;
	kf_sim_close(&sim);
	if (!realpath(argv[1], dir))
		snprintf(dir, sizeof(dir), "%s", argv[1]);
	printf("export KERF_SIM_DIR=");
	quote(dir);
	printf("\nexport LD_LIBRARY_PATH=");
	quote(dir);
	printf("/root/" KF_SIM_LIB_DIR "${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\nexport PATH=");
	quote(dir);
	printf("/root/usr/bin:\"$PATH\"\n");
	return KF_EXIT_OK;
}

static int show(int argc, char **argv)
{
	int json = argc == 4 && !strcmp(argv[2], "-o") && !strcmp(argv[3], "json");
	struct kf_sim sim;
	int r;

	if (argc != 2 && !json)
		return kf_sim_usage("show wants DIR, and takes -o json");
	r = kf_sim_open_arg(argv[1], &sim);
	if (r != KF_EXIT_OK)
		return r;
	if (!json)
		kf_sim_show(&sim, stdout);
	else if (kf_sim_show_json(&sim, stdout) < 0)
		r = KF_EXIT_FAILED;
	kf_sim_close(&sim);
	return r;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} subcommands[] = {
	{"create", create},
	{"list", list},
	{"env", env},
	{"show", show},
	{"fault", kf_sim_cmd_fault},
	{"xid", kf_sim_cmd_xid},
	{"lose", kf_sim_cmd_lose},
	{"ail", kf_sim_cmd_ail},
	{"process", kf_sim_cmd_process},
	{"busy", kf_sim_cmd_busy},
	{"mps", kf_sim_cmd_mps},
	{"reset", kf_sim_cmd_reset},
	{"reload", kf_sim_cmd_driver},
	{"unload", kf_sim_cmd_driver},
	{"load", kf_sim_cmd_driver},
	{"reboot", kf_sim_cmd_driver},
	{"apiserver", kf_sim_apiserver},
	{"kubelet", kf_sim_kubelet},
};

static int run(int argc, char **argv)
{
	size_t i;

	if (argc < 2) {
		fputs(usage, stderr);
		return KF_EXIT_USAGE;
	}
	if (argc > 2 && kf_cli_is_help(argv[2]) && strcmp(argv[1], "apiserver") != 0) {
		fputs(usage, stdout);
		return KF_EXIT_OK;
	}
	for (i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		if (!strcmp(subcommands[i].name, argv[1]))
			return subcommands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "kerf: sim has no subcommand '%s'; `kerf help sim` lists them\n", argv[1]);
	return KF_EXIT_USAGE;
}

const struct kf_command kf_cmd_sim = {
	.name = "sim",
	.summary = "a machine with GPUs that is not there",
	.usage = usage,
	.run = run,
	.own_help = 1,
};
