// attention.cuh: the three ways to compute attention and how one of them is chosen. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_ATTENTION_CUH
#define VG_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/attention_list.h"
#include "kernels/cuda/cuda.cuh"

// attention_sm90.cu: TMA and WGMMA on compute capability 9.0; BF16, head size 64 or 128, no bias, scale > 0, aligned rows. y may be NULL if
// codes are wanted, which it writes itself; groups of codes need head size 128. No list: all key tiles.
bool vg_cuda_attention_sm90_fits(vg_backend *be, const vg_attention_args *a);
vg_status vg_cuda_attention_sm90(vg_backend *be, const vg_attention_args *a,
                                 const vg_key_tiles *list, vg_err *err);

// The others write y and no codes.
// attention_mma.cu: mma.sync, compute capability 8.0 and up; BF16, head sizes 8..128 in steps of 8, no bias, scale > 0.
bool vg_cuda_attention_mma_fits(const vg_attention_args *a);
vg_status vg_cuda_attention_mma(vg_backend *be, const vg_attention_args *a, vg_err *err);

// attention_rows.cu: blocks of query rows through two products and a softmax; every dtype, head size and bias.
vg_status vg_cuda_attention_rows(vg_backend *be, const vg_attention_args *a, vg_err *err);

#endif
