// pack_channels.cu: frames, rows and columns to channels, plus a shortcut of means of neighbouring channels. Source: hunyuanvideo15 3.2.
#include "kernels/cuda/cuda.cuh"

namespace
{

struct packing {
    int h, w, k, s;     // of x; channels of x and of the shortcut
    int c, times, side; // of y
    int packed, group;  // channels of all parts of x; of a mean
    int64_t values;     // to be written
};

// Where packed channel q of a pixel of y lies, in frames of `channels`.
__device__ __forceinline__ int64_t place(const packing &p, int64_t t, int row, int column, int q,
                                         int channels)
{
    int part = q / channels, d = part % p.side, b = part / p.side % p.side,
        a = part / p.side / p.side;
    return (((t * p.times + a) * p.h + row * p.side + b) * p.w + column * p.side + d) * channels +
           q % channels;
}

/* pack    Bytes  n*size(y) + x and the shortcut once   -> memory-bound
 * Launch   one thread per value of y, 256 threads per block
 * Numerics the mean is an FP32 sum in the order of channels, divided and rounded, then added and rounded
 * Not done  packs of 8: encoding one picture is no part of what a clip's seconds are made of */
template <typename T> __global__ void pack(const T *x, const T *shortcut, T *y, packing p)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.values)
        return;
    int64_t pixel = i / p.c;
    int o = (int)(i - pixel * p.c), wide = p.w / p.side, tall = p.h / p.side;
    int column = (int)(pixel % wide), row = (int)(pixel / wide % tall);
    int64_t t = pixel / wide / tall;
    float sum = 0.0f;

    for (int e = 0; e < p.group; e++)
        sum += vg_to_float(shortcut[place(p, t, row, column, o * p.group + e, p.s)]);
    sum = vg_rounded<T>(sum / (float)p.group);
    y[i] = vg_from_float<T>(sum + vg_to_float(x[place(p, t, row, column, o % p.packed, p.k)]));
}

} // namespace

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_pack_channels(vg_backend *be, const vg_pack_channels_args *a, vg_err *err)
{
    const int64_t *x = a->x->shape;
    int64_t c = a->y->shape[3], s = a->shortcut->shape[3],
            parts = (int64_t)a->times * a->side * a->side, values = vg_tensor_numel(a->y);

    if (x[1] >= 1 << 24 || x[2] >= 1 << 24 || parts * x[3] >= 1 << 24 || parts * s >= 1 << 24 ||
        values >= (1ll << 31) * 256)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "pack_channels: %lldx%lldx%lldx%lld is too large for the cuda backend",
                       (long long)x[0], (long long)x[1], (long long)x[2], (long long)x[3]);
    packing p = {(int)x[1],
                 (int)x[2],
                 (int)x[3],
                 (int)s,
                 (int)c,
                 a->times,
                 a->side,
                 (int)(parts * x[3]),
                 (int)(parts * s / c),
                 values};
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, T, {
        VG_CUDA_LAUNCH(be, err, (pack<T>), (unsigned)((values + 255) / 256), 256, 0,
                       static_cast<const T *>(a->x->data),
                       static_cast<const T *>(a->shortcut->data), static_cast<T *>(a->y->data), p);
    });
    return VG_OK;
}
