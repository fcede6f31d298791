/* Who connects to the control socket, one at a time; what passes is in wire.h. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "mps/daemon.h"
#include "mps/socket.h"
#include "mps/wire.h"

/* --- clients --- */

static uid_t server_uid(const struct kf_mps_daemon *d, const struct ucred *who)
{
	return d->multiuser ? getuid() : who->uid;
}

/*
 * The server that takes this user's clients now.  One user at a time: another one's client waits
 * until the server has no client more; then that goes, and the next is the other user's.
 */
static struct kf_mps_child *server_for(struct kf_mps_daemon *d, const struct ucred *who)
{
	struct kf_mps_child *server = kf_mps_child_any(d);

	if (!server)
		server = kf_mps_child_start(d, server_uid(d, who));
	if (!server || !server->ready || server->ending)
		return NULL;
	if (server->uid == server_uid(d, who))
		return server;
	if (!server->n_clients)
		kf_mps_child_end(server);
	return NULL;
}

/*
 * One end of a new pair to the server, the other to the client, which says that it has it when the
 * server has let it in.
 */
static void introduce(struct kf_mps_daemon *d, struct kf_mps_child *server, int fd,
		      const struct ucred *who)
{
	const int on = 1;
	char line[64];
	uint32_t got;
	int pair[2];

	kf_mps_log("NEW CLIENT %d from user %u: Server already exists", (int)who->pid,
		   (unsigned)who->uid);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	snprintf(line, sizeof(line), "client %d %u", (int)who->pid, (unsigned)who->uid);
	if (kf_mps_child_say(server, line, pair[1]) == 0) {
		server->n_given++;
		server->n_clients++; /* at most; the server tells how many there are */
	}
	if (kf_mps_say(fd, KF_MPS_CUFD, sizeof(KF_MPS_CUFD), pair[0]) == 0) {
		close(pair[0]);
		close(pair[1]);
		pair[0] = pair[1] = -1;
		if (kf_mps_wait(d, fd) == 0)
			kf_mps_hear(fd, &got, sizeof(got), 0, NULL);
	}
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
}

/* 1: the connection stays open, the client waits. */
static int serve_client(struct kf_mps_daemon *d, int fd, const struct ucred *who)
{
	struct kf_mps_child *server = server_for(d, who);

	if (server) {
		introduce(d, server, fd, who);
		return 0;
	}
	if (d->n_pending == KF_MPS_PENDING)
		return 0;
	kf_mps_log("NEW CLIENT %d from user %u: Server is not ready, push client to pending list",
		   (int)who->pid, (unsigned)who->uid);
	d->pending[d->n_pending++] = (struct kf_mps_pending){fd, *who};
	return 1;
}

static void forget_pending(struct kf_mps_daemon *d, unsigned i)
{
	close(d->pending[i].fd);
	d->n_pending--;
	memmove(&d->pending[i], &d->pending[i + 1], (d->n_pending - i) * sizeof(d->pending[0]));
}

static int hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

void kf_mps_serve_pending(struct kf_mps_daemon *d)
{
	unsigned i = 0;

	while (i < d->n_pending && !d->over) {
		struct kf_mps_pending p = d->pending[i];
		struct kf_mps_child *server = hung_up(p.fd) ? NULL : server_for(d, &p.who);

		if (server)
			introduce(d, server, p.fd, &p.who);
		if (server || hung_up(p.fd))
			forget_pending(d, i);
		else
			i++;
	}
}

void kf_mps_give_up_pending(struct kf_mps_daemon *d)
{
	while (d->n_pending)
		forget_pending(d, 0);
}

/* --- command lines --- */

/* Each line of an output is logged, too. */
static void reply(int fd, struct kf_text *out)
{
	kf_auto(kf_text_done) struct kf_text message = {0};
	size_t n = out->n;

	if (!n)
		return;
	if (out->s[n - 1] == '\n')
		n--;
	kf_text_addn(&message, "\0\0\0\0", 4);
	kf_text_addn(&message, out->s, n);
	kf_mps_log("%.*s", (int)n, out->s);
	if (!message.failed)
		kf_mps_say(fd, message.s, message.n, -1);
}

/* Its next command: the length in `bytes`, 0 at the end; -1: it is gone. */
static ssize_t next_command(struct kf_mps_daemon *d, int fd, char *bytes, size_t size)
{
	uint64_t length;

	if (kf_mps_wait(d, fd) < 0 ||
	    kf_mps_hear(fd, &length, sizeof(length), 0, NULL) != sizeof(length) || length >= size)
		return -1;
	if (length == 0)
		return 0;
	if (kf_mps_wait(d, fd) < 0 || kf_mps_hear(fd, bytes, size, 0, NULL) != (ssize_t)length)
		return -1;
	bytes[length] = '\0';
	bytes[strcspn(bytes, "\n")] = '\0';
	return (ssize_t)length;
}

static void serve_ui(struct kf_mps_daemon *d, int fd, const struct ucred *who)
{
	static char bytes[KF_MPS_TEXT];
	const uint64_t end = 1;
	ssize_t n;

	kf_mps_log("NEW UI");
	while (!d->over && (n = next_command(d, fd, bytes, sizeof(bytes) - 1)) > 0) {
		kf_auto(kf_text_done) struct kf_text out = {0};

		kf_mps_log("Cmd:%s", bytes);
		kf_mps_command(d, who->uid, bytes, &out);
		reply(fd, &out);
	}
	/* what is left unread would reach the peer as an error, before our last word */
	while (kf_mps_hear(fd, bytes, sizeof(bytes), MSG_DONTWAIT, NULL) > 0)
		;
	kf_mps_say(fd, &end, sizeof(end), -1);
	kf_mps_log("UI closed");
}

/* --- both --- */

/* No answer to what is not understood, and nobody else's turn, before the caller has gone. */
static void wait_for_the_end(struct kf_mps_daemon *d, int fd)
{
	char bytes[256];

	while (kf_mps_wait(d, fd) == 0 && kf_mps_hear(fd, bytes, sizeof(bytes), 0, NULL) > 0)
		;
}

/* The greeting: whose connection it is, and what kind of a caller; -1: none. */
static int greet(struct kf_mps_daemon *d, int fd, struct ucred *who)
{
	struct kf_mps_along along;
	char word[sizeof(KF_MPS_CRED) + 1];
	uint32_t caller;
	ssize_t n;

	if (kf_mps_say(fd, KF_MPS_HELL, sizeof(KF_MPS_HELL), -1) < 0) {
		kf_mps_log("Unable to accept connection");
		return -1;
	}
	n = kf_mps_wait(d, fd) < 0 ? 0 : kf_mps_hear(fd, word, sizeof(word), 0, &along);
	if (n != sizeof(KF_MPS_CRED) || memcmp(word, KF_MPS_CRED, sizeof(KF_MPS_CRED)) != 0) {
		if (n > 0)
			wait_for_the_end(d, fd);
		kf_mps_log("User did not send valid credentials");
		return -1;
	}
	*who = along.who;
	if (kf_mps_wait(d, fd) < 0)
		return -1;
	n = kf_mps_hear(fd, &caller, sizeof(caller), 0, NULL);
	if (n == sizeof(caller))
		return (int)caller;
	kf_mps_log("Unable to read new connection type information");
	return n > 0 ? 0 : -1;
}

void kf_mps_serve(struct kf_mps_daemon *d, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), stays = 0;
	struct ucred who;

	if (fd < 0)
		return;
	kf_mps_log("Accepting connection...");
	switch (greet(d, fd, &who)) {
	case KF_MPS_CLIENT:
		stays = serve_client(d, fd, &who);
		break;
	case KF_MPS_UI:
		serve_ui(d, fd, &who);
		break;
	case KF_MPS_DEBUGGER:
		kf_mps_log("NEW DEBUGGEE %d from user %u", (int)who.pid, (unsigned)who.uid);
		if (kf_mps_child_any(d))
			kf_mps_child_end(kf_mps_child_any(d));
		break;
	case KF_MPS_SERVER:
		kf_mps_log("NEW SERVER %d: Ignoring old connection request", (int)who.pid);
		break;
	case -1:
		break;
	default:
		kf_mps_log("Unknown type of connection");
		wait_for_the_end(d, fd);
	}
	if (!stays)
		close(fd);
}
