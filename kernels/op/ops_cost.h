/* ops_cost.h: what one call of an operation costs on an ideal machine, from its arguments alone. Profiles, floors and `vgen bench` count with
 * it, whatever the backend. One function per row of ops.def (kernels/op/<op>.c): a row without one does not link. */
#ifndef VG_KERNELS_OP_OPS_COST_H
#define VG_KERNELS_OP_OPS_COST_H

#include "kernels/op/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which unit does an operation's products. */
typedef enum vg_rate { VG_RATE_F32, VG_RATE_BF16, VG_RATE_E4M3, VG_RATE_COUNT } vg_rate;

typedef struct vg_op_cost {
    double
        flops; /* of products and their sums, 2 per multiply-add. Other arithmetic hides behind memory and counts as 0 */
    double bytes;   /* every operand read once, every result written once */
    vg_rate rate;   /* means nothing when flops is 0 */
    char shape[80]; /* what distinguishes calls of the operation: "75600x5120x5120 E4M3 tensor" */
} vg_op_cost;

/* vg_cost_<op>(args, &cost). The arguments must have passed the operation's check. */
#define VG_OP(name, help) void vg_cost_##name(const vg_##name##_args *args, vg_op_cost *cost);
#include "kernels/op/ops.def"
#undef VG_OP

/* What a device can do at most, by its datasheet, dense; per second. */
typedef struct vg_device_rates {
    double flops[VG_RATE_COUNT]; /* 0: it has no such unit */
    double bytes;
} vg_device_rates;

/* By the name that the driver gives the device ("NVIDIA H100 80GB HBM3"); NULL when it is not in device_rates.def. */
const vg_device_rates *vg_device_rates_find(const char *device);

/* The least time for that work, s: products at the datasheet's rate or operands at its bandwidth, whichever takes longer. E4M3 products
 * of a device without such a unit count at the BF16 rate. */
double vg_op_floor_s(const vg_op_cost *cost, const vg_device_rates *rates);
/* Whether it is the memory that sets the floor. */
bool vg_op_memory_bound(const vg_op_cost *cost, const vg_device_rates *rates);

#ifdef __cplusplus
}
#endif
#endif
