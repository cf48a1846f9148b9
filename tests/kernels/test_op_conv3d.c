/* test_op_conv3d.c: every geometry the VAEs use, and odd ones, against a double sum over the formula of ops.h. */
#include "tests/check.h"

typedef struct conv_case {
    int64_t t, h, w, c, o, kernel[3];
    int history, pad_front, upsample, stride[3], pad[4];
    bool bias;
    int more, split;
    bool residual;
} conv_case;

static const conv_case CASES[] = {
    {1, 1, 1, 1, 1, {1, 1, 1}, 0, 0, 1, {1, 1, 1}, {0, 0, 0, 0}, false, 0, 0, false},
    {3, 7, 9, 5, 7, {1, 1, 1}, 0, 0, 1, {1, 1, 1}, {0, 0, 0, 0}, true, 0, 0, false}, /* pointwise */
    {3,
     7,
     9,
     16,
     16,
     {3, 3, 3},
     0,
     2,
     1,
     {1, 1, 1},
     {1, 1, 1, 1},
     true,
     0,
     0,
     false}, /* causal, first chunk */
    {4,
     7,
     33,
     16,
     20,
     {3, 3, 3},
     2,
     0,
     1,
     {1, 1, 1},
     {1, 1, 1, 1},
     true,
     0,
     0,
     false}, /* with history */
    {1,
     5,
     13,
     8,
     32,
     {3, 3, 3},
     1,
     1,
     1,
     {1, 1, 1},
     {1, 1, 1, 1},
     true,
     0,
     0,
     false}, /* one frame of each */
    {2, 12, 20, 33, 3, {3, 3, 3}, 0, 2, 1, {1, 1, 1}, {1, 1, 1, 1}, true, 0, 0, false}, /* to RGB */
    {2,
     12,
     20,
     3,
     40,
     {3, 3, 3},
     0,
     2,
     1,
     {1, 1, 1},
     {1, 1, 1, 1},
     true,
     0,
     0,
     false}, /* from RGB */
    {3,
     6,
     5,
     9,
     18,
     {3, 1, 1},
     2,
     0,
     1,
     {1, 1, 1},
     {0, 0, 0, 0},
     true,
     0,
     0,
     false}, /* time_conv up */
    {5,
     6,
     5,
     9,
     9,
     {3, 1, 1},
     0,
     0,
     1,
     {2, 1, 1},
     {0, 0, 0, 0},
     true,
     0,
     0,
     false}, /* time_conv down */
    {2,
     9,
     12,
     17,
     17,
     {1, 3, 3},
     0,
     0,
     1,
     {1, 2, 2},
     {0, 1, 0, 1},
     true,
     0,
     0,
     false}, /* downsample2d */
    {2,
     5,
     7,
     12,
     6,
     {1, 3, 3},
     0,
     0,
     2,
     {1, 1, 1},
     {1, 1, 1, 1},
     true,
     0,
     0,
     false}, /* upsample2d */
    {2, 5, 7, 64, 33, {1, 3, 3}, 0, 0, 2, {1, 1, 1}, {1, 1, 1, 1}, false, 0, 0, false},
    {1,
     6,
     11,
     200,
     70,
     {3, 3, 3},
     0,
     2,
     1,
     {1, 1, 1},
     {1, 1, 1, 1},
     true,
     0,
     0,
     false}, /* many channels */
    {2,
     4,
     5,
     3,
     4,
     {2, 5, 4},
     0,
     1,
     1,
     {1, 1, 3},
     {2, 3, 0, 4},
     true,
     0,
     0,
     false}, /* nothing symmetric */
    {1,
     3,
     2,
     6,
     8,
     {3, 3, 3},
     0,
     4,
     1,
     {1, 1, 1},
     {1, 1, 1, 1},
     true,
     0,
     0,
     false}, /* frames that see zeros only */
    {2,
     3,
     4,
     520,
     9,
     {1, 1, 1},
     0,
     1,
     1,
     {1, 2, 1},
     {1, 0, 0, 2},
     true,
     0,
     0,
     false}, /* 1x1x1 that is not pointwise */
    {2, 5, 7, 12, 20, {3, 3, 3}, 2, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, true, 2, 0, true}, /* parts */
    {1, 5, 6, 40, 24, {3, 3, 3}, 1, 0, 1, {1, 1, 1}, {1, 1, 1, 1}, true, 1, 1, true},
    {2, 6, 5, 9, 18, {3, 1, 1}, 1, 1, 1, {1, 1, 1}, {0, 0, 0, 0}, true, 0, 2, false}, /* doubled */
    {3, 6, 5, 300, 18, {3, 1, 1}, 1, 0, 1, {2, 1, 1}, {0, 0, 0, 0}, true, 2, 3, true},
    {2, 5, 3, 16, 8, {1, 1, 1}, 0, 0, 1, {1, 1, 1}, {0, 0, 0, 0}, true, 1, 2, true},
};

/* Input of the convolution at virtual frame f, row y, column x; 0 outside. */
static double input(const vg_conv3d_args *a, int64_t f, int64_t y, int64_t x, int64_t c)
{
    const int64_t *s = a->x->shape;
    int64_t history = a->history ? a->history->shape[0] : 0;

    if (f < a->pad_front || y < 0 || x < 0 || y >= s[1] * a->upsample || x >= s[2] * a->upsample)
        return 0.0;
    f -= a->pad_front;
    y /= a->upsample, x /= a->upsample;
    if (f < history)
        return check_get(a->history, ((f * s[1] + y) * s[2] + x) * s[3] + c);
    f -= history;
    if (f < s[0])
        return check_get(a->x, ((f * s[1] + y) * s[2] + x) * s[3] + c);
    return check_get(a->more, (((f - s[0]) * s[1] + y) * s[2] + x) * s[3] + c);
}

static void run_case(const conv_case *p, vg_dtype in, vg_dtype weights, vg_dtype out)
{
    check_rng rng = {19};
    const int64_t *k = p->kernel;
    int64_t taps = k[0] * k[1] * k[2] * p->c;
    int64_t to = (p->pad_front + p->history + p->t + p->more - k[0]) / p->stride[0] + 1;
    int64_t ho = (p->h * p->upsample + p->pad[0] + p->pad[1] - k[1]) / p->stride[1] + 1;
    int64_t wo = (p->w * p->upsample + p->pad[2] + p->pad[3] - k[2]) / p->stride[2] + 1;
    int64_t split = p->split ? p->split : 1, part = p->o / split;
    vg_tensor *y = check_tensor(out, 4, to * split, ho, wo, part);
    vg_conv3d_args args = {
        .pad_front = p->pad_front, .upsample = p->upsample, .split = p->split, .y = y};
    double *reference = check_reference(y), most = 0;
    char what[96];

    memcpy(args.stride, p->stride, sizeof args.stride);
    memcpy(args.pad, p->pad, sizeof args.pad);
    args.x = check_fill(check_tensor(in, 4, p->t, p->h, p->w, p->c), &rng, 0.2, 1.0);
    args.w = check_fill(check_tensor(weights, 5, p->o, k[0], k[1], k[2], p->c), &rng, 0.0, 1.0);
    if (p->history)
        args.history =
            check_fill(check_tensor(in, 4, p->history, p->h, p->w, p->c), &rng, 0.0, 1.0);
    if (p->more)
        args.more = check_fill(check_tensor(in, 4, p->more, p->h, p->w, p->c), &rng, 0.0, 1.0);
    if (p->residual)
        args.residual = check_fill(check_tensor_of(out, 4, y->shape), &rng, 0.0, 2.0);
    if (p->bias)
        args.bias = check_fill(check_tensor(weights, 1, p->o), &rng, 0.0, 1.0);
    for (int64_t i = 0; i < vg_tensor_numel(y); i++) {
        int64_t xo = i / part % wo, yo = i / part / wo % ho, frame = i / part / wo / ho;
        int64_t t = frame / split, o = frame % split * part + i % part, tap = o * taps;
        double sum = p->bias ? check_get(args.bias, o) : 0.0;
        for (int64_t dt = 0; dt < k[0]; dt++)
            for (int64_t dy = 0; dy < k[1]; dy++)
                for (int64_t dx = 0; dx < k[2]; dx++)
                    for (int64_t c = 0; c < p->c; c++)
                        sum +=
                            check_get(args.w, tap++) * input(&args, t * p->stride[0] + dt,
                                                             yo * p->stride[1] + dy - p->pad[0],
                                                             xo * p->stride[2] + dx - p->pad[2], c);
        reference[i] = sum + (p->residual ? check_get(args.residual, i) : 0.0);
        if (fabs(sum) > most)
            most = fabs(sum);
    }
    CHECK_RUN(conv3d, &args, y);
    snprintf(what, sizeof what, "conv3d case %d %s %s %s", (int)(p - CASES), vg_dtype_name(in),
             vg_dtype_name(weights), vg_dtype_name(out));
    /* Terms are below 1.2; a chain of `taps` additions of them: taps roundings at worst, sqrt(taps) of typical partial sums (below
     * 1.2 sqrt(taps) / 1.5) in fact. 4 + taps/2 units of sqrt(taps) is a loose bound that one wrong tap (about 0.3) breaks. */
    /* With a residual there is the rounding of the sum before it. */
    CHECK_CLOSE(what, y, reference,
                (4.0 + (double)taps / 2.0) * sqrt((double)taps) * 0x1p-24 +
                    (p->residual ? most * (out == VG_BF16 ? 0x1p-8 : 0x1p-23) : 0),
                out == VG_BF16 ? 0x1p-8 : 0x1p-23);
    free(reference);
    check_done();
}

static void test_conv3d_matches_double(void **state)
{
    const vg_dtype dtypes[] = {VG_F32, VG_BF16};

    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        for (int f = 0; f < 8; f++)
            run_case(&CASES[i], dtypes[f & 1], dtypes[f >> 1 & 1], dtypes[f >> 2]);
}

/* A sequence in one piece, and in chunks with the last two frames as history, give the same bits: resuming depends on it. */
static void test_conv3d_chunks_equal_the_whole(void **state)
{
    check_rng rng = {20};
    vg_tensor *x = check_fill(check_tensor(VG_F32, 4, 7, 6, 10, 12), &rng, 0.0, 1.0);
    vg_tensor *w = check_fill(check_tensor(VG_F32, 5, 20, 3, 3, 3, 12), &rng, 0.0, 1.0),
              *y = check_tensor(VG_F32, 4, 7, 6, 10, 20);
    vg_conv3d_args args = {.x = x,
                           .w = w,
                           .pad_front = 2,
                           .upsample = 1,
                           .stride = {1, 1, 1},
                           .pad = {1, 1, 1, 1},
                           .y = y};

    (void)state;
    CHECK_RUN(conv3d, &args, y);
    for (int64_t from = 0, n = 1; from < 7; from += n, n = 3) {
        vg_tensor part = vg_tensor_rows(x, from, n),
                  past = vg_tensor_rows(x, from < 2 ? 0 : from - 2, from < 2 ? from : 2);
        vg_tensor *some = check_tensor(VG_F32, 4, n, 6, 10, 20), whole = vg_tensor_rows(y, from, n);
        args.x = &part;
        args.history = from ? &past : NULL;
        args.pad_front = from < 2 ? 2 - (int)from : 0;
        args.y = some;
        CHECK_RUN(conv3d, &args, some);
        assert_memory_equal(some->data, whole.data, vg_tensor_bytes(some));
    }
    check_done();
}

static void test_conv3d_refuses_wrong_operands(void **state)
{
    vg_tensor *x = check_tensor(VG_F32, 4, 2, 4, 5, 3), *w = check_tensor(VG_F32, 5, 6, 1, 3, 3, 3),
              *y = check_tensor(VG_F32, 4, 2, 4, 5, 6);
    vg_tensor *other = check_tensor(VG_F32, 4, 2, 4, 4, 3),
              *half = check_tensor(VG_BF16, 4, 2, 4, 5, 3);
    vg_backend *be = check_cpu()->one;
    vg_conv3d_args good = {.x = x,
                           .w = w,
                           .upsample = 1,
                           .stride = {1, 1, 1},
                           .pad = {1, 1, 1, 1},
                           .y = y},
                   bad;
    vg_err err;

    (void)state;
    bad = good, bad.pad[3] = 0;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_SHAPE, err);
    bad = good, bad.pad[0] = -1;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_ARG, err);
    bad = good, bad.stride[1] = 0;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_ARG, err);
    bad = good, bad.upsample = 3;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_ARG, err);
    bad = good, bad.history = other;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_SHAPE, err);
    bad = good, bad.history = half;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_DTYPE, err);
    bad = good, bad.more = other;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_SHAPE, err);
    bad = good, bad.split = 4;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_ARG, err);
    bad = good, bad.split = 2;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_SHAPE, err);
    bad = good, bad.residual = x;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_SHAPE, err);
    bad = good, bad.w = y;
    CHECK_FAILS(vg_conv3d(be, &bad, &err), VG_E_SHAPE, err);
    check_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv3d_matches_double),
        cmocka_unit_test(test_conv3d_chunks_equal_the_whole),
        cmocka_unit_test(test_conv3d_refuses_wrong_operands),
    };
    return cmocka_run_group_tests_name("op_conv3d", tests, NULL, check_close_cpu);
}
