/*
 * Calls that ask one number or one text of a GPU: the whole function in a line.
 *
 *	BOARD_NUMBER(nvmlDeviceGetMemoryBusWidth, at.product->bus_width)
 *
 * BOARD_ is for GPUs only (NOT_SUPPORTED on a MIG device), ANY_ for both.  `value` may use `at`.
 */
#pragma once

#include "nvml/library.h"

#define GETTER(name, find, type, value)                                                            \
	nvmlReturn_t name(nvmlDevice_t device, type *ret)                                          \
	{                                                                                          \
		struct spot at;                                                                    \
                                                                                                   \
		LOCKED(name);                                                                      \
		WANT(ret);                                                                         \
		TRY(find(s, device, &at));                                                         \
		*ret = (value);                                                                    \
		return NVML_SUCCESS;                                                               \
	}

#define BOARD_NUMBER(name, value) GETTER(name, kf_sim_board, unsigned, value)
#define ANY_NUMBER(name, value)	  GETTER(name, kf_sim_any, unsigned, value)
#define BOARD_LONG(name, value)	  GETTER(name, kf_sim_board, unsigned long long, value)

#define TEXT(name, find, value)                                                                    \
	nvmlReturn_t name(nvmlDevice_t device, char *text, unsigned length)                        \
	{                                                                                          \
		struct spot at;                                                                    \
                                                                                                   \
		LOCKED(name);                                                                      \
		TRY(find(s, device, &at));                                                         \
		return kf_sim_give(value, text, length);                                           \
	}

#define BOARD_TEXT(name, value) TEXT(name, kf_sim_board, value)
#define ANY_TEXT(name, value)	TEXT(name, kf_sim_any, value)

/* A call that no simulated product supports, with whatever parameters. */
#define NEVER(name, parameters)                                                                    \
	nvmlReturn_t name parameters                                                               \
	{                                                                                          \
		UNLOCKED(name);                                                                    \
		return NVML_ERROR_NOT_SUPPORTED;                                                   \
	}
