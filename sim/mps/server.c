/*
 * nvidia-cuda-mps-server: started by the control daemon, which speaks to it on descriptor 3 in
 * lines of text: "begin" with the first limits, "client PID UID" with the client's descriptor, or a
 * command. It answers "answer TEXT" and tells "state ACTIVE" and "clients 3 7" (it has three, and
 * was given seven so far) whenever that changes.
 */
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
#include "mps/mps.h"
#include "mps/server.h"
#include "mps/socket.h"
#include "mps/wire.h"

#define CONTROL 3

/* Measured: 66 MiB on a whole H100; 60 on a slice, as NVIDIA's guide shows. */
#define WHOLE_MIB 66
#define SLICE_MIB 60

struct kf_mps_server kf_mps_here = {.shares = {.percent_x10 = 1000}};

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

static void tell_clients(void)
{
	char n[32];

	snprintf(n, sizeof(n), "%u %u", kf_mps_here.n_clients, kf_mps_here.n_given);
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
		unsigned slices;

		if (at->gi == KF_SIM_NONE)
			continue;
		slices = kf_sim_spot_slices(s, at);
		if (all * slices / kf_sim_spot_product(s, at)->shape.slices < least)
			least = all * slices / kf_sim_spot_product(s, at)->shape.slices;
	}
	kf_sim_unlock(s);
	return least;
}

/* --- clients --- */

static void settle(struct kf_mps_client *c)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	struct kf_mps_message *m = &c->welcome;
	unsigned i;

	*m = (struct kf_mps_message){.verb = KF_MPS_WELCOME, .pid = (uint32_t)getpid()};
	kf_sim_lock(s);
	for (i = 0; i < kf_mps_here.seen.n && i < KF_MPS_DEVICES; i++) {
		const struct kf_sim_spot *at = &kf_mps_here.seen.at[i];

		m->device[i] = (struct kf_mps_device){
			.gpu = at->gpu,
			.gi = at->gi,
			.ci = at->ci,
			.percent_x10 = kf_mps_here.shares.percent_x10,
			.memory_bytes = kf_mps_limits_find(s, &kf_mps_here.shares.memory, at, i),
		};
	}
	m->n = i;
	kf_sim_unlock(s);
}

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

/* Whoever may not come in is told so, and is no client. */
static void refuse(struct kf_mps_client *c, unsigned result)
{
	c->welcome.result = result;
	c->welcome.n = 0;
	send_to(c, &c->welcome);
	drop(c);
}

static unsigned n_welcomed(void)
{
	unsigned i, n = 0;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		n += kf_mps_here.client[i].welcomed;
	return n;
}

/* While the server is in FAULT nobody new gets in: they wait. */
static void welcome_those_who_wait(void)
{
	unsigned i = 0;

	while (kf_mps_here.state == KF_MPS_ACTIVE && i < kf_mps_here.n_clients) {
		struct kf_mps_client *c = &kf_mps_here.client[i];

		if (!c->greeted || c->welcomed) {
			i++;
			continue;
		}
		if (n_welcomed() >= most_clients()) {
			kf_mps_log("Client %d refused: too many clients", (int)c->pid);
			refuse(c, CUDA_ERROR_MPS_MAX_CLIENTS_REACHED);
			continue;
		}
		c->welcomed = 1;
		send_to(c, &c->welcome);
		kf_mps_log("Status of client {0, %d} is ACTIVE", (int)c->pid);
		i++;
	}
}

static void mend_if_all_are_gone(void)
{
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++)
		if (kf_mps_here.client[i].faulted)
			return;
	if (kf_mps_here.state != KF_MPS_FAULTY)
		return;
	kf_mps_log("Destroy server context on device 0");
	kf_mps_log("Creating server context on device 0");
	set_state(KF_MPS_ACTIVE);
}

static void gone(struct kf_mps_client *c)
{
	kf_mps_log("Receive command failed, assuming client exit");
	kf_mps_log("Client {0, %d} exit", (int)c->pid);
	drop(c);
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
		send_to(c, &m);
		kf_mps_log("Client {0, %d} exit with status 806", (int)c->pid);
	}
	mend_if_all_are_gone();
}

static void hear_client(struct kf_mps_client *c)
{
	struct kf_mps_message m;
	ssize_t n = kf_mps_hear(c->fd, &m, sizeof(m), MSG_DONTWAIT, NULL);

	if (n != sizeof(m))
		gone(c);
	else if (m.verb == KF_MPS_HELLO && !c->greeted) {
		c->greeted = 1;
		c->slot = m.slot;
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

int kf_mps_terminate(pid_t pid)
{
	struct kf_mps_message m = {.verb = KF_MPS_TERMINATED};
	unsigned i;

	for (i = 0; i < kf_mps_here.n_clients; i++) {
		struct kf_mps_client *c = &kf_mps_here.client[i];

		if (c->pid != pid)
			continue;
		kf_mps_log("Terminate client {0, %d}", (int)pid);
		send_to(c, &m);
		forget_rows(c->slot);
		gone(c);
		return 0;
	}
	return -1;
}

/* "client PID UID": its limits are those of this moment. */
static void new_client(const char *line, int fd)
{
	struct kf_mps_client *c;
	int pid, uid;

	kf_mps_here.n_given++;
	if (fd < 0 || sscanf(line, "client %d %d", &pid, &uid) != 2 ||
	    kf_mps_here.n_clients == KF_MPS_CLIENTS) {
		if (fd >= 0)
			close(fd);
		tell_clients();
		return;
	}
	kf_mps_log("Received new client request");
	c = &kf_mps_here.client[kf_mps_here.n_clients++];
	*c = (struct kf_mps_client){.fd = fd, .pid = pid, .uid = (uid_t)uid};
	settle(c);
	tell_clients();
}

/* "begin PERCENT_X10 DEVICE=BYTES,...": the daemon's defaults. */
static void begin(const char *line)
{
	const char *limits;
	char *end;

	kf_mps_here.shares.percent_x10 = (unsigned)strtoul(line + 6, &end, 10);
	limits = end + strspn(end, " ");
	kf_mps_limits_parse(limits, &kf_mps_here.shares.memory);
}

/* --- the loop --- */

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
		kf_mps_log("Server exit");
		_exit(0);
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
	struct pollfd p[2 + KF_MPS_CLIENTS];
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

/* The server's own row on each device. */
static int settle_down(void)
{
	struct kf_sim_state *s = kf_mps_here.sim.state;
	unsigned i;
	int r = 0;

	kf_sim_lock(s);
	kf_sim_client_add(&kf_mps_here.sim);
	for (i = 0; i < kf_mps_here.seen.n; i++) {
		const struct kf_sim_spot *at = &kf_mps_here.seen.at[i];
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
		unsigned mode = kf_sim_now(s, at->gpu)->compute_mode;

		if (mode == 2 || (mode == 3 && kf_sim_process_on(&kf_mps_here.sim, at->gpu,
								 KF_SIM_NONE, KF_SIM_NONE)))
			r = -1;
		else
			r = kf_sim_process_add(&kf_mps_here.sim, &p);
	}
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

/* nvidia-cuda-mps-server LOGS UID: the machine is opened before the user is changed. */
int kf_mps_server(int argc, char **argv)
{
	uid_t uid;
	int signals;

	if (argc != 3)
		return 1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	kf_mps_log_open(argv[1], "server.log", "Server");
	kf_mps_log("Startup");
	if (kf_mps_machine(&kf_mps_here.sim) < 0)
		return 1;
	uid = (uid_t)strtoul(argv[2], NULL, 10);
	if (uid != getuid() && setresuid(uid, uid, uid) < 0)
		return 1;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user undoes it */
	signals = watch_signals();
	if (signals < 0 || see() < 0 || settle_down() < 0) {
		kf_mps_log("Failed to start: no device is available");
		return 1;
	}
	kf_mps_log("Server has started");
	set_state(KF_MPS_ACTIVE);
	loop(signals);
	return 0;
}
