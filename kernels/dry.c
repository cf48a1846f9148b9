/* dry.c: a backend without memory and arithmetic. Allocations are addresses of a range that nothing stands behind; operations check their
 * operands (ops_check.c), note what the CUDA backend would take as scratch memory for them, and return. The engine's own code, run on it,
 * says exactly what it will allocate: vg_plan is made this way. */
#include "kernels/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct dry_backend {
    vg_backend base;
    vg_backend_ops ops;
    uintptr_t next;
} dry_backend;

static dry_backend *dry(vg_backend *be)
{
    return (dry_backend *)(void *)be;
}

static void dry_close(vg_backend *be)
{
    free(be);
}

static vg_status dry_info(vg_backend *be, vg_device_info *info, vg_err *err)
{
    (void)be, (void)err;
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "plan");
    return VG_OK;
}

/* Each address is given out once: 47 bits of them last for any plan. */
static vg_status dry_alloc(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    size_t size = bytes ? (bytes + 255) / 256 * 256 : 256;

    if (bytes > UINTPTR_MAX / 4 || dry(be)->next > UINTPTR_MAX / 2 - size)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory: wanted %zu bytes", bytes);
    *memory = (void *)dry(be)->next;
    dry(be)->next += size;
    return VG_OK;
}

static void dry_release(vg_backend *be, void *memory)
{
    (void)be, (void)memory;
}

static void dry_unpin(vg_backend *be, void *memory, size_t bytes)
{
    (void)be, (void)memory, (void)bytes;
}

static vg_status dry_transfer(vg_backend *be, void *to, const void *from, size_t bytes, vg_err *err)
{
    (void)be, (void)to, (void)from, (void)bytes, (void)err;
    return VG_OK;
}

static vg_status dry_download(vg_backend *be, void *to, const void *from, size_t bytes, vg_err *err)
{
    (void)be, (void)from, (void)err;
    memset(to, 0, bytes);
    return VG_OK;
}

static vg_status dry_zero(vg_backend *be, void *to, size_t bytes, vg_err *err)
{
    (void)be, (void)to, (void)bytes, (void)err;
    return VG_OK;
}

static vg_status dry_sync(vg_backend *be, vg_err *err)
{
    (void)be, (void)err;
    return VG_OK;
}

static vg_status dry_fence_new(vg_backend *be, vg_fence **fence, vg_err *err)
{
    (void)err;
    *fence = (vg_fence *)(void *)be;
    return VG_OK;
}

static void dry_fence_free(vg_backend *be, vg_fence *fence)
{
    (void)be, (void)fence;
}

static vg_status dry_fence_order(vg_backend *be, vg_queue queue, vg_fence *fence, vg_err *err)
{
    (void)be, (void)queue, (void)fence, (void)err;
    return VG_OK;
}

static vg_status dry_fence_wait(vg_backend *be, vg_fence *fence, vg_err *err)
{
    (void)be, (void)fence, (void)err;
    return VG_OK;
}

static void dry_trim(vg_backend *be)
{
    (void)be;
}

/* ---- scratch of the CUDA backend ---- */

static int64_t groups_of(int64_t n)
{
    return (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

/* Scales brought into the library's form (kernels/cuda/linear.cu). Shapes that the library refuses take more: they are not planned. */
static size_t scratch_linear(const vg_linear_args *a)
{
    int64_t m = a->x->shape[0], k = a->x->shape[1], n = a->w->shape[0];
    int64_t groups = groups_of(k), padded = (groups + 3) / 4 * 4 * groups_of(n);
    bool scalar = a->x_scale && a->x_scale->ndim == 1 && a->w_scale && a->w_scale->ndim == 1 &&
                  a->w_scale->shape[0] == 1;

    if (a->x->dtype != VG_E4M3 || scalar)
        return 0;
    return (size_t)(groups * m + (padded > groups * n ? padded : groups * n)) * 4 + 512;
}

/* The others take none, or some hundred bytes. */
static size_t scratch_other(const void *args)
{
    (void)args;
    return 256;
}

#define SCRATCH_OF(args) _Generic((args), const vg_linear_args *: scratch_linear, default: scratch_other)(args)

#define VG_OP(name, help)                                                                          \
    static vg_status dry_op_##name(vg_backend *be, const vg_##name##_args *args, vg_err *err)      \
    {                                                                                              \
        size_t bytes = SCRATCH_OF(args);                                                           \
        (void)err;                                                                                 \
        if (bytes > be->scratch)                                                                   \
            be->scratch = bytes;                                                                   \
        return VG_OK;                                                                              \
    }
#include "kernels/ops.def"
#undef VG_OP

vg_status vg_dry_backend_open(vg_device_kind kind, vg_backend **be, vg_err *err)
{
    dry_backend *d = calloc(1, sizeof *d);

    if (!d)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for a plan");
    d->next = 4096;
    d->ops = (vg_backend_ops){
        .kind = kind,
        .host_memory = kind == VG_DEVICE_CPU,
        .dry = true,
        .close = dry_close,
        .info = dry_info,
        .alloc = dry_alloc,
        .release = dry_release,
        .upload = dry_transfer,
        .download = dry_download,
        .copy = dry_transfer,
        .zero = dry_zero,
        .sync = dry_sync,
        .pin = dry_alloc,
        .unpin = dry_unpin,
        .stream_in = dry_transfer,
        .stream_out = dry_transfer,
        .fence_new = dry_fence_new,
        .fence_free = dry_fence_free,
        .fence_set = dry_fence_order,
        .fence_follow = dry_fence_order,
        .fence_wait = dry_fence_wait,
        .trim = dry_trim,
#define VG_OP(op, help) .op = dry_op_##op,
#include "kernels/ops.def"
#undef VG_OP
    };
    d->base.ops = &d->ops;
    d->base.fail_after = -1;
    *be = &d->base;
    return VG_OK;
}
