/* The commands of nvidia-cuda-mps-control (nvml-mig-mps.md 4.1), as the daemon takes them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "mps/daemon.h"

#define WORDS 6

static int server_list(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	unsigned i;

	for (i = 0; i < KF_MPS_SERVERS; i++)
		if (d->server[i].pid)
			kf_text_addf(out, "%d\n", (int)d->server[i].pid);
	return 0;
}

static int start_server(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	unsigned i;

	if (!word[1] || strcmp(word[1], "-uid") != 0 || !word[2]) {
		kf_text_add(out, "Usage: start_server -uid <user id>\n");
		return 0;
	}
	for (i = 0; i < KF_MPS_SERVERS; i++)
		if (d->server[i].pid)
			return 0;
	kf_mps_child_start(d, d->multiuser ? getuid() : (uid_t)strtoul(word[2], NULL, 10));
	return 0;
}

static int quit(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	d->quits = 1;
	return 0;
}

static int default_percentage(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	kf_text_addf(out, "%u.%u\n", d->defaults.percent_x10 / 10, d->defaults.percent_x10 % 10);
	return 0;
}

static int set_default_percentage(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	if (!word[1] || kf_mps_percent_parse(word[1], &d->defaults.percent_x10) < 0) {
		kf_text_add(out, "Invalid active thread percentage\n");
		return 0;
	}
	return default_percentage(d, word, out);
}

static int default_memory(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	const struct kf_mps_limits *l = &d->defaults.memory;
	unsigned i;

	for (i = 0; word[1] && i < l->n; i++)
		if (!strcmp(l->of[i].device, word[1])) {
			kf_text_addf(out, "%lluM\n", (unsigned long long)(l->of[i].bytes >> 20));
			return 0;
		}
	kf_text_add(out, "No limit set\n");
	return 0;
}

static int set_default_memory(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	uint64_t bytes;

	if (!word[1] || !word[2] || kf_mps_bytes_parse(word[2], &bytes) < 0 ||
	    kf_mps_limits_set(&d->defaults.memory, word[1], bytes) < 0)
		kf_text_add(out, "Invalid memory limit\n");
	return 0;
}

static int default_priority(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	kf_text_addf(out, "%u\n", d->defaults.priority);
	return 0;
}

static int set_default_priority(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	if (!word[1] || (strcmp(word[1], "0") != 0 && strcmp(word[1], "1") != 0)) {
		kf_text_add(out, "Invalid priority\n");
		return 0;
	}
	d->defaults.priority = word[1][0] == '1';
	return 0;
}

/* NAME PID WORD... goes to the server of that pid as NAME WORD...  */
static int pass_on(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	struct kf_mps_child *server = word[1] ? kf_mps_child_by_pid(d, atoi(word[1])) : NULL;
	kf_auto(kf_text_done) struct kf_text line = {0};
	unsigned i;

	if (!server) {
		kf_text_addf(out, "Server %s not found\n", word[1] ? word[1] : "");
		return 0;
	}
	kf_text_add(&line, word[0]);
	for (i = 2; i < WORDS && word[i]; i++)
		kf_text_addf(&line, " %s", word[i]);
	if (line.failed || kf_mps_child_say(server, line.s, -1) < 0)
		return 0;
	d->asked = server;
	return KF_MPS_LATER;
}

/* These may do without a pid: the one server is meant. */
static int pass_to_one(struct kf_mps_daemon *d, char **word, struct kf_text *out)
{
	char pid[16];
	char *full[WORDS] = {word[0], pid, NULL};
	unsigned i;

	if (word[1] && !strcmp(word[1], "-p"))
		full[1] = word[2];
	else if (word[1])
		full[1] = word[1];
	else
		for (i = 0, pid[0] = '\0'; i < KF_MPS_SERVERS; i++)
			if (d->server[i].pid)
				snprintf(pid, sizeof(pid), "%d", (int)d->server[i].pid);
	if (!full[1] || !full[1][0])
		return 0;
	return pass_on(d, full, out);
}

static const struct {
	const char *name;
	int (*run)(struct kf_mps_daemon *d, char **word, struct kf_text *out);
} commands[] = {
	{"get_server_list", server_list},
	{"start_server", start_server},
	{"quit", quit},
	{"get_server_status", pass_on},
	{"get_client_list", pass_on},
	{"get_device_client_list", pass_to_one},
	{"ps", pass_to_one},
	{"device_query", pass_to_one},
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
	{"terminate_client", pass_on},
};

int kf_mps_command(struct kf_mps_daemon *d, const char *line, struct kf_text *out)
{
	char copy[512], *rest = NULL, *word[WORDS + 1] = {NULL}, *one;
	unsigned n = 0;
	size_t i;

	snprintf(copy, sizeof(copy), "%s", line);
	kf_mps_log("%s", copy);
	for (one = strtok_r(copy, " \t", &rest); one && n < WORDS;
	     one = strtok_r(NULL, " \t", &rest))
		word[n++] = one;
	for (i = 0; n && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, word[0]))
			return commands[i].run(d, word, out);
	if (n)
		kf_text_addf(out, "Unknown command: %s\n", word[0]);
	return 0;
}
