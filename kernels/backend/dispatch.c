/* dispatch.c: the wrapper of every row of ops.def: check, dispatch, count, profile. */
#include "kernels/op/ops.h"

#include "kernels/backend/backend.h"
#include "kernels/op/ops_check.h"
#include "kernels/op/ops_operands.h"
#include "kernels/backend/profile.h"

static const char *const NAMES[VG_OP_COUNT] = {
#define VG_OP(name, help) #name,
#include "kernels/op/ops.def"
#undef VG_OP
};

static const char *const HELPS[VG_OP_COUNT] = {
#define VG_OP(name, help) help,
#include "kernels/op/ops.def"
#undef VG_OP
};

const char *vg_op_name(vg_op op)
{
    return (unsigned)op < VG_OP_COUNT ? NAMES[op] : "?";
}

const char *vg_op_help(vg_op op)
{
    return (unsigned)op < VG_OP_COUNT ? HELPS[op] : "";
}

#define VG_OP(name, help)                                                                          \
    vg_status vg_##name(vg_backend *be, const vg_##name##_args *args, vg_err *err)                 \
    {                                                                                              \
        if (!be || !args)                                                                          \
            return VG_FAIL(err, VG_E_ARG, "%s: backend or arguments are NULL", #name);             \
        VG_TRY(vg_check_##name(args, err));                                                        \
        if (!be->ops->name)                                                                        \
            return VG_FAIL(err, VG_E_UNSUPPORTED,                                                  \
                           "operation %s is not available on the %s backend", #name,               \
                           vg_device_kind_name(be->ops->kind));                                    \
        if (be->profile) {                                                                         \
            vg_op_cost cost;                                                                       \
            vg_cost_##name(args, &cost);                                                           \
            VG_TRY(vg_profile_begin(be->profile, VG_OP_##name, &cost, err));                       \
        }                                                                                          \
        VG_TRY(be->ops->name(be, args, err));                                                      \
        if (vg_backend_cancelled(be)) /* what the operation wrote may be incomplete */             \
            return VG_FAIL(err, VG_E_CANCELLED, "cancelled");                                      \
        be->calls[VG_OP_##name]++;                                                                 \
        if (be->profile)                                                                           \
            VG_TRY(vg_profile_end(be->profile, err));                                              \
        return VG_OK;                                                                              \
    }
#include "kernels/op/ops.def"
#undef VG_OP

vg_status vg_operands_run(vg_backend *be, const vg_operands *o, vg_err *err)
{
    switch (o->op) {
#define VG_OP(name, help)                                                                          \
    case VG_OP_##name:                                                                             \
        return vg_##name(be, &o->args.name, err);
#include "kernels/op/ops.def"
#undef VG_OP
    case VG_OP_COUNT:
        break;
    }
    return VG_FAIL(err, VG_E_ARG, "unknown operation %d", (int)o->op);
}
