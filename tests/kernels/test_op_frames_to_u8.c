/* test_op_frames_to_u8.c: the truncating conversion of the reference exporter, clamped; NaN is black. */
#include "tests/check.h"

static void test_frames_to_u8_truncates_and_clamps(void **state)
{
    check_rng rng = {23};
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};

    (void)state;
    for (int f = 0; f < 2; f++) {
        vg_tensor *x = check_fill(check_tensor(dtypes[f], 4, 3, 33, 65, 3), &rng, 0.0, 1.2),
                  *y = check_tensor(VG_U8, 4, 3, 33, 65, 3);
        vg_frames_to_u8_args args = {.x = x, .y = y};
        const double special[] = {-1.0, 1.0, 0.0, NAN, INFINITY, -INFINITY, 1e30};
        const uint8_t expected[] = {0, 255, 127, 0, 255, 0, 255};
        for (int i = 0; i < 7; i++)
            check_set(x, i, special[i]);
        CHECK_RUN(frames_to_u8, &args, y);
        assert_memory_equal(y->data, expected, sizeof expected);
        for (int64_t i = 7; i < vg_tensor_numel(x); i++) {
            float v = (float)check_get(x, i) / 2.0f + 0.5f;
            v = fminf(fmaxf(v, 0.0f), 1.0f);
            assert_int_equal(((uint8_t *)y->data)[i], (int)(v * 255.0f));
        }
        check_done();
    }
}

static void test_frames_to_u8_counts_what_is_not_finite(void **state)
{
    check_rng rng = {29};
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    vg_backend *be[] = {check_cpu()->one, check_cpu()->four};
    vg_err err;

    (void)state;
    for (int f = 0; f < 4; f++) {
        vg_tensor *x = check_fill(check_tensor(dtypes[f % 2], 4, 4, 65, 129, 3), &rng, 0.0, 1.2),
                  *y = check_tensor(VG_U8, 4, 4, 65, 129, 3);
        const double special[] = {NAN, INFINITY, -INFINITY, 1e38, -1e38};
        uint64_t unfinite = 0;
        for (int64_t i = 0; i < vg_tensor_numel(x); i += 997)
            check_set(x, i, special[i / 997 % 5]);
        uint64_t expected = 0;
        for (int64_t i = 0; i < vg_tensor_numel(x); i++)
            expected += !isfinite(check_get(x, i));
        assert_true(expected > 50);
        be[f / 2]->unfinite = &unfinite;
        for (int twice = 1; twice <= 2; twice++) {
            CHECK_OK(vg_frames_to_u8(be[f / 2], &(vg_frames_to_u8_args){x, y}, &err), err);
            assert_int_equal(unfinite, twice * expected);
        }
        be[f / 2]->unfinite = NULL;
        check_done();
    }
}

static void test_frames_to_u8_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 4, 2, 3, 4, 4), *y = check_tensor(VG_U8, 4, 2, 3, 4, 4),
              *z = check_tensor(VG_F32, 4, 2, 3, 4, 3);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_frames_to_u8(be, &(vg_frames_to_u8_args){x, y}, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_frames_to_u8(be, &(vg_frames_to_u8_args){z, z}, &err), VG_E_DTYPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_to_u8_truncates_and_clamps),
        cmocka_unit_test(test_frames_to_u8_counts_what_is_not_finite),
        cmocka_unit_test(test_frames_to_u8_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_frames_to_u8", tests, NULL, check_close_cpu);
}
