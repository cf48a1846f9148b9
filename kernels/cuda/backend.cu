// backend.cu: the CUDA backend: one device, a stream for work and one for copies beside it, memory by cudaMalloc (a stage's in one
// region, kernels/backend/backend.c). The runtime is linked statically and finds the driver when it is first called, so the program starts on
// machines without one and this backend reports VG_E_DEVICE.
#include "kernels/cuda/cuda.cuh"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

// "580.82.07, " of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  ..."; nothing where the kernel module does not tell.
static void driver_release(char *text, size_t size)
{
    FILE *file = fopen("/proc/driver/nvidia/version", "re");
    char word[32];
    int major, minor;

    *text = '\0';
    while (file && fscanf(file, "%31s", word) == 1)
        if (sscanf(word, "%d.%d", &major, &minor) == 2) {
            snprintf(text, size, "%s, ", word);
            break;
        }
    if (file)
        fclose(file);
}

// "8f6e3c1a-0b52-...", of the GPU, or of the MIG instance that this process was given (the driver's second version of the call tells them
// apart); "" where the driver does not tell. Makes no context.
static void device_uuid(int device, char *text, size_t size)
{
    typedef int get_device(int *handle, int ordinal);
    typedef int get_uuid(cudaUUID_t * uuid, int handle);
    cudaDriverEntryPointQueryResult result;
    void *device_of = nullptr, *uuid_of = nullptr;
    cudaUUID_t uuid;
    int handle = 0;
    size_t n = 0;

    *text = '\0';
    if (cudaGetDriverEntryPointByVersion("cuDeviceGet", &device_of, 2000, cudaEnableDefault,
                                         &result) != cudaSuccess ||
        cudaGetDriverEntryPointByVersion("cuDeviceGetUuid", &uuid_of, 11040, cudaEnableDefault,
                                         &result) != cudaSuccess ||
        !device_of || !uuid_of) {
        (void)cudaGetLastError();
        return;
    }
    if (reinterpret_cast<get_device *>(device_of)(&handle, device) != 0 ||
        reinterpret_cast<get_uuid *>(uuid_of)(&uuid, handle) != 0)
        return;
    for (int i = 0; i < 16 && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%02x",
                              i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                              (unsigned char)uuid.bytes[i]);
}

static vg_status cuda_info(vg_backend *be, vg_device_info *info, vg_err *err)
{
    size_t free_bytes = 0, total = 0;
    int driver = 0, runtime = 0;
    char release[40];

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaMemGetInfo(&free_bytes, &total), err);
    memset(info, 0, sizeof *info);
    memcpy(info->name, vg_cuda(be)->name, sizeof info->name);
    VG_CUDA_TRY(
        cudaDeviceGetPCIBusId(info->pci_bus_id, sizeof info->pci_bus_id, vg_cuda(be)->device), err);
    device_uuid(vg_cuda(be)->device, info->uuid, sizeof info->uuid);
    info->capability = vg_cuda(be)->capability;
    info->memory_total = total;
    info->memory_free = free_bytes;
    VG_CUDA_TRY(cudaDriverGetVersion(&driver), err);
    VG_CUDA_TRY(cudaRuntimeGetVersion(&runtime), err);
    driver_release(release, sizeof release);
    snprintf(info->driver, sizeof info->driver, "%sCUDA %d.%d", release, driver / 1000,
             driver % 1000 / 10); // 13010 is 13.1
    snprintf(info->runtime, sizeof info->runtime, "%d.%d", runtime / 1000, runtime % 1000 / 10);
    vg_cuda_blas_version(vg_cuda(be)->blas, info->math_library, sizeof info->math_library);
    return VG_OK;
}

static vg_status cuda_alloc(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    void *got = nullptr;
    cudaError_t status;

    VG_TRY(vg_cuda_enter(be, err));
    status = cudaMalloc(&got, bytes ? bytes : 256);
    if (status == cudaErrorMemoryAllocation) {
        size_t free_bytes = 0, total = 0;
        (void)cudaGetLastError(); // this failure leaves the context usable; forget it
        (void)cudaMemGetInfo(&free_bytes, &total);
        return VG_FAIL(err, VG_E_NOMEM, "out of GPU memory: wanted %zu bytes, %zu free of %zu",
                       bytes, free_bytes, total);
    }
    VG_CUDA_TRY(status, err);
    *memory = got;
    return VG_OK;
}

// cudaFree waits for the device, so operations that still use the memory finish first.
static void cuda_release(vg_backend *be, void *memory)
{
    if (memory && vg_cuda_enter(be, nullptr) == VG_OK)
        (void)cudaFree(memory);
}

static vg_status cuda_sync(vg_backend *be, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaStreamSynchronize(vg_cuda(be)->stream), err);
    return VG_OK;
}

// Ordered on the stream, finished on return: the caller may reuse from_host, pinned or not.
static vg_status cuda_upload(vg_backend *be, void *to, const void *from_host, size_t bytes,
                             vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, vg_cuda(be)->stream),
                err);
    return cuda_sync(be, err);
}

static vg_status cuda_download(vg_backend *be, void *to_host, const void *from, size_t bytes,
                               vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, vg_cuda(be)->stream),
                err);
    return cuda_sync(be, err);
}

// A mark is an event on the stream.
static vg_status cuda_mark_new(vg_backend *be, void **mark, vg_err *err)
{
    cudaEvent_t event;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaEventCreate(&event), err);
    *mark = event;
    return VG_OK;
}

static void cuda_mark_free(vg_backend *be, void *mark)
{
    if (mark && vg_cuda_enter(be, nullptr) == VG_OK)
        (void)cudaEventDestroy(static_cast<cudaEvent_t>(mark));
}

static vg_status cuda_mark_set(vg_backend *be, void *mark, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaEventRecord(static_cast<cudaEvent_t>(mark), vg_cuda(be)->stream), err);
    return VG_OK;
}

static vg_status cuda_mark_between(vg_backend *be, void *from, void *to, double *seconds,
                                   vg_err *err)
{
    float ms = 0.0f;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(
        cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(from), static_cast<cudaEvent_t>(to)),
        err);
    *seconds = 1e-3 * static_cast<double>(ms);
    return VG_OK;
}

static vg_status cuda_copy(vg_backend *be, void *to, const void *from, size_t bytes, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, vg_cuda(be)->stream),
                err);
    return VG_OK;
}

static vg_status cuda_zero(vg_backend *be, void *to, size_t bytes, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaMemsetAsync(to, 0, bytes, vg_cuda(be)->stream), err);
    return VG_OK;
}

// ---- the copy queue -------------------------------------------------------------------------------------------------

// Large blocks are mapped in pages of 2 MiB and then registered: 4 KiB pages, which cudaMallocHost pins one by one, take several times
// as long. What the system refuses to give in large pages comes in small ones.
#define HUGE_PAGE ((size_t)2 << 20)

static bool is_large(size_t bytes)
{
    return bytes >= 16 * HUGE_PAGE;
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

// Pages come into being where they are first written; several threads zero them several times as fast as one.
static void touch(char *memory, size_t bytes)
{
    constexpr size_t threads = 8;
    std::thread helpers[threads];
    size_t part = (bytes / threads + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;

    for (size_t i = 0; i < threads; i++) {
        size_t first = i * part, end = first + part < bytes ? first + part : bytes;
        auto work = [=] {
            for (size_t at = first; at < end; at += 4096)
                static_cast<volatile char *>(memory)[at] = 0;
        };
        try {
            helpers[i] = std::thread(work);
        } catch (...) {
            work(); // no more threads: then here
        }
    }
    for (std::thread &helper : helpers)
        if (helper.joinable())
            helper.join();
}

static vg_status pin_large(size_t bytes, void **memory, vg_err *err)
{
    void *got = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (got == MAP_FAILED)
        return VG_FAIL(err, VG_E_NOMEM, "out of memory: wanted %zu bytes of page-locked memory",
                       bytes);
    (void)madvise(got, bytes, MADV_HUGEPAGE);
    touch(static_cast<char *>(got), bytes);
    if (cudaHostRegister(got, bytes, cudaHostRegisterPortable) != cudaSuccess) {
        (void)cudaGetLastError();
        munmap(got, bytes);
        return VG_FAIL(err, VG_E_NOMEM, "out of memory: %zu bytes cannot be page-locked", bytes);
    }
    *memory = got;
    return VG_OK;
}

static vg_status cuda_pin(vg_backend *be, size_t bytes, void **memory, vg_err *err)
{
    VG_TRY(vg_backend_count_allocation(be, bytes, err));
    VG_TRY(vg_cuda_enter(be, err));
    if (is_large(bytes))
        return pin_large(whole_pages(bytes), memory, err);
    if (cudaMallocHost(memory, bytes ? bytes : 256) != cudaSuccess) {
        (void)cudaGetLastError();
        return VG_FAIL(err, VG_E_NOMEM, "out of memory: wanted %zu bytes of page-locked memory",
                       bytes);
    }
    return VG_OK;
}

static void cuda_unpin(vg_backend *be, void *memory, size_t bytes)
{
    if (!memory || vg_cuda_enter(be, nullptr) != VG_OK)
        return;
    if (is_large(bytes)) {
        (void)cudaHostUnregister(memory);
        munmap(memory, whole_pages(bytes));
    } else
        (void)cudaFreeHost(memory);
}

static vg_status cuda_stream_in(vg_backend *be, void *to, const void *from_pinned, size_t bytes,
                                vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(
        cudaMemcpyAsync(to, from_pinned, bytes, cudaMemcpyHostToDevice, vg_cuda(be)->copy_stream),
        err);
    return VG_OK;
}

static vg_status cuda_stream_out(vg_backend *be, void *to_pinned, const void *from, size_t bytes,
                                 vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(
        cudaMemcpyAsync(to_pinned, from, bytes, cudaMemcpyDeviceToHost, vg_cuda(be)->copy_stream),
        err);
    return VG_OK;
}

// A vg_fence is a cudaEvent_t.
static cudaEvent_t event_of(vg_fence *fence)
{
    return reinterpret_cast<cudaEvent_t>(fence);
}

static cudaStream_t stream_of(vg_backend *be, vg_queue queue)
{
    return queue == VG_QUEUE_COPY ? vg_cuda(be)->copy_stream : vg_cuda(be)->stream;
}

static vg_status cuda_fence_new(vg_backend *be, vg_fence **fence, vg_err *err)
{
    cudaEvent_t event;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), err);
    *fence = reinterpret_cast<vg_fence *>(event);
    return VG_OK;
}

static void cuda_fence_free(vg_backend *be, vg_fence *fence)
{
    if (fence && vg_cuda_enter(be, nullptr) == VG_OK)
        (void)cudaEventDestroy(event_of(fence));
}

static vg_status cuda_fence_set(vg_backend *be, vg_queue queue, vg_fence *fence, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaEventRecord(event_of(fence), stream_of(be, queue)), err);
    return VG_OK;
}

static vg_status cuda_fence_follow(vg_backend *be, vg_queue queue, vg_fence *fence, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaStreamWaitEvent(stream_of(be, queue), event_of(fence), 0), err);
    return VG_OK;
}

static vg_status cuda_fence_wait(vg_backend *be, vg_fence *fence, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_TRY(cudaEventSynchronize(event_of(fence)), err);
    return VG_OK;
}

// ---- scratch --------------------------------------------------------------------------------------------------------

static void drop_scratch(vg_backend *be, int which)
{
    auto *s = &vg_cuda(be)->scratch[which];

    vg_backend_release(be, s->memory, s->bytes);
    s->memory = nullptr;
    s->bytes = 0;
}

static void cuda_trim(vg_backend *be)
{
    drop_scratch(be, 0);
    drop_scratch(be, 1);
}

// The old piece may still be in use by operations before this one; whoever gets it from the pool next comes behind them on the stream.
static vg_status scratch(vg_backend *be, int which, size_t bytes, void **memory, vg_err *err)
{
    auto *s = &vg_cuda(be)->scratch[which];
    void *grown = nullptr;

    if (bytes > s->bytes) {
        drop_scratch(be, which);
        VG_TRY(vg_backend_alloc(be, bytes, &grown, err));
        s->memory = grown;
        s->bytes = bytes;
    }
    *memory = s->memory;
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

static void cuda_close(vg_backend *be)
{
    vg_cuda_backend *cuda = vg_cuda(be);

    if (vg_cuda_enter(be, nullptr) == VG_OK && cuda->stream) {
        (void)cudaStreamSynchronize(cuda->stream);
        vg_cuda_blas_close(cuda->blas);
        cuda_trim(be);
        if (cuda->copy_stream)
            (void)cudaStreamDestroy(cuda->copy_stream);
        (void)cudaStreamDestroy(cuda->stream);
    }
    free(cuda);
}

// Filled by name, since C++17 has no designated initialisers.
static const vg_backend_ops *cuda_ops()
{
    static const vg_backend_ops table = [] {
        vg_backend_ops t = {};
        t.kind = VG_DEVICE_CUDA;
        t.host_memory = false;
        t.close = cuda_close;
        t.info = cuda_info;
        t.alloc = cuda_alloc;
        t.release = cuda_release;
        t.upload = cuda_upload;
        t.download = cuda_download;
        t.copy = cuda_copy;
        t.zero = cuda_zero;
        t.sync = cuda_sync;
        t.pin = cuda_pin;
        t.unpin = cuda_unpin;
        t.stream_in = cuda_stream_in;
        t.stream_out = cuda_stream_out;
        t.fence_new = cuda_fence_new;
        t.fence_free = cuda_fence_free;
        t.fence_set = cuda_fence_set;
        t.fence_follow = cuda_fence_follow;
        t.fence_wait = cuda_fence_wait;
        t.trim = cuda_trim;
        t.mark_new = cuda_mark_new;
        t.mark_free = cuda_mark_free;
        t.mark_set = cuda_mark_set;
        t.mark_between = cuda_mark_between;
        t.vendor_product = vg_cuda_library_product;
#define VG_OP(name, help) t.name = vg_cuda_##name;
#include "kernels/op/ops.def"
#undef VG_OP
        return t;
    }();
    return &table;
}

static vg_status describe(vg_cuda_backend *cuda, vg_err *err)
{
    cudaDeviceProp properties;

    VG_CUDA_TRY(cudaSetDevice(cuda->device), err);
    VG_CUDA_TRY(cudaGetDeviceProperties(&properties, cuda->device), err);
    snprintf(cuda->name, sizeof cuda->name, "%.120s", properties.name);
    cuda->capability = 10 * properties.major + properties.minor;
    cuda->sm_count = properties.multiProcessorCount;
    cuda->shared_limit = (int)properties.sharedMemPerBlockOptin;
    if (cuda->capability < 80)
        return VG_FAIL(err, VG_E_DEVICE,
                       "GPU %d (%s) has compute capability %d.%d; at least 8.0 is needed",
                       cuda->device, cuda->name, properties.major, properties.minor);
    VG_CUDA_TRY(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking), err);
    VG_CUDA_TRY(cudaStreamCreateWithFlags(&cuda->copy_stream, cudaStreamNonBlocking), err);
    return VG_OK;
}

static vg_status check_exists(int device, vg_err *err)
{
    int count = 0;
    cudaError_t found = cudaGetDeviceCount(&count);

    if (found != cudaSuccess || count == 0) {
        (void)cudaGetLastError();
        return VG_FAIL(err, VG_E_DEVICE, "no usable CUDA GPU: %s",
                       found == cudaSuccess ? "the driver lists none" : cudaGetErrorString(found));
    }
    if (device < 0 || device >= count)
        return VG_FAIL(err, VG_E_DEVICE, "GPU %d does not exist; this machine has %d (0..%d)",
                       device, count, count - 1);
    return VG_OK;
}

vg_status vg_cuda_identify(int device, char *id, size_t size, vg_err *err)
{
    char name[40];

    VG_TRY(check_exists(device, err));
    device_uuid(device, name, sizeof name);
    if (!*name)
        VG_CUDA_TRY(cudaDeviceGetPCIBusId(name, sizeof name, device), err);
    snprintf(id, size, "gpu-%s", name);
    return VG_OK;
}

vg_status vg_cuda_backend_open(int device, vg_backend **be, vg_err *err)
{
    vg_cuda_backend *cuda;
    vg_status status;

    VG_TRY(check_exists(device, err));
    cuda = static_cast<vg_cuda_backend *>(calloc(1, sizeof *cuda));
    if (!cuda)
        return VG_FAIL(err, VG_E_NOMEM, "no memory for the CUDA backend");
    cuda->base.ops = cuda_ops();
    cuda->base.fail_after = -1;
    cuda->device = device;
    status = describe(cuda, err);
    if (status != VG_OK) {
        cuda_close(&cuda->base);
        return status;
    }
    *be = &cuda->base;
    return VG_OK;
}
