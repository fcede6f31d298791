/* The inside of the stand-in API server. */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdint.h>

#include "apiserver.h"
#include "fault.h"
#include "store.h"

/* What /sim/watches told the open watches to do. */
enum kf_sim_order {
	KF_SIM_ORDER_NONE,
	KF_SIM_ORDER_END,
	KF_SIM_ORDER_DROP,
	KF_SIM_ORDER_GARBAGE,
	KF_SIM_ORDER_MIDWAY,
	KF_SIM_ORDER_EXPIRE,
	KF_SIM_ORDER_ERROR,
	KF_SIM_ORDER_BOOKMARK,
	KF_SIM_ORDER_STALL,
};

struct kf_sim_stats {
	unsigned long requests, watches, lists, refused, bookmarks;
	atomic_uint open; /* watches; without the lock, see free_watch */
};

/* Everything that changes is under store.lock. */
struct kf_sim_api {
	struct MHD_Daemon *daemon;
	struct kf_sim_store store;
	struct kf_sim_faults faults;
	struct kf_sim_stats stats;
	char *token;
	long budget; /* evictions still allowed; negative: any number */
	unsigned bookmark_ms;
	int stopping;
	unsigned long order_serial;
	enum kf_sim_order order;

	char *url;
	char *ca, *cert, *key; /* PEM */
};

/* One request. */
struct kf_sim_call {
	struct kf_sim_api *api;
	struct MHD_Connection *connection;
	const char *method, *path;
	struct kf_text body;
};

/* A path taken apart. */
struct kf_sim_target {
	enum kf_sim_kind kind;
	char *namespace, *name, *sub; /* "" where the path has none */
};

/* The value of a query parameter, or NULL. */
const char *kf_sim_query(const struct kf_sim_call *call, const char *key);

/* Answers; each ends the call.  Takes json. */
enum MHD_Result kf_sim_answer(struct kf_sim_call *call, unsigned status, json_t *json);
enum MHD_Result kf_sim_answer_text(struct kf_sim_call *call, unsigned status, const char *text);
/* A Status object: reason "NotFound", a message, and details.causes[0].message if cause is not
 * NULL. */
enum MHD_Result kf_sim_refuse(struct kf_sim_call *call, unsigned status, const char *reason,
			      const char *cause, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* verbs.c */
enum MHD_Result kf_sim_verb(struct kf_sim_call *call, const struct kf_sim_target *target);
/* stream.c */
enum MHD_Result kf_sim_watch(struct kf_sim_call *call, const struct kf_sim_target *target);
/* control.c: /sim/... */
enum MHD_Result kf_sim_control(struct kf_sim_call *call);
/* Wait so long, or until the server stops.  Under the lock. */
void kf_sim_wait(struct kf_sim_api *api, uint64_t until_ms);

/* discovery.c: what kubectl wants to know first; NULL: the path is something else. */
json_t *kf_sim_discovery(const char *path);

/* cert.c: a key, a certificate for 127.0.0.1, ::1 and localhost that signs itself, in PEM. */
int kf_sim_certificate(char **ret_cert, char **ret_key, struct kf_error *err);
/* The object as `Accept` wants it: itself, or its metadata only.  A new reference. */
json_t *kf_sim_view(struct kf_sim_call *call, json_t *json);
