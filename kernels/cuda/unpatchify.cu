// unpatchify.cu: token rows to frames, channel fastest in a row. Source: wan 2.7.
#include "kernels/cuda/patch.cuh"

/* to_frames    Bytes  n*(size(x) + size(y)), each once   -> memory-bound
 * Launch   see patch.cuh: a warp reads whole rows, then writes a line of up to 32 patches; exact but for the rounding to y's dtype
 * Measured not yet in this form; an element a thread, with a dozen divisions each: NVIDIA H100 80GB HBM3, 16 channels of 21x90x160 BF16 in
 *          patches of 1x2x2, 2026-11: 45 us */
template <int PW, typename X, typename Y> static __global__ void to_frames(const X *x, Y *y, vg_patches s)
{
    VG_CUDA_SHARED(unsigned char, memory);
    X *tile = reinterpret_cast<X *>(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, count = vg_patch_count(s), stride = vg_patch_stride<X>(s.volume);
    const int pw = PW ? PW : s.pw;

    for (int n = warp; n < count; n += PATCH_THREADS / 32) {
        const X *from = x + (vg_patch_row(s) + n) * s.volume;
        for (int e = lane; e < s.volume; e += 32)
            tile[n * stride + e] = from[e];
    }
    __syncthreads();
    for (int line = warp; line < s.volume / pw; line += PATCH_THREADS / 32) {
        vg_patch_line l = vg_patch_line_of(s, line);
        const X *first = tile + (l.it * s.ph + l.ih) * pw * s.c + l.c;
        for (int k = lane; k < count * pw; k += 32)
            y[l.at + k] = vg_from_float<Y>(vg_to_float(first[k / pw * stride + k % pw * s.c]));
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_unpatchify(vg_backend *be, const vg_unpatchify_args *a, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, VG_CUDA_PATCH_WIDTH(a->patch[2], PW, {
        vg_patches s;
        dim3 grid;
        if (!vg_cuda_patches<X>(a->y->shape, a->patch, &s, &grid))
            return VG_FAIL(err, VG_E_UNSUPPORTED, "unpatchify: patches of %lld values are too large for the cuda backend", (long long)a->x->shape[1]);
        VG_CUDA_LAUNCH(be, err, (to_frames<PW, X, Y>), grid, PATCH_THREADS, (size_t)s.tile * vg_patch_stride<X>(s.volume) * sizeof(X),
                       static_cast<const X *>(a->x->data), static_cast<Y *>(a->y->data), s);
    });););
    return VG_OK;
}
