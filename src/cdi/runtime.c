/* What the container runtime does with CDI names; see runtime.h. */
#include "cdi/runtime.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

#define CONFIG	     "/etc/containerd/config.toml"
#define DROP_INS     "/etc/containerd/conf.d"
#define FILE_LIMIT   (1 << 20)
#define BINARY_LIMIT (256 << 20)

/* What the files of one containerd say. */
struct findings {
	int enable;	  /* enable_cdi: 1, 0, or -1 where no file says */
	char where[128];  /* the file that says */
	unsigned version; /* of the configuration format: 3 is containerd 2.x's own; 0: no file */
};

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t\r\"'");
}

/*
 * One line of TOML, as far as we need it: the last word of its key, and its value.  Sections and
 * tables do not matter, since only the CRI plugin knows the key.
 */
static void read_line(const char *line, const char *path, struct findings *f)
{
	const char *value = strchr(line, '='), *key = value, *end;

	if (!value || *skip_blanks(line) == '#')
		return;
	value = skip_blanks(value + 1);
	while (key > line && strchr(" \t\"'", key[-1]))
		key--;
	end = key;
	while (key > line && (isalnum((unsigned char)key[-1]) || key[-1] == '_'))
		key--;
	if (end - key == 10 && !strncmp(key, "enable_cdi", 10)) {
		f->enable = !strncmp(value, "true", 4);
		snprintf(f->where, sizeof(f->where), "%s", path);
	} else if (end - key == 7 && !strncmp(key, "version", 7) &&
		   isdigit((unsigned char)*value) && key == skip_blanks(line) &&
		   !strcmp(path, CONFIG)) {
		f->version = (unsigned)(*value - '0');
	}
}

static void read_config(const char *root, const char *path, struct findings *f)
{
	kf_auto_mem char *full = kf_under(root, path);
	kf_auto_mem char *text = full ? kf_read_file(full, FILE_LIMIT, NULL, NULL) : NULL;
	char *line, *rest = text;

	while (rest && (line = strsep(&rest, "\n")))
		read_line(line, path, f);
}

static int is_toml(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 5 && !strcmp(entry->d_name + n - 5, ".toml");
}

static void read_drop_ins(const char *root, struct findings *f)
{
	kf_auto_mem char *dir = kf_under(root, DROP_INS);
	struct dirent **entry = NULL;
	int n = dir ? scandir(dir, &entry, is_toml, alphasort) : 0, i;

	for (i = 0; i < n; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), DROP_INS "/%s", entry[i]->d_name);
		read_config(root, path, f);
		free(entry[i]);
	}
	free(entry);
}

static int exists(const char *root, const char *path)
{
	kf_auto_mem char *full = kf_under(root, path);
	struct stat st;

	return full && stat(full, &st) == 0;
}

/* Are the bytes of `needle` in the file?  Go binaries name the modules that they are made of. */
static int file_has(const char *root, const char *path, const char *needle)
{
	enum { CHUNK = 1 << 18 };
	kf_auto_mem char *full = kf_under(root, path);
	kf_auto_mem char *buf = kf_calloc(1, CHUNK);
	kf_auto_fd int fd = full && buf ? open(full, O_RDONLY | O_CLOEXEC) : -1;
	size_t overlap = strlen(needle) - 1, have = 0, total = 0;

	while (fd >= 0 && total < BINARY_LIMIT) {
		ssize_t r = read(fd, buf + have, CHUNK - have);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		total += (size_t)r;
		have += (size_t)r;
		if (memmem(buf, have, needle, overlap + 1))
			return 1;
		if (have > overlap) {
			memmove(buf, buf + have - overlap, overlap);
			have = overlap;
		}
	}
	return 0;
}

/* 2 or 1 by the binary, 0 if it cannot be found. */
static int major_of_binary(const char *root)
{
	static const char *const paths[] = {"/usr/bin/containerd", "/usr/local/bin/containerd",
					    "/bin/containerd", "/usr/sbin/containerd"};
	size_t i;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (exists(root, paths[i]))
			return file_has(root, paths[i], "github.com/containerd/containerd/v2") ? 2
											       : 1;
	return 0;
}

static void say(struct kf_runtime *ret, enum kf_cdi_support cdi, const char *fmt, const char *where)
{
	ret->cdi = cdi;
	snprintf(ret->reason, sizeof(ret->reason), fmt, where);
}

static void judge_containerd(const char *root, struct kf_runtime *ret)
{
	struct findings f = {.enable = -1};
	int major;

	read_config(root, CONFIG, &f);
	read_drop_ins(root, &f);
	if (f.enable >= 0) {
		say(ret, f.enable ? KF_CDI_ON : KF_CDI_OFF, "%s sets enable_cdi", f.where);
		return;
	}
	if (f.version >= 3) {
		say(ret, KF_CDI_ON, "%s is a configuration of containerd 2, which has CDI on",
		    CONFIG);
		return;
	}
	major = major_of_binary(root);
	if (major == 2)
		say(ret, KF_CDI_ON, "containerd is %s, which has CDI on", "2.x");
	else if (major == 1)
		say(ret, KF_CDI_OFF, "containerd is %s, which has CDI off unless enable_cdi is set",
		    "1.x");
	else
		say(ret, KF_CDI_UNKNOWN, "no containerd configuration and no binary found%s", "");
}

void kf_runtime_read(const char *root, struct kf_runtime *ret)
{
	int crio = exists(root, "/run/crio/crio.sock");
	int containerd = exists(root, "/run/containerd/containerd.sock");

	*ret = (struct kf_runtime){0};
	if (crio && !containerd)
		say(ret, KF_CDI_ON, "%s is there, and CRI-O has CDI on", "/run/crio/crio.sock");
	else
		judge_containerd(root, ret);
}
