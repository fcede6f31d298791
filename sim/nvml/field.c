/*
 * Field values: numbers asked for by number.
 *
 * Types, errors and which of them carry a time are as recorded from Hopper (recordings); fields
 * that are not in the table are known and NOT_SUPPORTED.
 */
#include <string.h>

#include "nvml/library.h"

#define FIELDS 308 /* one past the last of R615 */

enum { U32 = NVML_VALUE_TYPE_UNSIGNED_INT, U64 = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG };
enum { S32 = NVML_VALUE_TYPE_SIGNED_INT };

/* Which products have it. */
enum has { ALL, REMAPS, RETIRES, HOPPER, SILENT, BAD };

static const struct field {
	uint16_t from, to; /* ids */
	uint8_t type, has;
	uint8_t timeless;
} fields[] = {
	{1, 2, U64, ALL, 0},	   /* ECC current, pending */
	{3, 6, U64, ALL, 0},	   /* ECC totals */
	{29, 31, U64, RETIRES, 0}, /* retired pages */
	{74, 81, U64, ALL, 0},	   /* time that clocks were held down, by reason */
	{82, 82, U32, ALL, 0},	   /* memory temperature */
	{83, 83, U64, ALL, 0},	   /* energy, mJ */
	{94, 95, U32, ALL, 0},	   /* PCIe replays, and their roll-over */
	{142, 145, U64, REMAPS, 0}, {147, 147, 0, SILENT, 1}, /* success, and nothing written */
	{169, 169, U32, HOPPER, 0},			      /* PCIe link recoveries and errors */
	{173, 183, U32, HOPPER, 0}, {184, 184, U32, ALL, 0},  /* changes MIG mode without a reset */
	{185, 190, U32, ALL, 0},			      /* power: average, now, limits, mW */
	{191, 191, U64, HOPPER, 0},			      /* energy, mJ */
	{192, 192, U32, ALL, 0},			      /* power limit asked for */
	{193, 196, S32, HOPPER, 0}, /* degrees from GPU maximum to limits */
	{197, 198, U32, HOPPER, 0}, /* PCIe bytes */
	{199, 199, U32, ALL, 0},    /* lists MIG profiles while MIG is off */
	{226, 227, U32, HOPPER, 1}, {228, 230, U32, HOPPER, 0},
	{269, 271, U64, HOPPER, 0}, {274, 274, 0, BAD, 1},
};

static const struct field *find(unsigned id)
{
	unsigned i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (id >= fields[i].from && id <= fields[i].to)
			return &fields[i];
	return NULL;
}

static nvmlReturn_t available(const struct field *f, unsigned id, const struct kf_sim_product *p)
{
	if (id == 0 || id >= FIELDS)
		return NVML_ERROR_INVALID_ARGUMENT;
	if (!f)
		return NVML_ERROR_NOT_SUPPORTED;
	switch ((enum has)f->has) {
	case REMAPS:
		return p->retired ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
	case RETIRES:
		return p->retired ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
	case HOPPER:
		return p->architecture >= NVML_DEVICE_ARCH_HOPPER ? NVML_SUCCESS
								  : NVML_ERROR_NOT_SUPPORTED;
	case BAD:
		return NVML_ERROR_INVALID_ARGUMENT;
	case SILENT:
	case ALL:
	default:
		return NVML_SUCCESS;
	}
}

static uint64_t value(const struct spot *at, unsigned id)
{
	const struct kf_sim_product *p = at->product;

	switch (id) {
	case 1:
	case 2:
		return 1;
	case 82:
		return kf_sim_celsius(at) + 3;
	case 83:
	case 191:
		return kf_sim_energy_mj(at);
	case NVML_FI_DEV_REMAPPED_PENDING:
		return at->now->remap & 1;
	case NVML_FI_DEV_REMAPPED_FAILURE:
		return at->now->remap >> 1;
	case NVML_FI_DEV_GET_GPU_RECOVERY_ACTION:
		return at->now->recovery;
	case NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED:
		return p->resetless;
	case 185:
	case 186:
		return kf_sim_power_mw(at);
	case 187:
		return p->least_mw;
	case 188:
		return p->most_mw;
	case 189:
		return p->limit_mw;
	case 190:
	case 192:
		return at->now->power_limit_mw;
	case 193:
		return p->limit_c[3] - p->limit_c[0];
	case 194:
		return p->limit_c[3] - p->limit_c[1];
	case NVML_FI_DEV_IS_MIG_MODE_INDEPENDENT_MIG_QUERY_CAPABLE:
		return p->mig_off_info;
	default:
		return 0;
	}
}

static void answer(const struct spot *at, nvmlFieldValue_t *v)
{
	const struct field *f = find(v->fieldId);

	v->nvmlReturn = available(f, v->fieldId, at->product);
	if (v->nvmlReturn != NVML_SUCCESS || f->has == SILENT)
		return;
	v->valueType = f->type;
	v->timestamp = f->timeless ? 0 : (long long)kf_sim_wall_us();
	v->latencyUsec = 0;
	v->value.ullVal = f->type == U64 ? value(at, v->fieldId) : (uint32_t)value(at, v->fieldId);
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int n, nvmlFieldValue_t *values)
{
	struct spot at;
	int i;

	LOCKED(nvmlDeviceGetFieldValues);
	WANT(n > 0 && values);
	TRY(kf_sim_board(s, device, &at));
	for (i = 0; i < n; i++)
		answer(&at, &values[i]);
	return NVML_SUCCESS;
}
