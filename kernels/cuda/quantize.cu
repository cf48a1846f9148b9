// quantize.cu: activations to E4M3, per tensor (times the reciprocal of the scale) or per 1x128 group (divided by it).
// Source: modelopt-fp8 6.5, 6.6.
#include "kernels/cuda/activate.cuh"
#include "kernels/cuda/rows.cuh"

/* by_tensor    Bytes  n*(size(x) + 1), each once   -> memory-bound
 * Measured NVIDIA H100 80GB HBM3 (3.35 TB/s), 75600x5120 BF16, 2026-11: static 382 us, 3.04 TB/s = 91 %; dynamic, both passes, 635 us,
 *          3.05 TB/s = 91 %
 * Launch   256 threads, 16 elements each (one store of 16 bytes); element-wise for the tail and odd addresses
 * Numerics bits != NULL: scale = amax / 448 (1 if amax is 0), written to scale_out by the first thread; else *scale_in is used.
 *          Equal to the CPU bit for bit, but for the sign of a NaN */
template <int N, typename X>
static __global__ void by_tensor(const X *x, __nv_fp8_e4m3 *q, int64_t packs, const unsigned *bits,
                                 const float *scale_in, float *scale_out)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float v[N], scale, reciprocal;

    if (bits) {
        float most = __uint_as_float(*bits);
        scale = most > 0.0f ? most / VG_E4M3_MAX : 1.0f;
        if (i == 0 && scale_out)
            *scale_out = scale;
    } else
        scale = *scale_in;
    reciprocal = 1.0f / scale;
    if (i >= packs)
        return;
    vg_load<N>(x + i * N, v);
#pragma unroll
    for (int j = 0; j < N; j++)
        v[j] *= reciprocal;
    vg_store_codes(q + i * N, v);
}

#define TASKS 4 // groups of a half-warp at a time: their loads are in flight together

/* encode_groups    encode with an activation, for BF16 rows in whole packs, to groups
 * Launch   as encode; rows and groups are counted on, not divided, and one shuffle carries the largest values of two groups
 * Measured NVIDIA H100 80GB HBM3, 75600x13824 of random values, copy 3.01 TB/s, 2026-11: GELU 1151 us, 2.75 TB/s = 91 % of copy; by encode
 *          1253 us, 83 %. Without an activation encode is the faster one: 391 against 419 us for 75600x5120 */
template <int ACT>
static __global__ void __launch_bounds__(256, 4)
    encode_groups(vg_act any, const __nv_bfloat16 *x, vg_codes codes, unsigned tasks,
                  unsigned groups, int64_t k)
{
    const vg_act act = ACT < 0 ? any : (vg_act)ACT;
    const unsigned first = (blockIdx.x * blockDim.x + threadIdx.x) / 16 * TASKS,
                   column = threadIdx.x % 16 * 8;
    unsigned row[TASKS], group[TASKS];
    uint4 packs[TASKS];

#pragma unroll
    for (int t = 0; t < TASKS; t++) {
        bool wraps = t > 0 && group[t - 1] + 1 == groups;
        row[t] = t == 0 ? first / groups : row[t - 1] + wraps;
        group[t] = t == 0 ? first - row[0] * groups : wraps ? 0 : group[t - 1] + 1;
        packs[t] = make_uint4(0, 0, 0, 0);
        if (first + t < tasks && group[t] * VG_QUANT_GROUP + column < k)
            packs[t] = vg_load_once(x + row[t] * k + group[t] * VG_QUANT_GROUP + column);
    }
#pragma unroll
    for (int t = 0; t < TASKS; t += 2) {
#pragma unroll
        for (int i = t; i < t + 2; i++) {
            float v[8];
            vg_unpack(packs[i], v);
#pragma unroll
            for (int e = 0; e < 8; e++)
                v[e] = vg_activate<true>(act, v[e]);
            packs[i] = vg_packed(v);
        }
        const __nv_bfloat162 most = vg_half_warp_max(vg_largest_of_packs(packs[t], packs[t + 1]));
#pragma unroll
        for (int i = t; i < t + 2; i++)
            if (first + i < tasks)
                vg_store_group(codes.q + row[i] * codes.ld + group[i] * VG_QUANT_GROUP + column,
                               group[i] * VG_QUANT_GROUP + column < k,
                               codes.scales + group[i] * codes.rows + row[i], packs[i],
                               i == t ? __low2float(most) : __high2float(most));
    }
}

/* encode    Bytes  n*(size(x) + 1) [+ 4*n/128 for groups], x once   -> memory-bound
 * Launch   half a warp per (row, 128 columns), TASKS of them, 8 elements per thread; element-wise (N = 1, 8 times) for odd rows and addresses
 * Numerics the activation rounded to x's dtype, then times the reciprocal of the one scale, or divided by the group's own
 *          scale = max(amax, 1e-10) / 448, correctly rounded: equal to the CPU bit for bit (but for the activation and the sign of a NaN)
 * Measured NVIDIA H100 80GB HBM3, BF16, copy 3.01 TB/s, 2026-11: 75600x5120 to groups 391 us, 2.97 TB/s = 98 % of copy (with the activation
 *          chosen at run time, and so 66 registers and 3 blocks an SM, 407 us); GELU of 75600x13824 to static codes 1019 us, 3.08 TB/s
 * ACT      the activation if the compiler is to know it, -1: `any` */
template <int N, typename X, bool GROUPS, int ACT>
static __global__ void __launch_bounds__(256, 4)
    encode(vg_act any, const X *x, vg_codes codes, unsigned tasks, unsigned groups, int64_t k)
{
    const vg_act act = ACT < 0 ? any : (vg_act)ACT;
    unsigned first = (blockIdx.x * blockDim.x + threadIdx.x) / 16 * TASKS;
    int lane = threadIdx.x % 16;
    float v[TASKS][8], reciprocal = GROUPS ? 0.0f : __fdiv_rn(1.0f, *codes.scales);

#pragma unroll
    for (int t = 0; t < TASKS; t++) {
        unsigned task = first + t, row = task / groups, group = task - row * groups;
#pragma unroll
        for (int j = 0; j < 8; j += N) {
            int64_t column = (int64_t)group * VG_QUANT_GROUP + (N == 8 ? lane * 8 : j * 16 + lane);
            float part[N] = {};
            if (task < tasks && column < k)
                vg_load<N>(x + (int64_t)row * k + column, part);
#pragma unroll
            for (int e = 0; e < N; e++)
                v[t][j + e] = part[e];
        }
    }
#pragma unroll
    for (int t = 0; t < TASKS; t++) {
        unsigned task = first + t, row = task / groups, group = task - row * groups;
        float scale = 0.0f;
        if (act != VG_ACT_NONE) {
#pragma unroll
            for (int e = 0; e < 8; e++)
                v[t][e] = vg_activate<sizeof(X) == 2>(act, v[t][e]);
            vg_round_all<X>(v[t]);
        }
        if (GROUPS) {
            float most = 0.0f;
#pragma unroll
            for (int e = 0; e < 8; e++)
                most = fmaxf(most, fabsf(v[t][e]));
            scale = vg_group_scale<sizeof(X) == 2>(vg_half_warp_max(most));
            vg_divide<sizeof(X) == 2 ? 1 : 2>(v[t], scale);
        } else
#pragma unroll
            for (int e = 0; e < 8; e++)
                v[t][e] = __fmul_rn(v[t][e], reciprocal);
        if (task >= tasks)
            continue;
        if (GROUPS && lane == 0)
            codes.scales[group * codes.rows + row] = scale;
#pragma unroll
        for (int j = 0; j < 8; j += N) {
            int64_t column = (int64_t)group * VG_QUANT_GROUP + (N == 8 ? lane * 8 : j * 16 + lane);
            float part[N];
#pragma unroll
            for (int e = 0; e < N; e++)
                part[e] = v[t][j + e];
            if (column < k)
                vg_store_codes(codes.q + row * codes.ld + column, part);
        }
    }
}

// ---- launcher -------------------------------------------------------------------------------------------------------

template <typename X>
static vg_status quantize_tensor(vg_backend *be, const vg_quantize_args *a, vg_err *err)
{
    const X *x = static_cast<const X *>(a->x->data);
    __nv_fp8_e4m3 *q = static_cast<__nv_fp8_e4m3 *>(a->q->data);
    float *scale = static_cast<float *>(a->scale->data);
    int64_t n = vg_tensor_numel(a->x), packs = vg_cuda_packs(8, x, q) ? n / 16 : 0,
            done = packs * 16, rest = n - done;
    unsigned *bits = nullptr;

    if (a->kind == VG_QUANT_TENSOR_DYNAMIC) {
        VG_TRY(vg_cuda_scratch(be, 256, (void **)&bits, err));
        VG_CUDA_TRY(cudaMemsetAsync(bits, 0, sizeof *bits, vg_cuda(be)->stream), err);
        VG_TRY(vg_cuda_largest(be, a->x, bits, err));
    }
    if (packs)
        VG_CUDA_LAUNCH(be, err, (by_tensor<16, X>), (unsigned)((packs + 255) / 256), 256, 0, x, q,
                       packs, bits, scale, bits ? scale : nullptr);
    if (rest)
        VG_CUDA_LAUNCH(be, err, (by_tensor<1, X>), (unsigned)((rest + 255) / 256), 256, 0, x + done,
                       q + done, rest, bits, scale, bits && !packs ? scale : nullptr);
    return VG_OK;
}

vg_status vg_cuda_encode(vg_backend *be, vg_act act, const vg_tensor *x, const vg_codes *codes,
                         vg_err *err)
{
    int64_t rows = x->shape[0], k = x->shape[1], groups = (k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP,
            tasks = rows * groups;
    unsigned blocks = (unsigned)((tasks + 16 * TASKS - 1) / (16 * TASKS));

    if (tasks > (int64_t)1 << 31)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "quantize: %lld groups of 128 are too many for the cuda backend",
                       (long long)tasks);
    bool packs = vg_cuda_packs(k, x->data) && codes->ld % 8 == 0 &&
                 reinterpret_cast<uintptr_t>(codes->q) % 8 == 0;
#define ENCODE(X, ...)                                                                             \
    VG_CUDA_LAUNCH(be, err, (__VA_ARGS__), blocks, 256, 0, act, static_cast<const X *>(x->data),   \
                   *codes, (unsigned)tasks, (unsigned)groups, k)
    VG_CUDA_ACT(x->dtype, X, {
        if (codes->kind != VG_QUANT_GROUP_DYNAMIC) {
            if (packs && act == VG_ACT_GELU_TANH)
                ENCODE(X, encode<8, X, false, VG_ACT_GELU_TANH>);
            else if (packs)
                ENCODE(X, encode<8, X, false, -1>);
            else
                ENCODE(X, encode<1, X, false, -1>);
        } else if (!packs)
            ENCODE(X, encode<1, X, true, -1>);
        else if (act == VG_ACT_NONE)
            ENCODE(X, encode<8, X, true, VG_ACT_NONE>);
        else if (sizeof(X) == 2) {
            if (act == VG_ACT_GELU_TANH)
                ENCODE(__nv_bfloat16, encode_groups<VG_ACT_GELU_TANH>);
            else
                ENCODE(__nv_bfloat16, encode_groups<-1>);
        } else
            ENCODE(X, encode<8, X, true, -1>);
    });
#undef ENCODE
    return VG_OK;
}

vg_status vg_cuda_quantize(vg_backend *be, const vg_quantize_args *a, vg_err *err)
{
    vg_quant_out out = {a->kind, a->q, a->scale};

    VG_TRY(vg_cuda_enter(be, err));
    if (a->kind == VG_QUANT_GROUP_DYNAMIC) {
        vg_codes codes = vg_cuda_codes(&out);
        return vg_cuda_encode(be, VG_ACT_NONE, a->x, &codes, err);
    }
    VG_CUDA_ACT(a->x->dtype, X, { return quantize_tensor<X>(be, a, err); });
}

vg_status vg_cuda_values(vg_backend *be, vg_tensor **y, vg_tensor *made, vg_dtype dtype,
                         int64_t rows, int64_t dim, vg_err *err)
{
    const int64_t shape[2] = {rows, dim};
    void *memory;

    if (*y)
        return VG_OK;
    VG_TRY(
        vg_cuda_outer_scratch(be, (size_t)rows * (size_t)dim * vg_dtype_size(dtype), &memory, err));
    *made = vg_tensor_of(memory, dtype, 2, shape);
    *y = made;
    return VG_OK;
}

vg_status vg_cuda_quantize_result(vg_backend *be, const vg_tensor *y, const vg_quant_out *quant,
                                  vg_err *err)
{
    vg_quantize_args args = {y, quant->kind, quant->q, quant->scale};

    return quant->kind == VG_QUANT_NONE ? VG_OK : vg_cuda_quantize(be, &args, err);
}
