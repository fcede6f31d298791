/*
 * Who else on this node hands out its GPUs: another device plugin, which the kubelet would believe
 * instead of us or we instead of it, and a container toolkit that lets pods past both.
 *
 * Every plugin that a kubelet has heard of has a socket in the kubelet's directory (kubernetes.md
 * 1.3), so what serves a socket there under one of NVIDIA's names is another plugin: NVIDIA's,
 * GKE's, or the one that Bottlerocket and EKS Auto Mode have built in.  While there is one, kerf
 * offers nothing, changes no slice and leaves the CDI file alone; once it is gone, it begins by
 * itself.
 */
#pragma once

#include <uv.h>

/* The label that marks nodes of EKS Auto Mode, and its value there. */
#define KF_LABEL_COMPUTE "eks.amazonaws.com/compute-type"
#define KF_AUTO_MODE	 "auto"

enum kf_stance {
	KF_STANCE_SERVING,
	KF_STANCE_PASSIVE, /* another one serves */
	KF_STANCE_WAKING,  /* it is gone; we serve once the CDI file is ours */
};

struct kf_neighbours {
	uv_timer_t timer; /* while passive */
	enum kf_stance stance;
	int auto_mode;	   /* so the Node's label says */
	int news;	   /* the stance is to be told by an Event */
	char why[512];	   /* a sentence; "" but while passive */
	int toolkit_news;  /* ditto, of what follows */
	char toolkit[640]; /* what is wrong with the toolkit, and what to do; "": nothing */
};
