// rows.cuh: rows of BF16 that one warp holds in registers, as loaded: no barrier, no shared memory, and every load of a row in
// flight before the first value is needed. Private to kernels/cuda/.
//
// Lane l holds the packs p of 8 elements at (32 p + l) 8, p < P; those at or behind `dim` count as zeros and are not stored. With dim a
// multiple of 8 a pack is whole or absent. 16 lanes of a pack are one group of 128 elements.
#ifndef VG_KERNELS_CUDA_ROWS_CUH
#define VG_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/codes.cuh"

#define ROW_WARPS 12 // one block of 384 threads an SM: 168 registers a thread

// Read once: such data should not displace the vectors that every row needs from L1.
static __device__ __forceinline__ uint4 vg_load_once(const __nv_bfloat16 *from)
{
    uint4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from) : "memory");
    return v;
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

/* A finished pack of a row: rounded to BF16, to y (unless NULL) and as codes of this vg_quant_kind. column may be at or behind dim: all lanes
 * call it. reciprocal: of the scale, for TENSOR_STATIC. */
template <int KIND>
static __device__ __forceinline__ void vg_store_pack(__nv_bfloat16 *y, const vg_codes &codes, float reciprocal, int64_t row, int column, int dim, float (&v)[8])
{
    uint4 pack = vg_packed(v);
    bool present = column < dim;

    if (y && present)
        *reinterpret_cast<uint4 *>(y + row * dim + column) = pack;
    if (KIND == VG_QUANT_NONE)
        return;
    vg_unpack(pack, v);
    if (KIND == VG_QUANT_TENSOR_STATIC) {
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = __fmul_rn(v[i], reciprocal);
    } else {
        float most = 0.0f, scale;
#pragma unroll
        for (int i = 0; i < 8; i++)
            most = fmaxf(most, fabsf(v[i]));
        scale = vg_group_scale<true>(vg_half_warp_max(present ? most : 0.0f));
        if (threadIdx.x % 16 == 0 && present)
            codes.scales[column / VG_QUANT_GROUP * codes.rows + row] = scale;
        vg_divide<1>(v, scale);
    }
    if (present)
        vg_store_codes(codes.q + row * codes.ld + column, v);
}

// Can a row of this width be held? The vectors are read in packs too. dim <= 5120.
static inline bool vg_cuda_row_fits(int64_t dim, int64_t rows)
{
    return dim % 8 == 0 && dim <= 5120 && rows <= (int64_t)1 << 30;
}

static inline unsigned vg_cuda_row_grid(vg_backend *be, int64_t rows)
{
    int64_t blocks = (rows + ROW_WARPS - 1) / ROW_WARPS, most = vg_cuda(be)->sm_count;
    return (unsigned)(blocks < most ? blocks : most);
}

// Run BODY with P, the least number of packs a lane that is compiled and holds a row of dim.
#define VG_CUDA_ROW(dim, P, ...)                                                                   \
    do {                                                                                           \
        if ((dim) <= 8 * 256) {                                                                    \
            constexpr int P = 8;                                                                   \
            __VA_ARGS__                                                                            \
        } else if ((dim) <= 12 * 256) {                                                            \
            constexpr int P = 12;                                                                  \
            __VA_ARGS__                                                                            \
        } else {                                                                                   \
            constexpr int P = 20;                                                                  \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

#endif
