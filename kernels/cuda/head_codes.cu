// head_codes.cu: INT8 codes of q or k for attention_codes, see vg_head_codes_args. Head size 128: 16 lanes with 8 channels each are a head of
// a token, and its rotation is three steps in each lane and four between lanes.
#include "kernels/cuda/cuda.cuh"

#define HALVES       16 // half-warps of a block
#define TOKENS       4  // of each half-warp in a block of VG_CODES_BLOCK tokens
#define SAMPLE_CHUNK 64 // sampled tokens whose sum is one term of the mean

// What a token's head goes through; all pointers in device memory.
template <typename X, typename W> struct head_source {
    const X *x;                             // [n,heads,128]
    const W *w;                             // [heads,128] or null: x as it is
    const float *inverse, *cosines, *sines; // 1 / rms of each row; rotary embedding or null
    int64_t n;
    int heads;

    // Channels c..c+7 of a head of a token, as rms_norm_rope leaves them.
    __device__ __forceinline__ void load(int64_t token, int head, int c, float (&v)[8]) const
    {
        vg_load<8>(x + (token * heads + head) * 128 + c, v);
        if (!w)
            return;
        float f[8], scale = inverse[token];
        vg_load<8>(w + head * 128 + c, f);
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = v[i] * scale * f[i];
        vg_round_all<X>(v);
        if (!cosines)
            return;
        float cosine[4], sine[4];
        vg_load<4>(cosines + token * 64 + c / 2, cosine);
        vg_load<4>(sines + token * 64 + c / 2, sine);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float even = v[2 * i], odd = v[2 * i + 1];
            v[2 * i] = even * cosine[i] - odd * sine[i];
            v[2 * i + 1] = even * sine[i] + odd * cosine[i];
        }
        vg_round_all<X>(v);
    }
};

/* row_inverses    Bytes rows*dim*size(x), memory-bound. A warp per row; FP32 sum in fixed order. */
template <typename X>
static __global__ void row_inverses(const X *x, float eps, float *inverse, int64_t rows, int dim)
{
    const int lane = threadIdx.x % 32;
    const int64_t row = (int64_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    float sum = 0.0f, v[8];

    if (row >= rows) // a whole warp
        return;
    for (int c = lane * 8; c < dim; c += 256) {
        vg_load<8>(x + row * dim + c, v);
#pragma unroll
        for (int i = 0; i < 8; i++)
            sum += v[i] * v[i];
    }
    for (int offset = 16; offset; offset /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    if (lane == 0)
        inverse[row] = 1.0f / sqrtf(sum / (float)dim + eps);
}

/* sample_sums    Grid (heads, chunks): sums[chunk][head][128] of every stride-th token. A sixteenth of what `encode` does, or less. */
template <typename X, typename W>
static __global__ void sample_sums(head_source<X, W> from, int64_t stride, int64_t sampled,
                                   float *sums)
{
    __shared__ float parts[HALVES][128];
    const int half = threadIdx.x / 16, c = threadIdx.x % 16 * 8;
    const int64_t first = (int64_t)blockIdx.y * SAMPLE_CHUNK;
    float sum[8] = {}, v[8];

    for (int64_t i = first + half; i < first + SAMPLE_CHUNK && i < sampled; i += HALVES) {
        from.load(i * stride, blockIdx.x, c, v);
#pragma unroll
        for (int e = 0; e < 8; e++)
            sum[e] += v[e];
    }
#pragma unroll
    for (int e = 0; e < 8; e++)
        parts[half][c + e] = sum[e];
    __syncthreads();
    if (threadIdx.x < 128) {
        float total = 0.0f;
        for (int h = 0; h < HALVES; h++)
            total += parts[h][threadIdx.x];
        sums[((int64_t)blockIdx.y * gridDim.x + blockIdx.x) * 128 + threadIdx.x] = total;
    }
}

// mean[head][128] of the chunks' sums. Grid (heads), 128 threads.
static __global__ void sample_mean(const float *sums, int chunks, int64_t sampled, float *mean)
{
    const int channel = blockIdx.x * 128 + threadIdx.x;
    float total = 0.0f;

    for (int i = 0; i < chunks; i++)
        total += sums[(int64_t)i * gridDim.x * 128 + channel];
    mean[channel] = total / (float)sampled;
}

// H S v / sqrt(128) of the 128 channels in 16 lanes; c: the first of this lane.
static __device__ __forceinline__ void rotate_head(float (&v)[8], int c)
{
#pragma unroll
    for (int i = 0; i < 8; i++)
        v[i] = VG_CODES_NEGATIVE(c + i) ? -v[i] : v[i];
#pragma unroll
    for (int step = 1; step < 8; step *= 2)
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (!(i & step)) {
                float low = v[i], high = v[i | step];
                v[i] = low + high;
                v[i | step] = low - high;
            }
#pragma unroll
    for (int step = 8; step < 128; step *= 2)
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float other = __shfl_xor_sync(0xffffffffu, v[i], step / 8);
            v[i] = c & step ? other - v[i] : v[i] + other;
        }
#pragma unroll
    for (int i = 0; i < 8; i++)
        v[i] *= 0.088388347648318440550f; // 1 / sqrt(128)
}

// The largest |v| of a head; NaN if a value is not finite.
static __device__ __forceinline__ float head_most(const float (&v)[8])
{
    float most = 0.0f, nothing = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        most = fmaxf(most, fabsf(v[i]));
        nothing += 0.0f * v[i];
    }
    most += nothing;
    for (int offset = 8; offset; offset /= 2) {
        float other = __shfl_xor_sync(0xffffffffu, most, offset);
        most = fmaxf(most, other) + 0.0f * (most + other);
    }
    return most;
}

// NaN stays.
static __device__ __forceinline__ float scale_of(float most)
{
    return most <= VG_CODES_LEAST ? 1.0f : __fdiv_rn(most, 127.0f);
}

static __device__ __forceinline__ void store_head(int8_t *to, const float (&v)[8], float most)
{
    const float inverse = most <= VG_CODES_LEAST ? 1.0f : __fdiv_rn(127.0f, most);
    unsigned words[2] = {};
#pragma unroll
    for (int i = 0; i < 8; i++) {
        // A rounded integer is the low byte of its sum with 1.5 2^23. NaN and infinity have a NaN as scale; their codes do not matter.
        float code = __fadd_rn(__fmul_rn(v[i], inverse), 12582912.0f);
        words[i / 4] |= (fabsf(v[i]) <= most ? __float_as_uint(code) & 0xffu : 0u) << i % 4 * 8;
    }
    *reinterpret_cast<uint2 *>(to) = make_uint2(words[0], words[1]);
}

/* encode    Bytes  rows*dim*(size(x) + 1) + cos and sin; with row_inverses, which reads x once more, memory-bound
 * Launch   grid (heads, blocks of VG_CODES_BLOCK tokens), head fastest, so that blocks which run together read whole rows; 256 threads, 4 tokens
 *          of a head in the registers of 16 lanes
 * Numerics as rms_norm_rope, then FP32; codes by the rounded reciprocal of the scale, to nearest even: bit for bit the CPU's but for the order
 *          of sums in the norm and the mean
 * Measured NVIDIA H200, 75600 x 40 x 128 BF16, 2026-11: q 1.14 ms, k 1.16 ms, 32760: 0.50, 0.53; the bytes alone would take 0.45 ms: what is
 *          left are the shuffles of the rotation and reading x twice */
template <bool BY_TOKEN, typename X, typename W>
static __global__ void encode(head_source<X, W> from, const float *mean, int rotate, int8_t *codes,
                              float *scales)
{
    __shared__ float largest[HALVES];
    const int half = threadIdx.x / 16, c = threadIdx.x % 16 * 8, head = blockIdx.x;
    const int64_t first = (int64_t)blockIdx.y * VG_CODES_BLOCK;
    float v[TOKENS][8], most[TOKENS], center[8] = {};

    if (mean)
        vg_load<8>(mean + head * 128 + c, center);
#pragma unroll
    for (int t = 0; t < TOKENS; t++) {
        const int64_t token = first + t * HALVES + half;
        const bool there = token < from.n; // the same for 16 lanes; shuffles take all 32
        if (there)
            from.load(token, head, c, v[t]);
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[t][i] = there ? v[t][i] - center[i] : 0.0f;
        if (rotate)
            rotate_head(v[t], c);
        most[t] = head_most(v[t]);
    }
    if (!BY_TOKEN) {
        float block = most[0];
#pragma unroll
        for (int t = 1; t < TOKENS; t++)
            block = fmaxf(block, most[t]) + 0.0f * (block + most[t]);
        if (c == 0)
            largest[half] = block;
        __syncthreads();
        block = largest[0];
        for (int h = 1; h < HALVES; h++)
            block = fmaxf(block, largest[h]) + 0.0f * (block + largest[h]);
#pragma unroll
        for (int t = 0; t < TOKENS; t++)
            most[t] = block;
        if (threadIdx.x == 0)
            scales[(int64_t)head * gridDim.y + blockIdx.y] = scale_of(block);
    }
#pragma unroll
    for (int t = 0; t < TOKENS; t++) {
        const int64_t token = first + t * HALVES + half;
        if (token >= from.n)
            continue;
        if (BY_TOKEN && c == 0)
            scales[(int64_t)head * from.n + token] = scale_of(most[t]);
        store_head(codes + (token * from.heads + head) * 128 + c, v[t], most[t]);
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <typename X, typename W>
static vg_status run(vg_backend *be, const vg_head_codes_args *a, vg_err *err)
{
    const int64_t n = a->x->shape[0], dim = a->x->shape[1], blocks = vg_codes_blocks(n),
                  stride = vg_codes_stride(n), sampled = (n + stride - 1) / stride,
                  chunks = (sampled + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK;
    float *inverse, *mean = nullptr, *sums;
    head_source<X, W> from = {static_cast<const X *>(a->x->data),
                              a->w ? static_cast<const W *>(a->w->data) : nullptr,
                              nullptr,
                              a->rope_cos ? static_cast<const float *>(a->rope_cos->data) : nullptr,
                              a->rope_sin ? static_cast<const float *>(a->rope_sin->data) : nullptr,
                              n,
                              a->heads};
    int8_t *codes = static_cast<int8_t *>(a->codes->data);
    float *scales = static_cast<float *>(a->scale->data);

    VG_TRY(vg_cuda_scratch(be, vg_head_codes_scratch(n, dim), (void **)&inverse, err));
    from.inverse = inverse;
    if (a->w)
        VG_CUDA_LAUNCH(be, err, (row_inverses<X>), (unsigned)((n + 7) / 8), 256, 0, from.x, a->eps,
                       inverse, n, (int)dim);
    if (a->center) {
        mean = inverse + (n + 3) / 4 * 4;
        sums = mean + dim;
        VG_CUDA_LAUNCH(be, err, (sample_sums<X, W>), dim3((unsigned)a->heads, (unsigned)chunks),
                       256, 0, from, stride, sampled, sums);
        VG_CUDA_LAUNCH(be, err, sample_mean, (unsigned)a->heads, 128, 0, sums, (int)chunks, sampled,
                       mean);
    }
    const dim3 grid((unsigned)a->heads, (unsigned)blocks);
    if (a->scale->shape[1] == n)
        VG_CUDA_LAUNCH(be, err, (encode<true, X, W>), grid, 256, 0, from, mean, (int)a->rotate,
                       codes, scales);
    else
        VG_CUDA_LAUNCH(be, err, (encode<false, X, W>), grid, 256, 0, from, mean, (int)a->rotate,
                       codes, scales);
    return VG_OK;
}

vg_status vg_cuda_head_codes(vg_backend *be, const vg_head_codes_args *a, vg_err *err)
{
    const int64_t dim = a->x->shape[1];

    if (dim != (int64_t)a->heads * 128 || vg_codes_blocks(a->x->shape[0]) > 65535)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "head_codes: %lld tokens of head size %lld: the cuda backend has head size "
                       "128 and fewer than 2^22 tokens",
                       (long long)a->x->shape[0], (long long)(dim / a->heads));
    if (!vg_cuda_packs(dim, a->x->data, a->w ? a->w->data : nullptr, a->codes->data) ||
        (a->rope_cos && !vg_cuda_packs(8, a->rope_cos->data, a->rope_sin->data)))
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "head_codes: operands must be 16-byte aligned on the cuda backend");
    VG_TRY(vg_cuda_enter(be, err));
    VG_CUDA_ACT(a->x->dtype, X, VG_CUDA_ACT(a->w ? a->w->dtype : VG_BF16, W, {
                    VG_TRY((run<X, W>(be, a, err)));
                }););
    return VG_OK;
}
