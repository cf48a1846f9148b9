// patch.cuh: patches of frames and rows of tokens, for patchify.cu and unpatchify.cu. Private to kernels/cuda/.
//
// A block moves up to 32 patches that lie side by side, through shared memory: what is contiguous in frames (pw elements a patch, patch after
// patch) and what is contiguous in rows (all elements of one patch) are both whole lines then, and indices are divided per line of a warp,
// not per element.
#ifndef VG_KERNELS_CUDA_PATCH_CUH
#define VG_KERNELS_CUDA_PATCH_CUH

#include "kernels/cuda/cuda.cuh"

#define PATCH_THREADS 256
#define PATCH_TILE    32    // patches a block at most
#define PATCH_SHARED  49152 // bytes of shared memory a block

struct vg_patches {
    int c, t, h, w;   // of the frames
    int pt, ph, pw;   // patch
    int down, across; // patches per frame
    int volume;       // elements of a row
    int tile;         // patches a block
};

// Where the elements of one (channel, frame of the patch, line of the patch) lie, for the block's first patch.
struct vg_patch_line {
    int c, it, ih;
    int64_t at; // in frames
};

static __device__ __forceinline__ vg_patch_line vg_patch_line_of(const vg_patches &s, int line)
{
    vg_patch_line l;
    l.c = line / (s.pt * s.ph), l.it = line / s.ph % s.pt, l.ih = line % s.ph;
    l.at = (((int64_t)l.c * s.t + blockIdx.z * s.pt + l.it) * s.h + blockIdx.y * s.ph + l.ih) * s.w + (int64_t)blockIdx.x * s.tile * s.pw;
    return l;
}

// Patches of this block, and its first row.
static __device__ __forceinline__ int vg_patch_count(const vg_patches &s)
{
    return min(s.tile, s.across - (int)blockIdx.x * s.tile);
}
static __device__ __forceinline__ int64_t vg_patch_row(const vg_patches &s)
{
    return ((int64_t)blockIdx.z * s.down + blockIdx.y) * s.across + (int64_t)blockIdx.x * s.tile;
}

// A row of the tile and a word more, so that the patches of a line lie in different banks.
template <typename T> static __host__ __device__ constexpr int vg_patch_stride(int volume)
{
    return volume + (int)(4 / sizeof(T));
}

// Frames [C,T,H,W] and patch sizes to geometry, for tiles of elements T. False: one patch does not fit shared memory.
template <typename T> static inline bool vg_cuda_patches(const int64_t *frames, const int patch[3], vg_patches *s, dim3 *grid)
{
    int64_t volume = frames[0] * patch[0] * patch[1] * patch[2], row_bytes = (volume + 2) * (int64_t)sizeof(T);

    if (row_bytes > PATCH_SHARED)
        return false;
    *s = {(int)frames[0], (int)frames[1], (int)frames[2], (int)frames[3], patch[0], patch[1], patch[2],
          (int)(frames[2] / patch[1]), (int)(frames[3] / patch[2]), (int)volume,
          (int)(PATCH_SHARED / row_bytes < PATCH_TILE ? PATCH_SHARED / row_bytes : PATCH_TILE)};
    *grid = dim3((unsigned)((s->across + s->tile - 1) / s->tile), (unsigned)s->down, (unsigned)(s->t / s->pt));
    return s->down < 65536 && s->t / s->pt < 65536;
}

// Run BODY with PW, the patch's width known to the compiler: 1, 2, or 0 for any other.
#define VG_CUDA_PATCH_WIDTH(pw, PW, ...)                                                           \
    do {                                                                                           \
        if ((pw) == 1) {                                                                           \
            constexpr int PW = 1;                                                                  \
            __VA_ARGS__                                                                            \
        } else if ((pw) == 2) {                                                                    \
            constexpr int PW = 2;                                                                  \
            __VA_ARGS__                                                                            \
        } else {                                                                                   \
            constexpr int PW = 0;                                                                  \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
