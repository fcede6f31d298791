/* The agent's parts among themselves; nobody else includes this. */
#pragma once

#include <uv.h>

#include "agent/events.h"
#include "agent/fit.h"
#include "agent/going.h"
#include "agent/grant.h"
#include "agent/holdings.h"
#include "agent/job.h"
#include "agent/marks.h"
#include "agent/mps.h"
#include "agent/neighbours.h"
#include "agent/offers.h"
#include "agent/pause.h"
#include "agent/release.h"
#include "agent/sale.h"
#include "agent/timeslice.h"
#include "agent/withdraw.h"
#include "cdi/runtime.h"
#include "config/mig.h"
#include "config/settings.h"
#include "health/health.h"
#include "kube/event.h"
#include "kube/evict.h"
#include "kube/http.h"
#include "kube/node.h"
#include "kube/watch.h"
#include "kubelet/kubelet.h"
#include "kubelet/podresources.h"
#include "labels/labels.h"
#include "model/holds.h"
#include "model/node.h"
#include "model/target.h"
#include "plan/plan.h"
#include "state/ledger.h"
#include "state/saved.h"

#define KF_LABEL_CONFIG	     "nvidia.com/mig.config"
#define KF_LABEL_STATE	     "nvidia.com/mig.config.state"
#define KF_ANNOTATION_REASON "kerf.dev/mig-config-reason"
#define KF_LABEL_PLUGIN	     "nvidia.com/device-plugin.config"
#define KF_ANNOTATION_HEALTH "kerf.dev/health"
#define KF_ANNOTATION_CONFIG "kerf.dev/config-reason"
#define KF_ANNOTATION_REMOVE "kerf.dev/remove" /* asks us to take back what we have written */

/* How often the driver and the holders are looked at when nothing happens. */
#define KF_POLL_MS 10000
/* The same while a change waits for pods to end: what an operator takes for "at once". */
#define KF_WAIT_MS 1000
/* What has just stopped answering may be back at once: so many looks KF_WAIT_MS apart, then
 * KF_POLL_MS. */
#define KF_QUICK_LOOKS 9
/* How long after an allocation the kubelet is asked for the pod's name. */
#define KF_NAMES_MS 500
/* An API server that is configured but silent: after so long the last good configuration is put
 * back without its word, so that a rebooted node serves. */
#define KF_LABEL_PATIENCE_MS 2000

/* Values of nvidia.com/mig.config.state, NVIDIA's; NONE: no configuration is selected. */
enum kf_state {
	KF_STATE_NONE,
	KF_STATE_PENDING,
	KF_STATE_SUCCESS,
	KF_STATE_FAILED,
	KF_STATE_REBOOTING
};

enum kf_chosen_by { KF_BY_NOBODY, KF_BY_SAVED, KF_BY_LABEL };

enum kf_leaving {
	KF_STAYING,
	KF_LEAVING,	 /* the kubelet's lists and the CDI file are taken back */
	KF_LEAVING_NODE, /* what is on the Node is */
	KF_LEFT
};

/* Tells one writing of a file from the next. */
struct kf_stamp {
	uint64_t inode;
	int64_t s, ns;
};

/* A GPU whose last step did not succeed pauses; the others go on. */
struct kf_setback {
	unsigned failures; /* in a row; sets the pause.  0: none */
	uint64_t retry_at_ms;
	int is_wait; /* it is a matter of waiting: pending rather than failed */
	struct kf_error err;
};

/* Who has the driver open besides the jobs. */
#define KF_WAITS_LISTENER 1u
#define KF_WAITS_SAMPLER  2u

/* What is counted for kerf's own metrics, besides the counts below. */
enum kf_tally {
	KF_TALLY_API_ERROR,
	KF_TALLY_KUBELET_ERROR,
	KF_TALLY_PODRESOURCES_ERROR,
	KF_TALLY_UNKNOWN_DEVICE, /* an Allocate that was refused for it */
	KF_TALLY_EVICTED,
	KF_TALLY_SETTLED, /* the planner's answers */
	KF_TALLY_PLAN,
	KF_TALLY_IMPOSSIBLE,
	KF_TALLY_MPS_FAULT,
};

struct kf_agent_counts {
	unsigned long allocated;	  /* containers answered */
	unsigned long refused;		  /* Allocate refused, whatever the reason */
	unsigned long refused_withdrawn;  /* of them: the slice was being destroyed */
	unsigned long cancelled;	  /* withdrawals that an Allocate ended */
	unsigned long changes;		  /* jobs with steps */
	unsigned long created, destroyed; /* GPU instances */
};

struct kf_agent {
	uv_loop_t loop;
	const struct kf_settings *set; /* in force: the caller's, or own_set */
	struct kf_settings *own_set;   /* with what the configuration file says */
	char *config_bytes;	       /* the file as it was read last */
	size_t n_config;
	char config_path[512];	 /* where from; "": no file counts */
	char config_folder[512]; /* of named ones: --config-dir, or what --config-map is written to
				  */
	struct kf_watch *map_watch; /* of --config-map */
	struct kf_error map_err;    /* why it cannot be had; code 0: it can */
	int map_there;		    /* the API server has it */
	int map_known;		    /* and has been asked once */
	char config_label[256];	    /* nvidia.com/device-plugin.config */
	struct kf_error config_err; /* why the file is not in force; code 0: it is */
	int label_told;		    /* config_label is what the Node has */
	int config_news;	    /* of that there is an Event to be told */
	int config_patching;
	char told_config[512]; /* the Node's annotation */
	int withheld;	       /* there was no good file yet: nothing is offered */
	uv_fs_event_t config_watch;
	uv_timer_t config_timer;
	int stopping;
	enum kf_leaving leaving;

	/* observed */
	struct kf_nvml *driver; /* the jobs' */
	enum kf_driver_state driver_state;
	struct kf_error driver_err;
	struct kf_node *node; /* NULL until first read */
	struct kf_files *files;
	struct kf_caps caps;
	int cdi_written;
	struct kf_labels features;	/* as they should be */
	struct kf_labels features_seen; /* as the Node has them */
	int64_t started_s;
	struct kf_health health;
	struct kf_listener *listener; /* to the driver's events; NULL: none at present */
	uint32_t listened_to;	      /* by it: tells one choice of GPUs from another */
	uint64_t listener_began_ms, listen_after_ms;
	int deaf; /* these GPUs have no events */
	void (*listener_done)(void *ud);
	struct kf_runtime runtime;
	struct kf_ledger *ledger;
	struct kf_holds holds;
	struct kf_pod_rows pods;
	int pods_known;			/* PodResources answered the last time */
	unsigned long allocated_before; /* counts.allocated when it was asked */
	int gathering;
	unsigned stale_tries;
	int stale; /* an old checkpoint alone names a device; a new one is asked for */
	struct kf_stamp stale_stamp; /* of the old one */
	unsigned n_listening;	     /* resources that a kubelet listens to */

	/* decided */
	struct kf_mig_configs *configs;
	struct kf_error configs_err; /* why there are none */
	char config[64];	     /* "" : none is selected */
	enum kf_chosen_by chosen_by;
	struct kf_saved *saved;
	char cut_short[64]; /* the configuration of an intent found at the start */
	struct kf_target *target;
	struct kf_plan *plan; /* the latest; NULL when settled */
	struct kf_withdrawals withdrawals;
	unsigned clear_tries;
	int asking_clear;	 /* an answer of GetAllocatableResources is on its way */
	int withdrawn_meanwhile; /* and what it is asked about has changed since */
	unsigned quick_looks;	 /* left, at what has just stopped answering */
	struct kf_job *job;
	unsigned job_waits; /* KF_WAITS_*: for those who must let go of the driver first */
	uint64_t job_began_ms;
	int dirty;
	int job_wanted; /* read the driver again when what was read last has been decided on */
	struct kf_setback setback[KF_MAX_GPUS]; /* by the GPU's place in the node */

	/* told */
	enum kf_state state;
	char reason[1024];
	uint64_t said_at_ms;
	unsigned said;
	struct kf_kubelet *kubelet;
	struct kf_sale sale;
	struct kf_time_slices time_slices;
	char fit_block[KF_UUID]; /* the GPU whose free units are on sale; see fit.h */
	struct kf_going going;
	struct kf_watch *pods_watch; /* while units are sold */
	struct kf_marks marks;
	struct kf_mps mps;
	struct kf_neighbours neighbours;
	struct kf_pause pause;
	struct kf_release release;
	int asking_sale;     /* an answer about it is on its way */
	unsigned sale_asked; /* the listing that it is about */
	unsigned sale_tries;
	struct kf_podresources *podresources;
	struct kf_kube_config *kube_config;
	struct kf_kube *kube;
	struct kf_watch *watch;
	struct kf_events *events;
	int label_known; /* the watch has listed our Node once */
	int patching;
	int patch_has_features;	 /* the one on its way, or the last one */
	unsigned patch_failures; /* in a row */
	unsigned patch_said;	 /* `said`, as it was then */
	uint64_t features_after_ms, features_made_ms;
	int no_hardware;	   /* neither driver nor GPU: there is nothing to label */
	unsigned features_refused; /* in a row */
	unsigned features_told;	   /* the same ones, so often */
	int rebooted;		   /* the Node said `rebooting` when we came up: it was tried */
	int reboot_asked;
	uv_process_t reboot;
	char seen_state[64]; /* the Node's label as the API server has it */
	char seen_reason[1024];
	char ailments[1024], seen_ailments[1024]; /* of the annotation */
	uint64_t evicted_at_ms;
	int evicting;

	uv_pipe_t status, top; /* serve.c */
	struct kf_status_client *status_clients;
	unsigned n_status_clients;

	uv_timer_t soon, poll, wait, clear, stale_timer, patience, patch_timer, names, sale_timer,
		probe;
	uv_signal_t on_term, on_int, on_hup;
	struct kf_agent_counts counts;
	struct kf_agent_metrics *metrics; /* NULL: none are served */
	unsigned n_closing;
};

/* observe.c */
void kf_agent_read(struct kf_agent *a);	  /* have the driver read (a job without steps) */
void kf_agent_gather(struct kf_agent *a); /* find out who holds what, then reconcile */
void kf_agent_take_job(struct kf_agent *a, struct kf_job *job); /* its results become ours */

/* reconcile.c */
void kf_agent_mark(struct kf_agent *a); /* something changed: gather and reconcile soon */
void kf_agent_reconcile(struct kf_agent *a);
void kf_agent_choose(struct kf_agent *a, const char *config, enum kf_chosen_by by);
void kf_agent_load_configs(struct kf_agent *a);
int kf_agent_start_job(struct kf_agent *a, const struct kf_step *steps, unsigned n, int save);
/* a->job, with listener and sampler out of the driver first. */
void kf_agent_launch_quietly(struct kf_agent *a);
int kf_agent_launch(struct kf_agent *a); /* a->job, that nobody has to be waited for; 0 or -1 */
void kf_agent_stop_waiting(struct kf_agent *a, unsigned who); /* of KF_WAITS_*; the last launches */
void kf_agent_ask_clear(struct kf_agent *a); /* has the kubelet let go of the withdrawn? */
int kf_agent_kubelet_is_there(const struct kf_agent *a); /* one that could hand out devices */
void kf_agent_evict(struct kf_agent *a); /* evict.c: ask for the pods in the way to be ended */

/* features.c */
int kf_features_make(const struct kf_settings *set, const struct kf_node *node, int64_t started_s,
		     struct kf_labels *ret, struct kf_error *err);
/* The path of the features file, under --root; the caller's to free, NULL: no memory. */
char *kf_features_path(const struct kf_settings *set);
/* Are labels to be made anew though nothing has changed (flags.gfd.sleepInterval)?  1 or 0. */
int kf_agent_features_due(const struct kf_agent *a);
void kf_agent_take_hardware(struct kf_agent *a, const struct kf_job *job);
void kf_agent_take_made(struct kf_agent *a, struct kf_labels *made); /* a job's, taken; or none */
void kf_agent_take_features(struct kf_agent *a, const struct kf_kube_node *node);
unsigned kf_agent_feature_edits(struct kf_agent *a, struct kf_labels *set, struct kf_labels *drop,
				struct kf_kube_edit **ret);

/* The server refuses them: they pause, for longer each time.  The refusals in a row. */
unsigned kf_agent_pause_features(struct kf_agent *a);
/* The server has taken them. */
void kf_agent_features_told(struct kf_agent *a);

/* health.c */
void kf_agent_health_start(struct kf_agent *a);
void kf_agent_health_rules(struct kf_agent *a); /* the settings are others, maybe */
/* 1: the listener ends, and `done` comes with `a`; 0: there is none, and it does not. */
int kf_agent_health_stop(struct kf_agent *a, void (*done)(void *ud));
/* Have the listener that is wanted now: started, ended, or left as it is. */
void kf_agent_listen(struct kf_agent *a);
/* Do these steps want the listener gone?  1: it ends, and kf_agent_launch is called then. */
int kf_agent_hush(struct kf_agent *a, const struct kf_step *steps, unsigned n);
void kf_agent_probe(struct kf_agent *a); /* a->node was read anew, or could not be */
void kf_agent_forget_ailments(struct kf_agent *a);
/* What ails this device (GPU or MIG device; no replica); NULL: nothing. */
const struct kf_ailment *kf_agent_ailment(const struct kf_agent *a, const char *id);
void kf_agent_take_health(struct kf_agent *a, const struct kf_kube_node *node);
unsigned kf_agent_health_edit(const struct kf_agent *a, struct kf_kube_edit *edit); /* 0 or 1 */

/* reboot.c */
void kf_agent_want_reboot(struct kf_agent *a, struct kf_setback *why);
void kf_agent_reboot_if_told(struct kf_agent *a); /* once the Node says `rebooting` */

/* config.c */
void kf_agent_config_start(struct kf_agent *a);	 /* read it; trouble is told, not returned */
void kf_agent_config_reload(struct kf_agent *a); /* if it has changed */
void kf_agent_config_label(struct kf_agent *a, const char *label); /* NULL: the Node is silent */
void kf_agent_config_tell(struct kf_agent *a); /* Event and annotation, once the Node is known */
void kf_agent_on_config_timer(uv_timer_t *timer);
void kf_agent_config_done(struct kf_agent *a);

int kf_agent_is_config_name(const char *name);

/* configmap.c; after kf_agent_kube_start */
int kf_agent_configmap_start(struct kf_agent *a, struct kf_error *err);

/* sell.c */
void kf_agent_sell(struct kf_agent *a); /* go on with a change of how devices are sold */

/* timing.c */
/* Before this is published: 1 if a length is to be set first, and it will be published then. */
int kf_agent_time_slices(struct kf_agent *a, const struct kf_offers *offers);
void kf_agent_time_slices_ask(struct kf_agent *a, struct kf_job *job); /* put them into a job */
void kf_agent_time_slices_take(struct kf_agent *a, const struct kf_job *job); /* what came of it */

/* going.c */
/* Have the pods of the node watched if their ends matter now; leave off if not. */
void kf_agent_watch_pods(struct kf_agent *a);
int kf_agent_is_going(const void *agent, const struct kf_hold *hold);

/* mps.c */
void kf_agent_mps_start(struct kf_agent *a);
void kf_agent_mps_done(struct kf_agent *a);
/* Devices and rules may have changed: daemons wanted and no longer wanted. */
void kf_agent_mps_follow(struct kf_agent *a);
int kf_agent_mps_ready(const void *agent, const char *id); /* for kf_offer_rules */
/* What an allocation of shares gets besides its device; negative: refused. */
int kf_agent_mps_grant(struct kf_agent *a, const char *resource, const char *const *ids, unsigned n,
		       struct kf_answer *ret, struct kf_error *err);

/* marks.c */
int kf_agent_marks_start(struct kf_agent *a, struct kf_error *err); /* a taint may be none */
void kf_agent_taint(struct kf_agent *a);	  /* have the Node's taints as they should be */
void kf_agent_tell_condition(struct kf_agent *a); /* if it has changed */
/* So many units of a resource are on sale; the API server is told at once when they are fewer. */
void kf_agent_tell_units(struct kf_agent *a, const char *resource, unsigned healthy);

/* neighbours.c */
void kf_agent_neighbours_start(struct kf_agent *a);
/* Does another device plugin serve our GPUs?  Then leave off; or begin, once it is gone. */
void kf_agent_neighbours_look(struct kf_agent *a);
int kf_agent_is_passive(const struct kf_agent *a);
void kf_agent_neighbours_take(struct kf_agent *a, const struct kf_kube_node *node);
void kf_agent_neighbours_read(struct kf_agent *a, const struct kf_job *job); /* a job is over */
void kf_agent_neighbours_tell(struct kf_agent *a); /* Events, once the Node is known */
/* Does NVIDIA's toolkit give GPUs to whoever names them?  Told when the answer changes. */
void kf_agent_toolkit_look(struct kf_agent *a);

/* pause.c */
void kf_agent_pause_start(struct kf_agent *a);
void kf_agent_pause_take(struct kf_agent *a, const struct kf_kube_node *node);
/* May these steps be taken now?  1; or 0: kf_agent_mark is called once they may. */
int kf_agent_pause(struct kf_agent *a, const struct kf_step *steps, unsigned n);
/* 1 and a sentence while they may not. */
int kf_agent_pause_waits(const struct kf_agent *a, char *out, size_t size);
void kf_agent_pause_review(struct kf_agent *a); /* a pass is over: set them back, soon */
/* leave.c */
void kf_agent_leave(struct kf_agent *a); /* take back what was written; told again: say so again */
void kf_agent_leave_on(struct kf_agent *a, const struct kf_job *job); /* a job is done */

/* release.c */
int kf_agent_release_serve(struct kf_agent *a, struct kf_error *err);
void kf_agent_release_now(struct kf_agent *a); /* if it is asked for and nothing is under way */
/* Is the driver to be left alone, or closed already?  Then no job is started. */
int kf_agent_is_released(const struct kf_agent *a);

/* serve.c: a unix socket in the state directory, mode 0600, in the place of one left over */
int kf_agent_open_socket(struct kf_agent *a, uv_pipe_t *pipe, const char *name,
			 uv_connection_cb cb, struct kf_error *err);

/* allocate.c */
extern const struct kf_kubelet_events kf_agent_kubelet_events;

/* tell.c */
void kf_agent_publish(struct kf_agent *a);
void kf_agent_say(struct kf_agent *a, enum kf_state state, const char *reason);
void kf_agent_patch(struct kf_agent *a);
int kf_agent_kube_start(struct kf_agent *a, struct kf_error *err);
void kf_agent_kube_stop(struct kf_agent *a);
void kf_agent_offer_rules(const struct kf_agent *a, struct kf_offer_rules *ret);
const char *kf_state_text(enum kf_state state);

/* metrics.c: all of these may be called where no metrics are served */
extern const char *kf_agent_version, *kf_agent_commit;
void kf_agent_metrics_start(struct kf_agent *a);
void kf_agent_metrics_poll(struct kf_agent *a); /* every KF_POLL_MS */
void kf_agent_metrics_stop(struct kf_agent *a);
void kf_agent_metrics_done(struct kf_agent *a);
const char *kf_agent_metrics_address(const struct kf_agent *a); /* NULL: not served */
/* Have the sampler rest for these steps?  1: kf_agent_stop_waiting is called when it does. */
int kf_agent_metrics_hush(struct kf_agent *a, const struct kf_step *steps, unsigned n);
void kf_agent_metrics_go_on(struct kf_agent *a); /* the steps are over */
void kf_agent_show(struct kf_agent *a); /* something has changed that is shown: a view, soon */
void kf_agent_count(struct kf_agent *a, enum kf_tally what);
void kf_agent_count_xid(struct kf_agent *a, const char *gpu, unsigned xid);
void kf_agent_count_job(struct kf_agent *a, const struct kf_job *job);
/* Something has happened that is shown: `type` is an Event's. */
void kf_agent_news(struct kf_agent *a, const char *type, const char *text);
/* What `kerf top` shows, as JSON (metrics/node.h), or {"error": "why there is nothing"}; the
 * caller's to free; NULL: no memory. */
char *kf_agent_node_json(struct kf_agent *a);

/* serve.c */
int kf_agent_serve(struct kf_agent *a, struct kf_error *err);
void kf_agent_serve_stop(struct kf_agent *a);	      /* whoever is connected is cut off */
char *kf_agent_status_json(const struct kf_agent *a); /* the caller's to free; NULL: no memory */
