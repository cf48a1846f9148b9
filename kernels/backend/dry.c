/* dry.c: a backend without memory and arithmetic. Allocations are places in a pool over addresses that nothing stands behind; operations
 * check their operands (kernels/op/), take what the CUDA backend would take as scratch memory for them, and return. The engine's own code,
 * run on it, says what it will allocate: vg_plan is made this way. First fit in a region that ends at the highest address reached decides
 * as it did in one without end, so a stage's region of that size is enough, whatever holes there are. */
#include "kernels/backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGION_BEGIN ((uintptr_t)1 << 20)
#define REGION_BYTES ((size_t)1 << 46)

typedef struct dry_backend {
    vg_backend base;
    vg_backend_ops ops;
    vg_pool *places; /* one region without end */
    struct {
        void *memory;
        size_t bytes;
    } scratch[2]; /* as the CUDA backend keeps them: of an operation, and of one made of others */
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

static void drop_scratch(vg_backend *be, int which)
{
    vg_backend_release(be, dry(be)->scratch[which].memory, dry(be)->scratch[which].bytes);
    dry(be)->scratch[which].memory = NULL;
    dry(be)->scratch[which].bytes = 0;
}

static void dry_trim(vg_backend *be)
{
    drop_scratch(be, 0);
    drop_scratch(be, 1);
}

static vg_status take_scratch(vg_backend *be, int which, size_t bytes, vg_err *err)
{
    if (be->ops->kind != VG_DEVICE_CUDA || bytes <= dry(be)->scratch[which].bytes)
        return VG_OK;
    drop_scratch(be, which);
    VG_TRY(vg_backend_alloc(be, bytes, &dry(be)->scratch[which].memory, err));
    dry(be)->scratch[which].bytes = bytes;
    return VG_OK;
}

/* ---- scratch of the CUDA backend: what the files of kernels/cuda ask for. test_cuda_memory holds plans against runs. ---- */

#define PART_BYTES ((size_t)256 << 20) /* sums and scores are made in parts of this size */

typedef struct need {
    size_t own, outer;
} need;

static int64_t groups_of(int64_t n)
{
    return (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
}

static size_t at_most(size_t bytes, size_t limit)
{
    return bytes < limit ? bytes : limit;
}

/* Values of a result that is wanted as codes only, for some columns at a time. */
static size_t values_bytes(int64_t m, int64_t n)
{
    size_t all = (size_t)(m * n) * 2;
    int64_t pieces = (int64_t)(all / VG_CUDA_VALUES_BYTES) + 1,
            columns = (groups_of(n) + pieces - 1) / pieces * VG_QUANT_GROUP;

    return at_most((size_t)(m * columns) * 2, all);
}

/* Scales brought into the library's form; values that become codes, unless the library makes the codes. Shapes that it refuses take more:
 * they are not planned. */
static need need_linear(const vg_linear_args *a)
{
    int64_t m = a->x->shape[0], k = a->x->shape[1], n = a->w->shape[0];
    int64_t groups = groups_of(k), padded = (groups + 3) / 4 * 4 * groups_of(n);
    bool scalar = a->x_scale && a->x_scale->ndim == 1 && a->w_scale && a->w_scale->ndim == 1 &&
                  a->w_scale->shape[0] == 1;
    need s = {0, 0};

    if (a->x->dtype == VG_E4M3 && !scalar)
        s.own = (size_t)(groups * m + (padded > groups * n ? padded : groups * n)) * 4 + 512;
    else if (!a->y)
        s.own = 256;
    if (!a->y && !(scalar && a->quant.kind == VG_QUANT_TENSOR_STATIC))
        s.outer = values_bytes(m, n);
    return s;
}

static need need_quantize(const vg_quantize_args *a)
{
    return (need){.own = a->kind == VG_QUANT_TENSOR_DYNAMIC ? 256 : 0};
}

#define QUERY_TILE 128

/* A mark per tile of queries; scores of some rows, for what the tensor core kernels do not do. */
static need need_attention(const vg_attention_args *a)
{
    int64_t nq = a->q->shape[0], heads = a->q->shape[1], d = a->q->shape[2],
            ld = (a->k->shape[0] + 7) / 8 * 8;

    if (d <= 128 && !a->bias && a->q->dtype == VG_BF16)
        return (need){.own = (size_t)(heads * ((nq + QUERY_TILE - 1) / QUERY_TILE) + 1) * 8};
    return (need){.own =
                      at_most((size_t)(heads * nq) * (size_t)(ld * 6 + d * 4), PART_BYTES) + 1024};
}

static size_t widened(const vg_tensor *t, int64_t c)
{
    return t ? (size_t)(vg_tensor_numel(t) / c * ((c + 7) / 8 * 8)) * 2 + 256 : 0;
}

/* Channels filled up to a multiple of 8. */
static need need_conv3d(const vg_conv3d_args *a)
{
    int64_t c = a->x->shape[3];

    if (a->x->dtype != VG_BF16 || c % 8 == 0)
        return (need){0, 0};
    return (need){.own = widened(a->x, c) + widened(a->w, c) + widened(a->history, c) +
                         widened(a->more, c)};
}

static need need_head_codes(const vg_head_codes_args *a)
{
    return (need){.own = vg_head_codes_scratch(a->x->shape[0], a->x->shape[1])};
}

static need need_value_codes(const vg_value_codes_args *a)
{
    return (need){.own = vg_value_codes_scratch(a->v->shape[0], a->v->shape[1] * a->v->shape[2])};
}

static need need_nothing(const void *args)
{
    (void)args;
    return (need){0, 0};
}

#define NEED_OF(args)                                                                              \
    _Generic((args), const vg_linear_args *: need_linear, const vg_quantize_args *: need_quantize, \
             const vg_attention_args *: need_attention, const vg_conv3d_args *: need_conv3d,       \
             const vg_head_codes_args *: need_head_codes,                                          \
             const vg_value_codes_args *: need_value_codes, default: need_nothing)(args)

#define VG_OP(name, help)                                                                          \
    static vg_status dry_op_##name(vg_backend *be, const vg_##name##_args *args, vg_err *err)      \
    {                                                                                              \
        need n = NEED_OF(args);                                                                    \
        VG_TRY(take_scratch(be, 1, n.outer, err));                                                 \
        return take_scratch(be, 0, n.own, err);                                                    \
    }
#include "kernels/op/ops.def"
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
#include "kernels/op/ops.def"
#undef VG_OP
    };
    d->base.ops = &d->ops;
    d->base.fail_after = -1;
    *be = &d->base;
    return VG_OK;
}
