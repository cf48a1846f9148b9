/* test_op_unpack_channels.c: against the index map as hunyuanvideo15 3.2 writes it, forward from the packed channel. */
#include "tests/check.h"

static void run_case(const int64_t s[3], int64_t k, int64_t c, int64_t shortcut, int times,
                     int side, vg_dtype dtype)
{
    check_rng rng = {93};
    int64_t parts = times * side * side, repeat = parts * c / shortcut;
    vg_tensor *x = check_fill(check_tensor(dtype, 4, s[0], s[1], s[2], k), &rng, 0.1, 2.0),
              *add = check_fill(check_tensor(dtype, 4, s[0], s[1], s[2], shortcut), &rng, 0.2, 1.0),
              *y = check_tensor(dtype, 4, s[0] * times, s[1] * side, s[2] * side, c);
    vg_unpack_channels_args args = {.x = x, .shortcut = add, .times = times, .side = side, .y = y};
    double *reference = check_reference(y);

    for (int64_t p = 0; p < s[0] * s[1] * s[2]; p++)
        for (int64_t r = 0; r < parts; r++)
            for (int64_t i = 0; i < c; i++) {
                int64_t t = p / s[2] / s[1] * times + r / side / side,
                        row = p / s[2] % s[1] * side + r / side % side,
                        column = p % s[2] * side + r % side;
                reference[((t * s[1] * side + row) * s[2] * side + column) * c + i] =
                    check_get(x, p * k + r * (k / parts) + i) +
                    check_get(add, p * shortcut + (r * c + i) / repeat);
            }
    CHECK_RUN(unpack_channels, &args, y);
    CHECK_CLOSE("unpack_channels", y, reference, 0.0, dtype == VG_BF16 ? 0x1p-8 : 0x1p-23);
    free(reference);
    check_done();
}

static void test_unpack_channels_follows_the_map(void **state)
{
    static const int64_t small[] = {2, 3, 5}, one[] = {1, 1, 1}, odd[] = {3, 2, 7};

    (void)state;
    for (int f = 0; f < 2; f++) {
        vg_dtype dtype = f ? VG_BF16 : VG_F32;
        run_case(small, 8 * 4, 4, 8, 2, 2, dtype); /* a temporal step */
        run_case(one, 8 * 6, 6, 12, 1, 2, dtype);  /* its first frame: half of the channels */
        run_case(odd, 4 * 8, 8, 16, 1, 2, dtype);  /* in space only */
        run_case(small, 9, 9, 3, 1, 1, dtype);     /* only repeated */
        run_case(odd, 4 * 16, 16, 2, 1, 2, dtype); /* a shortcut of few channels */
    }
}

static void test_unpack_channels_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 4, 1, 2, 2, 16), *s = check_tensor(VG_F32, 4, 1, 2, 2, 8),
              *y = check_tensor(VG_F32, 4, 1, 4, 4, 4), *b = check_tensor(VG_BF16, 4, 1, 4, 4, 4),
              *wide = check_tensor(VG_F32, 4, 1, 4, 4, 5),
              *odd = check_tensor(VG_F32, 4, 1, 2, 2, 7);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_unpack_channels(be, &(vg_unpack_channels_args){x, s, 3, 2, y}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_unpack_channels(be, &(vg_unpack_channels_args){x, s, 1, 2, wide}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_unpack_channels(be, &(vg_unpack_channels_args){x, odd, 1, 2, y}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_unpack_channels(be, &(vg_unpack_channels_args){x, s, 1, 1, y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_unpack_channels(be, &(vg_unpack_channels_args){x, s, 1, 2, b}, &err), VG_E_DTYPE,
                err);
    CHECK_FAILS(vg_unpack_channels(be, &(vg_unpack_channels_args){x, NULL, 1, 2, y}, &err),
                VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack_channels_follows_the_map),
        cmocka_unit_test(test_unpack_channels_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_unpack_channels", tests, NULL, check_close_cpu);
}
