/* Messages with credentials and descriptors; see socket.h. */
#include "mps/socket.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define MOST_FDS 8

int kf_mps_say(int fd, const void *bytes, size_t n, int pass)
{
	struct ucred me = {getpid(), getuid(), getgid()};
	union {
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec part = {(void *)(uintptr_t)bytes, n};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *c;
	ssize_t sent;

	m.msg_controllen = CMSG_SPACE(sizeof(me)) + (pass >= 0 ? CMSG_SPACE(sizeof(pass)) : 0);
	c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(me));
	memcpy(CMSG_DATA(c), &me, sizeof(me));
	if (pass >= 0) {
		c = CMSG_NXTHDR(&m, c);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(pass));
		memcpy(CMSG_DATA(c), &pass, sizeof(pass));
	}
	do
		sent = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)n ? 0 : -1;
}

static void take_descriptors(const struct cmsghdr *c, struct kf_mps_along *ret)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;
	int fds[MOST_FDS];

	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	for (i = 0; i < n; i++) {
		ret->n_passed++;
		if (ret->passed < 0)
			ret->passed = fds[i];
		else
			close(fds[i]);
	}
}

static void take_along(struct msghdr *m, struct kf_mps_along *ret)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			memcpy(&ret->who, CMSG_DATA(c), sizeof(ret->who));
		else if (c->cmsg_type == SCM_RIGHTS)
			take_descriptors(c, ret);
	}
}

ssize_t kf_mps_hear(int fd, void *bytes, size_t size, int flags, struct kf_mps_along *ret)
{
	union {
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(MOST_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {bytes, size};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
	struct kf_mps_along along = {.passed = -1};
	ssize_t n;

	m.msg_controllen = sizeof(control);
	do
		n = recvmsg(fd, &m, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		take_along(&m, &along);
	if (ret)
		*ret = along;
	else if (along.passed >= 0)
		close(along.passed);
	return n;
}
