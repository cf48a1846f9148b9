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

/* vg_norm_rows    ADD: sum = round(x + add * gate) first, stored and normalised.
 * Bytes    rows*dim*(2 [+ 2 + 2 with ADD] + 2 for y + 1 for codes), each once; the vectors 4*dim each, from L1   -> memory-bound
 * Launch   a warp per row in a loop over rows, 4 warps a block, 4 blocks an SM (128 registers): 160 KB of loads in flight an SM at dim 5120
 * Numerics FP32; mean first, then squared differences, both from registers, in a fixed order (repeatable); sum as vg_gate_residual
 *          rounds it; y rounded once; codes from the rounded y */
template <int P, bool ADD>
static __global__ void __launch_bounds__(32 * ROW_WARPS, ROW_BLOCKS)
    vg_norm_rows(const __nv_bfloat16 *x, const __nv_bfloat16 *add, __nv_bfloat16 *sum, vg_norm_vectors vectors, __nv_bfloat16 *y, vg_codes codes,
                 int64_t rows, int dim)
{
    const int lane = threadIdx.x % 32;
    const float reciprocal = vg_reciprocal_of(codes);

    for (int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / 32; row < rows; row += (int64_t)gridDim.x * ROW_WARPS) {
        const __nv_bfloat16 *from = x + row * dim;
        uint4 kept[P];
        float v[8], partial[8] = {}, mean, scale;

#pragma unroll
        for (int p = 0; p < P; p++) {
            int column = (p * 32 + lane) * 8;
            kept[p] = column < dim ? vg_load_once(from + column) : make_uint4(0, 0, 0, 0);
        }
        if (ADD) {
            static_assert(P % ROW_AHEAD == 0, "whole strides");
#pragma unroll
            for (int q = 0; q < P; q += ROW_AHEAD) {
                uint4 ahead[ROW_AHEAD];
#pragma unroll
                for (int p = q; p < q + ROW_AHEAD; p++)
                    if ((p * 32 + lane) * 8 < dim)
                        ahead[p - q] = vg_load_once(add + row * dim + (p * 32 + lane) * 8);
#pragma unroll
                for (int p = q; p < q + ROW_AHEAD; p++) {
                    int column = (p * 32 + lane) * 8;
                    float a[8];
                    if (column >= dim)
                        continue;
                    vg_unpack(ahead[p - q], a);
                    vg_unpack(kept[p], v);
                    if (vectors.gate) {
                        float g[8];
                        vg_load_vector(vectors.gate + column, g);
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
            if (vectors.factor && column < dim) {
                float f[8], o[8];
                vg_load_vector(vectors.factor + column, f);
                vg_load_vector(vectors.offset + column, o);
#pragma unroll
                for (int i = 0; i < 8; i++)
                    v[i] = v[i] * (vectors.one + f[i]) + o[i];
            }
            vg_store_pack(y, codes, reciprocal, row, column, dim, v);
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

#endif
