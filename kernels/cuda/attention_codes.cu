// attention_codes.cu: softmax(scale q k^T) v on INT8 q and k and E4M3 v, for Hopper. Other GPUs have no such kernel: they keep BF16.
//
// DESIGN. As attention_sm90.cu: one block per multiprocessor, persistent over (head, query tile), a producer thread that copies tiles of K and V
// with the copy engine into both blocks of a cluster, hand-over by mbarriers, key tiles from the last to the first. What differs:
// Three consumers of 64 query rows with 96 keys at a time: 8-bit products take half as long, so that what is in between takes its turns with
// more warps. No turns by barriers.
// INT8 for q and k: with a scale per token, a rotation and the mean of k removed its error is a third of E4M3's (1.7 % against 7 % of the
// result at scores of standard deviation 1, values of their own kind), and sums are exact. Weights and values need E4M3's range.
// The product takes 8-bit operands only with K contiguous: V comes transposed. Its A operand wants four consecutive keys in a lane, the scores
// have two of each 8: value_codes lays tokens in the order that makes the weights' registers the operand as they are.
// References of a softmax row are whole numbers, so that moving one changes no rounding. A row gets a new one only if weights would not
// fit E4M3, which their sum tells: no search for the largest score in every tile.
// The tensor cores align the 32 products of a step with the sum and cut them at 14 bits: a sum of one sign loses 8e-4 of itself each
// step. So sums go on in FP32, in shared memory, every 8 times 96 keys: 1 % at worst, for values without their mean.
#include "kernels/cuda/attention_hopper.cuh"
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace
{

constexpr int D = 128, CONSUMERS = 3, Q_ROWS = 64 * CONSUMERS, THREADS = 128 * (1 + CONSUMERS);
constexpr int STAGES = 2, TILE = 192; // keys that are copied at once

struct launch_args {
    vg_attention_out out;
    const float *q_scale, *k_scale, *v_scale, *v_mean;
    int nk, q_tiles, key_tiles, k_blocks; // tiles of TILE
    float scale_log2;                     // scale * log2(e)
    uint32_t one;                         // 1, which the compiler must not know: see weigh
};

// K tiles are [TILE][128] with the 128-byte swizzle, V tiles [BLOCKS][128][64] with the 64-byte swizzle.
struct storage {
    int8_t q[Q_ROWS * D];
    int8_t k[STAGES][TILE * D];
    uint8_t v[STAGES][TILE * D];
    float4 o
        [CONSUMERS][D / 8]
        [128]; // what has been promoted to FP32: [consumer][i][thread] holds that thread's o[4 i..]
    uint64_t q_full, q_empty, k_full[STAGES], k_empty[STAGES], v_full[STAGES], v_empty[STAGES];
};

#if VG_DEVICE_SM90A

constexpr int CONSUMER_WARPS = 4 * CONSUMERS;
constexpr int BLOCKS = TILE / VG_CODES_BLOCK; // scales of a tile, and its boxes of V
constexpr int KEYS = TILE / 2;                // that a consumer works on at once
constexpr int PARTS = KEYS / 32; // of these, steps of a product with V; two of them have one scale
constexpr int PROMOTE = 8;       // times KEYS are summed on the tensor cores
constexpr int MASKED = 1 << 22;  // minus this is less than any score, 128 * 127^2 at most
constexpr float OFFSET =
    4.0f; // log2 of a row's largest weight, rounded up, when its reference is set
constexpr float LARGE =
    448.0f; // sum of a lane's weights of a row that is too large: none of them exceeds E4M3

// Forms of operands (hopper::operand_at): K contiguous, 8 rows of 128 or 64 bytes an atom, swizzled over as many.
constexpr uint32_t OPERAND_128 = 1024 / 16 | 1u << 30, OPERAND_64 = 512 / 16 | 2u << 30;

using ring = vg_attention_ring<STAGES>;

template <int CLUSTER>
__device__ __forceinline__ void produce(storage &s, const CUtensorMap *q_map,
                                        const CUtensorMap *k_map, const CUtensorMap *v_map,
                                        const launch_args &a)
{
    constexpr uint16_t everyone = (1 << CLUSTER) - 1;
    ring k, v;
    uint32_t q_phase = 1; // a fresh barrier counts as free
    vg_attention_schedule<CLUSTER> work(a.out.heads, a.q_tiles);

    // The own barrier counts the bytes from all blocks of the cluster; they may arrive before it is told to expect them.
    auto load = [&](void *to, const CUtensorMap *map, uint64_t *full, int x, int y, int z) {
        if (CLUSTER > 1)
            hopper::tma_multicast_3d(to, map, full, x, y, z, everyone);
        else
            hopper::tma_load_3d(to, map, full, x, y, z);
    };
    auto load_k = [&](int tile, int head) {
        constexpr int rows = TILE / CLUSTER;
        hopper::barrier_wait(&s.k_empty[k.slot], k.phase ^ 1);
        hopper::barrier_expect(&s.k_full[k.slot], TILE * D);
        load(s.k[k.slot] + work.rank * rows * D, k_map, &s.k_full[k.slot], 0, head,
             tile * TILE + work.rank * rows);
        k.advance();
    };
    auto load_v = [&](int tile, int head) {
        constexpr int rows = D / CLUSTER;
        hopper::barrier_wait(&s.v_empty[v.slot], v.phase ^ 1);
        hopper::barrier_expect(&s.v_full[v.slot], TILE * D);
#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
            load(s.v[v.slot] + (b * D + work.rank * rows) * 64, v_map, &s.v_full[v.slot],
                 tile * TILE + b * 64, work.rank * rows, head);
        v.advance();
    };

    for (; work.more(); work.advance(), q_phase ^= 1) {
        int head = work.head();
        hopper::barrier_wait(&s.q_empty, q_phase);
        hopper::barrier_expect(&s.q_full, Q_ROWS * D);
        hopper::tma_load_3d(s.q, q_map, &s.q_full, 0, head, work.q_tile() * Q_ROWS);
        load_k(a.key_tiles - 1, head);
#pragma unroll 1 // few registers
        for (int j = a.key_tiles - 2; j >= 0; j--) {
            load_k(j, head);
            load_v(j + 1, head);
        }
        load_v(0, head);
    }
}

// Register i of S and O is row lane/4 + 8*(i/2%2) of the warp's 16, column i/4*8 + lane%4*2 + i%2.
template <int CLUSTER> struct consumer {
    storage &sh;
    const launch_args &a;
    int group, lane, warp;                    // consumer; warp 0..3 in it
    uint32_t peer;                            // sh in block lane % CLUSTER
    uint32_t q_operand, k_operand, v_operand; // where they are, in units of 16 bytes
    uint32_t s[KEYS / 2];                     // integers of the product
    float o[D / 2];
    uint32_t p[KEYS / 8]; // E4M3 weights
    float sum[2], reference[2], q_factor[2];
    float k_scale[BLOCKS], next_scale[BLOCKS]; // of this tile and the next one
    const float *scales;                       // of this head's keys
    uint32_t kept;                             // where this thread's part of sh.o is
    float kept_factor[2];                      // it still has to be multiplied with these
    int pending;                               // products with V summed in o
    ring k, v;

    // A slot of K or V, which this warp has read: every block that copies into it has to know.
    __device__ __forceinline__ void free_slot(uint64_t *empty)
    {
        __syncwarp();
        if (lane < CLUSTER)
            hopper::barrier_arrive_in(
                peer + (uint32_t)(reinterpret_cast<char *>(empty) - reinterpret_cast<char *>(&sh)));
    }

    // S = Q K^T, issued and committed. A step of 32 channels is 32 bytes inside the swizzle.
    template <int HALF> __device__ __forceinline__ void issue_scores()
    {
        const uint32_t keys = k_operand + k.slot * (TILE * D / 16) + HALF * (KEYS * D / 16);
        hopper::wgmma_fence();
#pragma unroll
        for (int c = 0; c < D / 32; c++)
            hopper::wgmma_s8_ss<KEYS>::run(s, hopper::operand_at(q_operand + c * 2, OPERAND_128),
                                           hopper::operand_at(keys + c * 2, OPERAND_128), c != 0);
        hopper::wgmma_commit();
    }

    // O (+)= P V. Half a tile is one and a half of V's boxes of 64 keys.
    template <int HALF> __device__ __forceinline__ void issue_values()
    {
        const uint32_t values = v_operand + v.slot * (TILE * D / 16);
        hopper::wgmma_fence();
#pragma unroll
        for (int c = 0; c < PARTS; c++) {
            constexpr int box = D * 64 / 16;
            const int part = HALF * PARTS + c;
            hopper::wgmma_e4m3_rs_128(
                o, p + 4 * c,
                hopper::operand_at(values + part / 2 * box + part % 2 * 2, OPERAND_64),
                pending > 0 || c != 0);
        }
        hopper::wgmma_commit();
        pending++;
    }

    // The sums of the tensor cores lose bits below 2^-13 of their size at each step of 32 keys; so they go on in FP32 now and then.
    __device__ __forceinline__ void promote()
    {
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            float4 x = load_shared(kept + i * 2048);
            x.x = __fmaf_rn(x.x, kept_factor[0], o[4 * i]);
            x.y = __fmaf_rn(x.y, kept_factor[0], o[4 * i + 1]);
            x.z = __fmaf_rn(x.z, kept_factor[1], o[4 * i + 2]);
            x.w = __fmaf_rn(x.w, kept_factor[1], o[4 * i + 3]);
            store_shared(kept + i * 2048, x);
        }
        kept_factor[0] = kept_factor[1] = 1.0f;
        pending = 0;
    }

    static __device__ __forceinline__ float4 load_shared(uint32_t at)
    {
        float4 v;
        asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];"
                     : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                     : "r"(at)
                     : "memory");
        return v;
    }

    static __device__ __forceinline__ void store_shared(uint32_t at, float4 v)
    {
        asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};"
                     :
                     : "r"(at), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w)
                     : "memory");
    }

    __device__ __forceinline__ void fetch_scales(int tile)
    {
#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
            next_scale[b] = __ldg(scales + min(max(tile, 0) * BLOCKS + b, a.k_blocks - 1));
    }

    // Is this column a key that does not exist (its K came as zeros)? limit: keys there are in this half tile.
    __device__ __forceinline__ bool beyond(int i, int limit)
    {
        return i / 4 * 8 + lane % 4 * 2 + i % 2 >= limit;
    }

    template <int HALF> __device__ __forceinline__ float factor(int r, int part)
    {
        return q_factor[r] * k_scale[(HALF * PARTS + part) / 2];
    }

    // The largest score of this lane in row r, in log2 units.
    template <int HALF, bool LAST> __device__ __forceinline__ float largest(int r, int limit)
    {
        float most = -INFINITY;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            int top = -MASKED;
#pragma unroll
            for (int i = 16 * part + 2 * r; i < 16 * part + 16; i += 4) {
                if (LAST) {
                    s[i] = beyond(i, limit) ? (uint32_t)-MASKED : s[i];
                    s[i + 1] = beyond(i + 1, limit) ? (uint32_t)-MASKED : s[i + 1];
                }
                top = __vimax3_s32(top, (int)s[i], (int)s[i + 1]);
            }
            most = fmaxf(most, (float)top * factor<HALF>(r, part));
        }
        return most;
    }

    // Weights are 2^(score - reference). A reference is a whole number, so that moving it changes no rounding. Rows with weights above
    // 2^OFFSET get a new one, and what has been summed goes on in its units.
    template <int HALF, bool LAST> __device__ __forceinline__ void refer(int limit)
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float most = largest<HALF, LAST>(r, limit);
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
            most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
            float moved = fmaxf(reference[r], ceilf(most) - OFFSET);
            float scale = vg_exp2(reference[r] - moved);
            reference[r] = moved;
            sum[r] *= scale;
            kept_factor[r] *= scale;
#pragma unroll
            for (int i = 0; i < D / 8; i++) {
                o[4 * i + 2 * r] *= scale;
                o[4 * i + 2 * r + 1] *= scale;
            }
        }
    }

    /* S becomes P. Columns 8 g + 2 t + e of S (t: lane % 4) are bytes 4 t + 2 (g % 2) + e of the operand's 16: value codes lie in that
     * order. Weights that are too large show in their sum; then the reference is set by the scores, which are still there, and they are
     * computed again. A NaN is let through.
     * NOTE: one piece of code for both rounds, in which P is written: with two the compiler keeps P twice and has no registers for it. */
    template <int HALF, bool LAST> __device__ __forceinline__ void weigh(int limit)
    {
        float total[2];

        if (LAST)
            refer<HALF, LAST>(limit);
#pragma unroll 1
        for (uint32_t again = LAST ? 1 : a.one - 1;; again = a.one) {
            float partial[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            hopper::pin(s); // nothing of the loop is computed in front of it
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                const float f[2] = {factor<HALF>(0, part), factor<HALF>(1, part)};
                float e[16];
#pragma unroll
                for (int i = 0; i < 16; i++) {
                    const int r = i / 2 % 2;
                    e[i] = vg_exp2(__fmaf_rn((float)(int)s[16 * part + i], f[r], -reference[r]));
                    if (LAST && beyond(16 * part + i, limit))
                        e[i] = 0.0f;
                    partial[i % 4] += e[i];
                }
#pragma unroll
                for (int i = 0; i < 4; i++)
                    p[4 * part + i] = pack(e + i / 2 * 8 + i % 2 * 2);
            }
            total[0] = partial[0] + partial[1];
            total[1] = partial[2] + partial[3];
            if (again || !__any_sync(0xffffffffu, !(fmaxf(total[0], total[1]) <= LARGE)))
                break;
            refer<HALF, LAST>(limit);
        }
        sum[0] += total[0];
        sum[1] += total[1];
    }

    static __device__ __forceinline__ uint32_t pack(const float *e)
    {
        uint32_t codes;
        asm("{\n.reg .b16 low, high;\n"
            "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
            "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
            "mov.b32 %0, {low, high};\n}"
            : "=r"(codes)
            : "f"(e[0]), "f"(e[1]), "f"(e[4]), "f"(e[5]));
        return codes;
    }

    /* Half a tile, from its scores to its weights; meanwhile the half before it (FIRST: there is none) meets its values. LAST: the keys may end
     * in it. */
    template <int HALF, bool FIRST> __device__ __forceinline__ void advance(int tile)
    {
        const int limit = FIRST ? a.nk - tile * TILE - HALF * KEYS : KEYS;

        if (HALF == 1 || FIRST) {
            hopper::barrier_wait(&sh.k_full[k.slot], k.phase);
#pragma unroll
            for (int b = 0; b < BLOCKS; b++)
                k_scale[b] = next_scale[b];
        }
        issue_scores<HALF>();
        if (!FIRST) {
            hopper::barrier_wait(&sh.v_full[v.slot], v.phase);
            issue_values<1 - HALF>();
        }
        if (HALF == 1 || FIRST)
            fetch_scales(tile - 1);
        hopper::wgmma_wait<0>();
        hopper::pin(s);
        hopper::pin(o);
        if (HALF == 0)
            leave(k, sh.k_empty);
        else if (!FIRST)
            leave(v, sh.v_empty);
        if (!FIRST && pending == PROMOTE)
            promote();
        weigh<HALF, FIRST>(limit);
    }

    __device__ __forceinline__ void leave(ring &r, uint64_t *empty)
    {
        free_slot(&empty[r.slot]);
        r.advance();
    }

    __device__ __forceinline__ void begin(int head, int q_tile)
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int row = q_tile * Q_ROWS + group * 64 + warp * 16 + lane / 4 + 8 * r;
            q_factor[r] = __ldg(a.q_scale + (int64_t)head * a.out.rows + min(row, a.out.rows - 1)) *
                          a.scale_log2;
            reference[r] = -INFINITY;
            sum[r] = 0.0f;
            kept_factor[r] = 1.0f;
        }
#pragma unroll
        for (int i = 0; i < D / 8; i++)
            store_shared(kept + i * 2048, make_float4(0.0f, 0.0f, 0.0f, 0.0f));
        pending = 0;
        scales = a.k_scale + (int64_t)head * a.k_blocks;
        fetch_scales(a.key_tiles - 1);
    }

    __device__ __forceinline__ void finish(int head, int q_tile)
    {
        const float2 *scale = reinterpret_cast<const float2 *>(a.v_scale + head * D),
                     *mean = reinterpret_cast<const float2 *>(a.v_mean + head * D);
        float inverse[2];
        uint32_t line[2][D / 32][4];

        hopper::barrier_wait(&sh.v_full[v.slot], v.phase);
        issue_values<0>();
        hopper::wgmma_wait<0>();
        hopper::pin(o);
        leave(v, sh.v_empty);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float total = sum[r];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            inverse[r] = 1.0f / total;
        }
        promote();
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            float4 x = load_shared(kept + i * 2048);
            float2 f = __ldg(scale + i * 4 + lane % 4), m = __ldg(mean + i * 4 + lane % 4);
            line[0][i / 4][i % 4] = vg_attention_pack(__fmaf_rn(x.x * inverse[0], f.x, m.x),
                                                      __fmaf_rn(x.y * inverse[0], f.y, m.y));
            line[1][i / 4][i % 4] = vg_attention_pack(__fmaf_rn(x.z * inverse[1], f.x, m.x),
                                                      __fmaf_rn(x.w * inverse[1], f.y, m.y));
        }
#pragma unroll
        for (int r = 0; r < 2; r++)
            vg_attention_store_row<D>(a.out, line[r],
                                      q_tile * Q_ROWS + group * 64 + warp * 16 + lane / 4 + 8 * r,
                                      head, lane);
    }

    __device__ __forceinline__ void run()
    {
        const int last = a.key_tiles - 1;
        uint32_t q_phase = 0;

        peer = hopper::address_in(&sh, lane % CLUSTER);
        kept = hopper::shared_address(&sh.o[group][0][warp * 32 + lane]);
        q_operand = hopper::shared_address(sh.q + group * 64 * D) / 16;
        k_operand = hopper::shared_address(sh.k) / 16;
        v_operand = hopper::shared_address(sh.v) / 16;
        for (vg_attention_schedule<CLUSTER> work(a.out.heads, a.q_tiles); work.more();
             work.advance(), q_phase ^= 1) {
            begin(work.head(), work.q_tile());
            hopper::barrier_wait(&sh.q_full, q_phase);
            if (a.nk > last * TILE + KEYS) {
                advance<1, true>(last);
                advance<0, false>(last);
            } else
                advance<0, true>(last);
#pragma unroll 1
            for (int tile = last - 1; tile >= 0; tile--) {
                advance<1, false>(tile);
                advance<0, false>(tile);
            }
            __syncwarp();
            if (lane == 0)
                hopper::barrier_arrive(&sh.q_empty);
            finish(work.head(), work.q_tile());
        }
    }
};

#endif

/* attend_codes   Bytes  at least heads*128*(nq + 2*nk + 2*nq); K and V are read nq/384 times from L2 (1.4 TB/s at 1040 TFLOP/s)
 *          FLOPs  4*nq*nk*heads*128, compute-bound. Floors per multiprocessor and 96 keys x 64 rows, in clocks: tensor cores 384 (8192 a clock),
 *          special function unit 384 (an exponential a score, 16 a clock), conversions to and from integers and E4M3, on the pipe of the
 *          integer unit, 230, instructions 360: so a third warp a scheduler, not fewer FLOPs, is what helps
 * Launch   clusters of two blocks of 512 threads, one a multiprocessor; registers 32 (producer) and 160 (consumers), 216 KiB of shared memory;
 *          any nq, nk >= 1
 * Numerics INT8 scores exact; FP32 softmax; exp2 by the special function unit (2 ulp); weights E4M3, their sum of unrounded ones; saturation never
 *          occurs; products with V in 14 bits, promoted to FP32 each 768 keys; a group of codes with a NaN has a NaN as scale, which comes through;
 *          fixed order, repeatable bit for bit. Codes of the result: bit for bit as quantize.cu makes them of y
 * Measured NVIDIA H200, 700 W, random data, 2026-11, median of seconds at the power limit (688 W, 1860 MHz), TFLOP/s:
 *          75600 x 75600, 40 x 128: 1018 to 1038 in three calls (114 ms); 32760 x 32760: 986 to 1014. attention_sm90.cu, BF16, in the
 *          same call: 720, 720. cuDNN 9.19, in an earlier one (BF16 there 737, 726): FP8 844, 834, BF16 577, 569. Quality:
 *          test_op_attention_codes; cosine 0.99917 on hard data
 *          Stages in front, per layer at 75600: see head_codes.cu and value_codes.cu
 * Not done Tried on the same card at 75600, TFLOP/s: two consumers of 64 rows with 192 keys 957 (128 keys 919), with turns or without; there a
 *          quarter of the exponentials by shifts and additions instead of the special function unit 975, with three consumers no gain;
 *          additions and multiplications spread between the exponentials by hand 995; three consumers, tiles done over by a second launch
 *          where references were too low 1021 (promoting half as often); the largest score in every tile 990; integers to floats by
 *          adding 2^23 1.5: 1006; the sum of the weights by a row of ones in V 988 (at a quarter of the promotions); promoting half
 *          as often gives 2.5 % more, but is 2 % off for values of one sign. The variant of 988 without conversion from integers 1114, without
 *          search for the largest 1087, without exponentials 1190 (each wrong): what limits are instructions and latency around the
 *          products, and power */
template <int CLUSTER>
__global__ void __launch_bounds__(THREADS, 1)
    attend_codes(const __grid_constant__ CUtensorMap q_map,
                 const __grid_constant__ CUtensorMap k_map,
                 const __grid_constant__ CUtensorMap v_map, const __grid_constant__ launch_args a)
{
#if VG_DEVICE_SM90A
    extern __shared__ char raw[];
    auto &s =
        *reinterpret_cast<storage *>((reinterpret_cast<uintptr_t>(raw) + 1023) & ~(uintptr_t)1023);
    int group =
        __shfl_sync(0xffffffffu, (int)threadIdx.x / 128,
                    0); // known to be the same in a warp: addresses stay in uniform registers

    if (threadIdx.x == 0) {
        hopper::tma_prefetch(&q_map);
        hopper::tma_prefetch(&k_map);
        hopper::tma_prefetch(&v_map);
        hopper::barrier_init(&s.q_full, 1);
        hopper::barrier_init(&s.q_empty, CONSUMER_WARPS);
        for (int i = 0; i < STAGES; i++) {
            hopper::barrier_init(&s.k_full[i], 1);
            hopper::barrier_init(&s.k_empty[i], CONSUMER_WARPS * CLUSTER);
            hopper::barrier_init(&s.v_full[i], 1);
            hopper::barrier_init(&s.v_empty[i], CONSUMER_WARPS * CLUSTER);
        }
        hopper::barrier_init_fence();
    }
    hopper::cluster_sync();
    if (group == 0) {
        hopper::registers_drop<32>();
        if (threadIdx.x == 0)
            produce<CLUSTER>(s, &q_map, &k_map, &v_map, a);
        __syncwarp();
    } else {
        hopper::registers_raise<160>();
        consumer<CLUSTER> c{s, a, group - 1, (int)threadIdx.x % 32, (int)threadIdx.x / 32 % 4};
        c.run();
    }
    hopper::cluster_sync(); // nothing may arrive in a block that has ended
#else
    (void)q_map, (void)k_map, (void)v_map, (void)a;
#endif
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <int CLUSTER>
vg_status launch(vg_backend *be, const vg_attention_codes_args *a, const launch_args &args,
                 vg_err *err)
{
    constexpr size_t shared = sizeof(storage) + 1024; // and its alignment
    const int64_t heads = a->q->shape[1], q_dims[3] = {D, heads, a->q->shape[0]},
                  k_dims[3] = {D, heads, a->k->shape[0]}, v_dims[3] = {a->v->shape[2], D, heads};
    const int q_box[3] = {D, 1, Q_ROWS}, k_box[3] = {D, 1, TILE / CLUSTER},
              v_box[3] = {64, D / CLUSTER, 1};
    CUtensorMap q, k, v;
    int64_t blocks = heads * ((args.q_tiles + CLUSTER - 1) / CLUSTER) * CLUSTER,
            most = vg_cuda(be)->sm_count / CLUSTER * CLUSTER;
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute cluster = {};

    VG_TRY(vg_cuda_tensor_map_bytes("attention_codes", a->q->data, 3, q_dims, q_box, &q, err));
    VG_TRY(vg_cuda_tensor_map_bytes("attention_codes", a->k->data, 3, k_dims, k_box, &k, err));
    VG_TRY(vg_cuda_tensor_map_bytes("attention_codes", a->v->data, 3, v_dims, v_box, &v, err));
    VG_CUDA_TRY(cudaFuncSetAttribute(attend_codes<CLUSTER>,
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared),
                err);
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = CLUSTER;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.gridDim = dim3((unsigned)(blocks < most ? blocks : most));
    config.blockDim = dim3(THREADS);
    config.dynamicSmemBytes = shared;
    config.stream = vg_cuda(be)->stream;
    config.attrs = &cluster;
    config.numAttrs = 1;
    VG_CUDA_TRY(cudaLaunchKernelEx(&config, attend_codes<CLUSTER>, q, k, v, args), err);
    return VG_OK;
}

} // namespace

vg_status vg_cuda_attention_codes(vg_backend *be, const vg_attention_codes_args *a, vg_err *err)
{
    launch_args args = {};

    if (vg_cuda(be)->capability != 90 || !vg_cuda_has_tensor_maps())
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "attention_codes: the kernel is for compute capability 9.0, this GPU has %d.%d; use BF16 attention",
            vg_cuda(be)->capability / 10, vg_cuda(be)->capability % 10);
    if (a->q->shape[2] != D || (a->y && a->y->dtype != VG_BF16))
        return VG_FAIL(
            err, VG_E_UNSUPPORTED,
            "attention_codes: head size %lld, result %s: the cuda backend has head size %d and BF16",
            (long long)a->q->shape[2], vg_dtype_name(a->y ? a->y->dtype : VG_BF16), D);
    VG_TRY(vg_cuda_enter(be, err));
    args.out = {a->y ? static_cast<__nv_bfloat16 *>(a->y->data) : nullptr, vg_cuda_codes(&a->quant),
                (int)a->q->shape[0], (int)a->q->shape[1]};
    args.q_scale = static_cast<const float *>(a->q_scale->data);
    args.k_scale = static_cast<const float *>(a->k_scale->data);
    args.v_scale = static_cast<const float *>(a->v_scale->data);
    args.v_mean = static_cast<const float *>(a->v_mean->data);
    args.nk = (int)a->k->shape[0];
    args.q_tiles = (args.out.rows + Q_ROWS - 1) / Q_ROWS;
    args.key_tiles = (args.nk + TILE - 1) / TILE;
    args.k_blocks = (args.nk + VG_CODES_BLOCK - 1) / VG_CODES_BLOCK;
    args.one = 1;
    args.scale_log2 = a->scale * 1.44269504088896340736f;
    return args.q_tiles == 1 ? launch<1>(be, a, args, err) : launch<2>(be, a, args, err);
}
