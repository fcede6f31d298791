/* What a server answers when the daemon passes a command on: R580's texts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
		if (kf_mps_here.client[i].welcomed && !kf_mps_here.client[i].context)
			kf_text_addf(out, "%d\n", (int)kf_mps_here.client[i].pid);
}

/* "[0] 00:00.0, NAME" and a line "PID.CONTEXT" for each context on it. */
static void device_clients(struct kf_text *out, char **word)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	char name[128];
	unsigned i, k;

	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.seen.n; i++) {
		const struct kf_sim_spot *at = &kf_mps_here.seen.at[i];

		kf_sim_spot_name(s, at, name, sizeof(name));
		kf_text_addf(out, "[%u] %02x:00.0, %s\n", i, s->machine.gpu[at->gpu].bus, name);
		for (k = 0; k < kf_mps_here.n_clients; k++)
			if (kf_mps_here.client[k].context)
				kf_text_addf(out, "%d.%u\n", (int)kf_mps_here.client[k].pid,
					     kf_mps_here.client[k].context);
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

/* The inode of its pid namespace, 0 if that cannot be seen. */
static unsigned long namespace_of(pid_t pid)
{
	struct stat st;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
	return stat(path, &st) == 0 ? (unsigned long)st.st_ino : 0;
}

#define PS_ROW "%-10s%-10s%-15s%-26.22s%-15s%s\n"

static void ps_row(const struct kf_mps_client *c, const char *uuid, struct kf_text *out)
{
	char pid[16], id[16], server[16], space[24], command[256];

	snprintf(pid, sizeof(pid), "%d", (int)c->pid);
	snprintf(id, sizeof(id), "%u", c->id);
	snprintf(server, sizeof(server), "%d", (int)getpid());
	snprintf(space, sizeof(space), "%lu", namespace_of(c->pid));
	command_of(c->pid, command, sizeof(command));
	kf_text_addf(out, PS_ROW, pid, id, server, uuid, space, command);
}

static void ps(struct kf_text *out, char **word)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	unsigned i;

	kf_text_addf(out, PS_ROW, "PID", "ID", "SERVER", "DEVICE", "NAMESPACE", "COMMAND        ");
	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].welcomed && !kf_mps_here.client[i].context)
			ps_row(&kf_mps_here.client[i], kf_sim_spot_uuid(s, &kf_mps_here.seen.at[0]),
			       out);
	kf_sim_unlock(s);
}

static void percentage(struct kf_text *out, char **word)
{
	kf_mps_percent_print(kf_mps_here.percent_x10, out);
}

static void set_percentage(struct kf_text *out, char **word)
{
	if (!word[1] || kf_mps_percent_parse(word[1], &kf_mps_here.percent_x10) < 0)
		kf_mps_log("Invalid percentage, expected between (0.0, 100.0]");
	percentage(out, word);
}

static void memory_limit(struct kf_text *out, char **word)
{
	int i = word[1] ? kf_mps_device_find(word[1]) : -1;

	if (i >= 0)
		kf_mps_bytes_print(kf_mps_here.memory_bytes[i], out);
}

/* Nothing is answered, whatever was asked for. */
static void set_memory_limit(struct kf_text *out, char **word)
{
	if (!word[1] || !word[2])
		kf_mps_log("Invalid command format.");
	else
		kf_mps_set_memory(word[1], kf_mps_bytes_read(word[2]));
}

static void terminate(struct kf_text *out, char **word)
{
	pid_t pid = word[1] ? (pid_t)atoi(word[1]) : 0;

	if (kf_mps_terminate(pid) < 0)
		kf_text_addf(out, "Invalid process %d!\n1\n", (int)pid);
	else
		kf_text_add(out, "0\n");
}

static void query_rows(const char *row, struct kf_text *out)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	char name[128], number[16], address[32];
	unsigned i;

	kf_text_addf(out, row, "Device Ordinal", "PCI IDs", "UUID", "Name", "Attributes");
	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.seen.n; i++) {
		const struct kf_sim_spot *at = &kf_mps_here.seen.at[i];
		const struct kf_sim_gpu *gpu = &s->machine.gpu[at->gpu];

		snprintf(number, sizeof(number), "%u", i);
		snprintf(address, sizeof(address), "%04x:%02x.%02x.00", gpu->domain, gpu->bus,
			 gpu->device);
		kf_sim_spot_name(s, at, name, sizeof(name));
		kf_text_addf(out, row, number, address, kf_sim_spot_uuid(s, at), name, "N/A");
	}
	kf_sim_unlock(s);
}

static void device_query(struct kf_text *out, char **word)
{
	const char *row = word[1] && !strcmp(word[1], "--csv") ? "%s,%s,%s,%s,%s\n"
							       : "%-16s%-15s%-42s%-34s%s\n";

	kf_mps_log("Received device query command. There are %u devices", kf_mps_here.seen.n);
	kf_text_add(out, "Default\n");
	query_rows(row, out);
	kf_text_addf(out, "\nServer %d\n", (int)getpid());
	query_rows(row, out);
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
