// unpatchify.cu: token rows to frames, channel fastest in a row. Source: wan 2.7.
#include "kernels/cuda/cuda.cuh"

struct patch_shape {
    int64_t c, t, h, w;  // of the frames
    int pt, ph, pw;      // patch
    int64_t down, across; // patches per frame
};

/* gather    Bytes  n*(size(x) + size(y)); x element-wise, one row from L2 serves all channels   -> memory-bound, small
 * Launch   256 threads, one element of y each; exact but for the rounding to y's dtype */
template <typename X, typename Y> static __global__ void gather(const X *x, Y *y, patch_shape s, int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, k = s.c * s.pt * s.ph * s.pw;

    if (i >= count)
        return;
    int64_t column = i % s.w, row = i / s.w % s.h, t = i / s.w / s.h % s.t, c = i / s.w / s.h / s.t;
    int64_t n = (t / s.pt * s.down + row / s.ph) * s.across + column / s.pw;
    y[i] = vg_from_float<Y>(vg_to_float(x[n * k + ((t % s.pt * s.ph + row % s.ph) * s.pw + column % s.pw) * s.c + c]));
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_unpatchify(vg_backend *be, const vg_unpatchify_args *a, vg_err *err)
{
    const int64_t *s = a->y->shape, count = vg_tensor_numel(a->y);
    patch_shape shape = {s[0], s[1], s[2], s[3], a->patch[0], a->patch[1], a->patch[2], s[2] / a->patch[1], s[3] / a->patch[2]};

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, {
        VG_CUDA_LAUNCH(be, err, (gather<X, Y>), (unsigned)((count + 255) / 256), 256, 0, static_cast<const X *>(a->x->data),
                       static_cast<Y *>(a->y->data), shape, count);
    }););
    return VG_OK;
}
