/* What the stand-in knows: objects, and the history of their changes. */
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "base/text.h"

struct kf_error;

enum kf_sim_kind { KF_SIM_NODES, KF_SIM_PODS, KF_SIM_EVENTS, KF_SIM_CONFIGMAPS, KF_SIM_KINDS };

/* The names of a kind: "nodes", "Node", whether it lives in a namespace. */
struct kf_sim_kind_words {
	const char *plural, *kind;
	int namespaced;
};
extern const struct kf_sim_kind_words kf_sim_kinds[KF_SIM_KINDS];

struct kf_sim_object {
	enum kf_sim_kind kind;
	char *namespace, *name;
	json_t *json;
};

/* One change, kept for watches. */
struct kf_sim_change {
	unsigned long version;
	enum kf_sim_kind kind;
	const char *type; /* ADDED, MODIFIED, DELETED */
	json_t *json;	  /* the object as it then was */
};

/* All of it is under `lock`; `changed` is broadcast at each change and whenever waiters should
 * look up. */
struct kf_sim_store {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct kf_sim_object *objects;
	size_t n_objects, objects_capacity;
	struct kf_sim_change *history; /* a ring */
	unsigned n_history, history_size, history_at;
	unsigned long version;	 /* of the latest change */
	unsigned long forgotten; /* changes up to this one are not in the history any more */
	unsigned long serial;	 /* for uids and generated names */
};

int kf_sim_store_init(struct kf_sim_store *s, unsigned history, struct kf_error *err);
void kf_sim_store_done(struct kf_sim_store *s);

/* NULL if there is none.  namespace is "" for what has none.  Valid under the lock. */
struct kf_sim_object *kf_sim_find(struct kf_sim_store *s, enum kf_sim_kind kind,
				  const char *namespace, const char *name);
/* Takes json, which has metadata.name (and .namespace); sets uid, version, time.  -1: no memory. */
int kf_sim_add(struct kf_sim_store *s, enum kf_sim_kind kind, json_t *json,
	       struct kf_sim_object **ret);
/* The object has `json` from now on (taken), under a new version. */
void kf_sim_replace(struct kf_sim_store *s, struct kf_sim_object *o, json_t *json);
void kf_sim_remove(struct kf_sim_store *s, struct kf_sim_object *o);
/* Watches from versions up to now are 410 from now on. */
void kf_sim_forget_history(struct kf_sim_store *s);
/* The first change after `version` of this kind, or NULL. */
const struct kf_sim_change *kf_sim_next_change(const struct kf_sim_store *s, enum kf_sim_kind kind,
					       unsigned long version);

/* RFC 7386: a new tree, sharing nothing with either; NULL: no memory. */
json_t *kf_sim_merged(json_t *target, json_t *patch);

/* "metadata.name=a,spec.nodeName=b" (or ==, !=); NULL and "" select everything. */
int kf_sim_selected(json_t *json, const char *field_selector);
