/* test_op_layer_norm_modulate.c: modulated, affine and plain, against double, also far from zero. */
#include "tests/check.h"

static void run_case(int64_t n, int64_t d, vg_dtype in, vg_dtype out, int kind, double centre)
{
    check_rng rng = {8};
    vg_tensor *x = check_fill(check_tensor(in, 2, n, d), &rng, centre, 2.0),
              *y = check_tensor(out, 2, n, d);
    vg_tensor *a = check_fill(check_tensor(VG_F32, 1, d), &rng, 0.2, 0.5),
              *b = check_fill(check_tensor(VG_F32, 1, d), &rng, 0.0, 0.5);
    vg_layer_norm_modulate_args args = {.x = x, .eps = 1e-6f, .y = y};
    double *reference = check_reference(y);

    if (kind == 1)
        args.scale = a, args.shift = b;
    if (kind == 2)
        args.w = a, args.b = b;
    for (int64_t i = 0; i < n; i++) {
        double mean, variance;
        check_moments(x, i, d, &mean, &variance);
        for (int64_t c = 0; c < d; c++) {
            double v = (check_get(x, i * d + c) - mean) / sqrt(variance + 1e-6);
            if (kind == 1)
                v = v * (1.0 + check_get(a, c)) + check_get(b, c);
            if (kind == 2)
                v = v * check_get(a, c) + check_get(b, c);
            reference[i * d + c] = v;
        }
    }
    CHECK_RUN(layer_norm_modulate, &args, y);
    /* The mean of values up to |centre| + 2 is wrong by at most (d/32 + 8) units of that size, which the division by the standard
     * deviation (about 1.15; never below it for d > 1) and the factor up to 1.7 enlarge; the rest is a few units of the result. With d = 1 the
     * result is the shift alone: (x - mean) is exactly 0. */
    CHECK_CLOSE("layer_norm_modulate", y, reference,
                1.7 * ((double)d / 32 + 8) * 0x1p-24 * (fabs(centre) + 2.0),
                ((double)d / 32 + 12) * 0x1p-24 + (out == VG_BF16 ? 0x1p-8 : 0.0));
    if (in == out) {
        vg_err err;
        args.y = x;
        CHECK_OK(vg_layer_norm_modulate(check_cpu()->four, &args, &err), err);
        assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
    }
    free(reference);
    check_done();
}

static void test_layer_norm_modulate_matches_double(void **state)
{
    const int64_t sizes[][2] = {{1, 1}, {3, 33}, {5, 511}, {70, 1025}, {300, 256}};
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};

    (void)state;
    for (size_t s = 0; s < 5; s++)
        for (int f = 0; f < 4; f++)
            for (int kind = 0; kind < 3; kind++)
                run_case(sizes[s][0], sizes[s][1], dtypes[f & 1], dtypes[f >> 1], kind, 0.5);
}

/* E[x^2] - mean^2 in FP32 has no correct digit left here; two passes have. */
static void test_layer_norm_modulate_survives_a_large_mean(void **state)
{
    (void)state;
    run_case(4, 511, VG_F32, VG_F32, 0, 10000.0);
}

/* Codes beside or instead of the values are those of vg_quantize. */
static void test_layer_norm_modulate_quantised(void **state)
{
    const int64_t sizes[][2] = {{3, 33}, {5, 511}, {70, 256}};
    check_rng rng = {21};

    (void)state;
    for (int s = 0; s < 3; s++)
        for (int f = 0; f < 4; f++) {
            vg_dtype dtype = f & 1 ? VG_BF16 : VG_F32;
            vg_quant_kind kind = f & 2 ? VG_QUANT_GROUP_DYNAMIC : VG_QUANT_TENSOR_STATIC;
            int64_t n = sizes[s][0], d = sizes[s][1];
            vg_tensor *x = check_fill(check_tensor(dtype, 2, n, d), &rng, 0.5, 2.0);
            vg_layer_norm_modulate_args args = {.x = x, .eps = 1e-6f};
            args.y = check_tensor(dtype, 2, n, d);
            CHECK_CODES(layer_norm_modulate, args, kind);
            check_done();
        }
}

static void test_layer_norm_modulate_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 4), *v = check_tensor(VG_F32, 1, 4),
              *h = check_tensor(VG_BF16, 1, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_layer_norm_modulate(
                    be, &(vg_layer_norm_modulate_args){.x = x, .scale = v, .y = x}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_layer_norm_modulate(be,
                                       &(vg_layer_norm_modulate_args){
                                           .x = x, .scale = v, .shift = v, .w = v, .b = v, .y = x},
                                       &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_layer_norm_modulate(
                    be, &(vg_layer_norm_modulate_args){.x = x, .w = h, .b = v, .y = x}, &err),
                VG_E_DTYPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_norm_modulate_matches_double),
        cmocka_unit_test(test_layer_norm_modulate_survives_a_large_mean),
        cmocka_unit_test(test_layer_norm_modulate_quantised),
        cmocka_unit_test(test_layer_norm_modulate_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_layer_norm_modulate", tests, NULL, check_close_cpu);
}
