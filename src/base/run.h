/* Other programs: run to their end, with what they print, within a time. */
#pragma once

struct kf_error;
struct kf_text;

struct kf_run {
	const char *const *argv; /* [0] is the path; ends in NULL */
	const char *const *env;	 /* ends in NULL; NULL: our own */
	unsigned timeout_ms;	 /* killed after so long */
};

/*
 * Run it with nothing to read; what it prints on either output goes to `out` (at most 64 KiB of
 * it).  The calling thread waits.
 * Its exit status, 0 to 255; negative: it did not start, was ended by a signal, or did not end in
 * time.
 */
int kf_run(const struct kf_run *run, struct kf_text *out, struct kf_error *err);
