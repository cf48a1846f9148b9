// patch.cuh: patches of frames and rows of tokens, for patchify.cu and unpatchify.cu. Private to kernels/cuda/.
//
// A block moves up to 32 patches that lie side by side, through shared memory: what is contiguous in frames (pw elements a patch, patch after
// patch) and what is contiguous in rows (all elements of one patch) are both whole lines then. A lane moves a dash at a time: the pw elements
// that one patch has of a line, where pw is compiled, or else one element.
#ifndef VG_KERNELS_CUDA_PATCH_CUH
#define VG_KERNELS_CUDA_PATCH_CUH

#include "kernels/cuda/cuda.cuh"

#define PATCH_THREADS 256
#define PATCH_TILE    32    // patches a block at most: a lane each
#define PATCH_SHARED  49152 // bytes of shared memory a block

struct vg_patches {
    int c, t, h, w;   // of the frames
    int pt, ph, pw;   // patch
    int down, across; // patches per frame
    int volume;       // elements of a row
    int tile;         // patches a block
};

// A patch whose edges the compiler knows, so that it need not divide; 0: any.
template <int T, int H, int W> struct vg_patch_edges {
    static constexpr int DASH = W ? W : 1; // elements

    static __device__ __forceinline__ int t(const vg_patches &s) { return T ? T : s.pt; }
    static __device__ __forceinline__ int h(const vg_patches &s) { return H ? H : s.ph; }
    static __device__ __forceinline__ int dashes(const vg_patches &s) // of one line of one patch
    {
        return W ? 1 : s.pw;
    }
};

// A dash of this block's first patch: that of its neighbour lies pw elements further.
struct vg_patch_dash {
    int c, inside; // channel; number among the dashes of one channel
    int64_t at;    // in frames
};

// Dash number n of a patch, channel slowest.
template <typename EDGES>
static __device__ __forceinline__ vg_patch_dash vg_patch_dash_of(const vg_patches &s, int n)
{
    const int pt = EDGES::t(s), ph = EDGES::h(s), across = EDGES::dashes(s), line = n / across;
    const int c = line / (pt * ph), it = line / ph % pt, ih = line % ph;
    return {c, n - c * pt * ph * across,
            (((int64_t)c * s.t + blockIdx.z * pt + it) * s.h + blockIdx.y * ph + ih) * s.w +
                (int64_t)blockIdx.x * s.tile * s.pw + n % across};
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

// Distance in a tile between rows of n values: a word more, so that the patches of a line lie in different banks.
template <typename T> static __device__ __forceinline__ int vg_patch_stride(int n)
{
    return n + (sizeof(T) < 4 ? (int)(4 / sizeof(T)) : 1);
}

// Frames [C,T,H,W] and patch edges to geometry, for tiles of elements T, and a block's bytes. False: one patch does not fit shared memory.
template <typename T>
static inline bool vg_cuda_patches(const int64_t *frames, const int patch[3], vg_patches *s,
                                   dim3 *grid, size_t *shared)
{
    int64_t volume = frames[0] * patch[0] * patch[1] * patch[2],
            row_bytes = (volume + 2) * (int64_t)sizeof(T);

    if (row_bytes > PATCH_SHARED)
        return false;
    *s = {(int)frames[0],
          (int)frames[1],
          (int)frames[2],
          (int)frames[3],
          patch[0],
          patch[1],
          patch[2],
          (int)(frames[2] / patch[1]),
          (int)(frames[3] / patch[2]),
          (int)volume,
          (int)(PATCH_SHARED / row_bytes < PATCH_TILE ? PATCH_SHARED / row_bytes : PATCH_TILE)};
    *grid = dim3((unsigned)((s->across + s->tile - 1) / s->tile), (unsigned)s->down,
                 (unsigned)(s->t / s->pt));
    *shared = (size_t)(s->tile * row_bytes);
    return s->down < 65536 && s->t / s->pt < 65536;
}

// Are the edges these, and may the operands' elements be moved in pairs?
static inline bool vg_cuda_patch_pairs(const int patch[3], const vg_tensor *a, const vg_tensor *b)
{
    return patch[0] == 1 && patch[1] == 2 && patch[2] == 2 &&
           reinterpret_cast<uintptr_t>(a->data) % (2 * vg_dtype_size(a->dtype)) == 0 &&
           reinterpret_cast<uintptr_t>(b->data) % (2 * vg_dtype_size(b->dtype)) == 0;
}

// Run BODY with EDGES, for frames a and rows b: those of Wan, of HunyuanVideo 1.5, or any.
#define VG_CUDA_PATCH(patch, a, b, EDGES, ...)                                                     \
    do {                                                                                           \
        if (vg_cuda_patch_pairs(patch, a, b)) {                                                    \
            using EDGES = vg_patch_edges<1, 2, 2>;                                                 \
            __VA_ARGS__                                                                            \
        } else if ((patch)[0] == 1 && (patch)[1] == 1 && (patch)[2] == 1) {                        \
            using EDGES = vg_patch_edges<1, 1, 1>;                                                 \
            __VA_ARGS__                                                                            \
        } else {                                                                                   \
            using EDGES = vg_patch_edges<0, 0, 0>;                                                 \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
