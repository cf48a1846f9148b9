// patchify.cu: frames to token rows, channel slowest in a row. Source: wan 2.3.
#include "kernels/cuda/patch.cuh"

/* to_rows    Bytes  n*(size(x) + size(y)), each once   -> memory-bound
 * Launch   see patch.cuh: a warp reads a line of up to 32 patches, then writes whole rows; exact but for the rounding to y's dtype
 * Measured NVIDIA H100 80GB HBM3, 36 channels of 21x90x160 BF16 in patches of 1x2x2, 2026-11: 22.7 us, 1.92 TB/s (a copy of
 *          as much: 17.7 us, 2.45 TB/s); 0.0003 % of a step;
 *          an element a thread, with a dozen divisions each: 106 us */
template <typename EDGES, typename X, typename Y>
static __global__ void to_rows(const X *__restrict__ x, Y *__restrict__ y, vg_patches s)
{
    VG_CUDA_SHARED(unsigned char, memory);
    constexpr int N = EDGES::DASH;
    using dash = vg_pack<Y, N>;
    dash *tile = reinterpret_cast<dash *>(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, count = vg_patch_count(s),
              dashes = s.volume / N;
    const int stride = vg_patch_stride<dash>(dashes);

    if (lane < count) {
#pragma unroll 4
        for (int n = warp; n < dashes; n += PATCH_THREADS / 32) {
            float v[N];
            vg_load<N>(x + vg_patch_dash_of<EDGES>(s, n).at + lane * s.pw, v);
            tile[lane * stride + n] = vg_packed_as<Y, N>(v);
        }
    }
    __syncthreads();
    dash *to = reinterpret_cast<dash *>(y + vg_patch_row(s) * s.volume);
    for (int n = lane; n < dashes; n += 32)
#pragma unroll 4
        for (int row = warp; row < count; row += PATCH_THREADS / 32)
            to[(int64_t)row * dashes + n] = tile[row * stride + n];
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_patchify(vg_backend *be, const vg_patchify_args *a, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(
        a->x->dtype, X,
        VG_CUDA_ACT(
            a->y->dtype, Y, VG_CUDA_PATCH(a->patch, a->x, a->y, EDGES, {
                vg_patches s;
                dim3 grid;
                size_t shared;
                if (!vg_cuda_patches<Y>(a->x->shape, a->patch, &s, &grid, &shared))
                    return VG_FAIL(
                        err, VG_E_UNSUPPORTED,
                        "patchify: patches of %lld values are too large for the cuda backend",
                        (long long)a->y->shape[1]);
                VG_CUDA_LAUNCH(be, err, (to_rows<EDGES, X, Y>), grid, PATCH_THREADS, shared,
                               static_cast<const X *>(a->x->data), static_cast<Y *>(a->y->data), s);
            });););
    return VG_OK;
}
