/* backend.c: the part of a backend that is the same everywhere: opening, counted memory, size checks of transfers. */
#include "kernels/backend/backend.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char *vg_device_kind_name(vg_device_kind kind)
{
    static const char *const names[VG_DEVICE_KIND_COUNT] = {
#define VG_DEVICE_KIND(id, name) name,
#include "kernels/backend/device_kinds.def"
#undef VG_DEVICE_KIND
    };
    return (unsigned)kind < VG_DEVICE_KIND_COUNT ? names[kind] : "?";
}

const char *vg_attention_kernel_name(vg_attention_kernel kernel)
{
    static const char *const names[VG_ATTENTION_KERNEL_COUNT] = {
#define VG_ATTENTION_KERNEL(id, name, help) name,
#include "kernels/backend/attention_kernels.def"
#undef VG_ATTENTION_KERNEL
    };
    return (unsigned)kernel < VG_ATTENTION_KERNEL_COUNT ? names[kernel] : "?";
}

vg_status vg_backend_open(vg_device_kind kind, int device, int threads, vg_backend **be,
                          vg_err *err)
{
    vg_backend *opened = NULL;

    switch (kind) {
    case VG_DEVICE_CPU:
        VG_TRY(vg_cpu_backend_open(threads, &opened, err));
        break;
    case VG_DEVICE_CUDA:
#if defined(VG_HAVE_CUDA)
        VG_TRY(vg_cuda_backend_open(device, &opened, err));
        break;
#else
        (void)device;
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "this build has no CUDA backend (configure with VGEN_CUDA=ON)");
#endif
    case VG_DEVICE_KIND_COUNT:
        break;
    }
    if (!opened)
        return VG_FAIL(err, VG_E_ARG, "unknown device kind %d", (int)kind);
    opened->fail_after = -1;
    *be = opened;
    return VG_OK;
}

vg_status vg_backend_identify(vg_device_kind kind, int device, char id[VG_DEVICE_ID_MAX],
                              vg_err *err)
{
    if (kind == VG_DEVICE_CPU) {
        memcpy(id, "cpu", 4);
        return VG_OK;
    }
#if defined(VG_HAVE_CUDA)
    return vg_cuda_identify(device, id, VG_DEVICE_ID_MAX, err);
#else
    (void)device;
    return VG_FAIL(err, VG_E_UNSUPPORTED,
                   "this build has no CUDA backend (configure with VGEN_CUDA=ON)");
#endif
}

void vg_backend_close(vg_backend *be)
{
    if (!be)
        return;
    free(be->gemm_cache);
    vg_backend_unreserve(be);
    vg_pool_free(be->pool);
    be->pool = NULL;
    be->ops->close(be);
}

vg_status vg_backend_keep_choices(vg_backend *be, const char *folder, vg_err *err)
{
    char *copy = strdup(folder);

    if (!copy)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for the path of a cache");
    free(be->gemm_cache);
    be->gemm_cache = copy;
    return VG_OK;
}

bool vg_backend_cancelled(const vg_backend *be)
{
    const atomic_int *flag = be->cancel;

    return flag && atomic_load_explicit(flag, memory_order_relaxed) != 0;
}

bool vg_backend_supports(const vg_backend *be, vg_op op)
{
    switch (op) {
#define VG_OP(name, help)                                                                          \
    case VG_OP_##name:                                                                             \
        return be->ops->name != NULL;
#include "kernels/op/ops.def"
#undef VG_OP
    case VG_OP_COUNT:
        break;
    }
    return false;
}

vg_status vg_backend_info(vg_backend *be, vg_device_info *info, vg_err *err)
{
    return be->ops->info(be, info, err);
}

void vg_backend_fail_after(vg_backend *be, int64_t n)
{
    be->fail_after = n;
}

vg_status vg_backend_count_allocation(vg_backend *be, size_t bytes, vg_err *err)
{
    if (be->fail_after < 0 || be->fail_after-- > 0)
        return VG_OK;
    return VG_FAIL(err, VG_E_NOMEM, "out of memory (injected): wanted %zu bytes, 0 free", bytes);
}

static void count_bytes(vg_backend *be, size_t bytes)
{
    be->bytes_now += bytes;
    if (be->bytes_now > be->bytes_peak)
        be->bytes_peak = be->bytes_now;
}

void vg_backend_keep(vg_backend *be, size_t bytes)
{
    be->kept += bytes;
    count_bytes(be, bytes);
}

/* ---- regions ---- */

#define REGION_MIN                                                                                 \
    ((size_t)64                                                                                    \
     << 20) /* a plan that is wrong in one place is wrong in others: grow by more than asked for */

bool vg_backend_reads_host(const vg_backend *be)
{
    return be->ops->host_memory && !be->separate;
}

static size_t whole_pieces(size_t bytes)
{
    return bytes ? (bytes + VG_POOL_ALIGNMENT - 1) / VG_POOL_ALIGNMENT * VG_POOL_ALIGNMENT
                 : VG_POOL_ALIGNMENT;
}

static vg_status add_region(vg_backend *be, size_t bytes, vg_err *err)
{
    void *memory = NULL;

    if (be->limit && (bytes > be->limit || vg_pool_bytes(be->pool) > be->limit - bytes))
        return VG_FAIL(err, VG_E_NOMEM,
                       "out of memory: wanted %zu bytes, %zu of the %zu allowed are taken", bytes,
                       vg_pool_bytes(be->pool), be->limit);
    VG_TRY(be->ops->alloc(be, bytes, &memory, err));
    vg_status status = vg_pool_add(be->pool, memory, bytes, err);
    if (status != VG_OK)
        be->ops->release(be, memory);
    return status;
}

void vg_backend_unreserve(vg_backend *be)
{
    void *memory;

    be->ops->trim(be);
    if (!be->pool)
        return;
    while ((memory = vg_pool_remove_idle(be->pool)))
        be->ops->release(be, memory);
}

vg_status vg_backend_reserve(vg_backend *be, size_t bytes, vg_err *err)
{
    if (vg_backend_reads_host(be) || be->ops->dry)
        return VG_OK;
    VG_TRY(vg_backend_count_allocation(be, bytes, err));
    if (!be->pool)
        VG_TRY(vg_pool_new(&be->pool, err));
    be->ops->trim(be);
    bytes = whole_pieces(bytes);
    size_t largest = vg_pool_largest(be->pool);
    if (largest >= bytes && largest - bytes <= bytes / 4)
        return VG_OK;
    vg_backend_unreserve(be);
    return add_region(be, bytes, err);
}

static vg_status take(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    if (!be->pool || vg_pool_bytes(be->pool) == 0)
        return be->ops->alloc(be, bytes, memory, err);
    if (vg_pool_take(be->pool, bytes, memory, NULL) == VG_OK)
        return VG_OK;
    size_t wanted = whole_pieces(bytes), size = wanted > REGION_MIN ? wanted : REGION_MIN;
    if (add_region(be, size, NULL) != VG_OK) {
        size = wanted;
        VG_TRY(add_region(be, size, err));
    }
    be->grown += size;
    return vg_pool_take(be->pool, bytes, memory, err);
}

vg_status vg_backend_alloc(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    void *got = NULL;

    VG_TRY(vg_backend_count_allocation(be, bytes, err));
    VG_TRY(take(be, bytes, &got, err));
    count_bytes(be, bytes);
    *memory = got;
    return VG_OK;
}

void vg_backend_release(vg_backend *be, void *memory, size_t bytes)
{
    if (!memory)
        return;
    if (!be->pool || !vg_pool_give(be->pool, memory))
        be->ops->release(be, memory);
    be->bytes_now = be->bytes_now > bytes ? be->bytes_now - bytes : 0;
}

vg_status vg_backend_upload(vg_backend *be, vg_tensor *to, const void *from_host, vg_err *err)
{
    return be->ops->upload(be, to->data, from_host, vg_tensor_bytes(to), err);
}

vg_status vg_backend_download(vg_backend *be, void *to_host, const vg_tensor *from, vg_err *err)
{
    return be->ops->download(be, to_host, from->data, vg_tensor_bytes(from), err);
}

vg_status vg_backend_copy(vg_backend *be, vg_tensor *to, const vg_tensor *from, vg_err *err)
{
    char is[96], wanted[96];

    if (to->dtype != from->dtype || vg_tensor_bytes(to) != vg_tensor_bytes(from))
        return VG_FAIL(err, VG_E_SHAPE, "copy: %s does not fit into %s",
                       vg_tensor_describe(from, is, sizeof is),
                       vg_tensor_describe(to, wanted, sizeof wanted));
    return be->ops->copy(be, to->data, from->data, vg_tensor_bytes(to), err);
}

vg_status vg_backend_zero(vg_backend *be, vg_tensor *to, vg_err *err)
{
    return be->ops->zero(be, to->data, vg_tensor_bytes(to), err);
}

vg_status vg_backend_sync(vg_backend *be, vg_err *err)
{
    return be->ops->sync(be, err);
}
