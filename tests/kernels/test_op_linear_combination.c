/* test_op_linear_combination.c: sums in order, mixed formats; exact. */
#include "tests/check.h"

static void test_linear_combination_is_exact(void **state)
{
    const int64_t sizes[] = {1, 33, 1025, 70000};
    check_rng rng = {16};

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int count = 1; count <= VG_COMBINE_MAX; count += count == 3 ? 5 : 1)
            for (int f = 0; f < 2; f++) {
                vg_linear_combination_args args = {.count = count};
                args.y = check_tensor(f ? VG_BF16 : VG_F32, 1, sizes[s]);
                for (int i = 0; i < count; i++) {
                    args.x[i] = check_fill(check_tensor(i & 1 ? VG_F32 : VG_BF16, 1, sizes[s]),
                                           &rng, 0.0, 2.0);
                    args.coef[i] = (float)check_random(&rng);
                }
                CHECK_RUN(linear_combination, &args, args.y);
                for (int64_t n = 0; n < sizes[s]; n++) {
                    float sum = 0.0f;
                    for (int i = 0; i < count; i++) {
                        volatile float product = args.coef[i] * (float)check_get(args.x[i], n);
                        sum = i ? sum + product : product;
                    }
                    assert_true(check_get(args.y, n) ==
                                (double)(args.y->dtype == VG_BF16 ? vg_round_bf16(sum) : sum));
                }
                check_done();
            }
}

/* y may be any of the operands of its dtype; infinity times 0 is the caller's business. */
static void test_linear_combination_in_place(void **state)
{
    check_rng rng = {17};
    vg_tensor *a = check_fill(check_tensor(VG_F32, 1, 3001), &rng, 0.0, 2.0),
              *b = check_fill(check_tensor(VG_F32, 1, 3001), &rng, 0.0, 2.0);
    vg_tensor *y = check_tensor(VG_F32, 1, 3001);
    vg_linear_combination_args args = {.count = 2, .x = {a, b}, .coef = {0.3f, -0.7f}, .y = y};
    vg_err err;

    (void)state;
    CHECK_RUN(linear_combination, &args, y);
    args.y = b;
    CHECK_OK(vg_linear_combination(check_cpu()->four, &args, &err), err);
    assert_memory_equal(y->data, b->data, vg_tensor_bytes(y));
    check_done();
}

static void test_linear_combination_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 1, 5), *y = check_tensor(VG_F32, 1, 6);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_linear_combination(
                    be, &(vg_linear_combination_args){.count = 0, .x = {x}, .y = x}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_linear_combination(
                    be, &(vg_linear_combination_args){.count = 9, .x = {x}, .y = x}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_linear_combination(
                    be, &(vg_linear_combination_args){.count = 2, .x = {x}, .y = x}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_linear_combination(
                    be, &(vg_linear_combination_args){.count = 1, .x = {x}, .y = y}, &err),
                VG_E_SHAPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_combination_is_exact),
        cmocka_unit_test(test_linear_combination_in_place),
        cmocka_unit_test(test_linear_combination_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_linear_combination", tests, NULL, check_close_cpu);
}
