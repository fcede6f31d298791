/*
 * Does the container runtime of this machine act on CDI names?  Where it does not, a container
 * starts without its GPU, in silence (kubernetes.md 4.2).
 */
#pragma once

enum kf_cdi_support {
	KF_CDI_UNKNOWN,
	KF_CDI_OFF,
	KF_CDI_ON,
};

struct kf_runtime {
	enum kf_cdi_support cdi;
	char reason[256]; /* a sentence: which file says so */
};

/*
 * Judge by files under `root`: CRI-O always; containerd by enable_cdi in its configuration, else
 * by its major version (2: on, 1: off).  Fills *ret, never fails.  May read the whole containerd
 * binary when nothing else tells, some 20 ms.
 */
void kf_runtime_read(const char *root, struct kf_runtime *ret);
