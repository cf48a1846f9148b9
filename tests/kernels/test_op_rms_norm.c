/* test_op_rms_norm.c: against double; with BF16 both roundings are part of the definition. */
#include "tests/check.h"

static void test_rms_norm_matches_double(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[][2] = {{1, 1}, {3, 33}, {5, 511}, {70, 1025}, {300, 64}};
    check_rng rng = {6};

    (void)state;
    for (size_t s = 0; s < 5; s++)
        for (int f = 0; f < 4; f++) {
            int64_t n = sizes[s][0], d = sizes[s][1];
            vg_dtype dtype = dtypes[f & 1];
            vg_tensor *x = check_fill(check_tensor(dtype, 2, n, d), &rng, 0.3, 2.0);
            vg_tensor *w = check_fill(check_tensor(dtypes[f >> 1], 1, d), &rng, 1.0, 0.5),
                      *y = check_tensor(dtype, 2, n, d);
            double *reference = check_reference(y);
            vg_rms_norm_args args = {.x = x, .w = w, .eps = 1e-6f, .y = y};
            for (int64_t i = 0; i < n; i++) {
                double mean = 0.0;
                for (int64_t c = 0; c < d; c++)
                    mean += check_get(x, i * d + c) * check_get(x, i * d + c) / (double)d;
                for (int64_t c = 0; c < d; c++)
                    reference[i * d + c] =
                        check_get(w, c) * check_get(x, i * d + c) / sqrt(mean + 1e-6);
            }
            CHECK_RUN(rms_norm, &args, y);
            /* FP32: sum in 32 lanes of d/32 terms (relative error of a positive sum below (d/32 + 8) units, halved by the root),
             * then four roundings. BF16: two roundings of 2^-8 on top. */
            CHECK_CLOSE("rms_norm", y, reference, 0.0,
                        ((double)d / 64 + 8) * 0x1p-24 + (dtype == VG_BF16 ? 2.01 * 0x1p-8 : 0.0));
            args.y = x; /* in place */
            vg_err err;
            CHECK_OK(vg_rms_norm(check_cpu()->four, &args, &err), err);
            assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
            free(reference);
            check_done();
        }
}

/* Values for which rounding once and rounding twice differ: the second must win. */
static void test_rms_norm_rounds_twice(void **state)
{
    check_rng rng = {7};
    vg_tensor *x = check_fill(check_tensor(VG_BF16, 2, 40, 64), &rng, 0.0, 1.0),
              *w = check_fill(check_tensor(VG_BF16, 1, 64), &rng, 1.0, 0.5);
    vg_tensor *y = check_tensor(VG_BF16, 2, 40, 64);
    vg_rms_norm_args args = {.x = x, .w = w, .eps = 1e-6f, .y = y};
    int twice = 0, once = 0;

    (void)state;
    CHECK_RUN(rms_norm, &args, y);
    for (int64_t i = 0; i < 40; i++) {
        double mean = 0.0;
        for (int64_t c = 0; c < 64; c++)
            mean += check_get(x, i * 64 + c) * check_get(x, i * 64 + c) / 64.0;
        for (int64_t c = 0; c < 64; c++) {
            float v = (float)(check_get(x, i * 64 + c) / sqrt(mean + 1e-6)),
                  g = (float)check_get(w, c);
            twice += (float)check_get(y, i * 64 + c) == vg_round_bf16(g * vg_round_bf16(v));
            once += (float)check_get(y, i * 64 + c) == vg_round_bf16(g * v);
        }
    }
    assert_true(twice >= 40 * 64 - 4); /* a sum's last bit may move a tie */
    assert_true(once < twice - 100);
    check_done();
}

static void test_rms_norm_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 4), *w = check_tensor(VG_F32, 1, 5),
              *i = check_tensor(VG_I32, 1, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_rms_norm(be, &(vg_rms_norm_args){x, w, 1e-6f, x}, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_rms_norm(be, &(vg_rms_norm_args){x, i, 1e-6f, x}, &err), VG_E_DTYPE, err);
    w->shape[0] = 4;
    CHECK_FAILS(vg_rms_norm(be, &(vg_rms_norm_args){x, w, NAN, x}, &err), VG_E_ARG, err);
    w->shape[0] = 5;
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_norm_matches_double),
        cmocka_unit_test(test_rms_norm_rounds_twice),
        cmocka_unit_test(test_rms_norm_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_rms_norm", tests, NULL, check_close_cpu);
}
