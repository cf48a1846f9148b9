// conv3d_tma.cu: the implicit product of conv3d.cu on tiles that the copy engine (TMA) brings: a tile is a rectangle of pixels of one
// output frame, its input for one (dt, dx) and 64 channels is one box of the input, with the rows that the taps dy need more; borders
// are boxes that reach outside and arrive as zero. Nearest-neighbour upsampling is computed for the four parities of (row, column)
// apart, in each of which neighbouring taps meet the same input pixel.
#include "kernels/cuda/conv3d.cuh"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/tensor_map.cuh"

// Blocks of a cluster; GPUs before sm_90 know none, and run no kernel of this file.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define VG_CLUSTER(n)
#else
#define VG_CLUSTER(n) __cluster_dims__(n, 1, 1)
#endif

namespace
{

constexpr int PIXELS = 256, CHUNK = 64; // of a tile; channels per box, 128 bytes
constexpr int LINES = 320;              // most pixels of a box: 256 and two more rows of 32
constexpr int A_BYTES = LINES * 128, A_SLOTS = 3;
constexpr int BIAS_MAX =
    1024; // biases in shared memory; the last tile may reach 191 beyond the channels
constexpr int THREADS = 384; // a warpgroup that copies, two that multiply

// Columns (output channels) of a tile decide how many slots of weights fit, and whether blocks work in pairs: on two tiles with the same
// weights, of which each brings one half to both.
template <int N> struct layout {
    static constexpr int BLOCKS = N >= 96 ? 2 : 1;
    static constexpr int B_BYTES = N * 128, B_SLOTS = N == 192 ? 4 : 8;
    static constexpr int SHARED = A_SLOTS * A_BYTES + B_SLOTS * B_BYTES + BIAS_MAX * 4 + 256 +
                                  1024; // and barriers, alignment
};

struct job {
    int kt, kh, kw, chunks;
    int front, history, upto, st;
    int shift, top, left;
    int width_log2, height; // of a tile
    uint32_t box_bytes;
    int tiles_n, tiles_x, tiles_y; // per output frame and parity
    int groups, work;              // of tiles that blocks take together: per picture, and in all
    int rows, columns;             // of the output, per parity
    int out_h, out_w, o, parts, part;
    bool packs; // results can be stored 8 channels at a time
    bool bias_f32;
    const void *bias;              // or null
    const __nv_bfloat16 *residual; // or null
    bool residual_ahead; // it is as the boxes are: the copying thread calls it into the L2 cache
    __nv_bfloat16 *y;
};

struct tile {
    int o, row_parity, column_parity, x, y, frame;
    int first_dt; // taps before it meet zero frames
    int top;      // input row of the first tap, from y
};

struct maps {
    CUtensorMap history, x, more, weights, residual;
};

#if VG_DEVICE_SM90A
template <int N> __device__ __forceinline__ tile tile_of(const job &j, int index)
{
    tile t;
    int picture;
    t.o = index % j.tiles_n * N;
    index /= j.tiles_n;
    t.row_parity = j.shift ? index >> 1 & 1 : 0;
    t.column_parity = j.shift ? index & 1 : 0;
    index >>= 2 * j.shift;
    picture = index % j.groups * layout<N>::BLOCKS +
              (layout<N>::BLOCKS > 1 ? (int)hopper::cluster_rank() : 0);
    t.x = (picture % j.tiles_x) << j.width_log2;
    t.y = picture / j.tiles_x * j.height; // below the picture for the last of an odd number
    t.frame = index / j.groups;
    t.first_dt = j.front - t.frame * j.st > 0 ? j.front - t.frame * j.st : 0;
    t.top = (t.row_parity - j.top) >> j.shift;
    return t;
}

template <int SLOTS> struct ring {
    int slot = 0;
    uint32_t phase = 0;
    __device__ __forceinline__ void next()
    {
        if (++slot == SLOTS) {
            slot = 0;
            phase ^= 1;
        }
    }
};

struct barriers {
    uint64_t full_a[A_SLOTS], empty_a[A_SLOTS], full_b[8], empty_b[8];
};

template <int N> struct shared_memory {
    char *a, *b;
    float *bias; // zeros if there is none
    barriers *bar;
};

// ---- the copying thread ----

template <int N>
__device__ __forceinline__ void copy_weights(const shared_memory<N> &s, int slot,
                                             const CUtensorMap *weights, int c, int tap, int o)
{
    char *to = s.b + slot * layout<N>::B_BYTES;

    if (layout<N>::BLOCKS == 1)
        hopper::tma_load_3d(to, weights, &s.bar->full_b[slot], c, tap, o);
    else {
        int half = (int)hopper::cluster_rank();
        hopper::tma_load_3d_to(to + half * layout<N>::B_BYTES / 2, weights, &s.bar->full_b[slot], 3,
                               c, tap, o + half * N / 2);
    }
}

template <int N>
__device__ __forceinline__ void copy_tiles(const job &j, const shared_memory<N> &s, const maps &m)
{
    ring<A_SLOTS> a;
    ring<layout<N>::B_SLOTS> b;

    for (int index = (int)blockIdx.x / layout<N>::BLOCKS; index < j.work;
         index += (int)gridDim.x / layout<N>::BLOCKS) {
        tile t = tile_of<N>(j, index);
        for (int c = 0; c < N && j.residual_ahead; c += CHUNK)
            hopper::tma_prefetch_4d(&m.residual, t.o + c, t.x, t.y, t.frame);
        for (int dt = t.first_dt; dt < j.kt; dt++) {
            int frame = t.frame * j.st + dt - j.front;
            const CUtensorMap *from = frame < j.history ? &m.history
                                      : frame < j.upto  ? &m.x
                                                        : &m.more;
            frame -= frame < j.history ? 0 : frame < j.upto ? j.history : j.upto;
            for (int c = 0; c < j.chunks; c++)
                for (int dx = 0, column = 0; dx < j.kw; dx++) {
                    int wanted = (t.column_parity + dx - j.left) >> j.shift;
                    if (dx == 0 || wanted != column) {
                        column = wanted;
                        hopper::barrier_wait(&s.bar->empty_a[a.slot], a.phase ^ 1);
                        hopper::barrier_expect(&s.bar->full_a[a.slot], j.box_bytes);
                        hopper::tma_load_4d(s.a + a.slot * A_BYTES, from, &s.bar->full_a[a.slot],
                                            c * CHUNK, t.x + column, t.y + t.top, frame);
                        a.next();
                    }
                    for (int dy = 0; dy < j.kh; dy++) {
                        hopper::barrier_wait(&s.bar->empty_b[b.slot], b.phase ^ 1);
                        hopper::barrier_expect(&s.bar->full_b[b.slot], layout<N>::B_BYTES);
                        copy_weights<N>(s, b.slot, &m.weights, c * CHUNK,
                                        (dt * j.kh + dy) * j.kw + dx, t.o);
                        b.next();
                    }
                }
        }
    }
}

// ---- the multiplying warpgroups ----

template <int N> struct reader {
    ring<A_SLOTS> a;
    ring<layout<N>::B_SLOTS> b;
    int old_a, old_b; // slots that the product before the last reads, -1 = none

    __device__ __forceinline__ void give_back(const shared_memory<N> &s)
    {
        int thread = threadIdx.x % 128;

        if (thread == 0 && old_a >= 0)
            hopper::barrier_arrive(&s.bar->empty_a[old_a]);
        if (layout<N>::BLOCKS == 1 && thread == 0 && old_b >= 0)
            hopper::barrier_arrive(&s.bar->empty_b[old_b]);
        if (layout<N>::BLOCKS > 1 && thread < layout<N>::BLOCKS && old_b >= 0)
            hopper::barrier_arrive_at(&s.bar->empty_b[old_b], (uint32_t)thread);
        old_a = old_b = -1;
    }
};

// All taps of one dt and chunk of channels, of which 16 * DEPTH are not zero.
template <int N, int DEPTH>
__device__ __forceinline__ void accumulate(const job &j, const tile &t, const shared_memory<N> &s,
                                           reader<N> &in, int group, bool &add,
                                           float (&sum)[2][N / 2])
{
    for (int dx = 0, column = 0; dx < j.kw; dx++) {
        int wanted = (t.column_parity + dx - j.left) >> j.shift;
        if (dx == 0 || wanted != column) {
            column = wanted;
            if (add) {
                in.old_a = in.a.slot;
                in.a.next();
            }
            hopper::barrier_wait(&s.bar->full_a[in.a.slot], in.a.phase);
        }
        for (int dy = 0; dy < j.kh; dy++) {
            int line = (((t.row_parity + dy - j.top) >> j.shift) - t.top) << j.width_log2;
            const char *pixels = s.a + in.a.slot * A_BYTES + (line + group * 128) * 128,
                       *weights = s.b + in.b.slot * layout<N>::B_BYTES;
            hopper::barrier_wait(&s.bar->full_b[in.b.slot], in.b.phase);
            hopper::wgmma_fence();
#pragma unroll
            for (int e = 0; e < DEPTH; e++)
#pragma unroll
                for (int m = 0; m < 2; m++)
                    hopper::wgmma_ss<N>::run(
                        sum[m], hopper::operand(pixels + m * 8192 + e * 32, 16, 1024),
                        hopper::operand(weights + e * 32, 16, 1024), add || e > 0);
            hopper::wgmma_commit();
            hopper::wgmma_wait<1>();
            in.give_back(s);
            in.old_b = in.b.slot;
            in.b.next();
            add = true;
        }
    }
}

// The element of y's bytes for channel t.o of pixel p of the tile, or -1 outside of the picture.
__device__ __forceinline__ int64_t element_of(const job &j, const tile &t, int p)
{
    int row = t.y + (p >> j.width_log2), column = t.x + (p & ((1 << j.width_log2) - 1));

    if (row >= j.rows || column >= j.columns)
        return -1;
    row = (row << j.shift) + t.row_parity;
    column = (column << j.shift) + t.column_parity;
    return ((((int64_t)t.frame * j.parts + t.o / j.part) * j.out_h + row) * j.out_w + column) *
               j.part +
           t.o % j.part;
}

// Lane i of each four has channels 2i, 2i+1 of four blocks of 8; afterwards all channels of block i.
__device__ __forceinline__ void transpose_quad(uint32_t (&v)[4])
{
    bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
    uint32_t a = __shfl_xor_sync(0xffffffffu, odd ? v[0] : v[1], 1),
             b = __shfl_xor_sync(0xffffffffu, odd ? v[2] : v[3], 1);

    if (odd)
        v[0] = a, v[2] = b;
    else
        v[1] = a, v[3] = b;
    a = __shfl_xor_sync(0xffffffffu, upper ? v[0] : v[2], 2),
    b = __shfl_xor_sync(0xffffffffu, upper ? v[1] : v[3], 2);
    if (upper)
        v[0] = a, v[1] = b;
    else
        v[2] = a, v[3] = b;
}

__device__ __forceinline__ uint32_t add_pair(uint32_t rounded, uint32_t residual)
{
    __nv_bfloat162 a = *reinterpret_cast<__nv_bfloat162 *>(&rounded),
                   b = *reinterpret_cast<__nv_bfloat162 *>(&residual);
    return mma::pack_bf16(__low2float(a) + __low2float(b), __high2float(a) + __high2float(b));
}

// The residual beside 32 channels from t.o + 32 q.
__device__ __forceinline__ void load_residual(const job &j, const tile &t, const int64_t (&at)[4],
                                              int q, uint4 (&r)[4])
{
    int own = q * 32 + threadIdx.x % 4 * 8;

#pragma unroll
    for (int i = 0; i < 4; i++)
        r[i] = at[i] < 0 || t.o + own >= j.o
                   ? make_uint4(0, 0, 0, 0)
                   : *reinterpret_cast<const uint4 *>(j.residual + at[i] + own);
}

// NOTE: y may be the residual, so the compiler may not load behind a store; hence the residual is loaded one step ahead, by hand. With 192
// columns there are registers for that only once the first sums are stored.
template <int N> constexpr bool loads_early = N < 192;

template <int N>
__device__ __forceinline__ void store_packs(const job &j, const tile &t, const int64_t (&at)[4],
                                            uint4 (&residual)[2][4], const float *bias,
                                            float (&sum)[2][N / 2])
{
    int lane = threadIdx.x % 4;

#pragma unroll
    for (int q = 0; q < N / 32; q++) {
        int own = q * 32 + lane * 8;
        if (j.residual && !loads_early<N> && q < 2)
            load_residual(j, t, at, q, residual[q % 2]);
        if (j.residual && q + 1 < N / 32 && (loads_early<N> || q > 0))
            load_residual(j, t, at, q + 1, residual[(q + 1) % 2]);
        float2 add[4];
#pragma unroll
        for (int k = 0; k < 4; k++)
            add[k] = *reinterpret_cast<const float2 *>(bias + t.o + q * 32 + k * 8 + lane * 2);
#pragma unroll
        for (int i = 0; i < 4;
             i++) { // block of 64 pixels i / 2, rows i % 2 * 8 + lane / 4 of each 16
            uint32_t v[4];
#pragma unroll
            for (int k = 0; k < 4; k++)
                v[k] = mma::pack_bf16(sum[i / 2][(q * 4 + k) * 4 + i % 2 * 2] + add[k].x,
                                      sum[i / 2][(q * 4 + k) * 4 + i % 2 * 2 + 1] + add[k].y);
            transpose_quad(v);
            if (j.residual) {
                uint4 r = residual[q % 2][i];
                v[0] = add_pair(v[0], r.x), v[1] = add_pair(v[1], r.y), v[2] = add_pair(v[2], r.z),
                v[3] = add_pair(v[3], r.w);
            }
            if (at[i] >= 0 && t.o + own < j.o)
                *reinterpret_cast<uint4 *>(j.y + at[i] + own) = make_uint4(v[0], v[1], v[2], v[3]);
        }
    }
}

template <int N>
__device__ __forceinline__ void store_singles(const job &j, const tile &t, const int64_t (&at)[4],
                                              const float *bias, float (&sum)[2][N / 2])
{
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int e = 0; e < N / 4; e++) {
            int o = e / 2 * 8 + threadIdx.x % 4 * 2 + e % 2;
            if (at[i] < 0 || t.o + o >= j.o)
                continue;
            float v = sum[i / 2][e / 2 * 4 + i % 2 * 2 + e % 2] + bias[t.o + o];
            if (j.residual)
                v = vg_rounded<__nv_bfloat16>(v) + __bfloat162float(j.residual[at[i] + o]);
            j.y[at[i] + o] = __float2bfloat16_rn(v);
        }
}

template <int N, int LAST>
__device__ __forceinline__ void multiply_tiles(const job &j, const shared_memory<N> &s)
{
    reader<N> in;
    int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;

    in.old_a = in.old_b = -1;
    for (int index = (int)blockIdx.x / layout<N>::BLOCKS; index < j.work;
         index += (int)gridDim.x / layout<N>::BLOCKS) {
        tile t = tile_of<N>(j, index);
        float sum[2][N / 2];
        int64_t at[4];
        uint4 residual[2][4];
        bool add = false;
        if (t.first_dt >= j.kt) { // zero frames only
#pragma unroll
            for (int i = 0; i < N; i++)
                sum[i / (N / 2)][i % (N / 2)] = 0.0f;
        }
        for (int dt = t.first_dt; dt < j.kt; dt++) {
            for (int c = 0; c < j.chunks - (LAST != 4); c++)
                accumulate<N, 4>(j, t, s, in, group, add, sum);
            if (LAST != 4)
                accumulate<N, LAST>(j, t, s, in, group, add, sum);
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            at[i] = element_of(j, t, group * 128 + i / 2 * 64 + warp * 16 + i % 2 * 8 + lane / 4);
        if (j.residual && N >= 32 && loads_early<N> && j.packs)
            load_residual(j, t, at, 0, residual[0]);
        hopper::wgmma_wait<0>();
        hopper::pin(sum[0]);
        hopper::pin(sum[1]);
        if (add) {
            in.old_a = in.a.slot;
            in.a.next();
        }
        in.give_back(s);
        if (N >= 32 && j.packs)
            store_packs<N>(j, t, at, residual, s.bias, sum);
        else
            store_singles<N>(j, t, at, s.bias, sum);
    }
}
#endif

/* product    FLOPs  2*pixels*o*k, compute-bound. Bytes from the L2 cache per tile, dt and 64 channels: kw boxes of (256 + 2 rows) * 128 and
 *            kh*kw weights of N * 128, halved by working in pairs: 166 KB for 28 MFLOP with N = 96, where gathering takes 516 KB; half of
 *            that per FLOP with N = 192. Floor: 1.77 TFLOP for 96 to 96 at 4x720x1280 are 1.79 ms at 989 TFLOP/s
 * Launch   a block per multiprocessor that goes through tiles of 256 pixels x N channels: one thread copies into rings of boxes and of
 *          weights, two warpgroups multiply 128 pixels each; channel tiles and parities fastest, so that blocks that share inputs run
 *          together. The tile's width is chosen per call: the fewest waves, then the fewest lines per box
 * Numerics BF16 products, FP32 sums in the order dt, 64 channels, dx, dy (repeatable), bias added in FP32, one rounding; then the residual,
 *          one more. Taps that meet zero frames are left out. LAST: the last chunk has 16 * LAST channels, its others are zero
 * Measured NVIDIA H100 80GB HBM3, random data, 690 W, 2026-11, TFLOP/s, with blocks each for itself and the residual loaded where it is added:
 *          3x3x3, 384 to 384 at 1x90x160: 764, at 2x180x320: 849 (86 % of 989); 192 to 192 at 4x360x640: 781; 96 to 96 at 4x720x1280: 645; 96
 *          to 3: 1.63 ms; gathering: 383, 430, 356, 307, 3.7 ms. Within a whole decode 753, 724, 623, and with a residual 709, 650, 495:
 *          hence the residual on its way ahead of its use. Pairs and that are tested but were not timed by themselves
 * Not done  four 2x2 convolutions with summed weights for upsampling: 2.25 times fewer FLOPs, but the sums would be rounded to BF16; norm and
 *          SiLU in the epilogue, see channel_norm.cu; products of one tile beside the epilogue of another, for which 64 K registers do
 *          not suffice at this tile size */
template <int N, int LAST>
__global__ void VG_CLUSTER(layout<N>::BLOCKS) __launch_bounds__(THREADS, 1)
    product(const __grid_constant__ maps m, const __grid_constant__ job j)
{
#if VG_DEVICE_SM90A
    extern __shared__ char raw[];
    shared_memory<N> s;
    s.a = reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(raw) + 1023) & ~(uintptr_t)1023);
    s.b = s.a + A_SLOTS * A_BYTES;
    s.bias = reinterpret_cast<float *>(s.b + layout<N>::B_SLOTS * layout<N>::B_BYTES);
    s.bar = reinterpret_cast<barriers *>(s.bias + BIAS_MAX);
    for (int o = (int)threadIdx.x; o < BIAS_MAX; o += THREADS)
        s.bias[o] = !j.bias || o >= j.o ? 0.0f
                    : j.bias_f32        ? static_cast<const float *>(j.bias)[o]
                                 : __bfloat162float(static_cast<const __nv_bfloat16 *>(j.bias)[o]);
    if (threadIdx.x == 0) {
        for (int i = 0; i < A_SLOTS; i++) {
            hopper::barrier_init(&s.bar->full_a[i], 1);
            hopper::barrier_init(&s.bar->empty_a[i], 2);
        }
        for (int i = 0; i < layout<N>::B_SLOTS; i++) {
            hopper::barrier_init(&s.bar->full_b[i], 1);
            hopper::barrier_init(&s.bar->empty_b[i], 2 * layout<N>::BLOCKS);
        }
        hopper::barrier_init_fence();
    }
    __syncthreads();
    if (layout<N>::BLOCKS > 1)
        hopper::cluster_sync();
    if (threadIdx.x < 128) {
        hopper::registers_drop<40>();
        if (threadIdx.x == 0)
            copy_tiles<N>(j, s, m);
    } else {
        hopper::registers_raise<232>();
        multiply_tiles<N, LAST>(j, s);
    }
    if (layout<N>::BLOCKS > 1)
        hopper::cluster_sync(); // no block leaves while the other still copies or arrives here
#endif
}

// ---- launcher -------------------------------------------------------------------------------------------------------

int ceil_div(int64_t a, int64_t b)
{
    return (int)((a + b - 1) / b);
}

// Rows that a box has more than its tile: the reach of the taps dy.
int reach(const conv::geometry &g)
{
    int most = 0;

    for (int parity = 0; parity <= g.shift; parity++) {
        int rows = ((parity + g.kh - 1 - g.top) >> g.shift) - ((parity - g.top) >> g.shift);
        most = rows > most ? rows : most;
    }
    return most;
}

// The tile that leaves the fewest multiprocessors idle; among equals the one whose boxes have the fewest lines.
void choose_tile(const conv::geometry &g, job *j, int blocks, int sm_count)
{
    int64_t best = INT64_MAX;

    for (int log2 = 3; log2 <= 5; log2++) {
        int width = 1 << log2, height = PIXELS / width, lines = (height + reach(g)) * width;
        int x = ceil_div(j->columns, width), y = ceil_div(j->rows, height);
        int groups = ceil_div((int64_t)x * y, blocks), at_once = sm_count / blocks;
        int64_t work = (int64_t)groups * j->tiles_n * (g.pixels / ((int64_t)g.out_h * g.out_w))
                       << 2 * g.shift;
        int64_t cost = (work + at_once - 1) / at_once * 1000 + lines;
        if (lines <= LINES && cost < best) {
            best = cost;
            j->width_log2 = log2, j->height = height, j->box_bytes = (uint32_t)lines * 128;
            j->tiles_x = x, j->tiles_y = y, j->groups = groups, j->work = (int)work;
        }
    }
}

vg_status frames_map(const vg_tensor *t, const job &j, CUtensorMap *map, vg_err *err)
{
    const int64_t dims[4] = {t->shape[3], t->shape[2], t->shape[1], t->shape[0]};
    const int width = 1 << j.width_log2, box[4] = {CHUNK, width, (int)j.box_bytes / 128 / width, 1};

    return vg_cuda_tensor_map("conv3d", t->data, 4, dims, box, map, err);
}

template <int N, int LAST>
vg_status launch(vg_backend *be, const vg_conv3d_args *a, const conv::geometry &g, job j,
                 vg_err *err)
{
    constexpr int shared = layout<N>::SHARED;
    const int64_t dims[3] = {g.c, g.k / g.c, g.o};
    constexpr int together = layout<N>::BLOCKS;
    const int box[3] = {CHUNK, 1, N / together};
    maps m;
    int at_once = vg_cuda(be)->sm_count / together;

    j.tiles_n = ceil_div(g.o, N);
    choose_tile(g, &j, together, vg_cuda(be)->sm_count);
    j.residual_ahead = j.residual && !g.shift && g.parts == 1 && vg_cuda_packs(g.o, j.residual);
    VG_TRY(frames_map(a->x, j, &m.x, err));
    VG_TRY(frames_map(a->history ? a->history : a->x, j, &m.history, err));
    VG_TRY(frames_map(a->more ? a->more : a->x, j, &m.more, err));
    VG_TRY(frames_map(j.residual_ahead ? a->residual : a->x, j, &m.residual, err));
    VG_TRY(vg_cuda_tensor_map("conv3d", a->w->data, 3, dims, box, &m.weights, err));
    VG_CUDA_TRY(
        cudaFuncSetAttribute(product<N, LAST>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
        err);
    VG_CUDA_LAUNCH(be, err, (product<N, LAST>),
                   (unsigned)((j.work < at_once ? j.work : at_once) * together), THREADS, shared, m,
                   j);
    return VG_OK;
}

template <int N>
vg_status launch_last(vg_backend *be, const vg_conv3d_args *a, const conv::geometry &g,
                      const job &j, vg_err *err)
{
    int rest = g.c % CHUNK;

    return rest && rest <= 32 ? launch<N, 2>(be, a, g, j, err) : launch<N, 4>(be, a, g, j, err);
}

} // namespace

bool vg_cuda_conv3d_tma_fits(const vg_conv3d_args *a, const conv::geometry *g)
{
    bool whole_pairs =
        !g->shift || (g->out_h % 2 == 0 && g->out_w % 2 == 0); // of rows and of columns

    return g->sh == 1 && g->sw == 1 && g->o <= BIAS_MAX - 192 && g->kh <= 3 && reach(*g) <= 2 &&
           whole_pairs && a->y->dtype == VG_BF16 && g->pixels < 1 << 30 &&
           (g->parts == 1 || g->part % 192 == 0) && vg_cuda_has_tensor_maps();
}

vg_status vg_cuda_conv3d_tma(vg_backend *be, const vg_conv3d_args *a,
                             const conv::geometry *geometry, vg_err *err)
{
    const conv::geometry &g = *geometry;
    job j = {};

    j.kt = g.kt, j.kh = g.kh, j.kw = g.kw, j.chunks = ceil_div(g.c, CHUNK);
    j.front = g.front, j.history = g.history, j.upto = g.upto, j.st = g.st;
    j.shift = g.shift, j.top = g.top, j.left = g.left;
    j.rows = g.out_h >> g.shift, j.columns = g.out_w >> g.shift;
    j.out_h = g.out_h, j.out_w = g.out_w, j.o = g.o, j.parts = g.parts, j.part = g.part;
    j.packs = vg_cuda_packs(g.part, a->y->data, a->residual ? a->residual->data : nullptr);
    j.bias = a->bias ? a->bias->data : nullptr;
    j.bias_f32 = a->bias && a->bias->dtype == VG_F32;
    j.residual = a->residual ? static_cast<const __nv_bfloat16 *>(a->residual->data) : nullptr;
    j.y = static_cast<__nv_bfloat16 *>(a->y->data);
    if (g.o <= 8)
        return launch_last<8>(be, a, g, j, err);
    if (g.o <= 32)
        return launch_last<32>(be, a, g, j, err);
    if (g.o % 192 == 0 || (g.o > 96 && g.o % 96 != 0))
        return launch_last<192>(be, a, g, j, err);
    return launch_last<96>(be, a, g, j, err);
}
