/* codes.h: attention on 8-bit codes in tests: data with what makes it hard (channels that stand out, a large mean of k), the three
 * operations one after the other, and attention in double to compare with. */
#ifndef VG_TESTS_CODES_H
#define VG_TESTS_CODES_H

#include "tests/check.h"

#define CODES_D 128 /* head size */

static inline double codes_normal(check_rng *rng)
{
    double u = 0.5 - 0.5 * check_random(rng), angle = check_random(rng);
    return sqrt(-2.0 * log(u)) * cos(3.14159265358979323846 * angle);
}

/* Standard deviation of scores about `spread` (log e); outliers: 4 channels of k so many times larger; mean: standard deviation of k's mean. */
typedef struct codes_data {
    double spread, outliers, mean, value_mean;
} codes_data;

/* q, k and v [n,heads,128] BF16. */
static inline void codes_fill(const codes_data *d, check_rng *rng, vg_tensor *q, vg_tensor *k,
                              vg_tensor *v)
{
    int64_t heads = q->shape[1], width = heads * CODES_D;
    double *mean = check_reference(k), *shift = check_reference(k),
           size = sqrt((124.0 + 4.0 * d->outliers * d->outliers) / 128.0);

    for (int64_t c = 0; c < width; c++) {
        mean[c] = d->mean * codes_normal(rng);
        shift[c] = d->value_mean * codes_normal(rng);
    }
    for (int64_t i = 0; i < vg_tensor_numel(q); i++)
        check_set(q, i, sqrt(d->spread) * codes_normal(rng));
    for (int64_t i = 0; i < vg_tensor_numel(k); i++) {
        double outlier = i % CODES_D % 32 == 5 ? d->outliers : 1.0;
        check_set(k, i, sqrt(d->spread) * outlier / size * codes_normal(rng) + mean[i % width]);
        check_set(v, i, codes_normal(rng) + shift[i % width]);
    }
    free(mean);
    free(shift);
}

/* Attention of BF16 values in double, scale 1/sqrt(128). */
static inline double *codes_reference(const vg_tensor *q, const vg_tensor *k, const vg_tensor *v)
{
    int64_t heads = q->shape[1], nk = k->shape[0];
    double *y = check_reference(q), *p = malloc((size_t)nk * sizeof *p),
           *row = malloc(CODES_D * sizeof *row);

    assert_true(p && row);
    for (int64_t i = 0; i < q->shape[0] * heads; i++) {
        double most = -INFINITY, sum = 0.0;
        for (int64_t e = 0; e < CODES_D; e++)
            row[e] = check_get(q, i * CODES_D + e) / sqrt((double)CODES_D);
        for (int64_t j = 0; j < nk; j++) {
            p[j] = 0.0;
            for (int64_t e = 0; e < CODES_D; e++)
                p[j] += row[e] * check_get(k, (j * heads + i % heads) * CODES_D + e);
            most = fmax(most, p[j]);
        }
        for (int64_t j = 0; j < nk; j++)
            sum += p[j] = exp(p[j] - most);
        for (int64_t j = 0; j < nk; j++)
            for (int64_t e = 0; e < CODES_D; e++)
                y[i * CODES_D + e] +=
                    p[j] / sum * check_get(v, (j * heads + i % heads) * CODES_D + e);
    }
    free(p);
    free(row);
    return y;
}

/* The switches, and the operands that head_codes and value_codes make with them; `place`: where they lie for the backend. */
typedef struct codes_recipe {
    bool center, rotate, value_center;
} codes_recipe;

static const codes_recipe codes_default = {true, true, true};

/* Arguments of attention_codes over tensors in host memory, not yet filled. */
static inline vg_attention_codes_args codes_operands(int64_t nq, int64_t nk, int64_t heads)
{
    int64_t blocks = vg_codes_blocks(nk);
    return (vg_attention_codes_args){
        .q = check_tensor(VG_I8, 3, nq, heads, CODES_D),
        .q_scale = check_tensor(VG_F32, 2, heads, nq),
        .k = check_tensor(VG_I8, 3, nk, heads, CODES_D),
        .k_scale = check_tensor(VG_F32, 2, heads, blocks),
        .v = check_tensor(VG_E4M3, 3, heads, CODES_D, blocks * VG_CODES_BLOCK),
        .v_scale = check_tensor(VG_F32, 2, heads, CODES_D),
        .v_mean = check_tensor(VG_F32, 2, heads, CODES_D),
        .scale = (float)(1.0 / sqrt((double)CODES_D))};
}

/* Codes of q, k and v in the operands of a. */
static inline void codes_make(vg_backend *be, const codes_recipe *r, const vg_tensor *q,
                              const vg_tensor *k, const vg_tensor *v,
                              const vg_attention_codes_args *a)
{
    int64_t width = q->shape[1] * CODES_D;
    vg_tensor q_rows = vg_tensor_reshape(q, 2, q->shape[0], width),
              k_rows = vg_tensor_reshape(k, 2, k->shape[0], width);
    vg_head_codes_args head = {.x = &q_rows,
                               .heads = (int)q->shape[1],
                               .rotate = r->rotate,
                               .codes = (vg_tensor *)a->q,
                               .scale = (vg_tensor *)a->q_scale};
    vg_err err;

    CHECK_OK(vg_head_codes(be, &head, &err), err);
    head.x = &k_rows, head.center = r->center, head.codes = (vg_tensor *)a->k,
    head.scale = (vg_tensor *)a->k_scale;
    CHECK_OK(vg_head_codes(be, &head, &err), err);
    CHECK_OK(vg_value_codes(be,
                            &(vg_value_codes_args){v, r->value_center, (vg_tensor *)a->v,
                                                   (vg_tensor *)a->v_scale, (vg_tensor *)a->v_mean},
                            &err),
             err);
}

/* How near y is to the reference: 1 - cosine, and relative L2. */
static inline void codes_distance(const vg_tensor *y, const double *wanted, double *angle,
                                  double *relative)
{
    double ab = 0.0, aa = 0.0, bb = 0.0, error = 0.0;

    for (int64_t i = 0; i < vg_tensor_numel(y); i++) {
        double a = check_get(y, i), b = wanted[i];
        ab += a * b, aa += a * a, bb += b * b, error += (a - b) * (a - b);
    }
    *angle = 1.0 - ab / sqrt(aa * bb);
    *relative = sqrt(error / bb);
}

#endif
