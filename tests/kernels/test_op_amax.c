/* test_op_amax.c: the largest magnitude, exactly, kept over calls. */
#include "tests/check.h"

static void test_amax_is_exact_and_keeps_the_larger(void **state)
{
    const int64_t sizes[] = {1, 33, 2049, 70000};
    check_rng rng = {19};
    vg_err err;

    (void)state;
    for (int s = 0; s < 4; s++)
        for (int f = 0; f < 2; f++) {
            vg_tensor *x =
                check_fill(check_tensor(f ? VG_BF16 : VG_F32, 1, sizes[s]), &rng, 0.0, 2.0);
            vg_tensor *most = check_tensor(VG_F32, 1, 1), *out = check_tensor(VG_F32, 1, 1);
            double expected = 0.0;
            for (int64_t i = 0; i < sizes[s]; i++)
                expected = fmax(expected, fabs(check_get(x, i)));
            check_set(most, 0, 0.0);
            CHECK_OK(vg_amax(check_cpu()->four, &(vg_amax_args){x, most}, &err), err);
            assert_true(check_get(most, 0) == expected);
            check_set(most, 0, 17.0);
            CHECK_OK(vg_amax(check_cpu()->one, &(vg_amax_args){x, most}, &err), err);
            assert_true(check_get(most, 0) == 17.0);
            /* NaN, also the one CHECK_RUN writes into `out`, is passed over. */
            check_set(x, sizes[s] / 2, NAN);
            CHECK_RUN(amax, (&(vg_amax_args){x, out}), out);
            check_done();
        }
}

static void test_amax_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 4), *q = check_tensor(VG_E4M3, 2, 5, 4),
              *two = check_tensor(VG_F32, 1, 2), *one = check_tensor(VG_F32, 1, 1);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_amax(be, &(vg_amax_args){q, one}, &err), VG_E_DTYPE, err);
    CHECK_FAILS(vg_amax(be, &(vg_amax_args){x, two}, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_amax(be, &(vg_amax_args){NULL, one}, &err), VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amax_is_exact_and_keeps_the_larger),
        cmocka_unit_test(test_amax_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_amax", tests, NULL, check_close_cpu);
}
