/* test_op_channel_affine.c: both directions, product and quotient; exact. */
#include "tests/check.h"

static void test_channel_affine_is_exact(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[][4] = {{1, 1, 1, 1}, {3, 2, 5, 33}, {16, 3, 11, 31}, {48, 2, 40, 13}};
    check_rng rng = {22};

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int f = 0; f < 32; f++) {
            int64_t c = sizes[s][0], pixels = sizes[s][1] * sizes[s][2] * sizes[s][3];
            bool last = f >> 2 & 1;
            vg_tensor *planes =
                check_tensor(dtypes[f & 1], 4, c, sizes[s][1], sizes[s][2], sizes[s][3]);
            vg_tensor *pixel_rows =
                check_tensor(dtypes[f >> 1 & 1], 4, sizes[s][1], sizes[s][2], sizes[s][3], c);
            vg_tensor *x = last ? planes : pixel_rows, *y = last ? pixel_rows : planes;
            vg_channel_affine_args args = {.x = check_fill(x, &rng, 0.0, 2.0),
                                           .to_channels_last = last,
                                           .divide = f >> 3 & 1,
                                           .y = y};
            if (f >> 4) {
                args.scale = check_fill(check_tensor(VG_F32, 1, c), &rng, 1.5, 1.0);
                args.shift = s & 1 ? check_fill(check_tensor(VG_F32, 1, c), &rng, 0.0, 1.0) : NULL;
            }
            CHECK_RUN(channel_affine, &args, y);
            for (int64_t p = 0; p < pixels; p++)
                for (int64_t i = 0; i < c; i++) {
                    volatile float v = (float)check_get(x, last ? i * pixels + p : p * c + i);
                    if (args.scale)
                        v = args.divide ? v / (float)check_get(args.scale, i)
                                        : v * (float)check_get(args.scale, i);
                    if (args.shift)
                        v = v + (float)check_get(args.shift, i);
                    assert_true(check_get(y, last ? p * c + i : i * pixels + p) ==
                                (double)(y->dtype == VG_BF16 ? vg_round_bf16(v) : v));
                }
            check_done();
        }
}

static void test_channel_affine_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 4, 2, 3, 4, 5), *y = check_tensor(VG_F32, 4, 5, 2, 3, 4),
              *v = check_tensor(VG_F32, 1, 2);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(
        vg_channel_affine(be, &(vg_channel_affine_args){x, true, NULL, NULL, false, y}, &err),
        VG_E_SHAPE, err);
    CHECK_FAILS(vg_channel_affine(be, &(vg_channel_affine_args){x, false, v, NULL, false, y}, &err),
                VG_E_SHAPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channel_affine_is_exact),
        cmocka_unit_test(test_channel_affine_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_channel_affine", tests, NULL, check_close_cpu);
}
