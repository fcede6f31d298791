/*
 * The files of the driver that a container needs: found on the host, each with the names under
 * which a program looks for it.  What is looked for: kubernetes.md 4.3, nvidia-stack.md 1.5.
 */
#pragma once

#include <stddef.h>

#include "base/own.h"

struct kf_error;

enum kf_file_kind {
	KF_FILE_LIBRARY, /* goes into the loader's directories under each of its names */
	KF_FILE_PLAIN,	 /* binary, firmware, data: to `to`, read only */
	KF_FILE_SOCKET,	 /* to `to`, noexec */
};

#define KF_FILE_NAMES 4

struct kf_file {
	enum kf_file_kind kind;
	char *from;	  /* below the root, starting with '/': /usr/lib64/libcuda.so.580.159.04 */
	char *to;	  /* in the container; a library: the subdirectory ("", "/vdpau") */
	unsigned n_names; /* library only */
	char *name[KF_FILE_NAMES]; /* real name, SONAME, then links that NVIDIA makes */
};

struct kf_files {
	char version[80]; /* of the driver they belong to */
	unsigned n;
	struct kf_file *file; /* libraries by name, then the others; the order is stable */
	size_t capacity;
};

struct kf_files *kf_files_free(struct kf_files *files);
KF_DEFINE_AUTO(struct kf_files, kf_files_free)

/*
 * Look under `root` ("" or "/" for this machine) for the files of driver `version`.  Finding none
 * is no failure: *ret is then empty.  The caller's to free.
 */
int kf_files_read(const char *root, const char *version, struct kf_files **ret,
		  struct kf_error *err);
