// attention_sm90.cu: softmax(scale q k^T) v for Hopper, in the structure of FlashAttention-3 (arXiv 2407.08608; read in
// Dao-AILab/flash-attention hopper/, BSD-3; this code is our own).
//
// DESIGN. One block per multiprocessor, three warpgroups, persistent over (head, query tile) with the query tile fastest, so that
// the blocks share one head's K and V in the L2 cache.
//   producer  (warpgroup 0, one thread): copies Q once per tile and K, V tiles into a ring of STAGES slots with the copy engine.
//   consumers (warpgroups 1 and 2): 64 query rows each. Per key tile j: issue S_j = Q K_j^T, then O += P_(j-1) V_(j-1), and
//             compute the weights of S_j on the ordinary cores while the second product runs.
// Turns: named barriers let the two consumers issue products one after the other, so one's weights overlap the other's products.
// Clusters: two blocks take neighbouring query tiles of a head. Each copies 64 of the 128 channels of every K and V tile into both, which
// halves what the L2 cache has to deliver: the kernel runs at the power limit, and that is where it saves most. (Head size 64 or a list
// of key tiles: clusters of one.) The last pair of a head may have only one real tile; the other block computes on zeros and stores nothing.
// Fixed reference (head size 128, no list): softmax does not change when all scores of a row are shifted, and neither BF16 weights nor
// FP32 sums lose precision while they stay in range. So the first key tile's maximum serves for the whole row, without a search for a
// larger one in every tile; a tile whose weights sum up to 2^16 moves the reference by a power of 2, exactly. Only a score 2^7 above the
// reference (in log2 units) overflows its weight: such tiles are marked, and a second launch of the kernel that follows the maximum online
// does them over. That launch reads one word when there are none.
// Hand-over by mbarriers: *_full (copies done), *_empty (all 8 consumer warps of all blocks of the cluster have read). Slot and phase follow
// from a running count.
// Key tiles go from the last to the first, so only the first one computed can be partial and the loop has no masks.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_hopper.cuh"

#include <atomic>

namespace
{

constexpr int Q_ROWS = 128, STAGES = 2, THREADS = 384;

template <int D> struct shape;
template <> struct shape<128> {
    static constexpr int KEYS =
        176; // S 88 + O 64 + P 44 registers of 240; 209 KiB of shared memory
};
template <> struct shape<64> {
    static constexpr int KEYS = 128;
};

// FIXED: the whole attention, by fixed references. ONLINE: the same, following the maximum. AGAIN: ONLINE for the marked query tiles.
enum mode { FIXED, ONLINE, AGAIN };

struct launch_args {
    vg_attention_out out;
    vg_key_tiles list; // tiles null: all of them
    // Query tiles to do over: marks[head * q_tiles + q_tile] has a byte for each warp; *any is `call` if there is one.
    unsigned long long *marks;
    unsigned *any, call;
    int nk, q_tiles, key_tiles;
    float scale_log2; // scale * log2(e)
};

#if VG_DEVICE_SM90A

constexpr float LARGE =
    65536.0f; // sum of a tile's weights that moves the reference; leaves 2^111 for |v| and the number of keys
enum { CONSUMER_WARPS = 8 }; // as many as bytes in a mark

// Tiles are [D/64][rows][64] with the 128-byte swizzle.
template <int D, int KEYS> struct storage {
    __nv_bfloat16 q[Q_ROWS * D];
    __nv_bfloat16 k[STAGES][KEYS * D];
    __nv_bfloat16 v[STAGES][KEYS * D];
    uint64_t q_full, q_empty, k_full[STAGES], k_empty[STAGES], v_full[STAGES], v_empty[STAGES];
};

__device__ __forceinline__ int tile_count(const launch_args &a, int row)
{
    return a.list.tiles ? a.list.counts[row] : a.key_tiles;
}

__device__ __forceinline__ int tile_at(const launch_args &a, int row, int i)
{
    return a.list.tiles ? a.list.tiles[(int64_t)row * a.list.stride + i] : i;
}

// What a block of a cluster works on, one after the other.
template <int CLUSTER, mode MODE> struct schedule : vg_attention_schedule<CLUSTER> {
    using base = vg_attention_schedule<CLUSTER>;
    const launch_args &a;

    __device__ __forceinline__ explicit schedule(const launch_args &args)
        : base(args.out.heads, args.q_tiles), a(args)
    {
        skip();
    }
    __device__ __forceinline__ void skip()
    {
        if (MODE == AGAIN)
            while (base::more() && a.marks[base::at] == 0)
                base::advance();
    }
    __device__ __forceinline__ void advance()
    {
        base::advance();
        skip();
    }
    __device__ __forceinline__ int row() const // as marks and lists of key tiles count
    {
        return base::head() * a.q_tiles + base::q_tile();
    }
};

using ring = vg_attention_ring<STAGES>;

template <int D, int CLUSTER, mode MODE>
__device__ __forceinline__ void produce(storage<D, shape<D>::KEYS> &s, const CUtensorMap *q_map,
                                        const CUtensorMap *k_map, const CUtensorMap *v_map,
                                        const launch_args &a)
{
    constexpr int KEYS = shape<D>::KEYS;
    constexpr uint32_t q_bytes = Q_ROWS * D * 2, tile_bytes = KEYS * D * 2;
    ring k, v;
    uint32_t q_phase = 1; // a fresh barrier counts as free
    schedule<CLUSTER, MODE> work(a);

    // The own barrier counts the bytes from all blocks of the cluster; they may arrive before it is told to expect them.
    auto load = [&](ring &r, __nv_bfloat16 *to, uint64_t *full, uint64_t *empty,
                    const CUtensorMap *map, int tile, int head) {
        hopper::barrier_wait(&empty[r.slot], r.phase ^ 1);
        hopper::barrier_expect(&full[r.slot], tile_bytes);
        if (CLUSTER > 1)
            hopper::tma_multicast_3d(to + r.slot * KEYS * D + work.rank * KEYS * 64, map,
                                     &full[r.slot], 0, tile * KEYS, head * (D / 64) + work.rank,
                                     (1 << CLUSTER) - 1);
        else
            hopper::tma_load_3d(to + r.slot * KEYS * D, map, &full[r.slot], 0, tile * KEYS,
                                head * (D / 64));
        r.advance();
    };

    for (; work.more(); work.advance(), q_phase ^= 1) {
        int head = work.head(), row = work.row(), n = tile_count(a, row);
        hopper::barrier_wait(&s.q_empty, q_phase);
        hopper::barrier_expect(&s.q_full, q_bytes);
        hopper::tma_load_3d(s.q, q_map, &s.q_full, 0, work.q_tile() * Q_ROWS, head * (D / 64));
        load(k, s.k[0], s.k_full, s.k_empty, k_map, tile_at(a, row, n - 1), head);
#pragma unroll 1 // few registers
        for (int j = n - 2; j >= 0; j--) {
            load(k, s.k[0], s.k_full, s.k_empty, k_map, tile_at(a, row, j), head);
            load(v, s.v[0], s.v_full, s.v_empty, v_map, tile_at(a, row, j + 1), head);
        }
        load(v, s.v[0], s.v_full, s.v_empty, v_map, tile_at(a, row, 0), head);
    }
}

__device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// One consumer's half of the work. Register i of S and O is row lane/4 + 8*(i/2%2) of the warp's 16, column i/4*8 + lane%4*2 + i%2.
template <int D, int CLUSTER, mode MODE> struct consumer {
    static constexpr int KEYS = shape<D>::KEYS;
    storage<D, KEYS> &sh;
    const launch_args &a;
    int group, lane, warp; // consumer 0 or 1; warp 0..3 in it
    uint32_t peer;         // sh in block lane % CLUSTER
    float s[KEYS / 2], o[D / 2], sum[2];
    float most[2],
        factor[2]; // most: the largest score times scale_log2, or the reference in its place
    bool overflow;
    uint32_t p[KEYS / 4];
    ring k, v;

    // A slot of K or V, which this warp has read: every block that copies into it has to know.
    __device__ __forceinline__ void free_slot(uint64_t *empty)
    {
        __syncwarp();
        if (lane < CLUSTER)
            hopper::barrier_arrive_in(
                peer + (uint32_t)(reinterpret_cast<char *>(empty) - reinterpret_cast<char *>(&sh)));
    }

    __device__ __forceinline__ void take_turn()
    {
        hopper::named_sync(1 + group, 256); // barrier 0 is __syncthreads
    }

    __device__ __forceinline__ void give_turn() { hopper::named_arrive(2 - group, 256); }

    // S = Q K^T, issued and committed. Rows of 64 channels: a step of 16 channels is 32 bytes inside the swizzle, then the next half.
    __device__ __forceinline__ void issue_scores()
    {
        hopper::wgmma_fence();
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
            const char *q = reinterpret_cast<const char *>(sh.q) + c / 4 * Q_ROWS * 128 +
                            group * 64 * 128 + c % 4 * 32;
            const char *keys = reinterpret_cast<const char *>(sh.k[0]) + k.slot * KEYS * D * 2 +
                               c / 4 * KEYS * 128 + c % 4 * 32;
            hopper::wgmma_ss<KEYS>::run(s, hopper::operand(q, 16, 1024),
                                        hopper::operand(keys, 16, 1024), c != 0);
        }
        hopper::wgmma_commit();
    }

    // O (+)= P V. V's rows are the K direction: blocks of 64 channels are KEYS * 128 bytes apart, 8 keys 1024 bytes.
    __device__ __forceinline__ void issue_values(bool add)
    {
        hopper::wgmma_fence();
#pragma unroll
        for (int c = 0; c < KEYS / 16; c++) {
            const char *values =
                reinterpret_cast<const char *>(sh.v[0]) + v.slot * KEYS * D * 2 + c * 2048;
            hopper::wgmma_rs<D>::run(o, p + 4 * c, hopper::operand(values, KEYS * 128, 1024),
                                     add || c != 0);
        }
        hopper::wgmma_commit();
    }

    // Keys from nk on do not exist (their K came as zeros).
    __device__ __forceinline__ void mask(int tile)
    {
        int limit = a.nk - tile * KEYS;

        if (limit >= KEYS)
            return;
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++)
            if (i / 4 * 8 + lane % 4 * 2 + i % 2 >= limit)
                s[i] = -INFINITY;
    }

    // S becomes 2^(scale_log2 s - most); the reference is moved only if the tile's weights are large.
    __device__ __forceinline__ void weigh()
    {
        float total[2] = {0.0f, 0.0f};

#pragma unroll
        for (int i = 0; i < KEYS / 2; i++) {
            s[i] = exp2_fast(s[i] * a.scale_log2 - most[i / 2 % 2]);
            total[i / 2 % 2] += s[i];
        }
        hopper::pin(s); // all of this comes before the wait for the second product
        if (__any_sync(0xffffffffu, !(fmaxf(total[0], total[1]) < LARGE)))
            move_reference(total);
        sum[0] += total[0];
        sum[1] += total[1];
    }

    // Rows whose weights have become large (total: of this tile and lane) go on in units 2^k times as large.
    __device__ __forceinline__ void move_reference(float (&total)[2])
    {
        hopper::wgmma_wait<0>();
        hopper::pin(o);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float row = total[r], factor;
            row += __shfl_xor_sync(0xffffffffu, row, 1);
            row += __shfl_xor_sync(0xffffffffu, row, 2);
            overflow |= !(row < INFINITY);
            int k = row >= LARGE ? min((int)(__float_as_uint(row) >> 23) - 127, 120) : 0;
            factor = __uint_as_float((uint32_t)(127 - k) << 23);
            most[r] += (float)k;
            sum[r] *= factor;
            total[r] *= factor;
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++) {
                s[4 * i + 2 * r] *= factor;
                s[4 * i + 2 * r + 1] *= factor;
            }
#pragma unroll
            for (int i = 0; i < D / 8; i++) {
                o[4 * i + 2 * r] *= factor;
                o[4 * i + 2 * r + 1] *= factor;
            }
        }
    }

    // S becomes e^(scale (s - max)); `factor` is what the sums so far have to be multiplied with.
    template <bool FIRST> __device__ __forceinline__ void softmax()
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float higher = s[2 * r], total = 0.0f;
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++)
                higher = fmaxf(higher, fmaxf(s[4 * i + 2 * r], s[4 * i + 2 * r + 1]));
            higher = fmaxf(higher, __shfl_xor_sync(0xffffffffu, higher, 1));
            higher = fmaxf(higher, __shfl_xor_sync(0xffffffffu, higher, 2));
            // NOTE: rounded once here and kept, so that an unchanged maximum gives a factor of exactly 1.
            higher = __fmul_rn(higher, a.scale_log2);
            higher = FIRST ? higher : fmaxf(most[r], higher);
            factor[r] = FIRST ? 0.0f : exp2_fast(most[r] - higher);
            most[r] = higher;
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
                for (int e = 4 * i + 2 * r; e < 4 * i + 2 * r + 2; e++) {
                    s[e] = exp2_fast(s[e] * a.scale_log2 - higher);
                    total += s[e];
                }
            sum[r] = FIRST ? total : sum[r] * factor[r] + total;
        }
    }

    __device__ __forceinline__ void convert()
    {
#pragma unroll
        for (int i = 0; i < KEYS / 4; i++)
            p[i] = vg_attention_pack(s[2 * i], s[2 * i + 1]);
    }

    // Most tiles raise no row's maximum; then all factors of the warp are 1 and O stays.
    __device__ __forceinline__ void rescale()
    {
        if (__any_sync(0xffffffffu, factor[0] != 1.0f || factor[1] != 1.0f)) {
#pragma unroll
            for (int i = 0; i < D / 2; i++)
                o[i] *= factor[i / 2 % 2];
        }
    }

    __device__ __forceinline__ void store(int head, int q_tile)
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float total = sum[r], inverse;
            uint32_t line[D / 32][4];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            inverse = 1.0f / total;
#pragma unroll
            for (int i = 0; i < D / 32; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    line[i][e] = vg_attention_pack(o[16 * i + 4 * e + 2 * r] * inverse,
                                                   o[16 * i + 4 * e + 2 * r + 1] * inverse);
            vg_attention_store_row<D>(a.out, line,
                                      q_tile * Q_ROWS + group * 64 + warp * 16 + lane / 4 + 8 * r,
                                      head, lane);
        }
    }

    // A row whose weights have overflowed has a sum that is no number or infinite, and so has its result.
    __device__ __forceinline__ void mark(int q_tile, int row)
    {
        bool again = __any_sync(0xffffffffu, overflow);

        if (lane != 0 || q_tile >= a.q_tiles)
            return;
        reinterpret_cast<unsigned char *>(&a.marks[row])[group * 4 + warp] = again;
        if (again)
            *a.any = a.call;
    }

    __device__ __forceinline__ void run()
    {
        uint32_t q_phase = 0;

        peer = hopper::address_in(&sh, lane % CLUSTER);
        if (group == 1)
            give_turn(); // consumer 0 goes first
        for (schedule<CLUSTER, MODE> work(a); work.more(); work.advance(), q_phase ^= 1) {
            int row = work.row(), n = tile_count(a, row);

            hopper::barrier_wait(&sh.q_full, q_phase);
            hopper::barrier_wait(&sh.k_full[k.slot], k.phase);
            issue_scores();
            hopper::wgmma_wait<0>();
            hopper::pin(s);
            free_slot(&sh.k_empty[k.slot]);
            k.advance();
            mask(tile_at(a, row, n - 1));
            softmax<true>();
            overflow = false;
            convert();

            for (int j = n - 2; j >= 0; j--) {
                hopper::barrier_wait(&sh.k_full[k.slot], k.phase);
                take_turn();
                issue_scores();
                hopper::barrier_wait(&sh.v_full[v.slot], v.phase);
                issue_values(j != n - 2);
                give_turn();
                hopper::wgmma_wait<1>();
                hopper::pin(s);
                free_slot(&sh.k_empty[k.slot]);
                k.advance();
                if (MODE == FIXED)
                    weigh();
                else
                    softmax<false>();
                hopper::wgmma_wait<0>();
                hopper::pin(o);
                free_slot(&sh.v_empty[v.slot]);
                v.advance();
                convert();
                if (MODE != FIXED)
                    rescale();
            }
            __syncwarp();
            if (lane == 0)
                hopper::barrier_arrive(&sh.q_empty);
            hopper::barrier_wait(&sh.v_full[v.slot], v.phase);
            issue_values(n > 1);
            hopper::wgmma_wait<0>();
            hopper::pin(o);
            free_slot(&sh.v_empty[v.slot]);
            v.advance();
            store(work.head(), work.q_tile());
            if (MODE == FIXED)
                mark(work.q_tile(), row);
        }
    }
};

#endif

/* attend   Bytes  at least 2*D*heads*(2*nq + 2*nk); K and V are read nq/(128*CLUSTER) times from L2 (2.9 TB/s at 740 TFLOP/s)
 *          FLOPs  4*nq*nk*heads*D, compute-bound: floor = FLOPs / (4096 per clock and multiprocessor); at 700 W the clock is what
 *          the energy of a FLOP leaves of it, so that instructions and bytes saved count although the tensor cores are busy
 * Launch   one block of 384 threads per multiprocessor; registers 24 (producer) and 240 (consumers); any nq, nk >= 1
 * Numerics BF16 products, FP32 scores and sums; exp2 by the special function unit (2 ulp); P rounded to BF16 before the second product, so
 *          against exact weights 2^-9 of the largest |v| plus one rounding; |v| < 2^94 for FIXED; fixed order, repeatable bit for bit.
 *          Codes: bit for bit as quantize.cu makes them of y
 * Measured NVIDIA H100 80GB HBM3, 700 W, random data, 2026-11, seconds of continuous running at 65 C:
 *          75600 x 75600, 40 x 128: 157 ms, 745 TFLOP/s (75 % of the datasheet's 989; at the clock it had, 1463 MHz, the tensor cores were
 *          busy for 94 %); 32760 x 32760: 29.6 ms, 744; 20280 x 20280: 11.6 ms, 723. From a cool start 754, 773, 782.
 *          75600 x 512, 40 x 128: 1.41 ms, 561. q and k of standard deviation 3: 729
 *          Before, the same way: 650 (1454 MHz, 83 %). Clusters 682, fixed reference 745
 * Not done Tried on the same card at 75600, TFLOP/s with clusters: no turns 737; the turn given before the last products 738; 192 keys 746
 *          and 160 keys 742, but worse at 512 keys; Q in registers with 128 keys and 3 stages 714, 144 keys 715; scores of the next tile
 *          in a second set of registers (112 keys) 717, (80) 685; three consumers of 64 rows with 80 keys 644 (online maximum);
 *          L2 eviction hints 681 against 682; a wait of all blocks at each tile +0.5 % without clusters. Without any loads
 *          the old kernel made 725, without softmax 790: what is left is the products' own energy. 8-bit operands */
template <int D, int CLUSTER, mode MODE>
__global__ void __launch_bounds__(THREADS, 1)
    attend(const __grid_constant__ CUtensorMap q_map, const __grid_constant__ CUtensorMap k_map,
           const __grid_constant__ CUtensorMap v_map, const __grid_constant__ launch_args a)
{
#if VG_DEVICE_SM90A
    constexpr int KEYS = shape<D>::KEYS;
    if (MODE == AGAIN && *a.any != a.call)
        return;
    extern __shared__ char raw[];
    auto &s = *reinterpret_cast<storage<D, KEYS> *>((reinterpret_cast<uintptr_t>(raw) + 1023) &
                                                    ~(uintptr_t)1023);
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
        hopper::registers_drop<24>();
        if (threadIdx.x == 0)
            produce<D, CLUSTER, MODE>(s, &q_map, &k_map, &v_map, a);
        __syncwarp();
    } else {
        hopper::registers_raise<240>();
        consumer<D, CLUSTER, MODE> c{s, a, group - 1, (int)threadIdx.x % 32,
                                     (int)threadIdx.x / 32 % 4};
        c.run();
    }
    hopper::cluster_sync(); // nothing may arrive in a block that has ended
#else
    (void)q_map, (void)k_map, (void)v_map, (void)a;
#endif
}

// ---- launcher -------------------------------------------------------------------------------------------------------

using encode_fn = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                               const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                               const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                               CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

// The driver's encoder, through the runtime; the programs are not linked with the driver.
encode_fn encoder()
{
    static const encode_fn found = [] {
        void *function = nullptr;
        cudaDriverEntryPointQueryResult result;
        if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                             cudaEnableDefault, &result) != cudaSuccess ||
            result != cudaDriverEntryPointSuccess)
            function = nullptr;
        return reinterpret_cast<encode_fn>(function);
    }();
    return found;
}

// [rows, heads * d] as boxes of [halves][box_rows][64], swizzled.
vg_status map_of(const vg_tensor *t, int box_rows, int halves, CUtensorMap *map, vg_err *err)
{
    int64_t heads = t->shape[1], d = t->shape[2];
    cuuint64_t dims[3] = {64, (cuuint64_t)t->shape[0], (cuuint64_t)(heads * d / 64)},
               strides[2] = {(cuuint64_t)(heads * d * 2), 128};
    cuuint32_t box[3] = {64, (cuuint32_t)box_rows, (cuuint32_t)halves}, steps[3] = {1, 1, 1};
    CUresult result =
        encoder()(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, t->data, dims, strides, box, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS)
        return VG_FAIL(
            err, VG_E_DEVICE,
            "attention: no tensor map for %lld rows of %lld heads x %lld: driver error %d",
            (long long)t->shape[0], (long long)heads, (long long)d, (int)result);
    return VG_OK;
}

launch_args arguments(const vg_attention_args *a, int keys)
{
    launch_args args = {};

    args.out = {a->y ? static_cast<__nv_bfloat16 *>(a->y->data) : nullptr, vg_cuda_codes(&a->quant),
                (int)a->q->shape[0], (int)a->q->shape[1]};
    args.nk = (int)a->k->shape[0];
    args.q_tiles = (args.out.rows + Q_ROWS - 1) / Q_ROWS;
    args.key_tiles = (args.nk + keys - 1) / keys;
    args.scale_log2 = a->scale * 1.44269504088896340736f;
    return args;
}

template <int D, int CLUSTER, mode MODE>
vg_status launch(vg_backend *be, const vg_attention_args *a, const launch_args &args, vg_err *err)
{
    constexpr int KEYS = shape<D>::KEYS;
    constexpr size_t shared =
        (size_t)(Q_ROWS + 2 * STAGES * KEYS) * D * 2 + 128 + 1024; // tiles, barriers, alignment
    CUtensorMap q, k, v;
    int64_t blocks = (int64_t)args.out.heads * ((args.q_tiles + CLUSTER - 1) / CLUSTER) * CLUSTER,
            most = vg_cuda(be)->sm_count / CLUSTER * CLUSTER;
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute cluster = {};

    VG_TRY(map_of(a->q, Q_ROWS, D / 64, &q, err));
    VG_TRY(map_of(a->k, KEYS, D / 64 / CLUSTER, &k, err));
    VG_TRY(map_of(a->v, KEYS, D / 64 / CLUSTER, &v, err));
    VG_CUDA_TRY(cudaFuncSetAttribute(attend<D, CLUSTER, MODE>,
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
    VG_CUDA_TRY(cudaLaunchKernelEx(&config, attend<D, CLUSTER, MODE>, q, k, v, args), err);
    return VG_OK;
}

// What scratch memory holds from before does no harm: every mark is written, and `any` by chance equal to `call` only has the marks read.
vg_status launch_fixed(vg_backend *be, const vg_attention_args *a, launch_args args, vg_err *err)
{
    static std::atomic<unsigned> calls;
    size_t marks = (size_t)args.out.heads * (size_t)args.q_tiles;
    unsigned long long *memory;

    VG_TRY(vg_cuda_scratch(be, (marks + 1) * sizeof *memory, (void **)&memory, err));
    args.marks = memory;
    args.any = reinterpret_cast<unsigned *>(memory + marks);
    args.call = ++calls;
    VG_TRY((launch<128, 2, FIXED>(be, a, args, err)));
    return launch<128, 1, AGAIN>(be, a, args, err);
}

} // namespace

bool vg_cuda_attention_sm90_fits(vg_backend *be, const vg_attention_args *a)
{
    int64_t d = a->q->shape[2];
    bool values = !a->y || (a->y->dtype == VG_BF16 && vg_cuda_packs(d, a->y->data));
    bool codes = a->quant.kind == VG_QUANT_NONE ||
                 (vg_cuda_packs(d, a->quant.q->data) &&
                  (d == VG_QUANT_GROUP || a->quant.kind == VG_QUANT_TENSOR_STATIC));

    return vg_cuda(be)->capability == 90 && (d == 64 || d == 128) && !a->bias && a->scale > 0.0f &&
           a->q->dtype == VG_BF16 && a->k->dtype == VG_BF16 && a->v->dtype == VG_BF16 && values &&
           codes && vg_cuda_packs(d, a->q->data, a->k->data, a->v->data) &&
           a->q->shape[0] < 1 << 30 && a->k->shape[0] < 1 << 30 &&
           a->q->shape[0] * a->q->shape[1] < (int64_t)1 << 31 && encoder();
}

vg_status vg_cuda_attention_sm90(vg_backend *be, const vg_attention_args *a,
                                 const vg_key_tiles *list, vg_err *err)
{
    bool narrow = a->q->shape[2] == 64;
    launch_args args = arguments(a, narrow ? shape<64>::KEYS : shape<128>::KEYS);

    VG_TRY(vg_cuda_enter(be, err));
    if (list)
        args.list = *list;
    if (narrow)
        return launch<64, 1, ONLINE>(be, a, args, err);
    return list || args.q_tiles == 1 ? launch<128, 1, ONLINE>(be, a, args, err)
                                     : launch_fixed(be, a, args, err);
}

void vg_cuda_attention_tile(int64_t head_dim, int64_t *query_rows, int64_t *keys)
{
    *query_rows = Q_ROWS;
    *keys = head_dim == 64 ? shape<64>::KEYS : shape<128>::KEYS;
}
