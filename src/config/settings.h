/*
 * The agent's settings, from one table: command line, environment, NVIDIA's device plugin
 * configuration file, built-in default; the first that says something wins.
 *
 * A row of KF_SETTINGS gives everything there is to say of a setting:
 *
 *	X(field, KIND, choices, yaml, cli, env, default, help)
 *
 * KIND is TEXT (char *, never NULL), DURATION (ditto; duration.h reads it), FLAG (int, 0 or 1), ONE
 *(an index into choices) or SET (bits, one for each choice).  `yaml` is where the value stands in
 *the file, several places apart by a space, "" for none; `cli` and `env` are names, ditto.  Adding
 *a setting is adding a row.
 */
#pragma once

#include "base/own.h"
#include "base/text.h"

struct kf_error;
struct kf_sharing;

enum kf_mig_strategy { KF_MIG_NONE, KF_MIG_SINGLE, KF_MIG_MIXED };
enum kf_device_list {
	KF_LIST_ENVVAR = 1,
	KF_LIST_VOLUME_MOUNTS = 2,
	KF_LIST_CDI_ANNOTATIONS = 4,
	KF_LIST_CDI_CRI = 8,
};
enum kf_device_id { KF_ID_UUID, KF_ID_INDEX };
enum kf_cdi_use { KF_CDI_AUTO, KF_CDI_CDI, KF_CDI_DEVICES };
enum kf_fallback { KF_FALL_NAMED = 1, KF_FALL_SINGLE = 2, KF_FALL_EMPTY = 4 };
enum kf_when_blocked { KF_BLOCKED_WAIT, KF_BLOCKED_EVICT };
enum kf_beside { KF_BESIDE_PASSIVE, KF_BESIDE_TAKE };
enum kf_node_label { KF_NODE_PRESENT = 1, KF_NODE_MODE = 2, KF_NODE_SLICES = 4 };
enum kf_label_place { KF_LABELS_NODE, KF_LABELS_FILE, KF_LABELS_OFF };

#define KF_SETTINGS(X)                                                                             \
	X(config_file, TEXT, "", "", "config-file", "CONFIG_FILE", "",                             \
	  "device plugin configuration, NVIDIA's format v1")                                       \
	X(config_dir, TEXT, "", "", "config-dir", "CONFIG_FILE_SRCDIR", "",                        \
	  "several of them, by the name that the label nvidia.com/device-plugin.config chooses")   \
	X(config_map, TEXT, "", "", "config-map", "KERF_CONFIG_MAP", "",                           \
	  "the same from a ConfigMap through the API server: NAMESPACE/NAME")                      \
	X(default_config, TEXT, "", "", "default-config", "DEFAULT_CONFIG", "",                    \
	  "the name where there is no label")                                                      \
	X(fallback_strategies, SET, "named single empty", "", "fallback-strategies",               \
	  "FALLBACK_STRATEGIES", "",                                                               \
	  "where there is no such name either: the one called default, the only one, none at "     \
	  "all; in this order")                                                                    \
	X(mig_strategy, ONE, "none single mixed", "flags.migStrategy migStrategy", "mig-strategy", \
	  "MIG_STRATEGY", "none", "how MIG devices are named to Kubernetes")                       \
	X(fail_on_init_error, FLAG, "", "flags.failOnInitError", "fail-on-init-error",             \
	  "FAIL_ON_INIT_ERROR", "true", "end when the driver library cannot be used")              \
	X(driver_root, TEXT, "", "flags.nvidiaDriverRoot", "nvidia-driver-root driver-root",       \
	  "NVIDIA_DRIVER_ROOT", "/", "where the driver is installed, as a path of the host")       \
	X(device_list_strategy, SET, "envvar volume-mounts cdi-annotations cdi-cri",               \
	  "flags.plugin.deviceListStrategy", "device-list-strategy", "DEVICE_LIST_STRATEGY", "",   \
	  "how a container is told its devices; not given: as --cdi says")                         \
	X(device_id_strategy, ONE, "uuid index", "flags.plugin.deviceIDStrategy",                  \
	  "device-id-strategy", "DEVICE_ID_STRATEGY", "uuid",                                      \
	  "the name under which a device is handed to the runtime")                                \
	X(pass_device_specs, FLAG, "", "flags.plugin.passDeviceSpecs", "pass-device-specs",        \
	  "PASS_DEVICE_SPECS", "false",                                                            \
	  "with envvar and volume-mounts, device nodes are given as well")                         \
	X(cdi_annotation_prefix, TEXT, "", "flags.plugin.cdiAnnotationPrefix",                     \
	  "cdi-annotation-prefix", "CDI_ANNOTATION_PREFIX", "cdi.k8s.io/",                         \
	  "of the keys of CDI annotations")                                                        \
	X(shared_policy, ONE, "distributed packed must-differ",                                    \
	  "flags.plugin.sharedDevicesAllocationPolicy", "shared-devices-allocation-policy",        \
	  "SHARED_DEVICES_ALLOCATION_POLICY", "distributed",                                       \
	  "several replicas in one container: of the least used GPU first, of the most used, or "  \
	  "of different devices without fail (kerf's own)")                                        \
	X(cdi, ONE, "auto cdi devices", "", "cdi", "KERF_CDI", "auto",                             \
	  "CDI names, or device nodes and mounts; auto: CDI where the runtime has it")             \
	X(single_alias, FLAG, "", "singleAlias flags.plugin.singleAlias", "single-alias",          \
	  "SINGLE_ALIAS", "false", "under `single`, offer slices under their own name as well")    \
	X(root, TEXT, "", "", "root", "KERF_ROOT", "/",                                            \
	  "the host's root, where it is mounted elsewhere, or that of a simulated machine")        \
	X(kubelet_dir, TEXT, "", "", "kubelet-dir", "KERF_KUBELET_DIR",                            \
	  "/var/lib/kubelet/device-plugins", "the kubelet's device-plugins directory")             \
	X(kubelet_socket, TEXT, "", "", "kubelet-socket", "KUBELET_SOCKET", "",                    \
	  "where to register; not given: kubelet.sock in --kubelet-dir")                           \
	X(pod_resources, TEXT, "", "", "pod-resources", "KERF_POD_RESOURCES", "",                  \
	  "PodResources socket; not given: beside --kubelet-dir; none: do without")                \
	X(cdi_dir, TEXT, "", "", "cdi-dir", "KERF_CDI_DIR", "/var/run/cdi",                        \
	  "where CDI files are written")                                                           \
	X(state_dir, TEXT, "", "", "state-dir", "KERF_STATE_DIR", "/var/lib/kerf",                 \
	  "where kerf keeps its journal and ledger")                                               \
	X(node_name, TEXT, "", "", "node-name", "NODE_NAME", "",                                   \
	  "our Node; without one nothing is asked of the API server")                              \
	X(kubeconfig, TEXT, "", "", "kubeconfig", "KUBECONFIG", "",                                \
	  "access to the API server; not given: in-cluster, if there is one")                      \
	X(mig_config, TEXT, "", "", "mig-config", "MIG_PARTED_CONFIG_FILE", "",                    \
	  "MIG configurations, mig-parted's format v1; not given: the built-in set")               \
	X(when_blocked, ONE, "wait evict", "", "when-blocked", "KERF_WHEN_BLOCKED", "wait",        \
	  "what to do with pods on slices that a relabel needs gone")                              \
	X(labels, ONE, "node file off", "", "labels", "KERF_LABELS", "node",                       \
	  "GPU Feature Discovery's labels: on our Node, in NFD's features.d, or not at all")       \
	X(node_labels, SET, "present mode slices", "", "node-labels", "KERF_NODE_LABELS", "",      \
	  "besides, on our Node, for a nodeSelector: nvidia.com/gpu.present=true as the operator " \
	  "sets it, kerf.dev/mode (whole, shared, memory, mig or mixed), kerf.dev/mig-PROFILE "    \
	  "(how many)")                                                                            \
	X(gfd_output_file, TEXT, "", "flags.gfd.outputFile", "output-file", "GFD_OUTPUT_FILE",     \
	  "/etc/kubernetes/node-feature-discovery/features.d/gfd",                                 \
	  "where --labels file puts them, a path of the host; empty: there")                       \
	X(gfd_machine_type_file, TEXT, "", "flags.gfd.machineTypeFile", "machine-type-file",       \
	  "GFD_MACHINE_TYPE_FILE", "/sys/class/dmi/id/product_name",                               \
	  "where the label gpu.machine is read, a path of the host")                               \
	X(gfd_no_timestamp, FLAG, "", "flags.gfd.noTimestamp", "no-timestamp", "GFD_NO_TIMESTAMP", \
	  "false", "no label gfd.timestamp")                                                       \
	X(gfd_sleep_interval, DURATION, "", "flags.gfd.sleepInterval", "sleep-interval",           \
	  "GFD_SLEEP_INTERVAL", "infinite",                                                        \
	  "make labels and their file anew so often (10 s at the least); infinite: when "          \
	  "something "                                                                             \
	  "has changed")                                                                           \
	X(with_reboot, FLAG, "", "", "with-reboot", "WITH_REBOOT", "false",                        \
	  "reboot the node when a MIG mode stays pending")                                         \
	X(disable_healthchecks, TEXT, "", "kerf.disableHealthChecks", "disable-healthchecks",      \
	  "DP_DISABLE_HEALTHCHECKS", "",                                                           \
	  "XIDs to ignore besides 13, 31, 43, 45, 68 and 109; xids: all; all: no checks")          \
	X(enable_healthchecks, TEXT, "", "kerf.enableHealthChecks", "enable-healthchecks",         \
	  "DP_ENABLE_HEALTHCHECKS", "",                                                            \
	  "XIDs to heed all the same, those six included; all: every one")                         \
	X(metrics_listen, TEXT, "", "", "metrics-listen", "DCGM_EXPORTER_LISTEN", "none",          \
	  "where metrics are served, HOST:PORT or :PORT (dcgm-exporter's is :9400); none: "        \
	  "nowhere")                                                                               \
	X(metrics_interval, TEXT, "", "", "metrics-interval", "DCGM_EXPORTER_INTERVAL", "1000",    \
	  "milliseconds between readings while somebody scrapes; 10 s else, if that is longer")    \
	X(metrics_collectors, TEXT, "", "", "metrics-collectors", "DCGM_EXPORTER_COLLECTORS", "",  \
	  "dcgm-exporter's counters file; not given: what it serves by default")                   \
	X(metrics_web_config, TEXT, "", "", "metrics-web-config", "DCGM_EXPORTER_WEB_CONFIG_FILE", \
	  "", "Prometheus' web-config: TLS and basic authentication")                              \
	X(metrics_hostname, ONE, "hostname Hostname", "", "metrics-hostname",                      \
	  "KERF_METRICS_HOSTNAME", "hostname",                                                     \
	  "the label's name; dcgm-exporter's was Hostname until May 2026")                         \
	X(metrics_no_hostname, FLAG, "", "", "metrics-no-hostname", "DCGM_EXPORTER_NO_HOSTNAME",   \
	  "false", "no such label")                                                                \
	X(metrics_board_per_slice, FLAG, "", "", "metrics-board-per-slice",                        \
	  "KERF_METRICS_BOARD_PER_SLICE", "false",                                                 \
	  "power, temperature and clocks with each slice, as dcgm-exporter does, and not once a "  \
	  "GPU")                                                                                   \
	X(metrics_pods, FLAG, "", "", "metrics-pods", "DCGM_EXPORTER_KUBERNETES", "true",          \
	  "label what one pod holds with its name")                                                \
	X(metrics_pod_uid, FLAG, "", "", "metrics-pod-uid",                                        \
	  "DCGM_EXPORTER_KUBERNETES_ENABLE_POD_UID", "false", "and with its UID")                  \
	X(metrics_virtual_gpus, FLAG, "", "", "metrics-virtual-gpus", "KUBERNETES_VIRTUAL_GPUS",   \
	  "false",                                                                                 \
	  "of a shared device a copy of every metric for each pod, as dcgm-exporter does")         \
	X(metrics_old_namespace, FLAG, "", "", "metrics-old-namespace",                            \
	  "DCGM_EXPORTER_USE_OLD_NAMESPACE", "false",                                              \
	  "labels as of old: uuid, pod_name, pod_namespace, container_name")                       \
	X(metrics_join_words, FLAG, "", "", "metrics-join-words",                                  \
	  "DCGM_EXPORTER_REPLACE_BLANKS_IN_MODEL_NAME", "false",                                   \
	  "`-` for the blanks in modelName")                                                       \
	X(mps_dir, TEXT, "", "", "mps-dir", "KERF_MPS_DIR", "",                                    \
	  "where `kerf mps` keeps daemons and gates (/run/kerf/mps); not given: shares of memory " \
	  "and of `sharing.mps` are not held")                                                     \
	X(page, FLAG, "", "", "page", "KERF_PAGE", "false",                                        \
	  "serve the page at the address of the metrics, or :9400; it names pods to whoever "      \
	  "reaches it")                                                                            \
	X(startup_taint, TEXT, "", "", "startup-taint", "KERF_STARTUP_TAINT", "",                  \
	  "a taint of our Node, KEY[=VALUE][:EFFECT], that goes once what is offered is "          \
	  "allocatable")                                                                           \
	X(gpu_taint, FLAG, "", "", "gpu-taint", "KERF_GPU_TAINT", "false",                         \
	  "nvidia.com/gpu=present:NoSchedule on our Node while it has GPUs")                       \
	X(node_condition, FLAG, "", "", "node-condition", "KERF_NODE_CONDITION", "true",           \
	  "the Node condition GPUHealthy")                                                         \
	X(pause_operands, FLAG, "", "", "pause-operands", "KERF_PAUSE_OPERANDS", "false",          \
	  "take the GPU operator's exporters off the node, by its gpu.deploy labels, while MIG "   \
	  "modes or slices go, as NVIDIA's MIG manager does")                                      \
	X(beside, ONE, "passive take", "", "beside", "KERF_BESIDE", "passive",                     \
	  "while another device plugin serves the node's GPUs: offer nothing, or register all "    \
	  "the same")                                                                              \
	X(log_level, ONE, "debug info warn error", "", "log-level", "KERF_LOG_LEVEL", "info",      \
	  "drop lines below")                                                                      \
	X(log_format, ONE, "logfmt json", "", "log-format", "KERF_LOG_FORMAT", "logfmt",           \
	  "of the lines on standard error")

/*
 * What NVIDIA's plugin has besides and this version does not serve: read, and noted, so that a
 * manifest or file in use keeps working.  X(yaml, cli, env, takes a value); nvidia-stack.md 1.1.
 * Keys of the file that are more than one value stand in keys.h.
 */
#define KF_NOT_SERVED(X)                                                                           \
	X("", "imex-channel-ids", "IMEX_CHANNEL_IDS", 1)                                           \
	X("", "imex-required", "IMEX_REQUIRED", 0)                                                 \
	X("flags.mpsRoot", "mps-root", "MPS_ROOT", 1)                                              \
	X("flags.nvidiaDevRoot", "nvidia-dev-root dev-root", "NVIDIA_DEV_ROOT", 1)                 \
	X("flags.gdrcopyEnabled", "gdrcopy-enabled", "GDRCOPY_ENABLED", 0)                         \
	X("flags.gdsEnabled", "gds-enabled", "GDS_ENABLED", 0)                                     \
	X("flags.mofedEnabled", "mofed-enabled", "MOFED_ENABLED", 0)                               \
	X("flags.useNodeFeatureAPI", "use-node-feature-api", "USE_NODE_FEATURE_API", 0)            \
	X("flags.deviceDiscoveryStrategy", "device-discovery-strategy",                            \
	  "DEVICE_DISCOVERY_STRATEGY", 1)                                                          \
	X("flags.plugin.nvidiaCTKPath", "nvidia-cdi-hook-path nvidia-ctk-path",                    \
	  "NVIDIA_CDI_HOOK_PATH NVIDIA_CTK_PATH", 1)                                               \
	X("flags.plugin.containerDriverRoot", "driver-root-ctr-path container-driver-root",        \
	  "DRIVER_ROOT_CTR_PATH CONTAINER_DRIVER_ROOT", 1)                                         \
	X("", "cdi-feature-flags", "CDI_FEATURE_FLAGS", 1)                                         \
	X("", "cdi-disable-hooks", "CDI_DISABLE_HOOKS", 1)                                         \
	X("", "", "DCGM_EXPORTER_DEVICES_STR", 1)                                                  \
	X("", "", "DCGM_EXPORTER_CONFIGMAP_DATA", 1)                                               \
	X("", "", "DCGM_EXPORTER_KUBERNETES_ENABLE_POD_LABELS", 0)                                 \
	X("", "", "DCGM_REMOTE_HOSTENGINE_INFO", 1)                                                \
	X("", "", "DCGM_HPC_JOB_MAPPING_DIR", 1)

#define KF_SETTING_TEXT	    char *
#define KF_SETTING_FLAG	    int
#define KF_SETTING_DURATION char *
#define KF_SETTING_ONE	    int
#define KF_SETTING_SET	    unsigned

/* Where a value came from; later ones win. */
enum kf_from { KF_FROM_DEFAULT, KF_FROM_FILE, KF_FROM_ENV, KF_FROM_CLI };

enum kf_setting_index {
#define X(field, KIND, ...) KF_SET_##field,
	KF_SETTINGS(X)
#undef X
		KF_N_SETTINGS
};

struct kf_settings {
#define X(field, KIND, ...) KF_SETTING_##KIND field;
	KF_SETTINGS(X)
#undef X
	enum kf_from from[KF_N_SETTINGS]; /* of each, by KF_SET_field */
	unsigned line[KF_N_SETTINGS];	  /* in the file, of those that are from it */
	struct kf_sharing *sharing; /* time-slicing and names, as the file has them; NULL: none */
	struct kf_sharing *mps;	    /* read, not served; NULL: none */
	int argc;		    /* of kf_settings_flags, borrowed */
	char **argv;
	char *notes; /* a line for each thing that was asked for and does not come as asked */
};

/*
 * Settings from the command line (argv[0] is the command's name and skipped), the environment and
 * the file that these name.
 * 0 and *ret, the caller's to free; negative: KF_E_NOMEM, or KF_E_INPUT with the flag, the
 * variable, or the file and line that cannot be understood.
 */
int kf_settings_parse(int argc, char **argv, struct kf_settings **ret, struct kf_error *err);
/* The same without the file. */
int kf_settings_flags(int argc, char **argv, struct kf_settings **ret, struct kf_error *err);
/* Only the defaults. */
int kf_settings_new(struct kf_settings **ret, struct kf_error *err);
struct kf_settings *kf_settings_free(struct kf_settings *s);
KF_DEFINE_AUTO(struct kf_settings, kf_settings_free)

/* Set one by its row from text, unless a stronger source has; refuses a value that is none. */
int kf_settings_set(struct kf_settings *s, enum kf_setting_index i, const char *value,
		    enum kf_from from, struct kf_error *err);

/* Add a line to the notes; 0 or -1 (no memory). */
int kf_settings_note(struct kf_settings *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The flags with their help, for a usage text. */
void kf_settings_help(struct kf_text *out);
/* The table as docs/config.md shows it, in Markdown. */
void kf_settings_markdown(struct kf_text *out);

/* A row, for those that walk the table. */
struct kf_setting {
	const char *field, *choices, *yaml, *cli, *env, *standard, *help;
};
const struct kf_setting *kf_setting_at(enum kf_setting_index i);
/* A value as the command line would have it: "true", "cdi-cri,envvar". */
void kf_setting_text(const struct kf_settings *s, enum kf_setting_index i, struct kf_text *out);
/* Is it a FLAG, a SET, a DURATION?  1 or 0. */
int kf_setting_is_flag(enum kf_setting_index i);
int kf_setting_is_duration(enum kf_setting_index i);
int kf_setting_is_set(enum kf_setting_index i);
