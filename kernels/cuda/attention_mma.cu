// attention_mma.cu: softmax(scale q k^T) v with mma.sync, for every GPU since sm_80. The structure of FlashAttention-2
// (arXiv 2307.08691): a block owns 128 queries of one head, keys pass by in tiles of 64 through two buffers in shared memory.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/mma.cuh"

namespace
{

constexpr int WARPS = 4, BLOCKS = 2, Q_ROWS = WARPS * BLOCKS * 16,
              KEYS = 64; // BLOCKS: of 16 rows per warp

struct launch_args {
    const __nv_bfloat16 *q, *k, *v;
    __nv_bfloat16 *y;
    int nq, nk, heads, d; // d <= D
    float scale_log2;
};

/* attend   Bytes  2*d*heads*(2*nq + 2*nk), K and V nq/128 times from L2   FLOPs 4*nq*nk*heads*d (of the padded D: 32, 64 or 128),
 *          compute-bound; mma.sync reaches about 60 % of what WGMMA does on Hopper
 * Measured NVIDIA H100 80GB HBM3, random data, 2026-11: 20280 x 20280, 40 x 128: 29.7 ms, 283 TFLOP/s; 75600 x 512: 3.2 ms, 248
 * Launch   (query tiles, heads) blocks of 4 warps, 32 rows each; Q and two K, V tiles in shared memory (96 KiB for D = 128)
 * Numerics as attention_sm90.cu: BF16 products, FP32 softmax, P rounded to BF16; fixed order, repeatable */
template <int D> __global__ void __launch_bounds__(WARPS * 32, 2) attend(const launch_args a)
{
    extern __shared__ __align__(128) char tiles[];
    const uint32_t q_tile = mma::shared_address(tiles), k_tiles = q_tile + Q_ROWS * D * 2,
                   v_tiles = k_tiles + 2 * KEYS * D * 2;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, head = blockIdx.y,
              first = blockIdx.x * Q_ROWS;
    const int64_t row_step = (int64_t)a.heads * a.d;
    float o[BLOCKS][D / 8][4], most[BLOCKS][2], sum[BLOCKS][2];

    // Rows [row, row+ROWS) of one head; rows and channels that do not exist become zeros.
    auto load = [&](uint32_t to, const __nv_bfloat16 *from, int row, int rows, int limit) {
        for (int i = threadIdx.x; i < rows * (D / 8); i += WARPS * 32) {
            int r = i / (D / 8), c = i % (D / 8);
            bool valid = row + r < limit && c * 8 < a.d;
            mma::copy_16(to + mma::swizzled<D>(r, c),
                         valid ? from + (row + r) * row_step + head * a.d + c * 8 : from, valid);
        }
    };

    load(q_tile, a.q, first, Q_ROWS, a.nq);
    load(k_tiles, a.k, 0, KEYS, a.nk);
    load(v_tiles, a.v, 0, KEYS, a.nk);
    mma::copy_commit();
#pragma unroll
    for (int b = 0; b < BLOCKS; b++) {
        most[b][0] = most[b][1] = -INFINITY;
        sum[b][0] = sum[b][1] = 0.0f;
#pragma unroll
        for (int i = 0; i < D / 8; i++)
            o[b][i][0] = o[b][i][1] = o[b][i][2] = o[b][i][3] = 0.0f;
    }

    for (int key = 0, slot = 0; key < a.nk; key += KEYS, slot ^= 1) {
        const uint32_t k_tile = k_tiles + slot * KEYS * D * 2,
                       v_tile = v_tiles + slot * KEYS * D * 2;
        float s[BLOCKS][KEYS / 8][4];

        if (key + KEYS < a.nk) {
            load(k_tiles + (slot ^ 1) * KEYS * D * 2, a.k, key + KEYS, KEYS, a.nk);
            load(v_tiles + (slot ^ 1) * KEYS * D * 2, a.v, key + KEYS, KEYS, a.nk);
        }
        mma::copy_commit();
        mma::copy_wait<1>();
        __syncthreads();

#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++)
                s[b][i][0] = s[b][i][1] = s[b][i][2] = s[b][i][3] = 0.0f;
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
            uint32_t q[BLOCKS][4];
#pragma unroll
            for (int b = 0; b < BLOCKS; b++)
                mma::load_4(q[b], q_tile + mma::swizzled<D>((warp * BLOCKS + b) * 16 + lane % 16,
                                                            c * 2 + lane / 16));
#pragma unroll
            for (int n = 0; n < KEYS / 16; n++) {
                uint32_t k[4];
                mma::load_4(k, k_tile + mma::swizzled<D>(n * 16 + lane / 16 * 8 + lane % 8,
                                                         c * 2 + lane / 8 % 2));
#pragma unroll
                for (int b = 0; b < BLOCKS; b++) {
                    mma::multiply_bf16(s[b][2 * n], q[b], k[0], k[1]);
                    mma::multiply_bf16(s[b][2 * n + 1], q[b], k[2], k[3]);
                }
            }
        }
        if (key + KEYS > a.nk)
#pragma unroll
            for (int b = 0; b < BLOCKS; b++)
#pragma unroll
                for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        if (key + i * 8 + lane % 4 * 2 + e % 2 >= a.nk)
                            s[b][i][e] = -INFINITY;

#pragma unroll
        for (int b = 0; b < BLOCKS; b++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                float higher = s[b][0][2 * r], factor, total = 0.0f;
#pragma unroll
                for (int i = 0; i < KEYS / 8; i++)
                    higher = fmaxf(higher, fmaxf(s[b][i][2 * r], s[b][i][2 * r + 1]));
                higher = fmaxf(higher, __shfl_xor_sync(0xffffffffu, higher, 1));
                higher = fmaxf(higher, __shfl_xor_sync(0xffffffffu, higher, 2));
                // Rounded once and kept, so that an unchanged maximum gives a factor of exactly 1.
                higher = fmaxf(most[b][r], __fmul_rn(higher, a.scale_log2));
                factor = mma::exp2_fast(most[b][r] - higher); // 0 at the first tile
                most[b][r] = higher;
#pragma unroll
                for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
                    for (int e = 2 * r; e < 2 * r + 2; e++) {
                        s[b][i][e] = mma::exp2_fast(s[b][i][e] * a.scale_log2 - higher);
                        total += s[b][i][e];
                    }
                sum[b][r] = sum[b][r] * factor + total;
#pragma unroll
                for (int i = 0; i < D / 8; i++) {
                    o[b][i][2 * r] *= factor;
                    o[b][i][2 * r + 1] *= factor;
                }
            }

#pragma unroll
        for (int c = 0; c < KEYS / 16; c++) {
            uint32_t p[BLOCKS][4];
#pragma unroll
            for (int b = 0; b < BLOCKS; b++) {
                p[b][0] = mma::pack_bf16(s[b][2 * c][0], s[b][2 * c][1]);
                p[b][1] = mma::pack_bf16(s[b][2 * c][2], s[b][2 * c][3]);
                p[b][2] = mma::pack_bf16(s[b][2 * c + 1][0], s[b][2 * c + 1][1]);
                p[b][3] = mma::pack_bf16(s[b][2 * c + 1][2], s[b][2 * c + 1][3]);
            }
#pragma unroll
            for (int n = 0; n < D / 16; n++) {
                uint32_t v[4];
                mma::load_4_transposed(v, v_tile +
                                              mma::swizzled<D>(c * 16 + lane / 8 % 2 * 8 + lane % 8,
                                                               n * 2 + lane / 16));
#pragma unroll
                for (int b = 0; b < BLOCKS; b++) {
                    mma::multiply_bf16(o[b][2 * n], p[b], v[0], v[1]);
                    mma::multiply_bf16(o[b][2 * n + 1], p[b], v[2], v[3]);
                }
            }
        }
        __syncthreads(); // the next round overwrites this slot
    }

#pragma unroll
    for (int b = 0; b < BLOCKS; b++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int row = first + (warp * BLOCKS + b) * 16 + lane / 4 + 8 * r;
            float total = sum[b][r], inverse;
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            inverse = 1.0f / total;
            if (row >= a.nq)
                continue;
            __nv_bfloat16 *to = a.y + row * row_step + head * a.d + lane % 4 * 2;
#pragma unroll
            for (int i = 0; i < D / 8; i++)
                if (i * 8 < a.d)
                    *reinterpret_cast<uint32_t *>(to + i * 8) =
                        mma::pack_bf16(o[b][i][2 * r] * inverse, o[b][i][2 * r + 1] * inverse);
        }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <int D> vg_status launch(vg_backend *be, const launch_args &args, vg_err *err)
{
    constexpr int shared = (Q_ROWS + 4 * KEYS) * D * 2;

    VG_CUDA_TRY(
        cudaFuncSetAttribute(attend<D>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared), err);
    VG_CUDA_LAUNCH(be, err, attend<D>,
                   dim3((unsigned)((args.nq + Q_ROWS - 1) / Q_ROWS), (unsigned)args.heads),
                   WARPS * 32, shared, args);
    return VG_OK;
}

} // namespace

bool vg_cuda_attention_mma_fits(const vg_attention_args *a)
{
    int64_t d = a->q->shape[2];

    return d <= 128 && !a->bias && a->scale > 0.0f && a->q->dtype == VG_BF16 &&
           a->k->dtype == VG_BF16 && a->v->dtype == VG_BF16 && a->y->dtype == VG_BF16 &&
           vg_cuda_packs(d, a->q->data, a->k->data, a->v->data) && vg_cuda_packs(d, a->y->data) &&
           a->q->shape[0] < 1 << 30 && a->k->shape[0] < 1 << 30 && a->q->shape[1] < 65536;
}

vg_status vg_cuda_attention_mma(vg_backend *be, const vg_attention_args *a, vg_err *err)
{
    launch_args args = {};

    args.q = static_cast<const __nv_bfloat16 *>(a->q->data);
    args.k = static_cast<const __nv_bfloat16 *>(a->k->data);
    args.v = static_cast<const __nv_bfloat16 *>(a->v->data);
    args.y = static_cast<__nv_bfloat16 *>(a->y->data);
    args.nq = (int)a->q->shape[0];
    args.nk = (int)a->k->shape[0];
    args.heads = (int)a->q->shape[1];
    args.d = (int)a->q->shape[2];
    args.scale_log2 = a->scale * 1.44269504088896340736f;
    VG_TRY(vg_cuda_enter(be, err));
    return args.d <= 32   ? launch<32>(be, args, err)
           : args.d <= 64 ? launch<64>(be, args, err)
                          : launch<128>(be, args, err);
}
