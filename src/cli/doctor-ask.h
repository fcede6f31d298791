/*
 * The part of `kerf doctor` that opens and asks: the driver, the kubelet's PodResources, the API
 * server, the configuration files.  Each ends within seconds, whatever the other side does.
 */
#pragma once

#include "config/settings.h"
#include "doctor/doctor.h"
#include "model/node.h"

/* Open and read the driver, and check what follows from it.  *ret is the node, the caller's to
 * free, or NULL. */
void kf_doctor_ask_driver(struct kf_checkup *c, const struct kf_settings *set,
			  struct kf_node **ret);
/* --config-file into *set, when it is good; --config-dir, --mig-config. */
void kf_doctor_ask_config(struct kf_checkup *c, struct kf_settings *set);
void kf_doctor_ask_podresources(struct kf_checkup *c, const struct kf_settings *set);
void kf_doctor_ask_api(struct kf_checkup *c, const struct kf_settings *set);
