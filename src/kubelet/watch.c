/*
 * The device-plugins directory: is there a new kubelet, are our sockets still there?
 *
 * inotify tells at once, a timer tells where inotify cannot (a bind mount that hides another
 * kubelet's directory), and both only make us look (kubernetes.md 1.5).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/own.h"
#include "grpc/address.h"
#include "kubelet/checkpoint.h"
#include "kubelet/plugin.h"

static struct file_id identify(const char *path)
{
	struct statx x;

	/* The time of birth tells two files apart that got the same inode, one after the other. */
	if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &x) < 0)
		return (struct file_id){0};
	return (struct file_id){
		.there = 1,
		.device = (uint64_t)x.stx_dev_major << 32 | x.stx_dev_minor,
		.inode = x.stx_ino,
		.born_s = x.stx_btime.tv_sec,
		.born_ns = x.stx_btime.tv_nsec,
	};
}

static int same(const struct file_id *a, const struct file_id *b)
{
	return a->there == b->there && a->device == b->device && a->inode == b->inode &&
	       a->born_s == b->born_s && a->born_ns == b->born_ns;
}

/* The kubelet writes its checkpoint here with every list and Allocate: no news in that. */
static int noise(const char *name)
{
	return name && strstr(name, KF_CHECKPOINT_FILE) != NULL;
}

static void on_event(uv_fs_event_t *h, const char *name, int events, int status)
{
	if (!noise(name))
		watch_look(h->data);
}

/* Follow the directory that has the name now. */
static void follow(struct kf_kubelet *k, const struct file_id *id)
{
	if (k->watching)
		uv_fs_event_stop(&k->watch);
	/* Without inotify (its instances are used up) the timer must do. */
	k->watching = id->there && uv_fs_event_start(&k->watch, on_event, k->directory, 0) == 0;
	k->directory_id = *id;
}

void watch_look(struct kf_kubelet *k)
{
	struct file_id directory = identify(k->directory);
	struct file_id socket = identify(k->socket);
	int anew = socket.there && !same(&socket, &k->socket_id);
	struct plugin *p;

	if (k->stopping)
		return;
	if (!same(&directory, &k->directory_id) || (directory.there && !k->watching)) {
		follow(k, &directory);
		socket = identify(k->socket); /* it may have come before we watched */
		anew = socket.there && !same(&socket, &k->socket_id);
	}
	k->socket_id = socket;
	for (p = k->plugins; p; p = p->next)
		if (anew || (p->listener && !kf_grpc_listener_intact(p->listener)))
			register_anew(p);
}

/* Sockets of ours that a killed process left behind: nobody listens on them. */
void watch_sweep(const struct kf_kubelet *k)
{
	DIR *dir = opendir(k->directory);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		kf_auto_mem char *path = NULL;
		kf_auto_fd int fd = -1;
		struct kf_error err = {0};

		if (strncmp(e->d_name, "kerf-", 5) != 0 || e->d_type != DT_SOCK)
			continue;
		path = kf_asprintf("%s/%s", k->directory, e->d_name);
		fd = path ? kf_unix_connect(path, &err) : -1;
		if (fd < 0 && err.code == KF_E_SYSTEM && err.detail == ECONNREFUSED)
			unlink(path);
	}
	if (dir)
		closedir(dir);
}
