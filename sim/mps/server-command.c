/* What a server answers when the daemon passes a command on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mps/server.h"

#define WORDS 6

static void status(struct kf_text *out, char **word)
{
	kf_text_addf(out, "%s\n", kf_mps_state_name());
}

static void client_list(struct kf_text *out, char **word)
{
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].welcomed)
			kf_text_addf(out, "%d\n", (int)kf_mps_here.client[i].pid);
}

/* One word of 8 hex digits is what `ps` and the lists show of a device's UUID. */
static void device_clients(struct kf_text *out, char **word)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	unsigned i, k;

	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.seen.n; i++) {
		kf_text_addf(out, "Device %u (%s):", i,
			     kf_sim_spot_uuid(s, &kf_mps_here.seen.at[i]));
		for (k = 0; k < kf_mps_here.n_clients; k++)
			kf_text_addf(out, " %d", (int)kf_mps_here.client[k].pid);
		kf_text_add(out, "\n");
	}
	kf_sim_unlock(s);
}

/* The first word of a program's command line, as /proc has it. */
static void command_of(pid_t pid, char *out, size_t size)
{
	char path[48];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	f = fopen(path, "re");
	if (f) {
		n = fread(out, 1, size - 1, f);
		fclose(f);
	}
	out[n] = '\0';
}

/* The daemon has printed the heading. */
static void ps(struct kf_text *out, char **word)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	unsigned i;
	char name[64];

	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.n_clients; i++) {
		const struct kf_mps_client *c = &kf_mps_here.client[i];

		if (!c->welcomed)
			continue;
		command_of(c->pid, name, sizeof(name));
		kf_text_addf(out, "%-9d %-5u %-9d %.12s  %-10s  %s\n", (int)c->pid, i + 1,
			     (int)getpid(), kf_sim_spot_uuid(s, &kf_mps_here.seen.at[0]),
			     "4026531836", name);
	}
	kf_sim_unlock(s);
}

static void percentage(struct kf_text *out, char **word)
{
	kf_text_addf(out, "%u.%u\n", kf_mps_here.shares.percent_x10 / 10,
		     kf_mps_here.shares.percent_x10 % 10);
}

static void set_percentage(struct kf_text *out, char **word)
{
	if (!word[1] || kf_mps_percent_parse(word[1], &kf_mps_here.shares.percent_x10) < 0) {
		kf_text_add(out, "Invalid active thread percentage\n");
		return;
	}
	percentage(out, word);
}

static void memory_limit(struct kf_text *out, char **word)
{
	const struct kf_mps_limits *l = &kf_mps_here.shares.memory;
	unsigned i;

	for (i = 0; word[1] && i < l->n; i++)
		if (!strcmp(l->of[i].device, word[1])) {
			kf_text_addf(out, "%lluM\n", (unsigned long long)(l->of[i].bytes >> 20));
			return;
		}
	kf_text_add(out, "No limit set\n");
}

static void set_memory_limit(struct kf_text *out, char **word)
{
	uint64_t bytes;

	if (!word[1] || !word[2] || kf_mps_bytes_parse(word[2], &bytes) < 0 ||
	    kf_mps_limits_set(&kf_mps_here.shares.memory, word[1], bytes) < 0) {
		kf_text_add(out, "Invalid memory limit\n");
		return;
	}
	kf_text_addf(out, "%s\n", word[2]);
}

static void terminate(struct kf_text *out, char **word)
{
	if (!word[1] || kf_mps_terminate(atoi(word[1])) < 0)
		kf_text_addf(out, "Client %s not found\n", word[1] ? word[1] : "");
}

static void device_query(struct kf_text *out, char **word)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	char name[128];
	unsigned i;

	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.seen.n; i++) {
		kf_sim_spot_name(s, &kf_mps_here.seen.at[i], name, sizeof(name));
		kf_text_addf(out, "Device %u: %s (%s)\n", i, name,
			     kf_sim_spot_uuid(s, &kf_mps_here.seen.at[i]));
	}
	kf_sim_unlock(s);
}

static const struct {
	const char *name;
	void (*run)(struct kf_text *out, char **word);
} commands[] = {
	{"get_server_status", status},
	{"get_client_list", client_list},
	{"get_device_client_list", device_clients},
	{"ps", ps},
	{"device_query", device_query},
	{"get_active_thread_percentage", percentage},
	{"set_active_thread_percentage", set_percentage},
	{"get_device_pinned_mem_limit", memory_limit},
	{"set_device_pinned_mem_limit", set_memory_limit},
	{"terminate_client", terminate},
};

/* "NAME WORD..."; the daemon has taken the server's pid out of it. */
void kf_mps_server_command(const char *line, struct kf_text *answer)
{
	char copy[512], *rest = NULL, *word[WORDS] = {NULL}, *one;
	unsigned n = 0;
	size_t i;

	snprintf(copy, sizeof(copy), "%s", line);
	for (one = strtok_r(copy, " ", &rest); one && n + 1 < WORDS;
	     one = strtok_r(NULL, " ", &rest))
		word[n++] = one;
	for (i = 0; n && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, word[0]))
			commands[i].run(answer, word);
}
