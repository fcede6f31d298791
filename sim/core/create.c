/* Making a machine; see create.h. */
#include "core/create.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "core/tree.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int remove_tree(const char *path, struct kf_error *err)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
		return kf_fail_errno(err, errno, "remove %s", path);
	return 0;
}

/* Cut off who has the old machine open: the file is another one from now on. */
static int retire(const char *dir, struct kf_error *err)
{
	char path[PATH_MAX];
	struct kf_sim old;

	if (kf_sim_open(dir, &old, NULL) == 0) {
		kf_sim_lock(old.state);
		old.state->loaded = 0;
		kf_sim_event_push(old.state, &(struct kf_sim_event){0});
		kf_sim_unlock(old.state);
		kf_sim_close(&old);
	}
	snprintf(path, sizeof(path), "%s/state", dir);
	if (unlink(path) < 0 && errno != ENOENT)
		return kf_fail_errno(err, errno, "remove %s", path);
	snprintf(path, sizeof(path), "%s/root", dir);
	return remove_tree(path, err);
}

/* Somebody's folder with other things in it is not ours to fill. */
static int check_folder(const char *dir, struct kf_error *err)
{
	struct dirent *e;
	int foreign = 0;
	DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : kf_fail_errno(err, errno, "open %s", dir);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    strcmp(e->d_name, "state") != 0 && strcmp(e->d_name, "root") != 0 &&
		    strcmp(e->d_name, "state.tmp") != 0)
			foreign = 1;
	closedir(d);
	if (foreign)
		return kf_fail(err, KF_E_INPUT, 0,
			       "%s holds other files: a machine wants a folder of its own", dir);
	return 0;
}

int kf_sim_create(const char *dir, const struct kf_sim_machine *m, struct kf_error *err)
{
	if (check_folder(dir, err) < 0 || kf_make_dirs(dir, 0755, err) < 0 ||
	    retire(dir, err) < 0 || kf_sim_tree_write(dir, m, err) < 0)
		return -1;
	return kf_sim_state_create(dir, m, err);
}
