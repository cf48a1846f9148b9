// rotate_heads.cu: rotary embedding of each head's halves, each head written once or several times. Source: hunyuanvideo15 4.2.
#include "kernels/cuda/cuda.cuh"

/* rotate    Bytes  2*n*h*d*(1 + times) (BF16; tables of a row are shared by its heads through L1)   FLOPs 3*n*h*d -> memory-bound
 * Launch   a thread per pack of N columns of the lower half and of the same of the upper half, 256 threads a block; packs of 8, or 1 where
 *          a half is no multiple of 8 or lies odd; y may be x when times is 1: a thread reads all that it writes first
 * Numerics FP32, products rounded to the dtype, then the sum: equal to the CPU bit for bit
 * Measured not yet; the text encoder's 26 layers move 0.7 GB through it, 0.3 ms */
template <int N, typename X>
static __global__ void rotate(const X *x, const float *cosines, const float *sines, X *y,
                              int64_t threads, int heads, int half, int times)
{
    int64_t id = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int packs = half / N;
    if (id >= threads)
        return;
    const int column = (int)(id % packs) * N;
    const int64_t head = id / packs;
    float low[N], high[N], cosine[N], sine[N];

    vg_load<N>(x + head * 2 * half + column, low);
    vg_load<N>(x + head * 2 * half + half + column, high);
    if (cosines) {
        const int64_t row = head / heads;
        vg_load<N>(cosines + row * half + column, cosine);
        vg_load<N>(sines + row * half + column, sine);
#pragma unroll
        for (int i = 0; i < N; i++) {
            float a = low[i], b = high[i];
            low[i] = __fadd_rn(vg_rounded<X>(__fmul_rn(a, cosine[i])),
                               vg_rounded<X>(__fmul_rn(-b, sine[i])));
            high[i] = __fadd_rn(vg_rounded<X>(__fmul_rn(b, cosine[i])),
                                vg_rounded<X>(__fmul_rn(a, sine[i])));
        }
    }
    for (int k = 0; k < times; k++) {
        X *to = y + (head * times + k) * 2 * half + column;
        vg_store<N>(to, low);
        vg_store<N>(to + half, high);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_rotate_heads(vg_backend *be, const vg_rotate_heads_args *a, vg_err *err)
{
    int64_t rows = a->x->shape[0], heads = a->x->shape[1], half = a->x->shape[2] / 2;
    const float *cosines = a->rope_cos ? static_cast<const float *>(a->rope_cos->data) : nullptr;
    const float *sines = a->rope_sin ? static_cast<const float *>(a->rope_sin->data) : nullptr;
    bool packs = vg_cuda_packs(half, a->x->data, a->y->data) && vg_cuda_packs(half, cosines, sines);
    int64_t threads = rows * heads * (packs ? half / 8 : half);
    int times = (int)(a->y->shape[1] / heads);

    if (a->x->shape[2] % 2 != 0 || half > INT_MAX / 2 || threads / 256 >= INT_MAX)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "rotate_heads: heads of %lld are not for the cuda backend",
                       (long long)a->x->shape[2]);
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, {
        const X *x = static_cast<const X *>(a->x->data);
        X *y = static_cast<X *>(a->y->data);
        unsigned grid = (unsigned)((threads + 255) / 256);
        if (packs)
            VG_CUDA_LAUNCH(be, err, (rotate<8, X>), grid, 256, 0, x, cosines, sines, y, threads,
                           (int)heads, (int)half, times);
        else
            VG_CUDA_LAUNCH(be, err, (rotate<1, X>), grid, 256, 0, x, cosines, sines, y, threads,
                           (int)heads, (int)half, times);
    });
    return VG_OK;
}
