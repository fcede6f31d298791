/*
 * Which devices are well.
 *
 * The driver reports (an XID, an ECC error), and readings of the node are probes; what both say
 * of a GPU or of one slice goes through a state machine:
 *
 *	WELL ---report, or a probe that is not clean---> UNWELL ---clean probes---> WELL
 *	                                            \--- too often ---> FLAPPING
 *
 * FLAPPING stays until a person acts.
 *
 * An ailment concerns a whole GPU, a GPU instance or one compute instance: exactly what the report
 * names, and so every slice and replica of that and no other.  Values only: the agent listens,
 * probes and tells.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "model/node.h"

struct kf_error;

/* --- XIDs ---------------------------------------------------------------------------------- */

/* NVIDIA's XID catalogue goes to some 200; 999 is NVML's "unknown". */
#define KF_XIDS 1024

enum kf_fault_class {
	KF_FAULT_APPLICATION, /* a program's own fault: the device is as good as before */
	KF_FAULT_DRIVER,      /* driver or firmware; well again once a probe is clean */
	KF_FAULT_HARDWARE,    /* well again after KF_HEALTH_CLEAN clean probes in a row */
};

/* The class of an XID; one that the table does not know is DRIVER. */
enum kf_fault_class kf_xid_class(unsigned xid);
/* "double bit ECC error"; "" for one that the table does not know. */
const char *kf_xid_text(unsigned xid);

/*
 * Which reports count.  Zeroed, all do.
 *
 * The documented meaning of NVIDIA's two variables: XIDs 13, 31, 43, 45, 68 and 109 are ignored
 * unless enabled; DP_DISABLE_HEALTHCHECKS adds XIDs to them, `xids` all of them, `all` switches
 * every check off; DP_ENABLE_HEALTHCHECKS takes XIDs out again and wins over both, `all` takes out
 * every one, those six included.
 */
struct kf_health_rules {
	int checks_off; /* `all` is disabled: only XIDs that are enabled by name count */
	uint32_t ignored[KF_XIDS / 32];
};

#define KF_HEALTH_ODD 1 /* a word is neither an XID nor `all` or `xids`; it is passed over */

/* Comma lists; NULL is "".  0, or KF_HEALTH_ODD and *err names the word. */
int kf_health_rules_parse(const char *disable, const char *enable, struct kf_health_rules *ret,
			  struct kf_error *err);
/* Is there nothing at all that would count?  1 or 0. */
int kf_health_is_off(const struct kf_health_rules *rules);
/* 1 or 0; an XID of KF_XIDS and more counts as 999. */
int kf_health_ignores(const struct kf_health_rules *rules, unsigned xid);

/* --- ailments ------------------------------------------------------------------------------ */

/* Clean probes in a row after which a hardware fault is over. */
#define KF_HEALTH_CLEAN 3
/* Probes closer together than this count once, and none counts sooner after a fault. */
#define KF_HEALTH_PROBE_MS 1000
/* A device that falls ill more often than FALLS times within WINDOW_MS stays down. */
#define KF_HEALTH_FALLS	    3
#define KF_HEALTH_WINDOW_MS 3600000

enum kf_health_state { KF_HEALTH_WELL, KF_HEALTH_UNWELL, KF_HEALTH_FLAPPING };

struct kf_ailment {
	char gpu[KF_UUID];
	unsigned gi, ci; /* KF_NONE: the whole GPU, the whole GPU instance */
	enum kf_health_state state, told;
	enum kf_fault_class fault;
	char reason[128];
	uint64_t since_ms;  /* kf_now_ms of the last fault */
	uint64_t probed_ms; /* of the last probe that counted */
	unsigned n_clean;   /* in a row */
	unsigned n_falls;
	uint64_t fall_ms[KF_HEALTH_FALLS]; /* a ring */
};

/* Zeroed: everything is well and every report counts. */
struct kf_health {
	struct kf_health_rules rules;
	unsigned n;
	struct kf_ailment *at; /* those that are over, too, while their falls count */
	size_t capacity;
};

void kf_health_done(struct kf_health *h);

/* What the driver reports. */
enum kf_report_kind {
	KF_REPORT_XID,
	KF_REPORT_ECC,	       /* double bit */
	KF_REPORT_UNAVAILABLE, /* NVML's "GPU unavailable" */
};
struct kf_report {
	const char *gpu; /* UUID */
	unsigned gi, ci; /* KF_NONE: not named */
	enum kf_report_kind kind;
	unsigned xid;
};

#define KF_HEALTH_CHANGED 1 /* some device is well or unwell that was not before */

/* Take in a report.  0 (nothing changed, or ignored), KF_HEALTH_CHANGED, or -1: no memory. */
int kf_health_report(struct kf_health *h, const struct kf_report *r, uint64_t now_ms);

/*
 * Take in a reading of the node that began at `began_ms`: new ailments (GPU lost, NVML's recovery
 * action, row remapping, a fabric that is not ready), those that are over, and those whose slice or
 * GPU is gone.
 *
 * A probe is clean where the GPU answers, its NVLink fabric (where it has one, and MIG is off) is
 * ready, NVML's recovery action is none (drivers before R565 and
 * boards before Hopper tell none, which counts as none) and no row remapping has failed or waits
 * for a reset.
 *
 * 0, KF_HEALTH_CHANGED, or -1: no memory.
 */
int kf_health_probe(struct kf_health *h, const struct kf_node *node, uint64_t began_ms);

/* Forget everything, flapping included: a person has acted.  0 or KF_HEALTH_CHANGED. */
int kf_health_forget(struct kf_health *h);

/*
 * What ails this device, the whole GPU's ailment before a slice's, or NULL.  A slice (gi and ci
 * given) is ill with its GPU, its GPU instance or itself; a whole GPU (KF_NONE, KF_NONE) with any
 * part of it.
 */
const struct kf_ailment *kf_health_of(const struct kf_health *h, const char *gpu, unsigned gi,
				      unsigned ci);
/* Ailments younger than this are probed every KF_HEALTH_PROBE_MS, older ones at leisure. */
#define KF_HEALTH_FRESH_MS 60000
/* Is there an ailment that a probe soon may end?  1 or 0. */
int kf_health_is_urgent(const struct kf_health *h, uint64_t now_ms);

/* "XID 48 (double bit ECC error); back after 3 clean probes in a row". */
void kf_ailment_text(const struct kf_ailment *a, char *out, unsigned size);
