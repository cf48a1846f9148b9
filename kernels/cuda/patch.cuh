// patch.cuh: the geometry of patches, for patchify.cu and unpatchify.cu. Private to kernels/cuda/.
#ifndef VG_KERNELS_CUDA_PATCH_CUH
#define VG_KERNELS_CUDA_PATCH_CUH

#include "kernels/cuda/cuda.cuh"

// I: 32 bits where they are enough, since the kernels divide more than they move.
template <typename I> struct vg_patches {
    I c, t, h, w;     // of the frames
    I pt, ph, pw;     // patch
    I down, across;   // patches per frame
    I volume;         // elements of a row
};

template <typename I> static inline vg_patches<I> vg_cuda_patches(const int64_t *frames, const int patch[3])
{
    return {(I)frames[0],
            (I)frames[1],
            (I)frames[2],
            (I)frames[3],
            (I)patch[0],
            (I)patch[1],
            (I)patch[2],
            (I)(frames[2] / patch[1]),
            (I)(frames[3] / patch[2]),
            (I)(frames[0] * patch[0] * patch[1] * patch[2])};
}

#endif
