/* backend.c: the CPU backend: memory is malloc'ed, transfers are memcpy, every call has finished when it returns. */
#include "kernels/cpu/blas.h"
#include "kernels/cpu/cpu.h"
#include "kernels/base/fileio.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static vg_status cpu_alloc(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    size_t total = (size_t)vg_proc_bytes("/proc/meminfo", "MemTotal");
    void *got = NULL;

    (void)be;
    /* The kernel grants more than there is and ends the process later; refuse what can never be filled. */
    if (bytes > SIZE_MAX / 2 || (total && bytes > total) ||
        posix_memalign(&got, 64, bytes ? bytes : 64) != 0)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory: wanted %zu bytes, %zu free", bytes,
                       vg_memory_available());
    *memory = got;
    return VG_OK;
}

static void cpu_release(vg_backend *be, void *memory)
{
    (void)be;
    free(memory);
}

static vg_status cpu_transfer(vg_backend *be, void *to, const void *from, size_t bytes, vg_err *err)
{
    (void)be, (void)err;
    if (bytes)
        memmove(to, from, bytes);
    return VG_OK;
}

static vg_status cpu_zero(vg_backend *be, void *to, size_t bytes, vg_err *err)
{
    (void)be, (void)err;
    if (bytes)
        memset(to, 0, bytes);
    return VG_OK;
}

static vg_status cpu_sync(vg_backend *be, vg_err *err)
{
    (void)be, (void)err;
    return VG_OK;
}

static vg_status cpu_pin(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    VG_TRY(vg_backend_count_allocation(be, bytes, err));
    return cpu_alloc(be, bytes, memory, err);
}

static void cpu_unpin(vg_backend *be, void *memory, size_t bytes)
{
    (void)bytes;
    cpu_release(be, memory);
}

/* Every call has finished when it returns, so a fence has nothing to remember: any address will do. */
static vg_status cpu_fence_new(vg_backend *be, vg_fence **fence, vg_err *err)
{
    (void)err;
    *fence = (vg_fence *)(void *)be;
    return VG_OK;
}

static void cpu_fence_free(vg_backend *be, vg_fence *fence)
{
    (void)be, (void)fence;
}

static vg_status cpu_fence_order(vg_backend *be, vg_queue queue, vg_fence *fence, vg_err *err)
{
    (void)be, (void)queue, (void)fence, (void)err;
    return VG_OK;
}

static vg_status cpu_fence_wait(vg_backend *be, vg_fence *fence, vg_err *err)
{
    (void)be, (void)fence, (void)err;
    return VG_OK;
}

static void cpu_trim(vg_backend *be)
{
    (void)be; /* its scratch is host memory */
}

/* A mark is a moment on the machine's clock: every call has finished when it returns. */
static vg_status cpu_mark_new(vg_backend *be, void **mark, vg_err *err)
{
    struct timespec *t = calloc(1, sizeof *t);

    (void)be;
    if (!t)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for a mark");
    *mark = t;
    return VG_OK;
}

static void cpu_mark_free(vg_backend *be, void *mark)
{
    (void)be;
    free(mark);
}

static vg_status cpu_mark_set(vg_backend *be, void *mark, vg_err *err)
{
    (void)be;
    if (clock_gettime(CLOCK_MONOTONIC, mark) != 0)
        return VG_FAIL(err, VG_E_DEVICE, "the machine has no monotonic clock");
    return VG_OK;
}

static vg_status cpu_mark_between(vg_backend *be, void *from, void *to, double *seconds,
                                  vg_err *err)
{
    const struct timespec *a = from, *b = to;

    (void)be, (void)err;
    *seconds = (double)(b->tv_sec - a->tv_sec) + 1e-9 * (double)(b->tv_nsec - a->tv_nsec);
    return VG_OK;
}

static vg_status cpu_info(vg_backend *be, vg_device_info *info, vg_err *err)
{
    int threads = vg_cpu(be)->threads;

    (void)err;
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, threads == 1 ? "CPU, %d thread" : "CPU, %d threads",
             threads);
    info->memory_total = (size_t)vg_proc_bytes("/proc/meminfo", "MemTotal");
    info->memory_free = vg_memory_available();
    vg_cpu_blas_name(info->math_library, sizeof info->math_library);
    return VG_OK;
}

static void cpu_close(vg_backend *be)
{
    vg_threads_free(vg_cpu(be)->pool);
    free(vg_cpu(be)->scratch);
    free(vg_cpu(be)->shared);
    free(be);
}

static vg_status grow(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    void *grown = NULL;

    VG_TRY(vg_backend_count_allocation(be, bytes, err));
    VG_TRY(cpu_alloc(be, bytes, &grown, err));
    free(*memory);
    *memory = grown;
    return VG_OK;
}

vg_status vg_cpu_scratch_reserve(vg_backend *be, size_t floats, vg_err *err)
{
    vg_cpu_backend *cpu = vg_cpu(be);
    size_t each = vg_cpu_round(floats) * sizeof(float), bytes;
    void *memory = cpu->scratch;

    if (each <= cpu->scratch_bytes)
        return VG_OK;
    if (__builtin_mul_overflow(each, (size_t)cpu->threads, &bytes))
        return VG_FAIL(err, VG_E_NOMEM,
                       "out of memory: scratch of %zu bytes for each of %d threads", each,
                       cpu->threads);
    VG_TRY(grow(be, bytes, &memory, err));
    cpu->scratch = memory;
    cpu->scratch_bytes = each;
    return VG_OK;
}

vg_status vg_cpu_shared_reserve(vg_backend *be, size_t floats, vg_err *err)
{
    vg_cpu_backend *cpu = vg_cpu(be);
    size_t bytes = vg_cpu_round(floats) * sizeof(float);
    void *memory = cpu->shared;

    if (bytes <= cpu->shared_bytes)
        return VG_OK;
    VG_TRY(grow(be, bytes, &memory, err));
    cpu->shared = memory;
    cpu->shared_bytes = bytes;
    return VG_OK;
}

static const vg_backend_ops CPU_OPS = {
    .kind = VG_DEVICE_CPU,
    .host_memory = true,
    .close = cpu_close,
    .info = cpu_info,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_transfer,
    .download = cpu_transfer,
    .copy = cpu_transfer,
    .zero = cpu_zero,
    .sync = cpu_sync,
    .pin = cpu_pin,
    .unpin = cpu_unpin,
    .stream_in = cpu_transfer,
    .stream_out = cpu_transfer,
    .fence_new = cpu_fence_new,
    .fence_free = cpu_fence_free,
    .fence_set = cpu_fence_order,
    .fence_follow = cpu_fence_order,
    .fence_wait = cpu_fence_wait,
    .trim = cpu_trim,
    .mark_new = cpu_mark_new,
    .mark_free = cpu_mark_free,
    .mark_set = cpu_mark_set,
    .mark_between = cpu_mark_between,
#define VG_OP(op, help) .op = vg_cpu_##op,
#include "kernels/op/ops.def"
#undef VG_OP
};

vg_status vg_cpu_backend_open(int threads, vg_backend **be, vg_err *err)
{
    vg_cpu_backend *cpu = calloc(1, sizeof *cpu);
    vg_status status;

    if (!cpu)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for the CPU backend");
    status = vg_threads_new(threads, &cpu->pool, err);
    if (status == VG_OK)
        status = vg_cpu_blas_open(vg_threads_count(cpu->pool), err);
    if (status != VG_OK) {
        vg_threads_free(cpu->pool);
        free(cpu);
        return status;
    }
    cpu->threads = vg_threads_count(cpu->pool);
    cpu->base.ops = &CPU_OPS;
    cpu->base.fail_after = -1;
    *be = &cpu->base;
    return VG_OK;
}
