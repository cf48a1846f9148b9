// unpatchify.cu: token rows to frames, channel fastest in a row. Source: wan 2.7.
#include "kernels/cuda/patch.cuh"

/* gather    Bytes  n*(size(x) + size(y)); x element-wise, one row from L2 serves all channels   -> memory-bound on paper, see patchify.cu
 * Launch   256 threads, one element of y each; exact but for the rounding to y's dtype
 * Measured NVIDIA H100 80GB HBM3, 16 channels of 21x90x160 BF16 in patches of 1x2x2, 2026-11: with 64-bit indices 45 us */
template <typename X, typename Y, typename I> static __global__ void gather(const X *x, Y *y, vg_patches<I> s, I count)
{
    I i = (I)blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= count)
        return;
    I column = i % s.w, row = i / s.w % s.h, t = i / s.w / s.h % s.t, c = i / s.w / s.h / s.t;
    I n = (t / s.pt * s.down + row / s.ph) * s.across + column / s.pw;
    y[i] = vg_from_float<Y>(vg_to_float(x[n * s.volume + ((t % s.pt * s.ph + row % s.ph) * s.pw + column % s.pw) * s.c + c]));
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <typename X, typename Y, typename I> static vg_status launch(vg_backend *be, const vg_unpatchify_args *a, vg_err *err)
{
    int64_t count = vg_tensor_numel(a->y);

    VG_CUDA_LAUNCH(be, err, (gather<X, Y, I>), (unsigned)((count + 255) / 256), 256, 0, static_cast<const X *>(a->x->data),
                   static_cast<Y *>(a->y->data), vg_cuda_patches<I>(a->y->shape, a->patch), (I)count);
    return VG_OK;
}

vg_status vg_cuda_unpatchify(vg_backend *be, const vg_unpatchify_args *a, vg_err *err)
{
    bool small = vg_tensor_numel(a->y) < (int64_t)1 << 31;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, { return small ? launch<X, Y, uint32_t>(be, a, err) : launch<X, Y, int64_t>(be, a, err); }););
}
