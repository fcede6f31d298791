/* The article's manifest of a pod on a slice, to the letter (tests/e2e/article/mig-pod.yaml). */
#pragma once

extern const char kf_demo_pod[];
extern const unsigned kf_demo_pod_size;
