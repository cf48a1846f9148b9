/* check_cuda.h: what the tests of the CUDA backend share: the GPU, device copies of host tensors between guard bands, comparison
 * with the CPU backend, timing. Tests are skipped where there is no GPU. */
#ifndef VG_TESTS_CUDA_CHECK_CUDA_H
#define VG_TESTS_CUDA_CHECK_CUDA_H

#include <time.h>

#include "tests/check.h"

#define MIRRORS 16
#define GUARD   256

/* Host tensors and their copies on the device, between guard bands. */
typedef struct mirror {
    vg_tensor device, block;
    const vg_tensor *host;
} mirror;

static vg_backend *gpu;
static mirror mirrors[MIRRORS];
static int mirror_count;

static inline int open_gpu(void **state)
{
    vg_err err;

    (void)state;
    if (vg_backend_open(VG_DEVICE_CUDA, 0, 0, &gpu, &err) != VG_OK) {
        print_message("no GPU here: %s\n", err.message);
        gpu = NULL;
    }
    return 0;
}

/* What a case that failed half way has left behind. */
static inline void drop_leftovers(void)
{
    check_pool *pool = check_tensors();

    while (mirror_count) {
        vg_tensor *block = &mirrors[--mirror_count].block;
        vg_backend_release(gpu, block->data, vg_tensor_bytes(block));
    }
    while (pool->count)
        free(pool->blocks[--pool->count]);
}

static inline int close_gpu(void **state)
{
    drop_leftovers();
    if (gpu)
        vg_backend_unreserve(gpu);
    if (gpu && gpu->bytes_now != gpu->kept)
        print_message("%zu bytes of GPU memory were not given back\n", gpu->bytes_now - gpu->kept);
    vg_backend_close(gpu);
    return check_close_cpu(state);
}

/* VG_TEST_FILTER=pattern runs only the tests of that name. */
static inline void use_filter(void)
{
    const char *pattern = getenv("VG_TEST_FILTER");

    if (pattern)
        cmocka_set_test_filter(pattern);
}

#define NEED_GPU()                                                                                 \
    do {                                                                                           \
        if (!gpu)                                                                                  \
            skip();                                                                                \
        drop_leftovers();                                                                          \
    } while (0)

/* The device's copy of a host tensor; `shift` elements behind an aligned address. */
static inline vg_tensor *on_gpu_at(const vg_tensor *host, int shift)
{
    mirror *m = &mirrors[mirror_count++];
    size_t size = vg_dtype_size(host->dtype), bytes = vg_tensor_bytes(host),
           whole = bytes + 2 * GUARD + (size_t)shift * size;
    unsigned char *image = malloc(whole);
    void *memory;
    vg_err err;

    assert_true(mirror_count <= MIRRORS && image != NULL);
    memset(image, CHECK_GUARD_BYTE, whole);
    memcpy(image + GUARD + (size_t)shift * size, host->data, bytes);
    CHECK_OK(vg_backend_alloc(gpu, whole, &memory, &err), err);
    m->block = vg_tensor_make(memory, VG_U8, 1, (int64_t)whole);
    CHECK_OK(vg_backend_upload(gpu, &m->block, image, &err), err);
    m->device = *host;
    m->device.data = (char *)memory + GUARD + (size_t)shift * size;
    m->host = host;
    free(image);
    return &m->device;
}

static inline vg_tensor *on_gpu(const vg_tensor *host)
{
    return host ? on_gpu_at(host, 0) : NULL;
}

/* A new host tensor with what the device holds now. */
static inline vg_tensor *back(const vg_tensor *device)
{
    vg_tensor *host = check_tensor_of(device->dtype, device->ndim, device->shape);
    vg_err err;

    CHECK_OK(vg_backend_download(gpu, host->data, device, &err), err);
    return host;
}

static inline void release_all(void)
{
    vg_err err;

    while (mirror_count) {
        mirror *m = &mirrors[--mirror_count];
        size_t whole = vg_tensor_bytes(&m->block),
               from = (size_t)((char *)m->device.data - (char *)m->block.data);
        size_t to = from + vg_tensor_bytes(&m->device);
        unsigned char *image = malloc(whole);
        assert_non_null(image);
        CHECK_OK(vg_backend_download(gpu, image, &m->block, &err), err);
        for (size_t i = 0; i < whole; i++)
            if ((i < from || i >= to) && image[i] != CHECK_GUARD_BYTE)
                fail_msg("device tensor %d was written outside of its bounds", mirror_count);
        free(image);
        vg_backend_release(gpu, m->block.data, whole);
    }
    check_done();
}

static inline void expect_same_bits(const char *what, const vg_tensor *a, const vg_tensor *b)
{
    for (int64_t i = 0; i < vg_tensor_numel(a); i++) {
        double x = check_get(a, i), y = check_get(b, i);
        if (!(x == y) && !(isnan(x) && isnan(y)))
            fail_msg("%s: element %lld is %.9g on the CPU, %.9g on the GPU", what, (long long)i, x,
                     y);
    }
}

static inline void expect_close(const char *what, const vg_tensor *cpu, const vg_tensor *cuda,
                                double absolute, double relative)
{
    double *reference = check_reference(cpu);

    for (int64_t i = 0; i < vg_tensor_numel(cpu); i++)
        reference[i] = check_get(cpu, i);
    CHECK_CLOSE(what, cuda, reference, absolute, relative);
    free(reference);
}

/* Relative L2 distance; NaN is infinitely far. */
static inline double distance(const vg_tensor *cpu, const vg_tensor *cuda)
{
    double error = 0.0, size = 0.0;

    for (int64_t i = 0; i < vg_tensor_numel(cpu); i++) {
        double a = check_get(cpu, i), b = check_get(cuda, i);
        error += (a - b) * (a - b);
        size += a * a;
    }
    error = sqrt(error / (size > 0.0 ? size : 1.0));
    return isnan(error) ? INFINITY : error;
}

static inline void expect_near(const char *what, const vg_tensor *cpu, const vg_tensor *cuda,
                               double limit)
{
    double d = distance(cpu, cuda);

    if (!(d <= limit))
        fail_msg("%s: relative distance %.3g, allowed %.3g", what, d, limit);
}

static inline double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of five rounds of 20 calls, per call; operands (hundreds of MB) do not fit into the L2 cache. */
#define TIME(what, bytes, flops, call)                                                             \
    do {                                                                                           \
        double best_ = 1e9;                                                                        \
        for (int round_ = 0; round_ < 6; round_++) {                                               \
            double from_;                                                                          \
            CHECK_OK(vg_backend_sync(gpu, &err), err);                                             \
            from_ = seconds();                                                                     \
            for (int i_ = 0; i_ < 20; i_++)                                                        \
                CHECK_OK(call, err);                                                               \
            CHECK_OK(vg_backend_sync(gpu, &err), err);                                             \
            from_ = (seconds() - from_) / 20;                                                      \
            best_ = round_ && from_ < best_ ? from_ : best_;                                       \
        }                                                                                          \
        print_message("BENCH %-40s %9.1f us %8.0f GB/s %8.1f TFLOP/s\n", what, best_ * 1e6,        \
                      (double)(bytes) / best_ * 1e-9, (double)(flops) / best_ * 1e-12);            \
    } while (0)

#endif
