/*
 * The node as the commands that work without the agent see it: plan, apply, assert, export, status.
 */
#pragma once

#include "agent/job.h"
#include "cli/cli.h"
#include "config/mig.h"
#include "model/holds.h"
#include "model/target.h"
#include "state/ledger.h"

/* Zeroed, then kf_local_args. */
struct kf_local {
	struct kf_settings *set;
	const char *config; /* -c; NULL: the only one of the file */
	const char *output; /* -o; NULL: for people */
	const char *label;  /* -l of export */
	int mode_only;	    /* -m */
	int valid_only;	    /* -a of assert */

	struct kf_nvml *driver;
	struct kf_node *node;
	struct kf_files *files;
	struct kf_ledger *ledger;
	struct kf_holds holds;
	struct kf_mig_configs *configs;
	struct kf_target *target;
};

/*
 * The command line: -f, -c, -o, -l, -m, -a as mig-parted has them, and --root, --state-dir,
 * --kubelet-dir, --mig-strategy.  MIG_PARTED_CONFIG_FILE and MIG_PARTED_SELECTED_CONFIG count where
 * -f and -c are not given.  KF_EXIT_OK, or a status after its sentence was printed.
 */
int kf_local_args(struct kf_local *l, int argc, char **argv);

/*
 * Read the driver; who holds what (`lock`: as the only one who changes the node, else beside a
 * running agent); and, unless `without_config`, the configuration matched with the node.
 */
int kf_local_read(struct kf_local *l);
int kf_local_holds(struct kf_local *l, int lock);
int kf_local_target(struct kf_local *l);

/* All that the running agent says at this socket of its state directory; the caller's to free.
 * NULL: there is none to ask. */
char *kf_local_ask(const struct kf_settings *set, const char *name);

void kf_local_done(struct kf_local *l);

/* Print JSON text as -o asks: "json" as it is, "yaml" turned into YAML.  An exit status. */
int kf_local_print(const struct kf_local *l, const char *json);

/* The part of the usage texts that these commands share. */
#define KF_LOCAL_USAGE                                                                             \
	"  -f, --config-file FILE      MIG configurations, mig-parted's format (default: "         \
	"built-in)\n"                                                                              \
	"  -c, --selected-config NAME  the configuration; may be left out when the file has one\n" \
	"  -o, --output json|yaml      instead of text\n"                                          \
	"      --root DIR              host root mounted elsewhere, or DIR/root of a simulated "   \
	"machine\n"                                                                                \
	"      --state-dir DIR         where the agent keeps its ledger (default /var/lib/kerf)\n" \
	"      --kubelet-dir DIR       the kubelet's device-plugins directory\n"                   \
	"      --cdi-dir DIR           where CDI files are written (default /var/run/cdi)\n"
