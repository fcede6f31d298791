/* Where the machine of a program is; see find.h. */
#include "core/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* DIR of DIR/root/usr/...: a program that was told only the root of the machine's files. */
static int own_dir(const char *own, char *out, size_t size)
{
	char *root, *next;

	if (!own || (size_t)snprintf(out, size, "%s", own) >= size)
		return -1;
	root = strstr(out, "/root/usr/");
	for (next = root; next; next = strstr(next + 1, "/root/usr/"))
		root = next;
	if (!root)
		return -1;
	*root = '\0';
	return 0;
}

int kf_sim_find(const char *own, char *out, size_t size)
{
	const char *named = getenv("KERF_SIM_DIR");

	if (named && *named)
		return (size_t)snprintf(out, size, "%s", named) < size ? 0 : -1;
	if (own_dir(own, out, size) == 0)
		return 0;
	if (access(KF_SIM_CONTAINER_DIR "/state", F_OK) < 0)
		return -1;
	return (size_t)snprintf(out, size, "%s", KF_SIM_CONTAINER_DIR) < size ? 0 : -1;
}

void kf_sim_dev_dir(const char *dir, char *out, size_t size)
{
	if (!strcmp(dir, KF_SIM_CONTAINER_DIR))
		snprintf(out, size, "/dev");
	else
		snprintf(out, size, "%s/root/dev", dir);
}
