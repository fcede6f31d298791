/* Unix sockets by path; see address.h. */
#include "grpc/address.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/own.h"

/* Fill *a for `path`.  *ret_dir is a descriptor that must stay open while *a is used, or -1. */
static int address(const char *path, struct sockaddr_un *a, int *ret_dir, struct kf_error *err)
{
	const char *name = strrchr(path, '/');
	kf_auto_mem char *dir = NULL;
	int n;

	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	*ret_dir = -1;
	if (strlen(path) < sizeof(a->sun_path)) {
		memcpy(a->sun_path, path, strlen(path));
		return 0;
	}
	if (!name)
		return kf_fail(err, KF_E_INPUT, 0, "socket %s: the name is too long", path);
	dir = kf_strndup(path, (size_t)(name - path) + 1);
	if (!dir)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the path of a socket");
	*ret_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		return kf_fail_errno(err, errno, "open %s", dir);
	n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d%s", *ret_dir, name);
	if ((size_t)n >= sizeof(a->sun_path))
		return kf_fail(err, KF_E_INPUT, 0, "socket %s: the name is too long", path);
	return 0;
}

static int stream_socket(struct kf_error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		kf_fail_errno(err, errno, "make a unix socket");
	return fd;
}

int kf_unix_bind(const char *path, struct kf_error *err)
{
	kf_auto_fd int dir = -1;
	kf_auto_fd int fd = -1;
	struct sockaddr_un a;
	int bound;

	if (address(path, &a, &dir, err) < 0)
		return -1;
	fd = stream_socket(err);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return kf_fail_errno(err, errno, "bind socket %s", path);
	if (chmod(a.sun_path, 0600) < 0) {
		kf_fail_errno(err, errno, "set the mode of socket %s", path);
		unlink(a.sun_path);
		return -1;
	}
	bound = fd;
	fd = -1;
	return bound;
}

int kf_unix_connect(const char *path, struct kf_error *err)
{
	kf_auto_fd int dir = -1;
	kf_auto_fd int fd = -1;
	struct sockaddr_un a;
	int connected;

	if (address(path, &a, &dir, err) < 0)
		return -1;
	fd = stream_socket(err);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return kf_fail_errno(err, errno, "connect to socket %s", path);
	connected = fd;
	fd = -1;
	return connected;
}

int kf_unix_peer(int fd, unsigned *ret_uid)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0)
		return -1;
	*ret_uid = who.uid;
	return 0;
}
