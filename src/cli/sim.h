/* The subcommands of `kerf sim` that have a file of their own; argv[0] is the subcommand. */
#pragma once

struct kf_sim;

int kf_sim_apiserver(int argc, char **argv);
int kf_sim_kubelet(int argc, char **argv);

int kf_sim_cmd_fault(int argc, char **argv);
int kf_sim_cmd_xid(int argc, char **argv);
int kf_sim_cmd_lose(int argc, char **argv);
int kf_sim_cmd_ail(int argc, char **argv);
int kf_sim_cmd_process(int argc, char **argv);
int kf_sim_cmd_busy(int argc, char **argv);
int kf_sim_cmd_mps(int argc, char **argv);
int kf_sim_cmd_reset(int argc, char **argv);
int kf_sim_cmd_driver(int argc, char **argv); /* reload, unload, load, reboot */

/* "kerf: sim: WHY; `kerf help sim` says how"; KF_EXIT_USAGE. */
int kf_sim_usage(const char *why);
/* Open the machine that was named: KF_EXIT_OK, or a status after its sentence. */
int kf_sim_open_arg(const char *dir, struct kf_sim *sim);
