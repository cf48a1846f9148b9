/* test_op_dequantize_weight.c: one product and one rounding, exactly, for the three forms of scales. */
#include "tests/check.h"

static void test_dequantize_weight_is_one_product(void **state)
{
    const int64_t sizes[][2] = {{1, 1}, {129, 260}, {7, 511}, {200, 384}};
    check_rng rng = {7};

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int form = 0; form < 3; form++)
            for (int bf16 = 0; bf16 < 2; bf16++) {
                int64_t n = sizes[s][0], k = sizes[s][1], across = (k + 127) / 128;
                vg_tensor *q = check_fill(check_tensor(VG_E4M3, 2, n, k), &rng, 0.0, 100.0),
                          *y = check_tensor(bf16 ? VG_BF16 : VG_F32, 2, n, k);
                vg_tensor *scale = form == 2 ? check_tensor(VG_F32, 2, (n + 127) / 128, across)
                                             : check_tensor(VG_F32, 1, form ? n : 1);
                vg_dequantize_weight_args args = {.q = q, .scale = scale, .y = y};
                check_fill(scale, &rng, 0.02, 0.01);
                CHECK_RUN(dequantize_weight, &args, y);
                for (int64_t r = 0; r < n; r++)
                    for (int64_t c = 0; c < k; c++) {
                        int64_t at = form == 2 ? r / 128 * across + c / 128 : form ? r : 0;
                        float v = (float)check_get(q, r * k + c) * (float)check_get(scale, at);
                        float want = bf16 ? vg_bf16_to_f32(vg_f32_to_bf16(v)) : v;
                        assert_true((float)check_get(y, r * k + c) == want);
                    }
                check_done();
            }
}

static void test_dequantize_weight_refuses_wrong_operands(void **state)
{
    vg_tensor *q = check_tensor(VG_E4M3, 2, 3, 200), *y = check_tensor(VG_F32, 2, 3, 200),
              *many = check_tensor(VG_F32, 2, 2, 1), *two = check_tensor(VG_F32, 1, 2),
              *one = check_tensor(VG_F32, 1, 1);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_dequantize_weight(be, &(vg_dequantize_weight_args){q, NULL, y}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_dequantize_weight(be, &(vg_dequantize_weight_args){q, many, y}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_dequantize_weight(be, &(vg_dequantize_weight_args){q, two, y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_dequantize_weight(be, &(vg_dequantize_weight_args){y, one, y}, &err), VG_E_DTYPE,
                err);
    CHECK_FAILS(vg_dequantize_weight(be, &(vg_dequantize_weight_args){q, one, q}, &err), VG_E_DTYPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dequantize_weight_is_one_product),
        cmocka_unit_test(test_dequantize_weight_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_dequantize_weight", tests, NULL, check_close_cpu);
}
