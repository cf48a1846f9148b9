// linear.cu: y = act(x W^T + b) for every combination of operand formats.
//
// DESIGN. Three ways, tried in this order:
//   direct       one product by cuBLASLt, its bias in the epilogue. F32 and BF16 operands; E4M3 x E4M3 with the scales that the library
//                takes (compute capability 8.9 for scalars, 9.0 for rows, groups and blocks), others brought into such a form.
//   weight-only  BF16 x with E4M3 weights: weights become BF16 (exact for scalar and per-row scales, which multiply the sum instead;
//                one more rounding for blocks), then a BF16 product.
//   plain        both operands become F32 in scratch memory, block and group scales applied, then an F32 product. Any shape, any
//                format, any GPU; slow. vg_cuda_backend::plain_products counts it.
// What the epilogue cannot do (scales outside the sum, a bias of another dtype, activations other than GELU) is done by `finish` or by the
// activation operation. GELU in the epilogue acts on the unrounded sum, and with a static quantisation its codes are the product's own
// output: no values are written at all (ops.h, vg_linear_args).
#include "kernels/cuda/blas.cuh"
#include "kernels/cuda/codes.cuh"

#define TEMPORARY_BYTES                                                                            \
    ((size_t)256 << 20) // sums in FP32 are made for as many rows at a time as fit here

/* dequantise   Bytes  n*(size(x) + size(y))   -> memory-bound
 * y = x * scales: groups [ceil(k/128)][rows] or blocks [ceil(rows/128)][ceil(k/128)], or neither; FP32, one rounding.
 * Launch 256 threads, N elements each, which lie in one row and one group */
template <int N, typename X, typename Y>
static __global__ void dequantise(const X *x, const float *groups, const float *blocks, Y *y,
                                  int64_t first, int64_t rows, int64_t all, int64_t k)
{
    int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * N, row = i / k + first,
            column = i % k;
    float v[N], scale = 1.0f;

    if (i >= rows * k)
        return;
    vg_load<N>(x + first * k + i, v);
    if (groups)
        scale = groups[column / VG_QUANT_GROUP * all + row];
    else if (blocks)
        scale = blocks[row / VG_QUANT_GROUP * ((k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP) +
                       column / VG_QUANT_GROUP];
#pragma unroll
    for (int e = 0; e < N; e++)
        v[e] *= scale;
    vg_store<N>(y + i, v);
}

/* finish   Bytes  rows*n*(4 + size(y))   -> memory-bound
 * y = sum * (x_scale * w_scale) + bias in FP32, one rounding. y may be sum itself. */
template <typename B, typename Y>
static __global__ void finish(const float *sum, const float *x_scale, const float *w_scale,
                              bool w_rows, const B *bias, Y *y, int64_t count, int64_t n)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, column = i % n;
    float v;

    if (i >= count)
        return;
    v = sum[i];
    if (x_scale || w_scale)
        v = __fmul_rn(v, (x_scale ? *x_scale : 1.0f) *
                             (w_scale ? w_scale[w_rows ? column : 0] : 1.0f));
    if (bias)
        v = __fadd_rn(v, vg_to_float(bias[column]));
    y[i] = vg_from_float<Y>(v);
}

// Scales brought into the library's forms: one number per group of each row, or per row; block scales with padded rows.
static __global__ void spread(const float *from, bool per_row, float *to, int64_t rows,
                              int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        to[i] = from[per_row ? i % rows : 0];
}

static __global__ void pad_blocks(const float *from, float *to, int64_t blocks, int64_t padded,
                                  int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        to[i] = i % padded < blocks ? from[i / padded * blocks + i % padded] : 0.0f;
}

// ---- launcher -------------------------------------------------------------------------------------------------------

static unsigned grid_of(int64_t threads)
{
    return (unsigned)((threads + 255) / 256);
}

static size_t rounded(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static vg_status launch_dequantise(vg_backend *be, const vg_tensor *t, const vg_tensor *groups,
                                   const vg_tensor *blocks, int64_t first, int64_t rows,
                                   vg_dtype to, void *y, vg_err *err)
{
    int64_t all = t->shape[0], k = t->shape[1];
    const float *g = groups ? static_cast<const float *>(groups->data) : nullptr,
                *b = blocks ? static_cast<const float *>(blocks->data) : nullptr;
    bool packs = vg_cuda_packs(k, t->data, y) && first * k % 16 == 0;

#define DEQUANTISE(X)                                                                              \
    VG_CUDA_ACT(to, Y, {                                                                           \
        const X *x = static_cast<const X *>(t->data);                                              \
        if (packs)                                                                                 \
            VG_CUDA_LAUNCH(be, err, (dequantise<8, X, Y>), grid_of(rows *k / 8), 256, 0, x, g, b,  \
                           static_cast<Y *>(y), first, rows, all, k);                              \
        else                                                                                       \
            VG_CUDA_LAUNCH(be, err, (dequantise<1, X, Y>), grid_of(rows *k), 256, 0, x, g, b,      \
                           static_cast<Y *>(y), first, rows, all, k);                              \
    })
    switch (t->dtype) {
    case VG_F32:
        DEQUANTISE(float);
        return VG_OK;
    case VG_BF16:
        DEQUANTISE(__nv_bfloat16);
        return VG_OK;
    default:
        DEQUANTISE(__nv_fp8_e4m3);
        return VG_OK;
    }
}

static vg_status launch_finish(vg_backend *be, const vg_linear_args *a, const float *sum,
                               const vg_tensor *x_scale, const vg_tensor *w_scale, int64_t first,
                               int64_t rows, vg_err *err)
{
    int64_t n = a->w->shape[0], count = rows * n;
    const float *xs = x_scale ? static_cast<const float *>(x_scale->data) : nullptr;
    const float *ws = w_scale ? static_cast<const float *>(w_scale->data) : nullptr;
    bool w_rows = w_scale && w_scale->shape[0] > 1;

    VG_CUDA_ACT(a->bias ? a->bias->dtype : VG_F32, B, VG_CUDA_ACT(a->y->dtype, Y, {
                    const B *bias = a->bias ? static_cast<const B *>(a->bias->data) : nullptr;
                    VG_CUDA_LAUNCH(be, err, (finish<B, Y>), grid_of(count), 256, 0, sum, xs, ws,
                                   w_rows, bias, static_cast<Y *>(a->y->data) + first * n, count,
                                   n);
                }););
    return VG_OK;
}

static vg_product product_of(const vg_linear_args *a)
{
    vg_product p = {};

    p.m = a->x->shape[0], p.n = a->w->shape[0], p.k = a->x->shape[1];
    p.ldx = p.ldw = p.k;
    p.ldy = p.n;
    p.batch = 1;
    p.x = a->x->data, p.w = a->w->data;
    p.x_type = a->x->dtype, p.w_type = a->w->dtype;
    if (a->y)
        p.y = a->y->data, p.y_type = a->y->dtype;
    p.alpha = 1.0;
    return p;
}

// For the scale of an E4M3 result, which the library multiplies by.
static __global__ void reciprocal(const float *x, float *y)
{
    *y = __fdiv_rn(1.0f, *x);
}

static vg_status multiply_plain_formats(vg_backend *be, const vg_linear_args *a, bool gelu,
                                        vg_err *err)
{
    vg_product p = product_of(a);

    p.gelu = gelu;

    if (a->bias) {
        p.bias = a->bias->data;
        p.bias_type = a->bias->dtype;
    }
    return vg_cuda_multiply(be, &p, err);
}

// E4M3 x E4M3 with one scale each, as codes of one known scale.
static vg_status multiply_e4m3_to_codes(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    vg_product p = product_of(a);
    void *factor;

    VG_TRY(vg_cuda_scratch(be, 256, &factor, err));
    VG_CUDA_LAUNCH(be, err, reciprocal, 1, 1, 0, static_cast<const float *>(a->quant.scale->data),
                   static_cast<float *>(factor));
    p.x_scale = static_cast<const float *>(a->x_scale->data),
    p.w_scale = static_cast<const float *>(a->w_scale->data);
    p.x_mode = p.w_mode = VG_SCALE_TENSOR;
    p.gelu = a->act == VG_ACT_GELU_TANH;
    p.bias = a->bias ? a->bias->data : nullptr;
    p.bias_type = VG_BF16;
    p.y = a->quant.q->data;
    p.y_type = VG_E4M3;
    p.y_factor = static_cast<const float *>(factor);
    return vg_cuda_multiply(be, &p, err);
}

// Are these operands such that the codes can be the product's own output?
static bool makes_codes(vg_backend *be, const vg_linear_args *a)
{
    return !a->y && a->quant.kind == VG_QUANT_TENSOR_STATIC && a->x->dtype == VG_E4M3 &&
           vg_tensor_numel(a->x_scale) == 1 && vg_tensor_numel(a->w_scale) == 1 &&
           a->x_scale->ndim == 1 && a->w_scale->ndim == 1 &&
           (!a->bias || a->bias->dtype == VG_BF16) &&
           (a->act == VG_ACT_NONE || a->act == VG_ACT_GELU_TANH) && vg_cuda(be)->capability >= 89;
}

// E4M3 x E4M3. Both scales scalar, or both per row, or groups of x with blocks or groups of w.
static vg_status multiply_e4m3(vg_backend *be, const vg_linear_args *a, bool gelu, vg_err *err)
{
    vg_product p = product_of(a);
    int64_t groups = (p.k + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP, padded = (groups + 3) / 4 * 4,
            n_blocks = (p.n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
    bool x_groups = a->x_scale->ndim == 2, w_blocks = a->w_scale->ndim == 2,
         w_rows = !w_blocks && a->w_scale->shape[0] > 1;
    bool bias_fits = a->bias && a->bias->dtype == VG_BF16 && a->y->dtype == VG_BF16;
    const float *xs = static_cast<const float *>(a->x_scale->data),
                *ws = static_cast<const float *>(a->w_scale->data);
    void *scratch;
    float *x_made, *w_made;
    size_t x_bytes = rounded((size_t)(groups * p.m) * 4),
           w_bytes = rounded(
               (size_t)(n_blocks * padded > groups * p.n ? n_blocks * padded : groups * p.n) * 4);

    p.x_scale = xs, p.w_scale = ws;
    p.x_mode = p.w_mode = VG_SCALE_TENSOR;
    if (x_groups || w_blocks || w_rows) {
        if (vg_cuda(be)->capability != 90)
            return VG_FAIL(
                err, VG_E_UNSUPPORTED,
                "linear: FP8 scales per row, group or block need compute capability 9.0");
        VG_TRY(vg_cuda_scratch(be, x_bytes + w_bytes, &scratch, err));
        x_made = static_cast<float *>(scratch);
        w_made = reinterpret_cast<float *>(static_cast<char *>(scratch) + x_bytes);
        p.x_mode = p.w_mode = x_groups || w_blocks ? VG_SCALE_GROUPS : VG_SCALE_ROWS;
        int64_t x_count = p.x_mode == VG_SCALE_ROWS ? p.m : groups * p.m,
                w_count = p.w_mode == VG_SCALE_ROWS ? p.n : groups * p.n;
        if (!x_groups) {
            VG_CUDA_LAUNCH(be, err, spread, grid_of(x_count), 256, 0, xs, false, x_made, p.m,
                           x_count);
            p.x_scale = x_made;
        }
        if (w_blocks) {
            p.w_mode = VG_SCALE_BLOCKS;
            if (groups != padded) {
                VG_CUDA_LAUNCH(be, err, pad_blocks, grid_of(n_blocks * padded), 256, 0, ws, w_made,
                               groups, padded, n_blocks * padded);
                p.w_scale = w_made;
            }
        } else if (!(w_rows && p.w_mode == VG_SCALE_ROWS)) {
            VG_CUDA_LAUNCH(be, err, spread, grid_of(w_count), 256, 0, ws, w_rows, w_made, p.n,
                           w_count);
            p.w_scale = w_made;
        }
    } else if (vg_cuda(be)->capability < 89)
        return VG_FAIL(err, VG_E_UNSUPPORTED, "linear: FP8 products need compute capability 8.9");
    if (p.x_mode != VG_SCALE_TENSOR && ((uintptr_t)p.x_scale | (uintptr_t)p.w_scale) % 16)
        return VG_FAIL(err, VG_E_UNSUPPORTED,
                       "linear: FP8 scale vectors must lie at multiples of 16 bytes");
    if (bias_fits) {
        p.bias = a->bias->data;
        p.bias_type = VG_BF16;
    } else if (a->bias && (a->y->dtype == VG_BF16 || gelu))
        return VG_FAIL(err, VG_E_UNSUPPORTED, "linear: an F32 bias with BF16 results");
    p.gelu = gelu;
    VG_TRY(vg_cuda_multiply(be, &p, err));
    if (a->bias && !bias_fits)
        return launch_finish(be, a, static_cast<const float *>(a->y->data), nullptr, nullptr, 0,
                             p.m, err);
    return VG_OK;
}

// Rows of x in pieces whose FP32 sums fit into scratch memory. `type` is what both operands become: F32, or BF16 for weight-only.
static vg_status multiply_converted(vg_backend *be, const vg_linear_args *a, vg_dtype type,
                                    vg_err *err)
{
    int64_t m = a->x->shape[0], n = a->w->shape[0], k = a->x->shape[1], piece;
    const vg_tensor *groups = a->x_scale && a->x_scale->ndim == 2 ? a->x_scale : nullptr,
                    *x_scale = groups ? nullptr : a->x_scale;
    const vg_tensor *blocks = a->w_scale && a->w_scale->ndim == 2 ? a->w_scale : nullptr,
                    *w_scale = blocks ? nullptr : a->w_scale;
    bool convert_x = a->x->dtype != type, convert_w = a->w->dtype != type;
    size_t size = vg_dtype_size(type), w_bytes = convert_w ? rounded((size_t)(n * k) * size) : 0;
    size_t row_bytes = (size_t)n * 4 + (convert_x ? (size_t)k * size : 0);
    char *scratch;

    piece = (int64_t)(TEMPORARY_BYTES / row_bytes);
    piece = piece < 16 ? 16 : piece / 16 * 16;
    piece = piece < m ? piece : m;
    VG_TRY(vg_cuda_scratch(
        be, w_bytes + rounded((size_t)(piece * n) * 4) + rounded((size_t)(piece * k) * size),
        (void **)&scratch, err));
    void *w = scratch, *x = scratch + w_bytes + rounded((size_t)(piece * n) * 4);
    float *sum = reinterpret_cast<float *>(scratch + w_bytes);
    if (convert_w)
        VG_TRY(launch_dequantise(be, a->w, nullptr, blocks, 0, n, type, w, err));
    for (int64_t first = 0; first < m; first += piece) {
        int64_t rows = m - first < piece ? m - first : piece;
        vg_product p = product_of(a);
        if (convert_x)
            VG_TRY(launch_dequantise(be, a->x, groups, nullptr, first, rows, type, x, err));
        p.m = rows;
        p.x = convert_x ? x : static_cast<const char *>(a->x->data) + (size_t)(first * k) * size;
        p.w = convert_w ? w : a->w->data;
        p.y = sum;
        p.x_type = p.w_type = type;
        p.y_type = VG_F32;
        VG_TRY(vg_cuda_multiply(be, &p, err));
        VG_TRY(launch_finish(be, a, sum, x_scale, w_scale, first, rows, err));
    }
    return VG_OK;
}

// Shapes for which the library has one-rounding kernels. For other BF16 ones it rounds the sum to BF16 before it adds the bias (seen
// with M=33 N=65 K=511 on an H100: wrong by up to 2^-9 of the sum where bias and sum cancel); the contract is one rounding.
static bool is_regular(const vg_linear_args *a)
{
    return a->x->dtype != VG_BF16 ||
           (a->w->shape[0] % 8 == 0 &&
            vg_cuda_packs(a->x->shape[1], a->x->data, a->w->data, a->y->data));
}

// One product in the operands' own formats, or VG_E_UNSUPPORTED.
static vg_status multiply_direct(vg_backend *be, const vg_linear_args *a, bool gelu, vg_err *err)
{
    bool same = a->x->dtype == a->w->dtype, bias_fits = !a->bias || a->bias->dtype == a->y->dtype;

    if (same && a->x->dtype == VG_E4M3)
        return multiply_e4m3(be, a, gelu, err);
    if (same && bias_fits && is_regular(a) && (a->x->dtype == VG_BF16 || a->y->dtype == VG_F32))
        return multiply_plain_formats(be, a, gelu, err);
    return VG_E_UNSUPPORTED;
}

// The sum alone; a->act is not looked at.
static vg_status multiply(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    vg_status status = multiply_direct(be, a, false, err);

    if (status == VG_E_UNSUPPORTED && a->x->dtype == VG_BF16 && a->w->dtype == VG_E4M3)
        status = multiply_converted(be, a, VG_BF16, err);
    if (status != VG_E_UNSUPPORTED)
        return status;
    vg_cuda(be)->plain_products++;
    return multiply_converted(be, a, VG_F32, err);
}

// The product with its activation in it if the epilogue has one; `left` is what is still to be done to y.
static vg_status multiply_and_activate(vg_backend *be, const vg_linear_args *a, vg_act *left,
                                       vg_err *err)
{
    vg_status status = VG_E_UNSUPPORTED;

    *left = VG_ACT_NONE;
    if (a->act == VG_ACT_GELU_TANH && a->y->dtype == VG_BF16)
        status = multiply_direct(be, a, true, err);
    if (status != VG_E_UNSUPPORTED)
        return status;
    *left = a->act;
    return multiply(be, a, err);
}

// A result that is wanted as codes only: columns of it at a time, so that its values never need all their memory. Each column's sum is the
// same as in a whole product, unless the library chooses another order for the narrower one.
static vg_status multiply_to_codes(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    vg_dtype dtype = a->bias ? a->bias->dtype : VG_BF16;
    int64_t m = a->x->shape[0], n = a->w->shape[0];
    int64_t groups = (n + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP, columns;
    int64_t pieces = (int64_t)((size_t)(m * n) * vg_dtype_size(dtype) / VG_CUDA_VALUES_BYTES) + 1;
    void *memory;

    columns = (groups + pieces - 1) / pieces * VG_QUANT_GROUP;
    columns = columns < n ? columns : n;
    VG_TRY(vg_cuda_outer_scratch(be, (size_t)(m * columns) * vg_dtype_size(dtype), &memory, err));
    for (int64_t first = 0; first < n; first += columns) {
        const int64_t count = n - first < columns ? n - first : columns, shape[2] = {m, count};
        vg_tensor y = vg_tensor_of(memory, dtype, 2, shape), w = vg_tensor_rows(a->w, first, count),
                  w_scale, bias;
        vg_linear_args part = *a;
        vg_codes codes = vg_cuda_codes(&a->quant);
        vg_act left;
        part.w = &w;
        part.y = &y;
        if (a->w_scale && a->w_scale->ndim == 2) {
            w_scale = vg_tensor_rows(a->w_scale, first / VG_QUANT_GROUP,
                                     (count + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP);
            part.w_scale = &w_scale;
        } else if (a->w_scale && a->w_scale->shape[0] > 1) {
            w_scale = vg_tensor_rows(a->w_scale, first, count);
            part.w_scale = &w_scale;
        }
        if (a->bias) {
            bias = vg_tensor_rows(a->bias, first, count);
            part.bias = &bias;
        }
        codes.q += first;
        codes.scales += codes.kind == VG_QUANT_GROUP_DYNAMIC ? first / VG_QUANT_GROUP * m : 0;
        VG_TRY(multiply_and_activate(be, &part, &left, err));
        VG_TRY(vg_cuda_encode(be, left, &y, &codes, err));
    }
    return VG_OK;
}

/* Bytes m*k*size(x) + n*k*size(w) + m*n*size(y)   FLOPs 2*m*n*k, compute-bound from m of some hundred on
 * Numerics: FP32 accumulation (no TF32; FP8 with one scale a tensor or row keeps partial sums in the tensor cores' accumulators unless
 * vg_backend.fp8_exact is set, which moves them to FP32 registers every 128 of K),
 * one rounding of the sum; the order of the sum is the library's, repeatable for one shape, GPU and version.
 * Measured NVIDIA H100 80GB HBM3, random data, 2026-11: M=75600, TFLOP/s, the library's (13.1) first proposal / the best of its proposals
 *          (N, K)          BF16        the same, GELU   FP8 tensor, fast   exact         FP8 1x128 by 128x128 (one proposal)
 *          5120, 5120      723 / 779   -                1326 / 1505        1379 / 1379   1235
 *          13824, 5120     587 / 734   744 / 748        1429 / 1429        1366 / 1366   1089, GELU 1159
 *          5120, 13824     692 / 717   -                1291 / 1307        1351 / 1351   1107
 * Error against FP64 of the E4M3 operands, relative L2, K = 5120 and 13824: exact 1.3e-4 and 1.3e-4, fast 1.5e-3 and 2.9e-3; the rounding
 *          to BF16 is 1.6e-3, that of operands to E4M3 some 3e-2. Other engines' FP8 products are fast ones (CUTLASS, TransformerEngine)
 * Not done q, k and v as one product of N=15360: no faster (704 BF16) */
vg_status vg_cuda_linear(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    vg_status status = VG_E_UNSUPPORTED;
    vg_activation_args act = {};

    VG_TRY(vg_cuda_enter(be, err));
    if (makes_codes(be, a))
        status = multiply_e4m3_to_codes(be, a, err);
    if (status != VG_E_UNSUPPORTED)
        return status;
    if (!a->y)
        return multiply_to_codes(be, a, err);
    VG_TRY(multiply_and_activate(be, a, &act.act, err));
    act.x = act.y = a->y;
    if (act.act != VG_ACT_NONE)
        VG_TRY(vg_cuda_activation(be, &act, err));
    return vg_cuda_quantize_result(be, a->y, &a->quant, err);
}
