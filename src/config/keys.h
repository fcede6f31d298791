/*
 * Every key that may stand in the device plugin's configuration file (NVIDIA's version v1,
 * nvidia-stack.md 1.1, and kerf's own beside them), in one table: the parser, `kerf config schema`
 * and docs/config.md are made from it.
 *
 * Three lists make it up: the settings that have a place in the file (KF_SETTINGS), NVIDIA's that
 * this version does not serve (KF_NOT_SERVED), and what has a structure of its own, here:
 *
 *	X(path, KIND, choices, traits, help)
 *
 * Dots are levels, "[]" behind a name is a list of maps.  `choices` are words, for COUNT the least
 * and the greatest.
 */
#pragma once

#include <stddef.h>

struct kf_text;

enum kf_key_kind {
	KF_KEY_TEXT,
	KF_KEY_FLAG,
	KF_KEY_COUNT,
	KF_KEY_WORD,	 /* one of the choices */
	KF_KEY_WORDS,	 /* one of them or a list */
	KF_KEY_DURATION, /* Go's: 1m30s; or `infinite` */
	KF_KEY_DEVICES,	 /* all, a count, or a list: 0, "0:1", GPU-..., MIG-... */
	KF_KEY_CHANNELS, /* IMEX: [] or [0] */
	KF_KEY_LIST,	 /* of maps */
};

enum kf_key_trait {
	KF_KEY_NEEDED = 1, /* an entry without it is an error */
	KF_KEY_NOTED = 2,  /* not served by this version: noted, and passed over */
	KF_KEY_OURS = 4,   /* kerf's own; NVIDIA's plugin does not look at it */
};

#define KF_SHARING_KEYS(X, at)                                                                     \
	X(at ".renameByDefault", FLAG, "", 0, "call the replicas NAME.shared")                     \
	X(at ".failRequestsGreaterThanOne", FLAG, "", 0, "a container may have one replica only")  \
	X(at ".resources[]", LIST, "", 0, "what is shared")                                        \
	X(at ".resources[].name", TEXT, "", KF_KEY_NEEDED,                                         \
	  "the resource; `nvidia.com/` may be left out")                                           \
	X(at ".resources[].replicas", COUNT, "2 1000", 0, "of each device")                        \
	X(at ".resources[].rename", TEXT, "", 0,                                                   \
	  "what the replicas are called; dropped, unless kerf.honour says `rename`")               \
	X(at ".resources[].devices", DEVICES, "", 0,                                               \
	  "which devices are shared; all of them, unless kerf.honour says `devices`")

#define KF_NAMING_KEYS(X, at, what)                                                                \
	X(at "[]", LIST, "", 0, "names by " what "; dropped, unless kerf.honour says `resources`") \
	X(at "[].pattern", TEXT, "", KF_KEY_NEEDED, "the " what "; `*` stands for any text")       \
	X(at "[].name", TEXT, "", KF_KEY_NEEDED, "the resource that it is offered as")

#define KF_CONFIG_KEYS(X)                                                                          \
	X("version", WORD, "v1", 0, "of the format; may be left out")                              \
	KF_SHARING_KEYS(X, "sharing.timeSlicing")                                                  \
	KF_SHARING_KEYS(X, "sharing.mps")                                                          \
	KF_NAMING_KEYS(X, "resources.gpus", "product")                                             \
	KF_NAMING_KEYS(X, "resources.mig", "MIG profile")                                          \
	X("imex.channelIDs", CHANNELS, "", KF_KEY_NOTED, "IMEX channels given to each container")  \
	X("imex.required", FLAG, "", KF_KEY_NOTED, "end when a channel is missing")                \
	X("flags.gfd.oneshot", FLAG, "", KF_KEY_NOTED, "label once and end")                       \
	X("kerf.honour", WORDS, "rename devices resources", KF_KEY_OURS,                           \
	  "keys that NVIDIA's plugin reads and drops, and kerf is to obey")                        \
	X("kerf.timeSlice", WORD, "default short medium long", KF_KEY_OURS,                        \
	  "how long a process has a shared GPU before the next has its turn; where the driver "    \
	  "allows it")                                                                             \
	X("kerf.timeSlices[]", LIST, "", KF_KEY_OURS, "the same for GPUs by name")                 \
	X("kerf.timeSlices[].devices", DEVICES, "", KF_KEY_OURS | KF_KEY_NEEDED, "which GPUs")     \
	X("kerf.timeSlices[].length", WORD, "default short medium long",                           \
	  KF_KEY_OURS | KF_KEY_NEEDED, "of theirs")                                                \
	X("kerf.gpuMemory.unit", TEXT, "", KF_KEY_OURS,                                            \
	  "GPUs are sold by their memory, so much at a time: 1Gi; `gpuMemory: {}` switches it on") \
	X("kerf.gpuMemory.name", TEXT, "", KF_KEY_OURS,                                            \
	  "of the resource; with the unit 1Gi gpu-memory, with 512Mi gpu-memory-512mi")            \
	X("kerf.gpuMemory.keep", TEXT, "", KF_KEY_OURS,                                            \
	  "of each GPU, not sold, for the MPS server: 128Mi")                                      \
	X("kerf.gpuMemory.devices", DEVICES, "", KF_KEY_OURS, "which GPUs; all of them")           \
	X("kerf.gpuMemory.fit", WORD, "exact total", KF_KEY_OURS,                                  \
	  "on sale is what one GPU has free, or what all have together: exact")                    \
	X("kerf.gpuMemory.compute", TEXT, "", KF_KEY_OURS,                                         \
	  "SMs of a slice: proportional to its memory, none (no limit), or a percentage in "       \
	  "quotes: proportional")

struct kf_key {
	const char *path; /* of n bytes: not ended by a NUL */
	size_t n;
	enum kf_key_kind kind;
	const char *choices, *help;
	unsigned traits;
	int setting; /* enum kf_setting_index, or -1 */
};

/* Calls `see` for every key, in the order of the lists, until it answers other than 0. */
int kf_key_each(int (*see)(void *with, const struct kf_key *key), void *with);

enum kf_key_answer {
	KF_KEY_IS = 0,	   /* it is a key; *ret */
	KF_KEY_ON_THE_WAY, /* keys stand below it */
	KF_KEY_UNKNOWN,
};

/* What a path in a file means; "sharing.mps.resources" is a LIST, whose row ends in "[]". */
enum kf_key_answer kf_key_find(const char *path, struct kf_key *ret);

/*
 * The key beside `wrong`, below `prefix` ("flags." or ""), that may have been meant: into out,
 * which is empty when there is none.
 */
void kf_key_suggest(const char *prefix, const char *wrong, char out[64]);

/* A JSON Schema (draft 2020-12) of the file, indented. */
void kf_keys_schema(struct kf_text *out);
/* The keys that are no settings, as docs/config.md shows them, in Markdown. */
void kf_keys_markdown(struct kf_text *out);
