/* test_bench.c: the parts of vgen bench that need no run: cases, ranges, numbers, the scaling of rows. */
#include "tests/check.h"

#include "app/bench/bench.h"
#include "app/bench/bench_operands.h"

static void test_bench_ranges(void **state)
{
    double odd[] = {3, 1, 2}, even[] = {4, 1, 3, 2};
    vg_bench_range r = vg_bench_range_of(odd, 3);

    (void)state;
    assert_float_equal(r.median, 2, 0);
    assert_float_equal(r.min, 1, 0);
    assert_float_equal(r.max, 3, 0);
    assert_float_equal(vg_bench_range_of(even, 4).median, 2.5, 0);
    assert_int_equal(vg_bench_range_of(NULL, 0).count, 0);
}

static void test_bench_numbers_are_short(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.01234, "0.0123"}, {1.23456, "1.235"}, {99.96, "100.0"}, {12345.6, "12346"}};
    char buf[32];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(vg_bench_number(buf, sizeof buf, true, cases[i].value), cases[i].text);
    assert_string_equal(vg_bench_number(buf, sizeof buf, false, 1), "-");
}

static void test_bench_cases_fill_what_is_not_set(void **state)
{
    const vg_bench_case *c;
    vg_settings s = {{0}};
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_bench_case_find("wan22", &c, &err), VG_E_ARG, err);
    CHECK_OK(vg_bench_case_find("wan22-i2v-a14b-720p", &c, &err), err);
    CHECK_OK(vg_settings_set(&s, VG_OPT_num_frames, "5", &err), err);
    CHECK_OK(vg_bench_case_settings(c, &s, &err), err);
    assert_int_equal(vg_settings_int(&s, VG_OPT_height), 720);
    assert_int_equal(vg_settings_int(&s, VG_OPT_width), 1280);
    assert_int_equal(vg_settings_int(&s, VG_OPT_num_frames), 5);
    assert_int_equal(vg_settings_load_format(&s), VG_LOAD_DUMMY);
    vg_settings_deinit(&s);
    /* A model of one's own is not run with made up weights. */
    CHECK_OK(vg_settings_set(&s, VG_OPT_model, "/somewhere", &err), err);
    CHECK_OK(vg_bench_case_settings(c, &s, &err), err);
    assert_int_equal(vg_settings_load_format(&s), VG_LOAD_FILES);
    vg_settings_deinit(&s);
}

static void test_bench_rows_shrink_in_tokens_and_pixels(void **state)
{
    const vg_op_case linear = {.d = {75600, 13824, 5120}}, self = {.d = {75600, 75600, 40, 128}},
                     text = {.d = {75600, 512, 40, 128}}, conv = {.d = {4, 720, 1280, 96, 96, 3}};
    vg_op_case r = vg_op_case_scaled(VG_OP_linear, &linear, 0.01);

    (void)state;
    assert_int_equal(r.d[0], 752); /* a multiple of 16 */
    assert_int_equal(r.d[1], 13824);
    assert_int_equal(r.d[2], 5120);
    r = vg_op_case_scaled(VG_OP_attention, &self, 0.01);
    assert_int_equal(r.d[1], r.d[0]);
    r = vg_op_case_scaled(VG_OP_attention, &text, 0.01);
    assert_int_equal(r.d[1], 512);
    r = vg_op_case_scaled(VG_OP_conv3d, &conv, 0.01);
    assert_int_equal(r.d[0], 4);
    assert_int_equal(r.d[1], 72);
    assert_int_equal(r.d[2], 128);
    assert_int_equal(r.d[3], 96);
    r = vg_op_case_scaled(VG_OP_conv3d, &conv, 1);
    assert_int_equal(r.d[1], 720);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bench_ranges),
        cmocka_unit_test(test_bench_numbers_are_short),
        cmocka_unit_test(test_bench_cases_fill_what_is_not_set),
        cmocka_unit_test(test_bench_rows_shrink_in_tokens_and_pixels),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
