/* test_op_attention_codes.c: attention on 8-bit codes against attention in double on what the codes stand for, and what the 8 bits
 * cost on hard data, switch by switch. */
#include "tests/codes.h"

/* A weight in E4M3 is off by 2^-4 of itself, or by 2^-10 where it is small (the largest is at least 8); both as if all errors had one sign. */
static void run_case(int64_t nq, int64_t nk, int64_t heads, double spread)
{
    check_rng rng = {51};
    int64_t padded = vg_codes_blocks(nk) * VG_CODES_BLOCK;
    vg_attention_codes_args a = codes_operands(nq, nk, heads);
    vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, nq, heads, CODES_D), &rng, 0.0, spread),
              *k = check_fill(check_tensor(VG_BF16, 3, nk, heads, CODES_D), &rng, 0.0, spread),
              *v = check_fill(check_tensor(VG_BF16, 3, nk, heads, CODES_D), &rng, 0.5, 1.0),
              *y = check_tensor(VG_BF16, 3, nq, heads, CODES_D);
    double *p = malloc((size_t)nk * sizeof *p);

    assert_non_null(p);
    codes_make(check_cpu()->four, &codes_default, q, k, v, &a);
    a.y = y;
    CHECK_RUN(attention_codes, &a, y);
    for (int64_t i = 0; i < nq; i++)
        for (int64_t h = 0; h < heads; h++) {
            double most = -INFINITY, sum = 0.0;
            for (int64_t j = 0; j < nk; j++) {
                p[j] = 0.0;
                for (int64_t e = 0; e < CODES_D; e++)
                    p[j] += check_get(a.q, (i * heads + h) * CODES_D + e) *
                            check_get(a.k, (j * heads + h) * CODES_D + e);
                p[j] *= check_get(a.q_scale, h * nq + i) *
                        check_get(a.k_scale, h * vg_codes_blocks(nk) + j / VG_CODES_BLOCK) *
                        (double)a.scale;
                most = fmax(most, p[j]);
            }
            for (int64_t j = 0; j < nk; j++)
                sum += p[j] = exp(p[j] - most);
            for (int64_t e = 0; e < CODES_D; e++) {
                double wanted = 0.0, error = 0.0, unit = check_get(a.v_scale, h * CODES_D + e),
                       got = check_get(y, (i * heads + h) * CODES_D + e);
                for (int64_t j = 0; j < nk; j++) {
                    double value =
                        check_get(a.v, (h * CODES_D + e) * padded + vg_codes_place(j)) * unit;
                    wanted += p[j] / sum * value;
                    error += fmax(p[j] * 0x1p-4, 0x1p-10 / 8) / sum * fabs(value);
                }
                wanted += check_get(a.v_mean, h * CODES_D + e);
                if (!(fabs(got - wanted) <= 1.001 * error + 0x1p-8 * fabs(wanted) + 1e-5))
                    fail_msg(
                        "attention_codes: row %lld head %lld channel %lld is %g, not %g within %g",
                        (long long)i, (long long)h, (long long)e, got, wanted, error);
            }
        }
    free(p);
    check_done();
}

static void test_attention_codes_match_double(void **state)
{
    (void)state;
    run_case(1, 1, 1, 1.0);
    run_case(3, 63, 2, 2.0);
    run_case(65, 130, 3, 3.0);
    run_case(20, 700, 1, 1.0);
    run_case(5, 300, 1, 20.0); /* scores of some hundreds */
}

/* One key: every weight is 1, so the result is its value, whatever q and k are. */
static void test_attention_codes_of_one_key(void **state)
{
    check_rng rng = {52};
    vg_attention_codes_args a = codes_operands(9, 1, 2);
    vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, 9, 2, CODES_D), &rng, 0.0, 5.0),
              *k = check_fill(check_tensor(VG_BF16, 3, 1, 2, CODES_D), &rng, 0.0, 5.0),
              *v = check_fill(check_tensor(VG_BF16, 3, 1, 2, CODES_D), &rng, 0.0, 1.0),
              *y = check_tensor(VG_BF16, 3, 9, 2, CODES_D);

    (void)state;
    codes_make(check_cpu()->one, &codes_default, q, k, v, &a);
    a.y = y;
    CHECK_RUN(attention_codes, &a, y);
    for (int64_t i = 0; i < vg_tensor_numel(y); i++)
        assert_true(check_get(y, i) == check_get(v, i % (2 * CODES_D)));
    check_done();
}

/* What 8 bits cost, switch by switch, on data as real layers have it: channels of k that stand out, a mean of k larger than what varies. Values
 * without a mean are the hardest: attention over many keys then averages them away, and errors stay. */
static void test_attention_codes_quality(void **state)
{
    static const struct {
        const char *name;
        codes_recipe recipe;
        double value_mean, least, most; /* of 1 - cosine */
    } rows[] = {{"default", {true, true, true}, 0.0, 0.0, 1e-3},
                {"mean of k kept", {false, true, true}, 0.0, 1.4e-3, 1.0},
                {"no rotation", {true, false, true}, 0.0, 1.1e-3, 1.0},
                {"neither", {false, false, true}, 0.0, 1.4e-3, 1.0},
                {"default, values with a mean", {true, true, true}, 0.5, 0.0, 5e-6},
                {"mean of v kept", {true, true, false}, 0.5, 5e-6, 1e-3}};
    vg_tensor *q = check_tensor(VG_BF16, 3, 48, 2, CODES_D),
              *k = check_tensor(VG_BF16, 3, 3000, 2, CODES_D),
              *v = check_tensor(VG_BF16, 3, 3000, 2, CODES_D),
              *y = check_tensor(VG_BF16, 3, 48, 2, CODES_D);
    vg_attention_codes_args a = codes_operands(48, 3000, 2);
    double *wanted = NULL, angle, relative;
    vg_err err;

    (void)state;
    a.y = y;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (i == 0 || rows[i].value_mean != rows[i - 1].value_mean) {
            free(wanted);
            codes_fill(&(codes_data){1.0, 8.0, 6.0, rows[i].value_mean}, &(check_rng){53}, q, k, v);
            wanted = codes_reference(q, k, v);
        }
        codes_make(check_cpu()->four, &rows[i].recipe, q, k, v, &a);
        CHECK_OK(vg_attention_codes(check_cpu()->four, &a, &err), err);
        codes_distance(y, wanted, &angle, &relative);
        print_message("QUALITY %-28s cosine %.6f, relative L2 %.4f\n", rows[i].name, 1.0 - angle,
                      relative);
        if (!(angle >= rows[i].least && angle <= rows[i].most))
            fail_msg("%s: 1 - cosine is %g, expected %g to %g", rows[i].name, angle, rows[i].least,
                     rows[i].most);
    }
    free(wanted);
    check_done();
}

/* Codes and scales are those of vg_quantize on the op's own y, with y and without. */
static void test_attention_codes_quantised_result(void **state)
{
    const vg_quant_kind kinds[] = {VG_QUANT_TENSOR_STATIC, VG_QUANT_GROUP_DYNAMIC};
    vg_err err;

    (void)state;
    for (int c = 0; c < 2; c++) {
        check_rng rng = {54};
        vg_attention_codes_args a = codes_operands(70, 90, 3);
        vg_tensor *q = check_fill(check_tensor(VG_BF16, 3, 70, 3, CODES_D), &rng, 0.0, 2.0),
                  *k = check_fill(check_tensor(VG_BF16, 3, 90, 3, CODES_D), &rng, 0.0, 2.0),
                  *v = check_fill(check_tensor(VG_BF16, 3, 90, 3, CODES_D), &rng, 0.1, 1.0),
                  *y = check_tensor(VG_BF16, 3, 70, 3, CODES_D);
        vg_tensor rows = vg_tensor_reshape(y, 2, 70, 3 * CODES_D);
        check_codes codes = check_codes_of(&rows, kinds[c]);
        codes_make(check_cpu()->one, &codes_default, q, k, v, &a);
        a.y = y;
        CHECK_OK(vg_attention_codes(check_cpu()->one, &a, &err), err);
        CHECK_OK(vg_quantize(check_cpu()->one,
                             &(vg_quantize_args){&rows, kinds[c], codes.wanted, codes.wanted_scale},
                             &err),
                 err);
        for (int beside = 0; beside < 2; beside++) {
            a.quant = (vg_quant_out){kinds[c], codes.q, codes.scale};
            a.y = beside ? y : NULL;
            CHECK_RUN(attention_codes, &a, codes.q);
            assert_memory_equal(codes.q->data, codes.wanted->data, vg_tensor_bytes(codes.q));
            assert_memory_equal(codes.scale->data, codes.wanted_scale->data,
                                vg_tensor_bytes(codes.scale));
        }
        check_done();
    }
}

static void test_attention_codes_refuses_wrong_operands(void **state)
{
    vg_attention_codes_args good = codes_operands(5, 70, 2), a;
    vg_tensor *y = check_tensor(VG_BF16, 3, 5, 2, CODES_D),
              *y8 = check_tensor(VG_I8, 3, 5, 2, CODES_D),
              *few = check_tensor(VG_I8, 3, 60, 2, CODES_D),
              *narrow = check_tensor(VG_I8, 3, 5, 2, 64),
              *q = check_tensor(VG_BF16, 3, 5, 2, CODES_D),
              *k = check_tensor(VG_BF16, 3, 70, 2, CODES_D);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    codes_make(be, &codes_default, check_fill(q, &(check_rng){1}, 0, 1),
               check_fill(k, &(check_rng){1}, 0, 1), k, &good);
    good.y = y;
    CHECK_OK(vg_attention_codes(be, &good, &err), err);
    a = good, a.y = y8;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_DTYPE, err);
    a = good, a.y = NULL;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_ARG, err);
    a = good, a.k = few;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_SHAPE, err);
    a = good, a.q = narrow;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_SHAPE, err);
    a = good, a.k_scale = good.q_scale;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_SHAPE, err);
    a = good, a.q = good.v;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_DTYPE, err);
    a = good, a.scale = 0.0f;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_ARG, err);
    a = good, a.scale = NAN;
    CHECK_FAILS(vg_attention_codes(be, &a, &err), VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention_codes_match_double),
        cmocka_unit_test(test_attention_codes_of_one_key),
        cmocka_unit_test(test_attention_codes_quality),
        cmocka_unit_test(test_attention_codes_quantised_result),
        cmocka_unit_test(test_attention_codes_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_attention_codes", tests, NULL, check_close_cpu);
}
