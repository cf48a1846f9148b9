/* backend.h: a place where tensors live and operations run. One const table per backend (cpu, cuda), chosen once
 * per engine. The engine never learns which one it talks to. */
#ifndef VG_KERNELS_BACKEND_BACKEND_H
#define VG_KERNELS_BACKEND_BACKEND_H

#include "kernels/op/ops.h"
#include "kernels/backend/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vg_device_kind {
#define VG_DEVICE_KIND(id, name) VG_DEVICE_##id,
#include "kernels/backend/device_kinds.def"
#undef VG_DEVICE_KIND
    VG_DEVICE_KIND_COUNT
} vg_device_kind;

const char *vg_device_kind_name(vg_device_kind kind); /* "cpu", "cuda" */

/* Which kernel attention takes where several fit: see attention_kernels.def. */
typedef enum vg_attention_kernel {
#define VG_ATTENTION_KERNEL(id, name, help) VG_ATTENTION_##id,
#include "kernels/backend/attention_kernels.def"
#undef VG_ATTENTION_KERNEL
    VG_ATTENTION_KERNEL_COUNT
} vg_attention_kernel;
const char *vg_attention_kernel_name(vg_attention_kernel kernel); /* "sm90" */

typedef struct vg_device_info {
    char name[128];      /* e.g. "NVIDIA H100 80GB HBM3" or "CPU, 2 threads" */
    char pci_bus_id[32]; /* "0000:17:00.0", for vg_gpu_gauge_open; "" on the CPU */
    char uuid
        [40]; /* of the GPU, or of the MIG instance that it is: "8f6e3c1a-..."; "" where it cannot be told */
    int capability;      /* 90 for sm_90; 0 on the CPU */
    size_t memory_total; /* bytes */
    size_t memory_free;  /* bytes, now */
    char driver
        [64]; /* its release where it tells, and the newest CUDA it serves: "580.82.07, CUDA 13.0"; "" on the CPU */
    char runtime[32]; /* CUDA runtime of this build, "13.0"; "" on the CPU */
    char math_library
        [64]; /* of the matrix products: "cuBLASLt 13.1.0", "OpenBLAS 0.3.21"; "" while it has not been opened */
} vg_device_info;

#define VG_DEVICE_ID_MAX 64
/* The name of a physical device, the same for every process of the machine whatever CUDA_VISIBLE_DEVICES says: "cpu", "gpu-" and the UUID of
 * the GPU or of its MIG instance, or its PCI bus id. Takes no memory of the device. Errors: VG_E_DEVICE, VG_E_UNSUPPORTED. */
vg_status vg_backend_identify(vg_device_kind kind, int device, char id[VG_DEVICE_ID_MAX],
                              vg_err *err);

/* Where work waits its turn. Operations, upload, download, copy and zero go to COMPUTE, stream_in and stream_out to COPY; the two run side
 * by side on a GPU, and a fence orders one behind the other. On the CPU every call has finished when it returns, so fences do nothing. */
typedef enum vg_queue { VG_QUEUE_COMPUTE, VG_QUEUE_COPY } vg_queue;
typedef struct vg_fence vg_fence;     /* a point of a queue; only its backend looks inside */
typedef struct vg_profile vg_profile; /* kernels/backend/profile.h */

typedef struct vg_backend_ops {
    vg_device_kind kind;
    bool host_memory; /* memory of this backend can be read and written by the host directly */
    bool
        dry; /* nothing is stored or computed: addresses are only counted (kernels/backend/dry.c) */
    void (*close)(vg_backend *be);
    vg_status (*info)(vg_backend *be, vg_device_info *info, vg_err *err);
    /* 64-byte aligned (CPU) or 256-byte aligned (CUDA). VG_E_NOMEM carries wanted and free bytes. */
    vg_status (*alloc)(vg_backend *be, size_t bytes, void **memory, vg_err *err);
    void (*release)(vg_backend *be, void *memory); /* NULL is a no-op */
    vg_status (*upload)(vg_backend *be, void *to, const void *from_host, size_t bytes, vg_err *err);
    vg_status (*download)(vg_backend *be, void *to_host, const void *from, size_t bytes,
                          vg_err *err); /* waits */
    vg_status (*copy)(vg_backend *be, void *to, const void *from, size_t bytes, vg_err *err);
    vg_status (*zero)(vg_backend *be, void *to, size_t bytes, vg_err *err);
    vg_status (*sync)(vg_backend *be, vg_err *err);
    /* Host memory that the device can read and write on its own. */
    vg_status (*pin)(vg_backend *be, size_t bytes, void **memory, vg_err *err);
    void (*unpin)(vg_backend *be, void *memory, size_t bytes);
    /* Between pinned and device memory, asynchronous, on the COPY queue. These and the fences may be called from several threads. */
    vg_status (*stream_in)(vg_backend *be, void *to, const void *from_pinned, size_t bytes,
                           vg_err *err);
    vg_status (*stream_out)(vg_backend *be, void *to_pinned, const void *from, size_t bytes,
                            vg_err *err);
    vg_status (*fence_new)(vg_backend *be, vg_fence **fence, vg_err *err);
    void (*fence_free)(vg_backend *be, vg_fence *fence);
    vg_status (*fence_set)(vg_backend *be, vg_queue queue, vg_fence *fence,
                           vg_err *err); /* behind all that the queue has now */
    vg_status (*fence_follow)(vg_backend *be, vg_queue queue, vg_fence *fence,
                              vg_err *err); /* later work of the queue waits for it */
    vg_status (*fence_wait)(vg_backend *be, vg_fence *fence,
                            vg_err *err); /* the caller waits; unset: at once */
    /* Give memory back that is kept for the next operation only. */
    void (*trim)(vg_backend *be);
    /* Points in the backend's order of work, for profiles and benchmarks: made once, set any number of times without waiting, read after
     * vg_backend_sync: seconds from one to the other. */
    vg_status (*mark_new)(vg_backend *be, void **mark, vg_err *err);
    void (*mark_free)(vg_backend *be, void *mark); /* NULL is a no-op */
    vg_status (*mark_set)(vg_backend *be, void *mark, vg_err *err);
    vg_status (*mark_between)(vg_backend *be, void *from, void *to, double *seconds, vg_err *err);
    /* What the library alone does for a linear layer, for benchmarks beside vg_linear: x w^T with its scales, without bias, activation or
     * conversions. NULL, or VG_E_UNSUPPORTED, where the library has no such product. */
    vg_status (*vendor_product)(vg_backend *be, const vg_linear_args *args, vg_err *err);
    /* Operations: NULL = unsupported here. */
#define VG_OP(name, help)                                                                          \
    vg_status (*name)(vg_backend * be, const vg_##name##_args *args, vg_err *err);
#include "kernels/op/ops.def"
#undef VG_OP
} vg_backend_ops;

/* Common head of every backend; backends embed it as their first member. */
struct vg_backend {
    const vg_backend_ops *ops;
    int64_t calls[VG_OP_COUNT];   /* successful calls per op, for the report */
    size_t bytes_now, bytes_peak; /* allocated through vg_backend_alloc */
    vg_pool *
        pool; /* of the present stage, see vg_backend_reserve; NULL: every allocation is the device's own */
    size_t kept; /* part of bytes_now that stays until close: workspace of libraries */
    size_t
        reached; /* dry backends: how large a stage's region has to be, holes between pieces counted */
    size_t limit; /* most bytes that regions may have together; 0 = what the device gives */
    size_t
        grown; /* bytes of regions that a stage took beyond what was reserved, of all stages: 0 if plans were right */
    bool
        separate; /* CPU only: behave like a device with memory of its own (weights are copied, limits count) */
    int64_t fail_after; /* see vg_backend_fail_after; negative = never */
    /* Settings, made before the first operation; backends that have no use for one ignore it. */
    char *
        gemm_cache; /* folder for the choices of matrix product algorithms, owned; NULL = none is timed, see
                                        vg_backend_keep_choices */
    vg_attention_kernel attention; /* taken wherever it fits; the CPU has one of its own */
    bool fp8_exact; /* FP8 products move partial sums to FP32 at intervals, see vg_linear_args */
    vg_profile *profile; /* told of every operation, or NULL */
    uint64_t *
        unfinite; /* vg_frames_to_u8 adds the number of NaN and infinite values that it makes bytes of; memory of ops->pin, read after
                     vg_backend_sync; NULL: they are not counted */
    const void *
        cancel; /* const atomic_int * (no C++ type), or NULL: once it is not 0, operations fail with VG_E_CANCELLED */
};

/* Open a backend. threads: worker threads of the CPU backend (0 = all the machine has); device: CUDA ordinal.
 * Errors: VG_E_UNSUPPORTED when the build lacks the backend, VG_E_DEVICE without a usable driver or GPU. */
vg_status vg_backend_open(vg_device_kind kind, int device, int threads, vg_backend **be,
                          vg_err *err);
/* Waits for what is queued. NULL is a no-op. */
void vg_backend_close(vg_backend *be);

/* Let the backend time the algorithms of large matrix products on first use, and keep its choices in a file in this folder (made if
 * absent), by device and library version. Results repeat bit for bit as long as the file stays; without a folder they always do. */
vg_status vg_backend_keep_choices(vg_backend *be, const char *folder, vg_err *err);

/* Is the cancel flag set? */
bool vg_backend_cancelled(const vg_backend *be);
/* Has this backend the operation? False for VG_OP_COUNT. */
bool vg_backend_supports(const vg_backend *be, vg_op op);
/* As things are now. Errors: VG_E_DEVICE. */
vg_status vg_backend_info(vg_backend *be, vg_device_info *info, vg_err *err);

/* Are mapped files readable by operations as they are? */
bool vg_backend_reads_host(const vg_backend *be);

/* Take one region of device memory for a stage, from which vg_backend_alloc then serves: no call of the driver and no wait for the device
 * until vg_backend_unreserve. Released memory is used again at once, which is safe on the COMPUTE queue; who writes it on the COPY queue
 * first lets that follow COMPUTE. A region that is large enough and empty is kept. When it turns out too small, further regions are taken
 * (`grown`) as far as `limit` allows. Nothing happens on a backend that reads host memory. Errors: VG_E_NOMEM. */
vg_status vg_backend_reserve(vg_backend *be, size_t bytes, vg_err *err);
/* Give all regions back in which nothing is in use. */
void vg_backend_unreserve(vg_backend *be);

/* Memory of the backend, counted in bytes_now / bytes_peak. The caller releases with vg_backend_release. */
vg_status vg_backend_alloc(vg_backend *be, size_t bytes, void **memory, vg_err *err);
/* bytes: as allocated. NULL is a no-op. */
void vg_backend_release(vg_backend *be, void *memory, size_t bytes);
/* Fault injection for tests: the next n allocations succeed, the one after them fails once with VG_E_NOMEM. Counts
 * vg_backend_alloc and the scratch memory that operations take. Negative n switches it off. */
void vg_backend_fail_after(vg_backend *be, int64_t n);
/* All of `to` from host memory, which may be changed only after the next vg_backend_sync. Errors: VG_E_DEVICE. */
vg_status vg_backend_upload(vg_backend *be, vg_tensor *to, const void *from_host, vg_err *err);
/* All of `from` to host memory; waits for it. Errors: VG_E_DEVICE. */
vg_status vg_backend_download(vg_backend *be, void *to_host, const vg_tensor *from, vg_err *err);
vg_status vg_backend_copy(vg_backend *be, vg_tensor *to, const vg_tensor *from,
                          vg_err *err); /* same bytes */
/* All bytes of the tensor, asynchronously. */
vg_status vg_backend_zero(vg_backend *be, vg_tensor *to, vg_err *err);
/* Wait until all that was asked for is done. Errors: VG_E_DEVICE, also of earlier operations. */
vg_status vg_backend_sync(vg_backend *be, vg_err *err);

/* Values of a product that become codes exist for as many columns at a time as fit here; products of 1664 columns are 6 % slower than whole
 * ones. Known to the CUDA backend and to plans. */
#define VG_CUDA_VALUES_BYTES ((size_t)768 << 20)
#define VG_CUDA_LIBRARY_BYTES                                                                      \
    ((size_t)32 << 20) /* cuBLASLt's workspace: what its documentation advises for Hopper */
/* For backends: count memory that is not released before close. */
void vg_backend_keep(vg_backend *be, size_t bytes);
/* For backends: count one allocation of `bytes`; VG_E_NOMEM when it is the one that shall fail. */
vg_status vg_backend_count_allocation(vg_backend *be, size_t bytes, vg_err *err);

/* The tables, for vg_backend_open only. The CUDA one is absent in builds without VGEN_CUDA. */
vg_status vg_cpu_backend_open(int threads, vg_backend **be, vg_err *err);
/* device: CUDA ordinal. */
vg_status vg_cuda_backend_open(int device, vg_backend **be, vg_err *err);
/* vg_backend_identify of a GPU; id of `size` bytes. */
vg_status vg_cuda_identify(int device, char *id, size_t size, vg_err *err);

/* A backend that stores and computes nothing and counts what would be allocated, so that a plan is made by the code that will run. It
 * stands for a backend of that kind. threads: none. */
vg_status vg_dry_backend_open(vg_device_kind kind, vg_backend **be, vg_err *err);

#ifdef __cplusplus
}
#endif
#endif
