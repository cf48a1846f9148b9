/* test_op_quantize.c: scales and codes of the three kinds, against the formulas of modelopt-fp8 6.5 and 6.6. */
#include "tests/check.h"

static const int64_t SIZES[][2] = {{1, 1}, {33, 128}, {7, 511}, {3, 1025}, {130, 300}};

/* Codes must be the exact ones: the formula in float has one rounding, then the conversion. */
static void expect_codes(const vg_quantize_args *a)
{
    int64_t m = a->x->shape[0], k = a->x->shape[1];

    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) {
            float v = (float)check_get(a->x, i * k + j);
            float s =
                (float)check_get(a->scale, a->kind == VG_QUANT_GROUP_DYNAMIC ? j / 128 * m + i : 0);
            float scaled = a->kind == VG_QUANT_GROUP_DYNAMIC ? v / s : v * (1.0f / s);
            assert_int_equal(((const uint8_t *)a->q->data)[i * k + j], vg_f32_to_e4m3(scaled));
        }
}

static void test_quantize_matches_the_formulas(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    check_rng rng = {2};

    (void)state;
    for (size_t s = 0; s < 5; s++)
        for (size_t d = 0; d < 2; d++) {
            int64_t m = SIZES[s][0], k = SIZES[s][1], groups = (k + 127) / 128;
            vg_tensor *x = check_fill(check_tensor(dtypes[d], 2, m, k), &rng, 0.1, 3.0),
                      *q = check_tensor(VG_E4M3, 2, m, k);
            vg_tensor *one = check_tensor(VG_F32, 1, 1), *many = check_tensor(VG_F32, 2, groups, m);
            vg_quantize_args args = {.x = x, .kind = VG_QUANT_TENSOR_STATIC, .q = q, .scale = one};
            float most = 0.0f;

            check_set(one, 0, 0.004);
            CHECK_RUN(quantize, &args, q);
            expect_codes(&args);

            args.kind = VG_QUANT_TENSOR_DYNAMIC;
            CHECK_RUN(quantize, &args, q);
            for (int64_t i = 0; i < m * k; i++)
                most = fmaxf(most, fabsf((float)check_get(x, i)));
            assert_float_equal(*(float *)one->data, most / 448.0f, 0.0);
            expect_codes(&args);

            args.kind = VG_QUANT_GROUP_DYNAMIC;
            args.scale = many;
            CHECK_RUN(quantize, &args, q);
            for (int64_t g = 0; g < groups; g++)
                for (int64_t i = 0; i < m; i++) {
                    most = 0.0f;
                    for (int64_t j = g * 128; j < k && j < g * 128 + 128; j++)
                        most = fmaxf(most, fabsf((float)check_get(x, i * k + j)));
                    assert_float_equal(((float *)many->data)[g * m + i], most / 448.0f, 0.0);
                }
            expect_codes(&args);
            check_done();
        }
}

static void test_quantize_survives_zeros(void **state)
{
    vg_tensor *x = check_tensor(VG_BF16, 2, 3, 200), *q = check_tensor(VG_E4M3, 2, 3, 200);
    vg_tensor *one = check_tensor(VG_F32, 1, 1), *many = check_tensor(VG_F32, 2, 2, 3);
    vg_quantize_args args = {.x = x, .kind = VG_QUANT_TENSOR_DYNAMIC, .q = q, .scale = one};

    (void)state;
    memset(x->data, 0, vg_tensor_bytes(x));
    CHECK_RUN(quantize, &args, q);
    assert_float_equal(*(float *)one->data, 1.0f, 0.0);
    args.kind = VG_QUANT_GROUP_DYNAMIC;
    args.scale = many;
    CHECK_RUN(quantize, &args, q);
    for (int i = 0; i < 6; i++)
        assert_float_equal(((float *)many->data)[i], 1e-10f / 448.0f, 0.0);
    for (int i = 0; i < 600; i++)
        assert_int_equal(((uint8_t *)q->data)[i], 0);
    check_done();
}

static void test_quantize_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 3, 200), *q = check_tensor(VG_E4M3, 2, 3, 200),
              *many = check_tensor(VG_F32, 2, 3, 2);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_quantize(be, &(vg_quantize_args){.x = x, .q = q, .scale = many}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_quantize(be, &(vg_quantize_args){x, VG_QUANT_GROUP_DYNAMIC, q, many}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_quantize(be, &(vg_quantize_args){x, VG_QUANT_TENSOR_STATIC, x, many}, &err),
                VG_E_DTYPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantize_matches_the_formulas),
        cmocka_unit_test(test_quantize_survives_zeros),
        cmocka_unit_test(test_quantize_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_quantize", tests, NULL, check_close_cpu);
}
