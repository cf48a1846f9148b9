/* test_op_attention.c: softmax attention against double, with bias, masks, extreme scores, odd and large heads. */
#include "tests/check.h"

typedef struct attention_case {
    int64_t nq, nk, heads, d;
    vg_dtype dtype;
    bool bias;
    double spread; /* of q and k */
} attention_case;

static void run_case(const attention_case *c)
{
    check_rng rng = {11};
    int64_t width = c->heads * c->d;
    vg_tensor *q =
        check_fill(check_tensor(c->dtype, 3, c->nq, c->heads, c->d), &rng, 0.0, c->spread);
    vg_tensor *k =
        check_fill(check_tensor(c->dtype, 3, c->nk, c->heads, c->d), &rng, 0.0, c->spread);
    vg_tensor *v = check_fill(check_tensor(c->dtype, 3, c->nk, c->heads, c->d), &rng, 0.3, 1.0);
    vg_tensor *bias =
        c->bias ? check_fill(check_tensor(VG_F32, 3, c->heads, c->nq, c->nk), &rng, 0.0, 3.0)
                : NULL;
    vg_tensor *y = check_tensor(c->dtype, 3, c->nq, c->heads, c->d);
    float scale = (float)(1.0 / sqrt((double)c->d));
    double *reference = check_reference(y), *p = malloc((size_t)c->nk * sizeof *p),
           score_error = 0.0;
    vg_attention_args args = {.q = q, .k = k, .v = v, .bias = bias, .scale = scale, .y = y};

    assert_non_null(p);
    for (int64_t h = 0; h < c->heads; h++)
        for (int64_t i = 0; i < c->nq; i++) {
            double most = -INFINITY, sum = 0.0;
            if (bias) /* a masked key, as a text encoder makes it */
                check_set(bias, (h * c->nq + i) * c->nk + (i + 1) % c->nk,
                          c->nk > 1 ? -3.38953139e38 : 0.5);
            for (int64_t j = 0; j < c->nk; j++) {
                double dot = 0.0, size = 0.0;
                for (int64_t e = 0; e < c->d; e++) {
                    double term = check_get(q, i * width + h * c->d + e) *
                                  check_get(k, j * width + h * c->d + e);
                    dot += term;
                    size += fabs(term);
                }
                p[j] = dot * (double)scale +
                       (bias ? check_get(bias, (h * c->nq + i) * c->nk + j) : 0.0);
                most = fmax(most, p[j]);
                score_error = fmax(score_error, size * (double)scale + (bias ? 3.0 : 0.0));
            }
            for (int64_t j = 0; j < c->nk; j++)
                sum += p[j] = exp(p[j] - most);
            for (int64_t e = 0; e < c->d; e++) {
                double out = 0.0;
                for (int64_t j = 0; j < c->nk; j++)
                    out += p[j] / sum * check_get(v, j * width + h * c->d + e);
                reference[(i * c->heads + h) * c->d + e] = out;
            }
        }
    CHECK_RUN(attention, &args, y);
    /* A score is wrong by (sqrt(d) + 3) units of its terms' magnitude; a probability relatively by twice that (numerator and sum);
     * the outputs are averages of |v| <= 1.3, summed over nk keys: sqrt(nk) + 8 units more. With BF16 each numerator is rounded. */
    score_error *= (sqrt((double)c->d) + 3.0) * 0x1p-24;
    CHECK_CLOSE("attention", y, reference,
                1.3 * (2.0 * score_error + (sqrt((double)c->nk) + 8.0) * 0x1p-24 +
                       (c->dtype == VG_BF16 ? 0x1p-9 : 0.0)),
                c->dtype == VG_BF16 ? 0x1p-8 : 0.0);
    free(reference);
    free(p);
    check_done();
}

static void test_attention_matches_double(void **state)
{
    const int64_t shapes[][4] = {{1, 1, 1, 8},      {33, 1, 2, 16},    {1, 511, 1, 33},
                                 {65, 257, 3, 20},  {300, 300, 2, 64}, {70, 1025, 1, 9},
                                 {129, 40, 5, 128}, {20, 30, 1, 1024}};

    (void)state;
    for (size_t s = 0; s < 8; s++)
        for (int f = 0; f < 4; f++)
            run_case(&(attention_case){shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3],
                                       f & 1 ? VG_BF16 : VG_F32, f >> 1, 2.0});
}

/* One bias for all heads is what a copy of it for each head is. */
static void test_attention_shares_a_bias(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    check_rng rng = {15};
    vg_err err;

    (void)state;
    for (int f = 0; f < 2; f++) {
        vg_tensor *q = check_fill(check_tensor(dtypes[f], 3, 70, 3, 16), &rng, 0.0, 2.0);
        vg_tensor *k = check_fill(check_tensor(dtypes[f], 3, 300, 3, 16), &rng, 0.0, 2.0);
        vg_tensor *one = check_fill(check_tensor(VG_F32, 3, 1, 70, 300), &rng, 0.0, 3.0);
        vg_tensor *each = check_tensor(VG_F32, 3, 3, 70, 300),
                  *y = check_tensor(dtypes[f], 3, 70, 3, 16),
                  *wanted = check_tensor(dtypes[f], 3, 70, 3, 16);
        vg_attention_args args = {
            .q = q, .k = k, .v = k, .bias = each, .scale = 0.25f, .y = wanted};
        for (int64_t i = 0; i < 3 * 70 * 300; i++)
            check_set(each, i, check_get(one, i % (70 * 300)));
        CHECK_OK(vg_attention(check_cpu()->one, &args, &err), err);
        args.bias = one, args.y = y;
        CHECK_RUN(attention, &args, y);
        assert_memory_equal(y->data, wanted->data, vg_tensor_bytes(y));
        check_done();
    }
}

/* Scores in the thousands: the maximum must be taken away before the exponential. */
static void test_attention_survives_extreme_scores(void **state)
{
    (void)state;
    run_case(&(attention_case){40, 600, 1, 64, VG_F32, false, 60.0});
}

/* A row whose keys are all excluded by -inf is NaN as in torch; the other rows are as if the excluded keys were absent. */
static void test_attention_excluded_keys(void **state)
{
    check_rng rng = {12};
    vg_tensor *q = check_fill(check_tensor(VG_F32, 3, 3, 1, 16), &rng, 0.0, 1.0),
              *k = check_fill(check_tensor(VG_F32, 3, 600, 1, 16), &rng, 0.0, 1.0);
    vg_tensor *v = check_fill(check_tensor(VG_F32, 3, 600, 1, 16), &rng, 0.0, 1.0),
              *bias = check_tensor(VG_F32, 3, 1, 3, 600);
    vg_tensor *y = check_tensor(VG_F32, 3, 3, 1, 16), *plain = check_tensor(VG_F32, 3, 3, 1, 16);
    vg_tensor k_some = vg_tensor_rows(k, 500, 100), v_some = vg_tensor_rows(v, 500, 100);
    vg_attention_args args = {.q = q, .k = k, .v = v, .bias = bias, .scale = 0.25f, .y = y};
    double *reference = check_reference(plain);

    (void)state;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 600; j++)
            check_set(bias, i * 600 + j, i == 1 || j < 500 ? -INFINITY : 0.0);
    CHECK_RUN(attention, &args, y);
    CHECK_RUN(
        attention,
        (&(vg_attention_args){.q = q, .k = &k_some, .v = &v_some, .scale = 0.25f, .y = plain}),
        plain);
    for (int i = 0; i < 48; i++)
        reference[i] = check_get(plain, i);
    for (int i = 16; i < 32; i++) {
        assert_true(isnan(check_get(y, i)));
        check_set(y, i, reference[i]);
    }
    CHECK_CLOSE("excluded keys", y, reference, 1e-6, 0.0);
    free(reference);
    check_done();
}

/* Codes and scales are those of vg_quantize on the op's own y, with y and without. Rows of 128 n, of 2 heads per group, and of a short
 * last group. */
static void test_attention_quantised_result(void **state)
{
    const int64_t shapes[][4] = {
        {1, 1, 1, 128}, {130, 70, 3, 128}, {65, 33, 2, 64}, {70, 300, 3, 40}};
    const vg_quant_kind kinds[] = {VG_QUANT_TENSOR_STATIC, VG_QUANT_GROUP_DYNAMIC};

    (void)state;
    for (int c = 0; c < 16; c++) {
        const int64_t *s = shapes[c / 4];
        int64_t row = s[2] * s[3], groups = (row + VG_QUANT_GROUP - 1) / VG_QUANT_GROUP;
        vg_dtype dtype = c % 4 / 2 ? VG_F32 : VG_BF16;
        bool by_group = kinds[c % 2] == VG_QUANT_GROUP_DYNAMIC;
        check_rng rng = {13};
        vg_tensor *q = check_fill(check_tensor(dtype, 3, s[0], s[2], s[3]), &rng, 0.0, 2.0),
                  *k = check_fill(check_tensor(dtype, 3, s[1], s[2], s[3]), &rng, 0.0, 2.0);
        vg_tensor *v = check_fill(check_tensor(dtype, 3, s[1], s[2], s[3]), &rng, 0.1, 1.0),
                  *y = check_tensor(dtype, 3, s[0], s[2], s[3]);
        vg_tensor *codes = check_tensor(VG_E4M3, 2, s[0], row),
                  *wanted = check_tensor(VG_E4M3, 2, s[0], row);
        vg_tensor *scale = by_group ? check_tensor(VG_F32, 2, groups, s[0])
                                    : check_fill(check_tensor(VG_F32, 1, 1), &rng, 0.003, 0.0),
                  *wanted_scale = by_group ? check_tensor(VG_F32, 2, groups, s[0]) : scale;
        vg_tensor rows = vg_tensor_reshape(y, 2, s[0], row);
        vg_attention_args args = {
            .q = q, .k = k, .v = v, .scale = 0.1f, .y = y, .quant = {kinds[c % 2], codes, scale}};
        vg_quantize_args separate = {&rows, kinds[c % 2], wanted, wanted_scale};
        vg_err err;

        CHECK_RUN(attention, &args, y);
        CHECK_OK(vg_quantize(check_cpu()->one, &separate, &err), err);
        assert_memory_equal(codes->data, wanted->data, vg_tensor_bytes(codes));
        assert_memory_equal(scale->data, wanted_scale->data, vg_tensor_bytes(scale));
        args.y = NULL;
        CHECK_RUN(attention, &args, codes);
        assert_memory_equal(codes->data, wanted->data, vg_tensor_bytes(codes));
        assert_memory_equal(scale->data, wanted_scale->data, vg_tensor_bytes(scale));
        check_done();
    }
}

static void test_attention_refuses_wrong_operands(void **state)
{
    vg_tensor *q = check_tensor(VG_F32, 3, 5, 2, 4), *k = check_tensor(VG_F32, 3, 6, 2, 4),
              *v = check_tensor(VG_F32, 3, 7, 2, 4), *y = check_tensor(VG_F32, 3, 5, 2, 4);
    vg_tensor *bias = check_tensor(VG_F32, 3, 2, 6, 5), *flat = check_tensor(VG_F32, 2, 5, 8),
              *codes = check_tensor(VG_E4M3, 2, 5, 8), *one = check_tensor(VG_F32, 1, 1);
    const vg_attention_args good = {.q = q, .k = k, .v = k, .scale = 1.0f, .y = y};
    const struct {
        vg_attention_args args;
        vg_status status;
    } cases[] = {
        {{q, k, v, NULL, 1.0f, y, {0}}, VG_E_SHAPE},
        {{q, k, k, bias, 1.0f, y, {0}}, VG_E_SHAPE},
        {{flat, k, k, NULL, 1.0f, y, {0}}, VG_E_SHAPE},
        {{q, k, k, NULL, NAN, y, {0}}, VG_E_ARG},
        {{q, k, k, NULL, 1.0f, NULL, {0}}, VG_E_ARG},
        {{q, k, k, NULL, 1.0f, y, {VG_QUANT_TENSOR_DYNAMIC, codes, one}}, VG_E_ARG},
        {{q, k, k, NULL, 1.0f, y, {VG_QUANT_TENSOR_STATIC, codes, NULL}}, VG_E_ARG},
        {{q, k, k, NULL, 1.0f, y, {VG_QUANT_TENSOR_STATIC, flat, one}}, VG_E_DTYPE},
        {{q, k, k, NULL, 1.0f, NULL, {VG_QUANT_GROUP_DYNAMIC, codes, one}}, VG_E_SHAPE},
    };
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_OK(vg_attention(be, &good, &err), err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_FAILS(vg_attention(be, &cases[i].args, &err), cases[i].status, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_matches_double),
        cmocka_unit_test(test_attention_shares_a_bias),
        cmocka_unit_test(test_attention_survives_extreme_scores),
        cmocka_unit_test(test_attention_excluded_keys),
        cmocka_unit_test(test_attention_quantised_result),
        cmocka_unit_test(test_attention_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_attention", tests, NULL, check_close_cpu);
}
