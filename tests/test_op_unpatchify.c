/* test_op_unpatchify.c: the index formula of ops.h, element by element; exact. */
#include "check.h"

static void test_unpatchify_follows_the_formula(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t cases[][7] = {{1, 1, 1, 1, 1, 1, 1},
                                {3, 2, 4, 6, 1, 2, 2},
                                {16, 5, 10, 14, 1, 2, 2},
                                {5, 4, 9, 10, 2, 3, 5},
                                {33, 1, 7, 1, 1, 7, 1}};
    check_rng rng = {15};

    (void)state;
    for (size_t s = 0; s < 5; s++)
        for (int f = 0; f < 4; f++) {
            int64_t C = cases[s][0], T = cases[s][1], H = cases[s][2], W = cases[s][3];
            int64_t pt = cases[s][4], ph = cases[s][5], pw = cases[s][6], volume = C * pt * ph * pw;
            vg_tensor *frames = check_tensor(dtypes[f % 2], 4, C, T, H, W);
            vg_tensor *rows = check_tensor(dtypes[f / 2], 2, T * H * W / (pt * ph * pw), volume);
            vg_unpatchify_args args = {
                .x = rows, .patch = {(int)pt, (int)ph, (int)pw}, .y = frames};
            check_fill(rows, &rng, 0.0, 2.0);
            CHECK_RUN(unpatchify, &args, frames);
            for (int64_t c = 0; c < C; c++)
                for (int64_t t = 0; t < T; t++)
                    for (int64_t y = 0; y < H; y++)
                        for (int64_t z = 0; z < W; z++) {
                            int64_t n = (t / pt * (H / ph) + y / ph) * (W / pw) + z / pw;
                            int64_t it = t % pt, ih = y % ph, iw = z % pw;
                            double a = check_get(frames, ((c * T + t) * H + y) * W + z);
                            double b =
                                check_get(rows, n * volume + ((it * ph + ih) * pw + iw) * C + c);
                            float from = (float)b, to = (float)a;
                            assert_true(to ==
                                        (frames->dtype == VG_BF16 ? vg_round_bf16(from) : from));
                        }
            check_done();
        }
}

static void test_unpatchify_refuses_wrong_operands(void **state)
{
    vg_tensor *frames = check_tensor(VG_F32, 4, 2, 3, 4, 5), *rows = check_tensor(VG_F32, 2, 30, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_unpatchify(be, &(vg_unpatchify_args){rows, {1, 2, 2}, frames}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_unpatchify(be, &(vg_unpatchify_args){rows, {1, 0, 1}, frames}, &err), VG_E_ARG,
                err);
    CHECK_FAILS(vg_unpatchify(be, &(vg_unpatchify_args){rows, {1, 1, 1}, frames}, &err), VG_E_SHAPE,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpatchify_follows_the_formula),
        cmocka_unit_test(test_unpatchify_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_unpatchify", tests, NULL, check_close_cpu);
}
