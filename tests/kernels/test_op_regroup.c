/* test_op_regroup.c: the index formulas of ops.h, element by element; copies are exact, means those of double but for the rounding. */
#include "tests/check.h"

static const struct {
    int64_t x[4], channels; /* T H W C of x, channels of y */
    int factor[2], skip;
    bool up;
} cases[] = {
    {{1, 1, 1, 1}, 1, {1, 1}, 0, true},    {{2, 3, 5, 8}, 4, {2, 2}, 0, true},
    {{1, 3, 5, 8}, 8, {2, 2}, 1, true},    {{3, 2, 7, 12}, 3, {1, 2}, 0, true},
    {{2, 2, 3, 6}, 6, {1, 3}, 0, true},    {{1, 1, 1, 1}, 1, {1, 1}, 0, false},
    {{4, 6, 10, 5}, 10, {2, 2}, 0, false}, {{1, 4, 6, 4}, 8, {2, 2}, 1, false},
    {{3, 4, 14, 3}, 12, {1, 2}, 0, false}, {{5, 3, 3, 6}, 3, {3, 1}, 1, false},
    {{2, 6, 9, 2}, 18, {1, 3}, 0, false},
};

static int64_t number(const vg_regroup_args *a, int64_t c, int64_t t, int64_t y, int64_t x)
{
    int64_t f0 = a->factor[0], f1 = a->factor[1];
    return a->columns_first ? ((c * f0 + t) * f1 + x) * f1 + y : ((c * f0 + t) * f1 + y) * f1 + x;
}

static void check_copies(const vg_regroup_args *a)
{
    const int64_t *s = a->x->shape, *o = a->y->shape, f0 = a->factor[0], f1 = a->factor[1];
    int64_t repeats = o[3] * f0 * f1 * f1 / s[3], at = 0;
    for (int64_t t = a->skip; t < o[0] + a->skip; t++)
        for (int64_t y = 0; y < o[1]; y++)
            for (int64_t x = 0; x < o[2]; x++)
                for (int64_t c = 0; c < o[3]; c++, at++) {
                    int64_t q = number(a, c, t % f0, y % f1, x % f1) / repeats;
                    int64_t from = ((t / f0 * s[1] + y / f1) * s[2] + x / f1) * s[3] + q;
                    assert_true(check_get(a->y, at) == check_get(a->x, from));
                }
}

static void check_means(const vg_regroup_args *a)
{
    const int64_t *s = a->x->shape, *o = a->y->shape, f0 = a->factor[0], f1 = a->factor[1];
    int64_t group = s[3] * f0 * f1 * f1 / o[3];
    size_t count = (size_t)vg_tensor_numel(a->y);
    double *sums = calloc(count, sizeof *sums);
    assert_non_null(sums);
    for (int64_t t = 0; t < s[0]; t++)
        for (int64_t y = 0; y < s[1]; y++)
            for (int64_t x = 0; x < s[2]; x++)
                for (int64_t c = 0; c < s[3]; c++) {
                    int64_t frame = t + a->skip,
                            q = number(a, c, frame % f0, y % f1, x % f1) / group;
                    sums[((frame / f0 * o[1] + y / f1) * o[2] + x / f1) * o[3] + q] +=
                        check_get(a->x, ((t * s[1] + y) * s[2] + x) * s[3] + c) / (double)group;
                }
    double unit = a->y->dtype == VG_BF16 ? 0x1p-8 : 0x1p-22;
    for (size_t i = 0; i < count; i++)
        assert_true(fabs(check_get(a->y, (int64_t)i) - sums[i]) <= unit * (fabs(sums[i]) + 1));
    free(sums);
}

static void test_regroup_follows_the_formula(void **state)
{
    check_rng rng = {31};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int f = 0; f < 4; f++) {
            const int64_t *s = cases[i].x, f0 = cases[i].factor[0], f1 = cases[i].factor[1];
            bool up = cases[i].up;
            vg_dtype dtype = f & 1 ? VG_BF16 : VG_F32;
            int64_t frames = up ? s[0] * f0 - cases[i].skip : (s[0] + cases[i].skip) / f0;
            vg_regroup_args args = {
                .x = check_fill(check_tensor(dtype, 4, s[0], s[1], s[2], s[3]), &rng, 0.3, 1.0),
                .factor = {cases[i].factor[0], cases[i].factor[1]},
                .skip = cases[i].skip,
                .up = up,
                .columns_first = f >> 1,
                .y = check_tensor(dtype, 4, frames, up ? s[1] * f1 : s[1] / f1,
                                  up ? s[2] * f1 : s[2] / f1, cases[i].channels)};
            CHECK_RUN(regroup, &args, args.y);
            if (up)
                check_copies(&args);
            else
                check_means(&args);
            check_done();
        }
}

static void test_regroup_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 4, 2, 4, 6, 4), *y = check_tensor(VG_F32, 4, 1, 2, 3, 8),
              *wide = check_tensor(VG_F32, 4, 4, 8, 12, 5),
              *other = check_tensor(VG_BF16, 4, 1, 2, 3, 8);
    vg_backend *be = check_cpu()->one;
    vg_err err;
    (void)state;
#define REFUSED(code, ...)                                                                         \
    CHECK_FAILS(vg_regroup(be, &(vg_regroup_args){__VA_ARGS__}, &err), code, err)
    REFUSED(VG_E_ARG, .x = x, .factor = {0, 2}, .y = y);
    REFUSED(VG_E_ARG, .x = x, .factor = {2, 17}, .y = y);
    REFUSED(VG_E_ARG, .x = x, .factor = {2, 2}, .skip = 2, .y = y);
    REFUSED(VG_E_SHAPE, .x = x, .factor = {2, 2}, .skip = 1, .y = y);
    REFUSED(VG_E_SHAPE, .x = x, .factor = {2, 4}, .y = y);
    REFUSED(VG_E_SHAPE, .x = x, .factor = {1, 2}, .y = y);
    REFUSED(VG_E_DTYPE, .x = x, .factor = {2, 2}, .y = other);
    REFUSED(VG_E_SHAPE, .x = x, .factor = {1, 1}, .up = true, .y = y);
    REFUSED(VG_E_SHAPE, .x = y, .factor = {1, 1}, .up = true, .y = wide);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regroup_follows_the_formula),
        cmocka_unit_test(test_regroup_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_regroup", tests, NULL, check_close_cpu);
}
