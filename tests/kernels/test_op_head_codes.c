/* test_op_head_codes.c: INT8 codes of q and k: what they stand for against double, scores kept by rotation and mean, every switch. */
#include "tests/check.h"

typedef struct head_case {
    int64_t n, heads, d;
    vg_dtype dtype;
    bool norm, rope, center, rotate, by_token;
} head_case;

/* (-1)^(bits in both) of a Hadamard matrix, by counting. */
static double hadamard(int64_t i, int64_t j)
{
    int sign = 1;
    for (int64_t both = i & j; both; both >>= 1)
        sign = both & 1 ? -sign : sign;
    return sign;
}

/* r: what is coded, from the definition. */
static void values_of(const head_case *c, const vg_head_codes_args *a, double *r)
{
    int64_t width = c->heads * c->d, stride = vg_codes_stride(c->n), sampled = 0;
    double *mean = calloc((size_t)width, sizeof *mean), *row = malloc((size_t)c->d * sizeof *row);

    assert_true(mean && row);
    for (int64_t i = 0; i < c->n; i++) {
        double square = 0.0;
        for (int64_t e = 0; e < width; e++)
            square += pow(check_get(a->x, i * width + e), 2) / (double)width;
        for (int64_t e = 0; e < width; e++)
            r[i * width + e] = check_get(a->x, i * width + e) *
                               (a->w ? check_get(a->w, e) / sqrt(square + (double)a->eps) : 1.0);
        for (int64_t e = 0; a->rope_cos && e < width; e += 2) {
            int64_t pair = i * c->d / 2 + e % c->d / 2;
            double even = r[i * width + e], odd = r[i * width + e + 1],
                   cosine = check_get(a->rope_cos, pair), sine = check_get(a->rope_sin, pair);
            r[i * width + e] = even * cosine - odd * sine;
            r[i * width + e + 1] = even * sine + odd * cosine;
        }
    }
    for (int64_t i = 0; i < c->n; i += stride, sampled++)
        for (int64_t e = 0; e < width; e++)
            mean[e] += r[i * width + e];
    for (int64_t i = 0; i < c->n * c->heads; i++) {
        double *head = r + i * c->d;
        for (int64_t e = 0; e < c->d; e++) {
            double v =
                head[e] - (c->center ? mean[i % c->heads * c->d + e] / (double)sampled : 0.0);
            head[e] = row[e] = c->rotate && VG_CODES_NEGATIVE(e) ? -v : v;
        }
        for (int64_t e = 0; c->rotate && e < c->d; e++) {
            head[e] = 0.0;
            for (int64_t f = 0; f < c->d; f++)
                head[e] += hadamard(e, f) * row[f] / sqrt((double)c->d);
        }
    }
    free(mean);
    free(row);
}

static void run_case(const head_case *c)
{
    check_rng rng = {31};
    int64_t width = c->heads * c->d, groups = c->by_token ? c->n : vg_codes_blocks(c->n),
            per_group = c->by_token ? 1 : VG_CODES_BLOCK;
    vg_tensor *x = check_fill(check_tensor(c->dtype, 2, c->n, width), &rng, 0.5, 2.0),
              *w = check_fill(check_tensor(VG_F32, 1, width), &rng, 1.0, 0.3),
              *cosine = check_tensor(VG_F32, 2, c->n, c->d / 2),
              *sine = check_tensor(VG_F32, 2, c->n, c->d / 2);
    vg_tensor *codes = check_tensor(VG_I8, 3, c->n, c->heads, c->d),
              *scale = check_tensor(VG_F32, 2, c->heads, groups);
    vg_head_codes_args args = {.x = x,
                               .w = c->norm ? w : NULL,
                               .eps = 1e-6f,
                               .heads = (int)c->heads,
                               .rope_cos = c->rope ? cosine : NULL,
                               .rope_sin = c->rope ? sine : NULL,
                               .center = c->center,
                               .rotate = c->rotate,
                               .codes = codes,
                               .scale = scale};
    double *wanted = malloc((size_t)(c->n * width) * sizeof *wanted), largest = 0.0;

    assert_non_null(wanted);
    for (int64_t i = 0; i < vg_tensor_numel(cosine); i++) {
        double angle = 3.0 * check_random(&rng);
        check_set(cosine, i, cos(angle));
        check_set(sine, i, sin(angle));
    }
    values_of(c, &args, wanted);
    CHECK_RUN(head_codes, &args, codes);
    CHECK_RUN(head_codes, &args, scale);
    for (int64_t i = 0; i < c->n * width; i++)
        largest = fmax(largest, fabs(wanted[i]));
    for (int64_t g = 0; g < groups; g++)
        for (int64_t h = 0; h < c->heads; h++) {
            double unit = check_get(scale, h * groups + g), most = 0.0;
            int64_t last = (g + 1) * per_group < c->n ? (g + 1) * per_group : c->n;
            /* BF16: norm and rotary embedding are rounded, 2^-9 of a value each; their sum over a rotated head is at most sqrt(d) times that. */
            double error = largest * (c->dtype == VG_BF16 && c->norm
                                          ? 2 * 0x1p-8 * (c->rotate ? sqrt((double)c->d) : 1.0)
                                          : 1e-5);
            for (int64_t i = g * per_group; i < last; i++)
                for (int64_t e = 0; e < c->d; e++) {
                    int64_t at = i * width + h * c->d + e;
                    double got = check_get(codes, at) * unit;
                    most = fmax(most, fabs(check_get(codes, at)));
                    if (!(fabs(got - wanted[at]) <= unit * 0.501 + error))
                        fail_msg("head_codes: element %lld is %g, not %g (scale %g)", (long long)at,
                                 got, wanted[at], unit);
                }
            assert_true(most == 127.0); /* the scale is as small as it can be */
        }
    free(wanted);
    check_done();
}

static void test_head_codes_match_double(void **state)
{
    (void)state;
    for (int f = 0; f < 32; f++)
        run_case(&(head_case){70, 3, 16, f & 1 ? VG_BF16 : VG_F32, f >> 1 & 1,
                              (f >> 1 & f >> 2) & 1, f >> 3 & 1, f >> 4 & 1, f >> 2 & 1});
    run_case(&(head_case){1, 1, 128, VG_F32, true, true, false, true, true});
    run_case(&(head_case){1, 2, 128, VG_F32, true, true, false, true, false});
    run_case(&(head_case){128, 2, 128, VG_BF16, true, true, true, true, false});
    run_case(&(head_case){9001, 1, 2, VG_F32, false, false, true, false,
                          false}); /* the mean of every second token */
}

/* A group of zeros has scale 1 and codes 0; one with a NaN or an infinity has no scale, and the others stay. */
static void test_head_codes_of_hard_rows(void **state)
{
    static const double hard[] = {0.0, NAN, INFINITY};
    vg_err err;

    (void)state;
    for (int k = 0; k < 3; k++) {
        check_rng rng = {32};
        vg_tensor *x = check_fill(check_tensor(VG_F32, 2, 130, 16), &rng, 0.0, 1.0),
                  *codes = check_tensor(VG_I8, 3, 130, 2, 8),
                  *scale = check_tensor(VG_F32, 2, 2, 3);
        for (int64_t i = 64; i < 128; i++)
            for (int64_t e = 8; e < 16; e++)
                check_set(x, i * 16 + e, k == 0 || (i == 100 && e == 9) ? hard[k] : 0.5);
        vg_head_codes_args args = {
            .x = x, .heads = 2, .rotate = true, .codes = codes, .scale = scale};
        CHECK_OK(vg_head_codes(check_cpu()->four, &args, &err), err);
        for (int i = 0; i < 6; i++)
            assert_true(i == 4 ? k == 0 ? check_get(scale, i) == 1.0 : isnan(check_get(scale, i))
                               : check_get(scale, i) > 0.0 && check_get(scale, i) < 0.1);
        for (int64_t i = 64; k == 0 && i < 128; i++)
            assert_true(check_get(codes, i * 16 + 8) == 0.0);
        check_done();
    }
}

static void test_head_codes_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 70, 24), *w = check_tensor(VG_F32, 1, 24),
              *table = check_tensor(VG_F32, 2, 70, 4), *codes = check_tensor(VG_I8, 3, 70, 3, 8),
              *other = check_tensor(VG_I8, 3, 70, 2, 12), *bytes = check_tensor(VG_U8, 3, 70, 3, 8),
              *by_token = check_tensor(VG_F32, 2, 3, 70), *by_block = check_tensor(VG_F32, 2, 3, 2),
              *wrong = check_tensor(VG_F32, 2, 3, 3), *two = check_tensor(VG_F32, 2, 2, 70);
    const vg_head_codes_args good = {.x = x,
                                     .w = w,
                                     .heads = 3,
                                     .rope_cos = table,
                                     .rope_sin = table,
                                     .rotate = true,
                                     .codes = codes,
                                     .scale = by_token};
    vg_backend *be = check_cpu()->one;
    vg_err err;
    vg_head_codes_args a;

    (void)state;
    check_fill(x, &(check_rng){1}, 0, 1);
    check_fill(w, &(check_rng){1}, 0, 1);
    check_fill(table, &(check_rng){1}, 0, 1);
    CHECK_OK(vg_head_codes(be, &good, &err), err);
    a = good, a.scale = by_block;
    CHECK_OK(vg_head_codes(be, &a, &err), err);
    a = good, a.scale = wrong;
    CHECK_FAILS(vg_head_codes(be, &a, &err), VG_E_SHAPE, err);
    a = good, a.codes = bytes;
    CHECK_FAILS(vg_head_codes(be, &a, &err), VG_E_DTYPE, err);
    a = good, a.heads = 5;
    CHECK_FAILS(vg_head_codes(be, &a, &err), VG_E_ARG, err);
    a = good, a.rope_sin = NULL;
    CHECK_FAILS(vg_head_codes(be, &a, &err), VG_E_ARG, err);
    a = good, a.w = NULL;
    CHECK_FAILS(vg_head_codes(be, &a, &err), VG_E_ARG, err);
    a = good, a.heads = 2, a.codes = other, a.scale = two, a.rope_cos = a.rope_sin = NULL;
    CHECK_FAILS(vg_head_codes(be, &a, &err), VG_E_SHAPE, err); /* 12 is no power of 2 */
    a.rotate = false;
    CHECK_OK(vg_head_codes(be, &a, &err), err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_codes_match_double),
        cmocka_unit_test(test_head_codes_of_hard_rows),
        cmocka_unit_test(test_head_codes_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_head_codes", tests, NULL, check_close_cpu);
}
