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

static const char *const states[] = {"INITIALIZING", "ACTIVE", "FAULT"};

const char *kf_mps_state_name(void)
{
	return states[kf_mps_here.state];
}

void kf_mps_tell(const char *what, const char *text)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %s", what, text);

	kf_mps_say(CONTROL, line, (size_t)n, -1);
}

void kf_mps_set_state(enum kf_mps_state state)
{
	kf_mps_here.state = state;
	kf_mps_tell("state", kf_mps_state_name());
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
	kf_mps_set_state(KF_MPS_ACTIVE);
}

/* --- the loop --- */

static void shut_down(void)
{
	kf_mps_log("Server has been notified to shutdown");
	kf_mps_log("Waiting for current clients to finish");
	kf_mps_here.shuts_down = 1;
	kf_mps_exit_if_all_are_gone();
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
		kf_mps_client_new(line, along.passed);
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
	if (!answer.failed && !kf_mps_here.waits_for)
		kf_mps_say(CONTROL, answer.s, answer.n, -1);
}

static void hear_signal(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM)
		_exit(0);
	kf_mps_fault(NULL, CUDA_ERROR_ILLEGAL_ADDRESS); /* kerf sim mps fault */
}

/* One that can be read of so many, or n. */
static unsigned first(const struct pollfd *p, unsigned n)
{
	unsigned i = 0;

	while (i < n && !p[i].revents)
		i++;
	return i;
}

/* One client a round: what it does may move the others' places.  Pipes first, then ends. */
static int hear_clients(const struct pollfd *pipe, const struct pollfd *end, unsigned n)
{
	unsigned i = first(pipe, n);

	if (i < n)
		kf_mps_client_read(&kf_mps_here.client[i]);
	else if ((i = first(end, n)) < n)
		kf_mps_client_hear(&kf_mps_here.client[i]);
	return i < n;
}

static void loop(int signals)
{
	static struct pollfd p[2 + 2 * KF_MPS_CHANNELS];
	unsigned i, n;

	for (;;) {
		int deaf = kf_mps_here.greets || kf_mps_here.wedged || kf_mps_here.waits_for;

		n = kf_mps_here.n_clients;
		p[0] = (struct pollfd){.fd = deaf ? -1 : CONTROL, .events = POLLIN};
		p[1] = (struct pollfd){.fd = signals, .events = POLLIN};
		for (i = 0; i < n; i++) {
			const struct kf_mps_client *c = &kf_mps_here.client[i];

			p[2 + i] = (struct pollfd){c->welcomed ? c->from : -1, POLLIN, 0};
			p[2 + n + i] = (struct pollfd){c->socket, POLLIN, 0};
		}
		if (poll(p, 2 + 2 * n, -1) <= 0)
			continue;
		if (!hear_clients(p + 2, p + 2 + n, n) && p[1].revents)
			hear_signal(signals);
		if (p[0].revents && !kf_mps_here.greets && !kf_mps_here.waits_for)
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
	int r;

	kf_sim_dev_dir(kf_mps_here.sim.dir, dev, sizeof(dev));
	kf_sim_lock(kf_mps_here.sim.state);
	r = kf_sim_spots_see(kf_mps_here.sim.state, dev, getenv("CUDA_VISIBLE_DEVICES"), NULL,
			     &kf_mps_here.seen);
	kf_sim_unlock(kf_mps_here.sim.state);
	if (kf_mps_here.seen.n > KF_MPS_DEVICES)
		kf_mps_here.seen.n = KF_MPS_DEVICES;
	return r == 0 && kf_mps_here.seen.n ? 0 : -1;
}

static int watch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
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

	if (kf_mps_machine(&kf_mps_here.sim) < 0)
		return -1;
	return uid == getuid() ? 0 : setresuid(uid, uid, uid);
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
	kf_mps_log_context("Creating");
	kf_mps_log("CUDA MPS Server for Linux/Unix. Binary version: 13000");
	kf_mps_log("Display Driver version: %u", kf_mps_here.sim.state->machine.driver_major);
	loop(signals);
	return 0;
}
