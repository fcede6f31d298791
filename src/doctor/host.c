/* What kerf needs of the machine around it; see doctor.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "doctor/doctor.h"
#include "model/node.h"

#define CAP_SYS_ADMIN 21 /* linux/capability.h */

static int has_mig(const struct kf_node *node)
{
	unsigned i;

	for (i = 0; node && i < node->n_gpus; i++)
		if (node->gpu[i].mig_capable)
			return 1;
	return 0;
}

void kf_doctor_rights(struct kf_checkup *c, uid_t uid, uint64_t caps, const struct kf_node *node,
		      int simulated)
{
	if (simulated) {
		kf_checkup_add(c, KF_VERDICT_OK, "rights",
			       "a simulated machine asks for no rights");
	} else if (uid != 0) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "rights",
			       "this runs as user %u: the kubelet's sockets and the driver's MIG "
			       "calls are root's",
			       (unsigned)uid);
		kf_checkup_advise(c, "run kerf as root (securityContext.runAsUser: 0)");
	} else if (!(caps >> CAP_SYS_ADMIN & 1) && has_mig(node)) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "rights",
			       "root, but without CAP_SYS_ADMIN: the driver refuses to change MIG "
			       "modes and slices");
		kf_checkup_advise(c, "add it to the agent's container: "
				     "securityContext.capabilities.add: [SYS_ADMIN]");
	} else {
		kf_checkup_add(c, KF_VERDICT_OK, "rights", "root%s",
			       caps >> CAP_SYS_ADMIN & 1
				       ? ", with CAP_SYS_ADMIN"
				       : "; CAP_SYS_ADMIN is not needed without MIG");
	}
}

/* --- directories ----------------------------------------------------------------------------- */

/* Cut the last component off; 0 when none is left. */
static int to_parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || (slash == path && !path[1]))
		return 0;
	slash[slash == path] = '\0';
	return 1;
}

/* Why nothing can be written in this directory: 0, or an errno. */
static int why_not(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return ENOTDIR;
	return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

void kf_doctor_writable(struct kf_checkup *c, const char *name, const char *dir)
{
	char path[PATH_MAX];
	int errnum;

	snprintf(path, sizeof(path), "%s", dir);
	while (faccessat(AT_FDCWD, path, F_OK, 0) != 0 && errno == ENOENT && to_parent(path))
		;
	errnum = why_not(path);
	if (errnum) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, name, "%s cannot be written: %s: %s", dir,
			       path, strerror(errnum));
		kf_checkup_advise(c,
				  "mount a writable directory of the host there, or name another "
				  "by --%s",
				  name);
		return;
	}
	kf_checkup_add(c, KF_VERDICT_OK, name, "%s %s", dir,
		       strcmp(path, dir) ? "is not there yet and can be made" : "can be written");
}

/* --- the kubelet ----------------------------------------------------------------------------- */

enum kf_doctor_socket kf_doctor_try_socket(const char *path, int *errnum)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	kf_auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int n = snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	int r = fd < 0 ? errno : n < 0 || (size_t)n >= sizeof(to.sun_path) ? ENAMETOOLONG : 0;
	struct stat st;

	if (!r && stat(path, &st) != 0)
		r = errno;
	else if (!r && !S_ISSOCK(st.st_mode))
		r = ENOTSOCK;
	if (!r && connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		r = errno;
	if (errnum)
		*errnum = r;
	switch (r) {
	case 0:
	case EAGAIN: /* its queue is full: somebody is there */
		return KF_DOCTOR_SOCKET_SERVED;
	case ECONNREFUSED:
		return KF_DOCTOR_SOCKET_LEFT;
	case ENOENT:
	case ENOTDIR:
	case ENOTSOCK:
		return KF_DOCTOR_SOCKET_ABSENT;
	default:
		return KF_DOCTOR_SOCKET_REFUSED;
	}
}

void kf_doctor_kubelet(struct kf_checkup *c, const char *path)
{
	int errnum;

	switch (kf_doctor_try_socket(path, &errnum)) {
	case KF_DOCTOR_SOCKET_SERVED:
		kf_checkup_add(c, KF_VERDICT_OK, "kubelet", "the kubelet listens on %s", path);
		return;
	case KF_DOCTOR_SOCKET_LEFT:
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "kubelet",
			       "nobody listens on %s: the kubelet is not running", path);
		kf_checkup_advise(c, "start the kubelet (systemctl status kubelet says why it is "
				     "down); the agent waits for it");
		return;
	case KF_DOCTOR_SOCKET_ABSENT:
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "kubelet", "%s: %s", path, strerror(errnum));
		kf_checkup_advise(c, "start the kubelet, mount its device-plugins directory into "
				     "the agent's container, or name it by --kubelet-dir");
		return;
	case KF_DOCTOR_SOCKET_REFUSED:
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "kubelet", "connect to %s: %s", path,
			       strerror(errnum));
		kf_checkup_advise(c, "run kerf as root; with SELinux, as a type that may connect "
				     "there (container_device_plugin_t or spc_t)");
		return;
	}
}
