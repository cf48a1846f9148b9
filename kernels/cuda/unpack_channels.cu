// unpack_channels.cu: channels to frames, rows and columns, plus a shortcut of repeated channels. Source: hunyuanvideo15 3.2.
#include "kernels/cuda/cuda.cuh"

namespace
{

struct unpacking {
    int h, w, k, s;            // of x; channels of x and of the shortcut
    int c, times, side, parts; // of y
    int repeat;
    int64_t packs; // to be written
};

/* unpack    Bytes  n*2*size(y) + the shortcut once (each value from L1 for the channels that it is repeated to)   -> memory-bound
 * Launch   one thread per N neighbouring channels of y, 256 threads per block; exact but for the one rounding of the sum */
template <int N, typename T>
__global__ void unpack(const T *x, const T *shortcut, T *y, unpacking u)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= u.packs)
        return;
    int wide = u.w * u.side, tall = u.h * u.side, across = u.c / N;
    int64_t pixel = i / across;
    int c = (int)(i - pixel * across) * N, column = (int)(pixel % wide),
        row = (int)(pixel / wide % tall);
    int64_t frame = pixel / wide / tall;
    int part = ((int)(frame % u.times) * u.side + row % u.side) * u.side + column % u.side;
    int64_t from = (frame / u.times * u.h + row / u.side) * u.w + column / u.side;
    float v[N];

    vg_load<N>(x + from * u.k + part * (u.k / u.parts) + c, v);
#pragma unroll
    for (int e = 0; e < N; e++)
        v[e] += vg_to_float(shortcut[from * u.s + (part * u.c + c + e) / u.repeat]);
    vg_store<N>(y + pixel * u.c + c, v);
}

} // namespace

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_unpack_channels(vg_backend *be, const vg_unpack_channels_args *a, vg_err *err)
{
    const int64_t *x = a->x->shape;
    int64_t c = a->y->shape[3], s = a->shortcut->shape[3],
            parts = (int64_t)a->times * a->side * a->side;
    bool eights = vg_cuda_packs(c, a->x->data, a->y->data) && x[3] / parts % 8 == 0;
    int64_t packs = vg_tensor_numel(a->y) / (eights ? 8 : 1);

    if (x[1] >= 1 << 24 || x[2] >= 1 << 24 || x[3] >= 1 << 24 || packs >= (1ll << 31) * 256)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "unpack_channels: %lldx%lldx%lldx%lld is too large for the cuda backend",
                       (long long)x[0], (long long)x[1], (long long)x[2], (long long)x[3]);
    unpacking u = {(int)x[1], (int)x[2],  (int)x[3],
                   (int)s,    (int)c,     a->times,
                   a->side,   (int)parts, (int)(parts * c / s),
                   packs};
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, T, {
        const T *from = static_cast<const T *>(a->x->data),
                *shortcut = static_cast<const T *>(a->shortcut->data);
        T *y = static_cast<T *>(a->y->data);
        unsigned blocks = (unsigned)((packs + 255) / 256);
        if (eights)
            VG_CUDA_LAUNCH(be, err, (unpack<8, T>), blocks, 256, 0, from, shortcut, y, u);
        else
            VG_CUDA_LAUNCH(be, err, (unpack<1, T>), blocks, 256, 0, from, shortcut, y, u);
    });
    return VG_OK;
}
