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
 * each time, as many bytes again as the rows. A lane's 8 elements of pack p are two float4, apart so that a warp's reads do not collide. */
static __device__ __forceinline__ void vg_fill_shared(float4 *shared, const float *from, float add, int packs, int dim)
{
    for (int i = threadIdx.x; i < packs * 64; i += blockDim.x) {
        int column = (i / 2) * 8 + i % 2 * 4; // pack and half
        float4 v = column < dim ? *reinterpret_cast<const float4 *>(from + column) : make_float4(0, 0, 0, 0);
        shared[i / 64 * 64 + i % 2 * 32 + i / 2 % 32] = make_float4(v.x + add, v.y + add, v.z + add, v.w + add);
    }
}

static __device__ __forceinline__ void vg_load_shared(const float4 *shared, int pack, int lane, float (&v)[8])
{
    float4 a = shared[pack * 64 + lane], b = shared[pack * 64 + 32 + lane];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
}

/* vg_norm_rows    ADD: sum = round(x + add * gate) first, stored and normalised. KIND: of the codes.
 * Bytes    rows*dim*(2 [+ 2 + 2 with ADD] + 2 for y + 1 for codes), each once   -> memory-bound
 * Launch   a warp per row in a loop over rows, 12 warps a block, a block an SM (168 registers): up to 120 KB of loads in flight an SM
 * Numerics FP32; mean first, then squared differences, both from registers, in a fixed order (repeatable); sum as vg_gate_residual
 *          rounds it; y rounded once; codes from the rounded y
 * Measured NVIDIA H100 80GB HBM3, 75600x5120, copy 3.02 TB/s in the same run, 2026-11: norm 557 us, 2.78 TB/s = 92 % of copy; to static codes
 *          440 us, 88 %; with the sum 1114 us, 92 %; sum and static codes 1021 us, 88 %; to groups, with IEEE divisions, 670 us, 57 %, with the
 *          sum 1381 us, 65 %. Before, 4 warps a block and the vectors from L1: 598, 521, 1309, 1118 us */
template <int P, bool ADD, int KIND>
static __global__ void __launch_bounds__(32 * ROW_WARPS, 1)
    vg_norm_rows(const __nv_bfloat16 *x, const __nv_bfloat16 *add, __nv_bfloat16 *sum, vg_norm_vectors vectors, __nv_bfloat16 *y, vg_codes codes,
                 int64_t rows, int dim)
{
    extern __shared__ float4 shared[];
    float4 *const factor = shared, *const offset = factor + P * 64, *const gate = offset + P * 64;
    constexpr int AHEAD = 4; // packs of `add` in flight: their registers are needed again at once
    const int lane = threadIdx.x % 32;
    const float reciprocal = KIND == VG_QUANT_TENSOR_STATIC ? __fdiv_rn(1.0f, *codes.scales) : 0.0f;

    if (vectors.factor) {
        vg_fill_shared(factor, vectors.factor, vectors.one, P, dim);
        vg_fill_shared(offset, vectors.offset, 0.0f, P, dim);
    }
    if (ADD && vectors.gate)
        vg_fill_shared(gate, vectors.gate, 0.0f, P, dim);
    __syncthreads();
    for (int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / 32; row < rows; row += (int64_t)gridDim.x * ROW_WARPS) {
        uint4 kept[P];
        float v[8], partial[8] = {}, mean, scale;

#pragma unroll
        for (int p = 0; p < P; p++) {
            int column = (p * 32 + lane) * 8;
            kept[p] = column < dim ? vg_load_once(x + row * dim + column) : make_uint4(0, 0, 0, 0);
        }
        if (ADD) {
            static_assert(P % AHEAD == 0, "whole strides");
#pragma unroll
            for (int q = 0; q < P; q += AHEAD) {
                uint4 ahead[AHEAD];
#pragma unroll
                for (int p = q; p < q + AHEAD; p++)
                    if ((p * 32 + lane) * 8 < dim)
                        ahead[p - q] = vg_load_once(add + row * dim + (p * 32 + lane) * 8);
#pragma unroll
                for (int p = q; p < q + AHEAD; p++) {
                    int column = (p * 32 + lane) * 8;
                    float a[8];
                    if (column >= dim)
                        continue;
                    vg_unpack(ahead[p - q], a);
                    vg_unpack(kept[p], v);
                    if (vectors.gate) {
                        float g[8];
                        vg_load_shared(gate, p, lane, g);
#pragma unroll
                        for (int i = 0; i < 8; i++)
                            a[i] = __fmul_rn(a[i], g[i]);
                    }
#pragma unroll
                    for (int i = 0; i < 8; i++)
                        v[i] = __fadd_rn(v[i], a[i]);
                    kept[p] = vg_packed(v);
                    *reinterpret_cast<uint4 *>(sum + row * dim + column) = kept[p];
                }
            }
        }
#pragma unroll
        for (int p = 0; p < P; p++) {
            vg_unpack(kept[p], v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                partial[i] += v[i];
        }
        mean = vg_warp_sum(partial) / (float)dim;
#pragma unroll
        for (int i = 0; i < 8; i++)
            partial[i] = 0.0f;
#pragma unroll
        for (int p = 0; p < P; p++) {
            if ((p * 32 + lane) * 8 >= dim)
                continue;
            vg_unpack(kept[p], v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                partial[i] += (v[i] - mean) * (v[i] - mean);
        }
        scale = 1.0f / sqrtf(vg_warp_sum(partial) / (float)dim + vectors.eps);
#pragma unroll
        for (int p = 0; p < P; p++) {
            int column = (p * 32 + lane) * 8;
            vg_unpack(kept[p], v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                v[i] = (v[i] - mean) * scale;
            if (vectors.factor) {
                float f[8], o[8];
                vg_load_shared(factor, p, lane, f);
                vg_load_shared(offset, p, lane, o);
#pragma unroll
                for (int i = 0; i < 8; i++)
                    v[i] = v[i] * f[i] + o[i];
            }
            vg_store_pack<KIND>(y, codes, reciprocal, row, column, dim, v);
        }
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

static inline const float *vg_vector_of(const vg_tensor *t)
{
    return t ? static_cast<const float *>(t->data) : nullptr;
}

// Scale and shift are w and b, but for the 1 that is added.
static inline vg_norm_vectors vg_cuda_norm_vectors(const vg_layer_norm_modulate_args *a, const vg_tensor *gate)
{
    const vg_tensor *factor = a->scale ? a->scale : a->w, *offset = a->scale ? a->shift : a->b;
    return {vg_vector_of(factor), vg_vector_of(offset), vg_vector_of(gate), a->scale ? 1.0f : 0.0f, a->eps};
}

// Can vg_norm_rows normalise these operands (x: what is normalised)?
static inline bool vg_cuda_norm_fits(const vg_layer_norm_modulate_args *a, const vg_norm_vectors *v)
{
    const void *y = a->y ? a->y->data : nullptr, *q = a->quant.kind != VG_QUANT_NONE ? a->quant.q->data : nullptr;
    return a->x->dtype == VG_BF16 && (!a->y || a->y->dtype == VG_BF16) && vg_cuda_row_fits(a->x->shape[1], a->x->shape[0]) &&
           vg_cuda_packs(8, a->x->data, y) && vg_cuda_packs(8, v->factor, v->offset, v->gate) && reinterpret_cast<uintptr_t>(q) % 8 == 0;
}

template <int P, bool ADD, int KIND>
static inline vg_status vg_cuda_norm_launch(vg_backend *be, const vg_layer_norm_modulate_args *a, const vg_tensor *x, const vg_tensor *add,
                                            const vg_norm_vectors *vectors, vg_err *err)
{
    constexpr size_t shared = (ADD ? 3 : 2) * P * 64 * sizeof(float4);
    auto kernel = vg_norm_rows<P, ADD, KIND>;
    auto at = [](const vg_tensor *t) { return t ? static_cast<__nv_bfloat16 *>(t->data) : nullptr; };

    VG_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared), err);
    VG_CUDA_LAUNCH(be, err, kernel, vg_cuda_row_grid(be, x->shape[0]), 32 * ROW_WARPS, shared, at(x), at(add), ADD ? at(a->x) : nullptr, *vectors,
                   at(a->y), vg_cuda_codes(&a->quant), x->shape[0], (int)x->shape[1]);
    return VG_OK;
}

// y and codes of args a; with ADD args->x is the sum, made of x and add.
template <bool ADD>
static inline vg_status vg_cuda_norm(vg_backend *be, const vg_layer_norm_modulate_args *a, const vg_tensor *x, const vg_tensor *add,
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
