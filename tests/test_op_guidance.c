/* test_op_guidance.c: u + s (c - u) with a rounding after each step; exact. */
#include "check.h"

static void test_guidance_is_exact(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[] = {1, 33, 1025, 70000};
    check_rng rng = {18};
    vg_err err;

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int f = 0; f < 2; f++) {
            vg_tensor *c = check_fill(check_tensor(dtypes[f], 1, sizes[s]), &rng, 0.0, 2.0);
            vg_tensor *u = check_fill(check_tensor(dtypes[f], 1, sizes[s]), &rng, 0.0, 2.0),
                      *y = check_tensor(dtypes[f], 1, sizes[s]);
            vg_guidance_args args = {.cond = c, .uncond = u, .scale = 4.7f, .y = y};
            CHECK_RUN(guidance, &args, y);
            for (int64_t i = 0; i < sizes[s]; i++) {
                volatile float v = (float)check_get(c, i) - (float)check_get(u, i);
                v = 4.7f * (f ? vg_round_bf16(v) : v);
                v = (float)check_get(u, i) + (f ? vg_round_bf16(v) : v);
                assert_true(check_get(y, i) == (double)(f ? vg_round_bf16(v) : v));
            }
            args.y = u;
            CHECK_OK(vg_guidance(check_cpu()->four, &args, &err), err);
            assert_memory_equal(u->data, y->data, vg_tensor_bytes(y));
            check_done();
        }
}

static void test_guidance_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 1, 6), *y = check_tensor(VG_BF16, 1, 6),
              *z = check_tensor(VG_F32, 2, 2, 3);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_guidance(be, &(vg_guidance_args){x, y, 1.0f, x}, &err), VG_E_DTYPE, err);
    CHECK_FAILS(vg_guidance(be, &(vg_guidance_args){x, z, 1.0f, x}, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_guidance(be, &(vg_guidance_args){x, NULL, 1.0f, x}, &err), VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guidance_is_exact),
        cmocka_unit_test(test_guidance_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_guidance", tests, NULL, check_close_cpu);
}
