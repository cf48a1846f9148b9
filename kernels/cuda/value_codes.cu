// value_codes.cu: E4M3 codes of v for attention_codes, transposed and with a scale per channel, see vg_value_codes_args.
#include "kernels/cuda/codes.cuh"

#define HALVES 16  // half-warps of a block; 16 lanes have 8 channels each of a token
#define CHUNK  512 // tokens of a block of channel_ranges

/* channel_ranges    Bytes n*channels*size(x), memory-bound. Grid (channels / 128, chunks): the sum, largest and smallest of each channel over
 * CHUNK tokens, into parts[chunk][3][channels]. Fixed order. */
template <typename X>
static __global__ void channel_ranges(const X *x, int64_t n, int channels, float *parts)
{
    __shared__ float shared[HALVES][128];
    const int half = threadIdx.x / 16, c = threadIdx.x % 16 * 8;
    const int64_t first = (int64_t)blockIdx.y * CHUNK;
    float range[3][8], v[8];

#pragma unroll
    for (int i = 0; i < 8; i++)
        range[0][i] = 0.0f, range[1][i] = -INFINITY, range[2][i] = INFINITY;
#pragma unroll 4
    for (int64_t t = first + half; t < first + CHUNK && t < n; t += HALVES) {
        vg_load<8>(x + t * channels + blockIdx.x * 128 + c, v);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            range[0][i] += v[i];
            range[1][i] = fmaxf(range[1][i], v[i]);
            range[2][i] = fminf(range[2][i], v[i]);
        }
    }
#pragma unroll
    for (int which = 0; which < 3; which++) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 8; i++)
            shared[half][c + i] = range[which][i];
        __syncthreads();
        if (threadIdx.x < 128) {
            float all = shared[0][threadIdx.x];
            for (int h = 1; h < HALVES; h++) {
                float one = shared[h][threadIdx.x];
                all = which == 0 ? all + one : which == 1 ? fmaxf(all, one) : fminf(all, one);
            }
            parts[((int64_t)blockIdx.y * 3 + which) * channels + blockIdx.x * 128 + threadIdx.x] =
                all;
        }
    }
}

// Of the parts, mean and scale of each channel; NaN where v is not finite.
static __global__ void channel_scales(const float *parts, int chunks, int64_t n, int channels,
                                      int center, float *scales, float *inverses, float *means)
{
    const int c = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.0f, high = -INFINITY, low = INFINITY, mean, most;

    if (c >= channels)
        return;
    for (int i = 0; i < chunks; i++) {
        const float *part = parts + (int64_t)i * 3 * channels + c;
        sum += part[0];
        high = fmaxf(high, part[channels]);
        low = fminf(low, part[2 * channels]);
    }
    mean = center ? sum / (float)n : 0.0f * sum;
    most = fmaxf(fabsf(high - mean), fabsf(low - mean));
    scales[c] = most > VG_CODES_LEAST ? __fdiv_rn(most, VG_E4M3_MAX) : 1.0f;
    inverses[c] = most > VG_CODES_LEAST ? __fdiv_rn(VG_E4M3_MAX, most) : 1.0f;
    means[c] = mean;
}

/* transpose    Bytes  n*channels*(size(x) + 1), memory-bound
 * Launch   grid (heads, blocks of 64 tokens), 256 threads; through shared memory: rows of 64 codes with 4 bytes between them
 * Numerics (v - mean) times the rounded reciprocal of the scale, then E4M3 to nearest even
 * Measured NVIDIA H200, 75600 x 40 x 128 BF16, with channel_ranges, 2026-11: 0.61 ms, 3.2 TB/s */
template <typename X>
static __global__ void transpose(const X *x, const float *inverses, const float *means, int64_t n,
                                 int heads, int64_t padded, uint8_t *codes)
{
    constexpr int PITCH = VG_CODES_BLOCK + 4;
    __shared__ uint32_t words[128 * PITCH / 4];
    uint8_t *const tile = reinterpret_cast<uint8_t *>(words);
    const int half = threadIdx.x / 16, c = threadIdx.x % 16 * 8, head = blockIdx.x;
    const int64_t first = (int64_t)blockIdx.y * VG_CODES_BLOCK;
    float v[8], inverse[8], mean[8];

    vg_load<8>(inverses + head * 128 + c, inverse);
    vg_load<8>(means + head * 128 + c, mean);
#pragma unroll
    for (int t = half; t < VG_CODES_BLOCK; t += HALVES) {
        alignas(8) __nv_fp8_e4m3 eight[8];
        const bool there = first + t < n;
        if (there)
            vg_load<8>(x + ((first + t) * heads + head) * 128 + c, v);
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] = there ? (v[i] - mean[i]) * inverse[i] : 0.0f;
        vg_store_codes(eight, v);
#pragma unroll
        for (int i = 0; i < 8; i++)
            tile[(c + i) * PITCH + VG_CODES_PLACE(t)] = eight[i].__x;
    }
    __syncthreads();
#pragma unroll
    for (int i = threadIdx.x; i < 128 * VG_CODES_BLOCK / 4; i += 256) {
        const int row = i / (VG_CODES_BLOCK / 4), word = i % (VG_CODES_BLOCK / 4);
        reinterpret_cast<uint32_t *>(codes + ((int64_t)head * 128 + row) * padded + first)[word] =
            words[row * (PITCH / 4) + word];
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

vg_status vg_cuda_value_codes(vg_backend *be, const vg_value_codes_args *a, vg_err *err)
{
    const int64_t n = a->v->shape[0], heads = a->v->shape[1], channels = heads * 128,
                  chunks = (n + CHUNK - 1) / CHUNK, blocks = vg_codes_blocks(n);
    float *parts, *inverses, *scales = static_cast<float *>(a->scale->data),
                             *means = static_cast<float *>(a->mean->data);

    if (a->v->shape[2] != 128 || blocks > 65535)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "value_codes: %lld tokens of head size %lld: the cuda backend has head size "
                       "128 and fewer than 2^22 tokens",
                       (long long)n, (long long)a->v->shape[2]);
    if (!vg_cuda_packs(channels, a->v->data, scales, means) ||
        !vg_cuda_packs(channels, a->codes->data))
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "value_codes: operands must be 16-byte aligned on the cuda backend");
    VG_TRY(vg_cuda_enter(be, err));
    VG_TRY(vg_cuda_scratch(be, vg_value_codes_scratch(n, channels), (void **)&parts, err));
    inverses = parts + chunks * 3 * channels;
    VG_CUDA_ACT(a->v->dtype, X, {
        const X *v = static_cast<const X *>(a->v->data);
        VG_CUDA_LAUNCH(be, err, (channel_ranges<X>), dim3((unsigned)heads, (unsigned)chunks), 256,
                       0, v, n, (int)channels, parts);
        VG_CUDA_LAUNCH(be, err, channel_scales, (unsigned)heads, 128, 0, parts, (int)chunks, n,
                       (int)channels, (int)a->center, scales, inverses, means);
        VG_CUDA_LAUNCH(be, err, (transpose<X>), dim3((unsigned)heads, (unsigned)blocks), 256, 0, v,
                       inverses, means, n, (int)heads, a->codes->shape[2],
                       static_cast<uint8_t *>(a->codes->data));
    });
    return VG_OK;
}
