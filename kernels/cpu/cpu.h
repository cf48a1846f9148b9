/* cpu.h: what the files of the CPU backend share: the backend itself, row access in FP32, per-thread scratch memory.
 * Private to kernels/cpu/. */
#ifndef VG_KERNELS_CPU_CPU_H
#define VG_KERNELS_CPU_CPU_H

#include "kernels/backend/backend.h"
#include "kernels/base/threads.h"

typedef struct vg_cpu_backend {
    vg_backend base;
    vg_threads *pool;
    int threads;
    char *scratch;        /* threads x scratch_bytes, grown on demand, kept until close */
    size_t scratch_bytes; /* per thread */
    float *shared;        /* one buffer that all workers read, same life */
    size_t shared_bytes;
} vg_cpu_backend;

/* The backend, known to be the CPU's. */
static inline vg_cpu_backend *vg_cpu(vg_backend *be)
{
    return (vg_cpu_backend *)(void *)be;
}

/* Make sure that every worker has `floats` floats of scratch. Errors: VG_E_NOMEM. */
vg_status vg_cpu_scratch_reserve(vg_backend *be, size_t floats, vg_err *err);

/* The scratch of one worker, 64-byte aligned; contents are undefined at the start of each operation. */
static inline float *vg_cpu_scratch(vg_backend *be, int worker)
{
    return (float *)(void *)(vg_cpu(be)->scratch + (size_t)worker * vg_cpu(be)->scratch_bytes);
}

/* One buffer of `floats` floats for all workers, 64-byte aligned; contents are undefined. Errors: VG_E_NOMEM. */
vg_status vg_cpu_shared_reserve(vg_backend *be, size_t floats, vg_err *err);

/* fn over [0, n) in pieces of at least `grain`, on all threads; returns when all is done. */
static inline void vg_cpu_for(vg_backend *be, int64_t n, int64_t grain, vg_range_fn *fn, void *ctx)
{
    vg_parallel_for_until(vg_cpu(be)->pool, n, grain, fn, ctx, be->cancel);
}

/* Rows per range so that a range is worth handing out: about 16k elements. */
static inline int64_t vg_cpu_grain(int64_t row)
{
    return row >= 16384 ? 1 : 16384 / row;
}

/* Scratch sizes are rounded to cache lines, so that consecutive buffers stay aligned. */
static inline size_t vg_cpu_round(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Element `offset` of a contiguous tensor. */
static inline void *vg_cpu_at(const vg_tensor *t, int64_t offset)
{
    return (char *)t->data + offset * (int64_t)vg_dtype_size(t->dtype);
}

/* n consecutive elements from `offset` (elements) as FP32; F32, BF16, F16 and E4M3. */
void vg_cpu_load(const vg_tensor *t, int64_t offset, int64_t n, float *to);

/* The reverse, F32, BF16 and E4M3, one rounding to nearest even. */
void vg_cpu_store(const vg_tensor *t, int64_t offset, int64_t n, const float *from);

/* Like vg_cpu_load, but F32 data is used where it lies. */
static inline const float *vg_cpu_view(const vg_tensor *t, int64_t offset, int64_t n,
                                       float *scratch)
{
    if (t->dtype == VG_F32)
        return (const float *)t->data + offset;
    vg_cpu_load(t, offset, n, scratch);
    return scratch;
}

/* x[i] = the value x[i] has after a store in dtype and a load; nothing for F32. */
void vg_cpu_round_to(vg_dtype dtype, float *x, int64_t n);

/* E4M3 codes of one row of k values and, for groups, its scales. kind: TENSOR_STATIC (scale [1] is read) or GROUP_DYNAMIC
 * (scale [ceil(k/128), rows] is written). */
void vg_cpu_quantize_row(vg_quant_kind kind, const vg_tensor *scale, int64_t row, const float *x,
                         int64_t k, const vg_tensor *q);

/* A finished row of a result that may be quantised: to y, unless that is NULL, and to quant, rounded to dtype first. Changes `row_values`. */
void vg_cpu_store_row(const vg_tensor *y, vg_dtype dtype, const vg_quant_out *quant, int64_t row,
                      float *row_values, int64_t k);

/* Row i of rms_norm_rope, not yet rounded to dtype at the end; a->y is not looked at. w: the weights in FP32. */
void vg_cpu_norm_rope_row(const vg_rms_norm_rope_args *a, vg_dtype dtype, const float *w, int64_t i,
                          float *row);

/* LayerNorm of a row in place, and what follows it; the statistics are those of the values given. */
void vg_cpu_norm_row(const vg_layer_norm_modulate_args *a, float *row, int64_t d);

/* channel_norm of n pixels of d channels in place, its last result not yet rounded to dtype. gamma: in FP32. */
void vg_cpu_norm_pixels(vg_dtype dtype, const float *gamma, bool silu, float *rows, int64_t n,
                        int64_t d);

/* x[i] = act(x[i]). SiLU x / (1 + e^-x); GELU tanh and erf as torch has them. At most 4 FP32 ulp from the exact value
 * or 1e-7 of it absolute near zero; NaN stays NaN. */
void vg_cpu_activate(vg_act act, float *x, int64_t n);

/* x[i] = e^(x[i] - shift), returns nothing; at most 2 ulp; shift finite. e^-inf = 0. */
void vg_cpu_exp_minus(float *x, int64_t n, float shift);

/* Sums in 32 interleaved partial sums, which are then added pairwise: the order depends on n only. */
float vg_cpu_sum(const float *x, int64_t n);
float vg_cpu_sum_squares(const float *x, int64_t n, float mean); /* sum (x - mean)^2 */

/* C[m,n] = A[m,k] B[n,k]^T (nt) or A[m,k] B[k,n] (nn), plus C if add. Leading dimensions in elements. One thread. */
void vg_cpu_gemm_nt(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                    int64_t ldb, bool add, float *c, int64_t ldc);
/* C = A B, row-major, FP32. */
void vg_cpu_gemm_nn(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                    int64_t ldb, bool add, float *c, int64_t ldc);

/* y[n] = B[n,k] x[k], plus y if add. */
void vg_cpu_gemv(int64_t n, int64_t k, const float *b, int64_t ldb, const float *x, bool add,
                 float *y);

/* True when this machine has AVX2 and FMA. */
bool vg_cpu_has_avx2(void);

#define VG_OP(name, help)                                                                          \
    vg_status vg_cpu_##name(vg_backend *be, const vg_##name##_args *args, vg_err *err);
#include "kernels/op/ops.def"
#undef VG_OP

/* Defines `ret name params` twice from one always-inline body, for the base instruction set and for AVX2, chosen at run
 * time. The bodies hold no multiply-add that a compiler could fuse (-ffp-contract=off) and their sums have a fixed
 * order, so both give the same bits; AVX2 only makes the vectors wider. */
#if defined(__x86_64__) && defined(__GNUC__)
#define VG_CPU_WIDE(name, params, args)                                                            \
    __attribute__((target("avx2"))) static void name##_avx2 params                                 \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    static void name##_base params                                                                 \
    {                                                                                              \
        name##_body args;                                                                          \
    }                                                                                              \
    static inline void name params                                                                 \
    {                                                                                              \
        if (__builtin_cpu_supports("avx2"))                                                        \
            name##_avx2 args;                                                                      \
        else                                                                                       \
            name##_base args;                                                                      \
    }
#else
#define VG_CPU_WIDE(name, params, args)                                                            \
    static void name params                                                                        \
    {                                                                                              \
        name##_body args;                                                                          \
    }
#endif
#define VG_CPU_BODY static inline __attribute__((always_inline)) void

#endif
