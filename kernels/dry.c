/* dry.c: a backend without memory and arithmetic. Allocations are places in a pool over addresses that nothing stands behind; operations
 * check their operands (ops_check.c), take what the CUDA backend would take as scratch memory for them, and return. The engine's own code,
 * run on it, says what it will allocate: vg_plan is made this way. First fit in a region that ends at the highest address reached decides
 * as it did in one without end, so a stage's region of that size is enough, whatever holes there are. */
#include "kernels/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGION_BEGIN ((uintptr_t)1 << 20)
#define REGION_BYTES ((size_t)1 << 46)

typedef struct dry_backend {
    vg_backend base;
    vg_backend_ops ops;
    vg_pool *places; /* one region without end */
    void *scratch;   /* as the CUDA backend keeps it */
    size_t scratch_bytes;
} dry_backend;

static dry_backend *dry(vg_backend *be)
{
    return (dry_backend *)(void *)be;
}

static void dry_close(vg_backend *be)
{
    vg_pool_free(dry(be)->places);
    free(be);
}

static vg_status dry_info(vg_backend *be, vg_device_info *info, vg_err *err)
{
    (void)be, (void)err;
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "plan");
    return VG_OK;
}

static vg_status dry_alloc(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    VG_TRY(vg_pool_take(dry(be)->places, bytes, memory, err));
    size_t end = (uintptr_t)*memory - REGION_BEGIN + bytes;
    end = (end + VG_POOL_ALIGNMENT - 1) / VG_POOL_ALIGNMENT * VG_POOL_ALIGNMENT;
    if (end > be->reached)
        be->reached = end;
    return VG_OK;
}

static void dry_release(vg_backend *be, void *memory)
{
    (void)vg_pool_give(dry(be)->places, memory);
}

static vg_status dry_pin(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    (void)bytes, (void)err;
    *memory = be; /* any address */
    return VG_OK;
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

#define DOWNLOAD_MAX ((size_t)1 << 20)

/* Small results, which decide something, are 0; pictures and latents, which nobody looks at, stay as they are. */
static vg_status dry_download(vg_backend *be, void *to, const void *from, size_t bytes, vg_err *err)
{
    (void)be, (void)from, (void)err;
    if (bytes <= DOWNLOAD_MAX)
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
    vg_backend_release(be, dry(be)->scratch, dry(be)->scratch_bytes);
    dry(be)->scratch = NULL;
    dry(be)->scratch_bytes = 0;
}

static vg_status take_scratch(vg_backend *be, size_t bytes, vg_err *err)
{
    if (be->ops->kind != VG_DEVICE_CUDA || bytes <= dry(be)->scratch_bytes)
        return VG_OK;
    dry_trim(be);
    VG_TRY(vg_backend_alloc(be, bytes, &dry(be)->scratch, err));
    dry(be)->scratch_bytes = bytes;
    return VG_OK;
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

static size_t scratch_quantize(const vg_quantize_args *a)
{
    return a->kind == VG_QUANT_TENSOR_DYNAMIC ? 256 : 0;
}

/* BF16 channels filled up to a multiple of 8 (kernels/cuda/conv3d.cu). */
static size_t scratch_conv3d(const vg_conv3d_args *a)
{
    const vg_tensor *all[4] = {a->x, a->w, a->history, a->more};
    int64_t c = a->x->shape[3], wide = (c + 7) / 8 * 8;
    size_t bytes = 0;

    for (int i = 0; i < 4; i++)
        if (all[i])
            bytes += (size_t)(vg_tensor_numel(all[i]) / c * wide * 2) + 256;
    return a->x->dtype == VG_BF16 && a->w->dtype == VG_BF16 && c != wide ? bytes : 0;
}

static size_t scratch_none(const void *args)
{
    (void)args;
    return 0;
}

#define SCRATCH_OF(args)                                                                           \
    _Generic((args), const vg_linear_args *: scratch_linear, const vg_quantize_args *: scratch_quantize, \
             const vg_conv3d_args *: scratch_conv3d, default: scratch_none)(args)

#define VG_OP(name, help)                                                                          \
    static vg_status dry_op_##name(vg_backend *be, const vg_##name##_args *args, vg_err *err)      \
    {                                                                                              \
        return take_scratch(be, SCRATCH_OF(args), err);                                            \
    }
#include "kernels/ops.def"
#undef VG_OP

vg_status vg_dry_backend_open(vg_device_kind kind, vg_backend **be, vg_err *err)
{
    dry_backend *d = calloc(1, sizeof *d);

    if (!d)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for a plan");
    vg_status status = vg_pool_new(&d->places, err);
    if (status == VG_OK)
        status = vg_pool_add(d->places, (void *)REGION_BEGIN, REGION_BYTES, err);
    if (status != VG_OK) {
        vg_pool_free(d->places);
        free(d);
        return status;
    }
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
        .pin = dry_pin,
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
