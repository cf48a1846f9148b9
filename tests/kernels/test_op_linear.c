/* test_op_linear.c: every combination of operand formats and scales against a double sum of the dequantised operands. */
#include "tests/check.h"

typedef struct linear_case {
    int64_t m, n, k;
    vg_dtype x, w, y;
    int x_scale; /* 0 none, 1 tensor, 2 groups */
    int w_scale; /* 0 none, 1 scalar, 2 per row, 3 blocks */
    vg_act act;
    bool bias;
} linear_case;

static double activate(vg_act act, double v)
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

static void run_case(const linear_case *c, uint64_t seed)
{
    check_rng rng = {seed};
    int64_t k_groups = (c->k + 127) / 128, n_groups = (c->n + 127) / 128;
    vg_tensor *x =
        check_fill(check_tensor(c->x, 2, c->m, c->k), &rng, 0.0, c->x == VG_E4M3 ? 448.0 : 1.0);
    vg_tensor *w =
        check_fill(check_tensor(c->w, 2, c->n, c->k), &rng, 0.0, c->w == VG_E4M3 ? 448.0 : 1.0);
    vg_tensor *xs = NULL, *ws = NULL, *bias = NULL, *y = check_tensor(c->y, 2, c->m, c->n);
    double *reference = check_reference(y), *magnitude = check_reference(y);
    char what[128];

    if (c->x_scale == 1)
        xs = check_fill(check_tensor(VG_F32, 1, 1), &rng, 0.003, 0.001);
    if (c->x_scale == 2)
        xs = check_fill(check_tensor(VG_F32, 2, k_groups, c->m), &rng, 0.003, 0.002);
    if (c->w_scale == 1)
        ws = check_fill(check_tensor(VG_F32, 1, 1), &rng, 0.003, 0.001);
    if (c->w_scale == 2)
        ws = check_fill(check_tensor(VG_F32, 1, c->n), &rng, 0.003, 0.002);
    if (c->w_scale == 3)
        ws = check_fill(check_tensor(VG_F32, 2, n_groups, k_groups), &rng, 0.003, 0.002);
    if (c->bias)
        bias = check_fill(check_tensor(c->y, 1, c->n), &rng, 0.0, 1.0);

    for (int64_t i = 0; i < c->m; i++)
        for (int64_t j = 0; j < c->n; j++) {
            double sum = 0.0, size = 0.0;
            for (int64_t k = 0; k < c->k; k++) {
                double term = check_get(x, i * c->k + k) * check_get(w, j * c->k + k);
                if (xs)
                    term *= check_get(xs, c->x_scale == 1 ? 0 : k / 128 * c->m + i);
                if (ws)
                    term *= check_get(ws, c->w_scale == 1   ? 0
                                          : c->w_scale == 2 ? j
                                                            : j / 128 * k_groups + k / 128);
                sum += term;
                size += fabs(term);
            }
            if (bias)
                sum += check_get(bias, j);
            magnitude[i * c->n + j] = size + 1.0;
            reference[i * c->n + j] = sum;
        }

    vg_linear_args args = {
        .x = x, .x_scale = xs, .w = w, .w_scale = ws, .bias = bias, .act = c->act, .y = y};
    CHECK_RUN(linear, &args, y);
    snprintf(what, sizeof what, "linear %lldx%lldx%lld %s %s", (long long)c->m, (long long)c->n,
             (long long)c->k, vg_dtype_name(c->x), vg_dtype_name(c->w));
    for (int64_t i = 0; i < c->m * c->n; i++) {
        /* A sum of k terms in blocks: error at most about sqrt(k) + 4 roundings of the terms' magnitudes (random signs; the
         * bound holds with a wide margin), plus the roundings of the sum and, with an activation (slope below 1.13),
         * of its result. */
        double unit = check_unit(c->y), sum = reference[i];
        double error = (sqrt((double)c->k) + 4.0) * 0x1p-24 * magnitude[i],
               relative = c->y == VG_F32 ? 0x1p-22 : unit;
        vg_tensor one =
            vg_tensor_make((char *)y->data + i * (int64_t)vg_dtype_size(y->dtype), y->dtype, 1, 1);
        double value = activate(c->act, sum);
        if (c->act != VG_ACT_NONE)
            error = 1.13 * (error + relative * fabs(sum)) + 2e-7;
        CHECK_CLOSE(what, &one, &value, error, relative * 1.001);
    }
    free(reference);
    free(magnitude);
    check_done();
}

static void test_linear_plain_formats(void **state)
{
    const int64_t shapes[][3] = {{1, 1, 1},     {1, 511, 33},   {3, 40, 1025}, {5, 33, 64},
                                 {33, 65, 511}, {300, 70, 256}, {257, 259, 40}};
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};

    (void)state;
    for (size_t s = 0; s < 7; s++)
        for (int f = 0; f < 8; f++) {
            linear_case c = {shapes[s][0],
                             shapes[s][1],
                             shapes[s][2],
                             dtypes[f & 1],
                             dtypes[f >> 1 & 1],
                             dtypes[f >> 2],
                             0,
                             0,
                             VG_ACT_NONE,
                             f % 3 == 0};
            run_case(&c, 10 + (uint64_t)f);
        }
}

static void test_linear_activations(void **state)
{
    const vg_act acts[] = {VG_ACT_SILU, VG_ACT_GELU_TANH, VG_ACT_GELU_ERF};

    (void)state;
    for (int a = 0; a < 3; a++) {
        run_case(&(linear_case){17, 33, 65, VG_F32, VG_F32, VG_F32, 0, 0, acts[a], true}, 20);
        run_case(&(linear_case){17, 33, 65, VG_BF16, VG_BF16, VG_BF16, 0, 0, acts[a], true}, 21);
        run_case(&(linear_case){2, 33, 65, VG_F32, VG_BF16, VG_F32, 0, 0, acts[a], true}, 22);
    }
}

static void test_linear_e4m3(void **state)
{
    const int64_t shapes[][3] = {{1, 129, 128}, {33, 130, 257}, {70, 20, 1153}, {4, 300, 2100}};

    (void)state;
    for (size_t s = 0; s < 4; s++)
        for (int xs = 0; xs < 3; xs++)
            for (int ws = 1; ws < 4; ws++) {
                linear_case c = {shapes[s][0], shapes[s][1],
                                 shapes[s][2], xs ? VG_E4M3 : s & 1 ? VG_F32 : VG_BF16,
                                 VG_E4M3,      s & 1 ? VG_F32 : VG_BF16,
                                 xs,           ws,
                                 VG_ACT_NONE,  ws == 2};
                run_case(&c, 30 + s);
            }
}

static void test_linear_spreads_nan_to_its_row_only(void **state)
{
    check_rng rng = {4};
    vg_tensor *x = check_fill(check_tensor(VG_F32, 2, 40, 70), &rng, 0.0, 1.0),
              *w = check_fill(check_tensor(VG_F32, 2, 30, 70), &rng, 0.0, 1.0);
    vg_tensor *y = check_tensor(VG_F32, 2, 40, 30);
    vg_linear_args args = {.x = x, .w = w, .y = y};

    (void)state;
    check_set(x, 7 * 70 + 69, NAN);
    CHECK_RUN(linear, &args, y);
    for (int64_t i = 0; i < 40 * 30; i++)
        assert_int_equal(isnan(check_get(y, i)) != 0, i / 30 == 7);
    check_done();
}

/* Codes beside or instead of the values are those of vg_quantize. */
static void test_linear_quantised(void **state)
{
    const int64_t sizes[][3] = {{3, 33, 17}, {5, 511, 40}, {70, 256, 128}};
    check_rng rng = {21};

    (void)state;
    for (int s = 0; s < 3; s++)
        for (int f = 0; f < 4; f++) {
            vg_dtype dtype = f & 1 ? VG_BF16 : VG_F32;
            vg_quant_kind kind = f & 2 ? VG_QUANT_GROUP_DYNAMIC : VG_QUANT_TENSOR_STATIC;
            int64_t n = sizes[s][0], d = sizes[s][1], k = sizes[s][2];
            vg_tensor *x = check_fill(check_tensor(dtype, 2, n, k), &rng, 0.0, 1.0),
                      *w = check_fill(check_tensor(dtype, 2, d, k), &rng, 0.0, 1.0),
                      *bias = check_fill(check_tensor(dtype, 1, d), &rng, 0.0, 1.0);
            vg_linear_args args = {.x = x, .w = w, .bias = bias, .act = VG_ACT_GELU_TANH};
            args.y = check_tensor(dtype, 2, n, d);
            CHECK_CODES(linear, args, kind);
            check_done();
        }
}

static void test_linear_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 2, 4, 128), *w = check_tensor(VG_F32, 2, 6, 128),
              *y = check_tensor(VG_F32, 2, 4, 6);
    vg_tensor *q = check_tensor(VG_E4M3, 2, 6, 128), *s = check_tensor(VG_F32, 1, 5),
              *xq = check_tensor(VG_E4M3, 2, 4, 128);
    vg_tensor *one = check_tensor(VG_F32, 1, 1), *short_w = check_tensor(VG_F32, 2, 6, 127);
    vg_backend *be = check_cpu()->one;
    vg_err err;

    (void)state;
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = x, .w = short_w, .y = y}, &err), VG_E_SHAPE,
                err);
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = x, .w = q, .y = y}, &err), VG_E_ARG, err);
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = x, .w = q, .w_scale = s, .y = y}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = x, .w = w, .w_scale = one, .y = y}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = xq, .x_scale = one, .w = w, .y = y}, &err),
                VG_E_DTYPE, err);
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = x, .w = w, .bias = s, .y = y}, &err),
                VG_E_SHAPE, err);
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = x, .w = w, .act = VG_ACT_COUNT, .y = y}, &err),
                VG_E_ARG, err);
    CHECK_FAILS(vg_linear(be, &(vg_linear_args){.x = x, .w = w}, &err), VG_E_ARG, err);
    check_done();
}

/* The harness itself: one output off by twice the tolerance, or NaN, is found. */
static void test_linear_a_wrong_result_is_detected(void **state)
{
    check_rng rng = {5};
    vg_tensor *y = check_fill(check_tensor(VG_F32, 2, 9, 11), &rng, 2.0, 1.0);
    double *reference = check_reference(y);

    (void)state;
    for (int64_t i = 0; i < 99; i++)
        reference[i] = check_get(y, i);
    assert_true(check_is_close("exact", y, reference, 0.0, 0x1p-20));
    print_message("(two complaints are expected here)\n");
    check_set(y, 57, reference[57] * (1.0 + 0x1p-19));
    assert_false(check_is_close("perturbed", y, reference, 0.0, 0x1p-20));
    check_set(y, 57, NAN);
    assert_false(check_is_close("not a number", y, reference, 1e30, 1.0));
    free(reference);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_plain_formats),
        cmocka_unit_test(test_linear_activations),
        cmocka_unit_test(test_linear_e4m3),
        cmocka_unit_test(test_linear_spreads_nan_to_its_row_only),
        cmocka_unit_test(test_linear_quantised),
        cmocka_unit_test(test_linear_refuses_wrong_operands),
        cmocka_unit_test(test_linear_a_wrong_result_is_detected),
    };
    return cmocka_run_group_tests_name("op_linear", tests, NULL, check_close_cpu);
}
