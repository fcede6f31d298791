/*
 * DCGM's metrics, as far as NVML and GPM can give them: names, types and helps of dcgm-exporter's
 * counters file (its default-counters.csv), so that dashboards and alerts go on working.
 *
 * A row of KF_FIELDS is everything there is to say of a field:
 *
 *	X(id, name, kind, scope, format, on, help)
 *
 * `scope` says of what it is a value: BOARD of the whole board only, DEVICE of a GPU as well as of
 *a GPU instance, ENGINE the same by GPM (Hopper and later).  `on` is 1 where the counters file has
 * it switched on; the others are served once a file of the user's asks for them.
 *
 * Not here, since NVML cannot tell it or not in DCGM's unit: NVLINK_BANDWIDTH_TOTAL (DCGM's unit
 * is not documented; ask for the two PROF_NVLINK fields instead), health watches, diagnostics.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/own.h"

struct kf_error;

#define KF_FIELDS(X)                                                                               \
	X(SM_CLOCK, "DCGM_FI_DEV_SM_CLOCK", GAUGE, BOARD, INT, 1, "SM clock frequency (in MHz).")  \
	X(MEM_CLOCK, "DCGM_FI_DEV_MEM_CLOCK", GAUGE, BOARD, INT, 1,                                \
	  "Memory clock frequency (in MHz).")                                                      \
	X(MEMORY_TEMP, "DCGM_FI_DEV_MEMORY_TEMP", GAUGE, BOARD, INT, 1,                            \
	  "Memory temperature (in C).")                                                            \
	X(GPU_TEMP, "DCGM_FI_DEV_GPU_TEMP", GAUGE, BOARD, INT, 1, "GPU temperature (in C).")       \
	X(POWER_USAGE, "DCGM_FI_DEV_POWER_USAGE", GAUGE, BOARD, REAL, 1, "Power draw (in W).")     \
	X(ENERGY, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", COUNTER, BOARD, INT, 1,                  \
	  "Total energy consumption since boot (in mJ).")                                          \
	X(PCIE_REPLAY, "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", COUNTER, BOARD, INT, 1,                  \
	  "Total number of PCIe retries.")                                                         \
	X(GPU_UTIL, "DCGM_FI_DEV_GPU_UTIL", GAUGE, DEVICE, INT, 1, "GPU utilization (in %).")      \
	X(MEM_COPY_UTIL, "DCGM_FI_DEV_MEM_COPY_UTIL", GAUGE, DEVICE, INT, 1,                       \
	  "Memory utilization (in %).")                                                            \
	X(ENC_UTIL, "DCGM_FI_DEV_ENC_UTIL", GAUGE, DEVICE, INT, 1, "Encoder utilization (in %).")  \
	X(DEC_UTIL, "DCGM_FI_DEV_DEC_UTIL", GAUGE, DEVICE, INT, 1, "Decoder utilization (in %).")  \
	X(XID_ERRORS, "DCGM_FI_DEV_XID_ERRORS", GAUGE, BOARD, INT, 1,                              \
	  "Value of the last XID error encountered.")                                              \
	X(FB_FREE, "DCGM_FI_DEV_FB_FREE", GAUGE, DEVICE, INT, 1,                                   \
	  "Framebuffer memory free (in MiB).")                                                     \
	X(FB_USED, "DCGM_FI_DEV_FB_USED", GAUGE, DEVICE, INT, 1,                                   \
	  "Framebuffer memory used (in MiB).")                                                     \
	X(FB_RESERVED, "DCGM_FI_DEV_FB_RESERVED", GAUGE, DEVICE, INT, 1,                           \
	  "Framebuffer memory reserved (in MiB).")                                                 \
	X(VGPU_LICENSE, "DCGM_FI_DEV_VGPU_LICENSE_STATUS", GAUGE, BOARD, INT, 1,                   \
	  "vGPU License status")                                                                   \
	X(UNC_REMAPPED, "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", COUNTER, BOARD, INT, 1,         \
	  "Number of remapped rows for uncorrectable errors")                                      \
	X(CORR_REMAPPED, "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", COUNTER, BOARD, INT, 1,          \
	  "Number of remapped rows for correctable errors")                                        \
	X(REMAP_FAILURE, "DCGM_FI_DEV_ROW_REMAP_FAILURE", GAUGE, BOARD, INT, 1,                    \
	  "Whether remapping of rows has failed")                                                  \
	X(GR_ACTIVE, "DCGM_FI_PROF_GR_ENGINE_ACTIVE", GAUGE, ENGINE, REAL, 1,                      \
	  "Ratio of time the graphics engine is active.")                                          \
	X(TENSOR_ACTIVE, "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", GAUGE, ENGINE, REAL, 1,                \
	  "Ratio of cycles the tensor (HMMA) pipe is active.")                                     \
	X(DRAM_ACTIVE, "DCGM_FI_PROF_DRAM_ACTIVE", GAUGE, ENGINE, REAL, 1,                         \
	  "Ratio of cycles the device memory interface is active sending or receiving data.")      \
	X(PCIE_TX, "DCGM_FI_PROF_PCIE_TX_BYTES", GAUGE, ENGINE, INT, 1,                            \
	  "The rate of data transmitted over the PCIe bus - including both protocol headers and "  \
	  "data payloads - in bytes per second.")                                                  \
	X(PCIE_RX, "DCGM_FI_PROF_PCIE_RX_BYTES", GAUGE, ENGINE, INT, 1,                            \
	  "The rate of data received over the PCIe bus - including both protocol headers and "     \
	  "data payloads - in bytes per second.")                                                  \
	X(SM_ACTIVE, "DCGM_FI_PROF_SM_ACTIVE", GAUGE, ENGINE, REAL, 0,                             \
	  "The ratio of cycles an SM has at least 1 warp assigned.")                               \
	X(SM_OCCUPANCY, "DCGM_FI_PROF_SM_OCCUPANCY", GAUGE, ENGINE, REAL, 0,                       \
	  "The ratio of number of warps resident on an SM.")                                       \
	X(FP64_ACTIVE, "DCGM_FI_PROF_PIPE_FP64_ACTIVE", GAUGE, ENGINE, REAL, 0,                    \
	  "Ratio of cycles the fp64 pipes are active.")                                            \
	X(FP32_ACTIVE, "DCGM_FI_PROF_PIPE_FP32_ACTIVE", GAUGE, ENGINE, REAL, 0,                    \
	  "Ratio of cycles the fp32 pipes are active.")                                            \
	X(FP16_ACTIVE, "DCGM_FI_PROF_PIPE_FP16_ACTIVE", GAUGE, ENGINE, REAL, 0,                    \
	  "Ratio of cycles the fp16 pipes are active.")                                            \
	X(NVLINK_TX, "DCGM_FI_PROF_NVLINK_TX_BYTES", GAUGE, ENGINE, INT, 0,                        \
	  "The rate of data transmitted over NVLink, in bytes per second.")                        \
	X(NVLINK_RX, "DCGM_FI_PROF_NVLINK_RX_BYTES", GAUGE, ENGINE, INT, 0,                        \
	  "The rate of data received over NVLink, in bytes per second.")                           \
	X(POWER_VIOLATION, "DCGM_FI_DEV_POWER_VIOLATION", COUNTER, BOARD, INT, 0,                  \
	  "Throttling duration due to power constraints (in ns).")                                 \
	X(THERMAL_VIOLATION, "DCGM_FI_DEV_THERMAL_VIOLATION", COUNTER, BOARD, INT, 0,              \
	  "Throttling duration due to thermal constraints (in ns).")                               \
	X(SYNC_VIOLATION, "DCGM_FI_DEV_SYNC_BOOST_VIOLATION", COUNTER, BOARD, INT, 0,              \
	  "Throttling duration due to sync-boost constraints (in ns).")                            \
	X(BOARD_VIOLATION, "DCGM_FI_DEV_BOARD_LIMIT_VIOLATION", COUNTER, BOARD, INT, 0,            \
	  "Throttling duration due to board limit constraints (in ns).")                           \
	X(UTIL_VIOLATION, "DCGM_FI_DEV_LOW_UTIL_VIOLATION", COUNTER, BOARD, INT, 0,                \
	  "Throttling duration due to low utilization (in ns).")                                   \
	X(RELY_VIOLATION, "DCGM_FI_DEV_RELIABILITY_VIOLATION", COUNTER, BOARD, INT, 0,             \
	  "Throttling duration due to reliability constraints (in ns).")                           \
	X(SBE_VOL, "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", COUNTER, BOARD, INT, 0,                        \
	  "Total number of single-bit volatile ECC errors.")                                       \
	X(DBE_VOL, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", COUNTER, BOARD, INT, 0,                        \
	  "Total number of double-bit volatile ECC errors.")                                       \
	X(SBE_AGG, "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL", COUNTER, BOARD, INT, 0,                        \
	  "Total number of single-bit persistent ECC errors.")                                     \
	X(DBE_AGG, "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", COUNTER, BOARD, INT, 0,                        \
	  "Total number of double-bit persistent ECC errors.")                                     \
	X(RETIRED_SBE, "DCGM_FI_DEV_RETIRED_SBE", COUNTER, BOARD, INT, 0,                          \
	  "Total number of retired pages due to single-bit errors.")                               \
	X(RETIRED_DBE, "DCGM_FI_DEV_RETIRED_DBE", COUNTER, BOARD, INT, 0,                          \
	  "Total number of retired pages due to double-bit errors.")                               \
	X(RETIRED_PENDING, "DCGM_FI_DEV_RETIRED_PENDING", COUNTER, BOARD, INT, 0,                  \
	  "Total number of pages pending retirement.")                                             \
	X(NVLINK_FLIT, "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", COUNTER, BOARD, INT, 0,    \
	  "Total number of NVLink flow-control CRC errors.")                                       \
	X(NVLINK_DATA, "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL", COUNTER, BOARD, INT, 0,    \
	  "Total number of NVLink data CRC errors.")                                               \
	X(NVLINK_REPLAY, "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", COUNTER, BOARD, INT, 0,    \
	  "Total number of NVLink retries.")                                                       \
	X(NVLINK_RECOVERY, "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", COUNTER, BOARD, INT,   \
	  0, "Total number of NVLink recovery errors.")

/* Text that becomes a label of every metric.  X(id, name, on) */
#define KF_LABEL_FIELDS(X)                                                                         \
	X(DRIVER, "DCGM_FI_DRIVER_VERSION", 1)                                                     \
	X(NVML, "DCGM_FI_NVML_VERSION", 0)                                                         \
	X(SERIAL, "DCGM_FI_DEV_SERIAL", 0)                                                         \
	X(VBIOS, "DCGM_FI_DEV_VBIOS_VERSION", 0)

enum kf_field_kind { KF_FIELD_GAUGE, KF_FIELD_COUNTER, KF_FIELD_HISTOGRAM, KF_FIELD_SUMMARY };
enum kf_field_scope { KF_SCOPE_BOARD, KF_SCOPE_DEVICE, KF_SCOPE_ENGINE };
enum kf_field_format { KF_FORMAT_INT, KF_FORMAT_REAL }; /* REAL: six decimals, as DCGM's */

enum kf_field {
#define X(id, ...) KF_FIELD_##id,
	KF_FIELDS(X)
#undef X
		KF_N_FIELDS
};

enum kf_label_field {
#define X(id, ...) KF_LABEL_##id,
	KF_LABEL_FIELDS(X)
#undef X
		KF_N_LABEL_FIELDS
};

struct kf_field_row {
	const char *name, *help;
	enum kf_field_kind kind;
	enum kf_field_scope scope;
	enum kf_field_format format;
	int on;
};
const struct kf_field_row *kf_field_at(enum kf_field f);
const char *kf_label_field_name(enum kf_label_field f);
/* The field of that name, or KF_N_FIELDS. */
enum kf_field kf_field_find(const char *name);

/* What is served: a user's counters file, or its default. */
struct kf_counters {
	unsigned n;
	struct kf_counter {
		enum kf_field field;
		enum kf_field_kind kind;
		char help[200];
	} at[KF_N_FIELDS];
	int label[KF_N_LABEL_FIELDS];
};

/* What dcgm-exporter serves without being told. */
void kf_counters_default(struct kf_counters *ret);

/*
 * Read a counters file of dcgm-exporter's: lines "FIELD, type, help", # a comment.  A field that
 * this version does not have is passed over: its name is given to `unknown` (may be NULL), with
 * the line.  A field named twice counts the first time.
 * 0, or negative: KF_E_INPUT with file and line (not three columns, no such type), or the file
 * cannot be read; *ret is then as it was.
 */
int kf_counters_read(const char *path, struct kf_counters *ret,
		     void (*unknown)(void *ud, const char *field, unsigned line), void *ud,
		     struct kf_error *err);
/* The same from memory (NUL-terminated); `name` stands for the file. */
int kf_counters_parse(const char *text, const char *name, struct kf_counters *ret,
		      void (*unknown)(void *ud, const char *field, unsigned line), void *ud,
		      struct kf_error *err);
