/*
 * NVIDIA's device plugin configuration file, version v1 (nvidia-stack.md 1.1), into settings.
 *
 * What this version serves are the rows of KF_SETTINGS that name a place in the file.  Other keys
 * of NVIDIA's schema are taken note of, not refused, so that a file in use keeps working; a key
 * that is in neither is an error with its line (NVIDIA's reader ignores it).
 */
#pragma once

#include <stddef.h>

struct kf_error;
struct kf_settings;

/*
 * Fill in what the file says and no stronger source has said; what is not served goes to s->notes.
 * 0, or negative: *err names file, line and key; *s may then be half filled.
 */
int kf_plugin_config_load(const char *path, struct kf_settings *s, struct kf_error *err);
/* The same for bytes in memory; `name` stands for the file in messages. */
int kf_plugin_config_parse(const char *bytes, size_t n, const char *name, struct kf_settings *s,
			   struct kf_error *err);
