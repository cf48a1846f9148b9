// attention.cuh: the three ways to compute attention and how one of them is chosen. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_ATTENTION_CUH
#define VG_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/cuda.cuh"

// Which key tiles a query tile looks at. Dense attention has no list: all of them. With one, row (head * q_tiles + q_tile) of
// `tiles` holds `counts` tile numbers, ascending, at least one each: what sparse attention fills in.
struct vg_key_tiles {
    const int32_t *tiles, *counts;
    int stride; // entries per row of tiles

    __device__ __forceinline__ int count(int row, int all) const
    {
        return tiles ? counts[row] : all;
    }
    __device__ __forceinline__ int tile(int row, int i) const
    {
        return tiles ? tiles[(int64_t)row * stride + i] : i;
    }
};

// attention_sm90.cu: TMA and WGMMA on compute capability 9.0; BF16, head size 64 or 128, no bias, scale > 0, aligned rows.
bool vg_cuda_attention_sm90_fits(vg_backend *be, const vg_attention_args *a);
vg_status vg_cuda_attention_sm90(vg_backend *be, const vg_attention_args *a, vg_err *err);

// attention_mma.cu: mma.sync, compute capability 8.0 and up; BF16, head sizes 8..128 in steps of 8, no bias, scale > 0.
bool vg_cuda_attention_mma_fits(const vg_attention_args *a);
vg_status vg_cuda_attention_mma(vg_backend *be, const vg_attention_args *a, vg_err *err);

// attention_rows.cu: blocks of query rows through two products and a softmax; every dtype, head size and bias.
vg_status vg_cuda_attention_rows(vg_backend *be, const vg_attention_args *a, vg_err *err);

#endif
