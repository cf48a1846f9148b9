// channel_affine.cu: [C,T,H,W] <-> [T,H,W,C] with a per-channel factor (or divisor) and offset.
#include "kernels/cuda/cuda.cuh"

/* transpose    Bytes  n*(size(x) + size(y))   -> memory-bound; the channels-last side is touched in steps of C elements by one
 *              thread, whose lines stay in L1 while it goes through the channels (few: 3 or 16, 48)
 * Launch   one thread per pixel
 * Numerics FP32, product and sum rounded separately as on the CPU, one rounding to y's dtype: equal bit for bit */
template <typename X, typename Y>
static __global__ void transpose(const X *x, const float *scale, const float *shift, bool divide,
                                 bool to_last, Y *y, int64_t channels, int64_t pixels)
{
    int64_t p = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;

    if (p >= pixels)
        return;
    for (int64_t c = 0; c < channels; c++) {
        int64_t first = c * pixels + p, last = p * channels + c;
        float v = vg_to_float(x[to_last ? first : last]);
        if (scale)
            v = divide ? v / scale[c] : __fmul_rn(v, scale[c]);
        if (shift)
            v = __fadd_rn(v, shift[c]);
        y[to_last ? last : first] = vg_from_float<Y>(v);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_channel_affine(vg_backend *be, const vg_channel_affine_args *a, vg_err *err)
{
    const int64_t *s = a->x->shape;
    int64_t channels = a->to_channels_last ? s[0] : s[3], pixels = vg_tensor_numel(a->x) / channels;
    const float *scale = a->scale ? static_cast<const float *>(a->scale->data) : nullptr;
    const float *shift = a->shift ? static_cast<const float *>(a->shift->data) : nullptr;

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, {
                    VG_CUDA_LAUNCH(be, err, (transpose<X, Y>), (unsigned)((pixels + 255) / 256),
                                   256, 0, static_cast<const X *>(a->x->data), scale, shift,
                                   a->divide, a->to_channels_last, static_cast<Y *>(a->y->data),
                                   channels, pixels);
                }););
    return VG_OK;
}
