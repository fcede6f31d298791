/* A control socket of our own for each slice; see gate.h. */
#include "mps/gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/error.h"
#include "mps/wire.h"

#define NOTHING (1u << 20)

/* --- clients that are through ----------------------------------------------------------------- */

static void free_client(uv_handle_t *handle)
{
	struct kf_gate_client *c = handle->data;

	close(c->pidfd);
	free(c);
}

static void forget_client(struct kf_gate_client *c)
{
	struct kf_gate_client **at = &c->slice->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	uv_close((uv_handle_t *)&c->poll, free_client);
}

static void on_exit_of_client(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	forget_client(poll->data);
}

static struct kf_gate_client *client_of(const struct kf_mps_slice *s, unsigned pid)
{
	struct kf_gate_client *c;

	for (c = s->clients; c; c = c->next)
		if (c->pid == pid)
			return c;
	return NULL;
}

static unsigned count_clients(const struct kf_mps_slice *s)
{
	const struct kf_gate_client *c;
	unsigned n = 0;

	for (c = s->clients; c; c = c->next)
		n++;
	return n;
}

static struct kf_gate_client *note_client(struct kf_mps_slice *s, unsigned pid, uint64_t granted)
{
	struct kf_gate_client *c = kf_calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd < 0 || uv_poll_init(s->gate->loop, &c->poll, c->pidfd) < 0) {
		if (c->pidfd >= 0)
			close(c->pidfd);
		free(c);
		return NULL;
	}
	c->pid = pid;
	c->granted = granted;
	c->slice = s;
	c->poll.data = c;
	c->next = s->clients;
	s->clients = c;
	uv_poll_start(&c->poll, UV_READABLE, on_exit_of_client);
	return c;
}

/* --- who may have what ------------------------------------------------------------------------ */

static void tell(const struct kf_mps_slice *s, const char *what, const char *fmt, unsigned pid)
{
	char sentence[256];

	if (!s->gate->tell)
		return;
	snprintf(sentence, sizeof(sentence), fmt, pid);
	s->gate->tell(s->gate->ud, what, s, sentence);
}

static int is_stranger(const struct kf_mps_slice *s, unsigned pid)
{
	struct kf_cgroup in;

	if (!s->pod_uid[0])
		return 0;
	return !kf_cgroup_of("/", pid, &in) || strcmp(in.pod_uid, s->pod_uid) != 0;
}

/* What the other processes of the slice have left of it. */
static uint64_t left_of(const struct kf_mps_slice *s, unsigned pid)
{
	const struct kf_gate_client *c;
	uint64_t taken = 0;

	for (c = s->clients; c; c = c->next)
		if (c->pid != pid && s->gate->used)
			taken += s->gate->used(s->gate->ud, c->pid);
	return taken < s->bytes ? s->bytes - taken : 0;
}

/* The limit of this process, or 0: it is to have nothing. */
static uint64_t grant_of(struct kf_mps_slice *s, unsigned pid)
{
	const struct kf_gate_client *known = client_of(s, pid);
	uint64_t bytes;

	if (known)
		return known->granted;
	if (is_stranger(s, pid)) {
		tell(s, "stranger",
		     "process %u is not of the pod that has the slice: it gets nothing", pid);
		return 0;
	}
	if (count_clients(s) >= KF_GATE_CLIENTS) {
		tell(s, "crowded", "process %u is one too many of its slice: it gets nothing", pid);
		return 0;
	}
	bytes = left_of(s, pid);
	if (bytes < 2 * NOTHING) {
		tell(s, "full", "process %u finds its slice full: it gets nothing", pid);
		return 0;
	}
	return bytes;
}

/* --- a connection ------------------------------------------------------------------------------
 */

enum step { WANTS_CREDENTIALS, WANTS_TYPE, WAITS, WANTS_GOT_IT };

struct guest {
	struct kf_mps_slice *slice;
	int fd;
	struct ucred who;
	enum step step;
	uv_poll_t poll;
	uv_timer_t timer;
	int closing; /* handles still open */
};

static void on_guest_closed(uv_handle_t *handle)
{
	struct guest *g = handle->data;

	if (--g->closing > 0)
		return;
	close(g->fd);
	if (--g->slice->n_guests == 0 && g->slice->fd < 0)
		free(g->slice); /* it was closed meanwhile */
	free(g);
}

static void end_guest(struct guest *g)
{
	if (g->closing)
		return;
	if (g->step == WANTS_GOT_IT)
		g->slice->gate->settling = 0;
	g->closing = 2;
	uv_close((uv_handle_t *)&g->poll, on_guest_closed);
	uv_close((uv_handle_t *)&g->timer, on_guest_closed);
}

static int send_descriptor(int to, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	char word[KF_MPS_WORD_BYTES] = KF_MPS_DESCRIPTOR;
	struct iovec part = {word, sizeof(word)};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = room,
			   .msg_controllen = sizeof(room)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(int));
	return sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == KF_MPS_WORD_BYTES ? 0 : -1;
}

/* Limits as this client shall have them; those of the one before are settled. */
static int set_limits(struct kf_gate *gate, uint64_t bytes, unsigned percent, struct kf_error *err)
{
	if (gate->bytes == bytes && gate->percent == percent)
		return 0;
	if (kf_mps_control_limit(gate->control, bytes, percent, err) < 0) {
		kf_gate_forget_limits(gate);
		return -1;
	}
	gate->bytes = bytes;
	gate->percent = percent;
	return 0;
}

static void on_timer(uv_timer_t *timer);

static void try_again(struct guest *g, unsigned ms)
{
	g->step = WAITS;
	uv_timer_start(&g->timer, on_timer, ms, 0);
}

static void let_through(struct guest *g)
{
	struct kf_mps_slice *s = g->slice;
	struct kf_gate *gate = s->gate;
	struct kf_error err = {0};
	uint64_t grant, bytes;
	unsigned percent;
	int fd;

	/* under a fault newcomers are refused until the last victim is gone (CUDA error 807) */
	if (!client_of(s, (unsigned)g->who.pid) && gate->ready && !gate->ready(gate->ud)) {
		try_again(g, 20);
		return;
	}
	grant = grant_of(s, (unsigned)g->who.pid);
	bytes = grant ? grant : NOTHING;
	percent = grant ? s->percent : 1;
	/* only when limits change does it matter whether the last client's are settled */
	if ((gate->bytes != bytes || gate->percent != percent) && gate->settling &&
	    kf_now_ms() < gate->given_ms + KF_GATE_SETTLE_MS) {
		try_again(g, 1);
		return;
	}
	gate->settling = 0;
	/* while the daemon is away or answers nobody, the client waits: it must not be refused */
	if (set_limits(gate, bytes, percent, &err) < 0 ||
	    (fd = kf_mps_control_connect(gate->control, g->who.pid, g->who.uid, g->who.gid,
					 KF_GATE_UP_MS, &err)) < 0) {
		try_again(g, 250);
		return;
	}
	if (!client_of(s, (unsigned)g->who.pid) && !uv_is_closing((uv_handle_t *)&s->poll))
		note_client(s, (unsigned)g->who.pid, grant);
	s->served += grant != 0;
	s->refused += grant == 0;
	gate->given_ms = kf_now_ms();
	gate->settling = 1;
	g->step = WANTS_GOT_IT;
	uv_timer_start(&g->timer, on_timer, KF_GATE_GUEST_MS, 0);
	if (send_descriptor(g->fd, fd) < 0)
		end_guest(g);
	close(fd);
}

static void on_timer(uv_timer_t *timer)
{
	struct guest *g = timer->data;

	if (g->step == WAITS)
		let_through(g);
	else
		end_guest(g);
}

/* One message; its descriptors, which a client has no reason to send, are closed.  Bytes, or -1. */
static ssize_t receive(int fd, void *bytes, size_t n, int *some_fds)
{
	char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(16 * sizeof(int))]
		__attribute__((aligned(8)));
	struct iovec part = {bytes, n};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = room,
			   .msg_controllen = sizeof(room)};
	ssize_t got = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
	struct cmsghdr *h;
	int one;
	size_t i;

	for (h = got >= 0 ? CMSG_FIRSTHDR(&m) : NULL; h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		*some_fds = 1;
		for (i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			memcpy(&one, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			close(one);
		}
	}
	return got;
}

/* Is the message what comes next of a client?  1 or 0. */
static int is_next(const struct guest *g, const char *bytes, ssize_t n)
{
	const uint32_t type = KF_MPS_TYPE_CLIENT, got_it = KF_MPS_GOT_IT;

	switch (g->step) {
	case WANTS_CREDENTIALS:
		return n == KF_MPS_WORD_BYTES &&
		       !memcmp(bytes, KF_MPS_CREDENTIALS, KF_MPS_WORD_BYTES);
	case WANTS_TYPE: /* the control command's type is not for pods */
		return n == sizeof(type) && !memcmp(bytes, &type, sizeof(type));
	case WANTS_GOT_IT:
		return n == sizeof(got_it) && !memcmp(bytes, &got_it, sizeof(got_it));
	case WAITS:
		break;
	}
	return 0;
}

static void on_message(uv_poll_t *poll, int status, int events)
{
	struct guest *g = poll->data;
	char bytes[64];
	int some_fds = 0;
	ssize_t n = status < 0 ? 0 : receive(g->fd, bytes, sizeof(bytes), &some_fds);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || some_fds || !is_next(g, bytes, n) || g->step == WANTS_GOT_IT) {
		end_guest(g);
		return;
	}
	if (g->step == WANTS_CREDENTIALS)
		g->step = WANTS_TYPE;
	else
		let_through(g);
}

static void take_guest(struct kf_mps_slice *s, int fd)
{
	struct guest *g = kf_calloc(1, sizeof(*g));
	socklen_t n = sizeof(g->who);

	if (!g || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &g->who, &n) < 0 ||
	    uv_poll_init(s->gate->loop, &g->poll, fd) < 0) {
		free(g);
		close(fd);
		return;
	}
	g->slice = s;
	g->fd = fd;
	s->n_guests++;
	uv_timer_init(s->gate->loop, &g->timer);
	g->poll.data = g->timer.data = g;
	uv_poll_start(&g->poll, UV_READABLE | UV_DISCONNECT, on_message);
	uv_timer_start(&g->timer, on_timer, KF_GATE_GUEST_MS, 0);
	if (send(fd, KF_MPS_HELLO, KF_MPS_WORD_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		end_guest(g);
}

/* --- slices ------------------------------------------------------------------------------------
 */

static void on_knock(uv_poll_t *poll, int status, int events)
{
	struct kf_mps_slice *s = poll->data;
	int fd;

	(void)events;
	/* the rest wait in the backlog, and the kernel refuses nobody */
	if (status < 0 || s->n_guests >= KF_GATE_GUESTS)
		return;
	fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		take_guest(s, fd);
}

static int random_name(char out[40])
{
	unsigned char r[16];
	unsigned i;

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return -1;
	for (i = 0; i < sizeof(r); i++)
		snprintf(out + 2 * i, 3, "%02x", r[i]);
	return 0;
}

static int open_socket(struct kf_mps_slice *s, struct kf_error *err)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int n = snprintf(name.sun_path, sizeof(name.sun_path), "%s/%s/" KF_MPS_SOCKET, s->gate->dir,
			 s->folder);
	char folder[300];

	snprintf(folder, sizeof(folder), "%s/%s", s->gate->dir, s->folder);
	if (n >= (int)sizeof(name.sun_path))
		return kf_fail(err, KF_E_INPUT, 0,
			       "%s is too long for a socket; use a shorter --dir", folder);
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return kf_fail(err, KF_E_SYSTEM, errno, "make %s: %s", folder, strerror(errno));
	unlink(name.sun_path);
	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* any user of the container may connect; who it is, the kernel says */
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
	    chmod(name.sun_path, 0666) < 0 || listen(s->fd, 512) < 0 ||
	    uv_poll_init(s->gate->loop, &s->poll, s->fd) < 0)
		return kf_fail(err, KF_E_SYSTEM, errno, "open %s: %s", name.sun_path,
			       strerror(errno));
	return 0;
}

int kf_gate_add(struct kf_gate *g, const struct kf_mps_slice *like, const char *folder,
		struct kf_mps_slice **ret, struct kf_error *err)
{
	struct kf_mps_slice *s = kf_calloc(1, sizeof(*s));

	if (!s)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for a slice");
	snprintf(s->name, sizeof(s->name), "%s", like->name);
	snprintf(s->pod_uid, sizeof(s->pod_uid), "%s", like->pod_uid);
	s->bytes = like->bytes;
	s->percent = like->percent;
	s->gate = g;
	s->fd = -1;
	snprintf(s->folder, sizeof(s->folder), "%s", folder ? folder : "");
	if ((!folder && random_name(s->folder) < 0) || open_socket(s, err) < 0) {
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return -1;
	}
	s->poll.data = s;
	uv_poll_start(&s->poll, UV_READABLE, on_knock);
	s->next = g->slices;
	g->slices = s;
	*ret = s;
	return 0;
}

struct kf_mps_slice *kf_gate_find(const struct kf_gate *g, const char *name)
{
	struct kf_mps_slice *s;

	for (s = g->slices; s; s = s->next)
		if (!strcmp(s->name, name))
			return s;
	return NULL;
}

static void on_slice_closed(uv_handle_t *handle)
{
	struct kf_mps_slice *s = handle->data;

	close(s->fd);
	s->fd = -1;
	if (s->n_guests == 0)
		free(s);
}

/* Nobody new; guests hold the slice until they are through. */
static void close_slice(struct kf_mps_slice *s)
{
	struct kf_mps_slice **at = &s->gate->slices;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	while (s->clients)
		forget_client(s->clients);
	uv_close((uv_handle_t *)&s->poll, on_slice_closed);
}

void kf_gate_remove(struct kf_mps_slice *s)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s/" KF_MPS_SOCKET, s->gate->dir, s->folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s", s->gate->dir, s->folder);
	rmdir(path);
	close_slice(s);
}

void kf_gate_close(struct kf_gate *g)
{
	while (g->slices)
		close_slice(g->slices);
}

void kf_gate_forget_limits(struct kf_gate *g)
{
	g->bytes = UINT64_MAX;
	g->percent = UINT32_MAX;
}
