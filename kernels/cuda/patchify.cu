// patchify.cu: frames to token rows, channel slowest in a row. Source: wan 2.3.
#include "kernels/cuda/cuda.cuh"

struct patch_shape {
    int64_t c, t, h, w;  // of the frames
    int pt, ph, pw;      // patch
    int64_t down, across; // patches per frame
};

/* gather    Bytes  n*(size(x) + size(y)); x in pieces of pw elements   -> memory-bound, about 2 % of a step's small change
 * Launch   256 threads, one element of y each; exact but for the rounding to y's dtype */
template <typename X, typename Y> static __global__ void gather(const X *x, Y *y, patch_shape s, int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, k = s.c * s.pt * s.ph * s.pw;

    if (i >= count)
        return;
    int64_t n = i / k, e = i % k, iw = e % s.pw, ih = e / s.pw % s.ph, it = e / s.pw / s.ph % s.pt, c = e / s.pw / s.ph / s.pt;
    int64_t z = n % s.across, row = n / s.across % s.down, t = n / s.across / s.down;
    y[i] = vg_from_float<Y>(vg_to_float(x[((c * s.t + t * s.pt + it) * s.h + row * s.ph + ih) * s.w + z * s.pw + iw]));
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_patchify(vg_backend *be, const vg_patchify_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape, count = vg_tensor_numel(a->y);
    patch_shape shape = {s[0], s[1], s[2], s[3], a->patch[0], a->patch[1], a->patch[2], s[2] / a->patch[1], s[3] / a->patch[2]};

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, {
        VG_CUDA_LAUNCH(be, err, (gather<X, Y>), (unsigned)((count + 255) / 256), 256, 0, static_cast<const X *>(a->x->data),
                       static_cast<Y *>(a->y->data), shape, count);
    }););
    return VG_OK;
}
