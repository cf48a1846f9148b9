// patchify.cu: frames to token rows, channel slowest in a row. Source: wan 2.3.
#include "kernels/cuda/patch.cuh"

/* gather    Bytes  n*(size(x) + size(y)); x in pieces of pw elements   -> memory-bound on paper; in fact a dozen divisions per element
 * Launch   256 threads, one element of y each; exact but for the rounding to y's dtype
 * Measured NVIDIA H100 80GB HBM3, 36 channels of 21x90x160 BF16 in patches of 1x2x2, 2026-11: with 64-bit indices 106 us, 0.0012 % of a
 *          step of 17 s */
template <typename X, typename Y, typename I> static __global__ void gather(const X *x, Y *y, vg_patches<I> s, I count)
{
    I i = (I)blockIdx.x * blockDim.x + threadIdx.x;

    if (i >= count)
        return;
    I n = i / s.volume, e = i % s.volume, iw = e % s.pw, ih = e / s.pw % s.ph, it = e / s.pw / s.ph % s.pt, c = e / s.pw / s.ph / s.pt;
    I z = n % s.across, row = n / s.across % s.down, t = n / s.across / s.down;
    y[i] = vg_from_float<Y>(vg_to_float(x[((c * s.t + t * s.pt + it) * s.h + row * s.ph + ih) * s.w + z * s.pw + iw]));
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <typename X, typename Y, typename I> static vg_status launch(vg_backend *be, const vg_patchify_args *a, vg_err *err)
{
    int64_t count = vg_tensor_numel(a->y);

    VG_CUDA_LAUNCH(be, err, (gather<X, Y, I>), (unsigned)((count + 255) / 256), 256, 0, static_cast<const X *>(a->x->data),
                   static_cast<Y *>(a->y->data), vg_cuda_patches<I>(a->x->shape, a->patch), (I)count);
    return VG_OK;
}

vg_status vg_cuda_patchify(vg_backend *be, const vg_patchify_args *a, vg_err *err)
{
    bool small = vg_tensor_numel(a->y) < (int64_t)1 << 31;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, { return small ? launch<X, Y, uint32_t>(be, a, err) : launch<X, Y, int64_t>(be, a, err); }););
}
