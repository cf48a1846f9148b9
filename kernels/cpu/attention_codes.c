/* attention_codes.c: softmax(scale q k^T) v on 8-bit codes, the oracle of the GPU's kernel: exact integer scores, weights 2^(score - m) with
 * the row's largest between 2^3 and 2^4, rounded to E4M3 where they meet v and not in the sum that divides. */
#include <math.h>

#include "kernels/base/numeric.h"
#include "kernels/cpu/cpu.h"

#define ROWS   64
#define OFFSET 4.0f

typedef struct job {
    vg_backend *be;
    const vg_attention_codes_args *a;
    const vg_tensor *y;
    int64_t nq, nk, heads, d, padded, tiles;
} job;

/* Scores of a query in log2 units, in the order of the keys; returns their maximum. */
static float score_row(const job *j, int64_t head, int64_t row, float *scores)
{
    const vg_attention_codes_args *a = j->a;
    const int8_t *q = (const int8_t *)a->q->data + (row * j->heads + head) * j->d;
    const float *k_scale = (const float *)a->k_scale->data + head * a->k_scale->shape[1];
    float q_factor = ((const float *)a->q_scale->data)[head * j->nq + row] *
                     (a->scale * 1.44269504088896340736f);
    float most = -INFINITY;

    for (int64_t i = 0; i < j->nk; i++) {
        const int8_t *k = (const int8_t *)a->k->data + (i * j->heads + head) * j->d;
        int32_t sum = 0;
        for (int64_t c = 0; c < j->d; c++)
            sum += (int32_t)q[c] * k[c];
        scores[i] = (float)sum * (q_factor * k_scale[i / VG_CODES_BLOCK]);
        most = scores[i] > most ? scores[i] : most;
    }
    return most;
}

/* Scratch: scores of a row, weights of ROWS rows, values of the head, results. */
static void attend(const job *j, int64_t head, int64_t row, int64_t rows, float *scratch)
{
    const vg_attention_codes_args *a = j->a;
    const size_t width = vg_cpu_round((size_t)j->padded);
    float *scores = scratch, *weights = scores + width, *values = weights + ROWS * width,
          *out = values + (size_t)j->d * width, sums[ROWS];

    vg_cpu_load(a->v, head * j->d * j->padded, j->d * j->padded, values);
    for (int64_t r = 0; r < rows; r++) {
        float *p = weights + r * j->padded,
              reference = ceilf(score_row(j, head, row + r, scores)) - OFFSET;
        for (int64_t i = 0; i < j->nk; i++)
            scores[i] = exp2f(scores[i] - reference);
        sums[r] = vg_cpu_sum(scores, j->nk);
        for (int64_t i = 0; i < j->padded; i++)
            p[vg_codes_place(i)] = i < j->nk ? vg_e4m3_to_f32(vg_f32_to_e4m3(scores[i])) : 0.0f;
    }
    vg_cpu_gemm_nt(rows, j->d, j->padded, weights, j->padded, values, j->padded, false, out, j->d);
    for (int64_t r = 0; r < rows; r++) {
        const float *scale = (const float *)a->v_scale->data + head * j->d,
                    *mean = (const float *)a->v_mean->data + head * j->d;
        for (int64_t c = 0; c < j->d; c++)
            out[r * j->d + c] = out[r * j->d + c] / sums[r] * scale[c] + mean[c];
        vg_cpu_store(j->y, ((row + r) * j->heads + head) * j->d, j->d, out + r * j->d);
    }
}

static void tiles(void *ctx, int64_t begin, int64_t end, int worker)
{
    const job *j = ctx;

    for (int64_t tile = begin; tile < end; tile++) {
        int64_t head = tile / j->tiles, row = tile % j->tiles * ROWS;
        attend(j, head, row, j->nq - row < ROWS ? j->nq - row : ROWS,
               vg_cpu_scratch(j->be, worker));
    }
}

vg_status vg_cpu_attention_codes(vg_backend *be, const vg_attention_codes_args *a, vg_err *err)
{
    const int64_t *s = a->q->shape;
    vg_tensor y = vg_tensor_of(NULL, VG_BF16, 3, s), rows;
    job j = {be,
             a,
             a->y ? a->y : &y,
             s[0],
             a->k->shape[0],
             s[1],
             s[2],
             a->v->shape[2],
             (s[0] + ROWS - 1) / ROWS};

    VG_TRY(vg_cpu_scratch_reserve(
        be, (1 + ROWS + (size_t)j.d) * vg_cpu_round((size_t)j.padded) + ROWS * (size_t)j.d, err));
    if (!a->y) {
        VG_TRY(vg_cpu_shared_reserve(be, (size_t)vg_tensor_numel(a->q), err));
        y.data = vg_cpu(be)->shared;
    }
    vg_cpu_for(be, j.heads * j.tiles, 1, tiles, &j);
    if (a->quant.kind == VG_QUANT_NONE || vg_backend_cancelled(be))
        return VG_OK;
    rows = vg_tensor_reshape(j.y, 2, s[0], s[1] * s[2]);
    return vg_cpu_quantize(
        be,
        &(vg_quantize_args){
            .x = &rows, .kind = a->quant.kind, .q = a->quant.q, .scale = a->quant.scale},
        err);
}
