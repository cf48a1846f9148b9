// norm.cuh: LayerNorm and what follows it, of rows or of sums of rows: the body of layer_norm_modulate.cu and residual_norm.cu, which
// must give the same bits. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_NORM_CUH
#define VG_KERNELS_CUDA_NORM_CUH

#include "kernels/cuda/rows.cuh"

// Vectors of dim elements, FP32: y = v * (one + factor) + offset; NULL for v itself. gate: of the added rows, NULL for 1.
struct vg_norm_vectors {
    const float *factor, *offset, *gate;
    float one, eps;
};

/* The vectors lie in shared memory, since every row of the block needs them: from L1 they would be displaced by the rows and come from L2
 * each time, as many bytes again as the rows. A lane's 8 elements of pack p are two float4, apart so that a warp's reads do not collide.
 * Vectors that are absent are filled too: x 1 + 0 is nothing, and cheaper than a branch in each pack. */
static __device__ __forceinline__ void vg_fill_shared(float4 *shared, const float *from, float add,
                                                      int packs)
{
    for (int i = threadIdx.x; i < packs * 64; i += blockDim.x) {
        float4 v = from ? reinterpret_cast<const float4 *>(from)[i]
                        : make_float4(0, 0, 0, 0); // half i % 2 of the pack
        shared[i / 64 * 64 + i % 2 * 32 + i / 2 % 32] =
            make_float4(v.x + add, v.y + add, v.z + add, v.w + add);
    }
}

static __device__ __forceinline__ void vg_load_shared(const float4 *shared, int pack, int lane,
                                                      float (&v)[8])
{
    float4 a = shared[pack * 64 + lane], b = shared[pack * 64 + 32 + lane];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

struct vg_row_moments {
    float mean, scale; // scale: 1 / sqrt(variance + eps)
};

/* From one pass over v - pivot, pivot being the mean of the first 256 elements: (pivot - mean)^2 <= variance * dim / 256 whatever the row
 * holds, so that the difference of the two sums loses 4 bits at most (dim = 5120). Equal elements give a variance of exactly 0. */
template <int P>
static __device__ __forceinline__ vg_row_moments vg_row_moments_of(const uint4 (&kept)[P],
                                                                   float eps)
{
    float v[8], sum[8] = {}, squares[8] = {};

    vg_unpack(kept[0], v);
    const float pivot = vg_warp_sum(v) * (1.0f / 256);
#pragma unroll
    for (int p = 0; p < P; p++) {
        vg_unpack(kept[p], v);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float d = v[i] - pivot;
            sum[i] += d;
            squares[i] += d * d;
        }
    }
    const float offset = vg_warp_sum(sum) / (256 * P),
                variance = vg_warp_sum(squares) / (256 * P) - offset * offset;
    return {pivot + offset,
            1.0f / sqrtf((variance < 0.0f ? 0.0f : variance) + eps)}; // a NaN stays one
}

/* kept = round(kept + add * gate), stored in sum; gate in shared memory. */
template <int P>
static __device__ __forceinline__ void vg_add_row(uint4 (&kept)[P], const __nv_bfloat16 *add,
                                                  const float4 *gate, __nv_bfloat16 *sum, int lane)
{
    constexpr int AHEAD =
        P % 4 == 0 ? 4 : 2; // packs of `add` in flight: their registers are needed again at once

    static_assert(P % AHEAD == 0, "whole strides");
#pragma unroll
    for (int q = 0; q < P; q += AHEAD) {
        uint4 ahead[AHEAD];
#pragma unroll
        for (int p = q; p < q + AHEAD; p++)
            ahead[p - q] = vg_load_once(add + (p * 32 + lane) * 8);
#pragma unroll
        for (int p = q; p < q + AHEAD; p++) {
            float a[8], v[8], g[8];
            vg_unpack(ahead[p - q], a);
            vg_unpack(kept[p], v);
            vg_load_shared(gate, p, lane, g);
#pragma unroll
            for (int i = 0; i < 8; i++)
                v[i] = __fadd_rn(v[i], __fmul_rn(a[i], g[i]));
            kept[p] = vg_packed(v);
            *reinterpret_cast<uint4 *>(sum + (p * 32 + lane) * 8) = kept[p];
        }
    }
}

/* vg_norm_rows    ADD: sum = round(x + add * gate) first, stored and normalised. KIND: of the codes.
 * Bytes    rows*dim*(2 [+ 2 + 2 with ADD] + 2 for y + 1 for codes), each once   -> memory-bound, as long as the instructions keep up
 * Launch   a warp per row in a loop over rows, up to 12 warps a block, a block an SM (168 registers). Each warp fetches its next row to shared memory
 *          while it works on one: 120 KB on their way an SM. Loaded at the top of the loop instead, all warps of an SM wait for the memory
 *          together and then work together, and the two times add up (80 % of copy for groups); registers have no room for a second row
 * Numerics FP32; see vg_row_moments_of; sums in a fixed order (repeatable); sum as vg_gate_residual rounds it; y rounded once; codes from the
 *          rounded y
 * Measured NVIDIA H100 80GB HBM3, 75600x5120, copy 3.01 TB/s in the same run, 2026-11: norm 546 us, 2.84 TB/s = 94 % of copy; to static codes
 *          416 us, 93 %; to groups 450 us, 86 %; with the sum 1095 us, 94 %; sum and static codes 956 us, 94 %; sum and groups 1036 us, 87 %.
 * Instructions a row (P = 20, sm_90a), about 1700 without codes, 2100 to static ones, 3000 to groups: at 132 SMs of 4 x 1.6 GHz 150 to 270 us */
template <int P, bool ADD, int KIND>
static __global__ void __launch_bounds__(32 * ROW_WARPS, 1)
    vg_norm_rows(const __nv_bfloat16 *x, const __nv_bfloat16 *add, __nv_bfloat16 *sum,
                 vg_norm_vectors vectors, __nv_bfloat16 *y, vg_codes codes, int64_t rows)
{
    VG_CUDA_SHARED(float4, shared);
    float4 *const factor = shared, *const offset = factor + P * 64, *const gate = offset + P * 64;
    constexpr int dim = 256 * P;
    const int lane = threadIdx.x % 32;
    const float reciprocal = KIND == VG_QUANT_TENSOR_STATIC ? __fdiv_rn(1.0f, *codes.scales) : 0.0f;

    vg_fill_shared(factor, vectors.factor, vectors.factor ? vectors.one : 1.0f, P);
    vg_fill_shared(offset, vectors.offset, 0.0f, P);
    if (ADD)
        vg_fill_shared(gate, vectors.gate, vectors.gate ? 0.0f : 1.0f, P);
    __syncthreads();

    const int64_t step = (int64_t)gridDim.x * (blockDim.x / 32);
    uint4 *const next = reinterpret_cast<uint4 *>(shared + (ADD ? 3 : 2) * P * 64) +
                        threadIdx.x / 32 * 32 * P + lane; // this lane's, of the next row
    auto fetch = [&](int64_t row) {
        if (row < rows)
#pragma unroll
            for (int p = 0; p < P; p++)
                vg_fetch_shared(next + p * 32, x + row * dim + (p * 32 + lane) * 8);
    };
    fetch(vg_first_row());
    for (int64_t row = vg_first_row(); row < rows; row += step) {
        uint4 kept[P];

        vg_fetched_shared();
#pragma unroll
        for (int p = 0; p < P; p++)
            kept[p] = next[p * 32];
        __syncwarp(); // they are read; here is room for others
        fetch(row + step);
        if constexpr (ADD)
            vg_add_row<P>(kept, add + row * dim, gate, sum + row * dim, lane);
        const vg_row_moments row_moments = vg_row_moments_of<P>(kept, vectors.eps);
#pragma unroll
        for (int p = 0; p < P; p += 2) {
            asm volatile(
                "" ::
                    : "memory"); // a pair at a time: vectors read ahead of it would not fit the registers
            uint4 done[2];
#pragma unroll
            for (int k = 0; k < 2; k++) {
                float v[8], f[8], o[8];
                vg_unpack(kept[p + k], v);
                vg_load_shared(factor, p + k, lane, f);
                vg_load_shared(offset, p + k, lane, o);
#pragma unroll
                for (int i = 0; i < 8; i++)
                    v[i] = fmaf((v[i] - row_moments.mean) * row_moments.scale, f[i], o[i]);
                done[k] = vg_packed(v);
            }
            vg_store_packs<KIND>(y, codes, reciprocal, row, p, dim, done);
        }
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

static inline const float *vg_vector_of(const vg_tensor *t)
{
    return t ? static_cast<const float *>(t->data) : nullptr;
}

// Scale and shift are w and b, but for the 1 that is added.
static inline vg_norm_vectors vg_cuda_norm_vectors(const vg_layer_norm_modulate_args *a,
                                                   const vg_tensor *gate)
{
    const vg_tensor *factor = a->scale ? a->scale : a->w, *offset = a->scale ? a->shift : a->b;
    return {vg_vector_of(factor), vg_vector_of(offset), vg_vector_of(gate), a->scale ? 1.0f : 0.0f,
            a->eps};
}

// Can vg_norm_rows normalise these operands (x: what is normalised)?
static inline bool vg_cuda_norm_fits(const vg_layer_norm_modulate_args *a, const vg_norm_vectors *v)
{
    const void *y = a->y ? a->y->data : nullptr,
               *q = a->quant.kind != VG_QUANT_NONE ? a->quant.q->data : nullptr;
    return a->x->dtype == VG_BF16 && (!a->y || a->y->dtype == VG_BF16) &&
           vg_cuda_row_fits(a->x->shape[1], a->x->shape[0]) && vg_cuda_packs(8, a->x->data, y) &&
           vg_cuda_packs(8, v->factor, v->offset, v->gate) &&
           reinterpret_cast<uintptr_t>(q) % 8 == 0;
}

template <int P, bool ADD, int KIND>
static inline vg_status vg_cuda_norm_launch(vg_backend *be, const vg_layer_norm_modulate_args *a,
                                            const vg_tensor *x, const vg_tensor *add,
                                            const vg_norm_vectors *vectors, vg_err *err)
{
    constexpr size_t vector_bytes = (ADD ? 3 : 2) * P * 64 * sizeof(float4),
                     row_bytes = P * 32 * sizeof(uint4);
    const int64_t fit = (int64_t)(vg_cuda(be)->shared_limit - vector_bytes) / (int64_t)row_bytes;
    const int warps =
        (int)(fit < ROW_WARPS
                  ? fit
                  : ROW_WARPS); // at least 3: 99 KB are the least that any GPU since sm_80 has
    const size_t shared = vector_bytes + (size_t)warps * row_bytes;
    auto kernel = vg_norm_rows<P, ADD, KIND>;
    auto at = [](const vg_tensor *t) {
        return t ? static_cast<__nv_bfloat16 *>(t->data) : nullptr;
    };

    VG_CUDA_TRY(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared),
        err);
    VG_CUDA_LAUNCH(be, err, kernel, vg_cuda_row_grid(be, x->shape[0], warps), 32 * warps, shared,
                   at(x), at(add), ADD ? at(a->x) : nullptr, *vectors, at(a->y),
                   vg_cuda_codes(&a->quant), x->shape[0]);
    return VG_OK;
}

// y and codes of args a; with ADD args->x is the sum, made of x and add.
template <bool ADD>
static inline vg_status vg_cuda_norm(vg_backend *be, const vg_layer_norm_modulate_args *a,
                                     const vg_tensor *x, const vg_tensor *add,
                                     const vg_norm_vectors *vectors, vg_err *err)
{
    VG_CUDA_ROW(x->shape[1], P, {
        switch (a->quant.kind) {
        case VG_QUANT_NONE:
            return vg_cuda_norm_launch<P, ADD, VG_QUANT_NONE>(be, a, x, add, vectors, err);
        case VG_QUANT_TENSOR_STATIC:
            return vg_cuda_norm_launch<P, ADD, VG_QUANT_TENSOR_STATIC>(be, a, x, add, vectors, err);
        default:
            return vg_cuda_norm_launch<P, ADD, VG_QUANT_GROUP_DYNAMIC>(be, a, x, add, vectors, err);
        }
    });
}

#endif
