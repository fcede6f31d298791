/* The subcommands of `kerf sim` that have a file of their own; argv[0] is the subcommand. */
#pragma once

int kf_sim_apiserver(int argc, char **argv);
int kf_sim_kubelet(int argc, char **argv);
