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
        cmocka_unit_test(test_frames_to_u8_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_frames_to_u8", tests, NULL, check_close_cpu);
}
