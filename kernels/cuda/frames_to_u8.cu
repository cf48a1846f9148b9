// frames_to_u8.cu: [-1,1] to bytes: x/2 + 1/2, clamped to [0,1], times 255, truncated; NaN becomes 0.
// Source: diffusers export_to_video (wan 7.4).
#include "kernels/cuda/cuda.cuh"

// The bytes of one pack; how many of its values are NaN or infinite.
template <int N, typename X> static __device__ __forceinline__ unsigned pack(const X *x, uint8_t *y)
{
    float v[N];
    vg_pack<uint8_t, N> bytes;
    unsigned bad = 0;

    vg_load<N>(x, v);
#pragma unroll
    for (int j = 0; j < N; j++) {
        float e = v[j] * 0.5f + 0.5f; // the product is exact
        bad += (__float_as_uint(v[j]) & 0x7f800000u) == 0x7f800000u;
        e = e > 0.0f ? e : 0.0f;
        e = e < 1.0f ? e : 1.0f;
        bytes.v[j] = (uint8_t)(e * 255.0f);
    }
    *reinterpret_cast<vg_pack<uint8_t, N> *>(y) = bytes;
    return bad;
}

/* convert    Bytes  n*(size(x) + 1)   -> memory-bound
 * Launch   256 threads, a pack of 8 each; element-wise for odd addresses and the tail. Equal to the CPU bit for bit
 * unfinite: of pinned host memory, or NULL. Only a warp that has met one writes there, so that frames as they should be cost no access. */
template <int N, typename X>
static __global__ void convert(const X *x, uint8_t *y, int64_t packs, unsigned long long *unfinite)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    unsigned bad = i < packs ? pack<N>(x + i * N, y + i * N) : 0;

    for (int offset = 16; offset; offset /= 2)
        bad += __shfl_xor_sync(0xffffffffu, bad, offset);
    if (bad && unfinite && threadIdx.x % 32 == 0)
        atomicAdd(unfinite, (unsigned long long)bad);
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_frames_to_u8(vg_backend *be, const vg_frames_to_u8_args *a, vg_err *err)
{
    uint8_t *y = static_cast<uint8_t *>(a->y->data);
    int64_t n = vg_tensor_numel(a->x), packs = vg_cuda_packs(8, a->x->data, y) ? n / 8 : 0,
            rest = n - 8 * packs;
    unsigned long long *unfinite = reinterpret_cast<unsigned long long *>(be->unfinite);

    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, {
        const X *x = static_cast<const X *>(a->x->data);
        if (packs)
            VG_CUDA_LAUNCH(be, err, (convert<8, X>), (unsigned)((packs + 255) / 256), 256, 0, x, y,
                           packs, unfinite);
        if (rest)
            VG_CUDA_LAUNCH(be, err, (convert<1, X>), (unsigned)((rest + 255) / 256), 256, 0,
                           x + 8 * packs, y + 8 * packs, rest, unfinite);
    });
    return VG_OK;
}
