/* test_op_value_codes.c: E4M3 codes of v: mean, scale, order of the tokens, the filling behind them. */
#include "tests/check.h"

/* Where token j stands, from the picture in ops.h: of each 16, token 8 b + 2 t + e at 4 t + 2 b + e. */
static int64_t place(int64_t j)
{
    for (int64_t t = 0; t < 4; t++)
        for (int64_t b = 0; b < 2; b++)
            for (int64_t e = 0; e < 2; e++)
                if (j % 16 == 8 * b + 2 * t + e)
                    return j - j % 16 + 4 * t + 2 * b + e;
    fail_msg("token %lld has no place", (long long)j);
    return -1;
}

static void run_case(int64_t n, int64_t heads, int64_t d, vg_dtype dtype, bool center)
{
    check_rng rng = {33};
    int64_t padded = (n + 63) / 64 * 64;
    vg_tensor *v = check_fill(check_tensor(dtype, 3, n, heads, d), &rng, 3.0, 1.0),
              *codes = check_tensor(VG_E4M3, 3, heads, d, padded),
              *scale = check_tensor(VG_F32, 2, heads, d), *mean = check_tensor(VG_F32, 2, heads, d);
    vg_value_codes_args args = {v, center, codes, scale, mean};

    CHECK_RUN(value_codes, &args, codes);
    CHECK_RUN(value_codes, &args, scale);
    CHECK_RUN(value_codes, &args, mean);
    for (int64_t c = 0; c < heads * d; c++) {
        double sum = 0.0, most = 0.0, is = check_get(mean, c), unit = check_get(scale, c);
        for (int64_t i = 0; i < n; i++)
            sum += check_get(v, i * heads * d + c) / (double)n;
        assert_true(fabs(is - (center ? sum : 0.0)) <= 1e-6 * fabs(sum));
        for (int64_t i = 0; i < n; i++)
            most = fmax(most, fabs(check_get(v, i * heads * d + c) - is));
        assert_true(most == 0.0 ? unit == 1.0 : fabs(unit - most / 448.0) <= 1e-6 * unit);
        for (int64_t i = 0; i < padded; i++) {
            double got = check_get(codes, c * padded + place(i)) * unit,
                   wanted = i < n ? check_get(v, i * heads * d + c) - is : 0.0;
            /* half a unit of the code, 2^-4 of a normal one, and the rounding of the difference; the smallest step is 2^-9 */
            if (!(fabs(got - wanted) <= 0x1p-4 * fabs(wanted) + 0x1p-10 * unit + 1e-6))
                fail_msg("value_codes: token %lld of channel %lld is %g, not %g", (long long)i,
                         (long long)c, got, wanted);
        }
    }
    check_done();
}

static void test_value_codes_match_double(void **state)
{
    const int64_t shapes[][3] = {{1, 1, 1}, {64, 2, 8}, {65, 3, 5}, {200, 2, 128}};

    (void)state;
    for (int s = 0; s < 4; s++)
        for (int f = 0; f < 4; f++)
            run_case(shapes[s][0], shapes[s][1], shapes[s][2], f & 1 ? VG_BF16 : VG_F32, f >> 1);
}

/* A channel with a NaN or an infinity has no mean, and so no result; the others stay. */
static void test_value_codes_of_nan(void **state)
{
    vg_err err;

    (void)state;
    for (int f = 0; f < 4; f++) {
        vg_tensor *v = check_fill(check_tensor(VG_F32, 3, 20, 1, 4), &(check_rng){3}, 0.0, 1.0),
                  *codes = check_tensor(VG_E4M3, 3, 1, 4, 64),
                  *scale = check_tensor(VG_F32, 2, 1, 4), *mean = check_tensor(VG_F32, 2, 1, 4);
        vg_value_codes_args args = {v, f & 1, codes, scale, mean};
        check_set(v, 4 * 7 + 2, f >> 1 ? NAN : INFINITY);
        CHECK_OK(vg_value_codes(check_cpu()->one, &args, &err), err);
        for (int c = 0; c < 4; c++)
            assert_int_equal(!isfinite(check_get(mean, c)), c == 2);
        check_done();
    }
}

static void test_value_codes_refuses_wrong_operands(void **state)
{
    vg_tensor *v = check_fill(check_tensor(VG_F32, 3, 70, 2, 4), &(check_rng){3}, 0, 1),
              *codes = check_tensor(VG_E4M3, 3, 2, 4, 128),
              *narrow = check_tensor(VG_E4M3, 3, 2, 4, 70), *scale = check_tensor(VG_F32, 2, 2, 4),
              *flat = check_tensor(VG_F32, 1, 8), *bytes = check_tensor(VG_U8, 3, 2, 4, 128);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_OK(vg_value_codes(be, &(vg_value_codes_args){v, true, codes, scale, scale}, &err), err);
    CHECK_FAILS(vg_value_codes(be, &(vg_value_codes_args){v, true, narrow, scale, scale}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_value_codes(be, &(vg_value_codes_args){v, true, bytes, scale, scale}, &err),
                VG_E_DTYPE, err);
    CHECK_FAILS(vg_value_codes(be, &(vg_value_codes_args){v, true, codes, flat, scale}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_value_codes(be, &(vg_value_codes_args){v, true, codes, scale, NULL}, &err),
                VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value_codes_match_double),
        cmocka_unit_test(test_value_codes_of_nan),
        cmocka_unit_test(test_value_codes_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_value_codes", tests, NULL, check_close_cpu);
}
