/* The files of the driver; see files.h. */
#include "cdi/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/text.h"
#include "cdi/elf.h"

/*
 * Where drivers put their libraries: distributions, NVIDIA's installer, COS and Bottlerocket
 * (/usr/local/nvidia), Debian's alternatives (nvidia/current), the operator's driver container.
 * The first directory that has a library wins.
 */
static const char *const library_dirs[] = {
	"/usr/lib/x86_64-linux-gnu",
	"/usr/lib64",
	"/usr/lib/aarch64-linux-gnu",
	"/lib/x86_64-linux-gnu",
	"/lib64",
	"/lib/aarch64-linux-gnu",
	"/usr/lib",
	"/usr/lib/x86_64-linux-gnu/nvidia/current",
	"/usr/lib/aarch64-linux-gnu/nvidia/current",
	"/usr/local/nvidia/lib64",
	"/usr/local/nvidia/lib",
	"/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
	"/run/nvidia/driver/usr/lib64",
	"/run/nvidia/driver/usr/lib/aarch64-linux-gnu",
};

static const char *const library_subdirs[] = {"", "/vdpau"};

/* Links that NVIDIA makes beside the SONAME. */
static const struct {
	const char *library; /* the name up to ".so" */
	const char *link;
} links[] = {
	{"libcuda", "libcuda.so"},
	{"libnvidia-opticalflow", "libnvidia-opticalflow.so"},
	{"libGLX_nvidia", "libGLX_indirect.so.0"},
};

static const char *const binary_dirs[] = {
	"/usr/bin", "/usr/sbin",
	"/bin",	    "/usr/local/nvidia/bin",
	"/opt/bin", "/run/nvidia/driver/usr/bin",
};

static const char *const binaries[] = {
	"nvidia-smi",
	"nvidia-debugdump",
	"nvidia-persistenced",
	"nvidia-cuda-mps-control",
	"nvidia-cuda-mps-server",
	"nvidia-imex",
	"nvidia-imex-ctl",
};

static const char *const sockets[] = {
	"/run/nvidia-persistenced/socket",
	"/run/nvidia-fabricmanager/socket",
};

/* Vulkan, EGL and OptiX look for these; below /etc or /usr/share, the first that has it. */
static const char *const data_dirs[] = {"/etc", "/usr/share"};
static const char *const data[] = {
	"/glvnd/egl_vendor.d/10_nvidia.json",
	"/egl/egl_external_platform.d/10_nvidia_wayland.json",
	"/egl/egl_external_platform.d/15_nvidia_gbm.json",
	"/vulkan/icd.d/nvidia_icd.json",
	"/vulkan/implicit_layer.d/nvidia_layers.json",
	"/nvidia/nvoptix.bin",
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct search {
	const char *root; /* "" or a path without a slash at its end */
	struct kf_files *files;
};

static void clear_file(struct kf_file *f)
{
	unsigned i;

	free(f->from);
	free(f->to);
	for (i = 0; i < f->n_names; i++)
		free(f->name[i]);
	*f = (struct kf_file){0};
}

struct kf_files *kf_files_free(struct kf_files *files)
{
	unsigned i;

	if (!files)
		return NULL;
	for (i = 0; i < files->n; i++)
		clear_file(&files->file[i]);
	free(files->file);
	free(files);
	return NULL;
}

static int is_there(const char *root, const char *path, mode_t kind)
{
	char full[PATH_MAX];
	struct stat st;

	return (size_t)snprintf(full, sizeof(full), "%s%s", root, path) < sizeof(full) &&
	       stat(full, &st) == 0 && (st.st_mode & S_IFMT) == kind;
}

/* Takes `from` and `to`, even when it fails. */
static struct kf_file *add(struct kf_files *files, enum kf_file_kind kind, char *from, char *to)
{
	struct kf_file *f;

	if (!from || !to ||
	    kf_grow(&files->file, &files->capacity, files->n + 1, sizeof(*files->file)) < 0) {
		free(from);
		free(to);
		return NULL;
	}
	f = &files->file[files->n++];
	f->kind = kind;
	f->from = from;
	f->to = to;
	return f;
}

/* A further name for a library; one that it has already is fine. */
static int add_name(struct kf_file *f, const char *name)
{
	unsigned i;

	for (i = 0; i < f->n_names; i++)
		if (!strcmp(f->name[i], name))
			return 0;
	if (f->n_names == KF_FILE_NAMES)
		return 0;
	f->name[f->n_names] = kf_strdup(name);
	return f->name[f->n_names++] ? 0 : -1;
}

/* "libX.so.<version>"? */
static int is_library(const char *name, const char *version)
{
	size_t n = strlen(name), v = strlen(version);

	return n > v + 7 && !strncmp(name, "lib", 3) && !strcmp(name + n - v, version) &&
	       !strncmp(name + n - v - 4, ".so.", 4);
}

static int has_library(const struct kf_files *files, const char *subdir, const char *name)
{
	unsigned i;

	for (i = 0; i < files->n; i++)
		if (!strcmp(files->file[i].name[0], name) && !strcmp(files->file[i].to, subdir))
			return 1;
	return 0;
}

/* The SONAME that the file itself carries. */
static int read_soname(const char *root, const char *path, char *out, size_t size)
{
	struct kf_elf_source source = {.fd = -1};
	kf_auto_fd int fd = -1;
	char full[PATH_MAX];

	if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
		return -1;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	source.fd = fd;
	return fd < 0 ? -1 : kf_elf_soname(&source, out, size);
}

/* Failing that: libX.so.1, where ldconfig or a package made that link. */
static int guess_soname(const char *root, const char *dir, const char *name, char *out, size_t size)
{
	int stem = (int)(strstr(name, ".so.") - name);
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/%.*s.so.1", dir, stem, name) >= sizeof(path) ||
	    !is_there(root, path, S_IFREG))
		return -1;
	return (size_t)snprintf(out, size, "%.*s.so.1", stem, name) < size ? 0 : -1;
}

static int add_names(const char *root, const char *dir, const char *name, struct kf_file *f)
{
	size_t stem = (size_t)(strstr(name, ".so.") - name), i;
	char soname[256];

	if (add_name(f, name) < 0)
		return -1;
	if ((read_soname(root, f->from, soname, sizeof(soname)) == 0 ||
	     guess_soname(root, dir, name, soname, sizeof(soname)) == 0) &&
	    add_name(f, soname) < 0)
		return -1;
	for (i = 0; i < COUNT(links); i++)
		if (strlen(links[i].library) == stem && !strncmp(links[i].library, name, stem) &&
		    add_name(f, links[i].link) < 0)
			return -1;
	return 0;
}

static int add_library(struct search *s, const char *dir, const char *subdir, const char *name)
{
	kf_auto_mem char *full_dir = kf_asprintf("%s%s", dir, subdir);
	char *from = full_dir ? kf_asprintf("%s/%s", full_dir, name) : NULL;
	struct kf_file *f;

	/* a link of this name leads to some other version or to nowhere */
	if (from && !is_there(s->root, from, S_IFREG)) {
		free(from);
		return 0;
	}
	f = add(s->files, KF_FILE_LIBRARY, from, kf_strdup(subdir));
	if (!f)
		return -1;
	return add_names(s->root, full_dir, name, f);
}

/* 0, also where there is no such directory; -1: no memory. */
static int search_dir(struct search *s, const char *dir, const char *subdir)
{
	kf_auto_mem char *below = kf_asprintf("%s%s", dir, subdir);
	kf_auto_mem char *full = below ? kf_under(s->root, below) : NULL;
	struct dirent *entry;
	int r = 0;
	DIR *d;

	if (!full)
		return -1;
	d = opendir(full);
	if (!d)
		return 0;
	while (r == 0 && (entry = readdir(d)))
		if (is_library(entry->d_name, s->files->version) &&
		    !has_library(s->files, subdir, entry->d_name))
			r = add_library(s, dir, subdir, entry->d_name);
	closedir(d);
	return r;
}

static int search_libraries(struct search *s)
{
	size_t d, sub;

	for (d = 0; d < COUNT(library_dirs); d++)
		for (sub = 0; sub < COUNT(library_subdirs); sub++)
			if (search_dir(s, library_dirs[d], library_subdirs[sub]) < 0)
				return -1;
	return 0;
}

static int is_elf(const char *root, const char *path)
{
	kf_auto_fd int fd = -1;
	char full[PATH_MAX], head[4];

	if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
		return 0;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, head, sizeof(head)) == sizeof(head) &&
	       !memcmp(head, "\177ELF", sizeof(head));
}

/*
 * The directory to take a program from, or NULL.  The driver's own goes before a script of its
 * name: such a wrapper stands first on some hosts, and what it calls is not in the container.
 */
static const char *binary_dir(const struct search *s, const char *name)
{
	const char *script = NULL;
	char path[128];
	size_t d;

	for (d = 0; d < COUNT(binary_dirs); d++) {
		snprintf(path, sizeof(path), "%s/%s", binary_dirs[d], name);
		if (!is_there(s->root, path, S_IFREG))
			continue;
		if (is_elf(s->root, path))
			return binary_dirs[d];
		if (!script)
			script = binary_dirs[d];
	}
	return script;
}

static int search_binaries(struct search *s)
{
	size_t b;

	for (b = 0; b < COUNT(binaries); b++) {
		const char *dir = binary_dir(s, binaries[b]);

		if (dir && !add(s->files, KF_FILE_PLAIN, kf_asprintf("%s/%s", dir, binaries[b]),
				kf_asprintf("/usr/bin/%s", binaries[b])))
			return -1;
	}
	return 0;
}

static int search_data(struct search *s)
{
	size_t i, d;

	for (i = 0; i < COUNT(data); i++)
		for (d = 0; d < COUNT(data_dirs); d++) {
			char *from = kf_asprintf("%s%s", data_dirs[d], data[i]);

			if (from && !is_there(s->root, from, S_IFREG)) {
				free(from);
				continue;
			}
			if (!from || !add(s->files, KF_FILE_PLAIN, from, kf_strdup(from)))
				return -1;
			break;
		}
	for (i = 0; i < COUNT(sockets); i++)
		if (is_there(s->root, sockets[i], S_IFSOCK) &&
		    !add(s->files, KF_FILE_SOCKET, kf_strdup(sockets[i]), kf_strdup(sockets[i])))
			return -1;
	return 0;
}

static int is_firmware(const char *name)
{
	size_t n = strlen(name);

	return n > 7 && !strncmp(name, "gsp", 3) && !strcmp(name + n - 4, ".bin");
}

static int search_firmware_dir(struct search *s, const char *dir)
{
	kf_auto_mem char *full = kf_under(s->root, dir);
	struct dirent *entry;
	int r = 0;
	DIR *d;

	if (!full)
		return -1;
	d = opendir(full);
	if (!d)
		return 0;
	while (r == 0 && (entry = readdir(d))) {
		char *from;

		if (!is_firmware(entry->d_name))
			continue;
		from = kf_asprintf("%s/%s", dir, entry->d_name);
		if (!add(s->files, KF_FILE_PLAIN, from, from ? kf_strdup(from) : NULL))
			r = -1;
	}
	closedir(d);
	return r;
}

/* GSP firmware of this version, in the first place where the kernel would look. */
static int search_firmware(struct search *s)
{
	unsigned before = s->files->n, i;
	struct utsname kernel = {0};

	uname(&kernel);
	/* the kernel's own order, see firmware_class: updates/RELEASE, updates, RELEASE, none */
	for (i = 0; i < 4 && s->files->n == before; i++) {
		kf_auto_mem char *dir =
			kf_asprintf("/lib/firmware/%s%s%snvidia/%s", i < 2 ? "updates/" : "",
				    i % 2 ? "" : kernel.release, i % 2 ? "" : "/",
				    s->files->version);

		if (!dir || search_firmware_dir(s, dir) < 0)
			return -1;
	}
	return 0;
}

static int by_source(const void *a, const void *b)
{
	const struct kf_file *x = a, *y = b;

	return strcmp(x->from, y->from);
}

static int by_name(const void *a, const void *b)
{
	const struct kf_file *x = a, *y = b;
	int r = strcmp(x->to, y->to);

	return r ? r : strcmp(x->name[0], y->name[0]);
}

int kf_files_read(const char *root, const char *version, struct kf_files **ret,
		  struct kf_error *err)
{
	kf_auto(kf_files_freep) struct kf_files *files = kf_calloc(1, sizeof(*files));
	kf_auto_mem char *prefix = kf_under(root, "");
	struct search s = {.root = prefix, .files = files};
	unsigned n_libraries;

	if (!files || !prefix)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the driver's files");
	/* a version is digits and dots; anything else would be a path or a pattern below */
	if (!version[0] || version[strspn(version, "0123456789.")] ||
	    strlen(version) >= sizeof(files->version))
		return kf_fail(err, KF_E_INPUT, 0, "\"%s\" is no version of a driver", version);
	strcpy(files->version, version);
	if (search_libraries(&s) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the driver's libraries");
	n_libraries = files->n;
	if (search_binaries(&s) < 0 || search_firmware(&s) < 0 || search_data(&s) < 0)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory for the driver's files");
	/* readdir's order is the file system's; the CDI file must not change with it */
	if (n_libraries)
		qsort(files->file, n_libraries, sizeof(*files->file), by_name);
	if (files->n > n_libraries)
		qsort(files->file + n_libraries, files->n - n_libraries, sizeof(*files->file),
		      by_source);
	*ret = kf_take(files);
	return 0;
}
