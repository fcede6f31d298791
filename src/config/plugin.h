/*
 * NVIDIA's device plugin configuration file, version v1 (nvidia-stack.md 1.1), into settings.
 *
 * The keys are those of keys.h.  A wrong type or value and a contradiction are errors, with file,
 * line and key.  A key that is none is told and passed over, since NVIDIA's reader ignores it and a
 * file in use must keep working; `kerf config check` calls it an error.
 */
#pragma once

#include <stddef.h>

struct kf_error;
struct kf_findings;
struct kf_settings;

/*
 * Fill in what the file says and no stronger source has said.  What is unknown, not served, or does
 * not come as written goes to s->notes, a line each.
 * 0, or negative: *err is the first error; *s may then be half filled.
 */
int kf_plugin_config_load(const char *path, struct kf_settings *s, struct kf_error *err);
/* The same for bytes in memory; `name` stands for the file in messages. */
int kf_plugin_config_parse(const char *bytes, size_t n, const char *name, struct kf_settings *s,
			   struct kf_error *err);

/*
 * All that there is to say of the file, into *out.  0, or negative: it could not be read at all, or
 * is no YAML (*err), or there is no memory.
 */
int kf_plugin_config_check(const char *path, struct kf_settings *s, struct kf_findings *out,
			   struct kf_error *err);
