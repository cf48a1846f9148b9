/* test_op_cast.c: every pair of formats, every size class, saturation. */
#include "tests/check.h"

static void test_cast_converts_exactly(void **state)
{
    const vg_dtype from[] = {VG_F32, VG_BF16, VG_F16, VG_E4M3}, to[] = {VG_F32, VG_BF16, VG_E4M3};
    const int64_t sizes[] = {1, 33, 511, 1025, 20000};
    check_rng rng = {1};

    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++)
            for (size_t s = 0; s < 5; s++) {
                vg_tensor *x = check_fill(check_tensor(from[i], 1, sizes[s]), &rng, 0.0, 500.0);
                vg_tensor *y = check_tensor(to[j], 1, sizes[s]),
                          *expected = check_tensor(to[j], 1, sizes[s]);
                vg_cast_args args = {.x = x, .y = y};
                CHECK_RUN(cast, &args, y);
                for (int64_t n = 0; n < sizes[s]; n++)
                    check_set(expected, n,
                              check_get(x, n)); /* exact: every source value is a float */
                assert_memory_equal(expected->data, y->data, vg_tensor_bytes(y));
                check_done();
            }
}

static void test_cast_saturates_and_keeps_nan(void **state)
{
    float values[] = {INFINITY, -INFINITY, NAN, 449.0f, -1e30f, 0.0f, -0.0f, 0x1p-10f, 0x1.8p-9f};
    const uint8_t expected[] = {0x7e, 0xfe, 0x7f, 0x7e, 0xfe, 0x00, 0x80, 0x00, 0x02};
    vg_tensor x = vg_tensor_make(values, VG_F32, 1, 9);
    vg_tensor *y = check_tensor(VG_E4M3, 1, 9);
    vg_cast_args args = {.x = &x, .y = y};

    (void)state;
    CHECK_RUN(cast, &args, y);
    assert_memory_equal(expected, y->data, sizeof expected);
    check_done();
}

static void test_cast_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 3, 4), *y = check_tensor(VG_BF16, 2, 4, 3),
              *f16 = check_tensor(VG_F16, 2, 3, 4);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_cast(be, &(vg_cast_args){.x = x, .y = y}, &err), VG_E_SHAPE, err);
    CHECK_FAILS(vg_cast(be, &(vg_cast_args){.x = x, .y = f16}, &err), VG_E_DTYPE, err);
    CHECK_FAILS(vg_cast(be, &(vg_cast_args){.x = x}, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_cast(be, NULL, &err), VG_E_ARG, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cast_converts_exactly),
        cmocka_unit_test(test_cast_saturates_and_keeps_nan),
        cmocka_unit_test(test_cast_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_cast", tests, NULL, check_close_cpu);
}
