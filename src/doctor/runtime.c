/* The container runtime and NVIDIA's toolkit; see doctor.h. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "cdi/runtime.h"
#include "doctor/doctor.h"

void kf_doctor_runtime(struct kf_checkup *c, const struct kf_runtime *r, enum kf_doctor_cdi names)
{
	const char *todo = r->cdi == KF_CDI_UNKNOWN
				   ? "where the host's files are mounted elsewhere, name that by "
				     "--root, so that the runtime's can be read"
				   : "set enable_cdi = true in the CRI section of "
				     "/etc/containerd/config.toml, or use containerd 2; give the "
				     "agent --cdi=devices to do without";

	if (names == KF_DOCTOR_CDI_NEVER) {
		kf_checkup_add(c, KF_VERDICT_OK, "cdi",
			       "not needed: devices are handed out as nodes and mounts");
	} else if (r->cdi == KF_CDI_ON) {
		kf_checkup_add(c, KF_VERDICT_OK, "cdi", "the runtime acts on CDI names: %s",
			       r->reason);
	} else if (names == KF_DOCTOR_CDI_ALWAYS) {
		kf_checkup_add(c, KF_VERDICT_PROBLEM, "cdi",
			       "CDI names are to be handed out, and the runtime %s: %s; containers "
			       "would start without a GPU, in silence",
			       r->cdi == KF_CDI_OFF ? "ignores them" : "may ignore them",
			       r->reason);
		kf_checkup_advise(c, "%s", todo);
	} else {
		kf_checkup_add(c, KF_VERDICT_WARNING, "cdi",
			       "the runtime %s CDI names: %s; the agent hands out device nodes and "
			       "mounts instead",
			       r->cdi == KF_CDI_OFF ? "ignores" : "may ignore", r->reason);
		kf_checkup_advise(c, "%s", todo);
	}
}

/* --- the toolkit ----------------------------------------------------------------------------- */

enum answer { ABSENT = -1, NO, YES };

/* The key's value at the top level of a TOML file; what stands in a table is another key. */
static enum answer find_key(char *text)
{
	enum answer answer = ABSENT;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		size_t n = sizeof(KF_TOOLKIT_KEY) - 1;

		line += strspn(line, " \t\r\"'");
		if (*line == '[')
			break;
		if (strncmp(line, KF_TOOLKIT_KEY, n) != 0)
			continue;
		line += n + strspn(line + n, " \t\"'");
		if (*line++ != '=')
			continue;
		line += strspn(line, " \t");
		answer = strncmp(line, "false", 5) ? YES : NO;
	}
	return answer;
}

static int exists(const char *root, const char *path)
{
	kf_auto_mem char *full = kf_under(root, path);
	struct stat st;

	return full && stat(full, &st) == 0;
}

static int is_installed(const char *root)
{
	static const char *const programs[] = {
		"/usr/bin/nvidia-container-runtime",
		"/usr/bin/nvidia-container-runtime-hook",
		"/usr/bin/nvidia-container-toolkit",
		"/usr/local/nvidia/toolkit/nvidia-container-runtime",
	};
	size_t i;

	for (i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (exists(root, programs[i]))
			return 1;
	return 0;
}

int kf_doctor_toolkit_accepts(const char *root, char *file, size_t size)
{
	/* of a package; of the GPU operator's container */
	static const char *const files[] = {
		"/etc/nvidia-container-runtime/config.toml",
		"/usr/local/nvidia/toolkit/.config/nvidia-container-runtime/config.toml",
	};
	const char *closed = NULL;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		kf_auto_mem char *path = kf_under(root, files[i]);
		kf_auto_mem char *text = path ? kf_read_file(path, 1 << 20, NULL, NULL) : NULL;

		if (text && find_key(text) == NO) {
			closed = files[i];
		} else if (text) {
			snprintf(file, size, "%s", files[i]);
			return 1;
		}
	}
	/* without a file its default counts, which is to accept */
	snprintf(file, size, "%s", closed ? closed : is_installed(root) ? files[0] : "");
	return closed ? 0 : file[0] ? 1 : -1;
}

void kf_doctor_toolkit(struct kf_checkup *c, const char *root)
{
	char file[128];

	switch (kf_doctor_toolkit_accepts(root, file, sizeof(file))) {
	case 1:
		kf_checkup_add(c, KF_VERDICT_WARNING, "toolkit",
			       "a pod that asks for no GPU sees all of them when its image sets "
			       "NVIDIA_VISIBLE_DEVICES: NVIDIA's toolkit accepts that from "
			       "unprivileged containers (%s)",
			       file);
		kf_checkup_advise(c,
				  "set " KF_TOOLKIT_KEY " = false in %s; kerf's pods get theirs by "
				  "CDI or device nodes and do not need it",
				  file);
		return;
	case 0:
		kf_checkup_add(c, KF_VERDICT_OK, "toolkit",
			       "NVIDIA_VISIBLE_DEVICES of unprivileged containers is not accepted "
			       "(%s)",
			       file);
		return;
	default:
		kf_checkup_add(c, KF_VERDICT_OK, "toolkit",
			       "NVIDIA's container toolkit is not installed, and not needed");
	}
}
