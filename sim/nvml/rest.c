/*
 * Second names, names without an answer, and the table that nvidia-smi asks for at start.
 */
#include <string.h>

#include "nvml/library.h"

/* Whatever the parameters are: the caller passes them, nobody looks. */
#define X(name)                                                                                    \
	EXPORT nvmlReturn_t name(void);                                                            \
	nvmlReturn_t name(void)                                                                    \
	{                                                                                          \
		UNLOCKED(name);                                                                    \
		return NVML_ERROR_NOT_SUPPORTED;                                                   \
	}
KF_SIM_REST(X)
#undef X

#define X(name, target, parameters, arguments)                                                     \
	EXPORT nvmlReturn_t name parameters;                                                       \
	nvmlReturn_t name parameters                                                               \
	{                                                                                          \
		return target arguments;                                                           \
	}
KF_SIM_ALIASES(X)
#undef X

/*
 * nvidia-smi looks up a table of private calls by its 16-byte id and uses it when it is there.  Its
 * first word is its size, then pointers, each of which may say NOT_SUPPORTED; that was enough for
 * `nvidia-smi -L` of R535 (nvml-mig-mps.md, end).
 */
static nvmlReturn_t private_call(void)
{
	return NVML_ERROR_NOT_SUPPORTED;
}

#define PRIVATE_CALLS 255

static struct {
	size_t size;
	nvmlReturn_t (*call[PRIVATE_CALLS])(void);
} export_table;

static const unsigned char export_id[16] = {0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e,
					    0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4};

__attribute__((constructor)) static void fill_table(void)
{
	unsigned i;

	export_table.size = sizeof(export_table);
	for (i = 0; i < PRIVATE_CALLS; i++)
		export_table.call[i] = private_call;
}

nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *id)
{
	WANT(table && id);
	if (memcmp(id, export_id, sizeof(export_id)) != 0)
		return NVML_ERROR_NOT_FOUND;
	*table = &export_table;
	return NVML_SUCCESS;
}
