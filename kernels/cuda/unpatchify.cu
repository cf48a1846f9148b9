// unpatchify.cu: token rows to frames, channel fastest in a row. Source: wan 2.7.
#include "kernels/cuda/patch.cuh"

/* to_frames    Bytes  n*(size(x) + size(y)), each once   -> memory-bound
 * Launch   see patch.cuh: a warp reads whole rows, then writes a line of up to 32 patches; exact but for the rounding to y's dtype
 * Measured NVIDIA H100 80GB HBM3, 16 channels of 21x90x160 BF16 in patches of 1x2x2, 2026-11: 11.9 us, 1.62 TB/s; an element a
 *          thread: 45 us */
template <typename EDGES, typename X, typename Y>
static __global__ void to_frames(const X *__restrict__ x, Y *__restrict__ y, vg_patches s)
{
    VG_CUDA_SHARED(unsigned char, memory);
    constexpr int N = EDGES::DASH;
    using dash = vg_pack<X, N>;
    X *tile = reinterpret_cast<X *>(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, count = vg_patch_count(s),
              dashes = s.volume / N;
    const int stride = vg_patch_stride<dash>(dashes) * N;

    const dash *from = reinterpret_cast<const dash *>(x + vg_patch_row(s) * s.volume);
    for (int n = lane; n < dashes; n += 32)
#pragma unroll 4
        for (int row = warp; row < count; row += PATCH_THREADS / 32)
            reinterpret_cast<dash *>(tile + row * stride)[n] = from[(int64_t)row * dashes + n];
    __syncthreads();
    if (lane < count) {
#pragma unroll 4
        for (int n = warp; n < dashes; n += PATCH_THREADS / 32) {
            const vg_patch_dash d = vg_patch_dash_of<EDGES>(s, n);
            const X *first = tile + lane * stride + d.inside * N * s.c + d.c;
            float v[N];
#pragma unroll
            for (int i = 0; i < N; i++)
                v[i] = vg_to_float(first[i * s.c]);
            vg_store<N>(y + d.at + lane * s.pw, v);
        }
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_unpatchify(vg_backend *be, const vg_unpatchify_args *a, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(
        a->x->dtype, X,
        VG_CUDA_ACT(
            a->y->dtype, Y, VG_CUDA_PATCH(a->patch, a->y, a->x, EDGES, {
                vg_patches s;
                dim3 grid;
                size_t shared;
                if (!vg_cuda_patches<X>(a->y->shape, a->patch, &s, &grid, &shared))
                    return VG_FAIL(
                        err, VG_E_UNSUPPORTED,
                        "unpatchify: patches of %lld values are too large for the cuda backend",
                        (long long)a->x->shape[1]);
                VG_CUDA_LAUNCH(be, err, (to_frames<EDGES, X, Y>), grid, PATCH_THREADS, shared,
                               static_cast<const X *>(a->x->data), static_cast<Y *>(a->y->data), s);
            });););
    return VG_OK;
}
