/*
 * Who connects to the control socket: clients, led through the handshake and handed over to a
 * server, and command lines.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "mps/daemon.h"
#include "mps/socket.h"
#include "mps/wire.h"

static const struct kf_mps_step steps[] = KF_MPS_STEPS;
#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

/* The step at whose answer a client is held until there is a server for it. */
#define GATE_STEP (N_STEPS - 2)

/* A client that was let in and went before its descriptor came is none. */
static void take_back(struct kf_mps_daemon *d)
{
	struct kf_mps_child *server = kf_mps_child_any(d);

	if (server && server->n_given) {
		server->n_given--;
		server->n_clients--;
	}
}

static void hang_up(struct kf_mps_daemon *d, struct kf_mps_connection *c)
{
	if (d->asker == c) {
		d->asker = NULL;
		d->asked->unwanted++;
	}
	if (c->kind == KF_MPS_IS_CLIENT && c->step == GATE_STEP + 1)
		take_back(d);
	close(c->fd);
	*c = (struct kf_mps_connection){.fd = -1};
}

static void answer(struct kf_mps_daemon *d, struct kf_mps_connection *c, unsigned bytes)
{
	static const char zeros[KF_MPS_MAX];

	if (bytes && kf_mps_say(c->fd, zeros, bytes, -1) < 0)
		hang_up(d, c);
}

static uid_t server_uid(const struct kf_mps_daemon *d, const struct kf_mps_connection *c)
{
	return d->multiuser ? getuid() : c->who.uid;
}

/*
 * One user at a time: another one's client waits until the server has no client more; then the
 * server goes, and the next is that user's.
 */
static void admit(struct kf_mps_daemon *d, struct kf_mps_connection *c)
{
	struct kf_mps_child *server = kf_mps_child_any(d);

	if (!server) {
		if (!d->quits && !kf_mps_child_start(d, server_uid(d, c)))
			hang_up(d, c);
		return;
	}
	if (server->uid != server_uid(d, c)) {
		if (!server->n_clients)
			kf_mps_child_end(server);
		return;
	}
	if (!server->ready || server->ending)
		return;
	kf_mps_log("NEW CLIENT %d from user %u: Server already exists", (int)c->who.pid,
		   (unsigned)c->who.uid);
	c->waits = 0;
	c->step++;
	server->n_clients++; /* from now on it is this server's */
	server->n_given++;
	answer(d, c, steps[GATE_STEP].answer);
}

void kf_mps_connections_admit(struct kf_mps_daemon *d)
{
	unsigned i;

	for (i = 0; i < KF_MPS_CONNECTIONS; i++)
		if (d->connection[i].fd >= 0 && d->connection[i].waits &&
		    d->connection[i].kind == KF_MPS_IS_CLIENT)
			admit(d, &d->connection[i]);
}

static void hand_over(struct kf_mps_daemon *d, struct kf_mps_connection *c, int passed)
{
	struct kf_mps_child *server = kf_mps_child_any(d);
	char line[64];

	snprintf(line, sizeof(line), "client %d %u", (int)c->who.pid, (unsigned)c->who.uid);
	if (server)
		kf_mps_child_say(server, line, passed);
	close(passed);
}

/* A message of a client's: it must be the next step of the handshake, to the byte. */
static void client_step(struct kf_mps_daemon *d, struct kf_mps_connection *c, ssize_t n,
			const struct kf_mps_along *along)
{
	const struct kf_mps_step *step = &steps[c->step < N_STEPS ? c->step : N_STEPS - 1];

	if (c->step >= N_STEPS || c->waits || (size_t)n != step->ask ||
	    along->n_passed != step->ask_fds) {
		kf_mps_log("Client %d: unexpected message", (int)c->who.pid);
		if (along->passed >= 0)
			close(along->passed);
		hang_up(d, c);
		return;
	}
	if (c->step == GATE_STEP) {
		c->waits = 1;
		kf_mps_log("NEW CLIENT %d from user %u: Server is not ready, push client to "
			   "pending list",
			   (int)c->who.pid, (unsigned)c->who.uid);
		admit(d, c);
		return;
	}
	if (along->passed >= 0)
		hand_over(d, c, along->passed);
	c->step++;
	answer(d, c, step->answer);
}

static void say(struct kf_mps_connection *c, const char *text, size_t n)
{
	kf_mps_say(c->fd, text, n ? n : 1, -1); /* an empty message would be an end */
}

void kf_mps_reply(struct kf_mps_daemon *d, const char *text, size_t n)
{
	d->asker->waits = 0;
	say(d->asker, text, n);
	d->asker = NULL;
}

static void ui_line(struct kf_mps_daemon *d, struct kf_mps_connection *c, const char *line)
{
	kf_auto(kf_text_done) struct kf_text out = {0};

	if (kf_mps_command(d, line, &out) == KF_MPS_LATER) {
		c->waits = 1;
		d->asker = c;
		return;
	}
	say(c, out.s ? out.s : "", out.n);
}

/* Command lines take turns: while a server owes one its answer, the others are not read. */
static int is_its_turn(const struct kf_mps_daemon *d, struct kf_mps_connection *c)
{
	uint32_t who = 0;

	if (!d->asker || d->asker == c || c->kind == KF_MPS_IS_CLIENT)
		return 1;
	if (recv(c->fd, &who, sizeof(who), MSG_PEEK | MSG_DONTWAIT) != sizeof(who) ||
	    who != KF_MPS_UI)
		return 1;
	c->held = 1;
	return 0;
}

void kf_mps_connection_hear(struct kf_mps_daemon *d, struct kf_mps_connection *c)
{
	static char bytes[KF_MPS_TEXT];
	struct kf_mps_along along;
	uint32_t who = 0;
	ssize_t n;

	if (!is_its_turn(d, c))
		return;
	n = kf_mps_hear(c->fd, bytes, sizeof(bytes) - 1, MSG_DONTWAIT, &along);
	if (n < (ssize_t)sizeof(who)) {
		if (along.passed >= 0)
			close(along.passed);
		hang_up(d, c);
		return;
	}
	bytes[n] = '\0';
	memcpy(&who, bytes, sizeof(who));
	if (c->kind == KF_MPS_UNKNOWN) {
		c->who = along.who;
		c->kind = who == KF_MPS_UI ? KF_MPS_IS_UI : KF_MPS_IS_CLIENT;
		kf_mps_log(c->kind == KF_MPS_IS_UI ? "NEW UI" : "Accepting connection...");
	}
	if (c->kind == KF_MPS_IS_UI)
		ui_line(d, c, bytes + sizeof(who));
	else
		client_step(d, c, n, &along);
}

void kf_mps_connection_take(struct kf_mps_daemon *d)
{
	int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);
	unsigned i;

	for (i = 0; fd >= 0 && i < KF_MPS_CONNECTIONS; i++)
		if (d->connection[i].fd < 0) {
			d->connection[i] = (struct kf_mps_connection){.fd = fd};
			return;
		}
	if (fd >= 0)
		close(fd);
}

void kf_mps_connections_give_up(struct kf_mps_daemon *d)
{
	unsigned i;

	for (i = 0; i < KF_MPS_CONNECTIONS; i++)
		if (d->connection[i].fd >= 0 && d->connection[i].waits &&
		    d->connection[i].kind == KF_MPS_IS_CLIENT)
			hang_up(d, &d->connection[i]);
}
