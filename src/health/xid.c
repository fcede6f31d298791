/* XIDs by class, and NVIDIA's two variables that pass some over; see health.h. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/text.h"
#include "health/health.h"

/*
 * NVIDIA's XID catalogue (docs.nvidia.com/deploy/xid-errors), put into three classes by its column
 * of causes and its advice: restart the application, none or restart of a service, reset of the GPU
 * or repair.
 */
#define APPLICATION KF_FAULT_APPLICATION
#define DRIVER	    KF_FAULT_DRIVER
#define HARDWARE    KF_FAULT_HARDWARE
#define XIDS(X)                                                                                    \
	X(13, APPLICATION, "graphics engine exception")                                            \
	X(31, APPLICATION, "memory page fault")                                                    \
	X(43, APPLICATION, "GPU stopped processing")                                               \
	X(45, APPLICATION, "preemptive cleanup")                                                   \
	X(48, HARDWARE, "double bit ECC error")                                                    \
	X(54, HARDWARE, "auxiliary power is not connected")                                        \
	X(61, HARDWARE, "internal microcontroller breakpoint")                                     \
	X(62, HARDWARE, "internal microcontroller halt")                                           \
	X(63, HARDWARE, "row remapping or page retirement recorded")                               \
	X(64, HARDWARE, "row remapping or page retirement failed")                                 \
	X(68, APPLICATION, "video decoder exception")                                              \
	X(69, DRIVER, "graphics engine class error")                                               \
	X(74, HARDWARE, "NVLink error")                                                            \
	X(79, HARDWARE, "GPU has fallen off the bus")                                              \
	X(92, HARDWARE, "high single bit ECC error rate")                                          \
	X(94, HARDWARE, "contained memory error")                                                  \
	X(95, HARDWARE, "uncontained memory error")                                                \
	X(109, APPLICATION, "context switch timeout")                                              \
	X(110, HARDWARE, "security fault")                                                         \
	X(119, DRIVER, "GSP RPC timeout")                                                          \
	X(120, DRIVER, "GSP error")                                                                \
	X(136, HARDWARE, "link training failed")                                                   \
	X(140, HARDWARE, "unrecovered ECC error")                                                  \
	X(143, HARDWARE, "GPU initialization failed")                                              \
	X(154, DRIVER, "GPU recovery action changed")                                              \
	X(158, HARDWARE, "GPU fatal timeout")                                                      \
	X(171, HARDWARE, "uncorrectable DRAM error")                                               \
	X(172, HARDWARE, "uncorrectable SRAM error")

static const struct {
	unsigned xid;
	enum kf_fault_class fault;
	const char *text;
} known[] = {
#define X(xid, fault, text) {xid, fault, text},
	XIDS(X)
#undef X
};

#define N_KNOWN (sizeof(known) / sizeof(known[0]))

enum kf_fault_class kf_xid_class(unsigned xid)
{
	size_t i;

	for (i = 0; i < N_KNOWN; i++)
		if (known[i].xid == xid)
			return known[i].fault;
	return KF_FAULT_DRIVER;
}

const char *kf_xid_text(unsigned xid)
{
	size_t i;

	for (i = 0; i < N_KNOWN; i++)
		if (known[i].xid == xid)
			return known[i].text;
	return "";
}

static void set_all(struct kf_health_rules *rules, int ignored)
{
	memset(rules->ignored, ignored ? 0xFF : 0, sizeof(rules->ignored));
}

static void set_one(struct kf_health_rules *rules, unsigned xid, int ignored)
{
	uint32_t bit = 1u << xid % 32;

	if (ignored)
		rules->ignored[xid / 32] |= bit;
	else
		rules->ignored[xid / 32] &= ~bit;
}

/* 0, or -1: it is no word that either variable knows. */
static int take_word(struct kf_health_rules *rules, const char *word, int disable)
{
	uint64_t xid;

	if (!strcasecmp(word, "all") || !strcasecmp(word, "xids")) {
		set_all(rules, disable);
		if (!strcasecmp(word, "all"))
			rules->checks_off = disable;
		return 0;
	}
	if (kf_parse_uint(word, KF_XIDS - 1, &xid) < 0)
		return -1;
	set_one(rules, (unsigned)xid, disable);
	return 0;
}

static int take_list(struct kf_health_rules *rules, const char *list, int disable,
		     struct kf_error *err)
{
	int answer = 0;
	char word[24];

	while (list && *list) {
		size_t n = strcspn(list, ", \t");

		if (n) {
			snprintf(word, sizeof(word), "%.*s", (int)n, list);
			if (n >= sizeof(word) || take_word(rules, word, disable) < 0) {
				kf_fail(err, KF_E_INPUT, 0,
					"%s: '%s' is neither an XID below %d nor all or xids",
					disable ? "DP_DISABLE_HEALTHCHECKS"
						: "DP_ENABLE_HEALTHCHECKS",
					word, KF_XIDS);
				answer = KF_HEALTH_ODD;
			}
		}
		list += n + (list[n] != '\0');
	}
	return answer;
}

int kf_health_rules_parse(const char *disable, const char *enable, struct kf_health_rules *ret,
			  struct kf_error *err)
{
	struct kf_health_rules rules = {0};
	int odd = 0;
	size_t i;

	for (i = 0; i < N_KNOWN; i++)
		if (known[i].fault == KF_FAULT_APPLICATION)
			set_one(&rules, known[i].xid, 1);
	odd |= take_list(&rules, disable, 1, err);
	odd |= take_list(&rules, enable, 0, err);
	*ret = rules;
	return odd;
}

int kf_health_is_off(const struct kf_health_rules *rules)
{
	size_t i;

	for (i = 0; i < KF_XIDS / 32; i++)
		if (rules->ignored[i] != UINT32_MAX)
			return 0;
	return rules->checks_off;
}

int kf_health_ignores(const struct kf_health_rules *rules, unsigned xid)
{
	if (xid >= KF_XIDS)
		xid = 999;
	return rules->ignored[xid / 32] >> xid % 32 & 1;
}
