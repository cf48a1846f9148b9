/* attention.c: softmax(scale q k^T + bias) v by tiles of queries x keys with a running maximum and sum, so the score matrix
 * never exists. Heads are read in place for F32 (strided sgemm) and converted per tile for BF16. All FP32 inside, but for BF16 the
 * exponentials are rounded to BF16 before they meet v (not in the sum that divides), as torch's and every fused kernel does.
 *
 * Measured on one core of an AMD EPYC (Zen 3, OpenBLAS 0.3.21; its sgemm ceiling 93 GFLOP/s a core, 178 on two):
 * 300x300, 4 heads of 64: 50 GFLOP/s F32, 45 BF16; 300x512: 53, 48; 240x240, one head of 384: 75. The rest goes into exponentials and
 * sgemm's packing of small tiles. Before the exponential was vectorised: 28. 2026-11. */
#include <math.h>

#include "kernels/cpu/cpu.h"

#define Q_TILE 64
#define K_TILE 256
#define LANES  32

typedef struct job {
    vg_backend *be;
    const vg_attention_args *a;
    int64_t nq, nk, heads, d, q_tiles;
} job;

/* s = s * scale (+ bias); lanes[] receives 32 interleaved maxima. NaN scores are passed over here; they reach the sum. */
VG_CPU_BODY scale_scores_body(float *s, int64_t n, float scale, const float *bias, float *lanes)
{
    float most[LANES];
    int64_t i = 0;

    for (int l = 0; l < LANES; l++)
        most[l] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = s[i + l] * scale;
            if (bias)
                v += bias[i + l];
            s[i + l] = v;
            most[l] = v > most[l] ? v : most[l];
        }
    for (; i < n; i++) {
        float v = s[i] * scale;
        if (bias)
            v += bias[i];
        s[i] = v;
        most[0] = v > most[0] ? v : most[0];
    }
    for (int l = 0; l < LANES; l++)
        lanes[l] = most[l];
}
VG_CPU_WIDE(scale_scores, (float *s, int64_t n, float scale, const float *bias, float *lanes),
            (s, n, scale, bias, lanes))

VG_CPU_BODY rescale_body(float *x, int64_t n, float factor)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}
VG_CPU_WIDE(rescale, (float *x, int64_t n, float factor), (x, n, factor))

/* Rows [row, row+rows) of one head; ld is the distance between rows. */
static const float *load_head(const job *j, const vg_tensor *t, int64_t row, int64_t rows,
                              int64_t head, float *scratch, int64_t *ld)
{
    if (t->dtype == VG_F32) {
        *ld = j->heads * j->d;
        return (const float *)t->data + (row * j->heads + head) * j->d;
    }
    for (int64_t r = 0; r < rows; r++)
        vg_cpu_load(t, ((row + r) * j->heads + head) * j->d, j->d, scratch + r * j->d);
    *ld = j->d;
    return scratch;
}

static void attend(const job *j, int64_t head, int64_t row, int64_t rows, float *scratch)
{
    const vg_attention_args *a = j->a;
    size_t k_size = vg_cpu_round((size_t)(K_TILE * j->d)),
           q_size = vg_cpu_round((size_t)(Q_TILE * j->d));
    float *k_tile = scratch, *v_tile = k_tile + k_size, *q_tile = v_tile + k_size,
          *out = q_tile + q_size;
    float *scores = out + q_size, *most = scores + Q_TILE * K_TILE, *sum = most + Q_TILE;
    int64_t ldq, ldk, ldv, bias_head = a->bias && a->bias->shape[0] > 1 ? head : 0;
    const float *q = load_head(j, a->q, row, rows, head, q_tile, &ldq);

    for (int64_t r = 0; r < rows; r++) {
        most[r] = -INFINITY;
        sum[r] = 0.0f;
    }
    for (int64_t key = 0; key < j->nk; key += K_TILE) {
        int64_t keys = j->nk - key < K_TILE ? j->nk - key : K_TILE;
        const float *k = load_head(j, a->k, key, keys, head, k_tile, &ldk);
        const float *v = load_head(j, a->v, key, keys, head, v_tile, &ldv);
        vg_cpu_gemm_nt(rows, keys, j->d, q, ldq, k, ldk, false, scores, keys);
        for (int64_t r = 0; r < rows; r++) {
            float *s = scores + r * keys, lanes[LANES], higher = most[r], shift, factor;
            const float *bias =
                a->bias ? (const float *)a->bias->data + (bias_head * j->nq + row + r) * j->nk + key
                        : NULL;
            scale_scores(s, keys, a->scale, bias, lanes);
            for (int l = 0; l < LANES; l++)
                higher = lanes[l] > higher ? lanes[l] : higher;
            /* While every score is -inf there is no maximum yet; 0 in its place keeps -inf - -inf out. */
            shift = higher == -INFINITY ? 0.0f : higher;
            factor = most[r] == -INFINITY ? 0.0f : expf(most[r] - shift);
            most[r] = higher;
            vg_cpu_exp_minus(s, keys, shift);
            sum[r] = sum[r] * factor + vg_cpu_sum(s, keys);
            vg_cpu_round_to(a->q->dtype, s, keys);
            if (key > 0 && factor != 1.0f)
                rescale(out + r * j->d, j->d, factor);
        }
        vg_cpu_gemm_nn(rows, j->d, keys, scores, keys, v, ldv, key > 0, out, j->d);
    }
    for (int64_t r = 0; r < rows; r++) {
        /* A row of -inf only has sum 0 and gives NaN, as torch does. */
        for (int64_t c = 0; c < j->d; c++)
            out[r * j->d + c] /= sum[r];
        vg_cpu_store(a->y, ((row + r) * j->heads + head) * j->d, j->d, out + r * j->d);
    }
}

static void tiles(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;

    for (int64_t tile = begin; tile < end; tile++) {
        int64_t head = tile / j->q_tiles, row = tile % j->q_tiles * Q_TILE;
        attend(j, head, row, j->nq - row < Q_TILE ? j->nq - row : Q_TILE,
               vg_cpu_scratch(j->be, worker));
    }
}

static vg_status attention(vg_backend *be, const vg_attention_args *a, vg_err *err)
{
    const int64_t *s = a->q->shape;
    job j = {be, a, s[0], a->k->shape[0], s[1], s[2], (s[0] + Q_TILE - 1) / Q_TILE};

    VG_TRY(vg_cpu_scratch_reserve(be,
                                  2 * vg_cpu_round((size_t)(K_TILE * j.d)) +
                                      2 * vg_cpu_round((size_t)(Q_TILE * j.d)) + Q_TILE * K_TILE +
                                      2 * Q_TILE,
                                  err));
    vg_cpu_for(be, j.heads * j.q_tiles, 1, tiles, &j);
    return VG_OK;
}

/* A row's groups may span heads, which different workers compute: the codes are made from the finished result. */
vg_status vg_cpu_attention(vg_backend *be, const vg_attention_args *a, vg_err *err)
{
    vg_attention_args values = *a;
    vg_tensor y = *a->q, rows;

    if (!a->y) {
        VG_TRY(vg_cpu_shared_reserve(be, (size_t)vg_tensor_numel(a->q), err));
        y.data = vg_cpu(be)->shared;
        values.y = &y;
    }
    VG_TRY(attention(be, &values, err));
    if (a->quant.kind == VG_QUANT_NONE || vg_backend_cancelled(be))
        return VG_OK;
    rows = vg_tensor_reshape(values.y, 2, y.shape[0], y.shape[1] * y.shape[2]);
    return vg_cpu_quantize(
        be,
        &(vg_quantize_args){
            .x = &rows, .kind = a->quant.kind, .q = a->quant.q, .scale = a->quant.scale},
        err);
}
