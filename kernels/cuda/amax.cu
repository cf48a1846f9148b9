// amax.cu: the largest magnitude of a tensor.
#include "kernels/cuda/codes.cuh"

/* largest    Bytes  n*size(x)   -> memory-bound
 * *bits = bits of the largest |x| and of what was there; the bits of floats >= 0 sort like integers, so atomicMax does it, in any order
 * with one result. NaN is passed over: it becomes the E4M3 NaN whatever the scale. */
template <int N, typename X>
static __global__ void largest(const X *x, int64_t packs, unsigned *bits)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    float most = 0.0f, v[N];

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < packs; i += step) {
        vg_load<N>(x + i * N, v);
#pragma unroll
        for (int j = 0; j < N; j++)
            most = fmaxf(most, fabsf(v[j]));
    }
    for (int offset = 16; offset; offset /= 2)
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, offset));
    if (threadIdx.x % 32 == 0)
        atomicMax(bits, __float_as_uint(most));
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <typename X>
static vg_status launch(vg_backend *be, const vg_tensor *t, unsigned *bits, vg_err *err)
{
    const X *x = static_cast<const X *>(t->data);
    int64_t n = vg_tensor_numel(t), packs = vg_cuda_packs(8, x) ? n / 16 : 0, done = packs * 16,
            rest = n - done;
    int64_t most = vg_cuda(be)->sm_count * 8, blocks = (packs + 255) / 256,
            rest_blocks = (rest + 255) / 256;

    if (packs)
        VG_CUDA_LAUNCH(be, err, (largest<16, X>), (unsigned)(blocks < most ? blocks : most), 256, 0,
                       x, packs, bits);
    if (rest)
        VG_CUDA_LAUNCH(be, err, (largest<1, X>),
                       (unsigned)(rest_blocks < most ? rest_blocks : most), 256, 0, x + done, rest,
                       bits);
    return VG_OK;
}

vg_status vg_cuda_largest(vg_backend *be, const vg_tensor *x, unsigned *bits, vg_err *err)
{
    VG_CUDA_ACT(x->dtype, X, { return launch<X>(be, x, bits, err); });
}

vg_status vg_cuda_amax(vg_backend *be, const vg_amax_args *a, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    return vg_cuda_largest(be, a->x, static_cast<unsigned *>(a->most->data), err);
}
