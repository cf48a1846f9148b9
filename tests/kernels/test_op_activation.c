/* test_op_activation.c: the three functions against double, over the whole range of floats for the exponential, and the product. */
#include "tests/check.h"

static double exact(vg_act act, double v)
{
    switch (act) {
    case VG_ACT_SILU:
        return v / (1.0 + exp(-v));
    case VG_ACT_GELU_TANH:
        return 0.5 * v * (1.0 + tanh(sqrt(2.0 / M_PI) * (v + 0.044715 * v * v * v)));
    case VG_ACT_GELU_ERF:
        return 0.5 * v * (1.0 + erf(v / sqrt(2.0)));
    default:
        return v;
    }
}

static void test_activation_matches_double(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};
    const int64_t sizes[] = {1, 33, 511, 1025, 20000};
    check_rng rng = {14};
    vg_err err;

    (void)state;
    for (size_t s = 0; s < 5; s++)
        for (int act = VG_ACT_NONE; act < VG_ACT_COUNT; act++)
            for (int f = 0; f < 4; f++) {
                vg_dtype dtype = dtypes[f & 1];
                vg_tensor *x = check_fill(check_tensor(dtype, 1, sizes[s]), &rng, 0.0, 12.0),
                          *y = check_tensor(dtype, 1, sizes[s]);
                vg_tensor *mul =
                    f >> 1 ? check_fill(check_tensor(dtype, 1, sizes[s]), &rng, 0.0, 2.0) : NULL;
                double *reference = check_reference(y),
                       roundings = dtype == VG_BF16 ? (mul ? 2.01 : 1.0) * 0x1p-8 : 0.0;
                vg_activation_args args = {.x = x, .act = (vg_act)act, .mul = mul, .y = y};
                for (int64_t i = 0; i < sizes[s]; i++)
                    reference[i] =
                        exact((vg_act)act, check_get(x, i)) * (mul ? check_get(mul, i) : 1.0);
                CHECK_RUN(activation, &args, y);
                /* GELU's 1 + tanh and 1 + erf cancel for negative x: absolute error |x| * 2^-23 there, times |mul| <= 2. */
                CHECK_CLOSE("activation", y, reference,
                            act >= VG_ACT_GELU_TANH ? 12.0 * 0x1p-22 : 0.0,
                            8 * 0x1p-24 + roundings);
                args.y = x;
                CHECK_OK(vg_activation(check_cpu()->four, &args, &err), err);
                assert_memory_equal(x->data, y->data, vg_tensor_bytes(y));
                free(reference);
                check_done();
            }
}

/* SiLU is our own exponential: every 97th float of the line, infinities and NaN included. 4 ulp of 2^-23. */
static void test_activation_silu_over_all_magnitudes(void **state)
{
    enum { N = 1 << 16 };
    vg_tensor *x = check_tensor(VG_F32, 1, N), *y = check_tensor(VG_F32, 1, N);
    vg_activation_args args = {.x = x, .act = VG_ACT_SILU, .y = y};
    double worst = 0.0;
    vg_err err;

    (void)state;
    for (uint64_t from = 0; from < 0x100000000u; from += 97ull * N) {
        for (uint64_t i = 0; i < N; i++)
            ((float *)x->data)[i] = vg_f32_from_bits((uint32_t)(from + 97 * i));
        CHECK_OK(vg_activation(check_cpu()->four, &args, &err), err);
        for (int64_t i = 0; i < N; i++) {
            double v = check_get(x, i), got = check_get(y, i), wanted = exact(VG_ACT_SILU, v);
            if (isnan(v)) {
                assert_true(isnan(got));
            } else if (v < -88.0) {
                /* e^-x leaves FP32 on the way: at most the smallest normal numbers are lost (NaN for -inf as in torch). */
                assert_true(isnan(wanted) || fabs(got - wanted) < 1e-35);
            } else if (wanted != 0.0 && fabs(wanted) > 0x1p-126) {
                worst = isinf(wanted) ? worst : fmax(worst, fabs(got - wanted) / fabs(wanted));
                assert_true(!isinf(wanted) || got == wanted);
            }
        }
    }
    print_message("SiLU: largest relative error %.2f units of 2^-24\n", worst * 0x1p24);
    assert_true(worst <= 8 * 0x1p-24);
    check_done();
}

/* Codes beside or instead of the values are those of vg_quantize. */
static void test_activation_quantised(void **state)
{
    const int64_t sizes[][2] = {{3, 33}, {5, 511}, {70, 256}};
    check_rng rng = {21};

    (void)state;
    for (int s = 0; s < 3; s++)
        for (int f = 0; f < 4; f++) {
            vg_dtype dtype = f & 1 ? VG_BF16 : VG_F32;
            vg_quant_kind kind = f & 2 ? VG_QUANT_GROUP_DYNAMIC : VG_QUANT_TENSOR_STATIC;
            int64_t n = sizes[s][0], d = sizes[s][1];
            vg_tensor *x = check_fill(check_tensor(dtype, 2, n, d), &rng, 0.0, 4.0);
            vg_activation_args args = {.x = x, .act = VG_ACT_GELU_TANH, .mul = s == 1 ? x : NULL};
            args.y = check_tensor(dtype, 2, n, d);
            CHECK_CODES(activation, args, kind);
            check_done();
        }
}

static void test_activation_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 5, 4), *y = check_tensor(VG_F32, 1, 20),
              *q = check_tensor(VG_E4M3, 2, 5, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_activation(be, &(vg_activation_args){.x = x, .act = VG_ACT_SILU, .y = y}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_activation(be, &(vg_activation_args){.x = x, .act = VG_ACT_SILU, .y = q}, &err),
                VG_E_DTYPE, err);
    CHECK_FAILS(vg_activation(be, &(vg_activation_args){.x = x, .act = (vg_act)17, .y = x}, &err),
                VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation_matches_double),
        cmocka_unit_test(test_activation_silu_over_all_magnitudes),
        cmocka_unit_test(test_activation_quantised),
        cmocka_unit_test(test_activation_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_activation", tests, NULL, check_close_cpu);
}
