// backend.cpp: a "CUDA" backend whose kernels run on the CPU, for tests/test_cuda_*.c as they are; linked with --wrap=vg_backend_open.
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/cuda.cuh"

#define SMS 3 // so that persistent kernels loop

extern "C" vg_status __real_vg_backend_open(vg_device_kind kind, int device, int threads,
                                            vg_backend **be, vg_err *err);
extern "C" vg_status __wrap_vg_backend_open(vg_device_kind kind, int device, int threads,
                                            vg_backend **be, vg_err *err);

static vg_backend_ops ops;

static void emulated_close(vg_backend *be)
{
    for (auto &scratch : vg_cuda(be)->scratch)
        free(scratch.memory);
    free(be);
}

static void emulated_trim(vg_backend *) {}

static vg_status emulated_info(vg_backend *, vg_device_info *info, vg_err *)
{
    *info = {};
    strcpy(info->name, "kernels on the CPU");
    info->capability = 90;
    return VG_OK;
}

static vg_status scratch(vg_backend *be, int k, size_t bytes, void **memory, vg_err *err)
{
    void **kept = &vg_cuda(be)->scratch[k].memory;

    free(*kept);
    *kept = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!*kept)
        return VG_FAIL(err, VG_E_NOMEM, "scratch of %zu bytes", bytes);
    memset(*kept, 0xff, bytes);
    *memory = *kept;
    return VG_OK;
}

vg_status vg_cuda_scratch(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    return scratch(be, 0, bytes, memory, err);
}

vg_status vg_cuda_outer_scratch(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    return scratch(be, 1, bytes, memory, err);
}

// Memory is the CPU backend's; operations are those of the kernels that are compiled here, and no others.
static vg_status fill_ops(vg_err *err)
{
    vg_backend *cpu = nullptr;
    VG_TRY(__real_vg_backend_open(VG_DEVICE_CPU, 0, 1, &cpu, err));
    ops = *cpu->ops;
    vg_backend_close(cpu);
    ops.kind = VG_DEVICE_CUDA;
    ops.host_memory = false;
    ops.close = emulated_close;
    ops.trim = emulated_trim;
    ops.info = emulated_info;
#define VG_OP(name, help) ops.name = nullptr;
#include "kernels/op/ops.def"
#undef VG_OP
#define EMULATED(name) ops.name = vg_cuda_##name;
    VG_EMULATED_OPS
#undef EMULATED
    return VG_OK;
}

vg_status __wrap_vg_backend_open(vg_device_kind kind, int device, int threads, vg_backend **be,
                                 vg_err *err)
{
    if (kind != VG_DEVICE_CUDA)
        return __real_vg_backend_open(kind, device, threads, be, err);
    if (device != 0)
        return VG_FAIL(err, VG_E_DEVICE, "there is no device %d", device);
    VG_TRY(fill_ops(err));
    vg_cuda_backend *c = static_cast<vg_cuda_backend *>(calloc(1, sizeof *c));
    if (!c)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for a backend");
    c->base.ops = &ops;
    c->base.fail_after = -1;
    c->sm_count = SMS;
    c->shared_limit =
        99 * 1024; // that of the smaller GPUs: what depends on it is then not what runs on sm_90
    c->capability = 90;
    *be = &c->base;
    return VG_OK;
}

// ---- what the launchers call of the CUDA runtime -----------------------------------------------------------------

extern "C" cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}
extern "C" cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}
extern "C" const char *cudaGetErrorString(cudaError_t)
{
    return "";
}
extern "C" cudaError_t cudaMemsetAsync(void *at, int value, size_t count, cudaStream_t)
{
    memset(at, value, count);
    return cudaSuccess;
}
