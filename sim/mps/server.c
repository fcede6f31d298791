/*
 * nvidia-cuda-mps-server: started by the control daemon, which speaks to it on descriptor 3 in
 * lines of text: "begin" with the first limits, "client PID UID" with a client's descriptor, or a
 * command. It answers "answer TEXT" and tells "state ACTIVE" and "clients 3 7" (it has three
 * processes, and was given seven channels so far) whenever that changes.
 */
#include "mps/server.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/own.h"
#include "core/find.h"
#include "cuda/abi.h"
#include "mps/socket.h"

#define CONTROL 3

/* Measured: 66 MiB on a whole H100; 60 on a slice, as NVIDIA's guide shows. */
#define WHOLE_MIB 66
#define SLICE_MIB 60

struct kf_mps_server kf_mps_here = {.percent_x10 = 1000};

static int shuts_down;

static const char *const states[] = {"INITIALIZING", "ACTIVE", "FAULT"};

const char *kf_mps_state_name(void)
{
	return states[kf_mps_here.state];
}

static void tell(const char *what, const char *text)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %s", what, text);

	kf_mps_say(CONTROL, line, (size_t)n, -1);
}

static void set_state(enum kf_mps_state state)
{
	kf_mps_here.state = state;
	tell("state", kf_mps_state_name());
}

/* --- who there is --- */

struct kf_mps_client *kf_mps_process(pid_t pid)
{
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].pid == pid && !kf_mps_here.client[i].context)
			return &kf_mps_here.client[i];
	return NULL;
}

unsigned kf_mps_n_processes(void)
{
	unsigned i, n = 0;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		n += !kf_mps_here.client[i].context;
	return n;
}

unsigned kf_mps_n_contexts(pid_t pid)
{
	unsigned i, n = 0;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		n += kf_mps_here.client[i].pid == pid && kf_mps_here.client[i].context;
	return n;
}

static void tell_clients(void)
{
	char n[32];

	snprintf(n, sizeof(n), "%u %u", kf_mps_n_processes(), kf_mps_here.n_given);
	tell("clients", n);
}

/*
 * How many clients a device takes: 48, 60 from R590; a slice in proportion to its compute slices.
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

	*m = (struct kf_mps_message){.verb = KF_MPS_WELCOME, .pid = (uint32_t)getpid()};
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

static void send_to(const struct kf_mps_client *c, const struct kf_mps_message *m)
{
	kf_mps_say(c->fd, m, sizeof(*m), -1);
}

static void drop(struct kf_mps_client *c)
{
	unsigned i = (unsigned)(c - kf_mps_here.client);

	close(c->fd);
	kf_mps_here.n_clients--;
	memmove(c, c + 1, (kf_mps_here.n_clients - i) * sizeof(*c));
	tell_clients();
}

static unsigned n_welcomed(void)
{
	unsigned i, n = 0;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		n += kf_mps_here.client[i].welcomed && !kf_mps_here.client[i].context;
	return n;
}

/* 0, or why it may not come in. */
static unsigned refusal(const struct kf_mps_client *c)
{
	const struct kf_mps_client *process = kf_mps_process(c->pid);

	if (c->context)
		return process && process->terminated ? CUDA_ERROR_MPS_CLIENT_TERMINATED : 0;
	return n_welcomed() >= most_clients() ? CUDA_ERROR_MPS_MAX_CLIENTS_REACHED : 0;
}

/* 1: it is in; 0: it was sent away. */
static int welcome(struct kf_mps_client *c)
{
	char name[128];

	c->welcome.result = refusal(c);
	c->welcome.n = c->welcome.result ? 0 : c->welcome.n;
	send_to(c, &c->welcome);
	if (c->welcome.result) {
		drop(c);
		return 0;
	}
	c->welcomed = 1;
	if (!c->context)
		return 1;
	kf_sim_lock(kf_mps_here.sim.state);
	kf_sim_spot_name(kf_mps_here.sim.state, &kf_mps_here.seen.at[0], name, sizeof(name));
	kf_mps_log("Device %s (uuid %s) is associated", name,
		   kf_sim_spot_uuid(kf_mps_here.sim.state, &kf_mps_here.seen.at[0]));
	kf_sim_unlock(kf_mps_here.sim.state);
	kf_mps_log("Status of client {PID: %d, Context ID: %u} is ACTIVE", (int)c->pid, c->context);
	return 1;
}

/* While the server is in FAULT nobody new gets in: they wait. */
static void welcome_those_who_wait(void)
{
	unsigned i = 0;

	while (kf_mps_here.state == KF_MPS_ACTIVE && i < kf_mps_here.n_clients) {
		struct kf_mps_client *c = &kf_mps_here.client[i];

		if (!c->greeted || c->welcomed || welcome(c))
			i++;
	}
}

static void log_context(const char *doing)
{
	char name[128];

	kf_sim_lock(kf_mps_here.sim.state);
	kf_sim_spot_name(kf_mps_here.sim.state, &kf_mps_here.seen.at[0], name, sizeof(name));
	kf_sim_unlock(kf_mps_here.sim.state);
	kf_mps_log("%s server context on device 0 (%s)", doing, name);
}

static void mend_if_all_are_gone(void)
{
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].faulted)
			return;
	if (kf_mps_here.state != KF_MPS_FAULTY)
		return;
	log_context("Destroying");
	log_context("Creating");
	set_state(KF_MPS_ACTIVE);
}

static void exit_if_all_are_gone(void)
{
	if (!shuts_down || kf_mps_here.n_clients)
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
			   (int)c->pid, c->context, kf_mps_n_contexts(c->pid) - 1);
}

static void gone(struct kf_mps_client *c)
{
	log_exit(c);
	drop(c);
	exit_if_all_are_gone();
	mend_if_all_are_gone();
	welcome_those_who_wait();
}

/*
 * A fatal fault of the GPU: every client has it, whoever did it, and the driver reports XID 31
 * without a pid.
 */
static void fault(unsigned result)
{
	const struct kf_sim_spot *at = &kf_mps_here.seen.at[0];
	struct kf_mps_message m = {.verb = KF_MPS_FAULT, .result = result};
	unsigned i;

	if (kf_mps_here.state == KF_MPS_FAULTY)
		return;
	kf_sim_lock(kf_mps_here.sim.state);
	kf_sim_xid_push(kf_mps_here.sim.state, at->gpu, 31, at->gi, at->ci);
	kf_sim_unlock(kf_mps_here.sim.state);
	set_state(KF_MPS_FAULTY);
	for (i = 0; i < kf_mps_here.n_clients; i++) {
		struct kf_mps_client *c = &kf_mps_here.client[i];

		if (!c->welcomed)
			continue;
		c->faulted = 1;
		if (!c->context)
			send_to(c, &m);
	}
	mend_if_all_are_gone();
}

static void hear_client(struct kf_mps_client *c)
{
	struct kf_mps_message m;
	ssize_t n = kf_mps_hear(c->fd, &m, sizeof(m), MSG_DONTWAIT, NULL);

	if (n != sizeof(m)) {
		gone(c);
	} else if (m.verb == KF_MPS_HELLO && !c->greeted) {
		c->greeted = 1;
		c->slot = m.slot;
		c->context = m.context;
		kf_mps_log("Client {PID: %d, Context ID: %u} connected", (int)c->pid, c->context);
		kf_mps_log("Creating worker thread for client {PID: %d, Context ID: %u}",
			   (int)c->pid, c->context);
		welcome_those_who_wait();
	} else if (m.verb == KF_MPS_FAULT && c->welcomed) {
		fault(m.result);
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

/* Its contexts are gone at once; the process stays a client until it exits. */
int kf_mps_terminate(pid_t pid)
{
	struct kf_mps_message m = {.verb = KF_MPS_TERMINATED};
	struct kf_mps_client *process = kf_mps_process(pid);

	if (!process || !process->welcomed)
		return -1;
	kf_mps_log("MPS server requesting client {PID: %d, Context ID: 1} to exit", (int)pid);
	process->terminated = 1;
	send_to(process, &m);
	forget_rows(process->slot);
	kf_mps_log("Client termination succeeded.");
	return 0;
}

/* "client PID UID" */
static void new_client(const char *line, int fd)
{
	static unsigned ids;
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
	*c = (struct kf_mps_client){.fd = fd, .pid = pid, .uid = (uid_t)uid, .id = ++ids};
	kf_mps_log("Received new client request for {PID: %d, Context ID: %u}", pid,
		   kf_mps_n_contexts(pid));
	settle(c);
	tell_clients();
}

/* "begin PERCENT_X10 DEVICE=MIB,...": the daemon's defaults, in the order in which they were set.
 */
static void begin(const char *line)
{
	struct kf_mps_limits l = {0};
	unsigned i;
	char *end;

	kf_mps_here.percent_x10 = (unsigned)strtoul(line + 6, &end, 10);
	kf_mps_limits_parse(end + strspn(end, " "), &l);
	for (i = 0; i < l.n; i++)
		kf_mps_set_memory(l.of[i].device, l.of[i].bytes);
	kf_mps_log("Active Threads Percentage set to %u.%u", kf_mps_here.percent_x10 / 10,
		   kf_mps_here.percent_x10 % 10);
	kf_mps_log("Server Priority set to 0");
	kf_mps_log("Server has started");
	set_state(KF_MPS_ACTIVE);
}

/* --- the loop --- */

static void shut_down(void)
{
	kf_mps_log("Server has been notified to shutdown");
	kf_mps_log("Waiting for current clients to finish");
	shuts_down = 1;
	exit_if_all_are_gone();
}

static void hear_control(void)
{
	static char line[KF_MPS_TEXT];
	struct kf_mps_along along;
	ssize_t n = kf_mps_hear(CONTROL, line, sizeof(line) - 1, 0, &along);
	kf_auto(kf_text_done) struct kf_text answer = {0};

	if (n <= 0) /* the daemon is gone, and with it the server */
		_exit(1);
	line[n] = '\0';
	if (!strncmp(line, "client ", 7)) {
		new_client(line, along.passed);
		return;
	}
	if (along.passed >= 0)
		close(along.passed);
	if (!strncmp(line, "begin ", 6)) {
		begin(line);
		return;
	}
	if (!strcmp(line, "shutdown")) {
		shut_down();
		return;
	}
	kf_text_add(&answer, "answer ");
	kf_mps_server_command(line, &answer);
	if (!answer.failed)
		kf_mps_say(CONTROL, answer.s, answer.n, -1);
}

static void hear_signal(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM)
		_exit(0);
	fault(CUDA_ERROR_ILLEGAL_ADDRESS); /* kerf sim mps fault */
}

static void loop(int signals)
{
	static struct pollfd p[2 + KF_MPS_CHANNELS];
	unsigned i, n;

	for (;;) {
		n = kf_mps_here.n_clients;
		p[0] = (struct pollfd){.fd = CONTROL, .events = POLLIN};
		p[1] = (struct pollfd){.fd = signals, .events = POLLIN};
		for (i = 0; i < n; i++)
			p[2 + i] = (struct pollfd){kf_mps_here.client[i].fd, POLLIN, 0};
		if (poll(p, 2 + n, -1) <= 0)
			continue;
		/* one client a round: what it does may move the others' places */
		for (i = 0; i < n && !p[2 + i].revents; i++)
			;
		if (i < n)
			hear_client(&kf_mps_here.client[i]);
		else if (p[1].revents)
			hear_signal(signals);
		if (p[0].revents)
			hear_control();
	}
}

/* --- start --- */

/* The server's own row on one device; -1: that is not to be had. */
static int take_device(struct kf_sim_state *s, const struct kf_sim_spot *at)
{
	unsigned mode = kf_sim_now(s, at->gpu)->compute_mode;
	struct kf_sim_process p = {
		.pid = (uint32_t)getpid(),
		.gpu = at->gpu,
		.gi = at->gi,
		.ci = at->ci,
		.kind = KF_SIM_MPS_SERVER,
		.client = kf_mps_here.sim.client,
		.memory_mib = at->gi == KF_SIM_NONE ? WHOLE_MIB : SLICE_MIB,
		.name = "nvidia-cuda-mps-server",
	};

	if (mode == 2 ||
	    (mode == 3 && kf_sim_process_on(&kf_mps_here.sim, at->gpu, KF_SIM_NONE, KF_SIM_NONE)))
		return -1;
	return kf_sim_process_add(&kf_mps_here.sim, &p);
}

static int take_devices(void)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	unsigned i;
	int r = 0;

	kf_sim_lock(s);
	kf_sim_client_add(&kf_mps_here.sim);
	for (i = 0; i < kf_mps_here.seen.n; i++)
		r |= take_device(s, &kf_mps_here.seen.at[i]);
	kf_sim_unlock(s);
	return r;
}

static int see(void)
{
	char dev[sizeof(kf_mps_here.sim.dir) + 16];

	kf_sim_dev_dir(kf_mps_here.sim.dir, dev, sizeof(dev));
	kf_sim_lock(kf_mps_here.sim.state);
	kf_sim_spots_see(kf_mps_here.sim.state, dev, getenv("CUDA_VISIBLE_DEVICES"), NULL,
			 &kf_mps_here.seen);
	kf_sim_unlock(kf_mps_here.sim.state);
	if (kf_mps_here.seen.n > KF_MPS_DEVICES)
		kf_mps_here.seen.n = KF_MPS_DEVICES;
	return kf_mps_here.seen.n ? 0 : -1;
}

static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The machine is opened before the user is changed, who may not be able to. */
static int become(const char *user)
{
	uid_t uid = user ? (uid_t)strtoul(user, NULL, 10) : getuid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (kf_mps_machine(&kf_mps_here.sim) < 0 ||
	    (uid != getuid() && setresuid(uid, uid, uid) < 0))
		return -1;
	return prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user undoes it */
}

int kf_mps_server(void)
{
	int signals;

	kf_mps_log_open(getenv(KF_MPS_LOGS), "server.log");
	kf_mps_log("Startup");
	kf_mps_log("Initializing server process");
	if (become(getenv(KF_MPS_USER)) < 0)
		return 1;
	kf_mps_log_as("Server");
	signals = watch_signals();
	if (signals < 0 || see() < 0 || take_devices() < 0) {
		kf_mps_log("Failed to start: no device is available");
		return 1;
	}
	log_context("Creating");
	kf_mps_log("CUDA MPS Server for Linux/Unix. Binary version: 13000");
	kf_mps_log("Display Driver version: %u", kf_mps_here.sim.state->machine.driver_major);
	loop(signals);
	return 0;
}
