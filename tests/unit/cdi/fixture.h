/* A small host root in a temporary directory, and a node of two GPUs that stands on it. */
#pragma once

#include "cdi/edits.h"
#include "cdi/files.h"
#include "kftest.h"
#include "mig/caps.h"
#include "model/node.h"

#define DRIVER	"580.159.04"
#define SLICE_A "MIG-aaaaaaaa-0000-5000-8000-000000000001"
#define SLICE_B "MIG-bbbbbbbb-0000-5000-8000-000000000002"
#define GPU_0	"GPU-00000000-0000-4000-8000-000000000000"
#define GPU_1	"GPU-11111111-0000-4000-8000-000000000001"

struct fixture {
	char root[64];
	struct kf_node node; /* GPU 0 (minor 0) has SLICE_A and SLICE_B, GPU 1 (minor 1) none */
	struct kf_gpu gpu[2];
	struct kf_caps caps; /* by formula; majors 235 and 511 */
	struct kf_files *files;
	struct kf_cdi_view view;
};

/* cmocka's setup and teardown: *state is the fixture, its root removed afterwards. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Write a file below the root; directories are made. */
void put(struct fixture *f, const char *path, const void *data, size_t n);
void put_text(struct fixture *f, const char *path, const char *text);
/* A character device, or as good as one: a link to /dev/null. */
void put_device(struct fixture *f, const char *path);
void put_link(struct fixture *f, const char *path, const char *target);
/* A shared library with this SONAME (NULL: none). */
void put_library(struct fixture *f, const char *path, const char *soname);
/* The bytes of such a library: at most 512; answers how many. */
size_t make_elf(unsigned char *out, const char *soname);
/* The control nodes, two GPUs and the capability nodes of both slices. */
void put_devices(struct fixture *f);
/* Read the driver's files into view.files. */
void read_files(struct fixture *f);
char *slurp(const char *path);
