/* linear.c: y = act(x W^T + bias) as tiles of rows x outputs, each a chain of sgemm calls over blocks of K.
 *
 * Tiles depend on the shape only, so the bits do not depend on the number of threads. Operands that are not F32 are
 * converted per tile and K-block into scratch, where they stay in the cache for the product. E4M3: scalar and per-row scales are
 * applied to the finished sum (the products of two E4M3 values are exact in FP32); group and block scales during the
 * conversion, q * scale rounded to FP32, so a sum differs from sum_kb s_a s_w (q_a . q_w)_kb by FP32 rounding only.
 *
 * Measured on one core of an AMD EPYC (Zen 3, OpenBLAS 0.3.21; its sgemm ceiling 93 GFLOP/s a core, 178 on two),
 * M=300 K=256: N=768 F32 79, BF16 75, E4M3 blocks 59 GFLOP/s; N=256 71 / 65 (small tiles, so that 16 cores have work). M=4000
 * K=N=1536 BF16 73. M=1 K=N=1536 F32 29 (memory-bound). 2026-11. */
#include "kernels/cpu/cpu.h"

#define K_BLOCK   1024 /* a multiple of VG_QUANT_GROUP */
#define GEMV_ROWS 4 /* up to here a matrix-vector product per row is faster than sgemm's packing */

typedef struct job {
    vg_backend *be;
    const vg_linear_args *a;
    int64_t m, n, k;
    int64_t m_tile, n_tile, n_tiles;
    bool x_groups, w_blocks;
} job;

VG_CPU_BODY rescale_body(float *x, int64_t n, float factor)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}
VG_CPU_WIDE(rescale, (float *x, int64_t n, float factor), (x, n, factor))

/* Rows [row, row+rows) and channels [from, from+n) of x as FP32, at scratch or where they lie. */
static const float *load_x(const job *j, int64_t row, int64_t rows, int64_t from, int64_t n,
                           float *scratch, int64_t *ld)
{
    const vg_tensor *x = j->a->x;
    const float *scales = j->x_groups ? j->a->x_scale->data : NULL;

    if (x->dtype == VG_F32) {
        *ld = j->k;
        return (const float *)x->data + row * j->k + from;
    }
    for (int64_t r = 0; r < rows; r++) {
        float *to = scratch + r * n;
        vg_cpu_load(x, (row + r) * j->k + from, n, to);
        for (int64_t c = 0; scales && c < n; c += VG_QUANT_GROUP) {
            float scale = scales[(from + c) / VG_QUANT_GROUP * j->m + row + r];
            rescale(to + c, n - c < VG_QUANT_GROUP ? n - c : VG_QUANT_GROUP, scale);
        }
    }
    *ld = n;
    return scratch;
}

/* The same for rows of w. */
static const float *load_w(const job *j, int64_t row, int64_t rows, int64_t from, int64_t n,
                           float *scratch, int64_t *ld)
{
    const vg_tensor *w = j->a->w;
    const float *scales = j->w_blocks ? j->a->w_scale->data : NULL;

    if (w->dtype == VG_F32) {
        *ld = j->k;
        return (const float *)w->data + row * j->k + from;
    }
    for (int64_t r = 0; r < rows; r++) {
        float *to = scratch + r * n;
        vg_cpu_load(w, (row + r) * j->k + from, n, to);
        for (int64_t c = 0; scales && c < n; c += VG_QUANT_GROUP) {
            float scale = scales[(row + r) / VG_QUANT_GROUP * j->a->w_scale->shape[1] +
                                 (from + c) / VG_QUANT_GROUP];
            rescale(to + c, n - c < VG_QUANT_GROUP ? n - c : VG_QUANT_GROUP, scale);
        }
    }
    *ld = n;
    return scratch;
}

/* Scales that stayed outside of the sum, bias, activation, store; one row of a tile. */
static void finish_row(const job *j, int64_t row, int64_t col, int64_t cols, const float *bias,
                       float *sum)
{
    const vg_linear_args *a = j->a;
    float x_scale = a->x_scale && !j->x_groups ? *(const float *)a->x_scale->data : 1.0f;

    if (a->w_scale && !j->w_blocks) {
        const float *w_scale = a->w_scale->data;
        if (a->w_scale->shape[0] == 1)
            for (int64_t c = 0; c < cols; c++)
                sum[c] *= x_scale * w_scale[0];
        else
            for (int64_t c = 0; c < cols; c++)
                sum[c] *= x_scale * w_scale[col + c];
    } else if (x_scale != 1.0f) {
        for (int64_t c = 0; c < cols; c++)
            sum[c] *= x_scale;
    }
    if (bias)
        for (int64_t c = 0; c < cols; c++)
            sum[c] += bias[c];
    if (a->act != VG_ACT_NONE) {
        vg_cpu_round_to(a->y->dtype, sum, cols);
        vg_cpu_activate(a->act, sum, cols);
    }
    vg_cpu_store(a->y, row * j->n + col, cols, sum);
}

/* Scratch: x block, w block, sums, bias. */
static void tiles(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;
    int64_t k_block = j->k < K_BLOCK ? j->k : K_BLOCK;
    float *x_block = vg_cpu_scratch(j->be, worker);
    float *w_block = x_block + vg_cpu_round((size_t)(j->m_tile * k_block));
    float *sums = w_block + vg_cpu_round((size_t)(j->n_tile * k_block));
    float *bias_block = sums + vg_cpu_round((size_t)(j->m_tile * j->n_tile));

    for (int64_t tile = begin; tile < end; tile++) {
        int64_t row = tile / j->n_tiles * j->m_tile, col = tile % j->n_tiles * j->n_tile;
        int64_t rows = j->m - row < j->m_tile ? j->m - row : j->m_tile;
        int64_t cols = j->n - col < j->n_tile ? j->n - col : j->n_tile;
        const float *bias = j->a->bias ? vg_cpu_view(j->a->bias, col, cols, bias_block) : NULL;
        for (int64_t from = 0; from < j->k; from += K_BLOCK) {
            int64_t n = j->k - from < K_BLOCK ? j->k - from : K_BLOCK, ldx, ldw;
            const float *x = load_x(j, row, rows, from, n, x_block, &ldx);
            const float *w = load_w(j, col, cols, from, n, w_block, &ldw);
            if (j->m <= GEMV_ROWS)
                for (int64_t r = 0; r < rows; r++)
                    vg_cpu_gemv(cols, n, w, ldw, x + r * ldx, from > 0, sums + r * cols);
            else
                vg_cpu_gemm_nt(rows, cols, n, x, ldx, w, ldw, from > 0, sums, cols);
        }
        for (int64_t r = 0; r < rows; r++)
            finish_row(j, row + r, col, cols, bias, sums + r * cols);
    }
}

/* Tiles as large as the caches like, but at least 16 of them where the shape allows, for load balance. */
static void choose_tiles(job *j)
{
    int64_t m_tile = 256, n_tile = 256;

    if (j->m <= GEMV_ROWS) {
        j->m_tile = j->m;
        j->n_tile = 32;
    } else {
        while (m_tile / 2 >= j->m && m_tile > 16)
            m_tile /= 2;
        while (n_tile / 2 >= j->n && n_tile > 16)
            n_tile /= 2;
        while (((j->m + m_tile - 1) / m_tile) * ((j->n + n_tile - 1) / n_tile) < 16 &&
               (m_tile > 64 || n_tile > 64)) {
            if (n_tile >= m_tile)
                n_tile /= 2;
            else
                m_tile /= 2;
        }
        j->m_tile = m_tile < j->m ? m_tile : j->m;
        j->n_tile = n_tile < j->n ? n_tile : j->n;
    }
    if (j->n_tile > j->n)
        j->n_tile = j->n;
    j->n_tiles = (j->n + j->n_tile - 1) / j->n_tile;
}

static vg_status multiply(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    job j = {.be = be, .a = a, .m = a->x->shape[0], .n = a->w->shape[0], .k = a->x->shape[1]};
    int64_t k_block = j.k < K_BLOCK ? j.k : K_BLOCK;

    j.x_groups = a->x_scale && a->x_scale->ndim == 2;
    j.w_blocks = a->w_scale && a->w_scale->ndim == 2;
    choose_tiles(&j);
    VG_TRY(vg_cpu_scratch_reserve(
        be,
        vg_cpu_round((size_t)(j.m_tile * k_block)) + vg_cpu_round((size_t)(j.n_tile * k_block)) +
            vg_cpu_round((size_t)(j.m_tile * j.n_tile)) + (size_t)j.n_tile,
        err));
    vg_cpu_for(be, (j.m + j.m_tile - 1) / j.m_tile * j.n_tiles, 1, tiles, &j);
    return VG_OK;
}

/* A quantised result is made of the finished values: tiles end inside of groups. */
vg_status vg_cpu_linear(vg_backend *be, const vg_linear_args *a, vg_err *err)
{
    vg_linear_args plain = *a;
    vg_tensor y;

    if (a->quant.kind == VG_QUANT_NONE)
        return multiply(be, a, err);
    if (!a->y) {
        vg_dtype dtype = a->bias ? a->bias->dtype : VG_BF16;
        int64_t m = a->x->shape[0], n = a->w->shape[0];
        VG_TRY(vg_cpu_shared_reserve(be, (size_t)(m * n), err));
        y = vg_tensor_make(vg_cpu(be)->shared, dtype, 2, m, n);
        plain.y = &y;
    }
    VG_TRY(multiply(be, &plain, err));
    return vg_cpu_quantize(
        be, &(vg_quantize_args){plain.y, a->quant.kind, a->quant.q, a->quant.scale}, err);
}
