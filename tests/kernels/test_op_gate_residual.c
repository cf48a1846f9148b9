/* test_op_gate_residual.c: x + y * gate and x + y, in FP32 with one rounding; exact. */
#include "tests/check.h"

static void test_gate_residual_is_exact(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[][2] = {{1, 1}, {33, 511}, {70, 1025}, {513, 64}};
    check_rng rng = {13};
    vg_err err;

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int f = 0; f < 16; f++) {
            int64_t n = sizes[s][0], d = sizes[s][1];
            vg_tensor *x = check_fill(check_tensor(dtypes[f & 1], 2, n, d), &rng, 0.0, 2.0);
            vg_tensor *y = check_fill(check_tensor(dtypes[f >> 1 & 1], 2, n, d), &rng, 0.0, 2.0);
            vg_tensor *gate =
                f >> 3 ? check_fill(check_tensor(VG_F32, 1, d), &rng, 0.0, 1.0) : NULL;
            vg_tensor *out = check_tensor(dtypes[f >> 2 & 1], 2, n, d);
            vg_gate_residual_args args = {.x = x, .y = y, .gate = gate, .out = out};
            CHECK_RUN(gate_residual, &args, out);
            for (int64_t i = 0; i < n * d; i++) {
                volatile float product =
                    (float)check_get(y, i) * (gate ? (float)check_get(gate, i % d) : 1.0f);
                float sum = (float)check_get(x, i) + product;
                assert_true(check_get(out, i) ==
                            (double)(out->dtype == VG_BF16 ? vg_round_bf16(sum) : sum));
            }
            if (x->dtype == out->dtype) {
                args.out = x;
                CHECK_OK(vg_gate_residual(check_cpu()->four, &args, &err), err);
                assert_memory_equal(x->data, out->data, vg_tensor_bytes(out));
            }
            check_done();
        }
}

static void test_gate_residual_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 4), *y = check_tensor(VG_F32, 2, 4, 5),
              *gate = check_tensor(VG_BF16, 1, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_gate_residual(be, &(vg_gate_residual_args){x, y, NULL, x}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_gate_residual(be, &(vg_gate_residual_args){x, x, gate, x}, &err), VG_E_DTYPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_residual_is_exact),
        cmocka_unit_test(test_gate_residual_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_gate_residual", tests, NULL, check_close_cpu);
}
