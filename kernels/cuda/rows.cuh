// rows.cuh: rows of BF16 that one warp holds in registers, as loaded: no barrier, no shared memory, and every load of a row in
// flight before the first value is needed. Private to kernels/cuda/.
//
// A row has 256 P elements: lane l holds the packs p of 8 at (32 p + l) 8, p < P, and 16 lanes of a pack are one group of 128 elements. The
// widths of the models are compiled (VG_CUDA_ROW): a test for the end of the row in each pack would cost as many instructions as the work.
#ifndef VG_KERNELS_CUDA_ROWS_CUH
#define VG_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/codes.cuh"

#define ROW_WARPS 12 // at most: one block of 384 threads an SM, 168 registers a thread

// The first row of this warp. The shuffle tells the compiler that it is the same for all lanes, and that the loop over rows does not part them.
static __device__ __forceinline__ int64_t vg_first_row()
{
    return (int64_t)blockIdx.x * (blockDim.x / 32) +
           __shfl_sync(0xffffffffu, (int)threadIdx.x / 32, 0);
}

static __device__ __forceinline__ void vg_unpack(uint4 pack, float (&v)[8])
{
    const unsigned words[4] = {pack.x, pack.y, pack.z, pack.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = __uint_as_float(words[i] << 16);
        v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

static __device__ __forceinline__ uint4 vg_packed(const float (&v)[8])
{
    __nv_bfloat162 pairs[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        pairs[i] = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
    return *reinterpret_cast<const uint4 *>(pairs);
}

static __device__ __forceinline__ float vg_warp_sum(float v)
{
    for (int offset = 16; offset; offset /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, offset);
    return v;
}

// Eight partial sums of a lane, pairwise, then the lanes: the order is fixed, and at most P + 8 additions deep.
static __device__ __forceinline__ float vg_warp_sum(const float (&s)[8])
{
    return vg_warp_sum(((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])));
}

// (largest |value| of a, largest of b) as a pair of BF16. A NaN is passed over.
static __device__ __forceinline__ __nv_bfloat162 vg_largest_of_packs(uint4 a, uint4 b)
{
    auto largest = [](uint4 pack) {
        const __nv_bfloat162 *v = reinterpret_cast<const __nv_bfloat162 *>(&pack);
        return __hmax2(__hmax2(__habs2(v[0]), __habs2(v[1])),
                       __hmax2(__habs2(v[2]), __habs2(v[3])));
    };
    __nv_bfloat162 x = largest(a), y = largest(b);
    return __hmax2(__lows2bfloat162(x, y), __highs2bfloat162(x, y));
}

// The same over the 16 lanes of a half-warp; all 32 lanes take part.
static __device__ __forceinline__ __nv_bfloat162 vg_half_warp_max(__nv_bfloat162 most)
{
#pragma unroll
    for (int offset = 8; offset; offset /= 2)
        most = __hmax2(most, __shfl_xor_sync(0xffffffffu, most, offset));
    return most;
}

// Codes of this lane's pack of a group, unless it lies outside of the row, and the group's scale; most: the group's largest magnitude.
static __device__ __forceinline__ void vg_store_group(__nv_fp8_e4m3 *to, bool inside,
                                                      float *scale_to, uint4 pack, float most)
{
    float v[8], scale = vg_group_scale<true>(most);
    vg_unpack(pack, v);
    vg_divide<1>(v, scale);
    if (inside)
        vg_store_codes(to, v);
    if (threadIdx.x % 16 == 0)
        *scale_to = scale;
}

/* Packs p and p + 1 of a finished row: to y (unless NULL) and as codes of this vg_quant_kind. All lanes call it. reciprocal: of the scale,
 * for TENSOR_STATIC. Two at a time: one shuffle carries the largest values of both. */
template <int KIND>
static __device__ __forceinline__ void vg_store_packs(__nv_bfloat16 *y, const vg_codes &codes,
                                                      float reciprocal, int64_t row, int p, int dim,
                                                      const uint4 (&packs)[2])
{
    const int lane = threadIdx.x % 32, column = (p * 32 + lane) * 8;

    if (y) {
        uint4 *to = reinterpret_cast<uint4 *>(y + row * dim + column);
        to[0] = packs[0];
        to[32] = packs[1];
    }
    if (KIND == VG_QUANT_NONE)
        return;
    __nv_fp8_e4m3 *q = codes.q + row * codes.ld + column;
    if (KIND == VG_QUANT_TENSOR_STATIC) {
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float v[8];
            vg_unpack(packs[k], v);
#pragma unroll
            for (int i = 0; i < 8; i++)
                v[i] = __fmul_rn(v[i], reciprocal);
            vg_store_codes(q + 256 * k, v);
        }
        return;
    }
    const __nv_bfloat162 most = vg_half_warp_max(vg_largest_of_packs(packs[0], packs[1]));
    float *scales =
        codes.scales + (p * 2 + lane / 16) * codes.rows + row; // a pack of 32 lanes is two groups
    vg_store_group(q, true, scales, packs[0], __low2float(most));
    vg_store_group(q + 256, true, scales + 2 * codes.rows, packs[1], __high2float(most));
}

// Is this a width that VG_CUDA_ROW compiles?
static inline bool vg_cuda_row_fits(int64_t dim, int64_t rows)
{
    return (dim == 1536 || dim == 2048 || dim == 3072 || dim == 5120) && rows <= (int64_t)1 << 30;
}

static inline unsigned vg_cuda_row_grid(vg_backend *be, int64_t rows, int warps)
{
    int64_t blocks = (rows + warps - 1) / warps, most = vg_cuda(be)->sm_count;
    return (unsigned)(blocks < most ? blocks : most);
}

// Run BODY with P, the packs a lane of a row that fits.
#define VG_CUDA_ROW(dim, P, ...)                                                                   \
    do {                                                                                           \
        if ((dim) == 1536) {                                                                       \
            constexpr int P = 6;                                                                   \
            __VA_ARGS__                                                                            \
        } else if ((dim) == 2048) {                                                                \
            constexpr int P = 8;                                                                   \
            __VA_ARGS__                                                                            \
        } else if ((dim) == 3072) {                                                                \
            constexpr int P = 12;                                                                  \
            __VA_ARGS__                                                                            \
        } else {                                                                                   \
            constexpr int P = 20;                                                                  \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
