/*
 * The commands of nvidia-cuda-mps-control (nvml-mig-mps.md 4.1), as the daemon takes them, with
 * R580's texts: what is wrong with a value is said in the log alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "mps/daemon.h"

#define WORDS 6

static void server_list(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	unsigned i;

	for (i = 0; i < KF_MPS_SERVERS; i++)
		if (d->server[i].pid)
			kf_text_addf(out, "%d\n", (int)d->server[i].pid);
}

static void start_server(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	if (!word[1] || strcmp(word[1], "-uid") != 0 || !word[2]) {
		kf_text_add(out, "A user id (UID) is required to start a new server\n");
		return;
	}
	if (!kf_mps_child_any(d))
		kf_mps_child_start(d, d->multiuser ? getuid() : (uid_t)strtoul(word[2], NULL, 10));
}

/* The daemon serves nobody before the last client has gone, and its server with it. */
static void quit(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	struct kf_mps_child *c;

	kf_mps_give_up_pending(d);
	while (!d->over && (c = kf_mps_child_any(d))) {
		kf_mps_child_end(c);
		if (kf_mps_wait(d, c->fd) == 0 && c->pid)
			kf_mps_child_hear(c);
	}
	d->over = 1;
}

static void default_percentage(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	kf_mps_percent_print(d->defaults.percent_x10, out);
}

static void set_default_percentage(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	if (!word[1] || kf_mps_percent_parse(word[1], &d->defaults.percent_x10) < 0)
		kf_mps_log("Invalid percentage, expected between (0.0, 100.0]");
	default_percentage(d, word, out);
}

static void default_memory(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	const struct kf_mps_limits *l = &d->defaults.memory;
	unsigned i;

	for (i = 0; word[1] && i < l->n; i++)
		if (!strcmp(l->of[i].device, word[1])) {
			kf_mps_bytes_print(l->of[i].bytes, out);
			return;
		}
	kf_mps_log("No default pinned memory limit set for the device!");
}

/* The device is not looked at: ordinals and UUIDs are entries of their own, the last one counts. */
static void set_default_memory(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	if (!word[1] || !word[2]) {
		kf_mps_log("Invalid command format.");
		return;
	}
	kf_mps_limits_set(&d->defaults.memory, word[1], kf_mps_bytes_read(word[2]));
}

static void default_priority(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	kf_text_addf(out, "%u\n", d->defaults.priority);
}

static void set_default_priority(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	if (word[1])
		d->defaults.priority = !strcmp(word[1], "1");
}

/* NAME PID WORD... goes to the server of that pid as NAME WORD...  0; -1 after a sentence. */
static int ask_server(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	struct kf_mps_child *server;
	kf_auto(kf_text_done) struct kf_text line = {0};
	int pid = word[1] ? atoi(word[1]) : 0;
	unsigned i;

	if (pid <= 0) {
		kf_text_add(out, "A server PID is required\n");
		return -1;
	}
	server = kf_mps_child_by_pid(d, pid);
	if (!server) {
		kf_text_addf(out, "Server %d not found\n", pid);
		return -1;
	}
	kf_text_add(&line, word[0]);
	for (i = 2; i < WORDS && word[i]; i++)
		kf_text_addf(&line, " %s", word[i]);
	if (!line.failed)
		kf_mps_child_ask(d, server, line.s, out);
	return 0;
}

static void pass_on(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	ask_server(d, word, out);
}

static void terminate(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	if (ask_server(d, word, out) < 0)
		kf_text_addf(out, "Server %d not found!\n1\n", word[1] ? atoi(word[1]) : 0);
}

/* Without a server's pid the one server is meant; 0: there is none. */
static int the_server(struct kf_mps_daemon *d, char **word, char pid[16])
{
	const struct kf_mps_child *only = kf_mps_child_any(d);

	if (word[1] && strncmp(word[1], "-", 1) != 0)
		snprintf(pid, 16, "%s", word[1]);
	else
		snprintf(pid, 16, "%d", only ? (int)only->pid : 0);
	return pid[0] != '0';
}

static void device_clients(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	char pid[16], *full[WORDS + 1] = {word[0], pid};

	if (the_server(d, word, pid))
		ask_server(d, full, out);
}

static void ps(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	char pid[16], *full[WORDS + 1] = {word[0], pid};
	int named = word[1] && !strcmp(word[1], "-p") && word[2];

	if (!named && !the_server(d, word, pid)) {
		kf_text_add(out, "Server not found\n");
		return;
	}
	if (named)
		full[1] = word[2];
	if (ask_server(d, full, out) < 0)
		kf_text_addf(out, "Server %s not found\n\n", full[1]);
}

static void device_query(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	int csv = (word[1] && !strcmp(word[1], "--csv")) || (word[2] && !strcmp(word[2], "--csv"));
	char pid[16], *full[WORDS + 1] = {word[0], pid, csv ? (char *)(uintptr_t) "--csv" : NULL};

	if (the_server(d, word, pid))
		ask_server(d, full, out);
	else
		kf_text_add(out, "Default\n");
}

static const struct {
	const char *name;
	void (*run)(struct kf_mps_daemon *d, char **word, struct kf_text *out);
} commands[] = {
	{"get_server_list", server_list},
	{"start_server", start_server},
	{"quit", quit},
	{"get_server_status", pass_on},
	{"get_client_list", pass_on},
	{"get_device_client_list", device_clients},
	{"ps", ps},
	{"device_query", device_query},
	{"get_default_active_thread_percentage", default_percentage},
	{"set_default_active_thread_percentage", set_default_percentage},
	{"get_active_thread_percentage", pass_on},
	{"set_active_thread_percentage", pass_on},
	{"get_default_device_pinned_mem_limit", default_memory},
	{"set_default_device_pinned_mem_limit", set_default_memory},
	{"get_device_pinned_mem_limit", pass_on},
	{"set_device_pinned_mem_limit", pass_on},
	{"get_default_client_priority", default_priority},
	{"set_default_client_priority", set_default_priority},
	{"terminate_client", terminate},
};

/* Another user than the daemon's, or root, may ask and change nothing. */
static int permitted(uid_t uid, const char *name, struct kf_text *out)
{
	if (!uid || uid == getuid() || !strncmp(name, "get_", 4) || !strcmp(name, "ps") ||
	    !strcmp(name, "device_query"))
		return 1;
	if (!strcmp(name, "quit"))
		kf_text_add(out, "Not enough privilege to execute quit command\n");
	else
		kf_text_addf(out,
			     "Insufficient privileges for UID %u. Control deamon settings can only "
			     "be modified by the user who started it or by the root user.\n",
			     (unsigned)uid);
	return 0;
}

void kf_mps_command(struct kf_mps_daemon *d, uid_t uid, const char *line, struct kf_text *out)
{
	char copy[512], *rest = NULL, *word[WORDS + 1] = {NULL}, *one;
	unsigned n = 0;
	size_t i;

	snprintf(copy, sizeof(copy), "%s", line);
	for (one = strtok_r(copy, " \t", &rest); one && n < WORDS;
	     one = strtok_r(NULL, " \t", &rest))
		word[n++] = one;
	if (!n)
		return;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, word[0])) {
			if (permitted(uid, word[0], out))
				commands[i].run(d, word, out);
			return;
		}
	kf_text_addf(out, "Unknown command \"%s\"\n", word[0]);
}
