/*
 * A stand-in for the Kubernetes API server: as much of it as an agent meets, in one process and
 * without etcd.  Nodes, Pods and Events; get, list (pages, field selectors), watch (bookmarks,
 * 410), merge patches with resourceVersion, create, delete, eviction with a budget; and Status
 * objects as the real one's where something fails.  kubectl works with it for what it has.
 *
 * What can go wrong with a real one can be made to go wrong here, over HTTP (see fault.h), so that
 * tests in any language can ask for it.
 *
 * It runs on threads of its own, one a connection; nothing of it is meant to be fast or small.
 */
#pragma once

#include "base/own.h"

struct kf_error;
struct kf_sim_api;

struct kf_sim_api_options {
	unsigned short port;  /* on 127.0.0.1; 0: any that is free */
	int tls;	      /* with a throwaway certificate for 127.0.0.1 and localhost */
	const char *token;    /* only who shows it may come in; NULL: everybody */
	unsigned bookmark_ms; /* 0: a minute, as the real one */
	unsigned history;     /* changes kept for watches, 0: 1000; older ones are 410 */
};

/* 0 and *ret, serving; negative: the port is taken, no memory, no certificate. */
int kf_sim_api_start(const struct kf_sim_api_options *options, struct kf_sim_api **ret,
		     struct kf_error *err);
/* Ends all connections and waits for their threads. */
struct kf_sim_api *kf_sim_api_stop(struct kf_sim_api *api);
KF_DEFINE_AUTO(struct kf_sim_api, kf_sim_api_stop)

/* A Node, as one that has just been registered.  negative: it is there already, or no memory. */
int kf_sim_api_add_node(struct kf_sim_api *api, const char *name, struct kf_error *err);

/* "https://127.0.0.1:34567"; lives as long as the server. */
const char *kf_sim_api_url(const struct kf_sim_api *api);
/* The certificate authority in PEM; NULL without TLS. */
const char *kf_sim_api_ca(const struct kf_sim_api *api);
/* A kubeconfig for it, the caller's to free; NULL: no memory. */
char *kf_sim_api_kubeconfig(const struct kf_sim_api *api);
