/*
 * What stands for the driver's other libraries: a name, and nothing in it but what programs call
 * without looking first.
 *
 * nvidia-container-toolkit opens libnvidia-sandboxutils where there is one and ends if a symbol is
 * missing; told "not supported" (2 of its enum nvSandboxUtilsRet), it goes on by itself.
 */
#define EXPORT __attribute__((visibility("default")))

EXPORT extern const char kerf_sim_stub[];
const char kerf_sim_stub[] = "a library of a simulated machine";

#define SANDBOX_NOT_SUPPORTED 2

#define X(name)                                                                                    \
	EXPORT int name(void);                                                                     \
	int name(void)                                                                             \
	{                                                                                          \
		return SANDBOX_NOT_SUPPORTED;                                                      \
	}
X(nvSandboxUtilsInit)
X(nvSandboxUtilsShutdown)
X(nvSandboxUtilsGetDriverVersion)
X(nvSandboxUtilsGetGpuResource)
X(nvSandboxUtilsGetFileContent)
#undef X
