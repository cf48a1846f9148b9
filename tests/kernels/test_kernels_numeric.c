/* test_kernels_numeric.c: all codes of the 8-bit format, all 16-bit patterns, ties, and random floats against a definition in double. */
#include "tests/check.h"

/* Nearest value of a format by search over all finite codes in double, ties to the even code: slow and obviously right. */
static unsigned nearest(double v, const double *values, unsigned count)
{
    unsigned low = 0, high = count - 1;

    while (high - low > 1) { /* values ascend */
        unsigned middle = (low + high) / 2;
        if (values[middle] <= v)
            low = middle;
        else
            high = middle;
    }
    if (v - values[low] < values[high] - v)
        return low;
    if (v - values[low] > values[high] - v)
        return high;
    return low % 2 == 0 ? low : high;
}

static double e4m3_definition(unsigned code)
{
    unsigned exponent = code >> 3 & 15u, mantissa = code & 7u;
    double v =
        exponent ? ldexp(1.0 + mantissa / 8.0, (int)exponent - 7) : ldexp(mantissa / 8.0, -6);

    return code & 0x80u ? -v : v;
}

static void test_numeric_e4m3_all_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 256; code++) {
        float f = vg_e4m3_to_f32((uint8_t)code);
        if ((code & 0x7fu) == 0x7fu) {
            assert_true(isnan(f));
            assert_int_equal(signbit(f) != 0, code >> 7);
        } else {
            assert_true((double)f == e4m3_definition(code));
            assert_int_equal(signbit(f) != 0, code >> 7);
        }
        assert_int_equal(vg_f32_to_e4m3(f), code);
    }
    assert_float_equal(vg_e4m3_to_f32(0x7e), VG_E4M3_MAX, 0.0);
}

static void test_numeric_e4m3_rounds_to_nearest_even(void **state)
{
    double values[127];
    check_rng rng = {24};

    (void)state;
    for (unsigned code = 0; code < 127; code++)
        values[code] = e4m3_definition(code);
    for (unsigned code = 0; code < 126; code++) { /* ties and their neighbours */
        float tie = (float)((values[code] + values[code + 1]) / 2.0);
        assert_int_equal(vg_f32_to_e4m3(tie), code + code % 2);
        assert_int_equal(vg_f32_to_e4m3(nextafterf(tie, 1e9f)), code + 1);
        assert_int_equal(vg_f32_to_e4m3(nextafterf(tie, -1.0f)), code);
        assert_int_equal(vg_f32_to_e4m3(-tie), (code + code % 2) | 0x80u);
    }
    for (int i = 0; i < 2000000; i++) {
        uint64_t bits = check_random_bits(&rng);
        float f = vg_f32_from_bits((uint32_t)bits);
        unsigned sign = (uint32_t)bits >> 31 << 7;
        if (i & 1) /* half of them where the format lives */
            f = ldexpf((float)check_random(&rng), (int)(bits >> 32 & 31u) - 20),
            sign = signbit(f) ? 0x80u : 0u;
        if (isnan(f))
            assert_int_equal(vg_f32_to_e4m3(f), sign | 0x7fu);
        else if (fabsf(f) >= 448.0f)
            assert_int_equal(vg_f32_to_e4m3(f), sign | 0x7eu);
        else
            assert_int_equal(vg_f32_to_e4m3(f), sign | nearest(fabs((double)f), values, 127));
    }
}

static double f16_definition(unsigned code)
{
    unsigned exponent = code >> 10 & 31u, mantissa = code & 1023u;

    return exponent ? ldexp(1.0 + mantissa / 1024.0, (int)exponent - 15)
                    : ldexp(mantissa / 1024.0, -14);
}

static void test_numeric_16_bit_round_trips(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 65536; code++) {
        float b = vg_bf16_to_f32((uint16_t)code), h = vg_f16_to_f32((uint16_t)code);
        bool b_nan = (code & 0x7fffu) > 0x7f80u, h_nan = (code & 0x7fffu) > 0x7c00u;
        assert_int_equal(isnan(b) != 0, b_nan);
        assert_int_equal(isnan(h) != 0, h_nan);
        assert_int_equal(vg_f32_bits(b), code << 16);
        assert_int_equal(vg_f32_to_bf16(b), b_nan ? code | 0x40u : code);
        assert_int_equal(vg_f32_to_f16(h), h_nan ? code | 0x200u : code);
        assert_int_equal(signbit(h) != 0, code >> 15);
        if ((code & 0x7fffu) < 0x7c00u)
            assert_true(fabs((double)h) == f16_definition(code & 0x7fffu));
        else if (!h_nan)
            assert_true(isinf(h));
    }
}

static void test_numeric_16_bit_round_to_nearest_even(void **state)
{
    static double halves[0x7c01], brains[0x7f81];
    check_rng rng = {25};

    (void)state;
    for (unsigned code = 0; code <= 0x7c00; code++)
        halves[code] =
            f16_definition(code); /* the last one is 2^16, where infinity begins to be nearer */
    for (unsigned code = 0; code < 0x7f80; code++)
        brains[code] = (double)vg_bf16_to_f32((uint16_t)code);
    brains[0x7f80] = 0x1p128;
    for (unsigned code = 0; code < 0x7c00; code++) {
        float tie = (float)((halves[code] + halves[code + 1]) / 2.0);
        assert_int_equal(vg_f32_to_f16(tie), code + code % 2);
        assert_int_equal(vg_f32_to_f16(nextafterf(tie, INFINITY)), code + 1);
        assert_int_equal(vg_f32_to_f16(nextafterf(tie, -1.0f)), code);
    }
    for (int i = 0; i < 2000000; i++) {
        float f = vg_f32_from_bits((uint32_t)check_random_bits(&rng) & 0x7fffffffu);
        if (i & 1)
            f = ldexpf(fabsf((float)check_random(&rng)), (int)(check_random_bits(&rng) % 44) - 26);
        if (isnan(f))
            continue;
        assert_int_equal(vg_f32_to_bf16(f),
                         isinf(f) ? 0x7f80u : nearest((double)f, brains, 0x7f81));
        assert_int_equal(vg_f32_to_f16(f),
                         (double)f >= 65536.0 ? 0x7c00u : nearest((double)f, halves, 0x7c01));
        assert_int_equal(vg_f32_to_f16(-f), vg_f32_to_f16(f) | 0x8000u);
    }
    assert_true(isnan(vg_round_bf16(
        vg_f32_from_bits(0x7f800001u)))); /* a NaN whose upper half alone would be infinity */
    assert_true(isnan(vg_f16_to_f32(vg_f32_to_f16(vg_f32_from_bits(0x7f800001u)))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numeric_e4m3_all_codes),
        cmocka_unit_test(test_numeric_e4m3_rounds_to_nearest_even),
        cmocka_unit_test(test_numeric_16_bit_round_trips),
        cmocka_unit_test(test_numeric_16_bit_round_to_nearest_even),
    };
    return cmocka_run_group_tests_name("kernels_numeric", tests, NULL, NULL);
}
