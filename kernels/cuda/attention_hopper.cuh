// attention_hopper.cuh: what the attention kernels for Hopper share: the order of the work, the ring of copies, how a finished row is
// stored. Private to attention_sm90.cu and attention_codes.cu.
#ifndef VG_KERNELS_CUDA_ATTENTION_HOPPER_CUH
#define VG_KERNELS_CUDA_ATTENTION_HOPPER_CUH

#include "kernels/cuda/codes.cuh"
#include "kernels/cuda/hopper.cuh"

// Where a result [rows,heads,D] goes.
struct vg_attention_out {
    __nv_bfloat16 *y; // or null
    vg_codes codes;
    int rows, heads;
};

#if VG_DEVICE_SM90A

// What a block of a cluster works on, one after the other: query tiles, CLUSTER of a head at once. The last of a head may not exist.
template <int CLUSTER> struct vg_attention_schedule {
    int groups, all, step, at, rank;

    __device__ __forceinline__ vg_attention_schedule(int heads, int q_tiles)
        : groups((q_tiles + CLUSTER - 1) / CLUSTER), all(heads * groups), step(gridDim.x / CLUSTER),
          at(blockIdx.x / CLUSTER), rank(CLUSTER > 1 ? (int)hopper::cluster_rank() : 0)
    {
    }
    __device__ __forceinline__ bool more() const { return at < all; }
    __device__ __forceinline__ void advance() { at += step; }
    __device__ __forceinline__ int head() const { return at / groups; }
    __device__ __forceinline__ int q_tile() const { return at % groups * CLUSTER + rank; }
};

// Position in a ring of STAGES slots.
template <int STAGES> struct vg_attention_ring {
    int slot = 0;
    uint32_t phase = 0;

    __device__ __forceinline__ void advance()
    {
        if (++slot == STAGES) {
            slot = 0;
            phase ^= 1;
        }
    }
};

// Of 4 x 4 words among 4 lanes the transpose: x[i] becomes what lane i of the four had at the place of this lane.
__device__ __forceinline__ void vg_attention_exchange(uint32_t (&x)[4], int lane)
{
#pragma unroll
    for (int bit = 1; bit <= 2; bit *= 2)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (!(i & bit)) {
                uint32_t got = __shfl_xor_sync(0xffffffffu, lane & bit ? x[i] : x[i | bit], bit);
                x[i] = lane & bit ? got : x[i];
                x[i | bit] = lane & bit ? x[i | bit] : got;
            }
}

__device__ __forceinline__ uint32_t vg_attention_pack(float low, float high)
{
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// The codes of 8 of every 32 columns of a finished row. Groups: a head of 128 is one.
template <int D>
__device__ __forceinline__ void vg_attention_encode(const vg_codes &codes,
                                                    const uint32_t (&line)[D / 32][4], int row,
                                                    int rows, int head, int lane)
{
    const bool by_group = codes.kind == VG_QUANT_GROUP_DYNAMIC;
    float v[D / 32][8], most = 0.0f, scale;

#pragma unroll
    for (int i = 0; i < D / 32; i++)
#pragma unroll
        for (int e = 0; e < 8; e++) {
            v[i][e] = __uint_as_float(e % 2 ? line[i][e / 2] & 0xffff0000u : line[i][e / 2] << 16);
            most = fmaxf(most, fabsf(v[i][e]));
        }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    scale = by_group ? vg_group_scale(most) : 1.0f / *codes.scales;
    if (row >= rows)
        return;
    if (by_group && lane % 4 == 0)
        codes.scales[head * codes.rows + row] = scale;
#pragma unroll
    for (int i = 0; i < D / 32; i++) {
        if (by_group)
            vg_divide<1>(v[i], scale);
        else
#pragma unroll
            for (int e = 0; e < 8; e++)
                v[i][e] *= scale;
        vg_store_codes(codes.q + row * codes.ld + head * D + i * 32 + lane % 4 * 8, v[i]);
    }
}

/* A finished row of a head. Four lanes share it, two columns of every 8 each (line[i][e]: those of 32 i + 8 e); they exchange words so
 * that each has 8 columns of every 32. All lanes of a warp call this together; rows past the end are not stored. */
template <int D>
__device__ __forceinline__ void vg_attention_store_row(const vg_attention_out &to,
                                                       uint32_t (&line)[D / 32][4], int row,
                                                       int head, int lane)
{
#pragma unroll
    for (int i = 0; i < D / 32; i++) {
        vg_attention_exchange(line[i], lane);
        if (to.y && row < to.rows)
            *reinterpret_cast<uint4 *>(to.y + ((int64_t)row * to.heads + head) * D + i * 32 +
                                       lane % 4 * 8) =
                make_uint4(line[i][0], line[i][1], line[i][2], line[i][3]);
    }
    if (to.codes.kind != VG_QUANT_NONE)
        vg_attention_encode<D>(to.codes, line, row, to.rows, head, lane);
}

#endif
#endif
