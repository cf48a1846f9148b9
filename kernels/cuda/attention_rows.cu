// attention_rows.cu: softmax(scale q k^T + bias) v for everything the fast kernels do not take: F32, head sizes beyond 128 (the VAEs'
// single head), biases (the text encoder), odd shapes. Blocks of query rows of all heads go through two products of the library and
// one softmax; the scores of one block are all that exists at a time.
// Measured NVIDIA H100 80GB HBM3, random data, 2026-11: 14400 x 14400, 1 x 384 BF16: 1.23 ms, 260 TFLOP/s; 2.1 ms while the softmax read its
// rows three times. Floor: 0.32 TFLOP at 700 are 0.46 ms, and the scores' 829 MB written and read, P's 415 MB likewise are 0.83 ms at 3 TB/s.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/blas.cuh"

#define SCORES_BYTES ((size_t)256 << 20)

// Largest of a block of up to 1024 threads; every thread gets it.
static __device__ __forceinline__ float block_max(float v)
{
    __shared__ float warps[32];

    for (int offset = 16; offset; offset /= 2)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, offset));
    if (threadIdx.x % 32 == 0)
        warps[threadIdx.x / 32] = v;
    __syncthreads();
    v = warps[0];
    for (unsigned w = 1; w < blockDim.x / 32; w++)
        v = fmaxf(v, warps[w]);
    return v;
}

/* softmax_held   Bytes  rows*(4 + size(P))*nk, each once   -> memory-bound
 * p = e^(scale*s + bias - max) / sum, rounded once to P; s is FP32 [rows, ld], ld % 8 == 0; bias_step: elements from head to head. One block per row (query block row, head),
 * CHUNKS * 4 scores of it in registers of each thread.
 * Numerics FP32, expf; a row of -inf only gives NaN, as torch and the CPU do. P may be FP32 in the place of s; the columns from nk to
 *          the next multiple of 4 are written too */
template <int CHUNKS, typename P>
static __global__ void softmax_held(const float *s, const float *bias, int64_t bias_step,
                                    float scale, P *p, int64_t rows, int64_t nk, int64_t ld,
                                    int64_t first)
{
    int64_t head = blockIdx.y, row = blockIdx.x;
    const float *from = s + (head * rows + row) * ld;
    const float *add = bias ? bias + head * bias_step + (first + row) * nk : nullptr;
    P *to = p + (head * rows + row) * ld;
    float v[CHUNKS][4], most = -INFINITY, total = 0.0f, shift;

#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int64_t i = ((int64_t)c * blockDim.x + threadIdx.x) * 4;
        if (i < nk)
            vg_load<4>(from + i, v[c]);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            v[c][e] = i + e < nk ? v[c][e] * scale + (add ? add[i + e] : 0.0f) : -INFINITY;
            most = fmaxf(most, v[c][e]);
        }
    }
    most = block_max(most);
    shift = most == -INFINITY ? 0.0f : most;
#pragma unroll
    for (int c = 0; c < CHUNKS; c++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            total += v[c][e] = expf(v[c][e] - shift);
    total = 1.0f / vg_block_sum(total);
#pragma unroll
    for (int c = 0; c < CHUNKS; c++) {
        int64_t i = ((int64_t)c * blockDim.x + threadIdx.x) * 4;
#pragma unroll
        for (int e = 0; e < 4; e++)
            v[c][e] *= total;
        if (i < nk)
            vg_store<4>(to + i, v[c]);
    }
}

/* softmax   The same for rows of any length: three readings of s, the later ones mostly from L2. */
template <typename P>
static __global__ void softmax(const float *s, const float *bias, int64_t bias_step, float scale,
                               P *p, int64_t rows, int64_t nk, int64_t ld, int64_t first)
{
    int64_t head = blockIdx.y, row = blockIdx.x;
    const float *from = s + (head * rows + row) * ld;
    const float *add = bias ? bias + head * bias_step + (first + row) * nk : nullptr;
    P *to = p + (head * rows + row) * ld;
    float most = -INFINITY, total = 0.0f, shift;

    for (int64_t i = threadIdx.x; i < nk; i += blockDim.x)
        most = fmaxf(most, from[i] * scale + (add ? add[i] : 0.0f));
    most = block_max(most);
    shift = most == -INFINITY ? 0.0f : most;
    for (int64_t i = threadIdx.x; i < nk; i += blockDim.x)
        total += expf(from[i] * scale + (add ? add[i] : 0.0f) - shift);
    total = 1.0f / vg_block_sum(total);
    for (int64_t i = threadIdx.x; i < nk; i += blockDim.x)
        to[i] = vg_from_float<P>(expf(from[i] * scale + (add ? add[i] : 0.0f) - shift) * total);
}

static __global__ void to_float(const __nv_bfloat16 *x, float *y, int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        y[i] = __bfloat162float(x[i]);
}

static __global__ void to_bf16(const float *x, __nv_bfloat16 *y, int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        y[i] = __float2bfloat16_rn(x[i]);
}

// ---- launcher -------------------------------------------------------------------------------------------------------

struct rows_job {
    const vg_attention_args *a;
    int64_t nq, nk, heads, d, ld, rows; // rows: of one block
    vg_dtype type;                      // of q, k, v and P in the products
    const void *q, *k, *v;
    float *scores, *sums; // sums: where y goes first when it is BF16 and the products are F32
    void *p;
};

template <typename P>
static vg_status normalise(vg_backend *be, const rows_job *j, int64_t first, int64_t rows,
                           vg_err *err)
{
    const float *bias = j->a->bias ? static_cast<const float *>(j->a->bias->data) : nullptr;
    int64_t bias_step =
        bias && j->a->bias->shape[0] > 1 ? j->nq * j->nk : 0; // 0: one for all heads
    unsigned threads = j->nk <= 2048 ? 128 : 512;
    int64_t chunks = (j->nk + 4 * threads - 1) / (4 * threads);
    auto kernel = chunks == 1   ? softmax_held<1, P>
                  : chunks == 2 ? softmax_held<2, P>
                  : chunks <= 4 ? softmax_held<4, P>
                  : chunks <= 8 ? softmax_held<8, P>
                                : softmax<P>;

    VG_CUDA_LAUNCH(be, err, kernel, dim3((unsigned)rows, (unsigned)j->heads), threads, 0, j->scores,
                   bias, bias_step, j->a->scale, static_cast<P *>(j->p), rows, j->nk, j->ld, first);
    return VG_OK;
}

static vg_status attend_rows(vg_backend *be, const rows_job *j, int64_t first, int64_t rows,
                             vg_err *err)
{
    const vg_attention_args *a = j->a;
    size_t size = vg_dtype_size(j->type), y_size = vg_dtype_size(a->y->dtype);
    int64_t line = j->heads * j->d;
    vg_product p = {};

    p.m = rows, p.n = j->nk, p.k = j->d;
    p.ldx = p.ldw = line, p.ldy = j->ld;
    p.batch = j->heads, p.x_step = p.w_step = j->d, p.y_step = rows * j->ld;
    p.x = static_cast<const char *>(j->q) + (size_t)(first * line) * size, p.w = j->k,
    p.y = j->scores;
    p.x_type = p.w_type = j->type, p.y_type = VG_F32;
    p.alpha = 1.0;
    VG_TRY(vg_cuda_multiply(be, &p, err));

    VG_CUDA_ACT(j->type, P, { VG_TRY(normalise<P>(be, j, first, rows, err)); });

    vg_product o = {};
    o.m = rows, o.n = j->d, o.k = j->nk;
    o.ldx = j->ld, o.ldw = o.ldy = line;
    o.batch = j->heads, o.x_step = rows * j->ld, o.w_step = o.y_step = j->d;
    o.x = j->p, o.w = j->v, o.w_rows = 1;
    o.x_type = o.w_type = j->type, o.y_type = j->sums ? VG_F32 : a->y->dtype;
    o.y = j->sums ? static_cast<void *>(j->sums)
                  : static_cast<char *>(a->y->data) + (size_t)(first * line) * y_size;
    o.alpha = 1.0;
    VG_TRY(vg_cuda_multiply(be, &o, err));
    if (j->sums)
        VG_CUDA_LAUNCH(be, err, to_bf16, (unsigned)((rows * line + 255) / 256), 256, 0, j->sums,
                       static_cast<__nv_bfloat16 *>(a->y->data) + first * line, rows * line);
    return VG_OK;
}

static size_t rounded(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

// `wide`: everything in F32, whatever the operands are.
static vg_status attend(vg_backend *be, const vg_attention_args *a, bool wide, vg_err *err)
{
    const vg_tensor *operands[3] = {a->q, a->k, a->v};
    const void **places[3];
    rows_job j = {};
    size_t bytes[3], total, each;
    char *scratch;

    j.a = a;
    j.nq = a->q->shape[0], j.nk = a->k->shape[0], j.heads = a->q->shape[1], j.d = a->q->shape[2];
    j.type = wide ? VG_F32 : VG_BF16;
    j.ld = (j.nk + 7) / 8 * 8;
    places[0] = &j.q, places[1] = &j.k, places[2] = &j.v;
    each = (size_t)(j.heads * j.ld) * (wide ? 4 : 6) + (size_t)(j.heads * j.d) * 4;
    j.rows = (int64_t)(SCORES_BYTES / each);
    j.rows = j.rows >= 128 ? j.rows / 128 * 128
             : j.rows < 1  ? 1
                           : j.rows; // whole tiles of the products
    j.rows = j.rows < j.nq ? j.rows : j.nq;

    size_t scores = rounded((size_t)(j.heads * j.rows * j.ld) * 4), p = wide ? 0 : scores / 2 + 256;
    size_t sums =
        wide && a->y->dtype == VG_BF16 ? rounded((size_t)(j.rows * j.heads * j.d) * 4) : 0;
    total = scores + p + sums;
    for (int i = 0; i < 3; i++) {
        bytes[i] =
            operands[i]->dtype == j.type ? 0 : rounded((size_t)vg_tensor_numel(operands[i]) * 4);
        total += bytes[i];
    }
    VG_TRY(vg_cuda_scratch(be, total, (void **)&scratch, err));
    j.scores = reinterpret_cast<float *>(scratch);
    j.p = wide ? scratch : scratch + scores;
    j.sums = sums ? reinterpret_cast<float *>(scratch + scores + p) : nullptr;
    scratch += scores + p + sums;
    for (int i = 0; i < 3; i++) {
        int64_t count = vg_tensor_numel(operands[i]);
        *places[i] = operands[i]->data;
        if (!bytes[i])
            continue;
        VG_CUDA_LAUNCH(be, err, to_float, (unsigned)((count + 255) / 256), 256, 0,
                       static_cast<const __nv_bfloat16 *>(operands[i]->data),
                       reinterpret_cast<float *>(scratch), count);
        *places[i] = scratch;
        scratch += bytes[i];
    }
    for (int64_t first = 0; first < j.nq; first += j.rows)
        VG_TRY(attend_rows(be, &j, first, j.nq - first < j.rows ? j.nq - first : j.rows, err));
    return VG_OK;
}

vg_status vg_cuda_attention_rows(vg_backend *be, const vg_attention_args *a, vg_err *err)
{
    bool narrow = a->q->dtype == VG_BF16 && a->k->dtype == VG_BF16 && a->v->dtype == VG_BF16;
    vg_status status = VG_E_UNSUPPORTED;

    VG_TRY(vg_cuda_enter(be, err));
    if (narrow) // odd head sizes may have no BF16 kernel in the library
        status = attend(be, a, false, err);
    if (status != VG_E_UNSUPPORTED)
        return status;
    if (narrow)
        vg_cuda(be)->plain_products++;
    return attend(be, a, true, err);
}
