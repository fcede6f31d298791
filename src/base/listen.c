/* The socket that is listened on, by its address as text. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/listen.h"
#include "base/text.h"

#define BACKLOG 32

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Host and port of "HOST:PORT", "[HOST]:PORT", ":PORT".  0 or -1. */
static int split(const char *text, char *host, size_t size, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	uint64_t number;

	if (!colon || kf_parse_uint(colon + 1, 65535, &number) < 0 || n >= size)
		return -1;
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	memcpy(host, text, n);
	host[n] = '\0';
	*port = (uint16_t)number;
	return 0;
}

/* 0, or -1: no address.  Names would have to be looked up, but for one. */
static int parse(const char *text, union address *ret, int *everywhere)
{
	char host[64];
	uint16_t port;

	memset(ret, 0, sizeof(*ret));
	if (split(text, host, sizeof(host), &port) < 0)
		return -1;
	*everywhere = host[0] == '\0';
	if (!strcmp(host, "localhost"))
		snprintf(host, sizeof(host), "127.0.0.1");
	if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(port);
		return 0;
	}
	if (!*everywhere && inet_pton(AF_INET6, host, &ret->v6.sin6_addr) != 1)
		return -1;
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = htons(port);
	return 0;
}

static int open_socket(const union address *at, int everywhere)
{
	int v6 = at->any.sa_family == AF_INET6, one = 1, zero = 0;
	int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (everywhere && v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, &at->any, v6 ? sizeof(at->v6) : sizeof(at->v4)) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	zero = errno;
	close(fd);
	errno = zero;
	return -1;
}

static void name_address(int fd, char *out, size_t size)
{
	union address at = {0};
	socklen_t n = sizeof(at);
	char host[INET6_ADDRSTRLEN] = "";

	getsockname(fd, &at.any, &n);
	if (at.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &at.v6.sin6_addr, host, sizeof(host));
		snprintf(out, size, "[%s]:%u", host, ntohs(at.v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &at.v4.sin_addr, host, sizeof(host));
		snprintf(out, size, "%s:%u", host, ntohs(at.v4.sin_port));
	}
}

int kf_listen(const char *text, char *name, size_t size, int *ret, struct kf_error *err)
{
	union address at;
	int everywhere, fd;

	if (parse(text, &at, &everywhere) < 0)
		return kf_fail(err, KF_E_INPUT, 0,
			       "'%.80s' is no address to listen on: HOST:PORT with an IP address "
			       "for HOST, or :PORT, is expected",
			       text);
	fd = open_socket(&at, everywhere);
	if (fd < 0 && everywhere && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		/* a machine without IPv6 */
		uint16_t port = at.v6.sin6_port;

		at = (union address){.v4 = {.sin_family = AF_INET, .sin_port = port}};
		fd = open_socket(&at, 0);
	}
	if (fd < 0)
		return kf_fail_errno(err, errno, "listen on %s", text);
	name_address(fd, name, size);
	*ret = fd;
	return 0;
}
