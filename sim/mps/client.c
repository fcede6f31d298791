/* Who a server has: let in, sent away, gone; and the fault that all of them get. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cuda/abi.h"
#include "mps/server.h"
#include "mps/socket.h"

struct kf_mps_client *kf_mps_process(pid_t pid)
{
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].pid == pid && !kf_mps_here.client[i].context)
			return &kf_mps_here.client[i];
	return NULL;
}

static unsigned n_processes(void)
{
	unsigned i, n = 0;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		n += !kf_mps_here.client[i].context;
	return n;
}

static unsigned n_contexts(void)
{
	return kf_mps_here.n_clients - n_processes();
}

static void tell_clients(void)
{
	char n[32];

	snprintf(n, sizeof(n), "%u %u", n_processes(), kf_mps_here.n_given);
	kf_mps_tell("clients", n);
}

/*
 * How many contexts a device takes: 48, 60 from R590; a slice in proportion to its compute slices.
 * A server with several devices takes as many as its smallest.
 */
static unsigned most_clients(void)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	unsigned all = s->machine.driver_major >= 590 ? 60 : 48, least = all, i;

	if (s->mps_clients) /* kerf sim mps clients */
		return s->mps_clients;
	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.seen.n; i++) {
		const struct kf_sim_spot *at = &kf_mps_here.seen.at[i];
		unsigned part;

		if (at->gi == KF_SIM_NONE)
			continue;
		part = all * kf_sim_spot_slices(s, at) / kf_sim_spot_product(s, at)->shape.slices;
		if (part < least)
			least = part;
	}
	kf_sim_unlock(s);
	return least;
}

/* --- limits --- */

int kf_mps_device_find(const char *device)
{
	const struct kf_mps_limit named = {.bytes = 0};
	struct kf_mps_limit l = named;
	unsigned i, n = kf_mps_here.seen.n;
	int found = -1;

	snprintf(l.device, sizeof(l.device), "%s", device);
	kf_sim_lock(kf_mps_here.sim.state);
	for (i = 0; i < n && found < 0; i++)
		if (kf_mps_limit_is_of(kf_mps_here.sim.state, &l, &kf_mps_here.seen.at[i], i))
			found = (int)i;
	kf_sim_unlock(kf_mps_here.sim.state);
	return found;
}

/* A number is taken whether there is such a device or not. */
int kf_mps_set_memory(const char *device, uint64_t bytes)
{
	int i = kf_mps_device_find(device);

	if (i < 0 && (device[0] < '0' || device[0] > '9')) {
		kf_mps_log("Device with matching device ID: %s not found.", device);
		return -1;
	}
	if (i >= 0)
		kf_mps_here.memory_bytes[i] = bytes;
	kf_mps_log("Device pinned memory limit for device %s set to 0x%llx bytes", device,
		   (unsigned long long)bytes);
	return 0;
}

/* What a client may have is settled with its descriptor, before it has said a word. */
static void settle(struct kf_mps_client *c)
{
	struct kf_mps_message *m = &c->welcome;
	unsigned i;

	*m = (struct kf_mps_message){.verb = KF_MPS_WELCOME};
	for (i = 0; i < kf_mps_here.seen.n; i++) {
		const struct kf_sim_spot *at = &kf_mps_here.seen.at[i];

		m->device[i] = (struct kf_mps_device){
			.gpu = at->gpu,
			.gi = at->gi,
			.ci = at->ci,
			.percent_x10 = kf_mps_here.percent_x10,
			.memory_bytes = kf_mps_here.memory_bytes[i],
		};
	}
	m->n = i;
}

/* --- clients --- */

/* Through its pipe, which is never full: a client gets two messages in its life. */
static void send_to(const struct kf_mps_client *c, const struct kf_mps_message *m)
{
	if (write(c->to, m, sizeof(*m)) < 0) {
		/* it is gone, and its socket will say so */
	}
}

static void drop(struct kf_mps_client *c)
{
	unsigned i = (unsigned)(c - kf_mps_here.client);

	close(c->socket);
	close(c->to);
	close(c->from);
	kf_mps_here.n_clients--;
	memmove(c, c + 1, (kf_mps_here.n_clients - i) * sizeof(*c));
	tell_clients();
}

void kf_mps_log_context(const char *doing)
{
	char name[128];

	kf_sim_lock(kf_mps_here.sim.state);
	kf_sim_spot_name(kf_mps_here.sim.state, &kf_mps_here.seen.at[0], name, sizeof(name));
	kf_sim_unlock(kf_mps_here.sim.state);
	kf_mps_log("%s server context on device 0 (%s)", doing, name);
}

/*
 * 0, or why it may not come in: after a fault nobody new before the last context of those that had
 * it is gone; and so many contexts, whatever the number of processes.
 */
static unsigned refusal(const struct kf_mps_client *c)
{
	const struct kf_mps_client *process = kf_mps_process(c->pid);

	if (kf_mps_here.state == KF_MPS_FAULTY) {
		kf_mps_log("Server teardown in progress. Refusing to accept new client {PID: %d, "
			   "Context ID: %u}",
			   (int)c->pid, c->context);
		kf_mps_log("Failed to accept client {PID: %d, Context ID: %u} with status 807",
			   (int)c->pid, c->context);
		return CUDA_ERROR_MPS_SERVER_NOT_READY;
	}
	if (!c->context)
		return 0;
	if (process && process->terminated)
		return CUDA_ERROR_MPS_CLIENT_TERMINATED;
	if (n_contexts() <= most_clients())
		return 0;
	kf_mps_log("Failed to accept new client. Maximum number of clients (%u) reached.",
		   most_clients());
	return CUDA_ERROR_MPS_MAX_CLIENTS_REACHED;
}

static void log_device(const struct kf_mps_client *c)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	char name[128];

	kf_sim_lock(s);
	kf_sim_spot_name(s, &kf_mps_here.seen.at[0], name, sizeof(name));
	kf_mps_log("Device %s (uuid %s) is associated", name,
		   kf_sim_spot_uuid(s, &kf_mps_here.seen.at[0]));
	kf_sim_unlock(s);
	kf_mps_log("Status of client {PID: %d, Context ID: %u} is ACTIVE", (int)c->pid, c->context);
}

static void judge(struct kf_mps_client *c)
{
	uint32_t verdict = refusal(c);

	kf_mps_say(c->socket, &verdict, sizeof(verdict), -1);
	if (verdict) {
		drop(c);
		return;
	}
	if (kf_mps_here.torn_down)
		kf_mps_log_context("Creating");
	kf_mps_here.torn_down = 0;
	kf_mps_log("Client {PID: %d, Context ID: %u} connected", (int)c->pid, c->context);
	kf_mps_log("Creating worker thread for client {PID: %d, Context ID: %u}", (int)c->pid,
		   c->context);
	c->welcomed = 1;
	if (c->context)
		log_device(c);
	else
		send_to(c, &c->welcome);
}

static void mend_if_all_are_gone(void)
{
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].faulted)
			return;
	if (kf_mps_here.state != KF_MPS_FAULTY)
		return;
	kf_mps_log_context("Destroy");
	kf_mps_here.torn_down = 1;
	kf_mps_set_state(KF_MPS_ACTIVE);
}

void kf_mps_exit_if_all_are_gone(void)
{
	if (!kf_mps_here.shuts_down || kf_mps_here.n_clients)
		return;
	kf_mps_log("Exiting");
	_exit(0);
}

static void log_exit(const struct kf_mps_client *c)
{
	kf_mps_log("Server failed to recevie command with status 806, assuming client {PID: %d, "
		   "Context ID: %u} exit",
		   (int)c->pid, c->context);
	if (!c->context)
		kf_mps_log("Client process %d disconnected", (int)c->pid);
	else
		kf_mps_log("Client {PID: %d, Context ID: %u} exiting. Number of active client "
			   "contexts is %u.",
			   (int)c->pid, c->context, n_contexts() - 1);
}

/* The end of a client for which a command has waited. */
static void answer_who_waits(pid_t gone)
{
	if (!gone || gone != kf_mps_here.waits_for)
		return;
	kf_mps_here.waits_for = 0;
	kf_mps_tell("answer", "0\n");
}

static void gone(struct kf_mps_client *c)
{
	pid_t process = c->context ? 0 : c->pid;

	if (c->welcomed)
		log_exit(c);
	drop(c);
	answer_who_waits(process);
	kf_mps_exit_if_all_are_gone();
	mend_if_all_are_gone();
}

/* A client that goes without its three words leaves R580's server deaf to its daemon, for good. */
static void wedge(struct kf_mps_client *c)
{
	kf_mps_log("User did not send valid credentials");
	kf_mps_here.greets = 0;
	kf_mps_here.wedged = 1;
	drop(c);
}

/* One of the three words: its credentials, its context, the device of that.  0; -1: none of them.
 */
static int take_word(struct kf_mps_client *c)
{
	struct kf_mps_along along;
	char word[sizeof(KF_MPS_CRED) + 1];
	ssize_t n = kf_mps_hear(c->socket, word, sizeof(word), 0, &along);
	uint32_t number;

	if (along.passed >= 0)
		close(along.passed);
	if (c->words == 0) {
		if (n != sizeof(KF_MPS_CRED) || memcmp(word, KF_MPS_CRED, sizeof(KF_MPS_CRED)))
			return -1;
		c->pid = along.who.pid;
	} else if (n != sizeof(number)) {
		return -1;
	} else if (c->words == 1) {
		memcpy(&number, word, sizeof(number));
		c->context = number;
	}
	c->words++;
	return 0;
}

/* --- faults --- */

/* The log names one of those who were there, and never the culprit (seen 4 times of 4). */
static const struct kf_mps_client *blame(const struct kf_mps_client *culprit)
{
	const struct kf_mps_client *c = NULL;
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].context && (!c || c->pid == culprit->pid))
			c = &kf_mps_here.client[i];
	return c;
}

static void log_fault(const struct kf_mps_client *culprit)
{
	static const struct kf_mps_client nobody;
	const struct kf_mps_client *blamed = blame(culprit ? culprit : &nobody), *c;
	const struct kf_mps_client *end = kf_mps_here.client + kf_mps_here.n_clients;

	if (blamed)
		kf_mps_log("Client {PID: %d, Context: %u} encountered a fatal GPU error.",
			   (int)blamed->pid, blamed->context);
	kf_mps_log("Server is handling a fatal GPU error.");
	for (c = kf_mps_here.client; c < end; c++)
		if (c->context)
			kf_mps_log("Client {PID: %d, Context ID: %u} on device 0 to be torn down",
				   (int)c->pid, c->context);
	for (c = kf_mps_here.client; c < end; c++)
		if (c->context)
			kf_mps_log("All clients belonging to error trigging process %d will be "
				   "torn down",
				   (int)c->pid);
	kf_mps_log("The following devices will be reset:");
	kf_mps_log("0");
	kf_mps_log("The following client process have a sticky error set:");
	for (c = kf_mps_here.client; c < end; c++)
		if (c->context)
			kf_mps_log("%d", (int)c->pid);
}

void kf_mps_fault(const struct kf_mps_client *culprit, unsigned result)
{
	const struct kf_sim_spot *at = &kf_mps_here.seen.at[0];
	struct kf_mps_message m = {.verb = KF_MPS_FAULT, .result = result};
	unsigned i;

	if (kf_mps_here.state == KF_MPS_FAULTY)
		return;
	kf_sim_lock(kf_mps_here.sim.state);
	kf_sim_xid_push(kf_mps_here.sim.state, at->gpu, 31, at->gi, at->ci);
	kf_sim_unlock(kf_mps_here.sim.state);
	log_fault(culprit);
	kf_mps_set_state(KF_MPS_FAULTY);
	for (i = 0; i < kf_mps_here.n_clients; i++) {
		struct kf_mps_client *c = &kf_mps_here.client[i], *process;

		process = c->context ? kf_mps_process(c->pid) : NULL;
		if (!c->context)
			continue;
		c->faulted = 1;
		if (process)
			send_to(process, &m);
	}
	mend_if_all_are_gone();
}

void kf_mps_client_hear(struct kf_mps_client *c)
{
	if (c->welcomed) {
		gone(c); /* nothing else ever comes on the socket */
	} else if (take_word(c) < 0) {
		wedge(c);
	} else if (c->words == 3) {
		kf_mps_here.greets = 0;
		judge(c);
	}
}

void kf_mps_client_read(struct kf_mps_client *c)
{
	struct kf_mps_message m;

	if (read(c->from, &m, sizeof(m)) != sizeof(m)) {
		/* its end, of which the socket tells, too */
		close(c->from);
		c->from = -1;
	} else if (m.verb == KF_MPS_HELLO) {
		c->slot = m.slot;
	} else if (m.verb == KF_MPS_FAULT) {
		kf_mps_fault(c, m.result);
	}
}

static void forget_rows(uint32_t slot)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	unsigned i;

	kf_sim_lock(s);
	for (i = 0; i < s->process_end; i++)
		if (s->process[i].used && s->process[i].client == slot &&
		    s->process[i].kind == KF_SIM_MPS)
			kf_sim_process_remove(&kf_mps_here.sim, i);
	kf_sim_unlock(s);
}

/*
 * Its contexts are over at once; the process stays a client until it exits.  One that has had a
 * fault is waited for, as long as it lives, and with it all commands (seen).
 */
int kf_mps_terminate(pid_t pid)
{
	struct kf_mps_message m = {.verb = KF_MPS_TERMINATED};
	struct kf_mps_client *process = kf_mps_process(pid);

	if (!process || !process->welcomed)
		return -1;
	kf_mps_log("MPS server requesting client {PID: %d, Context ID: 1} to exit", (int)pid);
	if (kf_mps_here.state == KF_MPS_FAULTY) {
		kf_mps_here.waits_for = pid;
		return 0;
	}
	process->terminated = 1;
	send_to(process, &m);
	forget_rows(process->slot);
	kf_mps_log("Client termination succeeded.");
	return 0;
}

/* Four ends of pipes and a zero: what a client gets before it has said a word. */
static void give_pipes(struct kf_mps_client *c)
{
	unsigned i;
	int ends[2];

	for (i = 0; i < KF_MPS_PIPES && pipe2(ends, O_CLOEXEC) == 0; i++) {
		int theirs = ends[i % 2], *ours = i == KF_MPS_FROM_SERVER ? &c->to : &c->from;

		kf_mps_say(c->socket, KF_MPS_CUFD, sizeof(KF_MPS_CUFD), theirs);
		close(theirs);
		if (i <= KF_MPS_TO_SERVER)
			*ours = ends[1 - i % 2];
		else
			close(ends[1 - i % 2]);
	}
	kf_mps_say(c->socket, "", 1, -1);
}

/* "client PID UID" */
void kf_mps_client_new(const char *line, int fd)
{
	static unsigned ids;
	static struct kf_mps_client last;
	struct kf_mps_client *c;
	int pid, uid;

	kf_mps_here.n_given++;
	if (fd < 0 || sscanf(line, "client %d %d", &pid, &uid) != 2 ||
	    kf_mps_here.n_clients == KF_MPS_CHANNELS) {
		if (fd >= 0)
			close(fd);
		tell_clients();
		return;
	}
	c = &kf_mps_here.client[kf_mps_here.n_clients++];
	*c = (struct kf_mps_client){fd, -1, -1, pid, ++ids, .slot = KF_SIM_NONE};
	/* it says whom it had before, as NVIDIA's does */
	kf_mps_log("Received new client request for {PID: %d, Context ID: %u}", (int)last.pid,
		   last.context);
	last.pid = pid;
	last.context = kf_mps_process(pid) ? 1 : 0;
	settle(c);
	give_pipes(c);
	kf_mps_here.greets = 1;
	tell_clients();
}
