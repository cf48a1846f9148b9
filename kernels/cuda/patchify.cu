// patchify.cu: frames to token rows, channel slowest in a row. Source: wan 2.3.
#include "kernels/cuda/patch.cuh"

/* to_rows    Bytes  n*(size(x) + size(y)), each once   -> memory-bound
 * Launch   see patch.cuh: a warp reads a line of up to 32 patches, then writes whole rows; exact but for the rounding to y's dtype
 * Measured not yet in this form; an element a thread, with a dozen divisions each: NVIDIA H100 80GB HBM3, 36 channels of 21x90x160 BF16 in
 *          patches of 1x2x2, 2026-11: 106 us, 0.0012 % of a step of 17 s */
template <int PW, typename X, typename Y> static __global__ void to_rows(const X *x, Y *y, vg_patches s)
{
    VG_CUDA_SHARED(unsigned char, memory);
    Y *tile = reinterpret_cast<Y *>(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, count = vg_patch_count(s), stride = vg_patch_stride<Y>(s.volume);
    const int pw = PW ? PW : s.pw;

    for (int line = warp; line < s.volume / pw; line += PATCH_THREADS / 32) {
        const X *from = x + vg_patch_line_of(s, line).at;
        for (int k = lane; k < count * pw; k += 32)
            tile[k / pw * stride + line * pw + k % pw] = vg_from_float<Y>(vg_to_float(from[k]));
    }
    __syncthreads();
    for (int n = warp; n < count; n += PATCH_THREADS / 32) {
        Y *to = y + (vg_patch_row(s) + n) * s.volume;
        for (int e = lane; e < s.volume; e += 32)
            to[e] = tile[n * stride + e];
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_patchify(vg_backend *be, const vg_patchify_args *a, vg_err *err)
{
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->y->dtype, Y, VG_CUDA_PATCH_WIDTH(a->patch[2], PW, {
        vg_patches s;
        dim3 grid;
        if (!vg_cuda_patches<Y>(a->x->shape, a->patch, &s, &grid))
            return VG_FAIL(err, VG_E_UNSUPPORTED, "patchify: patches of %lld values are too large for the cuda backend", (long long)a->y->shape[1]);
        VG_CUDA_LAUNCH(be, err, (to_rows<PW, X, Y>), grid, PATCH_THREADS, (size_t)s.tile * vg_patch_stride<Y>(s.volume) * sizeof(Y),
                       static_cast<const X *>(a->x->data), static_cast<Y *>(a->y->data), s);
    });););
    return VG_OK;
}
