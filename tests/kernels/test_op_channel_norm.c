/* test_op_channel_norm.c: per-pixel norm over channels, zero pixels, SiLU, against double. */
#include "tests/check.h"

static void test_channel_norm_matches_double(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[][2] = {{1, 1}, {33, 3}, {511, 16}, {70, 1025}, {1300, 96}};
    check_rng rng = {21};
    vg_err err;

    (void)state;
    for (size_t s = 0; s < 5; s++)
        for (int f = 0; f < 8; f++) {
            int64_t p = sizes[s][0], c = sizes[s][1];
            vg_dtype dtype = dtypes[f & 1];
            bool silu = f >> 2;
            vg_tensor *x = check_fill(check_tensor(dtype, 2, p, c), &rng, 0.1, 2.0),
                      *y = check_tensor(dtype, 2, p, c);
            vg_tensor *gamma = check_fill(check_tensor(dtypes[f >> 1 & 1], 1, c), &rng, 1.0, 0.5);
            double *reference = check_reference(y);
            vg_channel_norm_args args = {.x = x, .gamma = gamma, .silu = silu, .y = y};
            for (int64_t i = 0; i < c; i++)
                check_set(x, i, 0.0); /* a black pixel stays black */
            for (int64_t i = 0; i < p; i++) {
                double length = 0.0;
                for (int64_t j = 0; j < c; j++)
                    length += pow(check_get(x, i * c + j), 2);
                length = fmax(sqrt(length), 1e-12);
                for (int64_t j = 0; j < c; j++) {
                    double v =
                        check_get(x, i * c + j) / length * sqrt((double)c) * check_get(gamma, j);
                    reference[i * c + j] = silu ? v / (1.0 + exp(-v)) : v;
                }
            }
            CHECK_RUN(channel_norm, &args, y);
            /* FP32: the length to (c/64 + 4) units, four roundings more. BF16: three roundings, with SiLU four, of which three
             * pass through its slope; relative to the result that is at most 1 + |v| (0.2785 + ...) < 3.2 for |v| < 16 in the
             * negative arm, where the slope's ratio x f'/f grows like 1 + |v|; the absolute term covers that arm (|v f'(v)| < 0.5). */
            double unit = ((double)c / 64 + 8) * 0x1p-24 + (dtype == VG_BF16 ? 3.02 * 0x1p-8 : 0.0);
            CHECK_CLOSE("channel_norm", y, reference, silu ? 0.5 * unit : 0.0,
                        unit * 1.1 + (silu && dtype == VG_BF16 ? 0x1p-8 : 0.0) + 8 * 0x1p-24);
            args.y = x;
            CHECK_OK(vg_channel_norm(check_cpu()->four, &args, &err), err);
            assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
            free(reference);
            check_done();
        }
}

static void test_channel_norm_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 6, 4), *gamma = check_tensor(VG_F32, 1, 6);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_channel_norm(be, &(vg_channel_norm_args){x, gamma, false, x}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_channel_norm(be, &(vg_channel_norm_args){x, NULL, false, x}, &err), VG_E_ARG,
                err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_channel_norm_matches_double),
        cmocka_unit_test(test_channel_norm_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_channel_norm", tests, NULL, check_close_cpu);
}
