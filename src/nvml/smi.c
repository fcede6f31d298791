/* Asking nvidia-smi; see smi.h. */
#include "nvml/smi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/own.h"
#include "base/run.h"
#include "base/text.h"
#include "nvml/nvml.h"

#define TIMEOUT_MS 20000
#define PRELOAD	   "LD_PRELOAD="

extern char **environ;

/*
 * Our environment, with the library that is open put before whatever is preloaded.  A path of its
 * folder in LD_LIBRARY_PATH would bring the host's libc into a container along with it.  The
 * array is the caller's to free, and `preload` has to stay.
 */
static const char **make_env(const struct kf_nvml *nv, char *preload, size_t size)
{
	const char **env, *before = getenv("LD_PRELOAD");
	unsigned i, n = 0;

	for (i = 0; environ[i]; i++)
		;
	env = kf_calloc(i + 2, sizeof(*env));
	if (!env)
		return NULL;
	snprintf(preload, size, PRELOAD "%s%s%s", nv->path, before ? ":" : "",
		 before ? before : "");
	for (i = 0; environ[i]; i++)
		if (strncmp(environ[i], PRELOAD, sizeof(PRELOAD) - 1) != 0)
			env[n++] = environ[i];
	env[n] = nv->path[0] == '/' ? preload : NULL;
	return env;
}

/* The first line, without what surrounds it. */
static void first_line(const char *text, char out[200])
{
	size_t n;

	text += strspn(text, " \n\t");
	n = strcspn(text, "\n");
	snprintf(out, 200, "%.*s", n < 199 ? (int)n : 199, n ? text : "it said nothing");
}

int kf_smi_set_time_slice(const struct kf_nvml *nv, const char *program, const char *uuid,
			  unsigned length, struct kf_error *err)
{
	char number[12], preload[1024], line[200];
	const char *argv[] = {program,		 "compute-policy", "-i", uuid,
			      "--set-timeslice", number,	   NULL};
	kf_auto_mem const char **env = make_env(nv, preload, sizeof(preload));
	kf_auto(kf_text_done) struct kf_text out = {0};
	struct kf_run run = {.argv = argv, .env = env, .timeout_ms = TIMEOUT_MS};
	int status;

	if (!env)
		return kf_fail(err, KF_E_NOMEM, 0, "no memory to ask nvidia-smi");
	snprintf(number, sizeof(number), "%u", length);
	status = kf_run(&run, &out, err);
	if (status < 0)
		return -1;
	first_line(out.s ? out.s : "", line);
	if (status > 0 || strcasestr(line, "fail") || strcasestr(line, "not supported"))
		return kf_fail(err, KF_E_DRIVER, status,
			       "nvidia-smi compute-policy --set-timeslice %u: %s", length, line);
	return 0;
}
