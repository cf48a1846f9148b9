// codes.cuh: E4M3 codes and their scales, shared by vg_quantize and by the operations that quantise their own result. The same
// few functions make them everywhere, so that a fused result equals a separate one bit for bit. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_CODES_CUH
#define VG_KERNELS_CUDA_CODES_CUH

#include "kernels/cuda/cuda.cuh"

// Where the codes of a result go. kind is uniform over a launch.
struct vg_codes {
    int kind; // vg_quant_kind: NONE, TENSOR_STATIC or GROUP_DYNAMIC
    __nv_fp8_e4m3 *q;
    int64_t ld;    // distance between rows of q
    float *scales; // TENSOR_STATIC: one number, read; GROUP_DYNAMIC: [groups][rows], written
    int64_t rows;
};

static inline vg_codes vg_cuda_codes(const vg_quant_out *quant)
{
    vg_codes c = {};

    if (quant->kind == VG_QUANT_NONE)
        return c;
    c.kind = quant->kind;
    c.q = static_cast<__nv_fp8_e4m3 *>(quant->q->data);
    c.ld = quant->q->shape[1];
    c.scales = static_cast<float *>(quant->scale->data);
    c.rows = quant->q->shape[0];
    return c;
}

// 16, 8 or 1 codes by the paired hardware conversion: to nearest even, saturating at 448. A NaN loses its sign.
static __device__ __forceinline__ void vg_store_codes(__nv_fp8_e4m3 *to, const float (&v)[16])
{
    alignas(16) __nv_fp8x2_storage_t pairs[8];
#pragma unroll
    for (int i = 0; i < 8; i++)
        pairs[i] = __nv_cvt_float2_to_fp8x2(make_float2(v[2 * i], v[2 * i + 1]), __NV_SATFINITE,
                                            __NV_E4M3);
    *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(pairs);
}
static __device__ __forceinline__ void vg_store_codes(__nv_fp8_e4m3 *to, const float (&v)[8])
{
    alignas(8) __nv_fp8x2_storage_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        pairs[i] = __nv_cvt_float2_to_fp8x2(make_float2(v[2 * i], v[2 * i + 1]), __NV_SATFINITE,
                                            __NV_E4M3);
    *reinterpret_cast<uint2 *>(to) = *reinterpret_cast<const uint2 *>(pairs);
}
static __device__ __forceinline__ void vg_store_codes(__nv_fp8_e4m3 *to, const float (&v)[1])
{
    to->__x = __nv_cvt_float_to_fp8(v[0], __NV_SATFINITE, __NV_E4M3);
}

// The scale of a 1x128 group from its largest magnitude: most / 448, correctly rounded. BF16: of such magnitudes, by product and remainder.
template <bool BF16 = false> static __device__ __forceinline__ float vg_group_scale(float most)
{
    const float r = 1.0f / VG_E4M3_MAX, a = most > VG_QUANT_AMAX_MIN ? most : VG_QUANT_AMAX_MIN,
                q = __fmul_rn(a, r);

    if (!BF16)
        return __fdiv_rn(a, VG_E4M3_MAX);
    return a <= 0x1.fep127f ? __fmaf_rn(__fmaf_rn(-q, VG_E4M3_MAX, a), r, q) : a;
}

// Largest |v| over the 16 lanes of a half-warp; all 32 lanes take part. A NaN is passed over.
static __device__ __forceinline__ float vg_half_warp_max(float most)
{
    for (int offset = 8; offset; offset /= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    return most;
}

/* v[i] / scale for many v of one scale, as good as correctly rounded: the product with the reciprocal, then its exact remainder. FP32
 * values need a second remainder and the rounded reciprocal (Markstein, 1990). For BF16 values one is enough, with a reciprocal within two
 * units: all 128 x 128 pairs of mantissas of v and amax, in every exponent that gives a code between 0 and 448, give the codes of
 * the division (test_cuda_fused_group_division_of_all_mantissas). Remainders are exact while |v| > 2^-102; smaller ones have quotients
 * below 2^-60: code 0 either way. Negative remainders keep the sign of a zero. scale is at most 2^120, or infinity for an infinite amax,
 * where finite v give 0 and others NaN. */
template <int REMAINDERS, int N>
static __device__ __forceinline__ void vg_divide(float (&v)[N], float scale)
{
    float r = REMAINDERS == 1 ? vg_near_reciprocal(scale) : __frcp_rn(scale),
          divisor = scale <= 0x1p126f ? scale : 0.0f;

#pragma unroll
    for (int i = 0; i < N; i++) {
        float q = __fmul_rn(v[i], r);
#pragma unroll
        for (int j = 0; j < REMAINDERS; j++)
            q = __fmaf_rn(-__fmaf_rn(q, divisor, -v[i]), r, q);
        v[i] = q;
    }
}

// *bits = max(*bits, bits of the largest |x|), in amax.cu.
vg_status vg_cuda_largest(vg_backend *be, const vg_tensor *x, unsigned *bits, vg_err *err);

/* Codes of round(act(x)), x [rows,k] act dtype with rows next to each other, rounded to the dtype of x; in quantize.cu. codes.q is the
 * code of the first element and codes.ld may exceed k, codes.scales the first group: columns of a wider result. */
vg_status vg_cuda_encode(vg_backend *be, vg_act act, const vg_tensor *x, const vg_codes *codes,
                         vg_err *err);

#endif
