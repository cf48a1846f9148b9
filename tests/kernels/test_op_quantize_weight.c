/* test_op_quantize_weight.c: scales and codes against the formula of modelopt-fp8 3.4 and 3.6, exactly; NaN and infinity are told. */
#include "tests/check.h"

static const int64_t SIZES[][2] = {{1, 1}, {128, 128}, {129, 260}, {7, 511}, {200, 384}};

/* Largest |w| of rows [r0, r1) and columns [c0, c1). */
static float largest(const vg_tensor *w, int64_t r0, int64_t r1, int64_t c0, int64_t c1)
{
    int64_t n = w->shape[0], k = w->shape[1];
    float most = 0.0f;

    for (int64_t r = r0; r < r1 && r < n; r++)
        for (int64_t c = c0; c < c1 && c < k; c++)
            most = fmaxf(most, fabsf((float)check_get(w, r * k + c)));
    return most;
}

static void expect_codes(const vg_quantize_weight_args *a, bool block)
{
    int64_t n = a->w->shape[0], k = a->w->shape[1], across = (k + 127) / 128;

    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < k; c++) {
            float scale = (float)check_get(a->scale, block ? r / 128 * across + c / 128 : 0);
            assert_int_equal(((const uint8_t *)a->q->data)[r * k + c],
                             vg_f32_to_e4m3((float)check_get(a->w, r * k + c) / scale));
        }
}

static void test_quantize_weight_matches_the_formulas(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16, VG_F16};
    check_rng rng = {5};

    (void)state;
    for (size_t s = 0; s < sizeof SIZES / sizeof SIZES[0]; s++)
        for (size_t d = 0; d < 3; d++) {
            int64_t n = SIZES[s][0], k = SIZES[s][1], a = (n + 127) / 128, b = (k + 127) / 128;
            vg_tensor *w = check_fill(check_tensor(dtypes[d], 2, n, k), &rng, 0.0, 0.7),
                      *q = check_tensor(VG_E4M3, 2, n, k), *one = check_tensor(VG_F32, 1, 1),
                      *many = check_tensor(VG_F32, 2, a, b);
            vg_quantize_weight_args args = {.w = w, .q = q, .scale = one};

            CHECK_RUN(quantize_weight, &args, q);
            assert_float_equal(check_get(one, 0), largest(w, 0, n, 0, k) / 448.0f, 0.0);
            expect_codes(&args, false);
            args.scale = many;
            CHECK_RUN(quantize_weight, &args, q);
            for (int64_t i = 0; i < a; i++)
                for (int64_t j = 0; j < b; j++)
                    assert_float_equal(
                        check_get(many, i * b + j),
                        largest(w, i * 128, i * 128 + 128, j * 128, j * 128 + 128) / 448.0f, 0.0);
            expect_codes(&args, true);
            check_done();
        }
}

static void test_quantize_weight_zeros_have_scale_one(void **state)
{
    vg_tensor *w = check_tensor(VG_BF16, 2, 130, 140), *q = check_tensor(VG_E4M3, 2, 130, 140),
              *one = check_tensor(VG_F32, 1, 1), *many = check_tensor(VG_F32, 2, 2, 2);
    vg_quantize_weight_args args = {.w = w, .q = q, .scale = one};

    (void)state;
    memset(w->data, 0, vg_tensor_bytes(w));
    CHECK_RUN(quantize_weight, &args, q);
    assert_float_equal(check_get(one, 0), 1.0, 0.0);
    args.scale = many;
    CHECK_RUN(quantize_weight, &args, q);
    for (int i = 0; i < 4; i++)
        assert_float_equal(check_get(many, i), 1.0, 0.0);
    for (int64_t i = 0; i < 130 * 140; i++)
        assert_int_equal(((const uint8_t *)q->data)[i], 0);
    check_done();
}

static void test_quantize_weight_tells_of_nan_and_infinity(void **state)
{
    const double bad[] = {NAN, INFINITY, -INFINITY};
    check_rng rng = {6};

    (void)state;
    for (int i = 0; i < 3; i++) {
        vg_tensor *w = check_fill(check_tensor(VG_F32, 2, 130, 140), &rng, 0.0, 1.0),
                  *q = check_tensor(VG_E4M3, 2, 130, 140), *one = check_tensor(VG_F32, 1, 1),
                  *many = check_tensor(VG_F32, 2, 2, 2);
        vg_quantize_weight_args args = {.w = w, .q = q, .scale = one};
        check_set(w, 129 * 140 + 3, bad[i]);
        CHECK_RUN(quantize_weight, &args, one);
        assert_true(isnan(check_get(one, 0)));
        args.scale = many;
        CHECK_RUN(quantize_weight, &args, many);
        for (int j = 0; j < 4; j++)
            assert_int_equal(isnan(check_get(many, j)), j == 2);
        check_done();
    }
}

static void test_quantize_weight_refuses_wrong_operands(void **state)
{
    vg_tensor *w = check_tensor(VG_F32, 2, 3, 200), *q = check_tensor(VG_E4M3, 2, 3, 200),
              *many = check_tensor(VG_F32, 2, 2, 1), *two = check_tensor(VG_F32, 1, 2);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_quantize_weight(be, &(vg_quantize_weight_args){w, q, NULL}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_quantize_weight(be, &(vg_quantize_weight_args){w, q, many}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_quantize_weight(be, &(vg_quantize_weight_args){w, q, two}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_quantize_weight(be, &(vg_quantize_weight_args){q, q, two}, &err), VG_E_DTYPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize_weight_matches_the_formulas),
        cmocka_unit_test(test_quantize_weight_zeros_have_scale_one),
        cmocka_unit_test(test_quantize_weight_tells_of_nan_and_infinity),
        cmocka_unit_test(test_quantize_weight_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_quantize_weight", tests, NULL, check_close_cpu);
}
