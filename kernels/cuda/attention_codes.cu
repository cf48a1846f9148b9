// attention_codes.cu: softmax(scale q k^T) v on INT8 q and k and E4M3 v, for Hopper.
#include "kernels/cuda/attention_hopper.cuh"
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/tensor_map.cuh"

#include <atomic>
#include <climits>

namespace {

#ifndef TUNE_KEYS
#define TUNE_KEYS 192
#define TUNE_STAGES 3
#define TUNE_PROMOTE 4
#define TUNE_POLY 0
#define TUNE_TURNS 1
#endif
constexpr int D = 128, Q_ROWS = 128, KEYS = TUNE_KEYS, BLOCKS = KEYS / VG_CODES_BLOCK, STAGES = TUNE_STAGES, THREADS = 384, CONSUMER_WARPS = 8;
constexpr int PROMOTE = TUNE_PROMOTE; // tiles whose products with V are summed on the tensor cores

// FIXED: the whole attention, by fixed references. AGAIN: the marked query tiles, following the maximum.
enum mode { FIXED, AGAIN };

struct launch_args {
    vg_attention_out out;
    vg_attention_marks marks;
    const float *q_scale, *k_scale, *v_scale, *v_mean;
    int nk, q_tiles, key_tiles, k_blocks;
    float scale_log2; // scale * log2(e)
};

// K tiles are [KEYS][128] with the 128-byte swizzle, V tiles [BLOCKS][128][64] with the 64-byte swizzle.
struct storage {
    int8_t q[Q_ROWS * D];
    int8_t k[STAGES][KEYS * D];
    uint8_t v[STAGES][KEYS * D];
    float4 o[2][D / 8][128]; // what has been promoted to FP32: [consumer][i][thread] holds that thread's o[4 i..]
    uint64_t q_full, q_empty, k_full[STAGES], k_empty[STAGES], v_full[STAGES], v_empty[STAGES];
};

#if VG_DEVICE_SM90A

constexpr float LARGE = 448.0f; // sum of a lane's weights of a row that moves the reference: no weight exceeds E4M3
constexpr float COARSE = 255.5f, COARSE_BIAS = 0.0575f; // see coarse_exp2; the bias makes its mean error 0
constexpr int OFFSET = 4;       // log2 of the largest weight of the first tile, rounded up
constexpr int MOVED = 7;        // log2 of a row's sum after a move, rounded down

using ring = vg_attention_ring<STAGES>;

template <int CLUSTER, mode MODE>
__device__ __forceinline__ void produce(storage &s, const CUtensorMap *q_map, const CUtensorMap *k_map, const CUtensorMap *v_map,
                                        const launch_args &a)
{
    constexpr uint16_t everyone = (1 << CLUSTER) - 1;
    ring k, v;
    uint32_t q_phase = 1; // a fresh barrier counts as free
    vg_attention_schedule<CLUSTER, MODE == AGAIN> work(a.out.heads, a.q_tiles, a.marks.tiles);

    // The own barrier counts the bytes from all blocks of the cluster; they may arrive before it is told to expect them.
    auto load = [&](void *to, const CUtensorMap *map, uint64_t *full, int x, int y, int z) {
        if (CLUSTER > 1)
            hopper::tma_multicast_3d(to, map, full, x, y, z, everyone);
        else
            hopper::tma_load_3d(to, map, full, x, y, z);
    };
    auto load_k = [&](int tile, int head) {
        constexpr int rows = KEYS / CLUSTER;
        hopper::barrier_wait(&s.k_empty[k.slot], k.phase ^ 1);
        hopper::barrier_expect(&s.k_full[k.slot], KEYS * D);
        load(s.k[k.slot] + work.rank * rows * D, k_map, &s.k_full[k.slot], 0, head, tile * KEYS + work.rank * rows);
        k.advance();
    };
    auto load_v = [&](int tile, int head) {
        constexpr int rows = D / CLUSTER;
        hopper::barrier_wait(&s.v_empty[v.slot], v.phase ^ 1);
        hopper::barrier_expect(&s.v_full[v.slot], KEYS * D);
#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
            load(s.v[v.slot] + (b * D + work.rank * rows) * 64, v_map, &s.v_full[v.slot], tile * KEYS + b * 64, work.rank * rows, head);
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
template <int CLUSTER, mode MODE> struct consumer {
    storage &sh;
    const launch_args &a;
    int group, lane, warp; // consumer 0 or 1; warp 0..3 in it
    uint32_t peer;         // sh in block lane % CLUSTER
    uint32_t s[KEYS / 2];  // integers of the product, then weights
    float o[D / 2];
    uint32_t p[KEYS / 8]; // E4M3, operand of the second product
    float sum[2], reference[2], q_factor[2], k_scale[BLOCKS];
    float rescaled[2]; // AGAIN: what the sums so far have to be multiplied with
    bool overflow;
    uint32_t kept;  // this thread's sh.o
    int pending; // tiles summed in o
    ring k, v;

    // A slot of K or V, which this warp has read: every block that copies into it has to know.
    __device__ __forceinline__ void free_slot(uint64_t *empty)
    {
        __syncwarp();
        if (lane < CLUSTER)
            hopper::barrier_arrive_in(peer + (uint32_t)(reinterpret_cast<char *>(empty) - reinterpret_cast<char *>(&sh)));
    }

    __device__ __forceinline__ void take_turn()
    {
        if (TUNE_TURNS)
            hopper::named_sync(1 + group, 256); // barrier 0 is __syncthreads
    }

    __device__ __forceinline__ void give_turn()
    {
        if (TUNE_TURNS)
            hopper::named_arrive(2 - group, 256);
    }

    // S = Q K^T, issued and committed. A step of 32 channels is 32 bytes inside the swizzle.
    __device__ __forceinline__ void issue_scores()
    {
        hopper::wgmma_fence();
#pragma unroll
        for (int c = 0; c < D / 32; c++)
            hopper::wgmma_s8_ss<KEYS>::run(s, hopper::operand(sh.q + group * 64 * D + c * 32, 16, 1024),
                                           hopper::operand(sh.k[0] + k.slot * KEYS * D + c * 32, 16, 1024), c != 0);
        hopper::wgmma_commit();
    }

    // O (+)= P V.
    __device__ __forceinline__ void issue_values()
    {
        hopper::wgmma_fence();
#pragma unroll
        for (int c = 0; c < KEYS / 32; c++)
            hopper::wgmma_e4m3_rs_128(o, p + 4 * c, hopper::operand_64(sh.v[0] + v.slot * KEYS * D + c / 2 * D * 64 + c % 2 * 32),
                                      pending > 0 || c != 0);
        hopper::wgmma_commit();
        pending++;
    }

    // The sums of the tensor cores lose bits below 2^-13 of their size at each step of 32 keys; so they go on in FP32 now and then.
    __device__ __forceinline__ void promote()
    {
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            float4 x = load_shared(kept + i * 2048);
            store_shared(kept + i * 2048, make_float4(x.x + o[4 * i], x.y + o[4 * i + 1], x.z + o[4 * i + 2], x.w + o[4 * i + 3]));
        }
        pending = 0;
    }

    // Everything summed so far, in units 1 / factor[row] times as large.
    __device__ __forceinline__ void rescale(const float (&factor)[2])
    {
#pragma unroll
        for (int i = 0; i < D / 2; i++)
            o[i] *= factor[i / 2 % 2];
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            float4 x = load_shared(kept + i * 2048);
            store_shared(kept + i * 2048, make_float4(x.x * factor[0], x.y * factor[0], x.z * factor[1], x.w * factor[1]));
        }
    }

    static __device__ __forceinline__ float4 load_shared(uint32_t at)
    {
        float4 v;
        asm volatile("ld.shared.v4.f32 {%0,%1,%2,%3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(at) : "memory");
        return v;
    }

    static __device__ __forceinline__ void store_shared(uint32_t at, float4 v)
    {
        asm volatile("st.shared.v4.f32 [%0], {%1,%2,%3,%4};" : : "r"(at), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w) : "memory");
    }

    __device__ __forceinline__ void load_scales(int head, int tile)
    {
#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
            k_scale[b] = __ldg(a.k_scale + (int64_t)head * a.k_blocks + min(tile * BLOCKS + b, a.k_blocks - 1));
    }

    // Is this column of the tile a key that does not exist (its K came as zeros)?
    __device__ __forceinline__ bool beyond(int i, int limit)
    {
        return i / 4 * 8 + lane % 4 * 2 + i % 2 >= limit;
    }

    // The largest score of a row, in log2 units, rounded up. limit: keys in this tile.
    __device__ __forceinline__ float largest(int r, int limit)
    {
        float most = -INFINITY;
#pragma unroll
        for (int b = 0; b < BLOCKS; b++) {
            int block = INT_MIN;
#pragma unroll
            for (int i = 8 * 4 * b; i < 8 * 4 * (b + 1); i += 4)
#pragma unroll
                for (int e = i + 2 * r; e < i + 2 * r + 2; e++)
                    block = beyond(e, limit) ? block : max(block, (int)s[e]);
            if (limit > b * VG_CODES_BLOCK)
                most = fmaxf(most, (float)block * (q_factor[r] * k_scale[b]));
        }
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        return ceilf(most);
    }

    // 2^x for x = s f - reference, within 2 % up and 4 % down, without the special function unit: x + 127, saturated to [0,COARSE], is rounded to
    // 8 fraction bits by adding a large number, and shifted to where a float has exponent and mantissa. Too large ones become NaN.
    static __device__ __forceinline__ float coarse_exp2(float s, float f, float c)
    {
        float x = __saturatef(__fmaf_rn(s, f, c));
        return __uint_as_float(__float_as_uint(__fmaf_rn(x, COARSE, 49152.0f)) << 15);
    }

    // S becomes 2^(score - reference). total: its sums in this lane.
    __device__ __forceinline__ void weigh(float (&total)[2])
    {
        float partial[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        const float coarse[2] = {(127.0f - COARSE_BIAS - reference[0]) * (1.0f / COARSE), (127.0f - COARSE_BIAS - reference[1]) * (1.0f / COARSE)};

#pragma unroll
        for (int b = 0; b < BLOCKS; b++) {
            const float f[2] = {q_factor[0] * k_scale[b], q_factor[1] * k_scale[b]};
#pragma unroll
            for (int i = 32 * b; i < 32 * (b + 1); i++) {
                int r = i / 2 % 2;
                float e = TUNE_POLY >> i % 16 & 1 ? coarse_exp2((float)(int)s[i], f[r] * (1.0f / COARSE), coarse[r])
                                                  : vg_exp2(__fmaf_rn((float)(int)s[i], f[r], -reference[r]));
                s[i] = __float_as_uint(e);
                partial[i % 4] += e;
            }
        }
        total[0] = partial[0] + partial[1];
        total[1] = partial[2] + partial[3];
    }

    __device__ __forceinline__ void weigh_first(int tile)
    {
        int limit = a.nk - tile * KEYS;
        float total[2];
#pragma unroll
        for (int r = 0; r < 2; r++)
            reference[r] = largest(r, limit) - OFFSET;
        weigh(total);
        if (limit < KEYS) {
            total[0] = total[1] = 0.0f;
#pragma unroll
            for (int i = 0; i < KEYS / 2; i++) {
                s[i] = beyond(i, limit) ? 0 : s[i];
                total[i / 2 % 2] += __uint_as_float(s[i]);
            }
        }
        sum[0] = total[0];
        sum[1] = total[1];
    }

    __device__ __forceinline__ void weigh_fixed()
    {
        float total[2];
        weigh(total);
        hopper::pin(s); // all of this comes before the wait for the second product
        if (__any_sync(0xffffffffu, !(fmaxf(total[0], total[1]) <= LARGE)))
            move_reference(total);
        sum[0] += total[0];
        sum[1] += total[1];
    }

    // Rows whose weights have become large (total: of this tile and lane) go on in units 2^k times as large.
    __device__ __forceinline__ void move_reference(float (&total)[2])
    {
        float factor[2];

        hopper::wgmma_wait<0>();
        hopper::pin(o);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float row = total[r];
            row += __shfl_xor_sync(0xffffffffu, row, 1);
            row += __shfl_xor_sync(0xffffffffu, row, 2);
            overflow |= !(row < INFINITY);
            int k = row > LARGE ? min((int)(__float_as_uint(row) >> 23) - 127 - MOVED, 120) : 0;
            factor[r] = __uint_as_float((uint32_t)(127 - k) << 23);
            reference[r] += (float)k;
            sum[r] *= factor[r];
            total[r] *= factor[r];
        }
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++)
            s[i] = __float_as_uint(__uint_as_float(s[i]) * factor[i / 2 % 2]);
        rescale(factor);
    }

    __device__ __forceinline__ void weigh_following()
    {
        float total[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float higher = fmaxf(reference[r], largest(r, KEYS) - OFFSET);
            rescaled[r] = vg_exp2(reference[r] - higher);
            reference[r] = higher;
        }
        weigh(total);
        hopper::pin(s);
        sum[0] = sum[0] * rescaled[0] + total[0];
        sum[1] = sum[1] * rescaled[1] + total[1];
    }

    // Columns 8 g + 2 t + e of S (t: lane % 4) are bytes 4 t + 2 (g % 2) + e of the operand's 16: value codes lie in that order.
    __device__ __forceinline__ void convert()
    {
        hopper::pin(s); // not before the last product has read p
#pragma unroll
        for (int i = 0; i < KEYS / 8; i++) {
            int from = i / 2 * 8 + i % 2 * 2;
            asm("{\n.reg .b16 low, high;\n"
                "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n"
                "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n"
                "mov.b32 %0, {low, high};\n}"
                : "=r"(p[i])
                : "f"(__uint_as_float(s[from])), "f"(__uint_as_float(s[from + 1])), "f"(__uint_as_float(s[from + 4])),
                  "f"(__uint_as_float(s[from + 5])));
        }
    }

    __device__ __forceinline__ void store(int head, int q_tile)
    {
        const float2 *scale = reinterpret_cast<const float2 *>(a.v_scale + head * D), *mean = reinterpret_cast<const float2 *>(a.v_mean + head * D);
        float inverse[2];

#pragma unroll
        for (int r = 0; r < 2; r++) {
            float total = sum[r];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            inverse[r] = 1.0f / total;
        }
        promote();
        uint32_t line[2][D / 32][4];
#pragma unroll
        for (int i = 0; i < D / 8; i++) {
            float4 x = load_shared(kept + i * 2048);
            float2 f = __ldg(scale + i * 4 + lane % 4), m = __ldg(mean + i * 4 + lane % 4);
            line[0][i / 4][i % 4] = pack_bf16(x.x * inverse[0] * f.x + m.x, x.y * inverse[0] * f.y + m.y);
            line[1][i / 4][i % 4] = pack_bf16(x.z * inverse[1] * f.x + m.x, x.w * inverse[1] * f.y + m.y);
        }
#pragma unroll
        for (int r = 0; r < 2; r++)
            vg_attention_store_row<D>(a.out, line[r], q_tile * Q_ROWS + group * 64 + warp * 16 + lane / 4 + 8 * r, head, lane);
    }

    static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
    {
        uint32_t packed;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
        return packed;
    }

    // A row whose weights have overflowed has a sum that is no number or infinite, and so has its result.
    __device__ __forceinline__ void mark(int q_tile, int row)
    {
        bool again = __any_sync(0xffffffffu, overflow);

        if (lane != 0 || q_tile >= a.q_tiles)
            return;
        reinterpret_cast<unsigned char *>(&a.marks.tiles[row])[group * 4 + warp] = again;
        if (again)
            *a.marks.any = a.marks.call;
    }

    __device__ __forceinline__ void begin(int head, int q_tile)
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int row = q_tile * Q_ROWS + group * 64 + warp * 16 + lane / 4 + 8 * r;
            q_factor[r] = __ldg(a.q_scale + (int64_t)head * a.out.rows + min(row, a.out.rows - 1)) * a.scale_log2;
        }
#pragma unroll
        for (int i = 0; i < D / 8; i++)
            store_shared(kept + i * 2048, make_float4(0.0f, 0.0f, 0.0f, 0.0f));
        overflow = false;
        pending = 0;
    }

    __device__ __forceinline__ void run()
    {
        uint32_t q_phase = 0;

        peer = hopper::address_in(&sh, lane % CLUSTER);
        kept = hopper::shared_address(&sh.o[group][0][warp * 32 + lane]);
        if (group == 1)
            give_turn(); // consumer 0 goes first
        for (vg_attention_schedule<CLUSTER, MODE == AGAIN> work(a.out.heads, a.q_tiles, a.marks.tiles); work.more(); work.advance(), q_phase ^= 1) {
            int head = work.head();

            begin(head, work.q_tile());
            load_scales(head, a.key_tiles - 1);
            hopper::barrier_wait(&sh.q_full, q_phase);
            hopper::barrier_wait(&sh.k_full[k.slot], k.phase);
            issue_scores();
            hopper::wgmma_wait<0>();
            hopper::pin(s);
            free_slot(&sh.k_empty[k.slot]);
            k.advance();
            weigh_first(a.key_tiles - 1);
            convert();

            for (int j = a.key_tiles - 2; j >= 0; j--) {
                load_scales(head, j);
                hopper::barrier_wait(&sh.k_full[k.slot], k.phase);
                take_turn();
                issue_scores();
                hopper::barrier_wait(&sh.v_full[v.slot], v.phase);
                issue_values();
                give_turn();
                hopper::wgmma_wait<1>();
                hopper::pin(s);
                free_slot(&sh.k_empty[k.slot]);
                k.advance();
                if (MODE == FIXED)
                    weigh_fixed();
                else
                    weigh_following();
                hopper::wgmma_wait<0>();
                hopper::pin(o);
                free_slot(&sh.v_empty[v.slot]);
                v.advance();
                if (MODE == AGAIN && __any_sync(0xffffffffu, rescaled[0] != 1.0f || rescaled[1] != 1.0f))
                    rescale(rescaled);
                convert();
                if (pending == PROMOTE)
                    promote();
            }
            __syncwarp();
            if (lane == 0)
                hopper::barrier_arrive(&sh.q_empty);
            hopper::barrier_wait(&sh.v_full[v.slot], v.phase);
            issue_values();
            hopper::wgmma_wait<0>();
            hopper::pin(o);
            free_slot(&sh.v_empty[v.slot]);
            v.advance();
            store(head, work.q_tile());
            if (MODE == FIXED)
                mark(work.q_tile(), work.row());
        }
    }
};

#endif

template <int CLUSTER, mode MODE>
__global__ void __launch_bounds__(THREADS, 1)
    attend_codes(const __grid_constant__ CUtensorMap q_map, const __grid_constant__ CUtensorMap k_map, const __grid_constant__ CUtensorMap v_map,
                 const __grid_constant__ launch_args a)
{
#if VG_DEVICE_SM90A
    if (MODE == AGAIN && *a.marks.any != a.marks.call)
        return;
    extern __shared__ char raw[];
    auto &s = *reinterpret_cast<storage *>((reinterpret_cast<uintptr_t>(raw) + 1023) & ~(uintptr_t)1023);
    int group = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128, 0); // known to be the same in a warp: addresses stay in uniform registers

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
        hopper::registers_drop<24>();
        if (threadIdx.x == 0)
            produce<CLUSTER, MODE>(s, &q_map, &k_map, &v_map, a);
        __syncwarp();
    } else {
        hopper::registers_raise<240>();
        consumer<CLUSTER, MODE> c{s, a, group - 1, (int)threadIdx.x % 32, (int)threadIdx.x / 32 % 4};
        c.run();
    }
    hopper::cluster_sync(); // nothing may arrive in a block that has ended
#else
    (void)q_map, (void)k_map, (void)v_map, (void)a;
#endif
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <int CLUSTER, mode MODE> vg_status launch(vg_backend *be, const vg_attention_codes_args *a, const launch_args &args, vg_err *err)
{
    constexpr size_t shared = sizeof(storage) + 1024; // and its alignment
    const int64_t heads = a->q->shape[1], q_dims[3] = {D, heads, a->q->shape[0]}, k_dims[3] = {D, heads, a->k->shape[0]},
                  v_dims[3] = {a->v->shape[2], D, heads};
    const int q_box[3] = {D, 1, Q_ROWS}, k_box[3] = {D, 1, KEYS / CLUSTER}, v_box[3] = {64, D / CLUSTER, 1};
    CUtensorMap q, k, v;
    int64_t blocks = heads * ((args.q_tiles + CLUSTER - 1) / CLUSTER) * CLUSTER, most = vg_cuda(be)->sm_count / CLUSTER * CLUSTER;
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute cluster = {};

    VG_TRY(vg_cuda_tensor_map_bytes("attention_codes", a->q->data, 3, q_dims, q_box, &q, err));
    VG_TRY(vg_cuda_tensor_map_bytes("attention_codes", a->k->data, 3, k_dims, k_box, &k, err));
    VG_TRY(vg_cuda_tensor_map_bytes("attention_codes", a->v->data, 3, v_dims, v_box, &v, err));
    VG_CUDA_TRY(cudaFuncSetAttribute(attend_codes<CLUSTER, MODE>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared), err);
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = CLUSTER;
    cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    config.gridDim = dim3((unsigned)(blocks < most ? blocks : most));
    config.blockDim = dim3(THREADS);
    config.dynamicSmemBytes = shared;
    config.stream = vg_cuda(be)->stream;
    config.attrs = &cluster;
    config.numAttrs = 1;
    VG_CUDA_TRY(cudaLaunchKernelEx(&config, attend_codes<CLUSTER, MODE>, q, k, v, args), err);
    return VG_OK;
}

} // namespace

vg_status vg_cuda_attention_codes(vg_backend *be, const vg_attention_codes_args *a, vg_err *err)
{
    static std::atomic<unsigned> calls;
    launch_args args = {};
    size_t marks;
    unsigned long long *memory;

    if (vg_cuda(be)->capability != 90 || !vg_cuda_has_tensor_maps())
        return VG_FAIL(err, VG_E_UNSUPPORTED, "attention_codes: the kernel is for compute capability 9.0, this GPU has %d.%d; use BF16 attention",
                       vg_cuda(be)->capability / 10, vg_cuda(be)->capability % 10);
    VG_TRY(vg_cuda_enter(be, err));
    args.out = {a->y ? static_cast<__nv_bfloat16 *>(a->y->data) : nullptr, vg_cuda_codes(&a->quant), (int)a->q->shape[0], (int)a->q->shape[1]};
    args.q_scale = static_cast<const float *>(a->q_scale->data);
    args.k_scale = static_cast<const float *>(a->k_scale->data);
    args.v_scale = static_cast<const float *>(a->v_scale->data);
    args.v_mean = static_cast<const float *>(a->v_mean->data);
    args.nk = (int)a->k->shape[0];
    args.q_tiles = (args.out.rows + Q_ROWS - 1) / Q_ROWS;
    args.key_tiles = (args.nk + KEYS - 1) / KEYS;
    args.k_blocks = (args.nk + VG_CODES_BLOCK - 1) / VG_CODES_BLOCK;
    args.scale_log2 = a->scale * 1.44269504088896340736f;
    // What scratch memory holds from before does no harm: every mark is written, and `any` by chance equal to `call` only has the marks read.
    marks = (size_t)args.out.heads * (size_t)args.q_tiles;
    VG_TRY(vg_cuda_scratch(be, (marks + 1) * sizeof *memory, (void **)&memory, err));
    args.marks = {memory, reinterpret_cast<unsigned *>(memory + marks), ++calls};
    VG_TRY((launch<2, FIXED>(be, a, args, err)));
    return launch<1, AGAIN>(be, a, args, err);
}
